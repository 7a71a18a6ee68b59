/* start: what the process does before its command, on each system. */
#ifndef LORT_COMPRESS_CLI_START_H
#define LORT_COMPRESS_CLI_START_H

#include <stdbool.h>

/* Prepares standard streams and environment. On Windows also replaces the arguments by UTF-8, and
 * prepares the console. What it changes in the console it gives back at the end of the process.
 * False: it printed why lort cannot start; *argc and *argv are as they were. */
bool lort_cli_start(int *argc, char ***argv);

/* Calls run, and returns what it returned. If the stack of the process is limited to less than
 * lort needs, run gets a thread with enough. */
int lort_cli_run_with_stack(int (*run)(int argc, char **argv), int argc, char **argv);

#endif
