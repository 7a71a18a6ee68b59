/* command: the commands of lort and what they share. A command is one row in main.c and one cmd_*.c. */
#ifndef LORT_CLI_COMMAND_H
#define LORT_CLI_COMMAND_H

#include "compress/cli/options.h"
#include "compress/cli/progress.h"

/* Each runs its command on parsed values, prints what there is to print, and gives the exit code. */
int lort_cmd_compress(const lort_cli_values *values);
int lort_cmd_plan(const lort_cli_values *values);
int lort_cmd_inspect(const lort_cli_values *values);
int lort_cmd_verify(const lort_cli_values *values);
int lort_cmd_restore(const lort_cli_values *values);
int lort_cmd_compare(const lort_cli_values *values);

/* True once SIGINT, SIGTERM or SIGHUP came: the `stop` of every observer, whose ctx is a lort_progress. Says how far things are if SIGUSR1 asked for it. */
bool lort_cli_stopped(void *progress);

/* False when --json - claims standard output for itself. */
bool lort_cli_prints(const lort_cli_values *values);

/* The end of every command: JSON where asked for (also when a quality limit was missed), the error on stderr. Frees the
 * report. */
int lort_cli_finish(const lort_cli_values *values, lort_report *report, lort_code code, const lort_error *err);

#endif
