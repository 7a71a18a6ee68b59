/* quant: ggml's block-quantised types to f32, bit for bit as llama.cpp decodes them, and f32 to
 * Q8_0. A picture of each block stands above its decoder in quant.c. Layouts: docs/ARCHITECTURE.md
 * names the source (ggml-common.h, ggml-quants.c). */
#ifndef LORT_FORMATS_TYPES_QUANT_H
#define LORT_FORMATS_TYPES_QUANT_H

#include <stdint.h>

/* Decodes n elements from whole blocks at src (any alignment) into dst (n floats, no overlap). */
typedef void lort_decode_fn(const void *src, float *dst, uint64_t n);

/* n is a number of ELEMENTS, a multiple of the block size (formats/types/dtype.h); a rest is not
 * decoded. */
lort_decode_fn lort_decode_q4_0, lort_decode_q4_1, lort_decode_q5_0, lort_decode_q5_1,
    lort_decode_q8_0;
lort_decode_fn lort_decode_q2_k, lort_decode_q3_k, lort_decode_q4_k, lort_decode_q5_k,
    lort_decode_q6_k;
lort_decode_fn lort_decode_iq4_nl, lort_decode_iq4_xs, lort_decode_tq1_0, lort_decode_tq2_0,
    lort_decode_mxfp4;
lort_decode_fn lort_decode_nvfp4, lort_decode_q1_0, lort_decode_q2_0;

/* Q8_0 of n numbers, a multiple of 32, into 34/32 n bytes (any alignment, no overlap). The scale of
 * a block is its largest magnitude over 127 in F16, rounded up where rounding down would put that
 * more than half a step outside: numbers up to 8.3 million err by half a step at most, a step being
 * at least 2^-24. What is larger, Inf too, becomes 127 steps of 65504 at most; NaN is a number. */
void lort_store_q8_0(const float *src, void *dst, uint64_t n);

#endif
