/* cells: see cells.h. The shape of a BLAS call changes the rounding of its elements
 * (docs/NUMERICS.md, "Determinism"). So the cells must not depend on the rows that a reader asks
 * for. */
#include "compress/factor/cells.h"
#include "compress/factor/factor.h"
#include "compress/math/blas.h"
#include <float.h>
#include <math.h>

/* Applies the power in two halves, and neither half leaves the range of f32. Only the second
 * product can round, into a subnormal. */
void lort_scale_floats(float *x, int64_t n, int exponent)
{
    const float first = ldexpf(1.0f, exponent / 2), second = ldexpf(1.0f, exponent - exponent / 2);

    for (int64_t i = 0; i < n; i++) {
        float v = x[i] * first * second;
        v = v > FLT_MAX ? FLT_MAX : v;
        x[i] = v < -FLT_MAX ? -FLT_MAX : v;
    }
}

void lort_decode_cell(const float *left, const float *right, int64_t rank, int64_t cols, int64_t n,
                      int64_t c0, int64_t c1, float *dst, int64_t ld)
{
    lort_sgemm(false, false, n, c1 - c0, rank, 1, left, rank, right + c0, cols, 0, dst, ld);
}

void lort_product_cells(const lort_product *product, int64_t cols, int64_t r0, int64_t r1,
                        int64_t c0, int64_t c1, float *dst, int64_t ld)
{
    for (int64_t r = r0; r < r1; r += LORT_DECODE_ROWS) {
        const int64_t n = r + LORT_DECODE_ROWS < r1 ? LORT_DECODE_ROWS : r1 - r;
        float *out = dst + (r - r0) * ld;
        for (int64_t c = c0; c < c1; c += LORT_DECODE_COLS) {
            const int64_t end = c + LORT_DECODE_COLS < c1 ? c + LORT_DECODE_COLS : c1;
            lort_decode_cell(product->left + r * product->rank, product->right, product->rank, cols,
                             n, c, end, out + (c - c0), ld);
        }
        for (int64_t i = 0; product->exponent != 0 && i < n; i++)
            lort_scale_floats(out + i * ld, c1 - c0, product->exponent);
    }
}

void lort_factors_free(lort_factors *factors, const lort_alloc *alloc)
{
    lort_give(alloc, factors->left, factors->left_bytes);
    lort_give(alloc, factors->right, factors->right_bytes);
    factors->left = factors->right = NULL;
    factors->left_bytes = factors->right_bytes = 0;
    factors->rank = 0;
}
