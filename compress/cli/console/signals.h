/* signals: the flags that signals set. A handler does nothing else, and commands ask for the flags.
 */
#ifndef LORT_COMPRESS_CLI_CONSOLE_SIGNALS_H
#define LORT_COMPRESS_CLI_CONSOLE_SIGNALS_H

#include <stdbool.h>

/* Installs the signal handlers. The first SIGINT, SIGTERM or SIGHUP asks the command to stop, and
 * ends a system call that waits. The second one has its default effect. Unblocks these
 * signals.
 *
 * Windows has other events. Ctrl-C and Ctrl-Break count as SIGINT, a console that closes as SIGHUP,
 * and the end of the session as SIGTERM. */
void lort_cli_set_signals(void);
/* The number of the signal that asked to stop; 0: none. Threads: any. */
int lort_cli_signal(void);
/* The signals that lort ignores and that had their default effect before. A command that it starts
 * has the others as they were: handlers end with exec. Ends with 0. POSIX only. */
const int *lort_cli_replaced_signals(void);
/* The signals that were blocked before (a sigset_t), for a command that lort starts. POSIX only. */
const void *lort_cli_found_mask(void);
/* True while a SIGUSR1 waits for its answer. clear: it was answered. Threads: any. Windows has no
 * SIGUSR1. */
bool lort_cli_asked(void);
void lort_cli_clear_asked(void);

#ifdef _WIN32
/* The handler of console events, which Windows calls in a thread of its own. The first event asks
 * the command to stop, as a signal does. Returns false for a second Ctrl-C or Ctrl-Break: Windows
 * then ends lort. It does not return from the others: Windows ends lort when it does, or after
 * about 5 s. event: CTRL_C_EVENT and so on. */
bool lort_cli_take_event(unsigned long event);
#endif

#endif
