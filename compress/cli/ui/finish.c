/* finish: see finish.h. A handler only sets a flag, and commands ask for it by their observer. */
#define _GNU_SOURCE
#include "compress/cli/ui/finish.h"
#include "compress/cli/ui/progress.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_int stop_signal, asked;

static void on_signal(int number)
{
    if (stop_signal) {
        signal(number, SIG_DFL);
        raise(number);
    }
    stop_signal = number;
}

static void on_question(int number) { asked = number; }

bool lort_cli_stopped(void *progress)
{
    if (asked && lort_progress_answer(progress))
        asked = 0;
    return stop_signal != 0;
}

void lort_cli_set_signals(void)
{
    static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};
    /* A closed pipe and a full quota become write errors. A stray SIGUSR2 has no effect. */
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGUSR2};
    struct sigaction action = {.sa_handler = on_signal},
                     question = {.sa_handler = on_question, .sa_flags = SA_RESTART}, old;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; i++)
        /* nohup sets SIGHUP to SIG_IGN: that stays in force */
        if (sigaction(stopping[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(stopping[i], &action, NULL);
    sigaction(SIGUSR1, &question, NULL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
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
        fprintf(
            stderr,
            "lort: %s holds %llu of %llu tensors; rerun the command with --resume to resume it\n",
            report->partial_path, (unsigned long long)report->partial_tensors,
            (unsigned long long)report->tensor_count);
    else /* this run finished nothing, or the work belongs to another command */
        fprintf(
            stderr,
            "lort: unfinished work from another run is in %s; rerun that command to resume it\n",
            report->partial_path);
}

int lort_cli_finish(const lort_cli_values *values, lort_report *report, lort_code code,
                    const lort_error *err)
{
    lort_error json_err = {0};
    bool has_figures = (code == LORT_OK || code == LORT_E_NUMERIC || code == LORT_E_STOPPED) &&
                       report->command != LORT_COMMAND_NONE;
    const bool by_signal = code == LORT_E_STOPPED && stop_signal;
    if (by_signal)
        fprintf(stderr, "lort: stopped by signal %d; nothing was published\n", (int)stop_signal);
    else if (code)
        fprintf(stderr, "lort: %s\n", err->message);
    if (values->json && has_figures) {
        lort_code written = lort_report_json(report, values->json, &json_err);
        if (written)
            fprintf(stderr, "lort: %s\n", json_err.message);
        code = code ? code : written;
    }
    if (code)
        say_what_is_left(report);
    const bool at_checkpoint = report->command == LORT_COMMAND_COMPRESS;
    lort_report_free(report);
    return by_signal && !at_checkpoint ? 128 + (int)stop_signal : (int)code;
}
