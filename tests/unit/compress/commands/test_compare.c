#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

enum { ROWS = 70, COLS = 80, SIZE = ROWS * COLS };

static float base[SIZE], other[SIZE], stack[3 * SIZE];

static int fill(void **state)
{
    tiny_fill_rank(stack, ROWS, COLS, 2, 5);
    tiny_fill_noise(stack + SIZE, SIZE, 6);
    stack[SIZE + 70] = NAN;
    return 0;
}

/* Each test begins with a fresh pair of equal models. */
static int open_pair(void **state)
{
    tiny_fill_rank(base, ROWS, COLS, 3, 1);
    memcpy(other, base, sizeof base);
    return dir_open(state);
}

#define pair_test(f) cmocka_unit_test_setup_teardown(f, open_pair, dir_close)

static void write_one(const char *name, const char *tensor, const float *values, int64_t rows)
{
    tiny_safetensors(dir, name, &(tiny_tensor){tensor, "F32", 2, {rows, COLS}, values}, 1);
}

static void write_pair(void)
{
    write_one("a", "w", base, ROWS);
    write_one("b", "w", other, ROWS);
}

static lort_code compare_files(const char *a, const char *b, double fail_above,
                               const lort_observer *observer, lort_report *report, lort_error *err)
{
    return lort_compare(tiny_path(dir, a), tiny_path(dir, b), fail_above,
                        &(lort_run_options){RUN_SIZE, .threads = 2}, observer, report, err);
}

/* Compares and must succeed; returns the report. */
static lort_report compared(const char *a, const char *b)
{
    lort_report report = {0};
    lort_error err = {0};
    assert_code(compare_files(a, b, -1, NULL, &report, &err), LORT_OK, &err);
    return report;
}

static void must_fail(const char *a, const char *b, double fail_above, lort_code code,
                      const char *text)
{
    lort_report report = {0};
    lort_error err = {0};
    assert_code(compare_files(a, b, fail_above, NULL, &report, &err), code, &err);
    assert_says(&err, text);
    lort_report_free(&report);
}

#define assert_near(found, wanted)                                                                 \
    do {                                                                                           \
        double found_ = (found), wanted_ = (wanted);                                               \
        if (!(fabs(found_ - wanted_) <= 1e-12 * fabs(wanted_)))                                    \
            fail_msg("%.17g, wanted %.17g", found_, wanted_);                                      \
    } while (0)

/* ---- figures ---- */

static void figures_are_those_of_the_numbers(void **state)
{
    double a2 = 0, b2 = 0, dot = 0;
    other[0] += 0.5f;
    other[SIZE - 1] -= 2;
    for (int i = 0; i < SIZE; i++) {
        a2 += (double)base[i] * base[i];
        b2 += (double)other[i] * other[i];
        dot += (double)base[i] * other[i];
    }
    double d0 = (double)other[0] - base[0], d1 = (double)other[SIZE - 1] - base[SIZE - 1];
    write_pair();
    lort_report report = compared("a", "b");
    assert_int_equal(report.tensor_count, 1);
    assert_near(report.tensors[0].rel_error, sqrt((d0 * d0 + d1 * d1) / a2));
    assert_near(report.tensors[0].cosine, dot / sqrt(a2) / sqrt(b2));
    assert_near(report.tensors[0].max_abs, fabs(d1));
    assert_near(report.worst_error, report.tensors[0].rel_error);
    assert_int_equal(report.warning_count, 0);
    lort_report_free(&report);
    must_fail("a", "b", 1e-6, LORT_E_NUMERIC, "above --fail-above");
}

static void equal_is_zero(void **state)
{
    write_pair();
    lort_report report = compared("a", "b");
    assert_true(report.tensors[0].rel_error == 0 && report.tensors[0].max_abs == 0);
    assert_near(report.tensors[0].cosine, 1);
    lort_report_free(&report);
}

/* ---- NaN and Inf ---- */

static void alike_on_both_sides_is_no_difference(void **state)
{
    base[5] = other[5] = NAN;
    base[4000] = other[4000] = INFINITY;
    base[77] = other[77] = -INFINITY;
    other[9] += 1;
    write_pair();
    lort_report report = compared("a", "b");
    assert_true(report.tensors[0].rel_error > 0 && report.tensors[0].rel_error < 1);
    assert_true(report.tensors[0].max_abs > 0.99 && report.tensors[0].max_abs < 1.01);
    assert_true(isfinite(report.tensors[0].cosine));
    assert_int_equal(report.warning_count, 0);
    lort_report_free(&report);
}

static void on_one_side_only_is_undefined(void **state)
{
    static const float pairs[][2] = {
        {NAN, 1}, {1, NAN}, {INFINITY, 1}, {1, -INFINITY}, {INFINITY, -INFINITY}, {NAN, INFINITY}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        base[4444] = pairs[i][0];
        other[4444] = pairs[i][1];
        write_pair();
        lort_report report = compared("a", "b");
        const lort_tensor_report *t = &report.tensors[0];
        assert_true(isnan(t->rel_error) && isnan(t->cosine) && isnan(t->max_abs));
        assert_string_equal(t->reason_text, "NaN or Inf on one side only");
        assert_int_equal(report.warning_count, 1);
        assert_true(isnan(report.worst_error));
        lort_report_free(&report);
        must_fail("a", "b", 0.9, LORT_E_NUMERIC, "w: the tensors differ");
    }
}

static void an_all_zero_reference(void **state)
{
    memset(base, 0, sizeof base);
    write_pair();
    lort_report report = compared("a", "b");
    assert_true(isnan(report.tensors[0].rel_error) && report.tensors[0].max_abs > 0);
    assert_string_equal(report.tensors[0].reason_text, "the reference is all zero");
    lort_report_free(&report);
    must_fail("a", "b", 0.9, LORT_E_NUMERIC, "w: the tensors differ");
    report = compared("b", "a");
    assert_near(report.tensors[0].rel_error, 1);
    lort_report_free(&report);
    report = compared("a", "a");
    assert_true(report.tensors[0].rel_error == 0);
    lort_report_free(&report);
}

/* ---- what cannot be compared ---- */

static void shapes_and_names_must_be_the_same(void **state)
{
    static const tiny_tensor two[] = {{"w", "F32", 2, {ROWS, COLS}, base},
                                      {"more", "F32", 2, {ROWS, COLS}, base}};
    static const tiny_tensor turned = {"w", "F32", 2, {COLS, ROWS}, base},
                             deeper = {"w", "F32", 3, {1, ROWS, COLS}, base};
    write_pair();
    tiny_safetensors(dir, "two", two, 2);
    tiny_safetensors(dir, "turned", &turned, 1);
    tiny_safetensors(dir, "deeper", &deeper, 1);
    write_one("short", "w", base, ROWS - 1);
    write_one("named", "v", base, ROWS);
    must_fail("two", "a", -1, LORT_E_INPUT, "tensor more of A is not in B");
    must_fail("a", "two", -1, LORT_E_INPUT, "B has 2 tensors, A 1");
    must_fail("a", "named", -1, LORT_E_INPUT, "tensor w of A is not in B");
    must_fail("a", "turned", -1, LORT_E_INPUT, "w is [70, 80] in A and [80, 70] in B");
    must_fail("a", "deeper", -1, LORT_E_INPUT, "w is [70, 80] in A");
    must_fail("a", "short", -1, LORT_E_INPUT, "[69, 80] in B");
    must_fail("a", "nowhere", -1, LORT_E_INPUT, "nowhere");
}

static void without_a_decoder_bytes_are_compared(void **state)
{
    tiny_tensor ids = {"ids", "I32", 2, {ROWS, COLS}, NULL},
                shorts = {"ids", "U32", 2, {ROWS, COLS}, NULL};
    lort_options options = options_rank(3);
    tiny_safetensors(dir, "a", &ids, 1);
    tiny_safetensors(dir, "u", &shorts, 1);
    compress_to("a", "a.lort", &options);
    lort_buffer bytes = file_read("a");
    bytes.data[bytes.size - 1] ^= 1;
    tiny_write_buffer(dir, "b", &bytes);
    const char *const sides[] = {"a", "a.lort"};
    for (int i = 0; i < 2; i++) {
        lort_report report = compared(sides[i], "a");
        assert_true(report.tensors[0].rel_error == 0);
        assert_string_equal(report.tensors[0].reason_text, "same bytes");
        lort_report_free(&report);
        report = compared(sides[i], "b");
        assert_true(isnan(report.tensors[0].rel_error));
        assert_string_equal(report.tensors[0].reason_text, "bytes differ; the type has no decoder");
        assert_int_equal(report.warning_count, 1);
        lort_report_free(&report);
        must_fail("b", sides[i], 0.5, LORT_E_NUMERIC, "ids: the tensors differ");
    }
    lort_report report = compared("a", "u"); /* equal bytes of another type are other numbers */
    assert_true(isnan(report.tensors[0].rel_error));
    lort_report_free(&report);
}

/* ---- containers ---- */

static const tiny_tensor model[] = {{"w", "F16", 2, {ROWS, COLS}, base},
                                    {"experts", "F32", 3, {3, ROWS, COLS}, stack},
                                    {"f8", "F8_E5M2", 2, {ROWS, COLS}, NULL}};

static void write_container(void)
{
    lort_options options = options_rank(3);
    tiny_safetensors(dir, "m", model, 3);
    compress_to("m", "a.lort", &options);
}

/* One side stores a stack by slices, the other side whole. The error must be the one that compress
 * measured. */
static void a_container_against_its_model(void **state)
{
    lort_options options = options_rank(3);
    lort_report made = {0}, report;
    lort_error err = {0};
    write_container();
    options.force = true;
    assert_code(
        lort_compress(tiny_path(dir, "m"), tiny_path(dir, "a.lort"), &options, NULL, &made, &err),
        LORT_OK, &err);
    for (int turned = 0; turned < 2; turned++) {
        report = turned ? compared("a.lort", "m") : compared("m", "a.lort");
        double error = entry_named(&report, "w")->rel_error,
               stored = entry_named(&made, "w")->rel_error;
        assert_true(error > 0 && fabs(error - stored) < 1e-6 * stored * (turned ? 1e3 : 1));
        assert_true(entry_named(&report, "experts")->rel_error > 0 &&
                    entry_named(&report, "experts")->rel_error < 1e-3);
        assert_int_equal(entry_named(&report, "experts")->slices, 3);
        assert_true(entry_named(&report, "f8")->rel_error <= 1);
        lort_report_free(&report);
    }
    report = compared("a.lort", "a.lort");
    assert_true(report.worst_error == 0);
    lort_report_free(&report);
    options.goal = LORT_GOAL_LOSSLESS; /* stored whole, against a stack stored by slices */
    compress_to("m", "whole.lort", &options);
    report = compared("a.lort", "whole.lort");
    assert_true(entry_named(&report, "experts")->rel_error > 0 &&
                entry_named(&report, "experts")->rel_error < 1e-3);
    lort_report_free(&report);
    lort_report_free(&made);
}

static void damage_is_told(void **state)
{
    write_container();
    rewrite_container("a.lort", "bad.lort", poison_right);
    must_fail("m", "bad.lort", -1, LORT_E_DAMAGED, "tensor w: a factor holds NaN");
    must_fail("bad.lort", "m", -1, LORT_E_DAMAGED, "tensor w: a factor holds NaN");
}

/* Damages the last byte of every payload in turn, on either side. The error must name the tensor.
 * Raw bytes between tensors are not compared. */
static void damage_of_any_tensor_is_told(void **state)
{
    static const lort_residual ways[] = {LORT_RESIDUAL_INT, LORT_RESIDUAL_NONE,
                                         LORT_RESIDUAL_TERNARY};
    tiny_safetensors(dir, "m", model, 3);
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        lort_archive *archive;
        lort_options options = options_rank(3);
        lort_error err = {0};
        options.residual = ways[way];
        options.goal = ways[way] == LORT_RESIDUAL_INT ? LORT_GOAL_DEFAULT : LORT_GOAL_RANK;
        options.force = true;
        compress_to("m", "a.lort", &options);
        lort_buffer bytes = file_read("a.lort");
        assert_code(lort_archive_open(tiny_path(dir, "a.lort"), &lort_alloc_heap, &archive, &err),
                    LORT_OK, &err);
        for (uint64_t i = 0; i < lort_archive_count(archive); i++) {
            const lort_part *part = lort_archive_part(archive, i);
            uint8_t *last = bytes.data + lort_archive_index(archive)->entries[i].record_offset - 1;
            char told[64];
            if (!part->tensor || !part->payload_bytes)
                continue;
            *last ^= 1;
            tiny_write(dir, "bad.lort", bytes.data, bytes.size);
            *last ^= 1;
            snprintf(told, sizeof told, "tensor %s: ", part->name);
            must_fail("m", "bad.lort", -1, LORT_E_DAMAGED, told);
            must_fail("bad.lort", "m", -1, LORT_E_DAMAGED, told);
            must_fail("bad.lort", "a.lort", -1, LORT_E_DAMAGED, told);
        }
        lort_archive_close(archive);
        lort_buffer_free(&bytes);
    }
}

/* ---- stops, changes, memory ---- */

static lort_code run_watched(const lort_observer *observer, lort_error *err)
{
    lort_report report = {0};
    lort_code code = compare_files("m", "a.lort", -1, observer, &report, err);
    lort_report_free(&report);
    return code;
}

static void a_stop_is_heeded(void **state)
{
    write_container();
    stop_everywhere(run_watched, 2);
}

static void cut(void) { assert_int_equal(truncate(tiny_path(dir, "m"), 4000), 0); }

static void a_changed_input_is_a_read_error(void **state)
{
    watcher w;
    lort_error err = {0};
    write_container();
    watch_start(&w, -1, -1);
    w.act = cut;
    assert_code(run_watched(&w.observer, &err), LORT_E_READ, &err);
    assert_int_equal(w.kinds[LORT_EVENT_TENSOR], 1); /* the stop came before the second */
}

static const char *left = "m", *right = "a.lort";

static lort_code run_in(uint64_t memory, lort_report *report, lort_error *err)
{
    return lort_compare(tiny_path(dir, left), tiny_path(dir, right), -1,
                        &(lort_run_options){RUN_SIZE, .threads = 3, .memory_bytes = memory}, NULL,
                        report, err);
}

static void memory_is_a_promise(void **state)
{
    write_container();
    sweep_memory(run_in);
}

/* Rows of 600 kB in f32 on both sides. In cells they take what any matrix takes, and the factors
 * take 1 MB. */
static void a_wide_matrix_is_an_ordinary_one(void **state)
{
    enum { HIGH = 64, WIDE = 150000 };
    lort_options options = options_rank(2);
    float *values = calloc((size_t)HIGH * WIDE, sizeof *values);
    assert_non_null(values);
    tiny_fill_rank(values, HIGH, WIDE, 2, 4);
    tiny_safetensors(dir, "m", &(tiny_tensor){"wide", "F32", 2, {HIGH, WIDE}, values}, 1);
    free(values);
    compress_to("m", "a.lort", &options);
    write_pair();
    left = "a";
    right = "b";
    uint64_t small = least_memory(run_in, "the command needs");
    left = "m";
    right = "a.lort";
    uint64_t wide = least_memory(run_in, "wide needs ");
    assert_true(wide - small < 3u << 20);
    runs_within(run_in, SANITIZED ? 2ull << 30 : wide);
    lort_report report = compared("m", "a.lort");
    assert_true(report.worst_error > 0 && report.worst_error < 1e-3);
    lort_report_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(figures_are_those_of_the_numbers),
        pair_test(equal_is_zero),
        pair_test(alike_on_both_sides_is_no_difference),
        pair_test(on_one_side_only_is_undefined),
        pair_test(an_all_zero_reference),
        pair_test(shapes_and_names_must_be_the_same),
        pair_test(without_a_decoder_bytes_are_compared),
        pair_test(a_container_against_its_model),
        pair_test(damage_is_told),
        pair_test(damage_of_any_tensor_is_told),
        pair_test(a_stop_is_heeded),
        pair_test(a_changed_input_is_a_read_error),
        pair_test(memory_is_a_promise),
        pair_test(a_wide_matrix_is_an_ordinary_one),
    };
    return run_chosen(tests, fill, NULL);
}
