/* half: converts f16, bf16 and f8 numbers to and from f32. Widening is exact, also for subnormals,
 * Inf and NaN. Narrowing rounds to nearest, ties to even, and overflow becomes Inf (IEEE 754-2019,
 * 4.3.1). Byte arrays may be unaligned. Source and destination must not overlap. */
#ifndef LORT_FORMATS_TYPES_HALF_H
#define LORT_FORMATS_TYPES_HALF_H

#include "formats/types/vectors.h"
#include <stdint.h>
#include <string.h>

/* A float from its bits, and the bits of a float. */
LORT_INLINE float lort_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

LORT_INLINE uint32_t lort_to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

float lort_f16_to_f32(uint16_t h);
uint16_t lort_f32_to_f16(float f); /* NaN stays NaN and becomes quiet */

/* Arrays of n little-endian elements. The _load_ functions read bytes, the _store_ functions write
 * bytes. */
void lort_load_f16(const void *src, float *dst, uint64_t n);
void lort_load_bf16(const void *src, float *dst, uint64_t n);
void lort_load_f32(const void *src, float *dst, uint64_t n);
void lort_load_f64(const void *src, float *dst, uint64_t n); /* rounds to f32 */
void lort_store_f16(const float *src, void *dst, uint64_t n);
void lort_store_bf16(const float *src, void *dst, uint64_t n);
void lort_store_f32(const float *src, void *dst, uint64_t n);

/* The 8-bit types of safetensors: OCP FP8, OCP MX E8M0, and FNUZ. FNUZ has one NaN at 0x80, no Inf
 * and no -0. */
void lort_load_f8_e4m3(const void *src, float *dst, uint64_t n);
void lort_load_f8_e5m2(const void *src, float *dst, uint64_t n);
void lort_load_f8_e4m3fnuz(const void *src, float *dst, uint64_t n);
void lort_load_f8_e5m2fnuz(const void *src, float *dst, uint64_t n);
void lort_load_f8_e8m0(const void *src, float *dst, uint64_t n);

#endif
