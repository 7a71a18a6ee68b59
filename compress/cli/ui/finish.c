/* finish: see finish.h. */
#include "compress/cli/ui/finish.h"
#include "compress/cli/console/signals.h"
#include "compress/cli/ui/lines.h"
#include "compress/cli/ui/print.h"
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
    if (report->partial_other)
        lort_cli_print(stderr,
                       "lort: %s is unfinished work of another command, or of other inputs; only "
                       "these resume it\n",
                       report->partial_path);
    else if (report->partial_tensors)
        lort_cli_print(stderr,
                       "lort: %s holds %llu of %llu tensors; the same command resumes this run\n",
                       report->partial_path, (unsigned long long)report->partial_tensors,
                       (unsigned long long)report->tensor_count);
    else
        lort_cli_print(stderr,
                       "lort: %s holds the work so far; the same command resumes this run\n",
                       report->partial_path);
}

/* True for commands whose work a later run resumes. */
static bool resumes(lort_command command)
{
    return command == LORT_COMMAND_COMPRESS || command == LORT_COMMAND_QUANTIZE;
}

int lort_cli_end_run(lort_progress *progress, lort_report *report, lort_code code,
                     const lort_error *err)
{
    const int number = lort_cli_signal();
    const bool by_signal = code == LORT_E_STOPPED && number;
    lort_progress_close(progress);
    if (code)
        report->error = *err;
    if (by_signal)
        snprintf(report->error.message, sizeof report->error.message,
                 "stopped by signal %d; nothing was published", number);
    if (code)
        lort_cli_print(stderr, "lort: %s\n", report->error.message);
    lort_lines_error(report);
    lort_progress_warnings(progress, report);
    if (code)
        say_what_is_left(report);
    return by_signal && !resumes(report->command) ? 128 + number : (int)code;
}

/* Text that was printed comes before the report. */
static lort_code write_reports(const lort_cli_values *values, lort_report *reports, unsigned count)
{
    lort_error err = {0};
    if (!values->report)
        return LORT_OK;
    for (unsigned i = 0; i < count; i++) {
        reports[i].options = values->given;
        reports[i].option_count = values->given_count;
    }
    lort_cli_flush();
    const lort_code written = count == 1
                                  ? lort_json_write(values->report, reports, &err)
                                  : lort_json_write_list(values->report, reports, count, &err);
    if (written) {
        lort_cli_print(stderr, "lort: %s\n", err.message);
        lort_lines_error(&(lort_report){.command = reports->command, .error = err});
    }
    return written;
}

/* Ends the lines of JSON. Text for stdout goes before them, so that they tell if it is lost. */
static int end_lines(const lort_report *reports, unsigned count, int result)
{
    lort_report lost = {.command = reports->command};
    if (lort_lines_chosen() != LORT_LINES_JSON)
        return result;
    lort_cli_flush();
    if (ferror(stdout) && !lort_cli_reader_left()) {
        lort_fail(&lost.error, LORT_E_WRITE, "standard output: write error");
        lort_lines_error(&lost);
        result = result ? result : LORT_E_WRITE;
    }
    lort_lines_end(count == 1 ? reports : &(lort_report){.command = reports->command}, result);
    return result;
}

int lort_cli_end_runs(const lort_cli_values *values, lort_report *reports, unsigned count,
                      int result)
{
    const lort_code written = write_reports(values, reports, count);
    if (!result) /* the work may be done, but a signal ended the wait for a reader of its figures */
        result = written == LORT_E_STOPPED || lort_cli_gave_up() ? 128 + lort_cli_signal()
                                                                 : (int)written;
    result = end_lines(reports, count, result);
    for (unsigned i = 0; i < count; i++)
        lort_report_free(&reports[i]);
    return result;
}

int lort_cli_finish(const lort_cli_values *values, lort_progress *progress, lort_report *report,
                    lort_code code, const lort_error *err)
{
    return lort_cli_end_runs(values, report, 1, lort_cli_end_run(progress, report, code, err));
}

static bool is_stopped(void *unused)
{
    (void)unused;
    return lort_cli_signal() != 0;
}

lort_code lort_cli_open_report(lort_cli_values *values, lort_error *err)
{
    return values->json ? lort_json_open(values->json, is_stopped, NULL, &values->report, err)
                        : LORT_OK;
}

static lort_command command_of(const char *name)
{
    lort_command command = LORT_COMMANDS - 1;
    while (command != LORT_COMMAND_NONE && strcmp(lort_command_text(command), name) != 0)
        command--;
    return command;
}

int lort_cli_refuse(const lort_cli_command *command, lort_cli_values *values, lort_code code,
                    const lort_error *err)
{
    lort_error why = {0};
    lort_report report = {.command = command_of(command->name), .error = *err};
    lort_lines_error(&report);
    if (lort_cli_open_report(values, &why)) {
        lort_cli_print(stderr, "lort: %s\n", why.message);
        lort_lines_error(&(lort_report){.command = report.command, .error = why});
    }
    return lort_cli_end_runs(values, &report, 1, (int)code);
}
