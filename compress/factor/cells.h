/* cells: what every reader of a factored matrix computes, cell by cell of one fixed grid. */
#ifndef LORT_COMPRESS_FACTOR_CELLS_H
#define LORT_COMPRESS_FACTOR_CELLS_H

#include <stdint.h>

/* Two factors as a reader has them: 2^exponent * left * right. */
typedef struct lort_product {
    int64_t rank;
    int32_t exponent;
    float *left, *right; /* [rows][rank], [rank][cols]: f32 copies of the stored factors */
} lort_product;

/* Rows [r0, r1) x columns [c0, c1) of a product with `cols` columns into dst, ld elements between
 * its rows, f32: what every reader computes, never Inf. Cells are cut on a grid, so that the bits
 * of an element do not depend on what is asked for with it: r0 and c0 must be multiples of the
 * steps, r1 and c1 too or the end. */
#define LORT_DECODE_ROWS 64
#define LORT_DECODE_COLS 1024
void lort_product_cells(const lort_product *product, int64_t cols, int64_t r0, int64_t r1,
                        int64_t c0, int64_t c1, float *dst, int64_t ld);
/* One cell of the decode grid: rows [0, n) of left (n <= LORT_DECODE_ROWS) x columns [c0, c1) of
 * right into dst, without exponent. */
void lort_decode_cell(const float *left, const float *right, int64_t rank, int64_t cols, int64_t n,
                      int64_t c0, int64_t c1, float *dst, int64_t ld);
/* x * 2^exponent, saturating at the largest f32 */
void lort_scale_floats(float *x, int64_t n, int exponent);

#endif
