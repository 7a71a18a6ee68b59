/* signals_posix: see signals.h. */
#define _GNU_SOURCE
#include "compress/cli/console/signals.h"
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_int stop_signal, asked;
static int replaced[4]; /* one more than lort ignores */
static sigset_t found_mask;

static void on_signal(int number)
{
    if (stop_signal) {
        signal(number, SIG_DFL);
        raise(number);
    }
    stop_signal = number;
}

static void on_question(int number) { asked = number; }

int lort_cli_signal(void) { return stop_signal; }
bool lort_cli_asked(void) { return asked != 0; }
void lort_cli_clear_asked(void) { asked = 0; }
const int *lort_cli_replaced_signals(void) { return replaced; }
const void *lort_cli_found_mask(void) { return &found_mask; }

void lort_cli_set_signals(void)
{
    static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};
    /* A closed pipe and a full quota become write errors. A stray SIGUSR2 has no effect. */
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGUSR2};
    /* Without SA_RESTART a write to a full pipe ends when the signal comes. Reads and writes of
     * files repeat by themselves (loader/os). */
    struct sigaction action = {.sa_handler = on_signal},
                     question = {.sa_handler = on_question, .sa_flags = SA_RESTART}, old;
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; i++)
        /* nohup sets SIGHUP to SIG_IGN: that stays in force */
        if (sigaction(stopping[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(stopping[i], &action, NULL);
    sigaction(SIGUSR1, &question, NULL);
    /* A program may start lort from a thread that blocks signals, and stop it by one. */
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, SIGUSR1);
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; i++)
        sigaddset(&own, stopping[i]);
    sigprocmask(SIG_UNBLOCK, &own, &found_mask);
    int *next = replaced;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (signal(ignored[i], SIG_IGN) != SIG_IGN)
            *next++ = ignored[i];
}
