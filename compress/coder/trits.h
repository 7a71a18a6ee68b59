/* trits: rows of weights as a scale times -1, 0 or 1, and trits as bytes. Pure arithmetic;
 * compress/slice/fit_trits.c finds the scales.
 *
 *   trit(w)  =  1 if w > a / 2,  -1 if w < -a / 2,  0 otherwise        a: the scale of the row
 *   best a   =  mean of |w| over the weights whose trit is not 0
 *
 * The trit is the nearest of the three values. To compute trits and scale in turn is the method of
 * Lloyd and Max. Sources: S. P. Lloyd, IEEE Trans. Inf. Theory 28, 1982; J. Max, IRE Trans. Inf.
 * Theory 6, 1960. */
#ifndef LORT_COMPRESS_CODER_TRITS_H
#define LORT_COMPRESS_CODER_TRITS_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct lort_trit_sum { /* over weights of one row, under one scale */
    double magnitude;          /* sum of |weight| where the trit is not 0 */
    double error2;             /* sum of (weight - scale * trit)^2 over all weights */
    int64_t count;             /* number of weights whose trit is not 0 */
} lort_trit_sum;

/* Adds n weights to the sum. Scale 0 makes all trits 0. The order of the sum depends on n alone. */
void lort_trit_sum_add(const float *x, int64_t n, float scale, lort_trit_sum *sum);
/* Returns the best scale for the sums of a row of `cols` weights under `scale`. Under scale 0 this
 * is the scale of a normal distribution, 1.224 of the root mean square. The result is as it is
 * stored: BF16 with four bits behind the first. Returns 0 for a row of zeros. */
float lort_trit_next_scale(const lort_trit_sum *sum, int64_t cols, float scale);
/* Replaces w by p + relax * (r - scale * trit of r), with r = w - p. The next factors approximate
 * the result; p is the product of the current ones. */
void lort_trit_relax(float *w, const float *p, int64_t n, float scale, float relax);

/* A byte holds five trits, d0 + 3 d1 + 9 d2 + 27 d3 + 81 d4, d0 being the first. Digits 0, 1, 2
 * stand for trits 0, 1, -1. Digits behind the last trit are 0. */
#define LORT_TRITS 5
static inline uint64_t lort_trits_bytes(uint64_t count)
{
    return count / LORT_TRITS + (count % LORT_TRITS != 0);
}
/* Turns weights [rows][cols] into bytes. scales: [rows]. digits: scratch of rows * cols + 4 bytes.
 * bytes: lort_trits_bytes(rows * cols). decoded: [rows][cols] as a reader will get it. */
void lort_trits_pack(const float *weights, int64_t rows, int64_t cols, const float *scales,
                     uint8_t *digits, uint8_t *bytes, float *decoded);
/* Turns bytes back into weights [rows][cols]. On failure: LORT_E_DAMAGED, for a byte that does not
 * hold five trits, or a digit above 0 behind the last trit. */
lort_code lort_trits_unpack(const uint8_t *bytes, int64_t rows, int64_t cols, const float *scales,
                            float *weights, lort_error *err);

#endif
