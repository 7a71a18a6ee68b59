/* table: prints the commands and their options as JSON, for programs that run lort. */
#ifndef LORT_COMPRESS_CLI_TABLE_H
#define LORT_COMPRESS_CLI_TABLE_H

#include "compress/cli/ui/options.h"

/* Prints docs/lort.1, "HELP AS JSON", to stdout. */
void lort_cli_print_table(const lort_cli_command *commands, size_t count);

#endif
