/* lort quantize: prints progress and summary on stderr; a dry run prints its choice on stdout. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One row for each pair of types. */
static void print_types(FILE *out, const lort_report *report)
{
    char size[32], types[48];
    const char *label = "types";
    for (uint64_t i = 0; i < report->type_count; i++, label = "") {
        const lort_type_report *row = &report->types[i];
        const bool changes = strcmp(row->dtype, row->type) != 0;
        snprintf(types, sizeof types, "%s%s%s", row->dtype, changes ? " -> " : "",
                 changes ? row->type : "");
        lort_cli_print(out, "  %-10s%-16s %6" PRIu64 " tensor%s %14" PRIu64 " weights %12s\n",
                       label, types, row->tensors, row->tensors == 1 ? ", " : "s,", row->elements,
                       lort_print_size(row->bytes_out, size, sizeof size));
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
    options.offline = values->job.offline;
    options.spool = values->job.spool;
    options.spool_keep = values->job.spool_keep;
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
