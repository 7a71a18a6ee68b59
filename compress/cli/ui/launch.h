/* launch: the lines that submit the tasks of a model to a launcher, as shell scripts. */
#ifndef LORT_COMPRESS_CLI_UI_LAUNCH_H
#define LORT_COMPRESS_CLI_UI_LAUNCH_H

#include "compress/cli/ui/options.h"

/* Prints the lines for the launcher of --for, or a short form for each, to stdout. values: those of
 * plan, whose options that decide the work are handed on to compress. The lines run unchanged in a
 * directory that all tasks share. */
void lort_cli_print_launch(const lort_cli_values *values, const lort_report *report);

#endif
