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
/* After this many columns the cost of one state is subtracted from all costs. The costs of 8
 * columns, 8 x COST_MOST, and the spread of the states, 5 x COST_MOST, fit 16 bits. */
#define SETTLE 8

#define COLUMN_CHOICES (LORT_CHOICE_WORDS * LORT_LANES)
#define HALF (LORT_LANES / 2)
typedef float reals __attribute__((vector_size(4 * HALF)));
typedef int32_t ints __attribute__((vector_size(4 * HALF)));
typedef int16_t half_shorts __attribute__((vector_size(2 * HALF)));
/* One number of each lane. Lane l of the first half is element 2 l, that of the second half 2 l +
 * 1: so 32-bit arithmetic joins two halves, and parts them. */
typedef int16_t shorts __attribute__((vector_size(2 * LORT_LANES)));

#define SELECT(mask, a, b) ((reals)(((mask) & (ints)(a)) | (~(mask) & (ints)(b))))
#define TRUNCATE(a) __builtin_convertvector(__builtin_convertvector(a, ints), reals)
#define EACH(number) ((number) - (reals){0}) /* x - 0 is x: no instruction is left of it */
#define MAGNITUDE(a) ((reals)((ints)(a)&0x7FFFFFFF))

/* The four sets of multiples in which a branch may end, by quantiser * 2 + parity of k: 0 4 8 ...,
 * 2 6 10 ..., 0 3 7 ..., 1 5 9 ... */
enum { FOURS, TWOS, THREES, ONES, SETS };

LORT_INLINE shorts join_halves(ints first, ints second)
{
    return (shorts)((first & 0xFFFF) | second << 16);
}

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

LORT_INLINE ints to_cost(reals c)
{
    const reals most = EACH((float)COST_MOST);
    return __builtin_convertvector(SELECT(c < most, c, most), ints);
}

/* Computes the cost of each set for half the lanes. With r the weight of the rate,
 *
 *   (x - n)^2 + r n^2  =  w (a - n)^2 + constant        w = 1 + r, a = x / w
 *
 * Zero and one of quantiser 1 have narrower bins. So they cost log2(2 / width) bits more, 1 and
 * 0.415. The two sets of a quantiser lie 2 apart, and so do the distances to them. */
LORT_INLINE void set_costs(reals a, reals w, float lambda, float border, ints cost[SETS])
{
    const reals scaled = w * COST_ONE;
    const reals four = TRUNCATE(a * 0.25f + 0.5f) * 4.0f, one = TRUNCATE(a * 0.25f + 0.25f) * 4.0f;
    const reals to_four = a - four, to_two = 2.0f - MAGNITUDE(to_four), to_one = a - (one + 1.0f),
                to_three = 2.0f - MAGNITUDE(to_one);
    const ints narrow = (one == 0.0f) & (ints)EACH(0.415f * COST_ONE * lambda);
    cost[FOURS] = to_cost(scaled * to_four * to_four + 0.5f);
    cost[TWOS] = to_cost(scaled * to_two * to_two + 0.5f);
    cost[ONES] = to_cost(scaled * to_one * to_one + 0.5f + (reals)narrow);
    cost[THREES] = to_cost(SELECT(a < border, scaled * a * a + (lambda * COST_ONE + 0.5f),
                                  scaled * to_three * to_three + 0.5f));
}

/* Returns all that the way back needs to know of half the lanes: the whole part of a, or 0 below
 * the border; all bits are flipped for a negative value. The least value below 2 counts as 2, as
 * it does in set_costs. */
LORT_INLINE ints place_of(reals v, reals a, float border)
{
    const ints whole = __builtin_convertvector(a + 0x1p-24f, ints);
    return (whole & (a >= border)) ^ (v < 0.0f);
}

/* Advances by one column: each state takes the better of its two branches. Bit t % 16 of choice[t /
 * 16] is set where state t took the upper one. */
LORT_INLINE void advance_states(const shorts path[STATES], const shorts cost[SETS],
                                shorts next[STATES], uint16_t *choices)
{
    shorts choice[LORT_CHOICE_WORDS] = {{0}};
    LORT_UNROLL for (unsigned i = 0; i < STATES; i++)
    {
        const unsigned t = 15 - i / 2 + 16 * (i & 1); /* two chains of shifts, side by side */
        const shorts lower = path[state_before(t, 0)] + cost[set_of(t, state_before(t, 0))],
                     upper = path[state_before(t, 1)] + cost[set_of(t, state_before(t, 1))];
        const shorts better = upper < lower;
        next[t] = (better & upper) | (~better & lower);
        choice[t / 16] = (choice[t / 16] << 1) - better;
    }
    memcpy(choices, &choice[0], sizeof choice[0]);
    memcpy(choices + LORT_LANES, &choice[1], sizeof choice[1]);
}

/* Subtracts the cost of state 0 from all costs. */
LORT_INLINE void rebase_path(shorts path[STATES])
{
    const shorts zero = path[0];
    for (unsigned s = 0; s < STATES; s++)
        path[s] -= zero;
}

static void best_ends(const shorts path[STATES], shorts *state)
{
    for (int l = 0; l < LORT_LANES; l++) {
        int16_t best = 0;
        for (int16_t s = 1; s < STATES; s++)
            best = path[s][l] < path[best][l] ? s : best;
        (*state)[l] = best;
    }
}

/* Returns the states before those at the end of a column, for half the lanes. choice: that of all
 * states in one word. */
LORT_INLINE ints state_back(ints state, ints choice)
{
    return state >> 1 | (choice >> state & 1) * (STATES / 2);
}

/* Finds the multiple n of a branch from state s to t: of quantiser q and parity p, |k| = 2
 * floor((|a| + q + 2 - 2 p) / 4) + p. Returns 2 k + q. */
LORT_INLINE shorts coded_of(shorts place, shorts s, shorts t)
{
    const shorts q = LORT_TRELLIS_QUANTISER(s), even = ~(t ^ LORT_TRELLIS_TURN(s)) & 1;
    const shorts negative = place >> 15, whole = place ^ negative;
    const shorts k = ((whole + q + 2 * even) >> 2) * 2 + 1 - even;
    return ((k ^ negative) - negative) * 2 + q;
}

/* Returns the values a = x / w of half the lanes of one column, and their weights w. */
LORT_INLINE reals shrink_value(const float *x, reals rows, float col, reals *w)
{
    reals v;
    memcpy(&v, x, sizeof v);
    *w = rows * col + 1.0f;
    return v / *w;
}

/* Computes costs and places of one column. */
LORT_INLINE void weigh_column(const float *x, const reals rows[2], float col, float lambda,
                              shorts cost[SETS], int16_t *place)
{
    const float border = 1.5f + lambda / 6.0f;
    ints half[2][SETS], at[2];
    LORT_UNROLL for (unsigned h = 0; h < 2; h++)
    {
        reals w;
        const reals v = shrink_value(x + h * HALF, rows[h], col, &w), a = MAGNITUDE(v);
        set_costs(a, w, lambda, border, half[h]);
        at[h] = place_of(v, a, border);
    }
    LORT_UNROLL for (unsigned set = 0; set < SETS; set++) cost[set] =
        (shorts)(half[0][set] | half[1][set] << 16);
    const shorts joined = join_halves(at[0], at[1]);
    memcpy(place, &joined, sizeof joined);
}

/* Writes a column in the order of the lanes. */
LORT_INLINE void put_column(shorts value, int16_t *out)
{
    const half_shorts first = __builtin_convertvector((ints)value, half_shorts),
                      second = __builtin_convertvector((ints)value >> 16, half_shorts);
    memcpy(out, &first, sizeof first);
    memcpy(out + HALF, &second, sizeof second);
}

/* Goes back from the states `end` along the best paths. out has the places, and gets the
 * multiples. */
LORT_INLINE void trace_paths(shorts end, const uint16_t *choice, int64_t cols, int16_t *out)
{
    shorts place;
    ints first = (ints)end & 0xFFFF, second = (ints)end >> 16, low, high;
    for (int64_t j = cols - 1; j >= 0; j--) {
        memcpy(&low, choice + j * COLUMN_CHOICES, sizeof low);
        memcpy(&high, choice + j * COLUMN_CHOICES + LORT_LANES, sizeof high);
        memcpy(&place, out + j * LORT_LANES, sizeof place);
        first = state_back(first, (low & 0xFFFF) | high << 16);
        second = state_back(second, (low >> 16 & 0xFFFF) | (high & ~0xFFFF));
        const shorts start = join_halves(first, second);
        put_column(coded_of(place, start, end), out + j * LORT_LANES);
        end = start;
    }
}

/* Searches from the states `start`, and returns the states at the end of the best paths. */
LORT_INLINE shorts find_paths(const float *x, const float *row, const float *col, int64_t cols,
                              float lambda, shorts start, uint16_t *choice, int16_t *out)
{
    shorts path[2][STATES], cost[SETS], end;
    reals rows[2];
    memcpy(rows, row, sizeof rows);
    for (unsigned s = 0; s < STATES; s++)
        path[0][s] = (start != (int16_t)s) & FAR;
    for (int64_t j = 0; j < cols; j++) {
        if (j % SETTLE == 0)
            rebase_path(path[j & 1]);
        weigh_column(x + j * LORT_LANES, rows, col[j], lambda, cost, out + j * LORT_LANES);
        advance_states(path[j & 1], cost, path[~j & 1], choice + j * COLUMN_CHOICES);
    }
    best_ends(path[cols & 1], &end);
    trace_paths(end, choice, cols, out);
    return end;
}

LORT_VECTORS(lort_trellis_encode,
             (const float *x, const float *row, const float *col, int64_t cols, float lambda,
              uint16_t *choice, int16_t *out),
             (x, row, col, cols, lambda, choice, out))
{
    find_paths(x, row, col, cols, lambda, (shorts){0}, choice, out);
}

LORT_VECTORS(lort_trellis_go_on,
             (const float *x, const float *row, const float *col, int64_t cols, float lambda,
              lort_trellis_states *states, uint16_t *choice, int16_t *out),
             (x, row, col, cols, lambda, states, choice, out))
{
    shorts start;
    memcpy(&start, states->of, sizeof start);
    const shorts end = find_paths(x, row, col, cols, lambda, start, choice, out);
    memcpy(states->of, &end, sizeof end);
}
