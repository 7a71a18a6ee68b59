#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "compress/math/random.h"
#include "tests/unit/main.h"

/* The known-answer vectors that the authors published. */
static void philox_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        lort_philox4x32(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

static void signs_depend_on_position_only(void **state)
{
    enum { ROWS = 37, COLS = 300 };
    static float whole[ROWS * COLS];
    static float part[5 * 131];
    const int64_t far_row = (int64_t)5 << 33;

    lort_random_signs(42, far_row, 0, ROWS, COLS, whole);
    for (int64_t r0 = 0; r0 + 5 <= ROWS; r0 += 8)
        for (int64_t c0 = 0; c0 + 131 <= COLS; c0 += 13) {
            lort_random_signs(42, far_row + r0, c0, 5, 131, part);
            for (int64_t r = 0; r < 5; r++)
                assert_memory_equal(part + r * 131, whole + (r0 + r) * COLS + c0,
                                    131 * sizeof(float));
        }
}

static void signs_are_balanced_and_keys_differ(void **state)
{
    enum { N = 1 << 14 };
    static float a[N], b[N], c[N];
    double sum = 0, dot = 0, dot_rows = 0;

    lort_random_signs(1, 0, 0, 1, N, a);
    lort_random_signs(2, 0, 0, 1, N, b);
    lort_random_signs(1, 1, 0, 1, N, c);
    for (int i = 0; i < N; i++) {
        assert_true(a[i] == 1.0f || a[i] == -1.0f);
        sum += (double)a[i];
        dot += (double)(a[i] * b[i]);
        dot_rows += (double)(a[i] * c[i]);
    }
    /* 5 standard deviations of a sum of N signs */
    assert_true(sum < 640 && sum > -640);
    assert_true(dot < 640 && dot > -640);
    assert_true(dot_rows < 640 && dot_rows > -640);
}

static void matrix_keys_differ(void **state)
{
    const uint64_t key = lort_matrix_key(1, 2, 3);

    assert_true(key == lort_matrix_key(1, 2, 3));
    assert_true(key != lort_matrix_key(2, 2, 3));
    assert_true(key != lort_matrix_key(1, 3, 3));
    assert_true(key != lort_matrix_key(1, 2, 4));
    assert_true(key != lort_matrix_key(1, 3, 2));
    assert_true(key != lort_matrix_key(1, 2, (uint64_t)3 << 32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(signs_depend_on_position_only),
        cmocka_unit_test(signs_are_balanced_and_keys_differ),
        cmocka_unit_test(matrix_keys_differ),
    };

    return run_chosen(tests, NULL, NULL);
}
