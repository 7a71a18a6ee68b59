/* part: the part that is being written, from its slices to the terms and errors of its record. */
#ifndef LORT_COMPRESS_WRITE_PART_H
#define LORT_COMPRESS_WRITE_PART_H

#include "compress/slice/outcome.h"
#include "formats/container/container.h"

#define LORT_FACTOR_TERMS 9 /* one per pair of storage types */

/* The part that is being written. */
typedef struct lort_part_draft {
    uint64_t extent;
    const lort_tensor_plan *planned;
    const lort_dtype_info *type; /* of the stored elements; raw parts: U8 */
    uint32_t file;
    uint64_t offset, bytes; /* in the input file */
    uint32_t slices;
    lort_hasher *hasher;
    uint64_t start; /* of the payload in the output */
    /* [LORT_FACTOR_TERMS + 2][slices]; the first rows are those of raw, and of quantised or ternary
     */
    uint32_t *ranks;
    int32_t *exponents; /* [slices] */
    float *steps;       /* [slices] */
    lort_dtype pair[LORT_FACTOR_TERMS][2];
    unsigned pairs;
    bool any_raw, any_blocks, undefined;
    bool ternary; /* the integers are trits; one run makes either */
    double norm2, error2, seconds;
    lort_weighed norm, error; /* of a step with importances */
    int64_t top_rank;
    uint32_t passes; /* of the slice that was read most often */
    uint32_t kept;
    lort_reason reason; /* of the first kept slice */
    char detail[120];
} lort_part_draft;

/* Notes the factors of a slice: their rank, in the row of their pair of types, and their exponent.
 */
void lort_part_draft_factors(lort_part_draft *part, uint32_t slice, const lort_outcome *outcome);
/* The terms of the record, at most LORT_FACTOR_TERMS + 2. */
void lort_part_draft_terms(lort_part_draft *part, lort_term *terms, uint32_t *count);
/* Relative error over all slices: zero where everything is raw, NaN for mixtures with NaN or
 * without a norm. */
double lort_part_draft_error(const lort_part_draft *part);
/* The same, weighed by importance; NaN where nothing is known of the columns. */
double lort_part_draft_weighed_error(const lort_part_draft *part);

#endif
