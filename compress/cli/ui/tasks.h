/* tasks: which task a process is: as --task says, or as the scheduler that started it says. */
#ifndef LORT_COMPRESS_CLI_UI_TASKS_H
#define LORT_COMPRESS_CLI_UI_TASKS_H

#include "compress/cli/ui/options.h"

/* Sets task and tasks of the options from --task I/N, or from --task auto and the environment. With
 * auto it says on stderr which variable it took, unless --quiet. Does nothing without --task.
 * On failure: LORT_E_USAGE. */
lort_code lort_cli_choose_task(const lort_cli_values *values, lort_options *options,
                               lort_error *err);

#endif
