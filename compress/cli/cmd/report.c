/* lort report: shows JSON reports as a page. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

int lort_cmd_report(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    char size[32];
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose, false);
    lort_code code = lort_report_page(values->path, (unsigned)values->paths, values->output,
                                      values->force, &progress.observer, &report, &err);
    if (!code && !values->quiet)
        lort_cli_print(stderr, "  %-10s%s (%s)\n", "output", report.output_path,
                       lort_print_size(report.output_bytes, size, sizeof size));
    return lort_cli_finish(values, &progress, &report, code, &err);
}
