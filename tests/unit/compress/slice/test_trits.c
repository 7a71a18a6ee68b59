/* Tests of trits, their scales, and the rounds of scales and factors. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/coder/trits.h"
#include "compress/factor/factor.h"
#include "compress/read/encoding.h"
#include "formats/container/part.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"
#include "tests/unit/tiny_run.h"

/* ---- bytes ---- */

static void trits_come_back(void **state)
{
    enum { MOST = 40 };
    static float weights[MOST * MOST], decoded[MOST * MOST], found[MOST * MOST];
    static uint8_t digits[MOST * MOST + 4], bytes[MOST * MOST];
    float scales[MOST];
    for (int64_t rows = 1; rows <= MOST; rows += 3)
        for (int64_t cols = 1; cols <= MOST; cols++) {
            const uint64_t count = (uint64_t)(rows * cols), all = lort_trits_bytes(count);
            tiny_fill_noise(weights, count, (uint64_t)(100 * rows + cols));
            for (int64_t r = 0; r < rows; r++)
                scales[r] = r % 4 == 3 ? 0 : 0.5f * (float)(1 + r % 3);
            bytes[all] = 0xa5;
            lort_trits_pack(weights, rows, cols, scales, digits, bytes, decoded);
            assert_int_equal(bytes[all], 0xa5);
            assert_int_equal(lort_trits_unpack(bytes, rows, cols, scales, found, NULL), LORT_OK);
            assert_memory_equal(found, decoded, count * sizeof *found);
            for (uint64_t i = 0; i < count; i++) {
                const float scale = scales[i / (uint64_t)cols], w = weights[i];
                assert_true(found[i] == (scale > 0 && w > scale / 2    ? scale
                                         : scale > 0 && w < -scale / 2 ? -scale
                                                                       : 0));
            }
        }
}

static void bytes_that_are_no_trits_are_damage(void **state)
{
    const float scales[1] = {1};
    float out[12];
    lort_error err = {0};
    for (unsigned v = 0; v < 256; v++) {
        uint8_t bytes[2] = {(uint8_t)v, 0};
        assert_int_equal(lort_trits_unpack(bytes, 1, 10, scales, out, &err),
                         v > 242 ? LORT_E_DAMAGED : LORT_OK);
        bytes[0] = 0;
        bytes[1] = (uint8_t)v;
        for (int64_t more = 1; more <= 5; more++) { /* digits in the last byte */
            static const unsigned limit[] = {1, 3, 9, 27, 81, 243};
            assert_int_equal(lort_trits_unpack(bytes, 1, 5 + more, scales, out, &err),
                             v < limit[more] ? LORT_OK : LORT_E_DAMAGED);
        }
    }
}

/* ---- scales ---- */

typedef void fill_fn(float *values, int64_t n);

static void normal(float *values, int64_t n) { tiny_fill_noise(values, (uint64_t)n, 7); }

/* Uniform values from -1 to 1. */
static void uniform(float *values, int64_t n)
{
    uint64_t state = 11;
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)(state >> 40) * 0x1p-23f - 1 + 0x1p-24f;
    }
}

static void laplace(float *values, int64_t n)
{
    uniform(values, n);
    for (int64_t i = 0; i < n; i++)
        values[i] = values[i] < 0 ? logf(1 + values[i]) : -logf(1 - values[i]);
}

static void constant(float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = -0.37f;
}

static void outlier(float *values, int64_t n)
{
    normal(values, n);
    values[n / 3] = 1e6f;
}

static void sparse(float *values, int64_t n)
{
    normal(values, n);
    for (int64_t i = 0; i < n; i++)
        values[i] = i % 11 ? 0 : values[i];
}

/* Each scale is the best for the trits of the scale before, but for its rounding to four bits. For
 * a normal distribution the first scale is already the best. */
static void the_next_scale_errs_no_more(void **state)
{
    enum { N = 3001 };
    static fill_fn *const fills[] = {uniform, normal, laplace, constant, outlier, sparse};
    static float x[N];
    for (size_t k = 0; k < sizeof fills / sizeof *fills; k++) {
        lort_trit_sum sum = {0};
        float scale = 0;
        fills[k](x, N);
        lort_trit_sum_add(x, N, 0, &sum);
        double energy = 0, before = INFINITY;
        for (int i = 0; i < N; i++)
            energy += (double)x[i] * x[i];
        assert_true(fabs(sum.error2 - energy) <= 1e-12 * energy && sum.count == 0);
        for (int pass = 0; pass < 12; pass++) {
            scale = lort_trit_next_scale(&sum, N, scale);
            sum = (lort_trit_sum){0};
            lort_trit_sum_add(x, N, scale, &sum);
            double error2 = 0;
            for (int i = 0; i < N; i++) {
                const double size = fabs((double)x[i]),
                             rest = size > (double)scale / 2 ? size - (double)scale : size;
                error2 += rest * rest;
            }
            assert_true(fabs(sum.error2 - error2) <= 1e-12 * error2);
            if (!(error2 <= before * 1.003))
                fail_msg("fill %zu, pass %d: %g after %g", k, pass, error2, before);
            before = error2;
        }
        assert_true(before <= 0.45 * energy);
        if (fills[k] == normal)
            assert_true(fabs(before / energy - 0.190) < 0.01);
    }
    assert_true(lort_trit_next_scale(&(lort_trit_sum){0}, 5, 0) == 0);
    assert_true(lort_trit_next_scale(&(lort_trit_sum){.error2 = 1e77}, 1, 0) == 0x1.fp127f);
}

/* ---- slices ---- */

enum { ROWS = 90, COLS = 70, SIZE = ROWS * COLS };
static tiny_run run;
static lort_outcome outcome;

static void decide(const float *values, int64_t rank, lort_goal goal, double value)
{
    tiny_tensor tensor = {"w", "F32", 2, {ROWS, COLS}, values};
    tiny_safetensors(dir, "m.safetensors", &tensor, 1);
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    run.options.residual = LORT_RESIDUAL_TERNARY;
    run.options.goal = goal;
    run.options.rank = rank;
    run.options.value = value;
    run.options.min_dim = 8;
    tiny_run_start(&run);
    tiny_ok(lort_decide(&run.decider, tiny_run_planned(&run, "w"), 0, (lort_work){NULL, 0},
                        &outcome, &run.err),
            &run.err);
}

static void done(void)
{
    lort_outcome_free(&outcome, &run.session.alloc);
    tiny_run_close(&run);
}

static void zero_rows(float *values, int64_t n)
{
    normal(values, n);
    for (int64_t r = 0; r < ROWS; r += 3)
        memset(values + r * COLS, 0, COLS * sizeof *values);
}
static void rank_one(float *values, int64_t n)
{
    (void)n;
    tiny_fill_rank(values, ROWS, COLS, 1, 3);
}
static void scaled(float *values, int64_t n, float by)
{
    tiny_fill_rank(values, ROWS, COLS, 3, 3);
    for (int64_t i = 0; i < n; i++)
        values[i] = (values[i] + (float)(i % 13 - 6) * 0.01f) * by;
}
static void tiny_values(float *values, int64_t n) { scaled(values, n, 1e-30f); }
static void huge_values(float *values, int64_t n) { scaled(values, n, 1e30f); }
static void mixed_rows(float *values, int64_t n)
{
    normal(values, n);
    for (int64_t i = 0; i < n; i++)
        values[i] = ldexpf(values[i], (int)(i / COLS % 40) - 20);
}
static void one_weight(float *values, int64_t n)
{
    memset(values, 0, (size_t)n * sizeof *values);
    values[n / 2] = 3;
}

static fill_fn *const nasty[] = {uniform,     normal,      laplace,    constant,
                                 outlier,     sparse,      zero_rows,  rank_one,
                                 tiny_values, huge_values, mixed_rows, one_weight};

/* Computes the error of the first iterate by hand: factors of the matrix itself, then scales. */
static lort_code read_values(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                             int64_t c1, float *dst, const float **out, int64_t *ld,
                             lort_error *err)
{
    (void)worker, (void)r1, (void)c1, (void)dst, (void)err;
    *out = (const float *)ctx + r0 * COLS + c0;
    *ld = COLS;
    return LORT_OK;
}

static double first_iterate(float *values, int64_t rank)
{
    static float left[SIZE], right[SIZE], product[SIZE];
    const lort_matrix_source source = {
        .rows = ROWS, .cols = COLS, .element_bytes = 4, .read = read_values, .ctx = values};
    const lort_target target = {.kind = LORT_TARGET_RANK, .rank = rank, .max_rank = rank};
    lort_factors f;
    double error2 = 0;
    assert_int_equal(lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, NULL), LORT_OK);
    assert_int_equal(f.verdict, LORT_FACTORED);
    lort_dtype_get(f.left_type)->decode(f.left, left, (uint64_t)(ROWS * f.rank));
    lort_dtype_get(f.right_type)->decode(f.right, right, (uint64_t)(COLS * f.rank));
    lort_product_cells(&(lort_product){f.rank, f.exponent, left, right}, COLS, 0, ROWS, 0, COLS,
                       product, COLS);
    for (int r = 0; r < ROWS; r++) {
        lort_trit_sum sum = {0};
        double best = INFINITY;
        float scale = 0;
        for (int c = 0; c < COLS; c++)
            product[r * COLS + c] = values[r * COLS + c] - product[r * COLS + c];
        for (int pass = 0; pass < 9; pass++) {
            lort_trit_sum_add(product + r * COLS, COLS, scale, &sum);
            best = sum.error2 < best ? sum.error2 : best;
            scale = lort_trit_next_scale(&sum, COLS, scale);
            sum = (lort_trit_sum){0};
        }
        error2 += best;
    }
    lort_factors_free(&f, &lort_alloc_heap);
    return error2;
}

/* The errors by round in the outcome's detail fall, and the last one is the outcome's error. */
static void check_rounds(void)
{
    const char *at = strstr(outcome.detail, "errors by round:");
    double before = INFINITY, error = 0;
    assert_non_null(at);
    for (at += strlen("errors by round:"); *at;) {
        char *end;
        error = strtod(at, &end);
        assert_true(error <= before);
        before = error;
        at = end;
    }
    assert_true(fabs(error - sqrt(outcome.error2 / outcome.norm2)) <= 6e-6);
}

static void nothing_diverges(void **state)
{
    static const int64_t ranks[] = {1, 2, 5, 12};
    static float values[SIZE];
    for (size_t k = 0; k < sizeof nasty / sizeof *nasty; k++) {
        nasty[k](values, SIZE);
        decide(values, 0, LORT_GOAL_RANK, 0);
        if (outcome.kind != LORT_OUTCOME_TERNARY) { /* of one weight the lossless form is smaller */
            if (nasty[k] != one_weight && nasty[k] != constant)
                fail_msg("matrix %zu is kept: %s (%s)", k, lort_reason_text(outcome.reason),
                         outcome.detail);
            assert_int_equal(outcome.reason, LORT_REASON_TRITS_LARGER);
            done();
            continue;
        }
        const double plain = outcome.error2;
        assert_true(plain < outcome.norm2 && outcome.product.rank == 0 &&
                    !lort_outcome_has_factors(&outcome));
        check_rounds();
        done();
        for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
            decide(values, ranks[i], LORT_GOAL_RANK, 0);
            if (outcome.kind == LORT_OUTCOME_TERNARY) {
                const double first = first_iterate(values, ranks[i]);
                if (!(outcome.error2 <= plain &&
                      outcome.error2 <= 1.02 * first + 1e-12 * outcome.norm2))
                    fail_msg("matrix %zu, rank %lld: %g, plain %g, first %g", k,
                             (long long)ranks[i], outcome.error2, plain, first);
                check_rounds();
            } else {
                assert_true(outcome.reason == LORT_REASON_TRITS_LARGER ||
                            outcome.reason == LORT_REASON_BREAK_EVEN);
            }
            done();
        }
        decide(values, 0, LORT_GOAL_DEFAULT, 0);
        assert_true(outcome.kind != LORT_OUTCOME_TERNARY || outcome.error2 <= plain);
        done();
    }
}

static void what_has_no_trits_is_kept(void **state)
{
    static float values[SIZE];
    memset(values, 0, sizeof values);
    decide(values, 2, LORT_GOAL_RANK, 0);
    assert_int_equal(outcome.reason, LORT_REASON_ZERO);
    assert_true(outcome.has_norm && outcome.norm2 == 0 && outcome.coded.size == 0);
    done();
    normal(values, SIZE);
    values[77] = NAN;
    decide(values, 2, LORT_GOAL_RANK, 0);
    assert_int_equal(outcome.reason, LORT_REASON_NOT_FINITE);
    assert_false(outcome.has_norm);
    done();
    values[77] = INFINITY;
    decide(values, 0, LORT_GOAL_RANK, 0);
    assert_int_equal(outcome.reason, LORT_REASON_NOT_FINITE);
    done();
    normal(values, SIZE);
    decide(values, 1000, LORT_GOAL_RANK, 0);
    assert_int_equal(outcome.reason, LORT_REASON_BREAK_EVEN);
    tiny_says(outcome.detail, "factors pay up to rank ");
    assert_true(outcome.has_norm && outcome.norm2 > 0 && !outcome.scales);
    done();
    decide(values, 0, LORT_GOAL_ERROR, 1e-6);
    assert_int_equal(outcome.reason, LORT_REASON_TRITS_LOW_RANK);
    tiny_says(outcome.detail, "leaves an error of ");
    assert_true(!lort_outcome_has_factors(&outcome) && outcome.kind != LORT_OUTCOME_TERNARY &&
                outcome.coded.size == 0);
    done();
}

/* About the smallest rank meets a target of error or energy. */
static void targets_are_met(void **state)
{
    static float values[SIZE];
    static const double errors[] = {0.5, 0.4, 0.3, 0.2, 0.12};
    int64_t before = 0;
    tiny_fill_rank(values, ROWS, COLS, 8, 5);
    for (int i = 0; i < SIZE; i++)
        values[i] += (float)((i * 7919) % 101 - 50) * 0.01f;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        decide(values, 0, LORT_GOAL_ERROR, errors[i]);
        assert_true(outcome.kind == LORT_OUTCOME_TERNARY);
        assert_true(outcome.error2 <= errors[i] * errors[i] * outcome.norm2 &&
                    outcome.product.rank >= before);
        const int64_t rank = before = outcome.product.rank;
        done();
        decide(values, 0, LORT_GOAL_ENERGY, 1 - errors[i] * errors[i]);
        assert_true(outcome.kind == LORT_OUTCOME_TERNARY && outcome.product.rank == rank);
        done();
        if (rank > 1) { /* a much smaller rank misses the target */
            decide(values, rank * 3 / 4, LORT_GOAL_RANK, 0);
            assert_true(outcome.error2 > errors[i] * errors[i] * outcome.norm2);
            done();
        }
    }
    assert_true(before > 1);
}

/* ---- through the container ---- */

static lort_options options_ternary(int64_t rank)
{
    lort_options options = options_rank(rank);
    options.residual = LORT_RESIDUAL_TERNARY;
    options.force = true;
    return options;
}

static lort_archive *open_archive(const char *name)
{
    lort_archive *archive;
    lort_error err = {0};
    assert_code(lort_archive_open(tiny_path(dir, name), &lort_alloc_heap, &archive, &err), LORT_OK,
                &err);
    return archive;
}

/* Bits per weight of the scales and trits of all parts. */
static double trit_bits(const char *name)
{
    lort_archive *archive = open_archive(name);
    uint64_t stored = 0, weights = 0;
    for (uint64_t i = 0; i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        for (uint64_t k = 0; k < part->chunk_count; k++) {
            const lort_chunk *chunk = &part->chunks[k];
            stored += chunk->array >> 24 >= LORT_ARRAY_SCALES ? chunk->stored : 0;
            weights += chunk->array >> 24 == LORT_ARRAY_TRITS ? chunk->count : 0;
        }
    }
    lort_archive_close(archive);
    assert_true(weights > 0);
    return 8 * (double)stored / (double)weights;
}

static void trits_take_few_bits(void **state)
{
    enum { N = 512, ALL = N * N };
    static const struct {
        const char *name;
        fill_fn *fill;
        double most;
    } cases[] = {{"normal", normal, 1.56}, {"Laplace", laplace, 1.4}, {"uniform", uniform, 1.61}};
    const lort_options options = options_ternary(0);
    float *values = malloc(ALL * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cases[i].fill(values, ALL);
        tiny_safetensors(dir, "m", &(tiny_tensor){"w", "F32", 2, {N, N}, values}, 1);
        compress_to("m", "a.lort", &options);
        const double bits = trit_bits("a.lort");
        print_message("# %s: trits and scales take %.4f bits a weight\n", cases[i].name, bits);
        assert_true(bits <= cases[i].most);
    }
    free(values);
    lort_report report = {0};
    lort_error err = {0};
    assert_code(lort_compress("tests/data/kjv-3m/kjv-3m-f16.gguf", tiny_path(dir, "b.lort"),
                              &options, NULL, &report, &err),
                LORT_OK, &err);
    lort_report_free(&report);
    const double bits = trit_bits("b.lort");
    print_message("# kjv-3m: trits and scales take %.4f bits a weight\n", bits);
    assert_true(bits <= 1.6);
}

/* A stack of several blocks down and across, with a zero slice and a NaN slice. The error in the
 * report is that of the data that is read. */
static void a_stack_reads_as_it_was_measured(void **state)
{
    enum { DOWN = 130, WIDE = 9000, SLICE = DOWN * WIDE };
    float *values = calloc(3 * SLICE, sizeof *values);
    lort_options options = options_ternary(3);
    lort_error err = {0};
    lort_report report = {0}, seen = {0};
    assert_non_null(values);
    normal(values, SLICE);
    tiny_fill_rank(values + 2 * SLICE, DOWN, WIDE, 2, 9);
    for (int i = 0; i < SLICE; i++)
        values[2 * SLICE + i] += 0.2f * values[i];
    tiny_safetensors(dir, "m", &(tiny_tensor){"experts", "F32", 3, {3, DOWN, WIDE}, values}, 1);
    assert_code(
        lort_compress(tiny_path(dir, "m"), tiny_path(dir, "a.lort"), &options, NULL, &report, &err),
        LORT_OK, &err);
    char from[100];
    snprintf(from, sizeof from, "%s", tiny_path(dir, "m"));
    assert_code(lort_compare(from, tiny_path(dir, "a.lort"), -1, &(lort_run_options){RUN_SIZE},
                             NULL, &seen, &err),
                LORT_OK, &err);
    const lort_tensor_report *made = entry_named(&report, "experts"),
                             *found = entry_named(&seen, "experts");
    assert_int_equal(made->action, LORT_ACTION_CODED);
    assert_int_equal(made->rank, 3);
    assert_true(made->rel_error > 0.1 && made->rel_error < 0.5 &&
                fabs(made->rel_error - found->rel_error) < 1e-6);
    lort_report_free(&report);
    lort_report_free(&seen);
    options.threads = 1;
    options.mode = LORT_MODE_STREAM;
    compress_to("m", "b.lort", &options);
    assert_true(same_files("a.lort", "b.lort"));
    lort_archive *archive = open_archive("a.lort");
    const lort_part *part = lort_archive_find(archive, "experts", 7);
    assert_non_null(lort_part_term(part, 0, LORT_TERM_TERNARY));
    assert_non_null(lort_part_term(part, 1, LORT_TERM_RAW));
    assert_non_null(lort_part_term(part, 2, LORT_TERM_FACTORS));
    assert_true(lort_part_has_blocks(part) && lort_part_decodes(part) && !lort_part_is_raw(part));
    lort_archive_close(archive);
    free(values);
}

static void scale_negative(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes,
                           uint64_t n)
{
    (void)part;
    if (chunk->array >> 24 == LORT_ARRAY_SCALES)
        bytes[n - 1] |= 0x80;
}
static void scale_nan(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    (void)part;
    if (chunk->array >> 24 == LORT_ARRAY_SCALES)
        bytes[n - 1] = 0x7f, bytes[n - 2] = 0xc0;
}
static void byte_243(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    (void)part;
    if (chunk->array >> 24 == LORT_ARRAY_TRITS)
        bytes[n / 2] = 243;
}
static void trit_behind_the_last(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes,
                                 uint64_t n)
{
    (void)part;
    if (chunk->array >> 24 == LORT_ARRAY_TRITS)
        bytes[n - 1] = 81; /* the last byte holds one of 9 x 9 = 81 weights */
}

static void damage_is_refused(void **state)
{
    static const struct {
        edit_fn *edit;
        const char *says;
    } cases[] = {{scale_negative, "scale of row 8 is negative"},
                 {scale_nan, "NaN"},
                 {byte_243, "is 243"},
                 {trit_behind_the_last, "behind the last"}};
    float values[81];
    lort_options options = options_ternary(0);
    normal(values, 81);
    tiny_safetensors(dir, "m", &(tiny_tensor){"w", "F32", 2, {9, 9}, values}, 1);
    compress_to("m", "a.lort", &options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_report report = {0};
        lort_error err = {0};
        rewrite_container("a.lort", "bad.lort", cases[i].edit);
        assert_code(lort_verify(tiny_path(dir, "bad.lort"), &(lort_verify_options){VERIFY_SIZE},
                                NULL, &report, &err),
                    LORT_E_DAMAGED, &err);
        assert_says(&err, cases[i].says);
        lort_report_free(&report);
        char to[100];
        snprintf(to, sizeof to, "%s", tiny_path(dir, "back"));
        assert_code(lort_restore(tiny_path(dir, "bad.lort"), to,
                                 &(lort_restore_options){RESTORE_SIZE}, NULL, &report, &err),
                    LORT_E_DAMAGED, &err);
        lort_report_free(&report);
        assert_false(file_exists("back"));
    }
}

static lort_code run_stream_in(uint64_t memory, lort_report *report, lort_error *err)
{
    lort_options options = options_ternary(6);
    options.mode = LORT_MODE_STREAM;
    options.memory_bytes = memory;
    char from[100];
    snprintf(from, sizeof from, "%s", tiny_path(dir, "m"));
    lort_code code = lort_compress(from, tiny_path(dir, "b.lort"), &options, NULL, report, err);
    if (code == LORT_OK)
        assert_true(same_files("a.lort", "b.lort"));
    return code;
}

static void memory_is_a_promise(void **state)
{
    enum { DOWN = 700, WIDE = 900 };
    float *values = malloc(DOWN * WIDE * sizeof *values);
    const lort_options options = options_ternary(6);
    assert_non_null(values);
    normal(values, DOWN * WIDE);
    tiny_safetensors(dir, "m", &(tiny_tensor){"w", "F32", 2, {DOWN, WIDE}, values}, 1);
    compress_to("m", "a.lort", &options);
    sweep_memory(run_stream_in);
    free(values);
}

static void options_that_do_not_go_together(void **state)
{
    static const struct {
        lort_goal goal;
        const char *says;
    } cases[] = {{LORT_GOAL_LOSSLESS, "residual ternary goes with"},
                 {LORT_GOAL_BPW, "residual ternary goes with"},
                 {LORT_GOAL_SIZE, "residual ternary goes with"}};
    lort_report report = {0};
    lort_error err = {0};
    tiny_safetensors(dir, "m", &(tiny_tensor){"w", "F32", 2, {64, 64}, NULL}, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_options options = options_ternary(0);
        options.goal = cases[i].goal;
        options.value = 4;
        assert_code(lort_plan(tiny_path(dir, "m"), &options, NULL, &report, &err), LORT_E_USAGE,
                    &err);
        assert_says(&err, cases[i].says);
        lort_report_free(&report);
    }
    lort_options options = options_rank(0);
    assert_code(lort_plan(tiny_path(dir, "m"), &options, NULL, &report, &err), LORT_E_USAGE, &err);
    assert_says(&err, "rank 0");
    lort_report_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trits_come_back),
        cmocka_unit_test(bytes_that_are_no_trits_are_damage),
        cmocka_unit_test(the_next_scale_errs_no_more),
        command_test(nothing_diverges),
        command_test(what_has_no_trits_is_kept),
        command_test(targets_are_met),
        command_test(trits_take_few_bits),
        command_test(a_stack_reads_as_it_was_measured),
        command_test(damage_is_refused),
        command_test(memory_is_a_promise),
        command_test(options_that_do_not_go_together),
    };
    return run_chosen(tests, NULL, NULL);
}
