/* lort inspect: prints metadata and tensors of a model or container on stdout, as a table. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <inttypes.h>
#include <string.h>

static int name_width(const lort_report *report)
{
    size_t width = 4;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        size_t n = strlen(report->tensors[i].name);
        width = n > width ? n : width;
    }
    return width > 64 ? 64 : (int)width;
}

static void print_meta(const lort_report *report)
{
    for (uint64_t i = 0; i < report->meta_count; i++) {
        const lort_meta_report *meta = &report->meta[i];
        if (meta->is_array)
            lort_cli_print(stdout, "%s (%s[%" PRIu64 "])%s%s\n", meta->key, meta->type, meta->count,
                           *meta->text ? " = " : "", meta->text);
        else
            lort_cli_print(stdout, "%s (%s) = %s\n", meta->key, meta->type, meta->text);
    }
    if (report->meta_count)
        lort_cli_print(stdout, "\n");
}

/* verbose: with the slices, and why the tensor was kept. */
static void print_tensor(const lort_tensor_report *tensor, int width, bool container, bool verbose)
{
    char shape[80], error[32];
    lort_cli_print(stdout, "%-*s  %-8s %-18s %14" PRIu64 " %14" PRIu64, width, tensor->name,
                   tensor->dtype, lort_cli_shape(tensor, shape, sizeof shape), tensor->bytes_in,
                   tensor->offset);
    if (container)
        lort_cli_print(stdout, " %14" PRIu64 "  %-8s %6" PRId64 "  %s", tensor->bytes_out,
                       lort_action_text(tensor->action), tensor->rank,
                       lort_cli_number(tensor->rel_error, error, sizeof error));
    if (verbose && tensor->slices > 1)
        lort_cli_print(stdout, "  %" PRId64 " matrices", tensor->slices);
    if (verbose && *tensor->reason_text)
        lort_cli_print(stdout, "  %s%s%s", tensor->reason_text, *tensor->detail ? ": " : "",
                       tensor->detail);
    lort_cli_print(stdout, "\n");
}

static void print_table(const lort_report *report, bool verbose)
{
    bool container = report->tensor_count > 0 && report->tensors[0].action != LORT_ACTION_NONE;
    int width = name_width(report);
    const char *file = "";
    if (report->tensor_count == 0)
        return;
    lort_cli_print(stdout, "%-*s  %-8s %-18s %14s %14s", width, "name", "dtype", "shape", "bytes",
                   "offset");
    if (container)
        lort_cli_print(stdout, " %14s  %-8s %6s  %s", "stored", "action", "rank", "error");
    lort_cli_print(stdout, "\n");
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *tensor = &report->tensors[i];
        /* several files: a heading before the tensors of each */
        if (report->input_files > 1 && strcmp(file, tensor->file) != 0)
            lort_cli_print(stdout, "%s:\n", tensor->file);
        file = tensor->file;
        print_tensor(tensor, width, container, verbose);
    }
}

/* The tensors by element type. container: the types are those of the originals. */
static void print_types(const lort_report *report)
{
    const bool container = report->tensor_count > 0 && report->tensors[0].action;
    double elements = 0, bytes = 0;
    for (uint64_t i = 0; i < report->type_count; i++) {
        elements += (double)report->types[i].elements;
        bytes += (double)report->types[i].bytes;
    }
    if (report->type_count == 0)
        return;
    lort_cli_print(stdout, "\n%-16s %8s %14s %14s %7s", container ? "original type" : "type",
                   "tensors", "elements", "bytes", "share");
    lort_cli_print(stdout, container ? " %14s\n" : "\n", "stored");
    for (uint64_t i = 0; i < report->type_count; i++) {
        const lort_type_report *type = &report->types[i];
        lort_cli_print(stdout, "%-16s %8" PRIu64 " %14" PRIu64 " %14" PRIu64 " %5.1f %%",
                       type->dtype, type->tensors, type->elements, type->bytes,
                       bytes > 0 ? 100 * (double)type->bytes / bytes : 0);
        if (container)
            lort_cli_print(stdout, " %14" PRIu64, type->bytes_out);
        lort_cli_print(stdout, "\n");
    }
    if (elements > 0)
        lort_cli_print(stdout, "%.4g bits per weight (8 x file bytes / %.0f elements)\n",
                       report->input_bpw, elements);
}

static void print_all(const lort_report *report, bool verbose)
{
    char size[32];
    lort_cli_print(stdout, "%s: %s, %" PRIu64 " file%s, %s, %" PRIu64 " tensors%s%s\n\n",
                   report->input_path, report->input_format, report->input_files,
                   report->input_files == 1 ? "" : "s",
                   lort_print_size(report->input_bytes, size, sizeof size), report->tensor_count,
                   *report->input_found ? "; found in " : "", report->input_found);
    print_meta(report);
    print_table(report, verbose);
    print_types(report);
}

int lort_cmd_inspect(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_progress_open(&progress, lort_cli_stopped, true, false, false);
    lort_code code = lort_inspect(values->path[0], &values->run, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet && lort_cli_prints(values))
        print_all(&report, values->verbose);
    return lort_cli_finish(values, &progress, &report, code, &err);
}
