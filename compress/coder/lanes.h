/* lanes: LORT_LANES rows of a block side by side, for integers.c, trellis.c and stream.c. Vectors
 * are those of GNU C: gcc and clang translate them to the instructions of the target. */
#ifndef LORT_COMPRESS_CODER_LANES_H
#define LORT_COMPRESS_CODER_LANES_H

#include "compress/coder/integers.h"
#include "formats/types/vectors.h"

typedef uint32_t lort_u32s __attribute__((vector_size(4 * LORT_LANES)));
typedef int32_t lort_i32s __attribute__((vector_size(4 * LORT_LANES)));
typedef float lort_f32s __attribute__((vector_size(4 * LORT_LANES)));
typedef int16_t lort_i16s __attribute__((vector_size(2 * LORT_LANES)));
typedef double lort_f64s __attribute__((vector_size(8 * LORT_LANES)));

/* Builds a vector from X(lane) of each lane. In this form compilers keep the vector out of memory.
 */
#define LORT_EACH(X)                                                                               \
    {                                                                                              \
        X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12), X(13),    \
            X(14), X(15)                                                                           \
    }

LORT_INLINE bool lort_any(lort_i32s mask)
{
    uint64_t words[LORT_LANES / 2], any = 0;
    __builtin_memcpy(words, &mask, sizeof words);
    for (unsigned i = 0; i < LORT_LANES / 2; i++)
        any |= words[i];
    return any != 0;
}

/* Loads one column of the output of lort_trellis_encode. */
LORT_INLINE lort_i32s lort_load_coded(const int16_t *coded)
{
    lort_i16s narrow;
    __builtin_memcpy(&narrow, coded, sizeof narrow);
    return __builtin_convertvector(narrow, lort_i32s);
}

/* A group: LORT_LANES rows of a block, or the rows that are left at its end. */
typedef struct lort_lane_group {
    unsigned lanes;
    lort_i32s active; /* -1 in lanes that have a row, 0 in the others */
    lort_i32s codes;  /* row codes minus the base of the classes */
    int shift;
} lort_lane_group;

LORT_INLINE unsigned lort_group_lanes(const lort_block *block, int64_t row)
{
    return block->rows - row < LORT_LANES ? (unsigned)(block->rows - row) : LORT_LANES;
}

LORT_INLINE lort_lane_group lort_group_at(const lort_block *block, int64_t row)
{
    lort_lane_group g = {.lanes = lort_group_lanes(block, row), .shift = block->shift};
    for (unsigned l = 0; l < g.lanes; l++) {
        g.active[l] = -1;
        g.codes[l] = block->row_codes[row + l] - block->base;
    }
    return g;
}

/* Returns the classes of a group's weights in a column that has this code. */
LORT_INLINE lort_i32s lort_group_classes(const lort_lane_group *g, int32_t col_code)
{
    lort_i32s class = g->codes + col_code;
    class = (class & ~(class >> 31)) >> g->shift;
    const lort_i32s below = (class - LORT_CLASSES) >> 31; /* gcc takes a comparison apart */
    return (class & below) | (~below & (LORT_CLASSES - 1));
}

/* Transposes up to LORT_TILE columns of a group to tile[column][lane]. Lanes without a row repeat
 * the last row. */
#define LORT_TILE 16
LORT_INLINE void lort_to_lanes(const float *rows, int64_t stride, unsigned lanes, int64_t cols,
                               float *tile)
{
    for (unsigned l = 0; l < LORT_LANES; l++) {
        const float *from = rows + (l < lanes ? l : lanes - 1) * stride;
        for (int64_t c = 0; c < cols; c++)
            tile[c * LORT_LANES + l] = from[c];
    }
}

LORT_INLINE void lort_from_lanes(const float *tile, unsigned lanes, int64_t cols, int64_t stride,
                                 float *rows)
{
    for (unsigned l = 0; l < lanes; l++)
        for (int64_t c = 0; c < cols; c++)
            rows[l * stride + c] = tile[c * LORT_LANES + l];
}

#endif
