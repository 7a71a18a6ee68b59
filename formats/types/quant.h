/* quant: decodes ggml's block-quantised types to f32, bit for bit as llama.cpp does, and encodes
 * f32 to Q8_0. quant.c has a picture of each block above its decoder. Source of the layouts:
 * ggml-common.h and ggml-quants.c. */
#ifndef LORT_FORMATS_TYPES_QUANT_H
#define LORT_FORMATS_TYPES_QUANT_H

#include <stdint.h>

/* Decodes n elements from whole blocks. src: any alignment. dst: n floats, no overlap. n: elements,
 * not blocks; a multiple of the block size (formats/types/dtype.h). A rest is not decoded. */
typedef void lort_decode_fn(const void *src, float *dst, uint64_t n);

lort_decode_fn lort_decode_q4_0, lort_decode_q4_1, lort_decode_q5_0, lort_decode_q5_1,
    lort_decode_q8_0;
lort_decode_fn lort_decode_q2_k, lort_decode_q3_k, lort_decode_q4_k, lort_decode_q5_k,
    lort_decode_q6_k;
lort_decode_fn lort_decode_iq4_nl, lort_decode_iq4_xs, lort_decode_tq1_0, lort_decode_tq2_0,
    lort_decode_mxfp4;
lort_decode_fn lort_decode_nvfp4, lort_decode_q1_0, lort_decode_q2_0;

/* Encodes n numbers, a multiple of 32, to Q8_0: 34/32 n bytes (any alignment, no overlap). The
 * scale of a block is its largest magnitude over 127 in F16. The scale is rounded up if the
 * magnitude would otherwise lie more than half a step outside. A step is at least 2^-24. Numbers up
 * to 8.3 million err by half a step at most. Larger numbers, Inf too, become 127 steps of at most
 * 65504. NaN becomes a number. */
void lort_store_q8_0(const float *src, void *dst, uint64_t n);

#endif
