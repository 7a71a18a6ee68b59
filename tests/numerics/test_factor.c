#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>

#include "compress/factor/cells.h"
#include "compress/math/random.h"
#include "tests/numerics/matrices.h"
#include "tests/numerics/sgesdd.h"
#include "tests/unit/main.h"
#include "tests/unit/sanitized.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLOW_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer) ||             \
    __has_feature(thread_sanitizer)
#define SLOW_BUILD 1
#endif
#endif
#ifndef SLOW_BUILD
#define SLOW_BUILD 0
#endif

#define HALF_ROUNDING 1e-3 /* largest relative error of two f16 factors; a typical one is 2e-4 */

/* Uniform numbers in [-1, 1). Each depends on its position only. */
static float noise(uint64_t key, int64_t r, int64_t c)
{
    const uint32_t place[4] = {(uint32_t)r, (uint32_t)c, 0, 0},
                   k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    uint32_t x[4];

    lort_philox4x32(place, k, x);
    return (float)((double)(int32_t)x[0] / 2147483648.0);
}

/* Sum over i < rank of scale_i u_i v_i', the scales falling by `decay`, plus `full` of noise. */
static matrix make_low_rank(int64_t rows, int64_t cols, int64_t rank, double decay, float full)
{
    matrix m = matrix_make(rows, cols);

    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < rank; i++) {
            const float u = noise(1, r, i) * (float)pow(decay, (double)i);
            for (int64_t c = 0; c < cols; c++)
                m.at[r * cols + c] += u * noise(2, i, c);
        }
    for (int64_t r = 0; full != 0 && r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            m.at[r * cols + c] += full * noise(3, r, c);
    return m;
}

static lort_factors factor_with(matrix *m, lort_target target, lort_pool *pool,
                                uint32_t element_bytes)
{
    lort_matrix_source source = matrix_source(m);
    lort_factors f;
    lort_error err;

    source.element_bytes = element_bytes;
    if (target.max_rank == 0)
        target.max_rank = 256;
    target.key = target.key == 0 ? 99 : target.key;
    if (lort_factor(&source, &target, pool, &lort_alloc_heap, &f, &err) != LORT_OK)
        fail_msg("%s", err.message);
    return f;
}

static lort_factors factor_rank(matrix *m, int64_t rank)
{
    return factor_with(m, (lort_target){.kind = LORT_TARGET_RANK, .rank = rank}, NULL, 4);
}

static double relative(const lort_factors *f) { return sqrt(f->error2 / f->norm2); }

static void assert_error_is_true(const matrix *m, const lort_factors *f)
{
    const double again = recomputed_error2(m, f);

    if (fabs(f->error2 - again) > 1e-6 * again + 1e-300)
        fail_msg("reported error2 %.17g, recomputed %.17g", f->error2, again);
}

static void end(matrix *m, lort_factors *f)
{
    lort_factors_free(f, &lort_alloc_heap);
    free(m->at);
}

static void exact_rank_is_found(void **state)
{
    static const int64_t shapes[][2] = {
        {300, 200}, {200, 300}, {1000, 64}, {64, 1000}, {513, 1025}};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        matrix m = make_low_rank(shapes[i][0], shapes[i][1], 5, 0.7, 0);
        lort_factors f = factor_rank(&m, 32);
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_int_equal(f.rank, 5);
        assert_true(relative(&f) < HALF_ROUNDING);
        assert_error_is_true(&m, &f);
        end(&m, &f);
    }
}

/* Columns are from 2^-10 to 2^10 times as important. The captured energy of A diag(scale) is within
 * 3 % of the best factors'. Errors are those of A diag(scale), and the stored factors give A again.
 */
static void scaled_columns(void **state)
{
    static const int64_t shapes[][2] = {{300, 200}, {200, 1300}};

    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const int64_t rows = shapes[i / 2][0], cols = shapes[i / 2][1];
        matrix m = make_low_rank(rows, cols, 60, 0.97, 0.5f), scaled = matrix_make(rows, cols);
        lort_factors f;
        float *scale = malloc((size_t)cols * sizeof *scale);
        double best = 0, again = 0;

        m.direct = i % 2;
        for (int64_t c = 0; c < cols; c++)
            scale[c] = (float)exp2(10.0 * noise(4, 0, c)) * 1.1f;
        for (int64_t k = 0; k < rows * cols; k++)
            scaled.at[k] = m.at[k] * scale[k % cols];
        lort_matrix_source source = matrix_source(&m);
        const lort_target target = {
            .kind = LORT_TARGET_RANK, .rank = 16, .max_rank = 16, .key = 99};
        source.scale = scale;
        assert_int_equal(lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, NULL), LORT_OK);
        assert_int_equal(f.verdict, LORT_FACTORED);
        double *values = spectrum(&scaled);
        for (int64_t k = 0; k < f.rank; k++)
            best += ldexp(values[k], -2 * f.exponent);
        assert_true(f.norm2 - f.error2 >= 0.97 * best);
        float *left = widened(f.left_type, f.left, f.left_bytes),
              *right = widened(f.right_type, f.right, f.right_bytes);
        float *product = malloc((size_t)(rows * cols) * sizeof *product);
        lort_product_cells(&(lort_product){f.rank, f.exponent, left, right}, cols, 0, rows, 0, cols,
                           product, cols);
        for (int64_t k = 0; k < rows * cols; k++) {
            const double d = ldexp(((double)m.at[k] - (double)product[k]) * (double)scale[k % cols],
                                   -f.exponent);
            again += d * d;
        }
        assert_true(fabs(f.error2 - again) <= 1e-5 * again);
        free(values);
        free(left);
        free(right);
        free(product);
        free(scale);
        free(scaled.at);
        end(&m, &f);
    }
}

static void constant_and_rank_one(void **state)
{
    for (int direct = 0; direct < 2; direct++) {
        matrix m = matrix_make(130, 270);
        m.direct = direct;
        for (int64_t i = 0; i < 130 * 270; i++)
            m.at[i] = 0.3f;
        lort_factors f = factor_rank(&m, 8);
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_int_equal(f.rank, 1);
        assert_true(relative(&f) < HALF_ROUNDING);
        assert_true(fabs(f.sigma_first - 1) < 1e-5);
        assert_error_is_true(&m, &f);
        end(&m, &f);
    }
}

static void zero_matrix(void **state)
{
    static const int64_t shapes[][2] = {{40, 50}, {1, 1}, {0, 7}, {7, 0}};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        matrix m = matrix_make(shapes[i][0], shapes[i][1]);
        lort_factors f = factor_rank(&m, 4);
        assert_int_equal(f.verdict, LORT_ZERO);
        assert_int_equal(f.rank, 0);
        assert_null(f.left);
        assert_null(f.right);
        assert_true(f.norm2 == 0);
        end(&m, &f);
    }
}

static void small_and_extreme_shapes(void **state)
{
    static const int64_t shapes[][2] = {{1, 1}, {1, 2},   {2, 1},     {1, 5000},  {5000, 1},
                                        {2, 3}, {31, 33}, {3, 20000}, {20000, 3}, {64, 64}};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t rows = shapes[i][0], cols = shapes[i][1], least = rows < cols ? rows : cols;
        matrix m = make_low_rank(rows, cols, least, 1, 0);
        lort_factors f = factor_rank(&m, 64);
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_true(f.rank <= least);
        assert_true(relative(&f) < HALF_ROUNDING);
        assert_error_is_true(&m, &f);
        end(&m, &f);
    }
}

/* Powers of two over f32's whole range, subnormals included, and the numbers of the task. */
static void scales(void **state)
{
    static const double by[] = {1e30, 1e-30, 1e-38, 1e38, 3e-39, 1.0 / 1048576, 1e6, 1e11};

    for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
        matrix m = make_low_rank(100, 140, 4, 0.8, 0);
        double top = 0;
        for (int64_t j = 0; j < 14000; j++)
            top = fmax(top, fabs((double)m.at[j]));
        for (int64_t j = 0; j < 14000; j++)
            m.at[j] = (float)((double)m.at[j] / top * by[i]);
        lort_factors f = factor_rank(&m, 8);
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_true(f.rank >= 4);
        assert_true(relative(&f) < HALF_ROUNDING);
        assert_error_is_true(&m, &f);
        end(&m, &f);
    }
}

/* At 1e-40 an element has 16 bits left. LoRT factorises the numbers of that grid, and the reader
 * rounds to the same grid. */
static void subnormal_scale(void **state)
{
    matrix m = matrix_make(70, 90);

    for (int64_t r = 0; r < 70; r++)
        for (int64_t c = 0; c < 90; c++)
            m.at[r * 90 + c] = (float)(1e-40 * (double)noise(1, r, 0) * (double)noise(2, 0, c));
    lort_factors f = factor_rank(&m, 1);
    assert_int_equal(f.verdict, LORT_FACTORED);
    assert_true(relative(&f) < HALF_ROUNDING);
    assert_error_is_true(&m, &f);
    end(&m, &f);
}

static void largest_floats_stay_finite(void **state)
{
    matrix m = matrix_make(80, 80);

    for (int64_t i = 0; i < 6400; i++)
        m.at[i] = (i / 80 + i % 80) % 2 ? FLT_MAX : -FLT_MAX;
    lort_factors f = factor_rank(&m, 2);
    assert_int_equal(f.verdict, LORT_FACTORED);
    assert_int_equal(f.rank, 1);
    assert_true(relative(&f) < HALF_ROUNDING);
    assert_error_is_true(&m, &f);
    end(&m, &f);
}

static void nonfinite_is_located(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};

    for (int i = 0; i < 3; i++) {
        matrix m = make_low_rank(300, 5000, 1, 1, 0);
        m.at[299 * 5000 + 4] = bad[2 - i];
        /* the first in row order, in the second column tile */
        m.at[257 * 5000 + 4999] = bad[i];
        m.at[258 * 5000 + 1] = bad[i];
        lort_factors f = factor_rank(&m, 4);
        assert_int_equal(f.verdict, LORT_NONFINITE);
        assert_int_equal(f.bad_row, 257);
        assert_int_equal(f.bad_col, 4999);
        assert_null(f.left);
        end(&m, &f);
    }
}

static void duplicate_columns(void **state)
{
    matrix m = make_low_rank(200, 160, 160, 1, 0);

    for (int64_t r = 0; r < 200; r++)
        for (int64_t c = 0; c < 160; c++)
            m.at[r * 160 + c] = m.at[r * 160 + c % 20];
    lort_factors f = factor_rank(&m, 40);
    assert_int_equal(f.verdict, LORT_FACTORED);
    assert_int_equal(f.rank, 20);
    assert_true(relative(&f) < HALF_ROUNDING);
    assert_error_is_true(&m, &f);
    end(&m, &f);
}

/* A component is a million times weaker than the first. f16 alone would lose it in subnormals. The
 * error is that of the whole matrix. */
static void one_outlier(void **state)
{
    matrix m = make_low_rank(256, 256, 256, 1, 0);

    for (int64_t i = 0; i < 256 * 256; i++)
        m.at[i] *= 1e-6f;
    m.at[77 * 256 + 5] = 1;
    lort_factors f = factor_rank(&m, 16);
    assert_int_equal(f.verdict, LORT_FACTORED);
    assert_true(f.sigma_first > 0.99);
    assert_true(f.error2 < f.norm2);
    assert_error_is_true(&m, &f);
    end(&m, &f);
}

/* The eigenvectors of a symmetric matrix: all singular values are equal, and they outnumber the
 * columns of a block. */
static void orthogonal_matrix(void **state)
{
    enum { N = 300 };
    double *a = malloc(sizeof(double) * N * N), *values = malloc(sizeof(double) * N);
    void *work = malloc(lort_dsyevd_work(N));
    matrix m = matrix_make(N, N);

    for (int64_t i = 0; i < N * N; i++)
        a[i] = (double)noise(5, i / N, i % N);
    assert_int_equal(lort_dsyevd(N, a, N, values, work, NULL), LORT_OK);
    for (int64_t i = 0; i < N * N; i++)
        m.at[i] = (float)a[i];
    for (int64_t k = 20; k <= 120; k += 50) {
        lort_factors f = factor_rank(&m, k);
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_int_equal(f.rank, k);
        const double left = 1 - (double)k / N;
        assert_true(fabs(f.error2 / f.norm2 - left) < 0.01 * left); /* added by rounding */
        assert_error_is_true(&m, &f);
        lort_factors_free(&f, &lort_alloc_heap);
    }
    lort_factors f = factor_with(
        &m, (lort_target){.kind = LORT_TARGET_ENERGY, .value = 0.5, .max_rank = 200}, NULL, 4);
    assert_int_equal(f.verdict, LORT_FACTORED);
    assert_in_range(f.rank, N / 2, N / 2 + 2);
    end(&m, &f);
    free(a);
    free(values);
    free(work);
}

/* ---- targets ---- */

static void error_target_is_met(void **state)
{
    static const double values[] = {0.5, 0.1, 0.05, 0.01, 0.001};
    matrix m = make_low_rank(400, 500, 120, 0.9, 1e-4f);
    double *squares = spectrum(&m), norm2 = 0;

    for (int64_t i = 0; i < 400; i++)
        norm2 += squares[i];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        lort_factors f =
            factor_with(&m, (lort_target){.kind = LORT_TARGET_ERROR, .value = values[i]}, NULL, 4);
        double tail = norm2;
        int64_t best = 0;
        while (tail > values[i] * values[i] * norm2)
            tail -= squares[best++];
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_true(relative(&f) <= values[i]);
        assert_in_range(f.rank, best, best + 2 + best / 32);
        assert_error_is_true(&m, &f);
        lort_factors_free(&f, &lort_alloc_heap);
    }
    free(squares);
    free(m.at);
}

static void energy_target_is_met(void **state)
{
    static const double values[] = {0.3, 0.9, 0.99, 0.9999};
    matrix m = make_low_rank(500, 300, 100, 0.92, 1e-4f);

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        lort_factors f =
            factor_with(&m, (lort_target){.kind = LORT_TARGET_ENERGY, .value = values[i]}, NULL, 4);
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_true(f.norm2 - f.error2 >= values[i] * f.norm2);
        assert_error_is_true(&m, &f);
        lort_factors_free(&f, &lort_alloc_heap);
    }
    free(m.at);
}

static void unreachable_targets(void **state)
{
    /* one component, and noise that needs the full rank */
    matrix m = make_low_rank(600, 700, 1, 1, 0.5f);
    static const lort_target targets[] = {
        {.kind = LORT_TARGET_ERROR, .value = 0.05, .max_rank = 256},
        {.kind = LORT_TARGET_ENERGY, .value = 0.999, .max_rank = 200},
        {.kind = LORT_TARGET_ERROR, .value = 0, .max_rank = 600},
        /* a smaller error than f16 factors reach */
        {.kind = LORT_TARGET_ERROR, .value = 1e-6, .max_rank = 600},
    };

    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        lort_factors f = factor_with(&m, targets[i], NULL, 4);
        assert_int_equal(f.verdict, LORT_OUT_OF_REACH);
        assert_int_equal(f.rank, 0);
        assert_null(f.left);
        assert_true(f.best_energy > 0.3 && f.best_energy <= 1);
        lort_factors_free(&f, &lort_alloc_heap);
    }
    free(m.at);
}

/* A flat spectrum at a low rank limit: LoRT must give up at the second or third look. */
static void early_stop(void **state)
{
    matrix m = make_low_rank(600, 700, 1, 1, 0.5f);
    lort_factors f = factor_with(
        &m, (lort_target){.kind = LORT_TARGET_ERROR, .value = 0.05, .max_rank = 128}, NULL, 4);

    assert_int_equal(f.verdict, LORT_OUT_OF_REACH);
    assert_true(f.sketch < 128 + 128 / 4 + 64);
    assert_true(f.best_energy < 0.95);
    end(&m, &f);
}

static void no_rank_allowed(void **state)
{
    matrix m = make_low_rank(50, 50, 2, 1, 0);
    const lort_matrix_source source = matrix_source(&m);
    const lort_target target = {.kind = LORT_TARGET_ERROR, .value = 0.1, .max_rank = 0};
    lort_factors f;

    assert_int_equal(lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, NULL), LORT_OK);
    assert_int_equal(f.verdict, LORT_OUT_OF_REACH);
    free(m.at);
}

/* ---- components that pay ---- */

/* The cost of a component if factors take 16 bits an element. */
static lort_target gain_of(const matrix *m, double error)
{
    const double rows = (double)m->rows, cols = (double)m->cols;
    return (lort_target){.kind = LORT_TARGET_GAIN,
                         .value = 1.386 * 16 * (rows + cols) / (rows * cols),
                         .max_rank = 64,
                         .floor = error * error};
}

/* The rank gives the least left * exp(cost) by the true singular values, or at most a hundredth
 * more. Ritz values of a few passes need not be exact. */
static void assert_saves_most(matrix *m, const lort_target *gain, int64_t rank)
{
    double *squares = spectrum(m), norm2 = 0, least, chosen;
    for (int64_t i = 0; i < (m->rows < m->cols ? m->rows : m->cols); i++)
        norm2 += squares[i];
    double left = least = chosen = norm2;
    for (int64_t i = 0; i < gain->max_rank; i++) {
        left -= squares[i];
        const double value = fmax(left, gain->floor * norm2) * exp(gain->value * (double)(i + 1));
        least = fmin(least, value);
        chosen = rank == i + 1 ? value : chosen;
    }
    if (chosen > 1.01 * least)
        fail_msg("rank %lld comes to %.6g, the best to %.6g", (long long)rank, chosen / norm2,
                 least / norm2);
    free(squares);
}

/* Components that are alike pay together or not at all. Components below the error do not pay. */
static void components_pay_together(void **state)
{
    static const struct {
        int64_t rows, cols, rank;
        double decay;
        float noise;
        double error;
        int64_t least, most;
    } cases[] = {
        {256, 768, 16, 1, 0.05f, 0.02, 16, 16}, {256, 768, 16, 1, 0, 0.02, 16, 16},
        {512, 500, 40, 1, 0.01f, 0.02, 40, 40}, {512, 1000, 64, 1, 0.01f, 0.02, 63, 64},
        {256, 768, 8, 0.5, 0, 0.3, 1, 3},       {256, 768, 8, 0.5, 0, 0.001, 8, 8},
        {64, 64, 16, 1, 0, 0.3, 0, 0},          {256, 768, 1, 1, 40, 0.05, 0, 0},
        {512, 1000, 64, 0.97, 10, 0.05, 0, 64},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        matrix m = make_low_rank(cases[i].rows, cases[i].cols, cases[i].rank, cases[i].decay,
                                 cases[i].noise);
        const lort_target gain = gain_of(&m, cases[i].error);
        lort_factors f = factor_with(&m, gain, NULL, 4);
        if (f.rank < cases[i].least || f.rank > cases[i].most)
            fail_msg("case %zu: rank %lld", i, (long long)f.rank);
        assert_int_equal(f.verdict, f.rank > 0 ? LORT_FACTORED : LORT_OUT_OF_REACH);
        assert_saves_most(&m, &gain, f.rank);
        end(&m, &f);
    }
}

/* ---- eight bits ---- */

static bool is_eight(lort_dtype type) { return type == LORT_Q8_0; }

/* Squared error of steps of 1/127 of a block's largest number. Numbers of column c (of row r) count
 * weights[c] (weights[r]) times. */
static double expected_rounding(const uint8_t *stored, int64_t rows, int64_t cols, bool by_row,
                                const double *weights)
{
    double sum = 0;

    for (int64_t i = 0; i < rows * cols; i++) {
        const uint8_t *block = stored + i / 32 * 34;
        const double step = (double)lort_f16_to_f32((uint16_t)(block[0] | block[1] << 8));
        sum += step * step / 12 * weights[by_row ? i / cols : i % cols];
    }
    return sum;
}

/* The error is that of the factors stored in 8 bits. It is hardly more than that of the best
 * factors. */
static void eight_bits_beside_noise(void **state)
{
    static const int64_t shapes[][2] = {
        {300, 200}, {200, 300}, {513, 1025}, {96, 4100}, {1000, 96}};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        matrix m = make_low_rank(shapes[i][0], shapes[i][1], 40, 0.95, 0.5f);
        double *squares = spectrum(&m), tail = 0;
        lort_factors f = factor_rank(&m, 32);
        for (int64_t k = 32; k < shapes[i][0] && k < shapes[i][1]; k++)
            tail += squares[k];
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_true(is_eight(f.left_type) && is_eight(f.right_type));
        assert_int_equal(f.left_bytes, shapes[i][0] * 34);
        assert_int_equal(f.right_bytes, shapes[i][1] * 34);
        assert_error_is_true(&m, &f);
        /* half of it for the basis */
        assert_true(f.error2 <= 1.02 * ldexp(tail, -2 * f.exponent));
        free(squares);
        end(&m, &f);
    }
}

/* A factor in 8 bits has whole blocks, or it stays in 16 bits. Blocks may cross rows. */
static void eight_bits_take_whole_blocks(void **state)
{
    static const struct {
        int64_t rows, cols, rank;
        bool left, right;
    } cases[] = {{300, 201, 8, true, false},
                 {201, 300, 8, false, true},
                 {201, 301, 8, false, false},
                 {150, 111, 32, true, true},
                 {130, 111, 16, true, false}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        matrix m = make_low_rank(cases[i].rows, cases[i].cols, 60, 0.97, 0.5f);
        lort_factors f = factor_rank(&m, cases[i].rank);
        assert_int_equal(f.rank, cases[i].rank);
        assert_true(is_eight(f.left_type) == cases[i].left &&
                    is_eight(f.right_type) == cases[i].right);
        assert_error_is_true(&m, &f);
        end(&m, &f);
    }
}

/* If nothing is left, 16 bits are worth it. They are not if integers leave far more. */
static void eight_bits_are_for_what_is_left(void **state)
{
    matrix m = make_low_rank(320, 256, 4, 0.9, 0);
    lort_factors f = factor_rank(&m, 4);

    assert_true(!is_eight(f.left_type) && !is_eight(f.right_type));
    assert_true(relative(&f) < HALF_ROUNDING);
    lort_factors_free(&f, &lort_alloc_heap);
    for (int i = 0; i < 3; i++) {
        const double aim = i == 0 ? 0 : i == 1 ? 0.001 : 0.2;
        f = factor_with(
            &m, (lort_target){.kind = LORT_TARGET_GAIN, .value = 1e-3, .max_rank = 8, .aim = aim},
            NULL, 4);
        assert_int_equal(f.rank, 4);
        assert_true(is_eight(f.left_type) == (i == 2) && is_eight(f.right_type) == (i == 2));
        assert_error_is_true(&m, &f);
        lort_factors_free(&f, &lort_alloc_heap);
    }
    free(m.at);
}

/* There are as many components as columns. So L can make up for all rounding of R, and only L's own
 * rounding remains. */
static void refit_makes_up_for_rounding(void **state)
{
    matrix m = make_low_rank(400, 32, 32, 0.98, 0);
    lort_factors f = factor_with(
        &m, (lort_target){.kind = LORT_TARGET_GAIN, .value = 1e-9, .max_rank = 32, .aim = 0.2},
        NULL, 4);
    double weights[32] = {0};

    assert_int_equal(f.rank, 32);
    assert_true(is_eight(f.left_type) && is_eight(f.right_type));
    float *right = widened(f.right_type, f.right, f.right_bytes);
    for (int64_t i = 0; i < 32 * 32; i++)
        weights[i / 32] += (double)right[i] * (double)right[i];
    const double of_left = expected_rounding(f.left, 400, 32, false, weights),
                 of_right = expected_rounding(f.right, 32, 32, true, weights);
    assert_error_is_true(&m, &f);
    assert_true(of_right > 0.3 * of_left);
    assert_true(f.error2 > 0.8 * of_left && f.error2 < 1.15 * of_left);
    free(right);
    end(&m, &f);
}

/* LoRT never misses the target. It takes 8 bits where the rank has room for them, at targets that
 * rounding alone would miss with 16 bits. */
static void eight_bits_meet_targets(void **state)
{
    static const struct {
        double value;
        bool eight;
    } cases[] = {{0.5, true},  {0.2, true},    {0.05, true},
                 {0.02, true}, {0.008, false}, {0.002, false}};
    matrix m = make_low_rank(320, 512, 120, 0.93, 1e-4f);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int energy = 0; energy < 2; energy++) {
            const lort_target error = {.kind = LORT_TARGET_ERROR, .value = cases[i].value};
            const lort_target share = {.kind = LORT_TARGET_ENERGY,
                                       .value = 1 - cases[i].value * cases[i].value};
            lort_factors f = factor_with(&m, energy ? share : error, NULL, 4);
            assert_int_equal(f.verdict, LORT_FACTORED);
            assert_true(relative(&f) <= cases[i].value * (1 + 1e-12));
            assert_true(is_eight(f.left_type) == cases[i].eight &&
                        is_eight(f.right_type) == cases[i].eight);
            assert_error_is_true(&m, &f);
            lort_factors_free(&f, &lort_alloc_heap);
        }
    }
    free(m.at);
}

/* One number in 32 holds nearly all energy of its block. 8 bits would add more error than the rank
 * has room for. So the rank stays that of 16 bits. */
static void spikes_stay_in_16_bits(void **state)
{
    matrix m = matrix_make(320, 512);
    double norm2 = 0, tail;
    int64_t best = 0;

    for (int64_t i = 0; i < 120; i++)
        for (int64_t r = 0; r < 320; r++) {
            const float u =
                noise(1, r, i) * (float)pow(0.97, (double)i) * (r % 32 == i % 32 ? 1 : 0.01f);
            for (int64_t c = 0; c < 512; c++)
                m.at[r * 512 + c] += u * noise(2, i, c) * (c % 32 == i % 32 ? 1 : 0.01f);
        }
    double *squares = spectrum(&m);
    for (int64_t i = 0; i < 320; i++)
        norm2 += squares[i];
    for (tail = norm2; tail > 0.011 * 0.011 * norm2; tail -= squares[best++])
        ;
    lort_factors f =
        factor_with(&m, (lort_target){.kind = LORT_TARGET_ERROR, .value = 0.011}, NULL, 4);
    assert_int_equal(f.verdict, LORT_FACTORED);
    assert_true(!is_eight(f.left_type) && !is_eight(f.right_type));
    assert_true(relative(&f) <= 0.011);
    assert_in_range(f.rank, best, best + 1);
    assert_error_is_true(&m, &f);
    free(squares);
    end(&m, &f);
}

/* ---- laws ---- */

static void assert_same_bits_for_every_pool(matrix *m, lort_target target, uint32_t element_bytes,
                                            int least_passes)
{
    static const unsigned threads[] = {1, 2, 7};
    lort_factors want = factor_with(m, target, NULL, element_bytes);

    assert_int_equal(want.verdict, LORT_FACTORED);
    assert_true(want.passes >= least_passes);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        lort_pool *pool;
        unsigned started;
        m->direct = t == 1; /* nor does the place of the numbers matter */
        assert_int_equal(lort_pool_open(threads[t], &pool, &started, NULL), LORT_OK);
        lort_factors got = factor_with(m, target, pool, element_bytes);
        assert_int_equal(got.rank, want.rank);
        assert_int_equal(got.passes, want.passes);
        assert_true(got.error2 == want.error2 && got.norm2 == want.norm2);
        assert_memory_equal(got.left, want.left, want.left_bytes);
        assert_memory_equal(got.right, want.right, want.right_bytes);
        lort_factors_free(&got, &lort_alloc_heap);
        lort_pool_close(pool);
    }
    m->direct = false;
    lort_factors_free(&want, &lort_alloc_heap);
}

static void same_bits_for_every_pool(void **state)
{
    static const struct {
        int64_t rows, cols;
        uint32_t element_bytes; /* large: several row groups */
        lort_target target;
    } cases[] = {
        {700, 900, 4, {.kind = LORT_TARGET_RANK, .rank = 24}},
        {900, 5000, 4, {.kind = LORT_TARGET_RANK, .rank = 16}},
        {900, 1300, 100000, {.kind = LORT_TARGET_RANK, .rank = 16}},
        {1000, 600, 2, {.kind = LORT_TARGET_ERROR, .value = 0.3}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        matrix m = make_low_rank(cases[i].rows, cases[i].cols, 60, 0.93, 0.01f);
        assert_same_bits_for_every_pool(&m, cases[i].target, cases[i].element_bytes, 4);
        free(m.at);
    }
}

/* Noise, and nearly all energy that 40 components can hold of it: the basis must shrink more than
 * once. */
static void same_bits_when_the_basis_shrinks(void **state)
{
    matrix m = make_low_rank(500, 400, 1, 1, 0.5f);
    double *squares = spectrum(&m), norm2 = 0, best = 0;

    for (int64_t i = 0; i < 400; i++) {
        norm2 += squares[i];
        best += i < 40 ? squares[i] : 0;
    }
    assert_same_bits_for_every_pool(
        &m,
        (lort_target){.kind = LORT_TARGET_ENERGY, .value = 0.995 * best / norm2, .max_rank = 40}, 4,
        7);
    free(squares);
    free(m.at);
}

/* Row groups decide the order of reading and the steps in which Z is summed. The result does not
 * show them. */
static void groups_make_no_difference(void **state)
{
    matrix m = make_low_rank(1500, 800, 50, 0.95, 0.01f);
    lort_factors one =
        factor_with(&m, (lort_target){.kind = LORT_TARGET_RANK, .rank = 16}, NULL, 1);
    lort_factors many =
        factor_with(&m, (lort_target){.kind = LORT_TARGET_RANK, .rank = 16}, NULL, 1 << 14);

    assert_true(fabs(one.error2 - many.error2) <= 1e-6 * one.error2);
    lort_factors_free(&many, &lort_alloc_heap);
    end(&m, &one);
}

static void rows_are_decoded_alike(void **state)
{
    enum { ROWS = 200, COLS = 2100, RANK = 37, STEP = 29 };
    matrix left = make_low_rank(ROWS, RANK, RANK, 1, 0),
           right = make_low_rank(RANK, COLS, RANK, 1, 0);
    float *whole = malloc(sizeof(float) * ROWS * COLS), *part = malloc(sizeof(float) * ROWS * COLS);

    lort_product_cells(&(lort_product){RANK, -3, left.at, right.at}, COLS, 0, ROWS, 0, COLS, whole,
                       COLS);
    for (int64_t r0 = 0; r0 < ROWS; r0 += STEP) {
        const int64_t r1 = r0 + STEP < ROWS ? r0 + STEP : ROWS;
        lort_product_cells(&(lort_product){RANK, -3, left.at, right.at}, COLS, r0, r1, 0, COLS,
                           part, COLS);
        assert_memory_equal(part, whole + r0 * COLS, sizeof(float) * (size_t)((r1 - r0) * COLS));
    }
    free(left.at);
    free(right.at);
    free(whole);
    free(part);
}

/* A matrix that is not in memory: read() computes its tiles. */
typedef struct imagined {
    int64_t reads;
} imagined;

static lort_code imagine(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0, int64_t c1,
                         float *dst, const float **out, int64_t *ld, lort_error *err)
{
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) {
            const uint32_t x = (uint32_t)r * 2654435761u ^ (uint32_t)c * 2246822519u;
            dst[(r - r0) * (c1 - c0) + c - c0] =
                (float)((r % 61) * (c % 53)) * 1e-3f + (float)(x >> 16) * 1e-6f;
        }
    *out = dst;
    *ld = c1 - c0;
    return LORT_OK;
}

static void memory_stays_in_its_bound(void **state)
{
    static const struct {
        int64_t rows, cols;
        lort_target target;
        unsigned threads;
        bool typical;
    } cases[] = {
        {16384, 8192, {.kind = LORT_TARGET_RANK, .rank = 64, .max_rank = 64}, 2, true},
        {300, 200, {.kind = LORT_TARGET_RANK, .rank = 200, .max_rank = 500}, 1, false},
        {500, 3000, {.kind = LORT_TARGET_ERROR, .value = 0.9, .max_rank = 256}, 2, false},
        {1, 9000, {.kind = LORT_TARGET_ENERGY, .value = 0.9, .max_rank = 256}, 2, false},
        {9000, 1, {.kind = LORT_TARGET_RANK, .rank = 1, .max_rank = 1}, 2, false},
    };

    for (size_t i = SLOW_BUILD ? 1 : 0; i < sizeof cases / sizeof *cases; i++) {
        const lort_matrix_source source = {cases[i].rows, cases[i].cols, 2, imagine, NULL, NULL};
        lort_pool *pool;
        unsigned started;
        assert_int_equal(lort_pool_open(cases[i].threads, &pool, &started, NULL), LORT_OK);
        counter c = {.limit = lort_factor_bound(cases[i].rows, cases[i].cols, 2, &cases[i].target,
                                                lort_pool_workers(pool))};
        const lort_alloc alloc = counter_alloc(&c);
        lort_factors f;
        assert_int_equal(lort_factor(&source, &cases[i].target, pool, &alloc, &f, NULL), LORT_OK);
        assert_int_equal(f.verdict, LORT_FACTORED);
        assert_true(!cases[i].typical || c.peak >= c.limit / 2);
        lort_factors_free(&f, &alloc);
        assert_true(c.used == 0);
        lort_pool_close(pool);
    }
}

static void bound_of_the_brief_case(void **state)
{
    const lort_target rank = {.kind = LORT_TARGET_RANK, .rank = 64, .max_rank = 256};
    const lort_target error = {.kind = LORT_TARGET_ERROR, .value = 0.05, .max_rank = 256};
    const uint64_t mib = 1 << 20;

    assert_true(lort_factor_bound(16384, 32768, 2, &rank, 2) < 150 * mib);
    assert_true(lort_factor_bound(16384, 32768, 2, &error, 2) < 190 * mib);
    /* never O(mn): ten times the rows take at most ten times the bound */
    assert_true(lort_factor_bound(163840, 32768, 2, &rank, 2) <
                10 * lort_factor_bound(16384, 32768, 2, &rank, 2));
    assert_true(lort_factor_bound((int64_t)1 << 40, 3, 2, &rank, 2) == 0);
}

static lort_code read_fails(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                            int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err)
{
    imagined *calls = ctx;

    if (calls->reads-- == 0)
        return lort_fail(err, LORT_E_READ, "tile at row %lld is gone", (long long)r0);
    return imagine(NULL, worker, r0, r1, c0, c1, dst, out, ld, err);
}

static void every_read_and_take_may_fail(void **state)
{
    const lort_target target = {.kind = LORT_TARGET_RANK, .rank = 4, .max_rank = 4};
    lort_code code = LORT_E_READ;
    lort_factors f;

    for (int64_t n = 0; code == LORT_E_READ; n++) {
        imagined calls = {n};
        counter c = {.limit = UINT64_MAX};
        const lort_alloc alloc = counter_alloc(&c);
        const lort_matrix_source source = {300, 260, 4, read_fails, &calls, NULL};
        lort_error err = {0};
        code = lort_factor(&source, &target, NULL, &alloc, &f, &err);
        assert_true(code == LORT_OK ||
                    (code == LORT_E_READ && strstr(err.message, "is gone") != NULL &&
                     f.left == NULL && c.used == 0));
        lort_factors_free(&f, &alloc);
        assert_true(n < 1000);
    }
    code = LORT_E_MEMORY;
    for (uint64_t n = 1; code == LORT_E_MEMORY; n++) {
        counter c = {.limit = UINT64_MAX, .fail_at = n};
        const lort_alloc alloc = counter_alloc(&c);
        const lort_matrix_source source = {300, 260, 4, imagine, NULL, NULL};
        code = lort_factor(&source, &target, NULL, &alloc, &f, NULL);
        assert_true(code == LORT_OK ? n > 3 : f.left == NULL && c.used == 0);
        lort_factors_free(&f, &alloc);
    }
    assert_int_equal(code, LORT_OK);
}

/* ---- real matrices ---- */

typedef struct quality {
    int count, every, gesdd;
    double worst;
} quality;

static void check_gesdd(const matrix *m, const double *squares)
{
    const int64_t least = m->rows < m->cols ? m->rows : m->cols;
    float *copy = malloc((size_t)(m->rows * m->cols) * sizeof(float)),
          *values = malloc((size_t)least * sizeof(float));

    memcpy(copy, m->at, (size_t)(m->rows * m->cols) * sizeof(float));
    assert_int_equal(singular_values(m->rows, m->cols, copy, values), 0);
    for (int64_t i = 0; i < 128 && i < least; i++)
        assert_true(fabs((double)values[i] - sqrt(squares[i])) < 1e-4 * sqrt(squares[0]));
    free(copy);
    free(values);
}

static void check_quality(const char *name, matrix *m, void *ctx)
{
    static const int64_t ranks[] = {16, 64, 128};
    quality *q = ctx;
    const int number = q->count++;

    if (number % q->every != 0)
        return;
    double *squares = spectrum(m);
    if (number % 16 == 0 && !SLOW_BUILD)
        check_gesdd(m, squares);
    for (int i = 0; i < 3; i++) {
        lort_factors f = factor_rank(m, ranks[i]);
        double best = 0;
        for (int64_t j = 0; j < ranks[i] && j < m->rows && j < m->cols; j++)
            best += squares[j];
        const double share = ldexp(f.norm2 - f.error2, 2 * f.exponent) / best;
        if (share < 0.97)
            fail_msg("%s at rank %d: %.4f of the energy the best factors capture", name,
                     (int)ranks[i], share);
        q->worst = fmin(q->worst, share);
        lort_factors_free(&f, &lort_alloc_heap);
    }
    free(squares);
}

static void real_matrices_are_near_the_optimum(void **state)
{
    quality q = {.every = SLOW_BUILD ? 8 : 1, .worst = 1};
    const unsigned files = visit_models(check_quality, &q);

    if (q.every > 1)
        print_message("sampled: every %dth of %d matrices\n", q.every, q.count);
    if (files == 0)
        skip();
    if (files < 6)
        print_message("../shared is absent: only the bundled model's %d matrices\n", q.count);
    print_message("worst share of the best energy: %.4f\n", q.worst);
}

static void check_targets(const char *name, matrix *m, void *ctx)
{
    quality *q = ctx;

    if (q->count++ % q->every != 0)
        return;
    double *squares = spectrum(m), norm2 = 0, best = 0;
    const int64_t least = m->rows < m->cols ? m->rows : m->cols, cap = least / 3;
    for (int64_t i = 0; i < least; i++)
        norm2 += squares[i];
    for (int64_t i = 0; i < cap; i++)
        best += squares[i];
    /* LoRT must not give up one per cent inside the best factors of that rank, and must give up one
     * per cent outside */
    for (int side = -1; side <= 1; side += 2) {
        const double value = best / norm2 * (1 + 0.01 * side);
        lort_factors f = factor_with(
            m, (lort_target){.kind = LORT_TARGET_ENERGY, .value = value, .max_rank = cap}, NULL, 2);
        if (f.verdict != (side < 0 ? LORT_FACTORED : LORT_OUT_OF_REACH) && value < 1)
            fail_msg("%s, energy %.6f at rank %d of %.6f: verdict %d after %d columns", name, value,
                     (int)cap, best / norm2, (int)f.verdict, (int)f.sketch);
        lort_factors_free(&f, &lort_alloc_heap);
    }
    free(squares);
}

static void reachable_targets_are_not_given_up(void **state)
{
    quality q = {.every = SLOW_BUILD ? 16 : 4};

    if (visit_models(check_targets, &q) == 0)
        skip();
    print_message("sampled: every %dth of %d matrices\n", q.every, q.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_rank_is_found),
        cmocka_unit_test(scaled_columns),
        cmocka_unit_test(constant_and_rank_one),
        cmocka_unit_test(zero_matrix),
        cmocka_unit_test(small_and_extreme_shapes),
        cmocka_unit_test(scales),
        cmocka_unit_test(subnormal_scale),
        cmocka_unit_test(largest_floats_stay_finite),
        cmocka_unit_test(nonfinite_is_located),
        cmocka_unit_test(duplicate_columns),
        cmocka_unit_test(one_outlier),
        cmocka_unit_test(orthogonal_matrix),
        cmocka_unit_test(error_target_is_met),
        cmocka_unit_test(energy_target_is_met),
        cmocka_unit_test(unreachable_targets),
        cmocka_unit_test(early_stop),
        cmocka_unit_test(no_rank_allowed),
        cmocka_unit_test(eight_bits_beside_noise),
        cmocka_unit_test(eight_bits_take_whole_blocks),
        cmocka_unit_test(eight_bits_are_for_what_is_left),
        cmocka_unit_test(refit_makes_up_for_rounding),
        cmocka_unit_test(eight_bits_meet_targets),
        cmocka_unit_test(components_pay_together),
        cmocka_unit_test(spikes_stay_in_16_bits),
        cmocka_unit_test(same_bits_for_every_pool),
        cmocka_unit_test(same_bits_when_the_basis_shrinks),
        cmocka_unit_test(groups_make_no_difference),
        cmocka_unit_test(rows_are_decoded_alike),
        cmocka_unit_test(memory_stays_in_its_bound),
        cmocka_unit_test(bound_of_the_brief_case),
        cmocka_unit_test(every_read_and_take_may_fail),
        cmocka_unit_test(real_matrices_are_near_the_optimum),
        cmocka_unit_test(reachable_targets_are_not_given_up),
    };

    lort_blas_start(NULL);
    if (THREADS_ONLY)
        cmocka_set_test_filter("same_bits*");
    return run_chosen(tests, NULL, NULL);
}
