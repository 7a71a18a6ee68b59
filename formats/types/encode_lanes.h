/* encode_lanes: what the parts of the encoders share. Eight sub-blocks lie side by side in the
 * lanes of a vector, so no sum runs across a vector, and every processor gets the same results.
 * Vectors are those of GNU C: gcc and clang translate them to the instructions of the target.
 *
 * A block of 16 sub-blocks has two vectors of lanes. A type of 32 elements takes eight blocks at a
 * time. Numbers are in units of a power of two, so that no square overflows or vanishes. */
#ifndef LORT_FORMATS_TYPES_ENCODE_LANES_H
#define LORT_FORMATS_TYPES_ENCODE_LANES_H

#include "formats/types/encode.h"
#include "formats/types/vectors.h"

enum { LORT_SIDE = 8, LORT_DEEP = 32, LORT_VECTORS_MOST = 2 };

typedef float lort_f32x8 __attribute__((vector_size(4 * LORT_SIDE)));
typedef int32_t lort_i32x8 __attribute__((vector_size(4 * LORT_SIDE)));

/* Sub-blocks of one vector. */
typedef struct lort_side {
    lort_f32x8 x[LORT_DEEP], w[LORT_DEEP]; /* numbers and weights: [element][lane] */
    lort_f32x8 w_sum, wx_sum, wxx_sum;
} lort_side;

/* The levels of codes: integers low .. high, or the 16 levels of the IQ4 types. */
typedef enum lort_levels { LORT_STEPS, LORT_STEPS_MIN, LORT_IQ4 } lort_levels;

typedef struct lort_packed lort_packed;

/* A block type: a row of the table in encode.c. */
typedef struct lort_grid {
    lort_dtype id;
    lort_levels levels;
    int depth, lanes;    /* elements of a sub-block; sub-blocks of a block: 1, 8 or 16 */
    float low, high;     /* of codes (steps) */
    float s_low, s_high; /* of the stored scales; 1 where the block has one scale */
    float m_high;        /* of the stored minima, from 0 */
    int starts, shifts;  /* of the search: ranges of from + i by codes, and shifts of each */
    float from, by;
    int tries, rounds, reach; /* values of d to begin with, refits of each, neighbours */
    float step;               /* between the values */
    int roots;                /* the weight is (2 sigma^2 + x^2)^p; p is 2^-roots, and 0 if none */
    int block_bytes;
    void (*pack)(const lort_packed *, uint8_t *block);
} lort_grid;

/* One block as integers. codes: from 0. */
struct lort_packed {
    uint16_t d, m;
    int8_t scales[16];
    uint8_t mins[16], codes[256];
};

/* Weighted sums over the elements of a lane, of codes q and numbers x. */
typedef struct lort_sums {
    lort_f32x8 q, qq, qx;
} lort_sums;

/* Selects a where the mask is -1, b where it is 0. */
LORT_INLINE lort_f32x8 lort_pick(lort_i32x8 mask, lort_f32x8 a, lort_f32x8 b)
{
    return (lort_f32x8)(((lort_i32x8)a & mask) | ((lort_i32x8)b & ~mask));
}

LORT_INLINE lort_f32x8 lort_splat(float f) { return f - (lort_f32x8){0}; }

LORT_INLINE lort_f32x8 lort_least(lort_f32x8 a, lort_f32x8 b) { return lort_pick(a < b, a, b); }

LORT_INLINE lort_f32x8 lort_most(lort_f32x8 a, lort_f32x8 b) { return lort_pick(a > b, a, b); }

LORT_INLINE lort_f32x8 lort_magnitude(lort_f32x8 a)
{
    return (lort_f32x8)((lort_i32x8)a & INT32_MAX);
}

/* Rounds numbers below 2^22 to nearest, ties to even; larger ones stay large. */
LORT_INLINE lort_f32x8 lort_round(lort_f32x8 a) { return a + 0x1.8p23f - 0x1.8p23f; }

LORT_INLINE lort_f32x8 lort_bound(lort_f32x8 a, float low, float high)
{
    return lort_least(lort_most(a, lort_splat(low)), lort_splat(high));
}

/* 1 / a, and 0 where a is too near to 0. */
LORT_INLINE lort_f32x8 lort_inverse(lort_f32x8 a)
{
    const lort_i32x8 fine = lort_magnitude(a) > 1e-36f;
    return lort_pick(fine, 1 / lort_pick(fine, a, lort_splat(1)), lort_splat(0));
}

/* Codes of numbers in units of the scale. */
LORT_INLINE lort_f32x8 lort_step_level(const lort_grid *grid, lort_f32x8 t)
{
    return lort_bound(lort_round(t), grid->low, grid->high);
}

extern const float lort_iq4_nearest[512];

/* The level nearest to t: a table at steps of a half, between which no two levels meet. */
LORT_INLINE lort_f32x8 lort_iq4_level(lort_f32x8 t)
{
    const lort_i32x8 at = __builtin_convertvector(lort_bound(2 * t, -255, 255) + 256, lort_i32x8);
    const float *n = lort_iq4_nearest;
    return (lort_f32x8){n[at[0]], n[at[1]], n[at[2]], n[at[3]],
                        n[at[4]], n[at[5]], n[at[6]], n[at[7]]};
}
#endif
