/* lort compare: prints the difference of two models on stdout, tensor by tensor, as a table. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <inttypes.h>
#include <math.h>

static void print_comparison(const lort_report *report)
{
    char shape[80], error[32], cosine[32], largest[32];
    lort_cli_print(stdout, "%-44s %-18s %-10s %-10s %s\n", "name", "shape", "rel error", "cosine",
                   "max abs");
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *t = &report->tensors[i];
        lort_cli_print(stdout, "%-44s %-18s %-10s %-10s %s\n", t->name,
                       lort_cli_shape(t, shape, sizeof shape),
                       lort_cli_number(t->rel_error, error, sizeof error),
                       lort_cli_number(t->cosine, cosine, sizeof cosine),
                       lort_cli_number(t->max_abs, largest, sizeof largest));
    }
}

static void print_total(const lort_report *report)
{
    char worst[32], mean[32];
    lort_cli_print(stdout, "%" PRIu64 " tensors compared, worst error %s, mean error %s\n",
                   report->tensor_count, lort_cli_number(report->worst_error, worst, sizeof worst),
                   lort_cli_number(report->mean_error, mean, sizeof mean));
    for (unsigned i = 0; i < report->warning_count; i++)
        lort_cli_print(stderr, "lort: warning: %s\n", report->warnings[i]);
}

int lort_cmd_compare(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_progress_open(&progress, lort_cli_stopped, false, false, false);
    lort_code code = lort_compare(values->path[0], values->path[1], values->fail_above,
                                  &values->run, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if ((!code || code == LORT_E_NUMERIC) && lort_cli_prints(values)) {
        print_comparison(&report);
        print_total(&report);
    }
    return lort_cli_finish(values, &report, code, &err);
}
