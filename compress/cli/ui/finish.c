/* finish: see finish.h. */
#include "compress/cli/ui/finish.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/progress.h"
#include "compress/cli/ui/signals.h"
#include <stdio.h>
#include <string.h>

bool lort_cli_stopped(void *progress)
{
    if (lort_cli_asked() && lort_progress_answer(progress))
        lort_cli_clear_asked();
    return lort_cli_signal() != 0;
}

bool lort_cli_prints(const lort_cli_values *values)
{
    return !values->json || strcmp(values->json, "-") != 0;
}

static void say_what_is_left(const lort_report *report)
{
    if (!report->partial_path || !*report->partial_path)
        return;
    if (report->partial_tensors)
        lort_cli_print(
            stderr,
            "lort: %s holds %llu of %llu tensors; rerun the command with --resume to resume it\n",
            report->partial_path, (unsigned long long)report->partial_tensors,
            (unsigned long long)report->tensor_count);
    else /* this run finished nothing, or the work belongs to another command */
        lort_cli_print(
            stderr,
            "lort: unfinished work from another run is in %s; rerun that command to resume it\n",
            report->partial_path);
}

/* Writes the report, if the user wants one and there are figures. Text that was printed comes
 * first. */
static lort_code write_report(const lort_cli_values *values, const lort_report *report,
                              lort_code code)
{
    lort_error err = {0};
    const bool has_figures =
        (code == LORT_OK || code == LORT_E_NUMERIC || code == LORT_E_STOPPED) &&
        report->command != LORT_COMMAND_NONE;
    if (!values->report || !has_figures)
        return LORT_OK;
    lort_cli_flush();
    const lort_code written = lort_json_write(values->report, report, &err);
    if (written)
        lort_cli_print(stderr, "lort: %s\n", err.message);
    return written;
}

int lort_cli_finish(const lort_cli_values *values, lort_report *report, lort_code code,
                    const lort_error *err)
{
    const int number = lort_cli_signal();
    const bool by_signal = code == LORT_E_STOPPED && number;
    if (by_signal)
        lort_cli_print(stderr, "lort: stopped by signal %d; nothing was published\n", number);
    else if (code)
        lort_cli_print(stderr, "lort: %s\n", err->message);
    const lort_code written = write_report(values, report, code);
    if (code)
        say_what_is_left(report);
    const bool at_checkpoint = report->command == LORT_COMMAND_COMPRESS;
    lort_report_free(report);
    if (code)
        return by_signal && !at_checkpoint ? 128 + number : (int)code;
    /* the work is done, but a signal ended the wait for a reader of its figures */
    return written == LORT_E_STOPPED || lort_cli_gave_up() ? 128 + lort_cli_signal() : (int)written;
}
