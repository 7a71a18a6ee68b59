/* Singular values down to a floor, and factors of a fixed rank and type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/math/random.h"
#include "tests/numerics/matrices.h"
#include "tests/unit/main.h"

#define MOST 256

static float noise(uint64_t key, int64_t r, int64_t c)
{
    const uint32_t place[4] = {(uint32_t)r, (uint32_t)c, 0, 0}, k[2] = {(uint32_t)key, 7};
    uint32_t x[4];
    lort_philox4x32(place, k, x);
    return (float)((double)(int32_t)x[0] / 2147483648.0);
}

/* `rank` components that fall by `decay`, and `full` of noise; times `scale`. */
static matrix make(int64_t rows, int64_t cols, int64_t rank, double decay, float full, float scale)
{
    matrix m = matrix_make(rows, cols);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            double sum = full * noise(3, r, c), by = 1;
            for (int64_t i = 0; i < rank; i++, by *= decay)
                sum += by * noise(1, r, i) * noise(2, i, c);
            m.at[r * cols + c] = (float)sum * scale;
        }
    return m;
}

static lort_values find(matrix *m, lort_target target, double *values, lort_pool *pool)
{
    const lort_matrix_source source = matrix_source(m);
    lort_values found;
    lort_error err;
    target.kind = LORT_TARGET_VALUES;
    target.key = 5;
    target.max_rank = target.max_rank ? target.max_rank : MOST;
    if (lort_factor_values(&source, &target, pool, &lort_alloc_heap, values, &found, &err))
        fail_msg("%s", err.message);
    return found;
}

static lort_factors fixed(matrix *m, int64_t rank, lort_dtype left, lort_dtype right)
{
    const lort_matrix_source source = matrix_source(m);
    const lort_target target = {.kind = LORT_TARGET_RANK,
                                .rank = rank,
                                .max_rank = rank,
                                .key = 5,
                                .fixed = true,
                                .left_type = left,
                                .right_type = right};
    lort_factors f;
    lort_error err;
    if (lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, &err))
        fail_msg("%s", err.message);
    return f;
}

/* Values above the floor are all found, and are those of LAPACK. */
static void values_are_those_of_lapack(void **state)
{
    static const int64_t shapes[][2] = {{300, 200}, {200, 300}, {700, 500}, {40, 600}};
    for (unsigned k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (unsigned small = 0; small < 2; small++) {
            matrix m = make(shapes[k][0], shapes[k][1], 12, 0.8, 1e-3f, small ? 1e-9f : 1);
            double values[MOST], norm2 = 0;
            double *exact = spectrum(&m); /* squared */
            const double floor = 0.25 * exact[11];
            const lort_values found =
                find(&m, (lort_target){.value = 1, .floor = floor}, values, NULL);
            assert_int_equal(found.verdict, LORT_FACTORED);
            assert_true(found.count >= 12);
            for (int64_t i = 0; i < m.rows * m.cols; i++)
                norm2 += (double)m.at[i] * (double)m.at[i];
            assert_true(fabs(found.norm2 / norm2 - 1) < 1e-9);
            for (int i = 0; i < 12; i++)
                assert_true(fabs(values[i] / exact[i] - 1) < 1e-4);
            for (int64_t i = 12; i < found.count; i++)
                assert_true(values[i] < floor);
            free(exact);
            free(m.at);
        }
}

static void special_matrices_have_no_values(void **state)
{
    matrix m = matrix_make(70, 50);
    double values[MOST];
    assert_int_equal(find(&m, (lort_target){.value = 1}, values, NULL).verdict, LORT_ZERO);
    m.at[3 * 50 + 4] = NAN;
    const lort_values found = find(&m, (lort_target){.value = 1}, values, NULL);
    assert_int_equal(found.verdict, LORT_NONFINITE);
    assert_int_equal(found.bad_row, 3);
    assert_int_equal(found.bad_col, 4);
    free(m.at);
}

static void fixed_factors_have_their_types(void **state)
{
    static const struct {
        lort_dtype left, right;
        int64_t rank;
        uint64_t left_bytes, right_bytes;
        double error;
    } cases[] = {{LORT_F32, LORT_F32, 12, 4 * 12 * 320, 4 * 12 * 192, 2e-6},
                 {LORT_F16, LORT_BF16, 12, 2 * 12 * 320, 2 * 12 * 192, 6e-3},
                 {LORT_Q8_0, LORT_Q8_0, 32, 34 * 320, 34 * 192, 2e-2},
                 {LORT_F32, LORT_F32, 100, 4 * 100 * 320, 4 * 100 * 192, 2e-6}};
    matrix m = make(320, 192, 12, 0.9, 0, 1e-3f);
    for (unsigned k = 0; k < sizeof cases / sizeof *cases; k++) {
        lort_factors f = fixed(&m, cases[k].rank, cases[k].left, cases[k].right);
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_int_equal(f.rank, cases[k].rank); /* also above the exact rank */
        assert_int_equal(f.exponent, 0);
        assert_int_equal(f.left_type, cases[k].left);
        assert_int_equal(f.right_type, cases[k].right);
        assert_int_equal(f.left_bytes, cases[k].left_bytes);
        assert_int_equal(f.right_bytes, cases[k].right_bytes);
        assert_true(sqrt(f.error2 / f.norm2) < cases[k].error);
        lort_factors_free(&f, &lort_alloc_heap);
    }
    free(m.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_lapack),
        cmocka_unit_test(special_matrices_have_no_values),
        cmocka_unit_test(fixed_factors_have_their_types),
    };
    return run_chosen(tests, NULL, NULL);
}
