/* trits: see trits.h. Owns no memory and knows no tensor. */
#include "compress/coder/trits.h"
#include <math.h>
#include <string.h>

#define LANES 8 /* of a sum: a fixed number, so that its order is the same on every machine */
/* Best scale for a normal distribution, in standard deviations. */
#define NORMAL_SCALE 1.2240
#define BYTES_LAST 242 /* the largest byte of five trits: 3^5 - 1 */
/* Bits of a binary32 below the four that a scale keeps. More bits of a scale cost more than they
 * are worth (docs/NUMERICS.md, "Trits"). */
#define MANTISSA_LEFT 19
#define LARGEST 0x1.fp127f /* the largest scale */

/* Returns half the scale. With scale 0 no weight is above the threshold. */
static float threshold_of(float scale) { return scale > 0 ? 0.5f * scale : INFINITY; }

static void add_one(float x, float scale, float threshold, double *magnitude, double *error2,
                    int64_t *count)
{
    const float size = fabsf(x);
    const int taken = size > threshold;
    const double rest = taken ? (double)size - (double)scale : (double)size;
    *magnitude += taken ? (double)size : 0;
    *error2 += rest * rest;
    *count += taken;
}

void lort_trit_sum_add(const float *x, int64_t n, float scale, lort_trit_sum *sum)
{
    const float threshold = threshold_of(scale);
    double magnitude[LANES] = {0}, error2[LANES] = {0};
    int64_t count[LANES] = {0}, i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            add_one(x[i + l], scale, threshold, &magnitude[l], &error2[l], &count[l]);
    for (int l = 0; i < n; i++, l++)
        add_one(x[i], scale, threshold, &magnitude[l], &error2[l], &count[l]);
    for (int l = 0; l < LANES; l++) {
        sum->magnitude += magnitude[l];
        sum->error2 += error2[l];
        sum->count += count[l];
    }
}

/* Rounds to nearest, ties to even. In BF16 the result has three more bits, which are zero. */
static float round_scale(float scale)
{
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    bits += (1u << (MANTISSA_LEFT - 1)) - 1 + (bits >> MANTISSA_LEFT & 1);
    bits &= ~((1u << MANTISSA_LEFT) - 1);
    memcpy(&scale, &bits, sizeof bits);
    return scale < LARGEST ? scale : LARGEST;
}

float lort_trit_next_scale(const lort_trit_sum *sum, int64_t cols, float scale)
{
    const bool started = scale > 0 && sum->count > 0;
    const double best = started ? sum->magnitude / (double)sum->count
                                : NORMAL_SCALE * sqrt(sum->error2 / (double)cols);
    return best < (double)LARGEST ? round_scale((float)best) : LARGEST;
}

void lort_trit_relax(float *w, const float *p, int64_t n, float scale, float relax)
{
    const float threshold = threshold_of(scale);
    for (int64_t i = 0; i < n; i++) {
        const float x = w[i] - p[i], value = x > threshold ? scale : x < -threshold ? -scale : 0;
        w[i] = p[i] + relax * (x - value);
    }
}

/* ---- bytes ---- */

static void pack_digits(const uint8_t *digits, uint64_t count, uint8_t *bytes)
{
    for (uint64_t i = 0; i < count; i += LORT_TRITS, digits += LORT_TRITS)
        *bytes++ =
            (uint8_t)(digits[0] + 3 * digits[1] + 9 * digits[2] + 27 * digits[3] + 81 * digits[4]);
}

void lort_trits_pack(const float *weights, int64_t rows, int64_t cols, const float *scales,
                     uint8_t *digits, uint8_t *bytes, float *decoded)
{
    uint8_t *at = digits;
    for (int64_t r = 0; r < rows; r++, weights += cols, decoded += cols, at += cols) {
        const float scale = scales[r], threshold = threshold_of(scale);
        for (int64_t c = 0; c < cols; c++) {
            const bool over = weights[c] > threshold, under = weights[c] < -threshold;
            at[c] = (uint8_t)(over + 2 * under);
            decoded[c] = over ? scale : under ? -scale : 0;
        }
    }
    memset(at, 0, LORT_TRITS - 1);
    pack_digits(digits, (uint64_t)(at - digits), bytes);
}

lort_code lort_trits_unpack(const uint8_t *bytes, int64_t rows, int64_t cols, const float *scales,
                            float *weights, lort_error *err)
{
    const uint64_t count = (uint64_t)rows * (uint64_t)cols, all = lort_trits_bytes(count);
    unsigned left = 0, digits = 0;
    for (uint64_t i = 0; i < all; i++)
        if (bytes[i] > BYTES_LAST)
            return lort_fail(err, LORT_E_DAMAGED, "byte %llu of trits is %u (allowed 0 to %d)",
                             (unsigned long long)i, bytes[i], BYTES_LAST);
    for (int64_t r = 0; r < rows; r++) {
        const float value[3] = {0, scales[r], -scales[r]};
        for (int64_t c = 0; c < cols; c++, digits /= 3, left--) {
            if (left == 0) {
                digits = *bytes++;
                left = LORT_TRITS;
            }
            *weights++ = value[digits % 3];
        }
    }
    return digits
               ? lort_fail(err, LORT_E_DAMAGED,
                           "the last byte of trits has a trit behind the last weight of the block")
               : LORT_OK;
}
