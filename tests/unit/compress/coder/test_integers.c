/* Codes, classes and energies of a block, and its integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/coder/integers.h"
#include "tests/unit/main.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Roughly normal, mean 0, standard deviation 1. */
static float noise(uint64_t *state)
{
    float sum = 0;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (float)(*state >> 40) / (float)(1 << 24);
    }
    return sum - 6;
}

/* ---- codes and classes ---- */

static void codes_are_quarter_octaves(void **state)
{
    static const struct {
        double energy;
        int64_t count;
        uint8_t code;
    } cases[] = {{1, 1, 128},     {100, 100, 128},     {4, 1, 132},      {0.25, 1, 124},
                 {2, 1, 130},     {1.4142135, 1, 129}, {1.1892, 1, 128}, {1.1893, 1, 129},
                 {0, 5, 0},       {-1, 5, 0},          {5, 0, 0},        {NAN, 5, 0},
                 {1e300, 1, 255}, {5e-324, 1, 1},      {1e-30, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lort_scale_code(cases[i].energy, cases[i].count) != cases[i].code)
            fail_msg("%g / %lld gives %u", cases[i].energy, (long long)cases[i].count,
                     lort_scale_code(cases[i].energy, cases[i].count));
    for (int i = -300; i <= 300; i++) {
        const double energy = pow(2, i * 0.0937), exact = 128 + 2 * log2(energy),
                     code = lort_scale_code(energy, 1);
        assert_true(fabs(code - exact) <= 0.5 + 1e-9);
    }
}

static void classes_cover_all_sums(void **state)
{
    for (unsigned shift = 0; shift <= 3; shift++) {
        const lort_block block = {.base = 200, .shift = (uint8_t)shift};
        for (int32_t sum = 0; sum <= 510; sum++) {
            const int32_t class = (int32_t)floor((sum - 200) / (double)(1 << shift));
            assert_int_equal(lort_block_class(&block, sum), class < 0    ? 0
                                                            : class > 15 ? 15
                                                                         : class);
        }
    }
}

static void classes_lie_around_the_mean(void **state)
{
    uint8_t rows[64], cols[4096];
    for (int i = 0; i < 4096; i++) {
        cols[i] = (uint8_t)(126 + i % 5);
        rows[i % 64] = (uint8_t)(i % 7 ? 100 : 0); /* rows without energy do not count */
    }
    static const struct {
        int64_t rows, cols;
        unsigned shift;
    } cases[] = {{64, 2048, 0}, {64, 2047, 1}, {32, 1024, 1}, {31, 1024, 2},
                 {8, 1024, 2},  {7, 1024, 3},  {1, 1, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_block block = {
            .rows = cases[i].rows, .cols = cases[i].cols, .row_codes = rows, .col_codes = cols};
        rows[0] = 100;
        lort_block_classes(&block);
        assert_int_equal(block.shift, cases[i].shift);
        const int32_t mean = 100 + (cases[i].cols > 1 ? 128 : 126);
        assert_true(lort_block_class(&block, mean) == 7 || lort_block_class(&block, mean) == 8);
    }
    uint8_t none[2] = {0, 0};
    lort_block block = {.rows = 1, .cols = 1, .row_codes = none, .col_codes = none + 1};
    lort_block_classes(&block);
    assert_true(block.base >= -1024 && block.base <= 0);
}

/* Energies equal those of plain loops. The sum of a row shows its NaN or Inf. */
static void energies_are_sums_of_squares(void **state)
{
    static const int64_t shapes[][2] = {{1, 1}, {3, 15}, {5, 16}, {2, 17}, {7, 100}};
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t rows = shapes[i][0], cols = shapes[i][1];
        float weights[700];
        double row_sums[7], col_sums[100], peak, most = 0, want_rows[7] = {0}, want_cols[100] = {0};
        for (int64_t k = 0; k < rows * cols; k++) {
            weights[k] = noise(&seed);
            const double e = (double)weights[k] * weights[k];
            want_rows[k / cols] += e;
            want_cols[k % cols] += e;
            most = e > most ? e : most;
        }
        lort_energies(weights, rows, cols, row_sums, col_sums, &peak);
        assert_true(peak == most);
        for (int64_t r = 0; r < rows; r++)
            assert_true(fabs(row_sums[r] - want_rows[r]) <= 1e-13 * want_rows[r]);
        for (int64_t c = 0; c < cols; c++)
            assert_true(col_sums[c] == want_cols[c]);
        weights[rows * cols - 1] = i % 2 ? NAN : -INFINITY;
        lort_energies(weights, rows, cols, row_sums, col_sums, &peak);
        assert_false(isfinite(row_sums[rows - 1]));
    }
}

/* ---- a block ---- */

typedef struct block_case {
    lort_block block;
    uint8_t *codes;
    float *weights;
    void *scratch;
    lort_integers out;
} block_case;

static block_case case_open(int64_t rows, int64_t cols)
{
    const size_t n = (size_t)(rows * cols);
    block_case c = {
        .codes = malloc((size_t)(rows + cols)),
        .weights = calloc(n, sizeof(float)),
        .scratch = aligned_alloc(64, (lort_quantise_scratch((int64_t)n, cols) + 63) / 64 * 64)};
    assert_true(c.codes && c.weights && c.scratch);
    c.block =
        (lort_block){.rows = rows, .cols = cols, .row_codes = c.codes, .col_codes = c.codes + rows};
    memset(c.codes, 128, (size_t)(rows + cols));
    c.block.mean2 = 1;
    lort_block_classes(&c.block);
    return c;
}

static void case_close(block_case *c)
{
    free(c->codes);
    free(c->weights);
    free(c->scratch);
}

/* Follows the trellis along each row. Every quantiser must be its state's, the counts must be those
 * of the contexts, and the error must be the one that the levels leave. */
static void check_quantised(const block_case *c, float step)
{
    const lort_block *b = &c->block;
    uint32_t count[LORT_CONTEXTS] = {0};
    double error2 = 0, norm2 = 0;
    for (int64_t r = 0; r < b->rows; r++) {
        unsigned state = 0;
        for (int64_t i = 0; i < b->cols; i++) {
            const int16_t coded =
                c->out.coded[(r / LORT_LANES * b->cols + i) * LORT_LANES + r % LORT_LANES];
            const unsigned q = (unsigned)coded & 1,
                           context = 2 * lort_block_class(b, b->row_codes[r] + b->col_codes[i]) + q;
            const int32_t k = coded >> 1;
            assert_int_equal(q, lort_trellis_quantiser(state));
            state = lort_trellis_next(state, k);
            count[context]++;
            const double value =
                abs(k) == 1 ? k * c->out.levels.one[context] / 4096.0
                            : lort_trellis_value(q, k) * (c->out.levels.gain[context] / 32768.0);
            const double w = c->weights[r * b->cols + i];
            error2 += (w - value * step) * (w - value * step);
            norm2 += w * w;
        }
    }
    assert_memory_equal(count, c->out.count, sizeof count);
    if (!(fabs(sqrt(error2) - sqrt(c->out.error2)) <= 3e-7 * sqrt(norm2)))
        fail_msg("%g is left, %g was said, of %g", sqrt(error2), sqrt(c->out.error2), sqrt(norm2));
}

/* Rows and columns differ in size. The error is the reported one, and well below that of rounding
 * at the same spacing. */
static void blocks_become_integers(void **state)
{
    static const int64_t shapes[][2] = {{1, 1},   {1, 500}, {500, 1},  {7, 33},
                                        {16, 64}, {17, 65}, {64, 128}, {130, 1000}};
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        block_case c = case_open(shapes[i][0], shapes[i][1]);
        const double weights = (double)c.block.rows * (double)c.block.cols;
        for (int64_t k = 0; k < c.block.rows * c.block.cols; k++)
            c.weights[k] = noise(&seed) * (1 + (float)(k / c.block.cols % 5)) *
                           (1 + (float)(k % c.block.cols % 3));
        for (int64_t k = 0; k < c.block.rows + c.block.cols; k++)
            c.codes[k] = (uint8_t)(128 + k % 9);
        lort_block_classes(&c.block);
        lort_integers_of_block(&c.block, c.weights, 0.5f, c.scratch, &c.out);
        check_quantised(&c, 0.5f);
        if (weights > 5000)
            assert_true(c.out.error2 < weights * 0.25 * 4 / 12);
        case_close(&c);
    }
}

/* Low bits leave symbols with a root mean square of 13 at most, or of half that in small contexts.
 */
static void wide_contexts_have_low_bits(void **state)
{
    static const struct {
        int64_t cols;
        int more;
    } cases[] = {{600, 0}, {100, 1}};
    uint64_t seed = 11;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int low = 0; low < 9; low++) {
            block_case c = case_open(64, cases[i].cols);
            for (int64_t k = 0; k < 64 * cases[i].cols; k++)
                c.weights[k] = noise(&seed);
            /* k is n / 2: 7.5 << low */
            lort_integers_of_block(&c.block, c.weights, 1.0f / (15 << low), c.scratch, &c.out);
            check_quantised(&c, 1.0f / (15 << low));
            for (unsigned s = 0; s < LORT_CONTEXTS; s++)
                assert_int_equal(c.out.low[s], c.out.count[s] ? low + cases[i].more : 0);
            case_close(&c);
        }
}

/* Values beyond int16 are cut; the rest of their row is not harmed. */
static void outliers_are_cut(void **state)
{
    static const float huge[] = {1e6f, -1e6f, 1e30f, -1e30f, FLT_MAX, -FLT_MAX};
    uint64_t seed = 9;
    block_case c = case_open(10, 50);
    for (int64_t i = 0; i < 500; i++)
        c.weights[i] = i % 97 == 5 ? huge[i / 97] : noise(&seed);
    lort_integers_of_block(&c.block, c.weights, 0.25f, c.scratch, &c.out);
    for (int64_t i = 0; i < 500; i++) {
        const int16_t coded = c.out.coded[i % 50 * LORT_LANES + i / 50];
        const int32_t n = lort_trellis_value((unsigned)coded & 1, coded >> 1);
        if (i % 97 == 5)
            assert_true(abs(n) > 0.95f * LORT_STEPS_MAX && abs(n) <= LORT_STEPS_MAX + 4 &&
                        (n > 0) == (huge[i / 97] > 0));
        else
            assert_true(fabsf((float)n * 0.25f - c.weights[i]) < 1);
    }
    case_close(&c);
}

static void steps_of_any_size(void **state)
{
    static const float scales[] = {1e-29f, 1e-10f, 1, 1e10f, 1e30f};
    uint64_t seed = 13;
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        block_case c = case_open(16, 100);
        for (int64_t k = 0; k < 1600; k++)
            c.weights[k] = noise(&seed) * scales[i];
        c.block.mean2 = (double)scales[i] * scales[i];
        lort_integers_of_block(&c.block, c.weights, 0.1f * scales[i], c.scratch, &c.out);
        check_quantised(&c, 0.1f * scales[i]);
        assert_true(c.out.error2 > 0 &&
                    c.out.error2 < 1600 * 0.01 * (double)scales[i] * (double)scales[i] * 4 / 12);
        case_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_quarter_octaves),
        cmocka_unit_test(classes_cover_all_sums),
        cmocka_unit_test(classes_lie_around_the_mean),
        cmocka_unit_test(energies_are_sums_of_squares),
        cmocka_unit_test(blocks_become_integers),
        cmocka_unit_test(wide_contexts_have_low_bits),
        cmocka_unit_test(outliers_are_cut),
        cmocka_unit_test(steps_of_any_size),
    };
    return run_chosen(tests, NULL, NULL);
}
