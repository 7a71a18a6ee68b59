/* lort restore: writes the model that a container holds, and prints the summary on stderr. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <inttypes.h>

static void print_restored(const lort_report *report)
{
    char size[32], time[32];
    lort_cli_print(stderr, "  %-10s%s, %s, %" PRIu64 " tensor%s\n", "output", report->output_path,
                   lort_print_size(report->output_bytes, size, sizeof size), report->tensor_count,
                   report->tensor_count == 1 ? "" : "s");
    lort_cli_print(stderr, "  %-10s%s\n", "time",
                   lort_cli_seconds(report->seconds, time, sizeof time));
}

int lort_cmd_restore(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_restore_options options;
    lort_restore_options_init(&options);
    options.run = &values->run;
    options.dtype = values->dtype;
    options.tensor = values->tensor;
    options.force = values->force;
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose, true);
    lort_code code =
        lort_restore(values->path[0], values->output, &options, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet)
        print_restored(&report);
    return lort_cli_finish(values, &progress, &report, code, &err);
}
