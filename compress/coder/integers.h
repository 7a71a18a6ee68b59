/* integers: blocks of weights to integers. Pure arithmetic; stream.h codes the integers.
 *
 *   standard deviation of weight (r, c)  ~  2^((row code + column code) / 4)
 *   class    = (row code + column code - base) / 2^shift, limited to 0..15
 *   context  = 2 * class + quantiser of the trellis; each context has its own table
 *
 * A code counts quarter octaves. LoRT walks the weights LORT_LANES rows at a time, column by
 * column. So a reader can follow that many chains side by side. Source: docs/FORMAT.md, "Quantised
 * blocks". */
#ifndef LORT_COMPRESS_CODER_INTEGERS_H
#define LORT_COMPRESS_CODER_INTEGERS_H

#include "compress/coder/trellis.h"
#include "formats/container/container.h"
#include <math.h>
#include <stdbool.h>

/* 16 classes of a quarter octave; 32 gained nothing (docs/NUMERICS.md, "Choices") */
#define LORT_CLASSES 16
#define LORT_CONTEXTS (2 * LORT_CLASSES) /* class * 2 + quantiser */
/* Lagrange multiplier of the rate in the trellis, in steps^2 per bit. Theory at high rate: the
 * slope of rate against distortion is 2 ln 2 x 0.25. Values from 0.25 to 0.55 gave bits within
 * 0.003 of each other (docs/NUMERICS.md). */
#define LORT_INTEGERS_LAMBDA 0.4f

/* Computes the sums of squares of the rows and of the columns of weights [rows][cols], and the
 * largest square. row_sums: [rows]; col_sums: [cols]. NaN and Inf in a weight show in the sum of
 * its row. */
void lort_energies(const float *weights, int64_t rows, int64_t cols, double *row_sums,
                   double *col_sums, double *peak);

/* Returns the code of a root mean square, round(4 log2 sqrt(energy / count)) + 128, limited to
 * 1..255. Code 128 stands for 1.0. Returns 0 if there is no energy. */
uint8_t lort_scale_code(double energy, int64_t count);

typedef struct lort_feedback lort_feedback;
typedef struct lort_block { /* rows x cols of one slice, row-major */
    int64_t rows, cols;
    const uint8_t *row_codes, *col_codes; /* [rows], [cols] */
    int32_t base;                         /* sum of codes at the lower end of class 0 */
    uint8_t shift;                        /* a class is 1 << shift quarter octaves wide */
    /* writers: mean square of the slice's weights; a row and a column of code 128 stand for it */
    double mean2;
    bool show; /* writers: the caller wants the values that a reader will get */
    /* writers: of the columns (feedback.h); NULL: errors do not go on to later columns */
    const lort_feedback *feedback;
    const uint8_t *row_scales; /* writers, with feedback: [rows] codes; NULL: no scales of rows */
} lort_block;

/* Returns the first `rows` rows of the block at `place`. codes: the codes of the slice's slice_rows
 * rows, then those of its columns. The caller must set base and shift. */
lort_block lort_block_at(const lort_block_place *place, int64_t rows, const uint8_t *codes,
                         int64_t slice_rows);
/* Sets base and shift of a block from its codes and its number of weights. */
void lort_block_classes(lort_block *block);
static inline unsigned lort_block_class(const lort_block *block, int32_t codes)
{
    int32_t class = codes < block->base ? 0 : (codes - block->base) >> block->shift;
    return class < LORT_CLASSES ? (unsigned)class : LORT_CLASSES - 1;
}

/* How a reader turns k into steps: one[context] for |k| = 1, gain[context] * n beyond. The units
 * are 2^-12 for `one` and 2^-15 for `gain`. */
typedef struct lort_levels {
    uint16_t one[LORT_CONTEXTS], gain[LORT_CONTEXTS];
} lort_levels;

/* The integers of one block. */
typedef struct lort_integers {
    /* 2 k + quantiser, [groups][cols][LORT_LANES], in the scratch; undefined in lanes without a row
     */
    int16_t *coded;
    uint32_t count[LORT_CONTEXTS];
    uint8_t low[LORT_CONTEXTS]; /* bits of k that are stored beside its symbol */
    lort_levels levels;         /* at the centroids */
    /* sum of (weight - decoded)^2 in units of the weights, without the rounding to f32 */
    double error2;
    double loss; /* with feedback: as lort_feedback_quantise gives it */
} lort_integers;

/* Returns the bytes of scratch for a block of at most this many weights and columns. */
uint64_t lort_quantise_scratch(int64_t weights, int64_t cols);
/* Quantises weights [rows][cols], f32 and finite, with step > 0. scratch: lort_quantise_scratch
 * bytes; out->coded points into it. Source: docs/NUMERICS.md, "Integers". */
void lort_integers_of_block(const lort_block *block, const float *weights, float step,
                            void *scratch, lort_integers *out);
/* The same with block->feedback. targets: room for [rows][cols]. */
void lort_integers_fed_back(const lort_block *block, const float *weights, float step,
                            void *scratch, float *targets, lort_integers *out);
/* Returns 2^(-(code - 128) / 2), which is 1 / variance for a code of quarter octaves. The result
 * has the same bits on every machine. */
static inline float lort_inverse_variance(uint8_t code)
{
    const int halves = code ? 128 - code : 0;
    return ldexpf(halves & 1 ? 1.4142135f : 1.0f, (halves - (halves & 1)) / 2);
}

#endif
