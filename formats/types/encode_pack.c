/* encode_pack: the inverse of the decoders in quant.c, which has a picture of each block. Scales
 * that quant.c takes 32 from are stored with 32 added. */
#include "formats/types/encode_pack.h"
#include "formats/base/bytes.h"

/* Low nibbles of 32 codes, element i beside element i + 16. */
LORT_INLINE void nibbles(const uint8_t *codes, uint8_t *qs)
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)((codes[i] & 15) | codes[i + 16] << 4);
}

static void fifth_bits(const uint8_t *codes, uint8_t *qh)
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (uint32_t)(codes[i] >> 4) << i;
    lort_store_u32(qh, bits);
}

void lort_pack_q4_0(const lort_packed *in, uint8_t *block)
{
    lort_store_u16(block, in->d);
    nibbles(in->codes, block + 2);
}

void lort_pack_q4_1(const lort_packed *in, uint8_t *block)
{
    lort_store_u16(block, in->d);
    lort_store_u16(block + 2, in->m);
    nibbles(in->codes, block + 4);
}

void lort_pack_q5_0(const lort_packed *in, uint8_t *block)
{
    lort_store_u16(block, in->d);
    fifth_bits(in->codes, block + 2);
    nibbles(in->codes, block + 6);
}

void lort_pack_q5_1(const lort_packed *in, uint8_t *block)
{
    lort_store_u16(block, in->d);
    lort_store_u16(block + 2, in->m);
    fifth_bits(in->codes, block + 4);
    nibbles(in->codes, block + 8);
}

void lort_pack_q8_0(const lort_packed *in, uint8_t *block)
{
    lort_store_u16(block, in->d);
    for (int i = 0; i < 32; i++)
        block[2 + i] = (uint8_t)(in->codes[i] - 127);
}

/* Low 2 bits of 256 codes: byte l of each 32 holds elements l, l + 32, l + 64 and l + 96. */
LORT_INLINE void pairs(const uint8_t *codes, int shift, uint8_t *qs)
{
    for (int half = 0; half < 2; half++, codes += 128, qs += 32)
        for (int l = 0; l < 32; l++)
            qs[l] =
                (uint8_t)((codes[l] >> shift & 3) | (codes[l + 32] >> shift & 3) << 2 |
                          (codes[l + 64] >> shift & 3) << 4 | (codes[l + 96] >> shift & 3) << 6);
}

/* Bit `shift` of 256 codes: bit k / 32 of byte k % 32. */
LORT_INLINE void high_bits(const uint8_t *codes, int shift, uint8_t *bits)
{
    for (int l = 0; l < 32; l++) {
        unsigned byte = 0;
        for (int j = 0; j < 8; j++)
            byte |= (codes[32 * j + l] >> shift & 1u) << j;
        bits[l] = (uint8_t)byte;
    }
}

void lort_pack_q2_k(const lort_packed *in, uint8_t *block)
{
    for (int g = 0; g < 16; g++)
        block[g] = (uint8_t)(in->scales[g] | in->mins[g] << 4);
    pairs(in->codes, 0, block + 16);
    lort_store_u16(block + 80, in->d);
    lort_store_u16(block + 82, in->m);
}

void lort_pack_q3_k(const lort_packed *in, uint8_t *block)
{
    uint8_t *scales = block + 96;
    high_bits(in->codes, 2, block);
    pairs(in->codes, 0, block + 32);
    for (int g = 0; g < 12; g++)
        scales[g] = 0;
    for (int g = 0; g < 16; g++) {
        const int s = in->scales[g] + 32;
        scales[g % 8] = (uint8_t)(scales[g % 8] | (s & 15) << g / 8 * 4);
        scales[8 + g % 4] = (uint8_t)(scales[8 + g % 4] | s >> 4 << g / 4 * 2);
    }
    lort_store_u16(block + 108, in->d);
}

/* The 12 bytes of Q4_K and Q5_K. */
static void scales_and_mins(const lort_packed *in, uint8_t *out)
{
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)(in->scales[j] | in->scales[j + 4] >> 4 << 6);
        out[j + 4] = (uint8_t)(in->mins[j] | in->mins[j + 4] >> 4 << 6);
        out[j + 8] = (uint8_t)((in->scales[j + 4] & 15) | in->mins[j + 4] << 4);
    }
}

/* Low nibbles of 64 codes: element l beside element l + 32. */
LORT_INLINE void wide_nibbles(const uint8_t *codes, uint8_t *qs)
{
    for (int l = 0; l < 32; l++)
        qs[l] = (uint8_t)((codes[l] & 15) | codes[l + 32] << 4);
}

void lort_pack_q4_k(const lort_packed *in, uint8_t *block)
{
    lort_store_u16(block, in->d);
    lort_store_u16(block + 2, in->m);
    scales_and_mins(in, block + 4);
    for (int j = 0; j < 4; j++)
        wide_nibbles(in->codes + 64 * j, block + 16 + 32 * j);
}

void lort_pack_q5_k(const lort_packed *in, uint8_t *block)
{
    lort_store_u16(block, in->d);
    lort_store_u16(block + 2, in->m);
    scales_and_mins(in, block + 4);
    high_bits(in->codes, 4, block + 16);
    for (int j = 0; j < 4; j++)
        wide_nibbles(in->codes + 64 * j, block + 48 + 32 * j);
}

void lort_pack_q6_k(const lort_packed *in, uint8_t *block)
{
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < 64; l++) {
            const uint8_t *codes = in->codes + 128 * half + l;
            block[64 * half + l] = (uint8_t)((codes[0] & 15) | codes[64] << 4);
        }
    pairs(in->codes, 4, block + 128);
    for (int g = 0; g < 16; g++)
        block[192 + g] = (uint8_t)in->scales[g];
    lort_store_u16(block + 208, in->d);
}

void lort_pack_iq4_xs(const lort_packed *in, uint8_t *block)
{
    unsigned high = 0;
    lort_store_u16(block, in->d);
    for (int j = 0; j < 8; j += 2) {
        const int a = in->scales[j] + 32, b = in->scales[j + 1] + 32;
        high |= (unsigned)(a >> 4 | b >> 4 << 2) << 2 * j;
        block[4 + j / 2] = (uint8_t)((a & 15) | (b & 15) << 4);
    }
    lort_store_u16(block + 2, (uint16_t)high);
    for (int j = 0; j < 8; j++)
        nibbles(in->codes + 32 * j, block + 8 + 16 * j);
}
