/* Weights of columns: scales and their codes against libm, sums against the plain loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/coder/weighting.h"
#include "tests/unit/main.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 130, ROWS = 70 };
static const lort_matrices shape = {1, ROWS, COLS};

static lort_weighting weighting_of(float *values)
{
    static lort_importance entry;
    entry = (lort_importance){"w", 1, 1, COLS, values};
    return lort_weighting_of(&entry, &shape, 0);
}

static void scales_are_powers_of_two(void **state)
{
    for (int code = LORT_SCALE_LEAST; code <= LORT_SCALE_MOST; code++) {
        const double found = lort_scale_of((uint8_t)code), wanted = exp2((code - 128) / 4.0);
        assert_true(fabs(found / wanted - 1) < 1e-7);
        assert_true(code % 4 || found == wanted);
        assert_true(fabs(found * lort_scale_of(lort_scale_inverse((uint8_t)code)) - 1) < 1e-6);
    }
    /* no product of a reader is subnormal or infinite: least and most step, level and scale */
    assert_true(0x1p-100f / 32768 * lort_scale_of(LORT_SCALE_LEAST) >= FLT_MIN);
    assert_true(isfinite(0x1p100f * 2 * 65536 * lort_scale_of(LORT_SCALE_MOST)));
}

/* 4 x 3/8 octaves of E over its mean, not below a hundredth of it. */
static void codes_follow_importance(void **state)
{
    float values[COLS];
    uint8_t codes[COLS];
    double sum = 0;
    for (int c = 0; c < COLS; c++) {
        values[c] = (float)exp2(c % 19 - 12) * (c == 7 ? 0 : 3);
        sum += values[c];
    }
    const lort_weighting w = weighting_of(values);
    assert_true(w.on && lort_weighting_pays(&w, &shape));
    lort_weighting_codes(&w, &shape, codes);
    for (int c = 0; c < COLS; c++) {
        const double e = fmax(values[c] * COLS / sum, 0.01), exact = 128 + 1.5 * log2(e);
        assert_true(fabs(codes[c] - exact) <= 0.501);
        assert_true(codes[c] >= 118);
        assert_true(fabs(lort_weight(&w, c) - values[c] * COLS / sum) < 1e-9);
    }
}

static void scales_that_do_not_pay_are_one(void **state)
{
    float values[COLS];
    uint8_t codes[COLS];
    for (int c = 0; c < COLS; c++)
        values[c] = c % 2 ? 1.0f : 1.3f;
    const lort_weighting w = weighting_of(values);
    const lort_matrices one_row = {1, 1, COLS};
    assert_false(lort_weighting_pays(&w, &shape));
    lort_weighting_codes(&w, &shape, codes);
    for (int c = 0; c < COLS; c++)
        assert_int_equal(codes[c], LORT_SCALE_ONE);
    values[0] = 1000;
    const lort_weighting one = weighting_of(values);
    assert_true(lort_weighting_pays(&one, &shape));
    assert_false(lort_weighting_pays(&one, &one_row));
}

/* One column holds all importance: its code has the most octaves that a code may have, and no more.
 */
static void codes_stay_in_range(void **state)
{
    enum { WIDE = 1 << 23 };
    float *values = calloc(WIDE, sizeof *values);
    uint8_t *codes = malloc(WIDE);
    assert_true(values && codes);
    values[5] = FLT_MAX;
    const lort_importance entry = {"w", 1, 1, WIDE, values};
    const lort_matrices m = {1, 100, WIDE};
    const lort_weighting w = lort_weighting_of(&entry, &m, 0);
    lort_weighting_codes(&w, &m, codes);
    assert_int_equal(codes[5], LORT_SCALE_MOST);
    assert_int_equal(codes[6], 118); /* a hundredth */
    free(values);
    free(codes);
}

static void nothing_known_means_all_alike(void **state)
{
    static float zeros[COLS];
    uint8_t codes[COLS];
    float scales[COLS];
    const lort_weighting ways[] = {weighting_of(zeros), lort_weighting_of(NULL, &shape, 0)};
    assert_true(ways[0].on && !ways[1].on);
    for (unsigned i = 0; i < 2; i++) {
        lort_weighting_codes(&ways[i], &shape, codes);
        lort_weighting_scales(&ways[i], COLS, scales);
        for (int c = 0; c < COLS; c++)
            assert_true(codes[c] == LORT_SCALE_ONE && lort_weight(&ways[i], c) == 1 &&
                        scales[c] == 1);
    }
}

static void columns_are_scaled_and_back(void **state)
{
    float x[3 * COLS], y[3 * COLS];
    uint8_t codes[COLS];
    for (int i = 0; i < 3 * COLS; i++)
        x[i] = y[i] = (float)(i % 17 - 8) * 0.37f;
    for (int c = 0; c < COLS; c++)
        codes[c] = (uint8_t)(LORT_SCALE_LEAST + c % 65);
    lort_scale_columns(y, 3, COLS, codes);
    for (int i = 0; i < 3 * COLS; i++)
        assert_true(y[i] == x[i] * lort_scale_of(codes[i % COLS]));
    lort_unscale_columns(y, 3, COLS, codes);
    for (int i = 0; i < 3 * COLS; i++)
        assert_true(fabsf(y[i] - x[i]) <= 4e-7f * fabsf(x[i]));
}

static void sums_are_those_of_the_plain_loop(void **state)
{
    static float values[COLS], a[ROWS * 90], b[ROWS * 90];
    uint8_t codes[COLS], row_codes[ROWS + 64];
    const int first = 33, cols = 90;
    const lort_block_place place = {64, first, ROWS, cols};
    for (int c = 0; c < COLS; c++) {
        values[c] = (float)(c * c % 41);
        codes[c] = (uint8_t)(120 + c % 13);
    }
    for (int r = 0; r < ROWS; r++)
        row_codes[64 + r] = (uint8_t)(90 + 7 * r % 80);
    for (int i = 0; i < ROWS * cols; i++) {
        a[i] = (float)(i % 29 - 14);
        b[i] = a[i] + (float)(i % 7) * 0.01f;
    }
    const lort_weighting w = weighting_of(values);
    for (int with = 0; with < 8; with++) {
        double plain = 0, weighed = 0;
        for (int i = 0; i < ROWS * cols; i++) {
            const int c = first + i % cols;
            const double d = ((double)a[i] - (with & 1 ? (double)b[i] : 0)) *
                             (with & 2 ? exp2((128 - codes[c]) / 4.0) : 1) *
                             (with & 4 ? exp2((128 - row_codes[64 + i / cols]) / 4.0) : 1);
            plain += d * d;
            weighed += d * d * lort_weight(&w, c);
        }
        const lort_scales scales = {with & 2 ? codes : NULL, with & 4 ? row_codes : NULL};
        const lort_weighed found =
            lort_weighed_sum(&w, &scales, &place, ROWS, a, with & 1 ? b : NULL);
        assert_true(fabs(found.plain / plain - 1) < 1e-6);
        assert_true(fabs(found.weighed / weighed - 1) < 1e-6);
    }
}

/* The code of a row's scale is that of its size, turned around one; it stops at the limits. */
static void rows_get_one_norm(void **state)
{
    (void)state;
    uint8_t sizes[256], codes[256];
    for (int i = 0; i < 256; i++)
        sizes[i] = (uint8_t)i;
    lort_row_scale_codes(sizes, 256, codes);
    assert_int_equal(codes[0], LORT_SCALE_ONE); /* a row of zeros */
    for (int i = 1; i < 256; i++) {
        assert_int_equal(codes[i], 256 - i);
        assert_int_equal(lort_scale_inverse(codes[i]), i);
    }
}

/* A block in the midst of its slice, with all ways of scales. Columns are undone first, as readers
 * do (docs/FORMAT.md). */
static void blocks_are_scaled_and_back(void **state)
{
    enum { UP = 32, LEFT = 7, HIGH = 40, WIDE = 90, USED = 37 };
    static float x[HIGH * WIDE], y[HIGH * WIDE];
    static uint8_t cols[LEFT + WIDE], rows[UP + HIGH];
    const lort_block_place place = {UP, LEFT, HIGH, WIDE};
    (void)state;
    for (int c = 0; c < LEFT + WIDE; c++)
        cols[c] = (uint8_t)(LORT_SCALE_LEAST + 3 * c % 65);
    for (int r = 0; r < UP + HIGH; r++)
        rows[r] = (uint8_t)(64 + 11 * r % 129);
    for (int with = 0; with < 4; with++) {
        const lort_scales scales = {with & 1 ? cols : NULL, with & 2 ? rows : NULL};
        for (int i = 0; i < HIGH * WIDE; i++)
            x[i] = y[i] = (float)(i % 23 - 11) * 0.37f;
        lort_scale_block(y, &place, USED, &scales);
        for (int i = 0; i < USED * WIDE; i++) {
            const float column = with & 1 ? lort_scale_of(cols[LEFT + i % WIDE]) : 1,
                        row = with & 2 ? lort_scale_of(rows[UP + i / WIDE]) : 1;
            assert_true(y[i] == x[i] * column * row);
        }
        for (int i = 0; i < USED * WIDE; i++) { /* decoded values: what the scales undo */
            const float column =
                            with & 1 ? lort_scale_of(lort_scale_inverse(cols[LEFT + i % WIDE])) : 1,
                        row = with & 2 ? lort_scale_of(lort_scale_inverse(rows[UP + i / WIDE])) : 1;
            const float half = y[i] * column;
            x[i] = half * row;
        }
        lort_unscale_block(y, &place, USED, &scales);
        for (int i = 0; i < HIGH * WIDE; i++) {
            const float first = (float)(i % 23 - 11) * 0.37f;
            assert_true(y[i] == x[i]); /* rows beyond USED are left alone */
            assert_true(fabsf(y[i] - first) <= 8e-7f * fabsf(first));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_are_powers_of_two),
        cmocka_unit_test(codes_follow_importance),
        cmocka_unit_test(scales_that_do_not_pay_are_one),
        cmocka_unit_test(codes_stay_in_range),
        cmocka_unit_test(nothing_known_means_all_alike),
        cmocka_unit_test(columns_are_scaled_and_back),
        cmocka_unit_test(sums_are_those_of_the_plain_loop),
        cmocka_unit_test(rows_get_one_norm),
        cmocka_unit_test(blocks_are_scaled_and_back),
    };
    return run_chosen(tests, NULL, NULL);
}
