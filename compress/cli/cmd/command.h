/* command: the commands of lort and what they share. A command is one row in main.c and one
 * cmd_*.c. */
#ifndef LORT_COMPRESS_CLI_CMD_COMMAND_H
#define LORT_COMPRESS_CLI_CMD_COMMAND_H

#include "compress/cli/ui/finish.h"
#include "compress/cli/ui/options.h"
#include "compress/cli/ui/progress.h"

/* Each runs its command on parsed values, prints what there is to print, and gives the exit code.
 */
int lort_cmd_compress(const lort_cli_values *values);
int lort_cmd_plan(const lort_cli_values *values);
int lort_cmd_inspect(const lort_cli_values *values);
int lort_cmd_verify(const lort_cli_values *values);
int lort_cmd_restore(const lort_cli_values *values);
int lort_cmd_compare(const lort_cli_values *values);

#endif
