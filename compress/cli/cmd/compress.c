/* lort compress: prints progress and summary on stderr. Stdout stays free for --json -. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/summary.h"
#include "compress/cli/ui/tasks.h"

int lort_cmd_compress(const lort_cli_values *values)
{
    /* Not on the stack: it may have 64 KiB, and the kernels of OpenBLAS take most of it. */
    static lort_progress progress;
    static lort_report report;
    static lort_error err;
    lort_options options = values->job;
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose, true);
    lort_code code = lort_cli_choose_task(values, &options, &err);
    report.command = LORT_COMMAND_COMPRESS;
    if (code == LORT_OK)
        code = lort_compress(values->path[0], values->output, &options, &progress.observer, &report,
                             &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet)
        lort_cli_print_end(stderr, &report);
    return lort_cli_finish(values, &progress, &report, code, &err);
}
