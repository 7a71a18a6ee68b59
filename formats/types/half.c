/* half: works on the bits of f16, bf16, f8 and f32. It does not touch the rounding mode. It does
 * not use F16C, which makes NaN quiet. One portable form, compiled for each kind of processor,
 * gives equal bits everywhere and is fast enough.
 *
 * gcc -O2 vectorises a loop only if it knows the length, and if the pointers cannot alias. So loops
 * have blocks of a fixed length, and the parameters themselves have `restrict`. */
#include "formats/types/half.h"
#include "formats/base/bytes.h"

/* Runs `statement` for i = 0 .. n - 1, in blocks of 32. */
#define FOR_EACH(i, n, statement)                                                                  \
    do {                                                                                           \
        uint64_t base_ = 0;                                                                        \
        for (; n - base_ >= 32; base_ += 32)                                                       \
            for (uint64_t k_ = 0; k_ < 32; k_++) {                                                 \
                const uint64_t i = base_ + k_;                                                     \
                statement;                                                                         \
            }                                                                                      \
        for (uint64_t i = base_; i < n; i++) {                                                     \
            statement;                                                                             \
        }                                                                                          \
    } while (0)

/* Returns `yes` if the condition is 1, `no` if it is 0. It uses a mask: gcc makes a branch of ?: on
 * float results, and a branch stops vectorisation. */
LORT_INLINE uint32_t choose_bits(uint32_t condition, uint32_t yes, uint32_t no)
{
    return no ^ ((yes ^ no) & (0u - condition));
}

/* All ones if a > b, else zero. Both are below 2^31, because SSE2 compares signed numbers only. */
LORT_INLINE uint32_t mask_above(uint32_t a, uint32_t b)
{
    return 0u - (uint32_t)((int32_t)a > (int32_t)b);
}

/* Widens a small float without its sign, as if all its values were finite. moved: its bits, with
 * the fraction at f32's place, so that only the bias of the exponent has to change. A subnormal
 * gets exponent 1 and so an implicit one that it does not have. The subtraction takes that one away
 * exactly, as no f32 subnormal takes part. A normal number subtracts zero. */
LORT_INLINE uint32_t widen_bits(uint32_t moved, uint32_t bias)
{
    const uint32_t one = (128 - bias) << 23, normal = mask_above(moved, (1u << 23) - 1);
    return lort_to_bits(lort_from_bits(moved + one + (normal << 23)) -
                        lort_from_bits(one & ~normal));
}

LORT_INLINE float f16_to_f32(uint16_t h)
{
    const uint32_t spread = (uint32_t)(int16_t)h << 13, moved = spread & 0x0fffe000u;
    const uint32_t special = mask_above(moved, 0x0f7fffffu) & (uint32_t)(255 - 31 - 112) << 23;
    return lort_from_bits((widen_bits(moved, 15) + special) | (spread & 1u << 31));
}

/* Below 2^-14 the spacing of f16 is 2^-24. At 0.5 that is the spacing of f32, so adding 0.5 rounds
 * at the right place. */
LORT_INLINE uint16_t f32_to_f16(float f)
{
    const uint32_t bits = lort_to_bits(f), magnitude = bits & 0x7fffffffu;
    const uint32_t nan = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    const uint32_t large = choose_bits(magnitude > 0x7f800000u, nan, 0x7c00u);
    const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    const uint32_t small = lort_to_bits(lort_from_bits(magnitude) + 0.5f) - lort_to_bits(0.5f);
    uint32_t result = choose_bits(magnitude < 113u << 23, small, normal);
    /* 65520 is halfway from the largest f16 to the next number. */
    result = choose_bits(magnitude >= 0x477ff000u, large, result);
    return (uint16_t)(result | (bits >> 16 & 0x8000u));
}

LORT_INLINE float bf16_to_f32(uint16_t h) { return lort_from_bits((uint32_t)h << 16); }

LORT_INLINE uint16_t f32_to_bf16(float f)
{
    const uint32_t bits = lort_to_bits(f);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)choose_bits((bits & 0x7fffffffu) > 0x7f800000u, bits >> 16 | 0x40u, rounded);
}

LORT_INLINE float f64_to_f32(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return (float)d;
}

#define QUIET_NAN 0x7fc00000u

LORT_INLINE float e4m3_to_f32(uint8_t b)
{
    const uint32_t magnitude = b & 0x7fu;
    return lort_from_bits(
        choose_bits(magnitude == 0x7fu, QUIET_NAN, widen_bits(magnitude << 20, 7)) |
        (uint32_t)(b & 0x80u) << 24);
}

LORT_INLINE float e5m2_to_f32(uint8_t b)
{
    return f16_to_f32((uint16_t)(b << 8)); /* E5M2 is an f16 without its low byte */
}

LORT_INLINE float fnuz_to_f32(uint8_t b, uint32_t fraction, uint32_t bias)
{
    const uint32_t value =
        widen_bits((uint32_t)(b & 0x7fu) << (23 - fraction), bias) | (uint32_t)(b & 0x80u) << 24;
    return lort_from_bits(choose_bits(b == 0x80u, QUIET_NAN, value));
}

/* 2^(b - 127). 2^-127 is below the normal range of f32. */
LORT_INLINE float e8m0_to_f32(uint8_t b)
{
    return lort_from_bits(
        choose_bits(b == 0xffu, QUIET_NAN, choose_bits(b == 0, 0x00400000u, (uint32_t)b << 23)));
}

float lort_f16_to_f32(uint16_t h) { return f16_to_f32(h); }

uint16_t lort_f32_to_f16(float f) { return f32_to_f16(f); }

LORT_VECTORS(lort_load_f16, (const void *restrict src, float *restrict dst, uint64_t n),
             (src, dst, n))
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = f16_to_f32(lort_load_u16(in + 2 * i)));
}

void lort_load_bf16(const void *restrict src, float *restrict dst, uint64_t n)
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = bf16_to_f32(lort_load_u16(in + 2 * i)));
}

void lort_load_f32(const void *restrict src, float *restrict dst, uint64_t n)
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = lort_from_bits(lort_load_u32(in + 4 * i)));
}

void lort_load_f64(const void *restrict src, float *restrict dst, uint64_t n)
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = f64_to_f32(lort_load_u64(in + 8 * i)));
}

LORT_VECTORS(lort_store_f16, (const float *restrict src, void *restrict dst, uint64_t n),
             (src, dst, n))
{
    uint8_t *out = dst;
    FOR_EACH(i, n, lort_store_u16(out + 2 * i, f32_to_f16(src[i])));
}

LORT_VECTORS(lort_store_bf16, (const float *restrict src, void *restrict dst, uint64_t n),
             (src, dst, n))
{
    uint8_t *out = dst;
    FOR_EACH(i, n, lort_store_u16(out + 2 * i, f32_to_bf16(src[i])));
}

void lort_store_f32(const float *restrict src, void *restrict dst, uint64_t n)
{
    uint8_t *out = dst;
    FOR_EACH(i, n, lort_store_u32(out + 4 * i, lort_to_bits(src[i])));
}

LORT_VECTORS(lort_load_f8_e4m3, (const void *restrict src, float *restrict dst, uint64_t n),
             (src, dst, n))
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = e4m3_to_f32(in[i]));
}

LORT_VECTORS(lort_load_f8_e5m2, (const void *restrict src, float *restrict dst, uint64_t n),
             (src, dst, n))
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = e5m2_to_f32(in[i]));
}

LORT_VECTORS(lort_load_f8_e4m3fnuz, (const void *restrict src, float *restrict dst, uint64_t n),
             (src, dst, n))
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = fnuz_to_f32(in[i], 3, 8));
}

LORT_VECTORS(lort_load_f8_e5m2fnuz, (const void *restrict src, float *restrict dst, uint64_t n),
             (src, dst, n))
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = fnuz_to_f32(in[i], 2, 16));
}

LORT_VECTORS(lort_load_f8_e8m0, (const void *restrict src, float *restrict dst, uint64_t n),
             (src, dst, n))
{
    const uint8_t *in = src;
    FOR_EACH(i, n, dst[i] = e8m0_to_f32(in[i]));
}
