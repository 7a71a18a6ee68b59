/* Blocks of weights to streams of integers and back, and one stream to bytes and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/residual.h"
#include "formats/bytes.h"
#include "formats/error.h"

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
    } cases[] = {{1, 1, 128},   {100, 100, 128}, {4, 1, 132},    {0.25, 1, 124},      {2, 1, 130},        {1.4142135, 1, 129}, {1.1892, 1, 128},
                 {1.1893, 1, 129}, {0, 5, 0},    {-1, 5, 0},     {5, 0, 0},           {NAN, 5, 0},        {1e300, 1, 255},     {5e-324, 1, 1},
                 {1e-30, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lort_scale_code(cases[i].energy, cases[i].count) != cases[i].code)
            fail_msg("%g / %lld gives %u", cases[i].energy, (long long)cases[i].count, lort_scale_code(cases[i].energy, cases[i].count));
    for (int i = -300; i <= 300; i++) {
        const double energy = pow(2, i * 0.0937), exact = 128 + 2 * log2(energy), code = lort_scale_code(energy, 1);
        assert_true(fabs(code - exact) <= 0.5 + 1e-9);
    }
}

static void classes_cover_all_sums(void **state)
{
    for (unsigned shift = 0; shift <= 3; shift++) {
        const lort_block block = {.base = 200, .shift = (uint8_t)shift};
        for (int32_t sum = 0; sum <= 510; sum++) {
            const int32_t class = (int32_t)floor((sum - 200) / (double)(1 << shift));
            assert_int_equal(lort_block_class(&block, sum), class < 0 ? 0 : class > 7 ? 7 : class);
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
    } cases[] = {{64, 4096, 0}, {64, 1024, 1}, {16, 1024, 2}, {15, 1024, 3}, {1, 1, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_block block = {.rows = cases[i].rows, .cols = cases[i].cols, .row_codes = rows, .col_codes = cols};
        rows[0] = 100;
        lort_block_classes(&block);
        assert_int_equal(block.shift, cases[i].shift);
        const int32_t mean = 100 + (cases[i].cols > 1 ? 128 : 126);
        assert_true(lort_block_class(&block, mean) == 3 || lort_block_class(&block, mean) == 4);
    }
    uint8_t none[2] = {0, 0};
    lort_block block = {.rows = 1, .cols = 1, .row_codes = none, .col_codes = none + 1};
    lort_block_classes(&block);
    assert_true(block.base >= -1024 && block.base <= 0);
}

/* ---- a block ---- */

typedef struct block_case {
    lort_block block;
    uint8_t *codes;
    float *weights, *decoded;
    int16_t *k;
    void *scratch;
    lort_quantised out;
} block_case;

static block_case case_open(int64_t rows, int64_t cols)
{
    const size_t n = (size_t)(rows * cols);
    block_case c = {.codes = malloc((size_t)(rows + cols)), .weights = calloc(n, sizeof(float)), .decoded = malloc(n * sizeof(float)),
                    .k = malloc(n * sizeof(int16_t)), .scratch = malloc(lort_quantise_scratch((int64_t)n, cols))};
    assert_true(c.codes && c.weights && c.decoded && c.k && c.scratch);
    c.block = (lort_block){.rows = rows, .cols = cols, .row_codes = c.codes, .col_codes = c.codes + rows};
    c.out.k = c.k;
    return c;
}

/* Codes as a writer finds them, of one slice that is one block. */
static void case_codes(block_case *c)
{
    const int64_t rows = c->block.rows, cols = c->block.cols;
    double all = 0;
    for (int64_t i = 0; i < rows * cols; i++)
        all += (double)c->weights[i] * c->weights[i];
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < cols; i++)
            sum += (double)c->weights[r * cols + i] * c->weights[r * cols + i];
        c->codes[r] = lort_scale_code(sum, cols);
    }
    for (int64_t i = 0; i < cols; i++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += (double)c->weights[r * cols + i] * c->weights[r * cols + i];
        c->codes[rows + i] = lort_scale_code(all > 0 ? sum / (all / (double)(rows * cols)) : 0, rows);
    }
    lort_block_classes(&c->block);
}

static void case_close(block_case *c)
{
    free(c->codes);
    free(c->weights);
    free(c->decoded);
    free(c->k);
    free(c->scratch);
}

static double case_error2(const block_case *c)
{
    double sum = 0;
    for (int64_t i = 0; i < c->block.rows * c->block.cols; i++)
        sum += ((double)c->weights[i] - c->decoded[i]) * ((double)c->weights[i] - c->decoded[i]);
    return sum;
}

static lort_code case_decode(block_case *c, float step)
{
    lort_error err = {0};
    const lort_code code = lort_dequantise(&c->block, c->k, c->out.count, &c->out.levels, step, c->decoded, &err);
    assert_true(code == LORT_OK || err.message[0]);
    return code;
}

/* Rows and columns of different size; the error is what was said, and well below rounding's at the same spacing. */
static void blocks_come_back(void **state)
{
    static const int64_t shapes[][2] = {{1, 1}, {1, 500}, {500, 1}, {7, 33}, {8, 64}, {9, 65}, {64, 128}, {130, 1000}};
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        block_case c = case_open(shapes[i][0], shapes[i][1]);
        for (int64_t k = 0; k < c.block.rows * c.block.cols; k++)
            c.weights[k] = noise(&seed) * (1 + (float)(k / c.block.cols % 5)) * (1 + (float)(k % c.block.cols % 3));
        case_codes(&c);
        uint64_t streams = 0;
        lort_quantise(&c.block, c.weights, 0.5f, c.scratch, &c.out);
        for (unsigned s = 0; s < LORT_STREAMS; s++)
            streams += c.out.count[s] > 0;
        assert_true(streams > 4 || c.block.rows * c.block.cols < 8192);
        assert_int_equal(case_decode(&c, 0.5f), LORT_OK);
        const double error2 = case_error2(&c);
        assert_true(fabs(error2 - c.out.error2) <= 1e-4 * error2 + 1e-9);
        if (c.block.rows * c.block.cols > 5000)
            assert_true(error2 < (double)(c.block.rows * c.block.cols) * 0.25 * 4 / 12);
        case_close(&c);
    }
}

/* What no int16 holds is cut; the rest of its row is not harmed, and what is decoded is finite. */
static void outliers_are_cut(void **state)
{
    static const float huge[] = {1e6f, -1e6f, 1e30f, -1e30f, FLT_MAX, -FLT_MAX};
    uint64_t seed = 9;
    block_case c = case_open(10, 50);
    for (int64_t i = 0; i < 500; i++)
        c.weights[i] = i % 97 == 5 ? huge[i / 97] : noise(&seed);
    memset(c.codes, 128, 60);
    lort_block_classes(&c.block);
    const float step = 0.25f, most = LORT_STEPS_MAX * step;
    lort_quantise(&c.block, c.weights, step, c.scratch, &c.out);
    for (int i = 0; i < 500; i++)
        assert_true(abs(c.k[i]) <= LORT_STEPS_MAX / 2 + 2);
    for (unsigned s = 0; s < LORT_STREAMS; s++) { /* the centroids of an outlier are its own */
        c.out.levels.one[s] = 1 << 12;
        c.out.levels.gain[s] = 1 << 15;
    }
    assert_int_equal(case_decode(&c, step), LORT_OK);
    for (int i = 0; i < 500; i++) { /* a little smaller than they were: that takes fewer bits */
        const bool outlier = i % 97 == 5;
        assert_true(outlier ? fabsf(c.decoded[i]) > 0.95f * most && fabsf(c.decoded[i]) <= most + 1 : fabsf(c.decoded[i] - c.weights[i]) < 1);
        assert_true(!outlier || (c.decoded[i] > 0) == (huge[i / 97] > 0));
    }
    case_close(&c);
}

static void steps_of_any_size(void **state)
{
    static const float scales[] = {1e-38f, 1e-30f, 1e-10f, 1, 1e10f, 1e30f};
    uint64_t seed = 13;
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        block_case c = case_open(16, 100);
        for (int64_t k = 0; k < 1600; k++)
            c.weights[k] = noise(&seed) * scales[i];
        case_codes(&c);
        lort_quantise(&c.block, c.weights, 0.1f * scales[i], c.scratch, &c.out);
        assert_int_equal(case_decode(&c, 0.1f * scales[i]), LORT_OK);
        for (int k = 0; k < 1600; k++)
            assert_true(isfinite(c.decoded[k]));
        case_close(&c);
    }
}

/* n steps, as docs/FORMAT.md has it, in f32. */
static void values_are_the_format(void **state)
{
    const uint8_t codes[5] = {128, 128, 128, 128, 128};
    const lort_block block = {.rows = 1, .cols = 4, .row_codes = codes, .col_codes = codes + 1, .base = 256, .shift = 0};
    static const int16_t zeros[4];
    static const float nothing[4];
    lort_levels levels = {{0}, {0}};
    levels.one[0] = 3 * 4096 / 2;
    levels.one[1] = 5 * 4096 / 2;
    levels.gain[0] = levels.gain[1] = 0xFFFF;
    uint32_t count[LORT_STREAMS] = {4};
    float out[4];
    assert_int_equal(lort_dequantise(&block, zeros, count, &levels, 1, out, NULL), LORT_OK);
    assert_memory_equal(out, nothing, sizeof out);
    /* 1 in state 0 -> 1; -1 in state 1 (1 ^ 1 = 0) -> 2; 2 in state 2 (quantiser 1, n = 3) -> 4; 4 in state 4 (4 >> 2 = 1) -> 1 */
    count[0] = 3;
    count[1] = 1;
    const int16_t k[4] = {1, -1, 4, 2};
    assert_int_equal(lort_dequantise(&block, k, count, &levels, 0.1f, out, NULL), LORT_OK);
    const float gain = 65535.0f / 32768.0f * 0.1f, want[4] = {1.5f * 0.1f, -(1.5f * 0.1f), 3 * gain, 8 * gain};
    assert_memory_equal(out, want, sizeof out);
}

static void dequantise_counts_members(void **state)
{
    uint64_t seed = 21;
    block_case c = case_open(9, 40);
    for (int64_t i = 0; i < 360; i++)
        c.weights[i] = noise(&seed);
    case_codes(&c);
    lort_quantise(&c.block, c.weights, 0.3f, c.scratch, &c.out);
    assert_int_equal(case_decode(&c, 0.3f), LORT_OK);
    unsigned some[2], found = 0;
    for (unsigned s = 0; s < LORT_STREAMS && found < 2; s++)
        if (c.out.count[s])
            some[found++] = s;
    assert_int_equal(found, 2);
    c.out.count[some[0]]--; /* one too few in all */
    assert_int_equal(case_decode(&c, 0.3f), LORT_E_DAMAGED);
    c.out.count[some[0]] += 2; /* one too many */
    assert_int_equal(case_decode(&c, 0.3f), LORT_E_DAMAGED);
    c.out.count[some[1]]--; /* right in all */
    assert_int_equal(case_decode(&c, 0.3f), LORT_E_DAMAGED);
    c.out.count[some[0]] -= 2;
    c.out.count[some[1]] += 2;
    assert_int_equal(case_decode(&c, 0.3f), LORT_E_DAMAGED);
    c.out.count[some[0]]++;
    c.out.count[some[1]]--;
    assert_int_equal(case_decode(&c, 0.3f), LORT_OK);
    case_close(&c);
}

/* ---- one stream ---- */

static const struct {
    unsigned each, size, low;
} ways[LORT_GROUPS + 1] = {{0, 0, 0}, {1, 255, 0}, {2, 15, 0}, {3, 6, 0}, {4, 4, 0}, {5, 3, 0}, {1, 255, 2}};

/* ks of a size, some of them escaped whatever the group. */
static void fill_ks(int16_t *k, uint64_t count, double scale, uint64_t seed)
{
    static const int16_t odd[] = {INT16_MIN, INT16_MAX, -508, -509, 507, 508, 127, 128, -126, -127, 7, -7};
    for (uint64_t i = 0; i < count; i++) {
        const double x = floor((double)noise(&seed) * scale + 0.5);
        k[i] = seed >> 40 & 31 ? (int16_t)x : odd[(seed >> 50) % (sizeof odd / sizeof *odd)];
    }
}

static void streams_come_back(void **state)
{
    static const double scales[] = {0.1, 0.5, 2, 30, 300, 8000};
    for (unsigned group = 1; group <= LORT_GROUPS; group++)
        for (uint64_t count = 1; count < 3000; count = count < 40 ? count + 1 : count * 3)
            for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
                int16_t *k = malloc(count * sizeof *k), *back = malloc(count * sizeof *back);
                uint8_t *bytes = malloc(lort_pack_bytes(count, group, count));
                assert_true(k && back && bytes);
                fill_ks(k, count, scales[i], count * 10 + i);
                const uint64_t escapes = lort_pack(k, count, group, bytes), size = lort_pack_bytes(count, group, escapes);
                assert_int_equal(lort_pack_symbols(count, group), (count + ways[group].each - 1) / ways[group].each);
                assert_int_equal(size, lort_pack_symbols(count, group) + (count * ways[group].low + 7) / 8 + 2 * escapes);
                uint8_t *exact = malloc(size); /* so that a sanitizer sees a read behind the end */
                assert_non_null(exact);
                memcpy(exact, bytes, size);
                assert_int_equal(lort_unpack(exact, count, group, escapes, back, NULL), LORT_OK);
                assert_memory_equal(k, back, count * sizeof *k);
                free(exact);
                free(bytes);
                free(back);
                free(k);
            }
}

/* Bytes of each group, worked out by hand. */
static void bytes_are_the_format(void **state)
{
    static const struct {
        unsigned group;
        uint64_t count, escapes, size;
        int16_t k[5];
        uint8_t bytes[9];
    } cases[] = {
        {1, 4, 1, 6, {0, 1, -1, -300}, {0, 1, 2, 254, 0xD4, 0xFE}},
        {1, 2, 1, 4, {127, -127}, {253, 254, 0x81, 0xFF}},
        {2, 3, 1, 4, {-3, 7, 8}, {6 + 15 * 13, 14, 8, 0}},
        {3, 4, 0, 2, {2, -2, 0, 1}, {3 + 6 * 4, 1}},
        {4, 5, 1, 4, {0, 1, -1, 2, -1}, {0 + 4 + 32 + 192, 2, 2, 0}},
        {5, 5, 1, 3, {1, 0, 1, 0, -1}, {1 + 9 + 2 * 81, 0xFF, 0xFF}},
        {6, 5, 1, 9, {0, 5, -1, -5, 2000}, {0, 1, 2, 4, 254, 0 | 1 << 2 | 3 << 4 | 3 << 6, 0, 0xD0, 0x07}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[20] = {0};
        assert_int_equal(lort_pack(cases[i].k, cases[i].count, cases[i].group, bytes), cases[i].escapes);
        assert_int_equal(lort_pack_bytes(cases[i].count, cases[i].group, cases[i].escapes), cases[i].size);
        assert_memory_equal(bytes, cases[i].bytes, cases[i].size);
    }
}

static void damaged_streams_are_refused(void **state)
{
    int16_t k[30] = {0}, back[30];
    uint8_t bytes[200];
    for (unsigned group = 1; group <= LORT_GROUPS; group++) {
        const unsigned each = ways[group].each, size = ways[group].size, symbols = (unsigned)lort_pack_symbols(30, group);
        unsigned largest = 1;
        for (unsigned i = 0; i < each; i++)
            largest *= size;
        memset(k, 0, sizeof k);
        k[7] = 1000;
        assert_int_equal(lort_pack(k, 30, group, bytes), 1);
        assert_int_equal(lort_unpack(bytes, 30, group, 1, back, NULL), LORT_OK);
        assert_int_equal(lort_unpack(bytes, 30, group, 0, back, NULL), LORT_E_DAMAGED); /* more escapes than it brings */
        assert_int_equal(lort_unpack(bytes, 30, group, 2, back, NULL), LORT_E_DAMAGED); /* fewer */
        for (unsigned value = largest; value < 256; value++) { /* none of the alphabet's */
            const uint8_t was = bytes[symbols / 2];
            bytes[symbols / 2] = (uint8_t)value;
            assert_int_equal(lort_unpack(bytes, 30, group, 1, back, NULL), LORT_E_DAMAGED);
            bytes[symbols / 2] = was;
        }
        for (unsigned count = 1; count < each; count++) { /* a symbol without a member */
            unsigned unit = 1;
            for (unsigned i = 0; i < count; i++)
                unit *= size;
            bytes[0] = (uint8_t)unit;
            assert_int_equal(lort_unpack(bytes, count, group, 0, back, NULL), LORT_E_DAMAGED);
            bytes[0] = (uint8_t)(unit / size);
            assert_int_equal(lort_unpack(bytes, count, group, 0, back, NULL), LORT_OK);
            assert_int_equal(back[count - 1], 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_quarter_octaves), cmocka_unit_test(classes_cover_all_sums), cmocka_unit_test(classes_lie_around_the_mean),
        cmocka_unit_test(blocks_come_back),          cmocka_unit_test(outliers_are_cut),       cmocka_unit_test(steps_of_any_size),
        cmocka_unit_test(values_are_the_format),     cmocka_unit_test(dequantise_counts_members), cmocka_unit_test(streams_come_back),
        cmocka_unit_test(bytes_are_the_format),      cmocka_unit_test(damaged_streams_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
