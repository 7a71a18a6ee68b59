/* finish: how every command ends, and how signals end it early. */
#ifndef LORT_COMPRESS_CLI_UI_FINISH_H
#define LORT_COMPRESS_CLI_UI_FINISH_H

#include "compress/cli/ui/options.h"

/* The end of every command: JSON where asked for (also when a quality limit was missed), the error
 * on stderr. Frees the report. */
int lort_cli_finish(const lort_cli_values *values, lort_report *report, lort_code code,
                    const lort_error *err);
/* False when --json - claims standard output for itself. */
bool lort_cli_prints(const lort_cli_values *values);
/* True once SIGINT, SIGTERM or SIGHUP came: the `stop` of every observer, whose ctx is a
 * lort_progress. Says how far things are if SIGUSR1 asked for it. */
bool lort_cli_stopped(void *progress);
/* Installs the handlers: the first SIGINT, SIGTERM or SIGHUP asks to stop, the second one has its
 * default effect. */
void lort_cli_set_signals(void);

#endif
