/* Viterbi's search over LORT_LANES rows at once, in the vectors of GNU C (gcc and clang lower them to what the target has). Only + - * / and
 * comparisons, so every machine finds the same path. */
#include "compress/trellis.h"
#include <string.h>

#define STATES 8
#define SETTLE 32 /* columns after which the least cost is taken off all, so that f32 stays exact enough */

#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define VECTORS __attribute__((target_clones("default", "avx2")))
#else
#define VECTORS
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float reals __attribute__((vector_size(4 * LORT_LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LORT_LANES)));

#define SELECT(mask, a, b) ((reals)(((mask) & (ints)(a)) | (~(mask) & (ints)(b))))
#define TRUNCATE(a) __builtin_convertvector(__builtin_convertvector(a, ints), reals)
#define MAGNITUDE(a) ((reals)((ints)(a) & 0x7FFFFFFF))

/* The four sets of multiples a branch may end in, as quantiser * 2 + parity of k: 0 4 8 ..., 2 6 10 ..., 0 3 7 ..., 1 5 9 ... */
enum { FOURS, TWOS, THREES, ONES };
static const float shift_of[4] = {0.5f, 0.0f, -0.25f, 0.25f}, base_of[4] = {0, 2, 3, 1};

/* Branches into state t come from t >> 1 and from t >> 1 | 4. */
INLINE unsigned from(unsigned t, unsigned upper) { return t >> 1 | upper << 2; }
INLINE unsigned set_of(unsigned t, unsigned s) { return lort_trellis_quantiser(s) * 2 + ((t ^ s ^ s >> 2) & 1); }

/* What each set costs: x = value shrunk to where (x - n)^2 + rate is least, w = 1 + rate weight. Zero and one of quantiser 1 have narrower
 * bins, so log2(2 / width) bits more. */
INLINE void set_costs(reals a, reals w, float lambda, float border, reals cost[4])
{
    for (unsigned set = 0; set < 4; set++) {
        const reals t = TRUNCATE(a * 0.25f + shift_of[set]) * 4.0f + base_of[set], d = a - t;
        cost[set] = w * d * d;
        if (set == ONES)
            cost[set] += (reals)((t == 1.0f) & (ints)(0.415f * lambda - 0.0f * t));
        if (set == THREES)
            cost[set] = SELECT(a < border, w * a * a + lambda, cost[set]);
    }
}

/* One column: the better of two branches into each state; bit t of the result says that it was the upper one. */
INLINE ints advance(reals path[STATES], const reals cost[4])
{
    reals next[STATES];
    ints choice = {0};
    for (unsigned t = 0; t < STATES; t++) {
        const reals lower = path[from(t, 0)] + cost[set_of(t, from(t, 0))], upper = path[from(t, 1)] + cost[set_of(t, from(t, 1))];
        const ints better = upper < lower;
        next[t] = SELECT(better, upper, lower);
        choice |= better & (int32_t)(1u << t);
    }
    memcpy(path, next, sizeof next);
    return choice;
}

INLINE void settle(reals path[STATES])
{
    reals least = path[0];
    for (unsigned s = 1; s < STATES; s++)
        least = SELECT(path[s] < least, path[s], least);
    for (unsigned s = 0; s < STATES; s++)
        path[s] -= least;
}

INLINE ints best_ends(const reals path[STATES])
{
    reals least = path[0];
    ints state = {0};
    for (int32_t s = 1; s < STATES; s++) {
        const ints better = path[s] < least;
        least = SELECT(better, path[s], least);
        state = (better & s) | (~better & state);
    }
    return state;
}

/* From the ends back: which branch was taken, and so which multiple; as 2 k + quantiser. */
INLINE ints trace(reals v, ints choice, float border, ints *state)
{
    const ints t = *state, s = t >> 1 | (choice >> t & 1) << 2;
    const ints q = -(s >> 1 & 1), p = -((t ^ s ^ s >> 2) & 1);
    const reals a = MAGNITUDE(v);
    const reals shift = SELECT(q, SELECT(p, shift_of[ONES] + 0 * a, shift_of[THREES] + 0 * a), SELECT(p, 0 * a, shift_of[FOURS] + 0 * a));
    const reals base = SELECT(q, SELECT(p, 1.0f + 0 * a, 3.0f + 0 * a), SELECT(p, 2.0f + 0 * a, 0 * a));
    const reals m = TRUNCATE(a * 0.25f + shift) * 4.0f + base;
    const ints n = __builtin_convertvector(m, ints) & ~(q & ~p & (a < border)), negative = v < 0;
    const ints k = (n - (q & (n > 0))) >> 1; /* (n + 1) / 2 of an odd n */
    *state = s;
    return ((k ^ negative) - negative) * 2 - q;
}

VECTORS void lort_trellis_encode(float *x, const float *row, const float *col, int64_t cols, float lambda, uint8_t *choice, int16_t *out)
{
    const float border = 1.5f + lambda / 6.0f;
    reals path[STATES], cost[4], rows;
    memcpy(&rows, row, sizeof rows);
    for (unsigned s = 0; s < STATES; s++)
        path[s] = (reals){0} + (s == 0 ? 0.0f : 1e30f);
    for (int64_t j = 0; j < cols; j++) {
        reals v;
        memcpy(&v, x + j * LORT_LANES, sizeof v);
        const reals w = rows * col[j] + 1.0f;
        v /= w;
        memcpy(x + j * LORT_LANES, &v, sizeof v);
        set_costs(MAGNITUDE(v), w, lambda, border, cost);
        const ints taken = advance(path, cost);
        for (int l = 0; l < LORT_LANES; l++)
            choice[j * LORT_LANES + l] = (uint8_t)taken[l];
        if (j % SETTLE == SETTLE - 1)
            settle(path);
    }
    ints state = best_ends(path);
    for (int64_t j = cols - 1; j >= 0; j--) {
        reals v;
        ints taken;
        memcpy(&v, x + j * LORT_LANES, sizeof v);
        for (int l = 0; l < LORT_LANES; l++)
            taken[l] = choice[j * LORT_LANES + l];
        const ints value = trace(v, taken, border, &state);
        for (int l = 0; l < LORT_LANES; l++)
            out[j * LORT_LANES + l] = (int16_t)value[l];
    }
}
