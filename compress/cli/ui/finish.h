/* finish: how every command ends, and how a command asks whether it should end early. */
#ifndef LORT_COMPRESS_CLI_UI_FINISH_H
#define LORT_COMPRESS_CLI_UI_FINISH_H

#include "compress/cli/ui/options.h"
#include "compress/cli/ui/progress.h"

/* Ends a command: closes the progress; prints the error, then the warnings that are not on the
 * screen yet; writes the JSON report if the user wants one, after a failure too; frees the report.
 * Returns the exit code; 128 + N if signal N ended the wait for a reader of the output. */
int lort_cli_finish(const lort_cli_values *values, lort_progress *progress, lort_report *report,
                    lort_code code, const lort_error *err);
/* The first half for one of several runs: closes the progress, prints error and warnings, puts the
 * error into the report. Returns the exit code of the run. */
int lort_cli_end_run(lort_progress *progress, lort_report *report, lort_code code,
                     const lort_error *err);
/* The second half for all of them: writes the JSON report and frees the `count` reports. Returns
 * `result`, or the exit code if the report is lost. */
int lort_cli_end_runs(const lort_cli_values *values, lort_report *reports, unsigned count,
                      int result);
/* Opens the place of --json, if there is one. So a report that cannot be written costs no work.
 * On failure: the codes of lort_json_open. */
lort_code lort_cli_open_report(lort_cli_values *values, lort_error *err);
/* Ends a command that did not begin: writes the lines of JSON, and the JSON report if --json stands
 * in the command line. The error is printed already. Returns the exit code. */
int lort_cli_refuse(const lort_cli_command *command, lort_cli_values *values, lort_code code,
                    const lort_error *err);
/* False for `--json -`: standard output then belongs to the JSON report. */
bool lort_cli_prints(const lort_cli_values *values);
/* True once SIGINT, SIGTERM or SIGHUP came. This is the `stop` of every observer; progress is a
 * lort_progress. It also prints the progress line that SIGUSR1 asks for. */
bool lort_cli_stopped(void *progress);

#endif
