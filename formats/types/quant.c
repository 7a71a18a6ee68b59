/* quant: the layouts of ggml's block types. It decodes them, and encodes Q8_0. Blocks are whole
 * (lort_dtype_bytes checked it), and every bit pattern is a legal block, so nothing here can fail.
 * A scale of Inf or NaN gives Inf or NaN; the caller looks for these.
 *
 * The results are llama.cpp's, bit for bit: products are taken in its order, scale first, (d * s) *
 * q. The code is compiled with -ffp-contract=off. Contraction would change nothing: each product
 * fits into f32's 24 bits, and only the last addition rounds.
 *
 * Loops have the form that gcc -O3 vectorises even for SSE2. Outer loops are unrolled so that
 * shifts are constants; inner loops are not. LORT_VECTORS stands where AVX2 or AVX-512 gives a
 * fifth or more. Q4_0 and Q2_K, for example, get slower with AVX2.
 *
 * In the pictures the numbers over a field are byte offsets in the block. d, m and dmin are f16. k
 * is the index of an element. */
#include "formats/types/quant.h"
#include "formats/base/bytes.h"
#include "formats/types/half.h"

typedef void decode_block(const uint8_t *restrict block, float *restrict y);

/* Inlined with a known block function, so that each decoder becomes one loop without calls. */
LORT_INLINE void decode_blocks(const void *src, float *dst, uint64_t n, uint32_t elements,
                               uint32_t bytes, decode_block *block)
{
    const uint8_t *in = src;
    for (; n >= elements; n -= elements, in += bytes, dst += elements)
        block(in, dst);
}

LORT_INLINE float load_half(const uint8_t *p) { return lort_f16_to_f32(lort_load_u16(p)); }

/* Q4_0: y = (q - 8) d
 *
 *   0     2                               18
 *   | d   | qs[16]                        |     qs[i] = q[i + 16] << 4 | q[i]
 */
LORT_INLINE void q4_0(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block);
    const uint8_t *qs = block + 2;
    for (int i = 0; i < 16; i++) {
        y[i] = (float)((qs[i] & 15) - 8) * d;
        y[i + 16] = (float)((qs[i] >> 4) - 8) * d;
    }
}

void lort_decode_q4_0(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 32, 18, q4_0);
}

/* Q4_1: y = q d + m
 *
 *   0     2     4                               20
 *   | d   | m   | qs[16]                        |     qs as in Q4_0
 */
LORT_INLINE void q4_1(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block), m = load_half(block + 2);
    const uint8_t *qs = block + 4;
    for (int i = 0; i < 16; i++) {
        y[i] = (float)(qs[i] & 15) * d + m;
        y[i + 16] = (float)(qs[i] >> 4) * d + m;
    }
}

void lort_decode_q4_1(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 32, 20, q4_1);
}

/* 1 << i, as a table: SSE2 has no shift by lane. */
static const uint32_t bit[16] = {0x1,   0x2,   0x4,   0x8,   0x10,   0x20,   0x40,   0x80,
                                 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000};

/* Q5_0: y = (q - 16) d
 *
 *   0     2           6                               22
 *   | d   | qh u32    | qs[16]                        |
 *
 *   qs: low 4 bits as in Q4_0; bit k of qh: bit 4 of q[k]
 */
LORT_INLINE void q5_0(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block);
    const uint32_t qh = lort_load_u32(block + 2);
    const uint8_t *qs = block + 6;
    LORT_ROLLED
    for (int i = 0; i < 16; i++)
        y[i] = (float)((qs[i] & 15) - (qh & bit[i] ? 0 : 16)) * d;
    LORT_ROLLED
    for (int i = 0; i < 16; i++)
        y[i + 16] = (float)((qs[i] >> 4) - (qh >> 16 & bit[i] ? 0 : 16)) * d;
}

void lort_decode_q5_0(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 32, 22, q5_0);
}

/* Q5_1: y = q d + m
 *
 *   0     2     4           8                               24
 *   | d   | m   | qh u32    | qs[16]                        |     qh and qs as in Q5_0
 */
LORT_INLINE void q5_1(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block), m = load_half(block + 2);
    const uint32_t qh = lort_load_u32(block + 4);
    const uint8_t *qs = block + 8;
    LORT_ROLLED
    for (int i = 0; i < 16; i++)
        y[i] = (float)((qs[i] & 15) + (qh & bit[i] ? 16 : 0)) * d + m;
    LORT_ROLLED
    for (int i = 0; i < 16; i++)
        y[i + 16] = (float)((qs[i] >> 4) + (qh >> 16 & bit[i] ? 16 : 0)) * d + m;
}

void lort_decode_q5_1(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 32, 24, q5_1);
}

/* Q8_0: y = q d
 *
 *   0     2                                       34
 *   | d   | int8 q[32]                            |
 */
LORT_INLINE void q8_0(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block);
    for (int i = 0; i < 32; i++)
        y[i] = (float)(int8_t)block[2 + i] * d;
}

LORT_VECTORS(lort_decode_q8_0, (const void *src, float *dst, uint64_t n), (src, dst, n))
{
    decode_blocks(src, dst, n, 32, 34, q8_0);
}

enum {
    Q8_0_MOST = 127,
    Q8_0_MOST_BITS = 0x42fe0000 /* of 127.0f */,
    F16_MOST = 0x7bff,
    INFINITE = 0x7f800000
};

/* Magnitudes are ordered as their bits are; NaN counts as 0. */
LORT_INLINE float largest_magnitude(const float *restrict x)
{
    int32_t most = 0;
    LORT_ROLLED
    for (int i = 0; i < 32; i++) {
        const int32_t bits = (int32_t)(lort_to_bits(x[i]) & 0x7fffffffu),
                      magnitude = bits > INFINITE ? 0 : bits;
        most = magnitude > most ? magnitude : most;
    }
    return lort_from_bits((uint32_t)most);
}

/* The scale for a largest magnitude, as f16 (quant.h has the rule). */
LORT_INLINE uint16_t q8_0_scale(float most)
{
    const uint16_t d = lort_f32_to_f16(most / Q8_0_MOST);
    if (d >= F16_MOST)
        return F16_MOST;
    return (uint16_t)(d + (lort_f16_to_f32(d) * (Q8_0_MOST + 0.5f) < most));
}

/* Rounds a float of up to 22 bits before the point to nearest, ties to even. Beside 1.5 x 2^23 a
 * float has no bits behind the point. */
LORT_INLINE float nearest_integer(float x) { return x + 0x1.8p23f - 0x1.8p23f; }

/* Numbers as steps of d, NaN as -127. It compares bits, because gcc makes a branch of ?: on
 * floats. */
LORT_INLINE void q8_0_steps(const float *restrict x, float d, uint8_t *restrict out)
{
    LORT_ROLLED
    for (int i = 0; i < 32; i++) {
        const uint32_t bits = lort_to_bits(x[i] / d);
        const int32_t magnitude = (int32_t)(bits & 0x7fffffffu),
                      bounded = magnitude < Q8_0_MOST_BITS ? magnitude : Q8_0_MOST_BITS;
        const uint32_t minus = (bits >> 31 | (uint32_t)(magnitude > INFINITE)) << 31;
        out[i] = (uint8_t)(int32_t)nearest_integer(lort_from_bits((uint32_t)bounded | minus));
    }
}

LORT_VECTORS(lort_store_q8_0, (const float *src, void *dst, uint64_t n), (src, dst, n))
{
    uint8_t *block = dst;
    for (; n >= 32; n -= 32, src += 32, block += 34) {
        const uint16_t scale = q8_0_scale(largest_magnitude(src));
        const float d = scale ? lort_f16_to_f32(scale) : 1;
        lort_store_u16(block, scale);
        q8_0_steps(src, d, block + 2);
    }
}

/* Q2_K: y = (d s) q - dmin m, an s and an m for each 16 elements
 *
 *   0               16                                      80    82     84
 *   | scales[16]    | qs[64]                                | d   | dmin |
 *
 *   scales[g] = m << 4 | s of elements 16 g ..
 *   qs: 32 bytes for each 128 elements;
 *       byte l, from its lowest bits: q of l, l + 32, l + 64, l + 96
 */
LORT_INLINE void q2_k(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block + 80), dmin = load_half(block + 82);
    LORT_UNROLL
    for (int g = 0; g < 16; g++) {
        const float scale = d * (float)(block[g] & 15), min = dmin * (float)(block[g] >> 4);
        const uint8_t *qs = block + 16 + g / 8 * 32 + g % 2 * 16;
        const int shift = g % 8 / 2 * 2;
        LORT_ROLLED
        for (int i = 0; i < 16; i++)
            y[16 * g + i] = scale * (float)(qs[i] >> shift & 3) - min;
    }
}

void lort_decode_q2_k(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 256, 84, q2_k);
}

/* Q3_K: y = (d (s - 32)) (q - 4), a 6-bit s for each 16 elements, q of 3 bits
 *
 *   0               32                                      96              108   110
 *   | hmask[32]     | qs[64]                                | scales[12]    | d   |
 *
 *   qs: the low 2 bits of q, placed as in Q2_K; hmask: bit k / 32 of byte k % 32 is bit 2 of q
 *   scales   bytes 0-7    low nibbles: low 4 bits of s0-s7; high nibbles: of s8-s15
 *            bytes 8-11   byte 8 + i, from its lowest bits:
 *                         high 2 bits of s[i], s[i + 4], s[i + 8], s[i + 12]
 */
LORT_INLINE void q3_k(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block + 108);
    const uint8_t *scales = block + 96;
    LORT_UNROLL
    for (int g = 0; g < 16; g++) {
        const int low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4;
        const int high = scales[8 + g % 4] >> 2 * (g / 4) & 3;
        const float scale = d * (float)((low | high << 4) - 32);
        const uint8_t *qs = block + 32 + g / 8 * 32 + g % 2 * 16, *hmask = block + g % 2 * 16;
        const int shift = g % 8 / 2 * 2;
        LORT_ROLLED
        for (int i = 0; i < 16; i++)
            y[16 * g + i] = scale * (float)((qs[i] >> shift & 3) + (hmask[i] >> g / 2 & 1) * 4 - 4);
    }
}

void lort_decode_q3_k(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 256, 110, q3_k);
}

/* The 12 bytes of Q4_K and Q5_K: a 6-bit scale s and a 6-bit min m for each 32 elements, j = 0..7.
 *
 *              bits 7 6         5 4          3 2 1 0
 *   bytes 0-3  | s[j+4] 5 4  |  s[j], 6 bits       |     j = 0 .. 3
 *   bytes 4-7  | m[j+4] 5 4  |  m[j], 6 bits       |
 *   bytes 8-11 | m[j+4] 3 2 1 0     | s[j+4] 3 2 1 0 |
 */
LORT_INLINE void scale_and_min(const uint8_t *scales, int j, int *s, int *m)
{
    if (j < 4) {
        *s = scales[j] & 63;
        *m = scales[j + 4] & 63;
    } else {
        *s = (scales[j + 4] & 15) | scales[j - 4] >> 6 << 4;
        *m = scales[j + 4] >> 4 | scales[j] >> 6 << 4;
    }
}

/* Q4_K: y = (d s) q - dmin m
 *
 *   0     2      4               16                                               144
 *   | d   | dmin | scales[12]    | qs[128]                                        |
 *
 *   qs: 32 bytes for each 64 elements; byte l holds q[l] in its low, q[l + 32] in its high nibble
 */
LORT_INLINE void q4_k(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block), dmin = load_half(block + 2);
    LORT_UNROLL
    for (int j = 0; j < 8; j++) {
        int s, m;
        scale_and_min(block + 4, j, &s, &m);
        const float scale = d * (float)s, min = dmin * (float)m;
        const uint8_t *qs = block + 16 + j / 2 * 32;
        const int shift = j % 2 * 4;
        LORT_ROLLED
        for (int i = 0; i < 32; i++)
            y[32 * j + i] = scale * (float)(qs[i] >> shift & 15) - min;
    }
}

LORT_VECTORS(lort_decode_q4_k, (const void *src, float *dst, uint64_t n), (src, dst, n))
{
    decode_blocks(src, dst, n, 256, 144, q4_k);
}

/* Q5_K: y = (d s) q - dmin m
 *
 *   0     2      4               16              48                                       176
 *   | d   | dmin | scales[12]    | qh[32]        | qs[128]                                |
 *
 *   qs: low 4 bits as in Q4_K; bit k / 32 of qh[k % 32] is bit 4 of q
 */
LORT_INLINE void q5_k(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block), dmin = load_half(block + 2);
    const uint8_t *qh = block + 16;
    LORT_UNROLL
    for (int j = 0; j < 8; j++) {
        int s, m;
        scale_and_min(block + 4, j, &s, &m);
        const float scale = d * (float)s, min = dmin * (float)m;
        const uint8_t *qs = block + 48 + j / 2 * 32;
        const int shift = j % 2 * 4;
        LORT_ROLLED
        for (int i = 0; i < 32; i++)
            y[32 * j + i] = scale * (float)((qs[i] >> shift & 15) | (qh[i] >> j & 1) << 4) - min;
    }
}

LORT_VECTORS(lort_decode_q5_k, (const void *src, float *dst, uint64_t n), (src, dst, n))
{
    decode_blocks(src, dst, n, 256, 176, q5_k);
}

/* Q6_K: y = (d s) (q - 32), an int8 s for each 16 elements
 *
 *   0                          128             192              208   210
 *   | ql[128]                  | qh[64]        | int8 s[16]     | d   |
 *
 *   For each 128 elements 64 bytes of ql and 32 of qh, l = 0 .. 31:
 *   ql[l]      low nibble: low 4 bits of q[l],       high nibble: of q[l + 64]
 *   ql[l + 32] low nibble: low 4 bits of q[l + 32],  high nibble: of q[l + 96]
 *   qh[l]      from its lowest bits: high 2 bits of q[l], q[l + 32], q[l + 64], q[l + 96]
 */
LORT_INLINE void q6_k(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block + 208);
    LORT_UNROLL
    for (int g = 0; g < 16; g++) {
        const int quarter = g % 8 / 2, half = g % 2 * 16;
        const uint8_t *ql = block + g / 8 * 64 + quarter % 2 * 32 + half;
        const uint8_t *qh = block + 128 + g / 8 * 32 + half;
        const int low = quarter / 2 * 4, high = quarter * 2;
        const float scale = d * (float)(int8_t)block[192 + g];
        LORT_ROLLED
        for (int i = 0; i < 16; i++)
            y[16 * g + i] = scale * (float)(((ql[i] >> low & 15) | (qh[i] >> high & 3) << 4) - 32);
    }
}

void lort_decode_q6_k(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 256, 210, q6_k);
}

/* The non-linear levels of the IQ4 types. */
static const float iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

/* IQ4_NL: y = d level[q]; the block of Q4_0 */
LORT_INLINE void iq4_nl(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block);
    const uint8_t *qs = block + 2;
    for (int i = 0; i < 16; i++) {
        y[i] = d * iq4_levels[qs[i] & 15];
        y[i + 16] = d * iq4_levels[qs[i] >> 4];
    }
}

void lort_decode_iq4_nl(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 32, 18, iq4_nl);
}

/* IQ4_XS: y = (d (s - 32)) level[q], a 6-bit s for each 32 elements, j = 0 .. 7
 *
 *   0     2             4              8                                         136
 *   | d   | s_high u16  | s_low[4]     | qs[128]                                 |
 *
 *   s_low: nibble j (low first) is the low 4 bits of s[j]
 *   s_high: bits 2 j and 2 j + 1 are the high 2 bits of s[j]
 *   qs: 16 bytes for each 32 elements, nibbles as in Q4_0
 */
LORT_INLINE void iq4_xs(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block);
    const int s_high = lort_load_u16(block + 2);
    for (int j = 0; j < 8; j++) {
        const int low = block[4 + j / 2] >> j % 2 * 4 & 15, high = s_high >> 2 * j & 3;
        const float scale = d * (float)((low | high << 4) - 32);
        const uint8_t *qs = block + 8 + 16 * j;
        for (int i = 0; i < 16; i++) {
            y[32 * j + i] = scale * iq4_levels[qs[i] & 15];
            y[32 * j + i + 16] = scale * iq4_levels[qs[i] >> 4];
        }
    }
}

void lort_decode_iq4_xs(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 256, 136, iq4_xs);
}

/* Puts digit number `digit` of each of `count` bytes of TQ1_0 into y. A byte b holds five base-3
 * digits as the fraction b / 256, rounded up. Times 3^digit (modulo 1) drops the digits before.
 * Times 3 makes the next digit the integer part. */
LORT_INLINE void base3_digits(const uint8_t *restrict bytes, int count, int digit, float d,
                              float *restrict y)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (int i = 0; i < count; i++) {
        const uint8_t fraction = (uint8_t)(bytes[i] * power[digit]);
        y[i] = (float)((fraction * 3 >> 8) - 1) * d;
    }
}

/* TQ1_0: y = (t - 1) d, t = 0, 1, 2
 *
 *   0                     32          48      52    54
 *   | qs[32]              | qs[16]    | qh[4] | d   |
 *
 *   32 bytes hold elements 0 .. 159: digit e of byte i is element 32 e + i;
 *   16 bytes hold 160 .. 239, and 4 bytes (four digits used) hold 240 .. 255, in the same order
 */
LORT_INLINE void tq1_0(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block + 52);
    for (int digit = 0; digit < 5; digit++) {
        base3_digits(block, 32, digit, d, y + 32 * digit);
        base3_digits(block + 32, 16, digit, d, y + 160 + 16 * digit);
        if (digit < 4)
            base3_digits(block + 48, 4, digit, d, y + 240 + 4 * digit);
    }
}

LORT_VECTORS(lort_decode_tq1_0, (const void *src, float *dst, uint64_t n), (src, dst, n))
{
    decode_blocks(src, dst, n, 256, 54, tq1_0);
}

/* TQ2_0: y = (q - 1) d
 *
 *   0                                       64    66
 *   | qs[64]                                | d   |     qs as in Q2_K
 */
LORT_INLINE void tq2_0(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block + 64);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            y[32 * j + i] = (float)((block[j / 4 * 32 + i] >> j % 4 * 2 & 3) - 1) * d;
}

LORT_VECTORS(lort_decode_tq2_0, (const void *src, float *dst, uint64_t n), (src, dst, n))
{
    decode_blocks(src, dst, n, 256, 66, tq2_0);
}

/* E2M1 values times 2, as ggml has them (integers; no negative zero). */
static const float fp4_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(e - 128), half of E8M0. Its NaN is an ordinary number here, as in ggml. 2^-128 and 2^-127 are
 * f32 subnormals. */
LORT_INLINE float half_e8m0(uint8_t e)
{
    return lort_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* MXFP4: y = 2^(e - 127) E2M1(q)
 *
 *   0    1                               17
 *   | e  | qs[16]                        |     qs as in Q4_0
 */
LORT_INLINE void mxfp4(const uint8_t *restrict block, float *restrict y)
{
    const float d = half_e8m0(block[0]);
    const uint8_t *qs = block + 1;
    for (int i = 0; i < 16; i++) {
        y[i] = fp4_doubled[qs[i] & 15] * d;
        y[i + 16] = fp4_doubled[qs[i] >> 4] * d;
    }
}

void lort_decode_mxfp4(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 32, 17, mxfp4);
}

/* Half of an unsigned E4M3. ggml takes the NaN 0x7f for 0. It ignores bit 7 of other bytes, so it
 * reads 0xff as the number 480. */
LORT_INLINE float half_ue4m3(uint8_t e)
{
    const uint8_t magnitude = e & 0x7f;
    float f;
    if (magnitude == 0x7f)
        return e == 0x7f ? 0.0f : 240.0f;
    lort_load_f8_e4m3(&magnitude, &f, 1);
    return f * 0.5f;
}

/* NVFP4: y = UE4M3(e) E2M1(q), an e for each 16 elements
 *
 *   0       4                               36
 *   | e[4]  | qs[32]                        |
 *
 *   8 bytes of qs for each 16 elements: qs[i] = q[i + 8] << 4 | q[i]
 */
LORT_INLINE void nvfp4(const uint8_t *restrict block, float *restrict y)
{
    for (int s = 0; s < 4; s++) {
        const float d = half_ue4m3(block[s]);
        const uint8_t *qs = block + 4 + 8 * s;
        for (int i = 0; i < 8; i++) {
            y[16 * s + i] = fp4_doubled[qs[i] & 15] * d;
            y[16 * s + i + 8] = fp4_doubled[qs[i] >> 4] * d;
        }
    }
}

void lort_decode_nvfp4(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 64, 36, nvfp4);
}

/* Q1_0: y = d where the bit is set, else -d
 *
 *   0     2                               18
 *   | d   | bits[16]                      |     bit k % 8 of byte k / 8
 */
LORT_INLINE void q1_0(const uint8_t *restrict block, float *restrict y)
{
    const uint32_t d = lort_to_bits(load_half(block));
    uint8_t minus[128]; /* 1 where the bit is clear; the product puts four bits into a byte each */
    for (int i = 0; i < 16; i++) {
        lort_store_u32(minus + 8 * i, (~block[2 + i] & 15u) * 0x00204081u & 0x01010101u);
        lort_store_u32(minus + 8 * i + 4, (~block[2 + i] >> 4 & 15u) * 0x00204081u & 0x01010101u);
    }
    for (int k = 0; k < 128; k++)
        y[k] = lort_from_bits(d ^ (uint32_t)minus[k] << 31);
}

void lort_decode_q1_0(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 128, 18, q1_0);
}

/* Q2_0: y = (q - 1) d
 *
 *   0     2                               18
 *   | d   | qs[16]                        |
 *
 *   qs: byte i, from its lowest bits: q of 4 i, 4 i + 1, 4 i + 2, 4 i + 3
 */
LORT_INLINE void q2_0(const uint8_t *restrict block, float *restrict y)
{
    const float d = load_half(block);
    uint8_t q[64]; /* the four q of a byte move apart, in pairs first */
    for (int i = 0; i < 16; i++) {
        const uint32_t pairs = (block[2 + i] | (uint32_t)block[2 + i] << 12) & 0x000f000fu;
        lort_store_u32(q + 4 * i, (pairs | pairs << 6) & 0x03030303u);
    }
    for (int k = 0; k < 64; k++)
        y[k] = (float)(q[k] - 1) * d;
}

void lort_decode_q2_0(const void *src, float *dst, uint64_t n)
{
    decode_blocks(src, dst, n, 64, 18, q2_0);
}
