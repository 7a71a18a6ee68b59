/* lort verify: checks containers one after the other. For each it prints one line on stdout that
 * says how far, or the error. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/console/signals.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void print_verified(const lort_report *report, bool quick)
{
    char size[32], time[32];
    lort_cli_print(stdout, "%s: ok, %" PRIu64 " tensors, %s, %s in %s\n", report->input_path,
                   report->tensor_count, lort_print_size(report->input_bytes, size, sizeof size),
                   quick ? "records checked, weights not read"
                   : strcmp(report->verified, "without base") == 0
                       ? "every hash and shape checked, restored bytes not (give --base)"
                       : "every hash and shape checked",
                   lort_cli_seconds(report->seconds, time, sizeof time));
}

static int verify_one(const lort_cli_values *values, const char *path, lort_report *report)
{
    lort_progress progress;
    lort_error err = {0};
    lort_verify_options options;
    lort_verify_options_init(&options);
    options.run = &values->run;
    options.quick = values->quick_check;
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose, false);
    lort_code code = lort_verify(path, &options, &progress.observer, report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet && lort_cli_prints(values))
        print_verified(report, values->quick_check);
    lort_cli_flush(); /* before the messages of the next one */
    return lort_cli_end_run(&progress, report, code, &err);
}

int lort_cmd_verify(const lort_cli_values *values)
{
    lort_report *reports = calloc((size_t)values->paths, sizeof *reports);
    int result = LORT_OK;
    unsigned done = 0;
    if (!reports) {
        lort_report none = {.command = LORT_COMMAND_VERIFY};
        lort_fail(&none.error, LORT_E_MEMORY, "no memory for the reports");
        lort_cli_print(stderr, "lort: %s\n", none.error.message);
        lort_lines_error(&none);
        return lort_cli_end_runs(values, &none, 1, LORT_E_MEMORY);
    }
    while (done < (unsigned)values->paths && !lort_cli_signal()) {
        lort_report *report = &reports[done];
        const int code = verify_one(values, values->path[done++], report);
        result = result ? result : code;
        if (!values->report && values->paths > 1) { /* a long list takes no memory */
            lort_report_free(report);
            report->command = LORT_COMMAND_VERIFY;
        }
    }
    if (done < (unsigned)values->paths && !result)
        result = 128 + lort_cli_signal();
    result = lort_cli_end_runs(values, reports, done, result);
    free(reports);
    return result;
}
