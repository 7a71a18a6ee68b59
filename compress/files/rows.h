/* rows: decodes rows of one slice that is not kept whole, to the output type. restore and
 * lort_files_read give them to a sink, and lort_weights_read to a buffer of the program. */
#ifndef LORT_COMPRESS_FILES_ROWS_H
#define LORT_COMPRESS_FILES_ROWS_H

#include "compress/read/reading.h"

/* Decodes an open slice to elements of one type. */
typedef struct lort_row_decoder {
    lort_session *session; /* its scratch[worker], ticks and stops */
    const lort_slice *slice;
    const lort_dtype_info *type; /* F32, F16 or BF16 */
    lort_cell_grid grid;         /* of the slice */
    uint64_t room;               /* values of a worker: the largest cell of the grid, or more */
    float *values;               /* [workers][room] */
    lort_chunk_cache *caches;    /* [workers], zero at first */
} lort_row_decoder;

/* The rows that a worker decodes at once: a multiple of LORT_BLOCK_ROW_UNIT, or all. */
int64_t lort_rows_band(lort_matrices shape, const lort_dtype_info *type);
/* Values of the largest cell of the grid, and so the least `room`. */
uint64_t lort_rows_room(const lort_cell_grid *grid);
/* Decodes elements [at, end) of the slice into dst, dense. They lie in one band: rows
 * [k x band, (k + 1) x band) for some k. Threads: any number at a time, each with a worker's number
 * of its own.
 * On failure: LORT_E_NUMERIC with a value that does not fit the type; LORT_E_STOPPED; others as
 * lort_slice_cells. */
lort_code lort_rows_decode(const lort_row_decoder *decoder, uint64_t at, uint64_t end,
                           unsigned worker, uint8_t *dst, lort_error *err);
/* Refuses values that would become Inf in the type. product: factors are involved, so NaN and Inf
 * cannot be values of the source and are refused too. On failure: LORT_E_NUMERIC. */
lort_code lort_rows_check_range(lort_dtype type, bool product, const float *values, uint64_t n,
                                lort_error *err);
/* The type that restore gives a part without --dtype. */
const lort_dtype_info *lort_rows_own_type(const lort_part *part);

/* The most bytes that lort_rows_give takes for a slice of this shape, with `threads` workers. */
uint64_t lort_rows_bytes(lort_matrices shape, const lort_dtype_info *type, unsigned threads);
/* Decodes bands [first, first + count) of an open slice as `type` (F32, F16 or BF16), and hands
 * them to sink in order, one at a time. Band k has the rows from k x lort_rows_band on.
 * On failure: LORT_E_NUMERIC with a value that does not fit the type, or another code. */
lort_code lort_rows_give(lort_reading *reading, const lort_slice *slice,
                         const lort_dtype_info *type, int64_t first, int64_t count,
                         lort_sink_fn *sink, void *ctx, lort_error *err);
/* The same for all bands. */
lort_code lort_rows_give_all(lort_reading *reading, const lort_slice *slice,
                             const lort_dtype_info *type, lort_sink_fn *sink, void *ctx,
                             lort_error *err);

#endif
