/* encode: fills ggml's block types with the codes and scales of least weighted squared error.
 *
 * The weight of an element x is (2 sigma^2 + x^2)^p, where sigma^2 is the mean square of its block
 * and p belongs to the type, times the importance of its column. The layouts are those of quant.c,
 * whose decoders give back what these functions chose. docs/NUMERICS.md has the method, "Block
 * types of ggml". */
#ifndef LORT_FORMATS_TYPES_ENCODE_H
#define LORT_FORMATS_TYPES_ENCODE_H

#include "formats/types/dtype.h"

/* Encodes n finite numbers, which are whole blocks. importance: [n], finite and at least 0, or
 * NULL: all 1. dst: the bytes of the blocks, any alignment, no overlap. Equal inputs give equal
 * bytes on every processor. Threads: any number at a time. */
typedef void lort_quantise_fn(const float *x, const float *importance, uint64_t n, void *dst);

/* Returns the encoder of Q8_0, Q6_K, Q5_K, Q4_K, Q3_K, Q2_K, IQ4_XS, IQ4_NL, Q5_1, Q5_0, Q4_1 or
 * Q4_0, or NULL for other types. */
lort_quantise_fn *lort_dtype_quantiser(lort_dtype id);

#endif
