/* Tests the encoders of ggml's block types, without ggml. The packers are compared with the
 * decoders of quant.c, which tests of their own compare with ggml. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/types/encode.h"
#include "formats/types/encode_pack.h"
#include "formats/types/half.h"
#include "tests/unit/main.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* y = d s value - dmin m, where a code's value is code + base, or a level of IQ4. */
static const struct kind {
    lort_dtype id;
    lort_pack_fn *pack;
    int depth, lanes, codes, base, s_low, s_high, m_high;
    uint64_t digest; /* of what random numbers are encoded to */
} kinds[] = {
    {LORT_Q4_0, lort_pack_q4_0, 32, 1, 16, -8, 1, 1, 0, 0xdabcdaf04e879911},
    {LORT_Q5_0, lort_pack_q5_0, 32, 1, 32, -16, 1, 1, 0, 0x04569f97d41649f2},
    {LORT_Q8_0, lort_pack_q8_0, 32, 1, 255, -127, 1, 1, 0, 0x855c65c2333e1f2d},
    {LORT_IQ4_NL, lort_pack_q4_0, 32, 1, 16, 0, 1, 1, 0, 0x54a7065210b9f100},
    {LORT_Q4_1, lort_pack_q4_1, 32, 1, 16, 0, 1, 1, 1, 0x97caf0fde881fb0d},
    {LORT_Q5_1, lort_pack_q5_1, 32, 1, 32, 0, 1, 1, 1, 0xc2e7c09972f98036},
    {LORT_Q2_K, lort_pack_q2_k, 16, 16, 4, 0, 0, 15, 15, 0xda095e8fa0ccc035},
    {LORT_Q3_K, lort_pack_q3_k, 16, 16, 8, -4, -32, 31, 0, 0xcf2b2189cb0366e6},
    {LORT_Q4_K, lort_pack_q4_k, 32, 8, 16, 0, 0, 63, 63, 0xbea851e7d3a7d6b4},
    {LORT_Q5_K, lort_pack_q5_k, 32, 8, 32, 0, 0, 63, 63, 0x1bff3b0ec0c8bdb7},
    {LORT_Q6_K, lort_pack_q6_k, 16, 16, 64, -32, -128, 127, 0, 0xe50790eb01db1998},
    {LORT_IQ4_XS, lort_pack_iq4_xs, 32, 8, 16, 0, -32, 31, 0, 0x747db9f9d8424a97},
};
enum { KINDS = sizeof kinds / sizeof kinds[0], BLOCKS = 13, MOST = BLOCKS * 256 };

static const int iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                            1,    13,   25,  38,  53,  69,  89,  113};

static int size_of(const struct kind *k) { return k->depth * k->lanes; }

static bool is_iq4(const struct kind *k) { return k->id == LORT_IQ4_NL || k->id == LORT_IQ4_XS; }

static size_t bytes_of(const struct kind *k, int n)
{
    uint64_t bytes;
    assert_true(lort_dtype_bytes(lort_dtype_get(k->id), (uint64_t)n, &bytes));
    return (size_t)bytes;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Nearly normal, about 1; the same on every machine. */
static float next_normal(uint32_t *state)
{
    int32_t sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (int32_t)(next_random(state) >> 8);
    return (float)(sum - 6 * 65536) / 65536.0f;
}

static void fill(float *x, int n, float scale)
{
    uint32_t state = 7;
    for (int i = 0; i < n; i++)
        x[i] = next_normal(&state) * scale;
}

static void run(const struct kind *k, const float *x, const float *importance, int n, void *coded)
{
    lort_dtype_quantiser(k->id)(x, importance, (uint64_t)n, coded);
}

/* Encodes and decodes. */
static void back_of(const struct kind *k, const float *x, const float *importance, int n, float *y)
{
    uint8_t coded[MOST * 2];
    run(k, x, importance, n, coded);
    lort_dtype_get(k->id)->decode(coded, y, (uint64_t)n);
}

/* Relative error of columns `from`, `from + by` ... */
static double error_at(const float *x, const float *y, int n, int from, int by)
{
    double error2 = 0, norm2 = 0;
    for (int i = from; i < n; i += by) {
        error2 += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        norm2 += (double)x[i] * x[i];
    }
    return sqrt(error2 / norm2);
}

static double error_of(const struct kind *k, const float *x, const float *importance, int n)
{
    float y[MOST];
    back_of(k, x, importance, n, y);
    return error_at(x, y, n, 0, 1);
}

static int value_of(const struct kind *k, int code)
{
    return is_iq4(k) ? iq4[code] : code + k->base;
}

/* Random integers of a block; scales reach their bounds. */
static void random_block(const struct kind *k, uint32_t *state, lort_packed *p)
{
    p->d = lort_f32_to_f16(0.01f + 0.001f * (float)(next_random(state) % 100));
    p->m = lort_f32_to_f16(0.01f + 0.001f * (float)(next_random(state) % 100));
    for (int j = 0; j < 16; j++) {
        const int range = k->s_high - k->s_low + 1;
        p->scales[j] = (int8_t)(k->s_low + (int)(next_random(state) % (unsigned)range));
        p->mins[j] = (uint8_t)(next_random(state) % (unsigned)(k->m_high + 1));
    }
    p->scales[next_random(state) % (unsigned)k->lanes] = (int8_t)k->s_high;
    for (int i = 0; i < 256; i++)
        p->codes[i] = (uint8_t)(next_random(state) % (unsigned)k->codes);
}

/* What the integers of a block mean. */
static void meaning(const struct kind *k, const lort_packed *p, float *y)
{
    const float d = lort_f16_to_f32(p->d), m = lort_f16_to_f32(p->m);
    for (int i = 0; i < size_of(k); i++) {
        const int j = i / k->depth;
        const float scaled = d * (float)p->scales[j] * (float)value_of(k, p->codes[i]);
        y[i] = k->lanes == 1 && k->m_high ? (d * (float)value_of(k, p->codes[i])) + m
               : k->m_high                ? scaled - m * (float)p->mins[j]
                                          : scaled;
        if (k->lanes == 1 && !k->m_high)
            y[i] = d * (float)value_of(k, p->codes[i]);
    }
}

/* ---- tests ---- */

static void packed_integers_decode_to_what_they_mean(void **state)
{
    uint32_t random = 1;
    for (const struct kind *k = kinds; k < kinds + KINDS; k++)
        for (int turn = 0; turn < 200; turn++) {
            lort_packed p;
            uint8_t block[256];
            float meant[256], decoded[256];
            random_block(k, &random, &p);
            memset(block, 0xa5, sizeof block);
            k->pack(&p, block);
            for (size_t b = bytes_of(k, size_of(k)); b < sizeof block; b++)
                assert_int_equal(block[b], 0xa5);
            lort_dtype_get(k->id)->decode(block, decoded, (uint64_t)size_of(k));
            meaning(k, &p, meant);
            for (int i = 0; i < size_of(k); i++)
                assert_true(meant[i] == decoded[i]);
        }
}

/* Codes reach both ends in every sub-block, so the ranges are there to be found. Not every search
 * ends at the very grid, but all end near it. */
static void numbers_on_a_grid_come_back(void **state)
{
    float normal[MOST];
    fill(normal, MOST, 0.02f);
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        const double usual = error_of(k, normal, NULL, MOST);
        double worst = 0;
        int exact = 0;
        uint32_t random = 2;
        for (int turn = 0; turn < 50; turn++) {
            lort_packed p;
            float x[256];
            random_block(k, &random, &p);
            for (int j = 0; j < k->lanes; j++) {
                p.scales[j] = (int8_t)(j == 3 || k->lanes == 1 ? k->s_high : k->s_high - j);
                p.codes[j * k->depth] = 0;
                p.codes[j * k->depth + 1] = (uint8_t)(k->codes - 1);
                if (k->lanes > 1 && k->m_high)
                    p.mins[j] = (uint8_t)(j == 2 ? k->m_high : 1 + j % k->m_high);
            }
            p.m = k->lanes > 1 ? p.d : p.m;
            meaning(k, &p, x);
            const double error = error_of(k, x, NULL, size_of(k));
            worst = fmax(worst, error);
            exact += error < 1e-6;
        }
        if (exact < 50)
            fail_msg("%s errs by up to %g, of random numbers by %g", lort_dtype_get(k->id)->name,
                     worst, usual);
    }
}

/* A plain encoder: the extreme numbers set the scale of a sub-block, the largest scale sets d. */
static void plain_block(const struct kind *k, const float *x, float *y)
{
    float scale[16], min[16], most = 0, min_most = 0;
    lort_packed p = {0};
    const int reach = is_iq4(k) ? 113 : k->m_high ? k->codes - 1 : k->codes + k->base - 1;
    for (int j = 0; j < k->lanes; j++) {
        float low = k->lanes > 1 ? 0 : x[0], high = 0, peak = 0;
        for (int i = j * k->depth; i < (j + 1) * k->depth; i++) {
            low = fminf(low, x[i]);
            high = fmaxf(high, x[i]);
            peak = fmaxf(peak, fabsf(x[i]));
        }
        scale[j] = k->m_high ? (high - low) / (float)reach : peak / (float)reach;
        min[j] = k->m_high ? -low : 0;
        most = fmaxf(most, scale[j]);
        min_most = fmaxf(min_most, min[j]);
    }
    p.d = lort_f32_to_f16(most / (float)k->s_high);
    p.m = lort_f32_to_f16(k->lanes == 1 ? -min[0] : min_most / (float)(k->m_high ? k->m_high : 1));
    const float d = lort_f16_to_f32(p.d), m = lort_f16_to_f32(p.m);
    for (int i = 0; i < size_of(k); i++) {
        const int j = i / k->depth;
        p.scales[j] = (int8_t)roundf(scale[j] / d);
        p.mins[j] = (uint8_t)(k->lanes == 1 || !k->m_high ? 0 : roundf(min[j] / m));
        const float s = d * p.scales[j],
                    at = x[i] + (k->lanes == 1 ? k->m_high ? -m : 0 : m * (float)p.mins[j]);
        int best = 0;
        for (int c = 1; c < k->codes; c++)
            if (fabsf(at - s * (float)value_of(k, c)) < fabsf(at - s * (float)value_of(k, best)))
                best = c;
        p.codes[i] = (uint8_t)best;
    }
    meaning(k, &p, y);
}

static void a_plain_encoder_errs_more(void **state)
{
    float x[MOST], y[MOST];
    fill(x, MOST, 0.02f);
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        for (int i = 0; i < MOST; i += size_of(k))
            plain_block(k, x + i, y + i);
        const double plain = error_at(x, y, MOST, 0, 1), ours = error_of(k, x, NULL, MOST);
        if (ours > 0.96 * plain)
            fail_msg("%s errs by %g, a plain encoder by %g", lort_dtype_get(k->id)->name, ours,
                     plain);
    }
}

static void zeros_are_zero_bytes(void **state)
{
    float x[MOST], y[MOST];
    uint8_t coded[MOST * 2];
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        const size_t block = bytes_of(k, size_of(k));
        fill(x, MOST, 1);
        memset(x + size_of(k), 0, (size_t)size_of(k) * sizeof *x); /* the second block */
        run(k, x, NULL, MOST, coded);
        for (size_t b = 0; b < block; b++)
            assert_int_equal(coded[block + b], 0);
        lort_dtype_get(k->id)->decode(coded, y, MOST);
        for (int i = 0; i < size_of(k); i++)
            assert_true(y[size_of(k) + i] == 0);
        assert_true(error_at(x, y, MOST, 0, 1) < 0.5);
    }
}

/* Scales near and below the smallest F16. Zeros would err by 1. */
static void tiny_numbers_never_err_more_than_zeros(void **state)
{
    float x[MOST];
    for (const struct kind *k = kinds; k < kinds + KINDS; k++)
        for (int e = -150; e < -10; e++) {
            fill(x, MOST, 1);
            for (int i = 0; i < MOST; i++)
                x[i] = ldexpf(x[i], e);
            const double error = error_of(k, x, NULL, MOST);
            if (e > -140 && error > 1 + 1e-6)
                fail_msg("%s errs by %g at 2^%d", lort_dtype_get(k->id)->name, error, e);
        }
}

/* The step of F16 is 2^-24 here, and no scale is between. */
static void numbers_of_the_smallest_step_come_back(void **state)
{
    float x[256], y[256];
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        if (is_iq4(k) || k->lanes > 1)
            continue;
        for (int i = 0; i < 256; i++) /* two neighbours are -1 and 1: only this step fits */
            x[i] = ldexpf((float)(i % 8 - 4), -24);
        back_of(k, x, NULL, 256, y);
        assert_memory_equal(x, y, sizeof x);
    }
}

static void huge_numbers_take_the_largest_scale(void **state)
{
    float x[256], y[256];
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        const float sizes[] = {1e7f, 1e12f, 1e30f, FLT_MAX};
        for (unsigned s = 0; s < 4; s++) {
            for (int i = 0; i < 256; i++)
                x[i] = i % 2 ? sizes[s] : -sizes[s];
            back_of(k, x, NULL, 256, y);
            for (int i = 0; i < 256; i++) {
                assert_true(isfinite(y[i]));
                if ((y[i] > 0) != (x[i] > 0) || fabsf(y[i]) < 65504)
                    fail_msg("%s: %g is %g", lort_dtype_get(k->id)->name, x[i], y[i]);
                assert_true(fabsf(y[i]) <= 1.4f * sizes[s]);
            }
        }
    }
}

static void an_outlier_comes_back(void **state)
{
    float x[256], y[256];
    for (const struct kind *k = kinds; k < kinds + KINDS; k++)
        for (int sign = -1; sign <= 1; sign += 2)
            for (int at = 0; at < 256; at += 51) {
                fill(x, 256, 1e-3f);
                x[at] = (float)sign;
                back_of(k, x, NULL, 256, y);
                assert_true(fabsf(y[at] - x[at]) < 0.02f);
                x[at] = y[at] = 0; /* the others err by no more than zeros do */
                if (!is_iq4(k) && error_at(x, y, 256, 0, 1) > 1.5) /* IQ4 has no 0 */
                    fail_msg("%s: others err by %g", lort_dtype_get(k->id)->name,
                             error_at(x, y, 256, 0, 1));
            }
}

static void importance_moves_the_error(void **state)
{
    float x[MOST], importance[MOST], y[MOST], plain[MOST];
    fill(x, MOST, 0.02f);
    for (int i = 0; i < MOST; i++)
        importance[i] = i % 4 == 1 ? 1000 : 1;
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        back_of(k, x, importance, MOST, y);
        back_of(k, x, NULL, MOST, plain);
        assert_true(error_at(x, y, MOST, 1, 4) < 0.93 * error_at(x, plain, MOST, 1, 4));
        assert_true(error_at(x, y, MOST, 2, 4) > error_at(x, plain, MOST, 2, 4));
    }
}

static void no_importance_is_as_ones(void **state)
{
    float x[MOST], importance[MOST];
    uint8_t coded[2][MOST * 2];
    static const float values[] = {1, 0, 0x1p-100f, 0x1p100f};
    fill(x, MOST, 0.02f);
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        run(k, x, NULL, MOST, coded[0]);
        for (unsigned v = 0; v < 4; v++) {
            for (int i = 0; i < MOST; i++)
                importance[i] = values[v];
            run(k, x, importance, MOST, coded[1]);
            assert_memory_equal(coded[0], coded[1], bytes_of(k, MOST));
        }
        for (int i = 0; i < MOST; i++) /* the fourth sub-block has none; the others have ones */
            importance[i] = i / k->depth == 3 ? 0 : 1;
        run(k, x, importance, MOST, coded[1]);
        assert_memory_equal(coded[0], coded[1], bytes_of(k, MOST));
    }
}

static void hard_importance_gives_finite_numbers(void **state)
{
    float x[MOST], importance[MOST], y[MOST];
    uint32_t random = 3;
    fill(x, MOST, 0.02f);
    for (int i = 0; i < MOST; i++)
        importance[i] = i % 5 == 0   ? FLT_MAX
                        : i % 5 == 1 ? 0
                                     : ldexpf(1, (int)(next_random(&random) % 250) - 125);
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        back_of(k, x, importance, MOST, y);
        assert_true(error_at(x, y, MOST, 0, 1) < 1);
        assert_true(error_at(x, y, MOST, 0, 5) < error_at(x, y, MOST, 1, 5));
    }
}

static void blocks_do_not_depend_on_each_other(void **state)
{
    float x[MOST], importance[MOST];
    uint8_t whole[MOST * 2], parts[MOST * 2 + 1];
    uint32_t random = 4;
    fill(x, MOST, 0.02f);
    for (int i = 0; i < MOST; i++) {
        importance[i] = (float)(next_random(&random) % 1000);
        x[i] *= (float)(i / 32 % 7);
    }
    for (const struct kind *k = kinds; k < kinds + KINDS; k++)
        for (int blocks = 1; blocks <= BLOCKS; blocks++) { /* 8 go together, or one */
            const int n = blocks * size_of(k), size = size_of(k);
            const size_t bytes = bytes_of(k, n);
            memset(parts, 0x5a, sizeof parts);
            run(k, x, importance, n, parts + 1); /* unaligned */
            for (int b = 0; b < blocks; b++)
                run(k, x + b * size, importance + b * size, size, whole + bytes_of(k, b * size));
            assert_memory_equal(whole, parts + 1, bytes);
            assert_int_equal(parts[0], 0x5a);
            assert_int_equal(parts[1 + bytes], 0x5a);
        }
}

static void powers_of_two_change_the_scales_alone(void **state)
{
    float x[256], y[256], y8[256];
    fill(x, 256, 1);
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        back_of(k, x, NULL, 256, y);
        for (int i = 0; i < 256; i++)
            x[i] *= 8;
        back_of(k, x, NULL, 256, y8);
        for (int i = 0; i < 256; i++) {
            x[i] /= 8;
            assert_true(y8[i] == 8 * y[i]);
        }
    }
}

/* Bytes that were right once. They change with the search. They must not change with the processor,
 * the compiler or the flavour. */
static void the_bytes_are_the_same_everywhere(void **state)
{
    float x[MOST], importance[MOST];
    uint8_t coded[MOST * 2];
    uint32_t random = 5;
    bool same = true;
    fill(x, MOST, 0.02f);
    for (int i = 0; i < MOST; i++)
        importance[i] = 1 + (float)(next_random(&random) % 100);
    for (const struct kind *k = kinds; k < kinds + KINDS; k++) {
        uint64_t hash = 0xcbf29ce484222325u;
        run(k, x, importance, MOST, coded);
        for (size_t b = 0; b < bytes_of(k, MOST); b++)
            hash = (hash ^ coded[b]) * 0x100000001b3u;
        if (hash != k->digest)
            print_message("%s is 0x%016llx\n", lort_dtype_get(k->id)->name,
                          (unsigned long long)hash);
        same = same && hash == k->digest;
    }
    assert_true(same);
}

static void other_types_have_no_encoder(void **state)
{
    int found = 0;
    for (uint32_t i = 0; lort_dtype_at(i); i++)
        found += lort_dtype_quantiser(lort_dtype_at(i)->id) != NULL;
    assert_int_equal(found, KINDS);
    assert_null(lort_dtype_quantiser(LORT_F16));
    assert_null(lort_dtype_quantiser(LORT_TQ1_0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_integers_decode_to_what_they_mean),
        cmocka_unit_test(numbers_on_a_grid_come_back),
        cmocka_unit_test(a_plain_encoder_errs_more),
        cmocka_unit_test(zeros_are_zero_bytes),
        cmocka_unit_test(tiny_numbers_never_err_more_than_zeros),
        cmocka_unit_test(numbers_of_the_smallest_step_come_back),
        cmocka_unit_test(huge_numbers_take_the_largest_scale),
        cmocka_unit_test(an_outlier_comes_back),
        cmocka_unit_test(importance_moves_the_error),
        cmocka_unit_test(no_importance_is_as_ones),
        cmocka_unit_test(hard_importance_gives_finite_numbers),
        cmocka_unit_test(blocks_do_not_depend_on_each_other),
        cmocka_unit_test(powers_of_two_change_the_scales_alone),
        cmocka_unit_test(the_bytes_are_the_same_everywhere),
        cmocka_unit_test(other_types_have_no_encoder),
    };
    return run_chosen(tests, NULL, NULL);
}
