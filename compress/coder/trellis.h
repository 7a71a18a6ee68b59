/* trellis: dependent scalar quantisation of rows. Pure arithmetic; it knows no tensor and no byte.
 *
 * A value is an integer multiple n of the step. At each weight the state of its row, 0..31, says
 * which multiples are allowed:
 *
 *   quantiser 0   n = 2 k               ... -4 -2  0  2  4 ...
 *   quantiser 1   n = 2 k - sign(k)     ... -3 -1  0  1  3 ...
 *
 *   quantiser  = bit 0 ^ bit 2 ^ bit 3 of the state
 *   next state = (2 state + p) mod 32,  p = k & 1 ^ bit 0 ^ bit 1 ^ bit 4 of the state
 *
 * A row starts in state 0. A reader follows the k. A writer finds the path of least cost by
 * Viterbi's algorithm. docs/NUMERICS.md compares numbers of states.
 *
 * Sources: trellis-coded quantisation, Marcellin & Fischer, IEEE Trans. Comm. 38, 1990; two
 * quantisers with a common zero, ISO/IEC 15938-17. */
#ifndef LORT_COMPRESS_CODER_TRELLIS_H
#define LORT_COMPRESS_CODER_TRELLIS_H

#include <stdint.h>

#define LORT_LANES 16  /* rows that go through the trellis side by side */
#define LORT_STATES 32 /* docs/NUMERICS.md, "Choices", compares 8, 16 and 32 */
#define LORT_CHOICE_WORDS (LORT_STATES / 16)
#define LORT_STEPS_MAX 32000 /* largest |n| of a writer; it cuts values beyond */

/* These take numbers or vectors; states are unsigned. p is the lowest bit of
 * LORT_TRELLIS_TURN(state) ^ k. */
#define LORT_TRELLIS_QUANTISER(state) (((state) ^ (state) >> 2 ^ (state) >> 3) & 1)
#define LORT_TRELLIS_TURN(state) ((state) ^ (state) >> 1 ^ (state) >> 4)
#define LORT_TRELLIS_NEXT(state, k)                                                                \
    (((state) << 1 | (((k) ^ LORT_TRELLIS_TURN(state)) & 1)) & (LORT_STATES - 1))

static inline unsigned lort_trellis_quantiser(unsigned state)
{
    return LORT_TRELLIS_QUANTISER(state);
}
static inline unsigned lort_trellis_next(unsigned state, int32_t k)
{
    return LORT_TRELLIS_NEXT(state, (unsigned)k);
}
static inline int32_t lort_trellis_value(unsigned quantiser, int32_t k)
{
    return 2 * k - (quantiser ? (k > 0) - (k < 0) : 0);
}

/* Finds the multiples of `cols` weights in each of LORT_LANES rows. Writes 2 k + quantiser to out
 * [cols][LORT_LANES].
 *
 * The cost of a path is the sum of (x - n)^2 + lambda * bits over its weights. bits = (n / s)^2 /
 * (2 ln 2) + constant: those of a normal distribution of standard deviation s, in steps.
 *
 * x: weights over the step, [cols][LORT_LANES]. row [LORT_LANES] and col [cols]: row[i] * col[j] =
 * lambda / (2 ln 2 s^2) of weight (i, j). lambda: 0 to 2.9. choice: scratch,
 * [cols][LORT_CHOICE_WORDS][LORT_LANES].
 */
void lort_trellis_encode(const float *x, const float *row, const float *col, int64_t cols,
                         float lambda, uint16_t *choice, int16_t *out);

/* The states of LORT_LANES rows between two of their columns, in an order of trellis.c. Zeros: the
 * start of the rows. */
typedef struct lort_trellis_states {
    int16_t of[LORT_LANES];
} lort_trellis_states;
/* The same for rows whose first columns are settled: starts in *states, and puts the states behind
 * the last column there. The path of least cost over these columns alone counts. */
void lort_trellis_go_on(const float *x, const float *row, const float *col, int64_t cols,
                        float lambda, lort_trellis_states *states, uint16_t *choice, int16_t *out);

#endif
