/* slice: one slice of a tensor as a matrix. It is read tile by tile or block by block, less its
 * factors, with its rows and columns scaled. */
#ifndef LORT_COMPRESS_SLICE_SLICE_H
#define LORT_COMPRESS_SLICE_SLICE_H

#include "compress/coder/block.h"
#include "compress/covariance/factored.h"
#include "compress/factor/cells.h"
#include "compress/factor/factor.h"
#include "compress/session/session.h"
#include "compress/slice/tensor_plan.h"
#include "loader/model/model.h"

/* Ticks (compress/session/meter.h) of a weight: read as part of a tile, measured by the trellis,
 * coded into bytes. They are nanoseconds of a core (compress/write/jobs.c). */
#define LORT_TICKS_READ 1
#define LORT_TICKS_MEASURE 9
#define LORT_TICKS_ENCODE 14

typedef struct lort_decider {
    lort_session *session;
    lort_model *model;
    const lort_options *options;
    struct lort_journal *journal; /* notes finished work; NULL: no journal */
    const char *output;           /* of a task: the container that all tasks make; else NULL */
} lort_decider;

/* The place of a job's bytes: of a slice, or of the whole extent if its slices are not tried. */
typedef struct lort_range {
    uint32_t file;
    uint64_t offset, bytes;
} lort_range;

/* Weights that are stored exactly (compress/slice/outliers.h), in row-major order. */
typedef struct lort_outliers {
    /* [count]: row * cols + column, ascending; and the values. One block of memory. */
    uint64_t *places;
    float *values;
    uint64_t count, room;
    uint64_t stored; /* bytes in the container */
    double energy;   /* sum of their squares */
    /* There are too many to be stored so. A step for them would be too coarse for the others. */
    bool crowded;
} lort_outliers;
/* Accepts a zeroed one. */
void lort_outliers_free(lort_outliers *outliers, const lort_alloc *alloc);

typedef struct lort_slice_source {
    const lort_decider *decider;
    const lort_tensor_plan *planned;
    uint64_t base; /* of the slice in its file */
    uint64_t row_bytes;
    /* Some file is not mapped: reads go through the scratch of the worker. */
    bool unmapped;
    const lort_product *factors; /* NULL, or the factors that lort_slice_block subtracts */
    lort_weighting weighting;    /* by the importances of the tensor */
    lort_scales scales;          /* lort_slice_block applies them */
    /* Of the tensor's covariance; NULL: none. lort_slice_feedback has that of a block. */
    const lort_factored *factored;
    /* Every read has zeros in their places. NULL: none. */
    const lort_outliers *outliers;
    /* What a target size gives the slice beside its outliers; NULL: no size. */
    const lort_share *share;
    uint32_t passes; /* whole readings so far; samples do not count */
    /* The estimate of a coded slice must be its exact size, not that of a sample. */
    bool exact;
    lort_spectrum spectrum; /* the longest that was found on the way; count 0: none */
} lort_slice_source;

/* Notes what a factorisation of the slice found, if no longer spectrum is known. */
void lort_slice_note_spectrum(lort_slice_source *source, const lort_factors *factors);

/* Squares of the rows of a block, and of the errors of their decoded values, in the weights' own
 * units. */
typedef struct lort_row_sum {
    double norm2, error2;
} lort_row_sum;
/* Fills sums[0, rows) with a step of `stride`. weights, decoded: [rows][cols] of the block. */
void lort_slice_row_sums(const lort_slice_source *source, const lort_block_place *place,
                         const float *weights, const float *decoded, int64_t stride,
                         lort_row_sum *sums);
/* True if errors are summed in the weights' own units beside the units that the integers code, or
 * of rounded sums (rounded.h). */
static inline bool lort_slice_weighs(const lort_slice_source *source)
{
    return source->weighting.on || source->planned->scaled & LORT_SCALING_ROWS ||
           source->planned->base;
}

/* The feedback of a block; NULL: its errors do not go on. */
const lort_feedback *lort_slice_feedback(const lort_slice_source *source,
                                         const lort_block_place *place);
/* Reads the covariance of the source's tensor into *factored, if it has one, and lets the source
 * refer to it. Free it with lort_factored_free. On failure: as lort_factored_load. */
lort_code lort_slice_take_factored(lort_slice_source *source, uint32_t slice,
                                   lort_factored *factored, lort_error *err);

/* The stored bytes of one slice, which bound its lossless form. */
uint64_t lort_slice_bytes(const lort_tensor_plan *planned);
/* The place of slice `slice` of a candidate, or of all of extent `extent` of another tensor or of
 * raw bytes. */
lort_range lort_slice_range(const lort_decider *decider, const lort_tensor_plan *planned,
                            uint64_t extent, uint32_t slice);
/* A source for one slice of a candidate, without factors and without scales. It owns nothing. */
lort_slice_source lort_slice_source_of(const lort_decider *decider, const lort_tensor_plan *planned,
                                       uint32_t slice);
/* A lort_tile_fn: ctx is the source. Rows [r0, r1) x columns [c0, c1) as f32, in dst or directly in
 * the file's memory. Returns LORT_E_STOPPED when the run must stop, since a slice may take
 * hours. */
lort_code lort_slice_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                          int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err);
/* Reads rows [place->row, + rows) of a block into dst, dense, less the factors and
 * scaled. rows: at most those of the block. spare: room as large as dst. */
lort_code lort_slice_block(lort_slice_source *source, unsigned worker,
                           const lort_block_place *place, int64_t rows, float *dst, float *spare,
                           lort_error *err);
/* The slice as the matrix that lort_factor reads. It refers to `source`. */
lort_matrix_source lort_slice_matrix(lort_slice_source *source);

#endif
