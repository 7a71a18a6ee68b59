/* rows: what every reader of a factored tensor computes, on one fixed grid: the shape of a BLAS call changes the rounding of its
 * elements (docs/NUMERICS.md), so the cells must not depend on who asks for which rows. */
#include "compress/factor/factor_parts.h"

#include "compress/math/blas.h"

void lort_decode_cell(const float *left, const float *right, int64_t rank, int64_t cols, int64_t n, int64_t c0, int64_t c1, float *dst,
                      int64_t ld)
{
    lort_sgemm(false, false, n, c1 - c0, rank, 1, left, rank, right + c0, cols, 0, dst, ld);
}

void lort_factors_cells(int64_t rows, int64_t cols, int64_t rank, int32_t exponent, const float *left, const float *right,
                        int64_t r0, int64_t r1, int64_t c0, int64_t c1, float *dst, int64_t ld)
{
    for (int64_t r = r0; r < r1; r += LORT_DECODE_ROWS) {
        const int64_t n = r + LORT_DECODE_ROWS < r1 ? LORT_DECODE_ROWS : r1 - r;
        float *out = dst + (r - r0) * ld;
        for (int64_t c = c0; c < c1; c += LORT_DECODE_COLS) {
            const int64_t end = c + LORT_DECODE_COLS < c1 ? c + LORT_DECODE_COLS : c1;
            lort_decode_cell(left + r * rank, right, rank, cols, n, c, end, out + (c - c0), ld);
        }
        for (int64_t i = 0; exponent != 0 && i < n; i++)
            lort_scale_floats(out + i * ld, c1 - c0, exponent);
    }
}
