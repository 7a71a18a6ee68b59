/* lort plan: prints on stdout how compress would run. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <math.h>

static void print_plan(const lort_report *report, bool verbose)
{
    char worst[32], mean[32];
    lort_cli_print_start(stdout, report);
    lort_cli_print_importance(stdout, report);
    for (uint64_t i = 0; verbose && i < report->tensor_count; i++)
        lort_cli_print_tensor(stdout, &report->tensors[i]);
    lort_cli_print_actions(stdout, report);
    if (!isnan(report->worst_error))
        lort_cli_print(stdout, "  %-10sworst %s, mean %s (of the sampled matrices)\n", "error",
                       lort_cli_number(report->worst_error, worst, sizeof worst),
                       lort_cli_number(report->mean_error, mean, sizeof mean));
    if (!isnan(report->estimated_seconds))
        lort_cli_print(stdout, "  %-10sthe sample took %s, all matrices would take about %s\n",
                       "time", lort_cli_seconds(report->sample_seconds, worst, sizeof worst),
                       lort_cli_seconds(report->estimated_seconds, mean, sizeof mean));
}

int lort_cmd_plan(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, false, false);
    lort_code code = lort_plan(values->path[0], &values->job, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet && lort_cli_prints(values))
        print_plan(&report, values->verbose);
    return lort_cli_finish(values, &progress, &report, code, &err);
}
