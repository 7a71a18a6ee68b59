/* outcome: the outcome of one slice, and the operations that build it: keep the slice, give it
 * factors, encode arrays. */
#ifndef LORT_COMPRESS_SLICE_OUTCOME_H
#define LORT_COMPRESS_SLICE_OUTCOME_H

#include "compress/slice/held.h"
#include "compress/slice/slice.h"

typedef enum lort_outcome_kind {
    LORT_OUTCOME_KEPT,     /* losslessly; a new outcome is this until LoRT finds something better */
    LORT_OUTCOME_FACTORED, /* as the factors of `product` alone */
    /* As integers of `step`, beside factors where product.rank > 0. Blocks that are not held are
     * encoded when they are written. */
    LORT_OUTCOME_CODED,
    LORT_OUTCOME_TERNARY /* as trits under `scales`, beside factors where product.rank > 0 */
} lort_outcome_kind;

/* The outcome of one slice. It owns all its memory. lort_outcome_free accepts a zeroed one. */
typedef struct lort_outcome {
    lort_outcome_kind kind;
    lort_reason reason; /* why it is kept; NONE: it is not kept, or undecided */
    char detail[120];   /* figures behind the reason, or "" */
    bool has_norm;
    double norm2, error2; /* ||W||_F^2 and ||W - W'||_F^2 in the weights' own units */
    /* With importances: the same two, plain and weighed. Then norm2 = norm.plain and error2 =
     * error.plain. */
    lort_weighed norm, error;
    /* With a covariance: the mean of the diagonal of H, and the damping that it needed. */
    double input_mean, damping;
    /* f32 copies of the factors as stored, where later steps need them. rank 0: no factors. */
    lort_product product;
    uint64_t left_bytes, right_bytes; /* of the copies */
    lort_dtype left, right;           /* types of the factors as stored */
    float step;
    double mean2;  /* coded: mean square of what the integers code */
    float *scales; /* ternary: of the rows */
    uint64_t scale_bytes;
    /* coded: of the rows, then of the columns, then of the columns' scales if the plan scales
     * them. */
    uint8_t *codes;
    uint64_t code_count;
    /* Bytes of the lossless form (measured or scaled up), and estimated bytes of the coded form. */
    uint64_t lossless, estimate;
    lort_held held;         /* coded: the blocks, where they could be held */
    lort_outliers outliers; /* not kept: norms and errors are those of the other weights */
    /* The encoded chunks of factors, codes or scales, then of outliers, one behind the other. */
    lort_buffer coded;
    /* The descriptions of the chunks. Offsets are from the start of `coded`. */
    lort_chunk *chunks;
    uint64_t chunk_room;
    uint64_t chunk_count;
    uint32_t passes;        /* whole readings of the slice */
    lort_spectrum spectrum; /* for the report alone */
    double seconds;
} lort_outcome;

/* True if blocks follow, of integers or of trits. */
static inline bool lort_outcome_has_blocks(const lort_outcome *outcome)
{
    return outcome->kind == LORT_OUTCOME_CODED || outcome->kind == LORT_OUTCOME_TERNARY;
}
static inline bool lort_outcome_has_factors(const lort_outcome *outcome)
{
    return outcome->product.rank > 0;
}

/* Decodes stored factors to f32, as a reader does, into out->product. lort_outcome_note_factors
 * sets the rank. */
lort_code lort_outcome_copy_factors(const lort_alloc *alloc, const lort_factors *factors,
                                    lort_outcome *out, lort_error *err);
/* Encodes the factors into out->coded. */
lort_code lort_outcome_encode_factors(lort_session *session, unsigned worker, uint32_t slice,
                                      const lort_factors *factors, lort_outcome *out,
                                      lort_error *err);
/* Makes the outcome FACTORED, with the figures of these factors. */
void lort_outcome_note_factors(const lort_factors *factors, lort_outcome *out);
/* Frees factors and blocks and makes the outcome KEPT. Norms, reason and detail stay. */
void lort_outcome_drop_factors(lort_outcome *out, const lort_alloc *alloc);
/* Notes what lort_factor found: the norm, and for a matrix that was not factored the reason.
 * weighed: the norms in `factors` are of scaled columns, so LoRT does not take them over. */
void lort_outcome_judge(const lort_factors *factors, const lort_target *target, bool weighed,
                        lort_outcome *out);
/* Encodes an array as chunks and appends them to out->coded. out->coded.alloc must be set, as
 * lort_outcome_room does. */
lort_code lort_outcome_encode(lort_session *session, unsigned worker, lort_array array,
                              uint32_t slice, lort_dtype dtype, const uint8_t *bytes, uint64_t size,
                              lort_outcome *out, lort_error *err);
/* Makes room for the chunks of `arrays` arrays that have `bytes` bytes together. Each array may
 * need one chunk more than it fills. */
lort_code lort_outcome_room(lort_session *session, uint64_t bytes, unsigned arrays,
                            lort_outcome *out, lort_error *err);
/* Frees everything, and leaves a zeroed outcome. */
void lort_outcome_free(lort_outcome *outcome, const lort_alloc *alloc);
/* Makes the outcome KEPT for this reason. `bytes` is the size that was too large; it goes into the
 * detail. Both return LORT_OK. */
lort_code lort_outcome_keep(lort_outcome *out, lort_reason reason);
lort_code lort_outcome_keep_larger(lort_outcome *out, lort_reason reason, uint64_t bytes);
/* Keeps a slice that has a NaN or Inf. Reads the slice again up to the first one, and puts its
 * place into the detail. Uses the block space of the worker. */
lort_code lort_slice_keep_nonfinite(lort_slice_source *source, unsigned worker, lort_outcome *out,
                                    lort_error *err);
/* Factors a matrix of the slice's shape, encodes the factors and copies them as f32. The outcome
 * becomes FACTORED. If the target is out of reach the outcome stays as it is. */
lort_code lort_outcome_factor(lort_slice_source *source, const lort_matrix_source *matrix,
                              uint32_t slice, const lort_target *target, lort_work work,
                              lort_outcome *out, lort_error *err);

#endif
