/* lort run: Windows has no files in memory that a command could open by a path. A file on a disk
 * would break the promise of the command. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"

int lort_cmd_run(const lort_cli_values *values)
{
    lort_progress progress;
    lort_error err;
    lort_report report = {.command = LORT_COMMAND_RUN};
    lort_progress_open(&progress, lort_cli_stopped, true, false, false);
    lort_fail(&err, LORT_E_USAGE,
              "run: Windows cannot hold a model as a file in memory; use 'lort restore', and give "
              "its output to the command");
    return lort_cli_finish(values, &progress, &report, LORT_E_USAGE, &err);
}
