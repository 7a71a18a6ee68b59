/* residual: blocks of quantised weights <-> bytes for the entropy coder. Pure arithmetic; the coder itself is loader/codec.
 *
 * The standard deviation of a weight is modelled as the product of one of its row and one of its column, both in quarter octaves (the codes below).
 * The sum of the two codes sorts the weights of a block into eight classes; each class has a stream of its own for each of the trellis's two
 * quantisers, so that the entropy coder's table of a stream stands in for a context. docs/FORMAT.md, "Quantised blocks". */
#ifndef LORT_COMPRESS_RESIDUAL_H
#define LORT_COMPRESS_RESIDUAL_H

#include "compress/trellis.h"
#include "formats/container.h"

#define LORT_CLASSES 8
#define LORT_STREAMS (2 * LORT_CLASSES)          /* class * 2 + quantiser */
#define LORT_RESIDUAL_LAMBDA 0.35f               /* steps^2 per bit: the slope of rate against distortion at high rate, 2 ln 2 x 0.25 */

/* Quarter octaves of a root mean square: round(4 log2 sqrt(energy / count)), 0 for no energy, in 1..255 with 128 = 1.0 otherwise. */
uint8_t lort_scale_code(double energy, int64_t count);

typedef struct lort_block { /* rows x cols of one slice, row-major */
    int64_t rows, cols;
    const uint8_t *row_codes, *col_codes; /* [rows], [cols] */
    int32_t base;                         /* code sum of class 0's lower end */
    uint8_t shift;                        /* quarter octaves of a class: 1 << shift */
} lort_block;

/* The first `rows` rows of a block of a slice, by the slice's codes: those of its slice_rows rows, then of its columns. base and shift are left 0. */
lort_block lort_block_at(const lort_block_place *place, int64_t rows, const uint8_t *codes, int64_t slice_rows);
/* Chooses base and shift from the codes and the number of weights. */
void lort_block_classes(lort_block *block);
static inline unsigned lort_block_class(const lort_block *block, int32_t codes)
{
    int32_t class = codes < block->base ? 0 : (codes - block->base) >> block->shift;
    return class < LORT_CLASSES ? (unsigned)class : LORT_CLASSES - 1;
}

/* How a reader turns k back into steps: one[stream] for |k| = 1, gain[stream] * n beyond. Units of 2^-12 and 2^-15. */
typedef struct lort_levels {
    uint16_t one[LORT_STREAMS], gain[LORT_STREAMS];
} lort_levels;

/* What the weights of a block became. */
typedef struct lort_quantised {
    int16_t *k;                   /* [rows * cols] in stream order: all of stream 0, then of stream 1, ...; NULL: not wanted */
    uint32_t count[LORT_STREAMS];
    lort_levels levels;           /* centroids */
    double error2;                /* sum of (weight - decoded)^2 but for the rounding of f32, in units of the weights */
} lort_quantised;

/* Bytes of scratch that quantising a block of at most so many weights and columns takes, besides k. */
uint64_t lort_quantise_scratch(int64_t weights, int64_t cols);
/* weights: [rows][cols] f32, finite. step > 0. out->k is the caller's, [rows * cols], or NULL. */
void lort_quantise(const lort_block *block, const float *weights, float step, void *scratch, lort_quantised *out);

/* Weights of a block out of its ks: [rows][cols]. The k of each stream must be as many as the block asks for: LORT_E_DAMAGED otherwise. */
lort_code lort_dequantise(const lort_block *block, const int16_t *k, const uint32_t *count, const lort_levels *levels, float step, float *out,
                          lort_error *err);

/* ---- one stream as bytes ---- */

/* Groups 1 to 5 put so many ks into a byte, over an alphabet of 255, 15, 6, 4 or 3 symbols whose last says "in the escapes". LORT_GROUP_SPLIT codes k / 4,
 * rounded down, over 255 symbols, and appends the two low bits, four ks to a byte; an escaped k has low bits too, and they are zero. */
#define LORT_GROUP_SPLIT 6
#define LORT_GROUPS 6
uint64_t lort_pack_symbols(uint64_t count, unsigned group);                  /* bytes of the symbols */
uint64_t lort_pack_bytes(uint64_t count, unsigned group, uint64_t escapes);  /* of all: symbols, low bits, escapes at two bytes each */
/* Writes all of it and returns the number of escapes. bytes: room for lort_pack_bytes(count, group, count). */
uint64_t lort_pack(const int16_t *k, uint64_t count, unsigned group, uint8_t *bytes);
/* LORT_E_DAMAGED if a byte is none of the alphabet's, or the escapes are not as many as there are. */
lort_code lort_unpack(const uint8_t *bytes, uint64_t count, unsigned group, uint64_t escapes, int16_t *k, lort_error *err);

#endif
