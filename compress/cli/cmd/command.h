/* command: the commands of lort. Each has one row in main.c and one file here. The room prints what
 * the library found. It must not include any header of the library but lort.h. */
#ifndef LORT_COMPRESS_CLI_CMD_COMMAND_H
#define LORT_COMPRESS_CLI_CMD_COMMAND_H

#include "compress/cli/ui/finish.h"
#include "compress/cli/ui/options.h"
#include "compress/cli/ui/progress.h"

/* Runs a command on parsed values and prints its result. Returns the exit code. */
int lort_cmd_compress(const lort_cli_values *values);
int lort_cmd_plan(const lort_cli_values *values);
int lort_cmd_merge(const lort_cli_values *values);
int lort_cmd_inspect(const lort_cli_values *values);
int lort_cmd_verify(const lort_cli_values *values);
int lort_cmd_restore(const lort_cli_values *values);
int lort_cmd_compare(const lort_cli_values *values);
int lort_cmd_quantize(const lort_cli_values *values);
int lort_cmd_run(const lort_cli_values *values);
int lort_cmd_extract_lora(const lort_cli_values *values);
int lort_cmd_report(const lort_cli_values *values);

#endif
