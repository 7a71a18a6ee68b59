/* lort compare: measures the difference of two models, and prints a summary on stdout. With -v a
 * table of all tensors comes before it. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Writes "F16", or "F16 -> Q4_K" where B has another type. */
static const char *types_text(const char *a, const char *b, char *out, size_t cap)
{
    const bool same = !*b || strcmp(a, b) == 0;
    snprintf(out, cap, "%s%s%s", a, same ? "" : " -> ", same ? "" : b);
    return out;
}

static void print_comparison(const lort_report *report)
{
    char shape[80], types[64], error[32], cosine[32], largest[32];
    lort_cli_print(stdout, "%-44s %-18s %-16s %-10s %-10s %s\n", "name", "shape", "type",
                   "rel error", "cosine", "max abs");
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *t = &report->tensors[i];
        lort_cli_print(stdout, "%-44s %-18s %-16s %-10s %-10s %s%s%s\n", t->name,
                       lort_cli_shape(t, shape, sizeof shape),
                       types_text(t->dtype, t->type, types, sizeof types),
                       lort_cli_number(t->rel_error, error, sizeof error),
                       lort_cli_number(t->cosine, cosine, sizeof cosine),
                       lort_cli_number(t->max_abs, largest, sizeof largest),
                       *t->reason_text ? "  " : "", t->reason_text);
    }
}

typedef struct findings {
    uint64_t equal, undefined;
    const lort_tensor_report *worst, *cosine, *largest; /* NULL: none */
} findings;

/* Equal: no weight differs. Undefined: they differ, and no error tells how much. */
static findings find_all(const lort_report *report)
{
    findings f = {0};
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *t = &report->tensors[i];
        const bool same = t->reason == LORT_REASON_SAME_BYTES || t->max_abs == 0 ||
                          (t->rel_error == 0 && isnan(t->max_abs));
        f.equal += same;
        f.undefined += !same && isnan(t->rel_error);
        if (!isnan(t->rel_error) && (!f.worst || t->rel_error > f.worst->rel_error))
            f.worst = t;
        if (!isnan(t->cosine) && (!f.cosine || t->cosine < f.cosine->cosine))
            f.cosine = t;
        if (!isnan(t->max_abs) && (!f.largest || t->max_abs > f.largest->max_abs))
            f.largest = t;
    }
    return f;
}

static void print_extreme(const char *label, const lort_tensor_report *tensor, double value)
{
    char text[32];
    if (tensor)
        lort_cli_print(stdout, "  %-22s%s (%s)\n", label, lort_cli_number(value, text, sizeof text),
                       tensor->name);
}

/* The sizes of A and B, where they differ. */
static void print_sizes(const lort_report *report)
{
    char a[32], b[32];
    if (report->input_bytes != report->output_bytes)
        lort_cli_print(stdout, "  %-22s%s and %s (%.1f %%)\n", "files",
                       lort_print_size(report->input_bytes, a, sizeof a),
                       lort_print_size(report->output_bytes, b, sizeof b), 100 * report->ratio);
}

/* One line for each pair of types, if any tensor has another type in B. */
static void print_types(const lort_report *report)
{
    char types[64], worst[32], mean[32];
    bool differ = false;
    for (uint64_t i = 0; i < report->type_count; i++)
        differ = differ || strcmp(report->types[i].dtype, report->types[i].type) != 0;
    if (!differ)
        return;
    lort_cli_print(stdout, "  %-20s  %-8s %14s %14s  %-11s %s\n", "types", "tensors", "bytes in A",
                   "bytes in B", "worst error", "mean error");
    for (uint64_t i = 0; i < report->type_count; i++) {
        const lort_type_report *t = &report->types[i];
        lort_cli_print(stdout, "  %-20s  %-8" PRIu64 " %14" PRIu64 " %14" PRIu64 "  %-11s %s\n",
                       types_text(t->dtype, t->type, types, sizeof types), t->tensors, t->bytes,
                       t->bytes_out, lort_cli_number(t->worst_error, worst, sizeof worst),
                       lort_cli_number(t->mean_error, mean, sizeof mean));
    }
}

static void print_total(const lort_report *report)
{
    char worst[32], mean[32];
    const findings f = find_all(report);
    lort_cli_print(stdout, "%" PRIu64 " tensor%s compared, worst error %s, mean error %s\n",
                   report->tensor_count, report->tensor_count == 1 ? "" : "s",
                   lort_cli_number(report->worst_error, worst, sizeof worst),
                   lort_cli_number(report->mean_error, mean, sizeof mean));
    lort_cli_print(stdout, "  %-22s%" PRIu64 "\n", "equal tensors", f.equal);
    if (f.undefined)
        lort_cli_print(stdout, "  %-22s%" PRIu64 "\n", "without an error", f.undefined);
    if (f.equal < report->tensor_count) {
        print_extreme("worst error", f.worst, f.worst ? f.worst->rel_error : 0);
        print_extreme("lowest cosine", f.cosine, f.cosine ? f.cosine->cosine : 0);
        print_extreme("largest difference", f.largest, f.largest ? f.largest->max_abs : 0);
    }
    print_sizes(report);
    print_types(report);
}

int lort_cmd_compare(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, false, false);
    lort_code code = lort_compare(values->path[0], values->path[1], values->fail_above,
                                  &values->run, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if ((!code || code == LORT_E_NUMERIC) && !values->quiet && lort_cli_prints(values)) {
        if (values->verbose)
            print_comparison(&report);
        print_total(&report);
    }
    return lort_cli_finish(values, &progress, &report, code, &err);
}
