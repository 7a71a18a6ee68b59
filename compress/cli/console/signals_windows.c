/* signals_windows: see signals.h. */
#include "compress/cli/console/console.h"
#include "compress/cli/console/signals.h"
#include <stdatomic.h>
#include <stddef.h>
#include <windows.h>

static atomic_int stop_signal;

/* Console events, and the signals of POSIX that ask for the same. */
static const struct {
    DWORD event;
    int number;
    bool ends; /* Windows ends the process when the handler returns */
} events[] = {{CTRL_C_EVENT, 2, false},
              {CTRL_BREAK_EVENT, 2, false},
              {CTRL_CLOSE_EVENT, 1, true},
              {CTRL_LOGOFF_EVENT, 15, true},
              {CTRL_SHUTDOWN_EVENT, 15, true}};
#define EVENTS (sizeof events / sizeof *events)

bool lort_cli_take_event(unsigned long event)
{
    int none = 0;
    size_t i = 0;
    while (i < EVENTS && events[i].event != event)
        i++;
    if (i == EVENTS)
        return false;
    const bool first = atomic_compare_exchange_strong(&stop_signal, &none, events[i].number);
    if (events[i].ends)
        Sleep(INFINITE); /* the process ends meanwhile */
    return first;
}

static BOOL WINAPI on_event(DWORD event)
{
    if (lort_cli_take_event(event))
        return TRUE;
    lort_console_give_back();
    return FALSE;
}

int lort_cli_signal(void) { return stop_signal; }
bool lort_cli_asked(void) { return false; }
void lort_cli_clear_asked(void) {}

void lort_cli_set_signals(void) { SetConsoleCtrlHandler(on_event, TRUE); }
