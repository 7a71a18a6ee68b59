/* Tests of --imatrix from end to end on small models.
 *
 *   - The report has the errors of the data that a reader gets.
 *   - Weighed errors fall at equal bytes.
 *   - No byte depends on the form or name of the file, or on mode and threads.
 *   - LoRT refuses a file that does not fit the model. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/coder/weighting.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

/* wide: two blocks across. stack: three matrices, the last without an importance. none: a tensor
 * without an entry. */
enum { SLICES = 3, ROWS = 96, COLS = 200, WIDE = 8300, TALL = 300 };
static float stack_e[SLICES][COLS], wide_e[WIDE], tall_e[COLS];
static float *stack_w, *wide_w, *tall_w;

static void fill_importance(float *e, int n, double spread, uint64_t seed)
{
    for (int c = 0; c < n; c++)
        e[c] = (float)exp2(spread * tiny_noise(&seed));
}

/* The legacy form has one row for a stack of slices. The caller chooses order and name. */
static void put_entry(lort_buffer *b, const char *name, const float *e, uint32_t n, uint32_t calls)
{
    lort_put_u32(b, (uint32_t)strlen(name));
    lort_put_bytes(b, name, strlen(name));
    lort_put_u32(b, calls);
    lort_put_u32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        const float v = e[i] * (float)calls;
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        lort_put_u32(b, bits);
    }
}

static void write_legacy(const char *name)
{
    lort_buffer b = {.alloc = &lort_alloc_heap};
    lort_put_u32(&b, 4);
    put_entry(&b, "wide.weight", wide_e, WIDE, 4);
    put_entry(&b, "unknown.weight", wide_e, 7, 1);
    put_entry(&b, "stack.weight", stack_e[0], SLICES * COLS, 2);
    put_entry(&b, "tall.weight", tall_e, COLS, 1);
    tiny_write_buffer(dir, name, &b);
}

static void put_gguf_string(lort_buffer *b, const char *key, const char *value)
{
    tiny_put_string(b, key);
    lort_put_u32(b, 8);
    tiny_put_string(b, value);
}

/* The form that llama.cpp writes: sums and counts. The order of entries differs from that of the
 * legacy file here. */
static void write_gguf(const char *name)
{
    static const struct {
        const char *name;
        const float *e;
        uint64_t n, mats;
        float count;
    } entries[] = {{"stack.weight", stack_e[0], COLS, SLICES, 8},
                   {"tall.weight", tall_e, COLS, 1, 0.5f},
                   {"wide.weight", wide_e, WIDE, 1, 16}};
    lort_buffer b = {.alloc = &lort_alloc_heap};
    uint64_t at = 0;
    lort_put_bytes(&b, "GGUF", 4);
    lort_put_u32(&b, 3);
    lort_put_u64(&b, 6);
    lort_put_u64(&b, 1);
    put_gguf_string(&b, "general.type", "imatrix");
    for (int i = 0; i < 6; i++) {
        const uint64_t n = i % 2 ? 1 : entries[i / 2].n, mats = entries[i / 2].mats;
        char full[80];
        snprintf(full, sizeof full, "%s.%s", entries[i / 2].name, i % 2 ? "counts" : "in_sum2");
        tiny_put_string(&b, full);
        lort_put_u32(&b, 2);
        lort_put_u64(&b, n);
        lort_put_u64(&b, mats);
        lort_put_u32(&b, LORT_F32);
        lort_put_u64(&b, at);
        at = (at + 4 * n * mats + 31) / 32 * 32;
    }
    tiny_pad(&b, 32);
    for (int i = 0; i < 6; i++) {
        const uint64_t n = (i % 2 ? 1 : entries[i / 2].n) * entries[i / 2].mats;
        for (uint64_t k = 0; k < n; k++) {
            const float v =
                i % 2 ? entries[i / 2].count : entries[i / 2].e[k] * entries[i / 2].count;
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            lort_put_u32(&b, bits);
        }
        tiny_pad(&b, 32);
    }
    tiny_write_buffer(dir, name, &b);
}

static int setup(void **state)
{
    dir_open(state);
    stack_w = calloc(SLICES * ROWS * COLS, sizeof *stack_w);
    wide_w = calloc((size_t)ROWS * WIDE, sizeof *wide_w);
    tall_w = calloc(TALL * COLS, sizeof *tall_w);
    assert_true(stack_w && wide_w && tall_w);
    tiny_fill_noise(stack_w, SLICES * ROWS * COLS, 1);
    tiny_fill_noise(wide_w, (uint64_t)ROWS * WIDE, 2);
    tiny_fill_noise(tall_w, TALL * COLS, 3);
    fill_importance(stack_e[0], COLS, 1.5, 4);
    fill_importance(stack_e[1], COLS, 0.02, 5); /* scales do not pay */
    memset(stack_e[2], 0, sizeof stack_e[2]);   /* mean 0: not weighed */
    fill_importance(wide_e, WIDE, 1.5, 6);
    fill_importance(tall_e, COLS, 1, 7);
    const tiny_tensor tensors[] = {{"stack.weight", "F32", 3, {SLICES, ROWS, COLS}, stack_w},
                                   {"wide.weight", "F32", 2, {ROWS, WIDE}, wide_w},
                                   /* found without its ending */
                                   {"tall", "F32", 2, {TALL, COLS}, tall_w},
                                   TINY("none.weight", "F32", 64, 64),
                                   TINY("norm.weight", "F32", COLS)};
    tiny_gguf(dir, "m.gguf", tensors, 5, NULL);
    write_legacy("a.dat");
    return 0;
}

static int teardown(void **state)
{
    free(stack_w);
    free(wide_w);
    free(tall_w);
    return dir_close(state);
}

#define importance_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static lort_options options_error(double error, const char *imatrix)
{
    lort_options options;
    lort_options_init(&options);
    options.goal = LORT_GOAL_ERROR;
    options.value = error;
    options.threads = 2;
    options.imatrix = imatrix ? tiny_path(dir, imatrix) : NULL;
    return options;
}

static void run(const char *output, const lort_options *options, lort_report *report)
{
    lort_error err = {0};
    *report = (lort_report){0};
    assert_code(lort_compress(tiny_path(dir, "m.gguf"), tiny_path(dir, output), options, NULL,
                              report, &err),
                LORT_OK, &err);
}

/* ---- the data of a reader ---- */

typedef struct errors {
    double plain, weighed;
} errors;

/* Measures errors with E of every slice over its mean, as the manual of --imatrix says. */
static errors measure(const char *container, const char *tensor, const float *w, int slices,
                      int64_t rows, int64_t cols, const float *e)
{
    lort_error err = {0};
    lort_restore_options restore = {RESTORE_SIZE, .dtype = "F32", .tensor = tensor, .force = true};
    double norm[2] = {0, 0}, error[2] = {0, 0};
    assert_code(restore_with(container, "t.bin", &restore, NULL, &err), LORT_OK, &err);
    lort_buffer back = file_read("t.bin");
    assert_int_equal(back.size, (uint64_t)slices * (uint64_t)(rows * cols) * 4);
    const float *v = (const float *)(const void *)back.data;
    for (int s = 0; s < slices; s++) {
        double mean = 0;
        for (int64_t c = 0; c < cols; c++)
            mean += e[s * cols + c] / (double)cols;
        for (int64_t i = 0; i < rows * cols; i++) {
            const int64_t at = s * rows * cols + i;
            const double weight = mean > 0 ? e[s * cols + i % cols] / mean : 1,
                         d = (double)w[at] - v[at], x = w[at];
            norm[0] += x * x;
            norm[1] += weight * x * x;
            error[0] += d * d;
            error[1] += weight * d * d;
        }
    }
    lort_buffer_free(&back);
    return (errors){sqrt(error[0] / norm[0]), sqrt(error[1] / norm[1])};
}

static void assert_near(double found, double wanted, double part)
{
    if (!(fabs(found - wanted) <= part * wanted))
        fail_msg("%.9g, wanted %.9g", found, wanted);
}

static void check_errors(const char *container, const lort_report *report, double most)
{
    const errors stack =
        measure(container, "stack.weight", stack_w, SLICES, ROWS, COLS, stack_e[0]);
    const errors wide = measure(container, "wide.weight", wide_w, 1, ROWS, WIDE, wide_e),
                 tall = measure(container, "tall", tall_w, 1, TALL, COLS, tall_e);
    const errors found[] = {stack, wide, tall};
    static const char *const names[] = {"stack.weight", "wide.weight", "tall"};
    for (int i = 0; i < 3; i++) {
        const lort_tensor_report *entry = entry_named(report, names[i]);
        assert_near(entry->rel_error, found[i].plain, 1e-6);
        assert_near(entry->weighted_error, found[i].weighed, 1e-6);
        assert_true(found[i].weighed <= most);
    }
    assert_true(isnan(entry_named(report, "none.weight")->weighted_error));
    assert_true(isnan(entry_named(report, "norm.weight")->weighted_error));
    assert_true(report->weighted_worst <= most && report->weighted_mean <= report->weighted_worst);
    assert_int_equal(report->imatrix_matrices, 3);
    assert_int_equal(report->imatrix_entries, 4);
}

static void errors_are_those_of_a_reader(void **state)
{
    lort_report report;
    lort_options options = options_error(0.1, "a.dat");
    run("a.lort", &options, &report);
    check_errors("a.lort", &report, 0.1);
    /* The error is not needlessly low. */
    assert_true(entry_named(&report, "wide.weight")->weighted_error > 0.099);
    lort_report_free(&report);
}

static void factors_are_weighed_too(void **state)
{
    lort_report weighed, plain;
    lort_options options = options_error(0, "a.dat");
    options.goal = LORT_GOAL_RANK;
    options.rank = 20;
    run("a.lort", &options, &weighed);
    check_errors("a.lort", &weighed, 1);
    options.imatrix = NULL;
    run("b.lort", &options, &plain);
    const errors tall = measure("b.lort", "tall", tall_w, 1, TALL, COLS, tall_e);
    assert_int_equal(entry_named(&weighed, "tall")->action, LORT_ACTION_FACTORED);
    assert_int_equal(entry_named(&weighed, "tall")->rank, entry_named(&plain, "tall")->rank);
    assert_true(entry_named(&weighed, "tall")->weighted_error < 0.95 * tall.weighed);
    lort_report_free(&weighed);
    options = options_error(0.7, "a.dat"); /* a target of the weighed error, met by factors alone */
    options.residual = LORT_RESIDUAL_NONE;
    lort_report_free(&plain);
    run("c.lort", &options, &plain);
    check_errors("c.lort", &plain, 0.7);
    lort_report_free(&plain);
}

/* A matrix of rank 3 and noise: LoRT codes the residual of the factors as integers. */
static void components_beside_weighed_integers(void **state)
{
    lort_report report;
    lort_options options = options_error(0.1, "a.dat");
    float *low = calloc(TALL * COLS, sizeof *low);
    assert_non_null(low);
    tiny_fill_rank(low, TALL, COLS, 3, 9);
    for (int i = 0; i < TALL * COLS; i++)
        tall_w[i] = 0.5f * tall_w[i] + 3 * low[i];
    free(low);
    tiny_gguf(dir, "m.gguf", &(tiny_tensor){"tall.weight", "F32", 2, {TALL, COLS}, tall_w}, 1,
              NULL);
    run("a.lort", &options, &report);
    const errors found = measure("a.lort", "tall.weight", tall_w, 1, TALL, COLS, tall_e);
    const lort_tensor_report *entry = entry_named(&report, "tall.weight");
    assert_int_equal(entry->rank, 3);
    assert_near(entry->rel_error, found.plain, 1e-5);
    assert_near(entry->weighted_error, found.weighed, 1e-5);
    assert_true(found.weighed <= 0.1 && found.weighed > 0.099);
    lort_report_free(&report);
}

static void weighed_errors_fall_at_equal_bytes(void **state)
{
    for (int bpw = 3; bpw <= 5; bpw++) {
        lort_report with, without;
        lort_options options = options_error(bpw, "a.dat");
        options.goal = LORT_GOAL_BPW;
        run("a.lort", &options, &with);
        options.imatrix = NULL;
        run("b.lort", &options, &without);
        const errors a = measure("a.lort", "wide.weight", wide_w, 1, ROWS, WIDE, wide_e),
                     b = measure("b.lort", "wide.weight", wide_w, 1, ROWS, WIDE, wide_e);
        assert_true(with.output_bytes <= 1.003 * (double)without.output_bytes);
        assert_true(a.weighed < 0.9 * b.weighed);
        assert_true(a.plain > b.plain);
        lort_report_free(&with);
        lort_report_free(&without);
        remove(tiny_path(dir, "a.lort"));
        remove(tiny_path(dir, "b.lort"));
    }
}

/* ---- the same bytes ---- */

static void the_same_bytes_whatever_the_form(void **state)
{
    lort_options options = options_error(0.1, "a.dat");
    compress_to("m.gguf", "a.lort", &options);
    write_gguf("another name.gguf");
    options.imatrix = tiny_path(dir, "another name.gguf");
    options.threads = 1;
    options.mode = LORT_MODE_STREAM;
    compress_to("m.gguf", "b.lort", &options);
    assert_true(same_files("a.lort", "b.lort"));
    options.imatrix = NULL;
    compress_to("m.gguf", "c.lort", &options);
    assert_false(same_files("a.lort", "c.lort"));
    tall_e[3] *= 1.0001f; /* changes no code, but is another file */
    write_legacy("b.dat");
    options.imatrix = tiny_path(dir, "b.dat");
    compress_to("m.gguf", "d.lort", &options);
    assert_false(same_files("a.lort", "d.lort"));
}

/* ---- refusals ---- */

static void refused(const char *imatrix, lort_code wanted, const char *const *words)
{
    lort_error err = {0};
    lort_report report = {0};
    lort_options options = options_error(0.1, imatrix);
    assert_code(lort_compress(tiny_path(dir, "m.gguf"), tiny_path(dir, "no.lort"), &options, NULL,
                              &report, &err),
                wanted, &err);
    for (; *words; words++)
        assert_says(&err, *words);
    lort_report_free(&report);
    assert_false(file_exists("no.lort"));
}

static void wrong_columns_are_refused(void **state)
{
    lort_buffer b = {.alloc = &lort_alloc_heap};
    lort_put_u32(&b, 1);
    put_entry(&b, "stack.weight", wide_e, 2 * COLS, 1);
    tiny_write_buffer(dir, "bad.dat", &b);
    refused("bad.dat", LORT_E_INPUT,
            (const char *[]){"bad.dat", "stack.weight", "400", "200", "3 matrices", NULL});
    tiny_text(dir, "text", "not an importance matrix at all, but long enough");
    refused("text", LORT_E_INPUT, (const char *[]){"text", "not an importance matrix", NULL});
    refused("missing", LORT_E_INPUT, (const char *[]){"missing", NULL});
}

static void no_match_is_a_warning(void **state)
{
    lort_report report;
    lort_buffer b = {.alloc = &lort_alloc_heap};
    lort_put_u32(&b, 1);
    put_entry(&b, "elsewhere.weight", wide_e, 5, 1);
    tiny_write_buffer(dir, "none.dat", &b);
    lort_options options = options_error(0.1, "none.dat"), without = options_error(0.1, NULL);
    run("a.lort", &options, &report);
    assert_int_equal(report.imatrix_matrices, 0);
    assert_int_equal(report.warning_count, 1);
    assert_true(strstr(report.warnings[0], "none.dat") &&
                strstr(report.warnings[0], "nothing is weighed"));
    assert_true(isnan(report.weighted_worst));
    lort_report_free(&report);
    compress_to("m.gguf", "b.lort", &without);
    assert_true(same_files("a.lort", "b.lort"));
}

static void not_with_lossless(void **state)
{
    lort_error err = {0};
    lort_report report = {0};
    lort_options options = options_error(0.1, "a.dat");
    options.goal = LORT_GOAL_LOSSLESS;
    assert_code(lort_compress(tiny_path(dir, "m.gguf"), tiny_path(dir, "no.lort"), &options, NULL,
                              &report, &err),
                LORT_E_USAGE, &err);
    assert_says(&err, "lossless");
    lort_report_free(&report);
}

/* Makes a scale that no writer makes. */
static void spoil_scale(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    if (chunk->array >> 24 == LORT_ARRAY_CODES && n > TALL + COLS)
        bytes[n - 1] = LORT_SCALE_MOST + 1;
}

static void a_scale_out_of_range_is_damage(void **state)
{
    lort_error err = {0};
    lort_report report = {0};
    lort_options options = options_error(0.1, "a.dat");
    tiny_gguf(dir, "m.gguf", &(tiny_tensor){"tall.weight", "F32", 2, {TALL, COLS}, tall_w}, 1,
              NULL);
    compress_to("m.gguf", "a.lort", &options);
    rewrite_container("a.lort", "bad.lort", spoil_scale);
    assert_code(lort_verify(tiny_path(dir, "bad.lort"),
                            &(lort_verify_options){
                                VERIFY_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = 1}},
                            NULL, &report, &err),
                LORT_E_DAMAGED, &err);
    assert_says(&err, "scale of column 199");
    lort_report_free(&report);
    assert_code(restore_with("bad.lort", "out",
                             &(lort_restore_options){
                                 RESTORE_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = 1}},
                             NULL, &err),
                LORT_E_DAMAGED, &err);
    assert_false(file_exists("out"));
}

/* ---- memory ---- */

static const char *memory_imatrix;

static lort_code compress_within(uint64_t memory, lort_report *report, lort_error *err)
{
    lort_options options = options_error(0.1, NULL);
    options.imatrix = tiny_path(dir, memory_imatrix);
    options.memory_bytes = memory;
    options.force = true;
    return lort_compress(tiny_path(dir, "m.gguf"), tiny_path(dir, "a.lort"), &options, NULL, report,
                         err);
}

static void memory_is_planned(void **state)
{
    memory_imatrix = "a.dat";
    sweep_memory(compress_within);
}

/* The file itself does not fit into the budget: LoRT refuses it before it reads the file. */
static void a_file_beyond_the_budget_is_refused(void **state)
{
    lort_error err = {0};
    lort_report report = {0};
    memory_imatrix = "large.dat";
    tiny_write(dir, "large.dat", "GGUF", 4);
    assert_int_equal(truncate(tiny_path(dir, "large.dat"), 1 << 30), 0);
    assert_code(compress_within(100 << 20, &report, &err), LORT_E_MEMORY, &err);
    assert_says(&err, "large.dat");
    assert_true(report.peak_anon_bytes < 100 << 20 || SANITIZED);
    lort_report_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        importance_test(errors_are_those_of_a_reader),
        importance_test(factors_are_weighed_too),
        importance_test(components_beside_weighed_integers),
        importance_test(weighed_errors_fall_at_equal_bytes),
        importance_test(the_same_bytes_whatever_the_form),
        importance_test(wrong_columns_are_refused),
        importance_test(no_match_is_a_warning),
        importance_test(not_with_lossless),
        importance_test(a_scale_out_of_range_is_damage),
        importance_test(memory_is_planned),
        importance_test(a_file_beyond_the_budget_is_refused),
    };
    return run_chosen(tests, NULL, NULL);
}
