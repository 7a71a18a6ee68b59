/* decide_parts: what decide.c, quantise.c, alternate.c and emit.c share; nobody else includes it. */
#ifndef LORT_COMPRESS_DECIDE_PARTS_H
#define LORT_COMPRESS_DECIDE_PARTS_H

#include "compress/slice/decide.h"

typedef struct lort_slice_source { /* the slice as a matrix */
    const lort_decider *decider;
    const lort_tensor_plan *step;
    uint64_t base; /* of the slice in its file */
    uint64_t row_bytes;
    bool unmapped;
    const lort_outcome *factors; /* not NULL: what they hold is taken off by lort_slice_block */
    lort_weighting weighting;    /* by the step's importances */
    const uint8_t *scales;       /* codes of the columns' scales, [cols]; not NULL: lort_slice_block applies them */
    uint32_t passes;             /* whole readings so far; samples are none */
    bool exact;                  /* the estimate of a quantised slice is to be its size, not that of a sample */
} lort_slice_source;

lort_slice_source lort_slice_source_of(const lort_decider *decider, const lort_tensor_plan *step, uint32_t slice);
/* A lort_tile_fn; ctx is the source. */
lort_code lort_slice_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0, int64_t c1, float *dst, const float **out, int64_t *ld,
                          lort_error *err);
lort_matrix_source lort_slice_matrix(lort_slice_source *source);
/* Rows [place->row, + rows) of a block, dense, less the factors, columns scaled. spare: as large as the block. rows: a multiple of LORT_DECODE_ROWS, or all of the block. */
lort_code lort_slice_block(lort_slice_source *source, unsigned worker, const lort_block_place *place, int64_t rows, float *dst, float *spare, lort_error *err);
/* weigh.c: norms of the slice, plain and weighed, into out->norm; and of what the factors leave, where source->factors are set, into *left (may be NULL). */
lort_code lort_slice_weigh(lort_slice_source *source, unsigned worker, lort_pool *pool, lort_outcome *out, lort_weighed *left, lort_error *err);
/* Appends an array as chunks to out->coded. out->chunks has room. */
lort_code lort_outcome_encode(lort_session *session, unsigned worker, lort_array array, uint32_t slice, lort_dtype dtype, const uint8_t *bytes,
                              uint64_t size, lort_outcome *out, lort_error *err);
/* The slice is to be kept, and why; larger: `bytes` is what it would have come to. LORT_OK. */
lort_code lort_outcome_keep(lort_outcome *out, const char *reason);
lort_code lort_outcome_keep_larger(lort_outcome *out, const char *reason, uint64_t bytes);
/* A weight is NaN or Inf: the slice is kept, and read again up to the first of them, whose place is the detail. The worker's block space is used. */
lort_code lort_slice_keep_nonfinite(lort_slice_source *source, unsigned worker, lort_outcome *out, lort_error *err);
/* Takes room for the chunks of arrays of this many bytes together (each array one more than it fills). */
lort_code lort_outcome_room(lort_session *session, uint64_t bytes, unsigned arrays, lort_outcome *out, lort_error *err);

/* Factors of a matrix of the slice's shape: encoded, and their f32 copies; out->factored. A target out of reach leaves the outcome as it was. */
lort_code lort_outcome_factor(lort_slice_source *source, const lort_matrix_source *matrix, uint32_t slice, const lort_target *target, unsigned worker,
                              lort_pool *pool, lort_outcome *out, lort_error *err);

/* Bytes of a run of input stored losslessly, measured on `most` evenly spaced chunks at most and scaled up; exact when that is all of them. */
lort_code lort_raw_size(const lort_decider *decider, unsigned worker, lort_pool *pool, const lort_dtype_info *type, const lort_range *range, uint64_t most,
                        uint64_t *bytes, lort_error *err);
lort_code lort_slice_raw_size(const lort_slice_source *source, unsigned worker, lort_pool *pool, uint64_t most, uint64_t *bytes, lort_error *err);

/* What a slice would cost as integers beside the components that pay, at relative errors 2^-1, 2^-2, ...: measured on its middle block. */
#define LORT_CURVE_POINTS 8
#define LORT_CURVE_OUT_OF_REACH 1e5 /* bits per weight of a point where no step is that integers may have: more than any lossless form */
typedef struct lort_curve {
    bool raw; /* it can only be kept */
    uint64_t weights, codes, lossless; /* codes, lossless: bytes */
    double bits[LORT_CURVE_POINTS];    /* per weight, beside the codes: blocks and factors; not falling */
    bool only[LORT_CURVE_POINTS];      /* components do it all there */
    double rank_bytes[LORT_CURVE_POINTS]; /* of a component; 0: none pay */
} lort_curve;
lort_code lort_decide_curve(const lort_decider *decider, const lort_tensor_plan *step, uint32_t slice, unsigned worker, lort_pool *pool, lort_curve *curve,
                            lort_error *err);
/* quantise.c: all but the points, and points [first, end) with source->factors. */
lort_code lort_curve_start(lort_slice_source *source, unsigned worker, lort_pool *pool, lort_curve *curve, lort_error *err);
lort_code lort_quantise_curve(lort_slice_source *source, unsigned first, unsigned end, unsigned worker, lort_pool *pool, lort_curve *curve, lort_error *err);

/* quantise.c: fits codes and step so that the relative error is at most `target`, or, with a share, its payload is nearly and at most so many bytes;
 * out->quantised, or the reason why it is kept. Neither: out->factored, and the factors do, or leave no room in the share. */
lort_code lort_quantise_slice(lort_slice_source *source, uint32_t slice, double target, const lort_share *share, unsigned worker, lort_pool *pool,
                              lort_outcome *out, lort_error *err);

/* A whole block of the slice, less the factors, as integers of `step` under codes [rows + cols]: coded into the worker's space, whose weights are the block's and whose
 * decoded is what a reader gets. mean2: of the slice. */
lort_code lort_quantise_encode(lort_slice_source *source, unsigned worker, const lort_block_place *place, const uint8_t *codes, double mean2, float step,
                               lort_block_coded *out, lort_error *err);

/* alternate.c: finds scales and factors; out->ternary, or the reason why the slice is kept. */
lort_code lort_ternary_slice(lort_slice_source *source, uint32_t slice, uint64_t key, unsigned worker, lort_pool *pool, lort_outcome *out, lort_error *err);
/* A whole block of the slice, less the factors, as trits under the rows' scales: in the worker's space, as above. */
lort_code lort_ternary_encode(lort_slice_source *source, unsigned worker, const lort_block_place *place, const float *scales, lort_block_coded *out,
                              lort_error *err);

#endif
