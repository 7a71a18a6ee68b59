/* integers: blocks of weights to integers. Pure arithmetic; stream.h has what becomes of them.
 *
 * The standard deviation of a weight is modelled as the product of one of its row and one of its
 * column, both in quarter octaves (the codes below). The sum of the two codes sorts the weights of
 * a block into classes; a class under one of the trellis's two quantisers is a context, with a
 * table of its own. Weights are walked LORT_LANES rows at a time, column by column, so that a
 * reader has as many chains to follow side by side. docs/FORMAT.md, "Quantised blocks". */
#ifndef LORT_COMPRESS_CODER_INTEGERS_H
#define LORT_COMPRESS_CODER_INTEGERS_H

#include "compress/coder/trellis.h"
#include "formats/container/container.h"
#include <stdbool.h>

#define LORT_CLASSES 16
#define LORT_CONTEXTS (2 * LORT_CLASSES) /* class * 2 + quantiser */
/* steps^2 per bit: the slope of rate against distortion at high rate, 2 ln 2 x 0.25 */
#define LORT_INTEGERS_LAMBDA 0.4f

/* Sums of squares of the rows and of the columns of [rows][cols], and the largest square. NaN and
 * Inf in the weights are in a sum of a row. */
void lort_energies(const float *weights, int64_t rows, int64_t cols, double *row_sums,
                   double *col_sums, double *peak);

/* Quarter octaves of a root mean square: round(4 log2 sqrt(energy / count)), 0 for no energy,
 * in 1..255 with 128 = 1.0 otherwise. */
uint8_t lort_scale_code(double energy, int64_t count);

typedef struct lort_block { /* rows x cols of one slice, row-major */
    int64_t rows, cols;
    const uint8_t *row_codes, *col_codes; /* [rows], [cols] */
    int32_t base;                         /* code sum of class 0's lower end */
    uint8_t shift;                        /* quarter octaves of a class: 1 << shift */
    /* writers: mean square of the slice's weights, which have codes of 128 and 128 */
    double mean2;
    bool show; /* writers: the values a reader will get are wanted too */
} lort_block;

/* The first `rows` rows of a block of a slice, by the slice's codes: those of its slice_rows rows,
 * then of its columns. base and shift are left 0. */
lort_block lort_block_at(const lort_block_place *place, int64_t rows, const uint8_t *codes,
                         int64_t slice_rows);
/* Chooses base and shift from the codes and the number of weights. */
void lort_block_classes(lort_block *block);
static inline unsigned lort_block_class(const lort_block *block, int32_t codes)
{
    int32_t class = codes < block->base ? 0 : (codes - block->base) >> block->shift;
    return class < LORT_CLASSES ? (unsigned)class : LORT_CLASSES - 1;
}

/* How a reader turns k back into steps: one[context] for |k| = 1, gain[context] * n beyond. Units
 * of 2^-12 and 2^-15. */
typedef struct lort_levels {
    uint16_t one[LORT_CONTEXTS], gain[LORT_CONTEXTS];
} lort_levels;

/* What the weights of a block became. */
typedef struct lort_integers {
    /* 2 k + quantiser, [groups][cols][LORT_LANES], anything where there is no row; in the scratch
     */
    int16_t *coded;
    uint32_t count[LORT_CONTEXTS];
    uint8_t low[LORT_CONTEXTS]; /* bits of a k to be stored beside its symbol */
    lort_levels levels;         /* centroids */
    /* sum of (weight - decoded)^2 but for the rounding of f32, in units of the weights */
    double error2;
} lort_integers;

/* Bytes of scratch that quantising a block of at most so many weights and columns takes. */
uint64_t lort_quantise_scratch(int64_t weights, int64_t cols);
/* weights: [rows][cols] f32, finite. step > 0. */
void lort_integers_of_block(const lort_block *block, const float *weights, float step,
                            void *scratch, lort_integers *out);

#endif
