/* restore_rows: decodes the rows of one slice that is not kept to the output type. restore writes
 * them, and lort_weights_read hands them to a program. */
#ifndef LORT_COMPRESS_COMMANDS_RESTORE_ROWS_H
#define LORT_COMPRESS_COMMANDS_RESTORE_ROWS_H

#include "compress/read/reading.h"
#include "loader/store/publish.h"

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

/* The rows that a worker decodes at once: a multiple of LORT_DECODE_ROWS, or all. */
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

/* The most bytes that lort_restore_rows takes for a slice of this shape, with `threads` workers. */
uint64_t lort_restore_rows_bytes(lort_matrices shape, const lort_dtype_info *type,
                                 unsigned threads);
/* Decodes all rows of an open slice and appends them to the output as `type` (F32, F16 or BF16).
 * On failure: LORT_E_NUMERIC with a value that does not fit the type, or another code. */
lort_code lort_restore_rows(lort_reading *reading, lort_publish *publish, const lort_slice *slice,
                            const lort_dtype_info *type, lort_error *err);

#endif
