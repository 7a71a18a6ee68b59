/* kinds: a table by what tensors are for - how many, bits per weight, mean error, share of the
 * output. */
#ifndef LORT_COMPRESS_CLI_UI_KINDS_H
#define LORT_COMPRESS_CLI_UI_KINDS_H

#include "compress/lort.h"
#include <stdio.h>

/* Nothing where all was kept or nothing was written. */
void lort_cli_print_kinds(FILE *out, const lort_report *report);

#endif
