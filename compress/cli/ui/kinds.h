/* kinds: prints a table of the kinds of tensors. A row has the number of tensors, bits per weight,
 * mean error, and the part of the output that they take. */
#ifndef LORT_COMPRESS_CLI_UI_KINDS_H
#define LORT_COMPRESS_CLI_UI_KINDS_H

#include "compress/lort.h"
#include <stdio.h>

/* Prints nothing if every tensor was kept, or if no output was written. */
void lort_cli_print_kinds(FILE *out, const lort_report *report);

#endif
