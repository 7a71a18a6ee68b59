/* summary: what a run says before and after, as aligned text from a report. Prints only; decides
 * nothing. */
#ifndef LORT_COMPRESS_CLI_UI_SUMMARY_H
#define LORT_COMPRESS_CLI_UI_SUMMARY_H

#include "compress/lort.h"
#include <stdio.h>

/* Input, mode and why, every memory source with the binding one marked, budget, planned peak,
 * threads, expected output.
 */
void lort_cli_print_start(FILE *out, const lort_report *report);
/* Output, errors, what was factored and what was kept why, time, memory, and all warnings again. */
void lort_cli_print_end(FILE *out, const lort_report *report);
/* How many matrices an importance matrix knows; nothing without one. */
void lort_cli_print_importance(FILE *out, const lort_report *report);
/* "factored 12 of 38 tensors" and the kept ones by reason, most frequent first. */
void lort_cli_print_actions(FILE *out, const lort_report *report);
void lort_cli_print_warnings(FILE *out, const lort_report *report);
/* One line: what became of a tensor. */
void lort_cli_print_tensor(FILE *out, const lort_tensor_report *tensor);
/* "256x768" into out. */
const char *lort_cli_shape(const lort_tensor_report *tensor, char *out, size_t cap);
/* "0.0432", "1.2e-09" or "-" where it is undefined. */
const char *lort_cli_number(double v, char *out, size_t cap);
/* "3.2 s", "1:02:03". */
const char *lort_cli_seconds(double seconds, char *out, size_t cap);

#endif
