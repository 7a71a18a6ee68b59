/* cells: see cells.h. */
#include "compress/factor/cells.h"
#include "compress/factor/factor.h"
#include "compress/math/multiply.h"
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

void lort_product_cells(const lort_product *product, int64_t cols, int64_t r0, int64_t r1,
                        int64_t c0, int64_t c1, float *dst, int64_t ld)
{
    lort_multiply(&(lort_multiplication){.rows = r1 - r0,
                                         .cols = c1 - c0,
                                         .rank = product->rank,
                                         .left = product->left + r0 * product->rank,
                                         .left_ld = product->rank,
                                         .right = product->right + c0,
                                         .right_ld = cols,
                                         .out = dst,
                                         .out_ld = ld});
    for (int64_t i = 0; product->exponent != 0 && i < r1 - r0; i++)
        lort_scale_floats(dst + i * ld, c1 - c0, product->exponent);
}

void lort_factors_free(lort_factors *factors, const lort_alloc *alloc)
{
    lort_give(alloc, factors->left, factors->left_bytes);
    lort_give(alloc, factors->right, factors->right_bytes);
    factors->left = factors->right = NULL;
    factors->left_bytes = factors->right_bytes = 0;
    factors->rank = 0;
}
