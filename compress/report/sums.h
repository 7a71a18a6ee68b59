/* sums: what a report tells of kinds and layers. The room compress/report turns reports into texts:
 * JSON of a run, and pages of the JSON of runs. It must not change a figure, or print. */
#ifndef LORT_COMPRESS_REPORT_SUMS_H
#define LORT_COMPRESS_REPORT_SUMS_H

#include "compress/lort.h"

#define LORT_KINDS_MOST 32 /* more than compress/goal/kinds.c has */

/* Sums over the tensors of one kind. */
typedef struct lort_kind_sums {
    const char *kind;
    uint64_t tensors, elements, bytes_in, bytes_out;
    double bits;                    /* 8 x bytes_out / elements; NaN: unknown */
    double worst_error, mean_error; /* of the tensors with an error; NaN: none */
} lort_kind_sums;

/* The number of the layer in the name of a tensor: the first part between dots or slashes that has
 * digits only. -1: none. */
int64_t lort_layer_of(const char *name);
/* Elements of a tensor. Those of a tensor with the bytes of another one count there, so it has
 * none. */
uint64_t lort_report_own_elements(const lort_tensor_report *tensor);
/* Bits of the output per element; NaN: unknown, or none. */
double lort_report_bits(const lort_tensor_report *tensor);
/* Fills sums[LORT_KINDS_MOST] and returns the number of kinds that the report has. */
unsigned lort_sum_kinds(const lort_report *report, lort_kind_sums *sums);

#endif
