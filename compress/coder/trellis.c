/* trellis: see trellis.h. Viterbi's search over LORT_LANES rows at once, in vectors (lanes.h).
 * Costs are + - * / of f32 first and integers then, so every machine finds the same path. */
#include "compress/coder/lanes.h"
#include <string.h>

#define STATES LORT_STATES
#define COST_ONE 128.0f /* the integer that stands for a cost of one step squared */
/* Largest cost of one weight: 16 steps squared. No best path has it, since every state allows zero.
 */
#define COST_MOST 2048
/* Cost of a state that a row cannot start in. It is above 5 x COST_MOST: after 5 weights a row can
 * be in any of the 32 states. */
#define FAR 12000
/* After this many columns the least cost is subtracted from all costs. The costs of 8 columns, 8 x
 * COST_MOST, and the spread of the states, 5 x COST_MOST, fit 16 bits. */
#define SETTLE 8

#define HALF (LORT_LANES / 2)
typedef float reals __attribute__((vector_size(4 * HALF)));
typedef int32_t ints __attribute__((vector_size(4 * HALF)));
typedef int16_t shorts __attribute__((vector_size(2 * LORT_LANES)));

#define SELECT(mask, a, b) ((reals)(((mask) & (ints)(a)) | (~(mask) & (ints)(b))))
#define TRUNCATE(a) __builtin_convertvector(__builtin_convertvector(a, ints), reals)
#define MAGNITUDE(a) ((reals)((ints)(a)&0x7FFFFFFF))

typedef int16_t half_shorts __attribute__((vector_size(2 * HALF)));

/* The four sets of multiples in which a branch may end, by quantiser * 2 + parity of k: 0 4 8 ...,
 * 2 6 10 ..., 0 3 7 ..., 1 5 9 ... */
enum { FOURS, TWOS, THREES, ONES };
static const float shift_of[4] = {0.5f, 0.0f, -0.25f, 0.25f}, base_of[4] = {0, 2, 3, 1};

/* Returns where a branch into state t comes from: t >> 1, or t >> 1 | STATES / 2 for the upper one.
 */
LORT_INLINE unsigned state_before(unsigned t, unsigned upper)
{
    return t >> 1 | upper * (STATES / 2);
}
LORT_INLINE unsigned set_of(unsigned t, unsigned s)
{
    return lort_trellis_quantiser(s) * 2 + ((t ^ lort_trellis_next(s, 0)) & 1);
}

/* Computes the cost of each set for half the lanes. With r the weight of the rate,
 *
 *   (x - n)^2 + r n^2  =  w (a - n)^2 + constant        w = 1 + r, a = x / w
 *
 * Zero and one of quantiser 1 have narrower bins. So they cost log2(2 / width) bits more, 1 and
 * 0.415. */
LORT_INLINE void set_costs(reals a, reals w, float lambda, float border, int16_t *cost)
{
    const reals scaled = w * COST_ONE;
    LORT_UNROLL for (unsigned set = 0; set < 4; set++)
    {
        const reals t = TRUNCATE(a * 0.25f + shift_of[set]) * 4.0f + base_of[set], d = a - t;
        reals c = scaled * d * d + 0.5f;
        if (set == ONES)
            c += (reals)((t == 1.0f) & (ints)(0.415f * COST_ONE * lambda + 0.0f * t));
        if (set == THREES)
            c = SELECT(a < border, scaled * a * a + (lambda * COST_ONE + 0.5f), c);
        c = SELECT(c < (float)COST_MOST, c, (float)COST_MOST + 0 * a);
        const half_shorts narrow =
            __builtin_convertvector(__builtin_convertvector(c, ints), half_shorts);
        memcpy(cost + set * LORT_LANES, &narrow, sizeof narrow);
    }
}

/* Advances by one column: each state takes the better of its two branches. Bit t % 16 of choice[t /
 * 16] is set where state t took the upper one. */
LORT_INLINE void advance_states(shorts path[STATES], const shorts cost[4],
                                shorts choice[LORT_CHOICE_WORDS])
{
    shorts next[STATES];
    memset(choice, 0, LORT_CHOICE_WORDS * sizeof *choice);
    LORT_UNROLL for (unsigned t = 0; t < STATES; t++)
    {
        const shorts lower = path[state_before(t, 0)] + cost[set_of(t, state_before(t, 0))],
                     upper = path[state_before(t, 1)] + cost[set_of(t, state_before(t, 1))];
        const shorts better = upper < lower;
        next[t] = (better & upper) | (~better & lower);
        choice[t / 16] |= better & (int16_t)(uint16_t)(1u << t % 16);
    }
    memcpy(path, next, sizeof next);
}

LORT_INLINE void rebase_path(shorts path[STATES])
{
    shorts least = path[0];
    LORT_UNROLL for (unsigned s = 1; s < STATES; s++)
    {
        const shorts better = path[s] < least;
        least = (better & path[s]) | (~better & least);
    }
    for (unsigned s = 0; s < STATES; s++)
        path[s] -= least;
}

static void best_ends(const shorts path[STATES], int32_t state[LORT_LANES])
{
    for (int l = 0; l < LORT_LANES; l++) {
        state[l] = 0;
        for (int32_t s = 1; s < STATES; s++)
            state[l] = path[s][l] < path[state[l]][l] ? s : state[l];
    }
}

/* Goes back one column from the states at its end. Finds the branch that was taken, and so the
 * multiple n. Returns 2 k + quantiser. */
LORT_INLINE ints trace_path(reals v, ints choice, float border, ints *state)
{
    const ints t = *state, s = t >> 1 | (choice >> t & 1) * (STATES / 2);
    const ints q = -LORT_TRELLIS_QUANTISER(s), p = -((t ^ LORT_TRELLIS_TURN(s)) & 1);
    const reals a = MAGNITUDE(v);
    const reals shift = SELECT(q, SELECT(p, shift_of[ONES] + 0 * a, shift_of[THREES] + 0 * a),
                               SELECT(p, 0 * a, shift_of[FOURS] + 0 * a));
    const reals base =
        SELECT(q, SELECT(p, 1.0f + 0 * a, 3.0f + 0 * a), SELECT(p, 2.0f + 0 * a, 0 * a));
    const reals m = TRUNCATE(a * 0.25f + shift) * 4.0f + base;
    const ints n = __builtin_convertvector(m, ints) & ~(q & ~p & (a < border)), negative = v < 0;
    const ints k = (n - (q & (n > 0))) >> 1; /* (n + 1) / 2 for odd n */
    *state = s;
    return ((k ^ negative) - negative) * 2 - q;
}

/* Returns the values a = x / w of half the lanes of one column, and their weights w. */
LORT_INLINE reals shrink_value(const float *x, reals rows, float col, reals *w)
{
    reals v;
    memcpy(&v, x, sizeof v);
    *w = rows * col + 1.0f;
    return v / *w;
}

/* Returns the choices of half the lanes, those of all states in one word. */
LORT_INLINE ints taken_by(const uint16_t *choice)
{
    uint16_t narrow __attribute__((vector_size(2 * HALF)));
    ints all = {0};
    for (unsigned i = 0; i < LORT_CHOICE_WORDS; i++) {
        memcpy(&narrow, choice + i * LORT_LANES, sizeof narrow);
        all |= __builtin_convertvector(narrow, ints) << 16 * i;
    }
    return all;
}

LORT_VECTORS(lort_trellis_encode,
             (const float *x, const float *row, const float *col, int64_t cols, float lambda,
              uint16_t *choice, int16_t *out),
             (x, row, col, cols, lambda, choice, out))
{
    const float border = 1.5f + lambda / 6.0f;
    shorts path[STATES], cost[4];
    reals rows[2], w;
    memcpy(rows, row, sizeof rows);
    for (unsigned s = 0; s < STATES; s++)
        path[s] = (shorts){0} + (int16_t)(s == 0 ? 0 : FAR);
    for (int64_t j = 0; j < cols; j++) {
        for (int h = 0; h < 2; h++) {
            const reals v = shrink_value(x + j * LORT_LANES + h * HALF, rows[h], col[j], &w);
            set_costs(MAGNITUDE(v), w, lambda, border, (int16_t *)cost + h * HALF);
        }
        shorts taken[LORT_CHOICE_WORDS];
        advance_states(path, cost, taken);
        memcpy(choice + j * LORT_CHOICE_WORDS * LORT_LANES, taken, sizeof taken);
        if (j % SETTLE == SETTLE - 1)
            rebase_path(path);
    }
    ints state[2];
    best_ends(path, (int32_t *)state);
    for (int64_t j = cols - 1; j >= 0; j--)
        for (int h = 0; h < 2; h++) {
            const ints taken = taken_by(choice + j * LORT_CHOICE_WORDS * LORT_LANES + h * HALF);
            const reals v = shrink_value(x + j * LORT_LANES + h * HALF, rows[h], col[j], &w);
            const half_shorts value =
                __builtin_convertvector(trace_path(v, taken, border, &state[h]), half_shorts);
            memcpy(out + j * LORT_LANES + h * HALF, &value, sizeof value);
        }
}
