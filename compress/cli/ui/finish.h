/* finish: how every command ends, and how a command asks whether it should end early. */
#ifndef LORT_COMPRESS_CLI_UI_FINISH_H
#define LORT_COMPRESS_CLI_UI_FINISH_H

#include "compress/cli/ui/options.h"

/* Ends a command: prints the error on stderr, writes the JSON report if the user wants one, and
 * frees the report. It also writes JSON if a quality limit was missed or the run was stopped.
 * Returns the exit code; 128 + N if signal N ended the wait for a reader of the output. */
int lort_cli_finish(const lort_cli_values *values, lort_report *report, lort_code code,
                    const lort_error *err);
/* False for `--json -`: standard output then belongs to the JSON report. */
bool lort_cli_prints(const lort_cli_values *values);
/* True once SIGINT, SIGTERM or SIGHUP came. This is the `stop` of every observer; progress is a
 * lort_progress. It also prints the progress line that SIGUSR1 asks for. */
bool lort_cli_stopped(void *progress);

#endif
