/* compare_cells: see compare_cells.h. */
#include "compress/commands/compare_cells.h"

lort_code lort_compare_model_cells(const lort_entry *entry, int64_t before, int64_t cols,
                                   const lort_cells *cells, const lort_scratch *scratch, float *dst,
                                   lort_error *err)
{
    const bool whole = cells->c1 - cells->c0 == cols;
    const int64_t rows = whole ? cells->r1 - cells->r0 : 1;
    const uint64_t values = (uint64_t)rows * (uint64_t)(cells->c1 - cells->c0);
    lort_code code = LORT_OK;
    for (int64_t r = cells->r0; r < cells->r1 && code == LORT_OK; r += rows, dst += values)
        code = lort_entry_elements(entry,
                                   (uint64_t)(before + r) * (uint64_t)cols + (uint64_t)cells->c0,
                                   values, scratch, dst, err);
    return code;
}

lort_code lort_compare_other_cells(const lort_slice *slice, uint64_t before, int64_t cols,
                                   const lort_cells *cells, lort_scratch *scratch,
                                   lort_chunk_cache *cache, float *dst, lort_error *err)
{
    const int64_t own = slice->shape.cols;
    lort_code code = LORT_OK;
    for (int64_t r = cells->r0; r < cells->r1 && code == LORT_OK; r++) {
        uint64_t at = before + (uint64_t)(r * cols + cells->c0);
        for (int64_t left = cells->c1 - cells->c0, n; left > 0 && code == LORT_OK; left -= n) {
            const int64_t row = (int64_t)(at / (uint64_t)own), col = (int64_t)(at % (uint64_t)own);
            n = own - col < left ? own - col : left;
            code = lort_slice_cells(slice, &(lort_cells){row, row + 1, col, col + n}, scratch,
                                    cache, dst, err);
            dst += n;
            at += (uint64_t)n;
        }
    }
    return code;
}
