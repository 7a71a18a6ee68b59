/* slice: one slice of a tensor as a matrix. It is read tile by tile or block by block, less its
 * factors and with its columns scaled. */
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
    struct lort_journal *journal; /* notes finished work; NULL: no journal */
} lort_decider;

/* The place of a job's bytes: of a slice, or of the whole extent if its slices are not tried. */
typedef struct lort_range {
    uint32_t file;
    uint64_t offset, bytes;
} lort_range;

typedef struct lort_slice_source {
    const lort_decider *decider;
    const lort_tensor_plan *planned;
    uint64_t base; /* of the slice in its file */
    uint64_t row_bytes;
    /* Some file is not mapped: reads go through the scratch of the worker. */
    bool unmapped;
    const lort_product *factors; /* NULL, or the factors that lort_slice_block subtracts */
    lort_weighting weighting;    /* by the importances of the tensor */
    /* [cols] codes of the columns' scales; lort_slice_block applies them. NULL: no scales. */
    const uint8_t *scales;
    uint32_t passes; /* whole readings so far; samples do not count */
    /* The estimate of a coded slice must be its exact size, not that of a sample. */
    bool exact;
} lort_slice_source;

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
/* Reads rows [place->row, + rows) of a block into dst, dense, less the factors and with scaled
 * columns. rows: a multiple of LORT_DECODE_ROWS, or all of the block. spare: room as large as
 * dst. */
lort_code lort_slice_block(lort_slice_source *source, unsigned worker,
                           const lort_block_place *place, int64_t rows, float *dst, float *spare,
                           lort_error *err);
/* The slice as the matrix that lort_factor reads. It refers to `source`. */
lort_matrix_source lort_slice_matrix(lort_slice_source *source);

#endif
