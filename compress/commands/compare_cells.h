/* compare_cells: reads cells for compare from what is not stored as the cells are. */
#ifndef LORT_COMPRESS_COMMANDS_COMPARE_CELLS_H
#define LORT_COMPRESS_COMMANDS_COMPARE_CELLS_H

#include "compress/read/input.h"

/* Reads cells of a tensor of a model into dst, dense. before: rows in front of the matrix; cols: of
 * the matrix. If the cells are as wide as the matrix, their rows are contiguous and are read at
 * once. */
lort_code lort_compare_model_cells(const lort_entry *entry, int64_t before, int64_t cols,
                                   const lort_cells *cells, const lort_scratch *scratch, float *dst,
                                   lort_error *err);
/* Reads cells from an open slice, the only one of its part, whose rows have another length than
 * those of the cells. before: elements in front of the matrix; cols: of the matrix. Each row of the
 * cells is one or several pieces of rows of the slice. */
lort_code lort_compare_other_cells(const lort_slice *slice, uint64_t before, int64_t cols,
                                   const lort_cells *cells, lort_scratch *scratch,
                                   lort_chunk_cache *cache, float *dst, lort_error *err);

#endif
