/* part: the part that is being written: from the outcomes of its slices to the terms and errors of
 * its record. */
#ifndef LORT_COMPRESS_WRITE_PART_H
#define LORT_COMPRESS_WRITE_PART_H

#include "compress/slice/outcome.h"
#include "formats/container/container.h"

#define LORT_FACTOR_TERMS 9 /* one per pair of storage types */
#define LORT_DRAFT_TERMS (LORT_FACTOR_TERMS + 4)

typedef struct lort_part_draft {
    uint64_t extent;
    const lort_tensor_plan *planned;
    const lort_dtype_info *type; /* type of the stored elements; raw parts: U8 */
    uint32_t file;
    uint64_t offset, bytes; /* in the input file */
    uint32_t slices;
    lort_hasher *hasher;
    uint64_t start; /* where the payload begins in the output */
    /* [LORT_DRAFT_TERMS][slices]. Row 0 is for RAW, row 1 for INTEGERS or TERNARY, row 2 for
     * OUTLIERS, the last for BASE, the others for FACTORS. */
    uint32_t *ranks;
    int32_t *exponents; /* [slices] */
    float *steps;       /* [slices] */
    lort_dtype pair[LORT_FACTOR_TERMS][2];
    unsigned pairs;
    bool any_raw, any_blocks, any_base, undefined;
    lort_base_tensor base; /* any_base: what the record says of it */
    bool ternary;          /* the blocks are trits; a run makes either integers or trits */
    uint64_t lossless;     /* bytes of the lossless forms of all slices, one by one */
    double norm2, error2, seconds;
    double source2;   /* of a difference: the square of the weights; norm2 is that of the update */
    double worst_row; /* the largest relative error of a row; 0: not known */
    uint64_t outliers;
    double outlier_energy;    /* part of norm2 */
    lort_weighed norm, error; /* of a tensor with importances or a covariance */
    double loss, damping;     /* with a covariance: tr(E H E'), and the most damping of H */
    int64_t top_rank;
    uint32_t passes;        /* of the slice with the most readings */
    lort_spectrum spectrum; /* of the first slice that has one */
    uint32_t kept;
    lort_reason reason; /* of the first kept slice */
    char detail[120];
} lort_part_draft;

/* Notes the exponent of a slice's factors, and their rank in the row of their pair of types. */
void lort_part_draft_factors(lort_part_draft *part, uint32_t slice, const lort_outcome *outcome);
/* Notes that a slice is a difference, if the plan has a tensor of the base. */
void lort_part_draft_base(lort_part_draft *part, uint32_t slice);
/* Fills the terms of the record, at most LORT_DRAFT_TERMS. */
void lort_part_draft_terms(lort_part_draft *part, lort_term *terms, uint32_t *count);
/* The relative error over all slices. 0 if all slices are kept; NaN if the norm is unknown, zero or
 * not finite. */
double lort_part_draft_error(const lort_part_draft *part);
/* The error of a difference relative to the difference itself; NaN: there is none. */
double lort_part_draft_error_update(const lort_part_draft *part);
/* Likewise over the weights that are no outliers. NaN if there are no outliers. */
double lort_part_draft_error_rest(const lort_part_draft *part);
/* Likewise, weighed by importance. NaN if no importance of the columns is known. */
double lort_part_draft_weighed_error(const lort_part_draft *part);

#endif
