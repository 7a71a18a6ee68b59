/* lort merge: prints progress and summary on stderr, as compress does. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/summary.h"

int lort_cmd_merge(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_merge_options options = values->merge;
    options.fail_above = values->fail_above;
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose, true);
    lort_code code = lort_merge(values->path[0], &options, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet)
        lort_cli_print_end(stderr, &report);
    return lort_cli_finish(values, &progress, &report, code, &err);
}
