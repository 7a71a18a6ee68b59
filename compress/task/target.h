/* target: whether an output fits the size that was asked for. One process asks when it has written,
 * and lort merge when it has all parts: both must come to one answer. */
#ifndef LORT_COMPRESS_TASK_TARGET_H
#define LORT_COMPRESS_TASK_TARGET_H

#include "formats/base/error.h"
#include <stdint.h>

typedef struct lort_size_target {
    uint64_t size_limit; /* of the file; 0: none */
    double bpw_limit;    /* bits per weight; 0: none */
    double elements;     /* of the tensors that count in bits per weight */
} lort_size_target;

/* Bits per weight of `counted` bytes; NaN: no elements. */
double lort_target_bpw(const lort_size_target *target, double counted);
/* Fails with LORT_E_NUMERIC if an output of `bytes` bytes, of which `counted` count in bits per
 * weight, is larger than its target. *over: the bytes too many; 0: it fits. */
lort_code lort_target_check(const lort_size_target *target, uint64_t bytes, double counted,
                            uint64_t *over, lort_error *err);
/* The bytes that the shares of the next attempt leave unused: a quarter more than this one had too
 * much. reserve: of this attempt. */
uint64_t lort_target_reserve(uint64_t reserve, uint64_t over);

#endif
