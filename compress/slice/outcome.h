/* outcome: what one slice became, and the steps that lead there: keep it, give it factors, encode
 * arrays. */
#ifndef LORT_COMPRESS_SLICE_OUTCOME_H
#define LORT_COMPRESS_SLICE_OUTCOME_H

#include "compress/slice/held.h"
#include "compress/slice/slice.h"

typedef enum lort_outcome_kind {
    LORT_OUTCOME_KEPT,     /* losslessly: also what a slice is as long as nothing better is found */
    LORT_OUTCOME_FACTORED, /* as the factors of `product` alone */
    /* as integers of `step`, beside factors where product.rank > 0; blocks that are not held are
       encoded when they are written */
    LORT_OUTCOME_CODED,
    LORT_OUTCOME_TERNARY /* as trits under `scales`, beside factors where product.rank > 0 */
} lort_outcome_kind;

/* What the slice became. Everything is owned by the outcome; lort_outcome_free accepts zeroed ones.
 */
typedef struct lort_outcome {
    lort_outcome_kind kind;
    lort_reason reason; /* why it is kept; NONE when it is not, or nothing is known yet */
    char detail[120];   /* figures behind the reason, or "" */
    bool has_norm;
    double norm2, error2; /* ||W||_F^2 and ||W - W'||_F^2 in the weights' own units */
    /* with importances: the same, and weighed by them; norm2 = norm.plain then, error2 =
     * error.plain */
    lort_weighed norm, error;
    /* f32 copies of the factors as stored, owned, where they are needed once more; rank 0: no
     * factors */
    lort_product product;
    uint64_t left_bytes, right_bytes; /* of the copies */
    lort_dtype left, right;           /* types of the factors as stored */
    float step;
    double mean2;  /* coded: mean square of what the integers stand for */
    float *scales; /* ternary: of the rows */
    uint64_t scale_bytes;
    /* coded: of the rows, then of the columns, then of their scales if the step's are scaled */
    uint8_t *codes;
    uint64_t code_count;
    uint64_t lossless, estimate; /* estimated bytes of the lossless form; of the coded one */
    lort_held held;              /* coded: the blocks, where they could be held */
    lort_buffer coded;           /* the encoded chunks of factors or codes, one behind the other */
    lort_chunk *chunks;          /* their descriptions, offsets from the start of `coded` */
    uint64_t chunk_room;
    uint64_t chunk_count;
    uint32_t passes; /* whole readings of the slice that led here */
    double seconds;
} lort_outcome;

/* True if blocks follow: of integers or of trits. */
static inline bool lort_outcome_has_blocks(const lort_outcome *outcome)
{
    return outcome->kind == LORT_OUTCOME_CODED || outcome->kind == LORT_OUTCOME_TERNARY;
}
static inline bool lort_outcome_has_factors(const lort_outcome *outcome)
{
    return outcome->product.rank > 0;
}

/* What a reader will decode of the factors: f32 copies in out->product, of which the rank is set by
 * note. */
lort_code lort_outcome_copy_factors(const lort_alloc *alloc, const lort_factors *factors,
                                    lort_outcome *out, lort_error *err);
/* Encodes factors into the outcome. */
lort_code lort_outcome_encode_factors(lort_session *session, unsigned worker, uint32_t slice,
                                      const lort_factors *factors, lort_outcome *out,
                                      lort_error *err);
/* FACTORED, with the figures of these factors. */
void lort_outcome_note_factors(const lort_factors *factors, lort_outcome *out);
/* KEPT: factors and blocks go; norms and the reason stay. */
void lort_outcome_drop_factors(lort_outcome *out, const lort_alloc *alloc);
/* What lort_factor says of a matrix it did not factor: the norm, and the reason why the slice is
 * kept. weighed: norms are of scaled columns, and not taken over. */
void lort_outcome_judge(const lort_factors *factors, const lort_target *target, bool weighed,
                        lort_outcome *out);
/* Appends an array as chunks to out->coded. out->chunks has room. */
lort_code lort_outcome_encode(lort_session *session, unsigned worker, lort_array array,
                              uint32_t slice, lort_dtype dtype, const uint8_t *bytes, uint64_t size,
                              lort_outcome *out, lort_error *err);
/* Takes room for the chunks of arrays of this many bytes together (each array one more than it
 * fills). */
lort_code lort_outcome_room(lort_session *session, uint64_t bytes, unsigned arrays,
                            lort_outcome *out, lort_error *err);
void lort_outcome_free(lort_outcome *outcome, const lort_alloc *alloc);
/* The slice is to be kept, and why; larger: `bytes` is what it would have come to. LORT_OK. */
lort_code lort_outcome_keep(lort_outcome *out, lort_reason reason);
lort_code lort_outcome_keep_larger(lort_outcome *out, lort_reason reason, uint64_t bytes);
/* A weight is NaN or Inf: the slice is kept, and read again up to the first of them, whose place is
 * the detail. The worker's block space is used. */
lort_code lort_slice_keep_nonfinite(lort_slice_source *source, unsigned worker, lort_outcome *out,
                                    lort_error *err);
/* Factors of a matrix of the slice's shape: encoded, and their f32 copies; FACTORED. A target out
 * of reach leaves the outcome as it was. */
lort_code lort_outcome_factor(lort_slice_source *source, const lort_matrix_source *matrix,
                              uint32_t slice, const lort_target *target, lort_work work,
                              lort_outcome *out, lort_error *err);

#endif
