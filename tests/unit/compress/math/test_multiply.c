/* The product of factors: each way of this processor gives the bits of fmaf, whatever is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/math/multiply.h"
#include "tests/unit/main.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 17 };
static float left[MOST], right[MOST], out[MOST], want[MOST];

static uint32_t state_of_noise;
static uint32_t noise(void)
{
    state_of_noise = state_of_noise * 1664525u + 1013904223u;
    return state_of_noise >> 8;
}

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- what elements are ---- */

static float small(void) { return (float)((int)noise() - (1 << 23)) * 0x1p-23f; }
/* Products from 2^-160 to 2^160: sums overflow, cancel, and are below the smallest normal f32. */
static float of_any_size(void) { return ldexpf(small(), (int)(noise() % 161) - 80); }
static float tiny(void) { return ldexpf(small(), (int)(noise() % 12) - 75); }
static float few_bits(void) { return (float)((int)(noise() % 7) - 3); }
/* every finite number */
static float any_finite(void)
{
    for (;;) {
        const float x = of_bits(noise() << 16 ^ noise());
        if (isfinite(x))
            return x;
    }
}
static float special(void)
{
    static const float most[] = {0.0f,      -0.0f,    INFINITY, -INFINITY, NAN,
                                 0x1p-149f, 0x1p127f, 1.0f,     -1.0f,     0x1.fffffep127f};
    return noise() % 8 ? small() : most[noise() % (sizeof most / sizeof *most)];
}

typedef float element_fn(void);
static element_fn *const elements[] = {small, of_any_size, tiny, few_bits, any_finite, special};
#define ELEMENTS (sizeof elements / sizeof *elements)

static void fill(element_fn *element, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = element();
}

/* ---- the rule of multiply.h ---- */

static float element_of(const lort_multiplication *m, int64_t i, int64_t j)
{
    float sum = 0;
    for (int64_t k = 0; k < m->rank; k++)
        sum = fmaf(m->left[i * m->left_ld + k], m->right[k * m->right_ld + j], sum);
    return sum;
}

/* The bits of a NaN are free. */
static bool equal(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

#define UNTOUCHED 12345.0f

static void check(const lort_multiplier *way, const lort_multiplication *m)
{
    for (int64_t i = 0; i < m->rows * m->out_ld; i++)
        m->out[i] = UNTOUCHED;
    lort_multiply_by(way, m);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->out_ld; j++) {
            const float expected = j < m->cols ? want[i * m->cols + j] : UNTOUCHED,
                        found = m->out[i * m->out_ld + j];
            if (!equal(found, expected))
                fail_msg("%s: [%d][%d] of rank %d is %a, not %a", lort_multiplier_name(way), (int)i,
                         (int)j, (int)m->rank, (double)found, (double)expected);
        }
}

static void check_shape(int64_t rows, int64_t cols, int64_t rank, int64_t more)
{
    for (unsigned e = 0; e < ELEMENTS; e++) {
        const lort_multiplication m = {.rows = rows,
                                       .cols = cols,
                                       .rank = rank,
                                       .left = left,
                                       .left_ld = rank + more,
                                       .right = right,
                                       .right_ld = cols + more,
                                       .out = out,
                                       .out_ld = cols + more};
        assert_true(rows * (cols + more) <= MOST && rank * (cols + more) <= MOST &&
                    rows * (rank + more) <= MOST);
        fill(elements[e], left, rows * (rank + more));
        fill(elements[e], right, rank * (cols + more));
        for (int64_t i = 0; i < rows * cols; i++)
            want[i] = element_of(&m, i / cols, i % cols);
        for (unsigned w = 0; lort_multiplier_at(w); w++)
            if (lort_multiplier_runs(lort_multiplier_at(w)))
                check(lort_multiplier_at(w), &m);
    }
}

static void every_rank(void **state)
{
    for (int64_t rank = 0; rank <= 130; rank++)
        check_shape(1 + rank % 9, 1 + rank * 7 % 45, rank, rank % 3);
    check_shape(5, 40, 255, 0);
    check_shape(3, 70, 256, 1);
    check_shape(7, 33, 300, 2);
}

static void every_height_and_width(void **state)
{
    for (int64_t rows = 0; rows <= 26; rows++)
        check_shape(rows, 50, 5, 3);
    for (int64_t cols = 0; cols <= 97; cols++)
        check_shape(9, cols, 6, 1);
    check_shape(259, 35, 4, 0);
    check_shape(65, 129, 130, 5);
}

/* ---- cuts ---- */

static void cuts_make_no_difference(void **state)
{
    enum { ROWS = 83, COLS = 301, RANK = 137 };
    static const struct {
        int64_t high, wide;
    } cuts[] = {{1, 301}, {83, 1}, {7, 19}, {64, 64}, {30, 33}};
    lort_multiplication all = {ROWS, COLS, RANK, left, RANK, right, COLS, want, COLS};
    fill(of_any_size, left, ROWS * RANK);
    fill(of_any_size, right, RANK * COLS);
    lort_multiply(&all);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        memset(out, 0, sizeof out);
        for (int64_t r = 0; r < ROWS; r += cuts[i].high)
            for (int64_t c = 0; c < COLS; c += cuts[i].wide) {
                lort_multiplication part = all;
                part.rows = r + cuts[i].high < ROWS ? cuts[i].high : ROWS - r;
                part.cols = c + cuts[i].wide < COLS ? cuts[i].wide : COLS - c;
                part.left += r * RANK;
                part.right += c;
                part.out = out + r * COLS + c;
                lort_multiply(&part);
            }
        for (int64_t k = 0; k < ROWS * COLS; k++)
            assert_true(equal(out[k], want[k]));
    }
}

/* ---- zeros ---- */

static void zeros_are_positive(void **state)
{
    static const struct {
        float left, right;
        uint32_t bits;
    } rows[] = {{-0.0f, 1, 0}, {0, -1, 0}, {0x1p-100f, -0x1p-100f, 0x80000000u}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (unsigned w = 0; lort_multiplier_at(w); w++) {
            float found = 1;
            if (!lort_multiplier_runs(lort_multiplier_at(w)))
                continue;
            lort_multiply_by(
                lort_multiplier_at(w),
                &(lort_multiplication){1, 1, 1, &rows[i].left, 1, &rows[i].right, 1, &found, 1});
            assert_true(equal(found, of_bits(rows[i].bits)));
        }
}

static void the_last_way_runs_everywhere(void **state)
{
    unsigned count = 0;
    while (lort_multiplier_at(count))
        count++;
    assert_true(count > 0);
    assert_true(lort_multiplier_runs(lort_multiplier_at(count - 1)));
    assert_string_equal(lort_multiplier_name(lort_multiplier_at(count - 1)), "plain");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank),
        cmocka_unit_test(every_height_and_width),
        cmocka_unit_test(cuts_make_no_difference),
        cmocka_unit_test(zeros_are_positive),
        cmocka_unit_test(the_last_way_runs_everywhere),
    };
    return run_chosen(tests, NULL, NULL);
}
