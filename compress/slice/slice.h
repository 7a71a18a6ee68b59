/* slice: one slice of a tensor as a matrix that is read tile by tile, less its factors, with its
 * columns scaled. */
#ifndef LORT_COMPRESS_SLICE_SLICE_H
#define LORT_COMPRESS_SLICE_SLICE_H

#include "compress/coder/block.h"
#include "compress/factor/cells.h"
#include "compress/factor/factor.h"
#include "compress/session/session.h"
#include "compress/slice/tensor_plan.h"
#include "loader/model/model.h"

typedef struct lort_decider {
    lort_session *session;
    lort_model *model;
    const lort_options *options;
    struct lort_journal *journal; /* what is done is noted there; NULL: nowhere */
} lort_decider;

/* Where the bytes of what one outcome is for lie: of a slice, or of the whole extent where its
 * slices are not tried. */
typedef struct lort_range {
    uint32_t file;
    uint64_t offset, bytes;
} lort_range;

typedef struct lort_slice_source { /* the slice as a matrix */
    const lort_decider *decider;
    const lort_tensor_plan *planned;
    uint64_t base; /* of the slice in its file */
    uint64_t row_bytes;
    bool unmapped;
    const lort_product *factors; /* not NULL: what they hold is taken off by lort_slice_block */
    lort_weighting weighting;    /* by the step's importances */
    /* codes of the columns' scales, [cols]; not NULL: lort_slice_block applies them */
    const uint8_t *scales;
    uint32_t passes; /* whole readings so far; samples are none */
    /* the estimate of a quantised slice is to be its size, not that of a sample */
    bool exact;
} lort_slice_source;

/* Stored bytes of one slice; its lossless form takes at most these. */
uint64_t lort_slice_bytes(const lort_tensor_plan *planned);
lort_range lort_slice_range(const lort_decider *decider, const lort_tensor_plan *planned,
                            uint64_t extent, uint32_t slice);
lort_slice_source lort_slice_source_of(const lort_decider *decider, const lort_tensor_plan *planned,
                                       uint32_t slice);
/* A lort_tile_fn; ctx is the source. */
lort_code lort_slice_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                          int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err);
/* Rows [place->row, + rows) of a block, dense, less the factors, columns scaled. spare: as large as
 * the block. rows: a multiple of LORT_DECODE_ROWS, or all of the block. */
lort_code lort_slice_block(lort_slice_source *source, unsigned worker,
                           const lort_block_place *place, int64_t rows, float *dst, float *spare,
                           lort_error *err);
lort_matrix_source lort_slice_matrix(lort_slice_source *source);

#endif
