/* completion: prints what a shell needs to complete the words of a command line of lort. */
#ifndef LORT_COMPRESS_CLI_COMPLETION_H
#define LORT_COMPRESS_CLI_COMPLETION_H

#include "compress/cli/ui/options.h"

/* Prints a script for "bash", "zsh" or "fish" to stdout, made from the rows of the commands.
 * shell: NULL if it was not given. On failure: LORT_E_USAGE, and nothing is printed. */
lort_code lort_cli_print_completion(const char *shell, const lort_cli_command *commands,
                                    size_t count, lort_error *err);

#endif
