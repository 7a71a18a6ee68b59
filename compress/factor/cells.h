/* cells: the numbers that every reader of a factored matrix computes: the product of two factors
 * (math/multiply.h), times a power of two. */
#ifndef LORT_COMPRESS_FACTOR_CELLS_H
#define LORT_COMPRESS_FACTOR_CELLS_H

#include <stdint.h>

/* Two factors as a reader has them. The product is 2^exponent * left * right. */
typedef struct lort_product {
    int64_t rank;
    int32_t exponent;
    float *left, *right; /* [rows][rank], [rank][cols]: the stored factors as f32 */
} lort_product;

/* Computes rows [r0, r1) x columns [c0, c1) of a product with `cols` columns. Writes them to dst,
 * with ld elements from row to row. The bits of an element do not depend on the range. Where the
 * exponent is not 0, an element beyond the largest f32 becomes the largest f32. */
void lort_product_cells(const lort_product *product, int64_t cols, int64_t r0, int64_t r1,
                        int64_t c0, int64_t c1, float *dst, int64_t ld);
/* Multiplies x [n] by 2^exponent, and limits the result to the largest f32. */
void lort_scale_floats(float *x, int64_t n, int exponent);

#endif
