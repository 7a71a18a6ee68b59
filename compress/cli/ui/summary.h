/* summary: the aligned text that a run prints before and after its work, from a report. It only
 * prints. */
#ifndef LORT_COMPRESS_CLI_UI_SUMMARY_H
#define LORT_COMPRESS_CLI_UI_SUMMARY_H

#include "compress/lort.h"
#include <stdio.h>

/* The start block: input, mode and its reason, every memory source with a mark at the binding one,
 * budget, planned peak, threads, expected output. */
void lort_cli_print_start(FILE *out, const lort_report *report);
/* The end block: output, errors, factored and coded tensors, kept tensors by reason, kinds, time
 * and memory. */
void lort_cli_print_end(FILE *out, const lort_report *report);
/* The number of matrices whose importance is known. Prints nothing without an importance matrix. */
void lort_cli_print_importance(FILE *out, const lort_report *report);
/* "factored 12 of 38 tensors", and the kept tensors by reason, the most frequent reason first. */
void lort_cli_print_actions(FILE *out, const lort_report *report);
/* One line with the action and the figures of a tensor. */
void lort_cli_print_tensor(FILE *out, const lort_tensor_report *tensor);
/* Writes "256x768" into out and returns out. */
const char *lort_cli_shape(const lort_tensor_report *tensor, char *out, size_t cap);
/* Writes "0.0432" or "1.2e-09" into out, or "-" for NaN, and returns out. */
const char *lort_cli_number(double v, char *out, size_t cap);
/* Writes "3.2 s", "2:05 min" or "1:02:03 h" into out and returns out. */
const char *lort_cli_seconds(double seconds, char *out, size_t cap);

#endif
