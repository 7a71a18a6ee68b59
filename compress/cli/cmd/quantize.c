/* lort quantize: prints progress and summary on stderr; a dry run prints its choice on stdout. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* What the tensors of one type add up to. */
typedef struct type_row {
    const char *type;
    uint64_t tensors, bytes;
    double elements;
} type_row;
enum { TYPES_MOST = 48 };

static double elements_of(const lort_tensor_report *tensor)
{
    double elements = 1;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        elements *= (double)tensor->shape[i];
    return elements;
}

static unsigned row_of(type_row *rows, unsigned *count, const char *type)
{
    unsigned i = 0;
    while (i < *count && strcmp(rows[i].type, type) != 0)
        i++;
    if (i == *count && *count < TYPES_MOST)
        rows[(*count)++] = (type_row){.type = type};
    return i < TYPES_MOST ? i : TYPES_MOST - 1;
}

static unsigned most_bytes(const type_row *rows, unsigned count)
{
    unsigned best = 0;
    for (unsigned i = 1; i < count; i++)
        best = rows[i].bytes > rows[best].bytes ? i : best;
    return best;
}

static void print_types(FILE *out, const lort_report *report)
{
    type_row rows[TYPES_MOST];
    unsigned count = 0;
    double all = 0;
    char size[32];
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *tensor = &report->tensors[i];
        type_row *row = &rows[row_of(rows, &count, tensor->type)];
        row->tensors++;
        row->bytes += tensor->bytes_out;
        row->elements += elements_of(tensor);
        all += elements_of(tensor);
    }
    for (const char *label = "types"; count; label = "") {
        type_row *row = &rows[most_bytes(rows, count)];
        lort_cli_print(out, "  %-10s%-7s %6" PRIu64 " tensor%s %5.1f %% of the weights, %s\n",
                       label, row->type, row->tensors, row->tensors == 1 ? ", " : "s,",
                       all > 0 ? 100 * row->elements / all : 0,
                       lort_print_size(row->bytes, size, sizeof size));
        *row = rows[--count];
    }
}

static void print_dry_run(const lort_report *report, bool verbose)
{
    char size[32], time[32];
    lort_cli_print_start(stdout, report);
    lort_cli_print_importance(stdout, report);
    for (uint64_t i = 0; verbose && i < report->tensor_count; i++)
        lort_cli_print_tensor(stdout, &report->tensors[i]);
    print_types(stdout, report);
    lort_cli_print(stdout, "  %-10s%s (%" PRIu64 " bytes), %.4g bits per weight\n", "size",
                   lort_print_size(report->output_high, size, sizeof size), report->output_high,
                   report->bpw);
    lort_cli_print(stdout, "  %-10sabout %s\n", "time",
                   lort_cli_seconds(report->estimated_seconds, time, sizeof time));
}

int lort_cmd_quantize(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_quantize_options options = values->quantize;
    const bool dry = options.dry_run;
    options.goal = values->job.goal;
    options.value = values->job.value;
    options.size_bytes = values->job.size_bytes;
    options.imatrix = values->job.imatrix;
    options.mode = values->job.mode;
    options.memory_bytes = values->job.memory_bytes;
    options.threads = values->job.threads;
    options.force = values->job.force;
    options.resume = values->job.resume;
    options.time_limit = values->job.time_limit;
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose && !dry, !dry);
    lort_code code =
        lort_quantize(values->path[0], values->output, &options, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet && dry && lort_cli_prints(values))
        print_dry_run(&report, values->verbose);
    if (!code && !values->quiet && !dry) {
        lort_cli_print_end(stderr, &report);
        print_types(stderr, &report);
    }
    return lort_cli_finish(values, &progress, &report, code, &err);
}
