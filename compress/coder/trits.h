/* trits: rows of weights as a scale times -1, 0 or 1, and trits as bytes. Pure arithmetic;
 * compress/slice/fit_trits.c finds the scales.
 *
 * A trit is a function of the weight and its row's scale: 1 above half the scale, -1 below minus
 * half, 0 between, which is the nearest of the three. The best scale for given trits is the mean
 * magnitude of what is not 0; doing the one after the other is Lloyd's and Max's method (S. P.
 * Lloyd, IEEE Trans. Inf. Theory 28, 1982; J. Max, IRE Trans. Inf. Theory 6, 1960). */
#ifndef LORT_COMPRESS_CODER_TRITS_H
#define LORT_COMPRESS_CODER_TRITS_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct lort_trit_sum { /* over weights of one row, under one scale */
    double magnitude;          /* of those whose trit is not 0 */
    double error2;             /* (weight - scale * trit)^2, all of them */
    int64_t count;             /* whose trit is not 0 */
} lort_trit_sum;

/* Adds n weights. scale 0: all trits are 0. The order of the sum is fixed by n. */
void lort_trit_sum_add(const float *x, int64_t n, float scale, lort_trit_sum *sum);
/* The scale that suits the sums of a row of cols weights under `scale`, as it is stored (BF16, of
 * four bits behind the first). Under 0 it is that of a normal distribution, 1.224 of the root mean
 * square. 0 for a row of zeros. */
float lort_trit_next_scale(const lort_trit_sum *sum, int64_t cols, float scale);
/* w <- p + relax * (w - p - scale * trit of w - p): what the factors whose product is p are to
 * become. */
void lort_trit_relax(float *w, const float *p, int64_t n, float scale, float relax);

/* Five trits a byte, 0, 1, -1 being the digits 0, 1, 2: d0 + 3 d1 + 9 d2 + 27 d3 + 81 d4, d0 the
 * first; digits behind the last trit are 0. */
#define LORT_TRITS 5
static inline uint64_t lort_trits_bytes(uint64_t count)
{
    return count / LORT_TRITS + (count % LORT_TRITS != 0);
}
/* Weights [rows][cols] to bytes; decoded: what a reader gets. digits: [rows * cols + 4] of scratch.
 */
void lort_trits_pack(const float *weights, int64_t rows, int64_t cols, const float *scales,
                     uint8_t *digits, uint8_t *bytes, float *decoded);
/* And back. LORT_E_DAMAGED for a byte that is none of five trits, or a digit behind the last. */
lort_code lort_trits_unpack(const uint8_t *bytes, int64_t rows, int64_t cols, const float *scales,
                            float *weights, lort_error *err);

#endif
