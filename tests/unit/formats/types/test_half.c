/* Compares every f16, bf16 and f8 value with a formula by ldexp, and tests rounding at the midpoint
 * of all neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/types/half.h"
#include "tests/unit/main.h"
#include "tests/unit/one_bf16.h"
#include <math.h>
#include <string.h>

/* The value of a small float by the definition. The caller deals with Inf and NaN. */
static double by_definition(uint32_t code, int exponent_bits, int fraction_bits, int bias)
{
    const int fraction = (int)(code & ((1u << fraction_bits) - 1));
    const int exponent = (int)(code >> fraction_bits & ((1u << exponent_bits) - 1));
    const double sign = code >> (exponent_bits + fraction_bits) & 1 ? -1.0 : 1.0;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

/* True for equal values, with equal signs of zero. All NaNs are equal. */
static void check(float got, double want)
{
    if (isnan(want))
        assert_true(isnan(got));
    else
        assert_int_equal(lort_to_bits(got), lort_to_bits((float)want));
}

static double f16_by_definition(uint32_t h)
{
    if ((h & 0x7c00) == 0x7c00)
        return h & 0x3ff ? (double)NAN : h & 0x8000 ? -INFINITY : INFINITY;
    return by_definition(h, 5, 10, 15);
}

static void widens_every_f16(void **state)
{
    for (uint32_t h = 0; h < 65536; h++) {
        check(lort_f16_to_f32((uint16_t)h), f16_by_definition(h));
        const int nan = (h & 0x7fff) > 0x7c00;
        assert_int_equal(lort_f32_to_f16(lort_f16_to_f32((uint16_t)h)), nan ? h | 0x200 : h);
    }
}

static void widens_every_bf16(void **state)
{
    for (uint32_t h = 0; h < 65536; h++) {
        const int nan = (h & 0x7fff) > 0x7f80;
        if (nan || (h & 0x7fff) == 0x7f80)
            check(one_from_bf16((uint16_t)h), nan          ? (double)NAN
                                              : h & 0x8000 ? -INFINITY
                                                           : INFINITY);
        else
            check(one_from_bf16((uint16_t)h), by_definition(h, 8, 7, 127));
        assert_int_equal(one_to_bf16(one_from_bf16((uint16_t)h)), nan ? h | 0x40 : h);
    }
}

/* Tests rounding between each finite value and the next larger one. The first value out of range is
 * the place of Inf on that grid. */
static void check_midpoints(uint32_t infinity, uint16_t (*narrow)(float), double (*value)(uint32_t))
{
    for (uint32_t h = 0; h < infinity; h++) {
        const double mid = (value(h) + value(h + 1)) / 2;
        const float at = (float)mid;
        assert_true((double)at == mid);
        for (uint32_t sign = 0; sign < 2; sign++) {
            const float s = sign ? -1.0f : 1.0f;
            assert_int_equal(narrow(s * at), (h + (h & 1)) | sign << 15);
            assert_int_equal(narrow(s * nextafterf(at, 0)), h | sign << 15);
            assert_int_equal(narrow(s * nextafterf(at, INFINITY)), (h + 1) | sign << 15);
        }
    }
}

static double f16_grid(uint32_t h) { return by_definition(h, 5, 10, 15); }

static double bf16_grid(uint32_t h) { return by_definition(h, 8, 7, 127); }

static void rounds_ties_to_even(void **state)
{
    check_midpoints(0x7c00, lort_f32_to_f16, f16_grid);
    check_midpoints(0x7f80, one_to_bf16, bf16_grid);
}

static void narrows_extremes(void **state)
{
    assert_int_equal(lort_f32_to_f16(65504.0f), 0x7bff);
    assert_int_equal(lort_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(lort_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(lort_f32_to_f16(-3e38f), 0xfc00);
    assert_int_equal(lort_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(lort_f32_to_f16(lort_from_bits(1)), 0);
    assert_int_equal(lort_f32_to_f16(lort_from_bits(0x80000001)), 0x8000);
    assert_int_equal(one_to_bf16(lort_from_bits(0x7f7fffff)), 0x7f80);
    assert_int_equal(one_to_bf16(-INFINITY), 0xff80);
    /* A NaN whose payload lies in the bits that are cut must not become Inf. */
    for (uint32_t i = 0; i < 23; i++)
        for (uint32_t sign = 0; sign < 2; sign++) {
            const float nan = lort_from_bits(0x7f800000u | 1u << i | sign << 31);
            assert_in_range(lort_f32_to_f16(nan) & 0x7fff, 0x7e00, 0x7fff);
            assert_in_range(one_to_bf16(nan) & 0x7fff, 0x7fc0, 0x7fff);
            assert_int_equal(lort_f32_to_f16(nan) >> 15, sign);
            assert_int_equal(one_to_bf16(nan) >> 15, sign);
        }
}

static double e4m3(uint32_t b)
{
    return (b & 0x7f) == 0x7f ? (double)NAN : by_definition(b, 4, 3, 7);
}

static double e5m2(uint32_t b)
{
    if ((b & 0x7c) == 0x7c)
        return b & 3 ? (double)NAN : b & 0x80 ? -INFINITY : INFINITY;
    return by_definition(b, 5, 2, 15);
}

static double e4m3fnuz(uint32_t b) { return b == 0x80 ? (double)NAN : by_definition(b, 4, 3, 8); }

static double e5m2fnuz(uint32_t b) { return b == 0x80 ? (double)NAN : by_definition(b, 5, 2, 16); }

static double e8m0(uint32_t b) { return b == 0xff ? (double)NAN : ldexp(1, (int)b - 127); }

static void widens_every_f8(void **state)
{
    static const struct {
        void (*load)(const void *, float *, uint64_t);
        double (*want)(uint32_t);
    } types[] = {{lort_load_f8_e4m3, e4m3},
                 {lort_load_f8_e5m2, e5m2},
                 {lort_load_f8_e4m3fnuz, e4m3fnuz},
                 {lort_load_f8_e5m2fnuz, e5m2fnuz},
                 {lort_load_f8_e8m0, e8m0}};
    uint8_t codes[256];
    float got[256], one;
    for (uint32_t b = 0; b < 256; b++)
        codes[b] = (uint8_t)b;
    for (uint32_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        types[t].load(codes, got, 256);
        for (uint32_t b = 0; b < 256; b++) {
            check(got[b], types[t].want(b));
            types[t].load(codes + b, &one, 1); /* the tail of the loop gives equal values */
            check(one, types[t].want(b));
        }
    }
    assert_true(e4m3(0x7e) == 448 && e5m2(0x7b) == 57344 && e4m3fnuz(0x7f) == 240 &&
                e5m2fnuz(0x7f) == 57344);
}

/* Tests lengths around the block size, at odd addresses, with guards on both sides. */
static void arrays_agree_with_scalars(void **state)
{
    enum { MOST = 200 };
    static const uint32_t step = 2654435761u;
    uint8_t source[4 * MOST + 1], bytes[4 * MOST + 2];
    float floats[MOST + 1], back[MOST];
    for (uint32_t i = 0; i < sizeof source; i++)
        source[i] = (uint8_t)(i * step >> 24);
    for (uint64_t n = 0; n < MOST; n++) {
        floats[n] = 123;
        lort_load_f16(source + 1, floats, n);
        for (uint64_t i = 0; i < n; i++)
            check(floats[i],
                  f16_by_definition(source[1 + 2 * i] | (uint32_t)source[2 + 2 * i] << 8));
        assert_true(floats[n] == 123);
        lort_load_bf16(source + 1, floats, n);
        memset(bytes, 0xee, sizeof bytes);
        lort_store_bf16(floats, bytes + 1, n);
        for (uint64_t i = 0; i < n; i++)
            assert_int_equal(bytes[1 + 2 * i] | bytes[2 + 2 * i] << 8, one_to_bf16(floats[i]));
        assert_int_equal(bytes[1 + 2 * n], 0xee);
        lort_store_f16(floats, bytes + 1, n);
        for (uint64_t i = 0; i < n; i++)
            assert_int_equal(bytes[1 + 2 * i] | bytes[2 + 2 * i] << 8, lort_f32_to_f16(floats[i]));
        assert_int_equal(bytes[1 + 2 * n], 0xee);
        lort_load_f32(source + 1, back, n);
        lort_store_f32(back, bytes + 1, n);
        assert_memory_equal(bytes + 1, source + 1, 4 * n);
        assert_int_equal(bytes[1 + 4 * n], 0xee);
        assert_true(bytes[0] == 0xee && floats[n] == 123);
    }
}

/* Converts all 65536 values in the vectorised loop too. */
static void arrays_cover_every_f16(void **state)
{
    static uint8_t source[2 * 65536 + 1], back[2 * 65536 + 1];
    static float floats[65536];
    for (uint32_t h = 0; h < 65536; h++) {
        source[1 + 2 * h] = (uint8_t)h;
        source[2 + 2 * h] = (uint8_t)(h >> 8);
    }
    lort_load_f16(source + 1, floats, 65536);
    lort_store_f16(floats, back + 1, 65536);
    for (uint32_t h = 0; h < 65536; h++) {
        check(floats[h], f16_by_definition(h));
        assert_int_equal(back[1 + 2 * h] | back[2 + 2 * h] << 8,
                         (h & 0x7fff) > 0x7c00 ? h | 0x200 : h);
    }
}

static void f64_rounds_to_f32(void **state)
{
    static const double values[] = {0.0,    -0.0,   1.0,        0.1,        1e300,
                                    -1e300, 1e-300, 16777217.0, 16777219.0, 1e-40};
    enum { N = sizeof values / sizeof values[0] };
    uint8_t bytes[8 * N + 3];
    float got[N];
    memcpy(bytes + 3, values, sizeof values);
    lort_load_f64(bytes + 3, got, N);
    assert_true(got[0] == 0 && !signbit(got[0]) && signbit(got[1]) && got[2] == 1.0f &&
                got[3] == 0.1f);
    assert_true(isinf(got[4]) && isinf(got[5]) && got[5] < 0 && got[6] == 0);
    assert_true(got[7] == 16777216.0f && got[8] == 16777220.0f);
    assert_int_equal(lort_to_bits(got[9]), 71362);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widens_every_f16),       cmocka_unit_test(widens_every_bf16),
        cmocka_unit_test(rounds_ties_to_even),    cmocka_unit_test(narrows_extremes),
        cmocka_unit_test(widens_every_f8),        cmocka_unit_test(arrays_agree_with_scalars),
        cmocka_unit_test(arrays_cover_every_f16), cmocka_unit_test(f64_rounds_to_f32),
    };
    return run_chosen(tests, NULL, NULL);
}
