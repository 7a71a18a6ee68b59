/* lort verify: checks a container, and prints one line on stdout that says how far. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <inttypes.h>

int lort_cmd_verify(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    char size[32], time[32];
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, false, false);
    const lort_verify_options options = {.run = values->run, .quick = values->quick_check};
    lort_code code = lort_verify(values->path[0], &options, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet && lort_cli_prints(values))
        lort_cli_print(stdout, "%s: ok, %" PRIu64 " tensors, %s, %s in %s\n", report.input_path,
                       report.tensor_count, lort_print_size(report.input_bytes, size, sizeof size),
                       values->quick_check ? "records checked, weights not read"
                                           : "every hash and shape checked",
                       lort_cli_seconds(report.seconds, time, sizeof time));
    return lort_cli_finish(values, &report, code, &err);
}
