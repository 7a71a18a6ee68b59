/* encode_lanes: what the parts of the encoders share. Eight sub-blocks lie side by side in the
 * lanes of a vector. So a sum never runs across a vector, and every processor gets the same bits.
 * Vectors are those of GNU C: gcc and clang translate them to the instructions of the target.
 *
 * A block of 16 sub-blocks takes two vectors. Of types with one scale a block, eight blocks go
 * together. Numbers are in units of a power of two, so that no square overflows or vanishes. */
#ifndef LORT_FORMATS_TYPES_ENCODE_LANES_H
#define LORT_FORMATS_TYPES_ENCODE_LANES_H

#include "formats/types/encode.h"
#include "formats/types/vectors.h"

enum {
    LORT_SIDE = 8,  /* lanes of a vector */
    LORT_DEEP = 32, /* most elements of a sub-block */
    LORT_SIDES = 2, /* most vectors of lanes of a block */
    LORT_AT_ONCE = LORT_SIDE * LORT_DEEP
};

typedef float lort_f32x8 __attribute__((vector_size(4 * LORT_SIDE)));
typedef int32_t lort_i32x8 __attribute__((vector_size(4 * LORT_SIDE)));

/* What a code stands for: scale q; scale q - min; scale times one of the 16 levels of IQ4. */
typedef enum lort_levels { LORT_STEPS, LORT_STEPS_MIN, LORT_IQ4 } lort_levels;

/* One block as integers. codes are from 0 on, in the order of the elements. */
typedef struct lort_packed {
    uint16_t d, m;
    int8_t scales[16];
    uint8_t mins[16], codes[LORT_AT_ONCE];
} lort_packed;

/* A block type: a row of the table in encode.c. */
typedef struct lort_grid {
    lort_levels levels;
    int depth, lanes;        /* elements of a sub-block; sub-blocks of a block: 1, 8 or 16 */
    float low, high;         /* codes; of IQ4, what the levels reach */
    float s_low, s_high;     /* stored scales; 1 where a block has one scale */
    float m_high;            /* stored minima, from 0 on */
    int roots;               /* the weight is (2 sigma^2 + x^2)^p: 0: p = 0, 1: .5, 2: .25 */
    int starts;              /* the search of a scale: where the range begins has `from` ... */
    float from, by;          /* ... codes and more, in steps */
    int shifts;              /* of each range, where there is a minimum */
    int tries;               /* the largest stored scale, to begin with: `top` ... */
    float top, down;         /* ... and less, in steps */
    int rounds, wide, reach; /* refits; how far neighbours are, at first and later */
    int block_bytes;
    void (*pack)(const lort_packed *in, uint8_t *block);
} lort_grid;

/* Sub-blocks of one vector: numbers and weights are [element][lane]. */
typedef struct lort_side {
    lort_f32x8 x[LORT_DEEP], w[LORT_DEEP];
    lort_f32x8 w_sum, wx_sum;
} lort_side;

/* A scale and a minimum for each lane. */
typedef struct lort_fit {
    lort_f32x8 scale, min;
} lort_fit;

/* Selects a where the mask is -1, b where it is 0. */
LORT_INLINE lort_f32x8 lort_pick(lort_i32x8 mask, lort_f32x8 a, lort_f32x8 b)
{
    return (lort_f32x8)(((lort_i32x8)a & mask) | ((lort_i32x8)b & ~mask));
}

LORT_INLINE lort_fit lort_pick_fit(lort_i32x8 mask, lort_fit a, lort_fit b)
{
    return (lort_fit){lort_pick(mask, a.scale, b.scale), lort_pick(mask, a.min, b.min)};
}

LORT_INLINE lort_f32x8 lort_splat(float f) { return (lort_f32x8){f, f, f, f, f, f, f, f}; }

LORT_INLINE lort_f32x8 lort_least(lort_f32x8 a, lort_f32x8 b) { return lort_pick(a < b, a, b); }

LORT_INLINE lort_f32x8 lort_most(lort_f32x8 a, lort_f32x8 b) { return lort_pick(a > b, a, b); }

LORT_INLINE lort_f32x8 lort_magnitude(lort_f32x8 a)
{
    return (lort_f32x8)((lort_i32x8)a & INT32_MAX);
}

/* Rounds numbers below 2^22 to nearest, ties to even. Larger ones stay large. */
LORT_INLINE lort_f32x8 lort_round(lort_f32x8 a) { return a + 0x1.8p23f - 0x1.8p23f; }

/* Bounds, as vectors: compilers would build them anew in each turn of a loop. */
typedef struct lort_bounds {
    lort_f32x8 low, high;
} lort_bounds;

LORT_INLINE lort_bounds lort_bounds_of(float low, float high)
{
    return (lort_bounds){lort_splat(low), lort_splat(high)};
}

LORT_INLINE lort_f32x8 lort_bound(lort_f32x8 a, lort_bounds b)
{
    return lort_least(lort_most(a, b.low), b.high);
}

/* 1 / a, and 0 where a is too near to 0. */
LORT_INLINE lort_f32x8 lort_inverse(lort_f32x8 a)
{
    const lort_i32x8 fine = lort_magnitude(a) > 1e-36f;
    return lort_pick(fine, 1 / lort_pick(fine, a, lort_splat(1)), lort_splat(0));
}

#endif
