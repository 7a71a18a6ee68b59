/* trellis: dependent scalar quantisation (trellis-coded, Marcellin & Fischer, IEEE Trans. Comm. 38, 1990; the two quantisers with a
 * common zero as in ISO/IEC 15938-17). Pure arithmetic on rows; knows no tensor and no byte.
 *
 * A value is an integer multiple n of the step. At each weight the state of its row, 0..7, says which multiples are allowed:
 *
 *   quantiser 0 (states 0 1 4 5)   n = 2 k               ... -4 -2  0  2  4 ...
 *   quantiser 1 (states 2 3 6 7)   n = 2 k - sign(k)     ... -3 -1  0  1  3 ...
 *
 * and the parity of k moves it: next = (2 state + (k & 1 ^ bit 0 of state ^ bit 2 of state)) mod 8. A row starts in state 0. A reader
 * follows the ks; a writer looks for the path of least cost by Viterbi's algorithm. At equal rate the error is 1.1 to
 * 1.2 dB below that of rounding (1.53 dB is the bound). */
#ifndef LORT_COMPRESS_TRELLIS_H
#define LORT_COMPRESS_TRELLIS_H

#include <stdint.h>

#define LORT_LANES 8        /* rows that go through the trellis side by side; no byte depends on it */
#define LORT_STEPS_MAX 32000 /* |n| of a writer; what lies beyond is cut */

static inline unsigned lort_trellis_quantiser(unsigned state) { return state >> 1 & 1; }
static inline unsigned lort_trellis_next(unsigned state, int32_t k)
{
    return (state << 1 | (((unsigned)k ^ state ^ state >> 2) & 1)) & 7;
}
static inline int32_t lort_trellis_value(unsigned quantiser, int32_t k) { return 2 * k - (quantiser ? (k > 0) - (k < 0) : 0); }

/* Writes 2 k + quantiser of `cols` weights in each of LORT_LANES rows, [cols][LORT_LANES].
 *
 * x: the weights over the step; destroyed. The cost of a path is the sum of (x - n)^2 + lambda * bits, where a weight of standard deviation s steps
 * costs (n / s)^2 / (2 ln 2) bits and a constant, as in a normal distribution. row[i] * col[j] is lambda / (2 ln 2 s^2) of weight (i, j).
 * choice: [cols][LORT_LANES], scratch. */
void lort_trellis_encode(float *x, const float *row, const float *col, int64_t cols, float lambda, uint8_t *choice, int16_t *out);

#endif
