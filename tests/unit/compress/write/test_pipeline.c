#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"

enum { ROWS = 72, COLS = 60, EXPERTS = 4, SIZE = ROWS * COLS };

static float low_rank[SIZE], with_nan[SIZE], zero[SIZE], experts[EXPERTS * SIZE],
    mixed[EXPERTS * SIZE];

static int fill(void **state)
{
    tiny_fill_rank(low_rank, ROWS, COLS, 3, 1);
    tiny_fill_rank(with_nan, ROWS, COLS, 3, 2);
    with_nan[7 * COLS + 11] = NAN;
    for (int s = 0; s < EXPERTS; s++) {
        tiny_fill_rank(experts + s * SIZE, ROWS, COLS, 2 + s, 10 + (uint64_t)s);
        tiny_fill_rank(mixed + s * SIZE, ROWS, COLS, 2, 20 + (uint64_t)s);
    }
    mixed[2 * SIZE + 5] = INFINITY;
    return 0;
}

/* One tensor for each way through the pipeline. */
static const tiny_tensor model[] = {
    {"plain.weight", "F32", 2, {ROWS, COLS}, low_rank},
    {"half.weight", "F16", 2, {ROWS, COLS}, low_rank},
    {"noise.weight", "BF16", 2, {ROWS, COLS}, NULL},
    {"nan.weight", "F32", 2, {ROWS, COLS}, with_nan},
    {"zero.weight", "F32", 2, {ROWS, COLS}, zero},
    {"experts.weight", "F32", 3, {EXPERTS, ROWS, COLS}, experts},
    {"mixed.weight", "F32", 3, {EXPERTS, ROWS, COLS}, mixed},
    {"f8.weight", "F8_E4M3", 2, {ROWS, COLS}, NULL},
    {"f8.weight_scale", "F32", 1, {ROWS}, NULL},
    {"norm.weight", "F32", 1, {COLS}, NULL},
    {"ids", "I32", 2, {ROWS, COLS}, NULL},
    {"none", "F32", 2, {0, COLS}, NULL},
};
#define TENSORS (sizeof model / sizeof *model)

static void write_model(void) { tiny_safetensors(dir, "m", model, TENSORS); }

static lort_code compress_named(const char *input, const char *output, const lort_options *options,
                                const lort_observer *observer, lort_report *report, lort_error *err)
{
    lort_report own = {0};
    lort_code code = lort_compress(tiny_path(dir, input), tiny_path(dir, output), options, observer,
                                   report ? report : &own, err);
    lort_report_free(&own);
    return code;
}

/* ---- determinism ---- */

static void same_bytes(const char *input, lort_options options)
{
    static const unsigned threads[] = {1, 2, 7};
    options.force = true;
    compress_to(input, "first.lort", &options);
    for (int mode = LORT_MODE_FULL; mode <= LORT_MODE_STREAM; mode++)
        for (size_t i = 0; i < 3; i++) {
            options.mode = (lort_mode)mode;
            options.threads = threads[i];
            compress_to(input, "a.lort", &options);
            if (!same_files("first.lort", "a.lort"))
                fail_msg("mode %d, %u threads: other bytes", mode, threads[i]);
        }
}

static void same_bytes_by_rank(void **state)
{
    write_model();
    same_bytes("m", options_rank(3));
}

static void same_bytes_by_error(void **state)
{
    lort_options options = options_rank(0);
    options.goal = LORT_GOAL_ERROR;
    options.value = 0.01;
    write_model();
    same_bytes("m", options);
}

static void same_bytes_from_gguf(void **state)
{
    static const tiny_tensor some[] = {{"a", "F32", 2, {ROWS, COLS}, low_rank},
                                       {"q", "Q8_0", 2, {ROWS, 64}, NULL},
                                       {"e", "F16", 3, {EXPERTS, ROWS, COLS}, experts}};
    tiny_gguf(dir, "g", some, 3, NULL);
    same_bytes("g", options_rank(2));
}

/* ---- the report ---- */

static void every_way_through(void **state)
{
    static const struct {
        const char *name;
        lort_action action;
        const char *reason, *detail;
        int64_t rank;
    } wanted[] = {
        {"plain.weight", LORT_ACTION_FACTORED, "", "", 3},
        {"half.weight", LORT_ACTION_FACTORED, "", "", 3},
        {"noise.weight", LORT_ACTION_FACTORED, "", "", 3},
        {"nan.weight", LORT_ACTION_KEPT, "holds NaN or Inf", "first at row 7, column 11", 0},
        {"experts.weight", LORT_ACTION_FACTORED, "", "", 3},
        {"mixed.weight", LORT_ACTION_FACTORED, "1 of 4 slices kept: holds NaN or Inf",
         "first at row 0, column 5", 2},
        {"f8.weight", LORT_ACTION_KEPT, "F8 with scale companion", "", 0},
        {"norm.weight", LORT_ACTION_KEPT, "fewer than two dimensions", "", 0},
        {"ids", LORT_ACTION_KEPT, "type is kept, never decoded", "", 0},
        {"none", LORT_ACTION_KEPT, "empty", "", 0},
    };
    lort_options options = options_rank(3);
    lort_report report = {0};
    lort_error err = {0};
    write_model();
    assert_code(compress_named("m", "a.lort", &options, NULL, &report, &err), LORT_OK, &err);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const lort_tensor_report *entry = entry_named(&report, wanted[i].name);
        assert_int_equal(entry->action, wanted[i].action);
        assert_string_equal(entry->reason_text, wanted[i].reason);
        assert_string_equal(entry->detail, wanted[i].detail);
        assert_int_equal(entry->rank, wanted[i].rank);
    }
    assert_int_equal(report.warning_count, 3);
    assert_string_equal(
        report.warnings[0],
        "already quantised (fp8): 2 packed tensors and companions kept as they are; "
        "for a smaller file start from the F16 or BF16 original");
    assert_string_equal(report.warnings[1],
                        "nan.weight: holds NaN or Inf, first at row 7, column 11");
    assert_string_equal(
        report.warnings[2],
        "mixed.weight: 1 of 4 slices kept: holds NaN or Inf, first at row 0, column 5");
    assert_true(entry_named(&report, "plain.weight")->rel_error < 1e-3);
    assert_true(entry_named(&report, "noise.weight")->rel_error > 0.5);
    assert_true(isnan(entry_named(&report, "mixed.weight")->rel_error));
    assert_true(entry_named(&report, "nan.weight")->rel_error == 0);
    /* A few bytes losslessly, so break-even is below rank 1. */
    assert_string_equal(entry_named(&report, "zero.weight")->reason_text, "rank past break-even");
    assert_int_equal(entry_named(&report, "experts.weight")->slices, EXPERTS);
    lort_report_free(&report);
}

static void a_quality_limit_stops_the_run(void **state)
{
    lort_options options = options_rank(3);
    lort_error err = {0};
    write_model();
    options.fail_above = 0.1;
    assert_code(compress_named("m", "a.lort", &options, NULL, NULL, &err), LORT_E_NUMERIC, &err);
    assert_says(&err, "noise.weight");
    assert_int_equal(names_left(), 1);
}

/* The note appears once, after a dozen matrices. */
static void the_ratio_is_noted(void **state)
{
    tiny_tensor many[14];
    char names[14][16];
    watcher w;
    lort_options options = options_rank(3);
    lort_error err = {0};
    for (int i = 0; i < 14; i++) {
        snprintf(names[i], sizeof names[i], "w%d", i);
        many[i] = (tiny_tensor){names[i], "F32", 2, {ROWS, COLS}, low_rank};
    }
    tiny_safetensors(dir, "m", many, 14);
    watch_start(&w, -1, -1);
    assert_code(compress_named("m", "a.lort", &options, &w.observer, NULL, &err), LORT_OK, &err);
    assert_int_equal(w.kinds[LORT_EVENT_NOTE], 1);
    assert_int_equal(w.kinds[LORT_EVENT_TENSOR], 14);
    assert_int_equal(w.kinds[LORT_EVENT_START], 1);
}

/* ---- stops ---- */

static lort_mode stop_mode;

static lort_code run_and_remove(const lort_observer *observer, lort_error *err)
{
    lort_options options = options_rank(3);
    options.mode = stop_mode;
    lort_code code = compress_named("m", "a.lort", &options, observer, NULL, err);
    if (code == LORT_OK)
        assert_int_equal(unlink(tiny_path(dir, "a.lort")), 0);
    /* each run must start from the beginning: test_resume.c tests resuming */
    remove_unfinished("a.lort");
    return code;
}

static void a_stop_leaves_nothing_full(void **state)
{
    write_model();
    stop_mode = LORT_MODE_FULL;
    stop_everywhere(run_and_remove, 1);
}

static void a_stop_leaves_nothing_stream(void **state)
{
    write_model();
    stop_mode = LORT_MODE_STREAM;
    stop_everywhere(run_and_remove, 1);
}

/* An old output survives a stop. */
static void a_stop_keeps_the_old_output(void **state)
{
    watcher w;
    lort_options options = options_rank(3);
    lort_error err = {0};
    write_model();
    tiny_text(dir, "a.lort", "old");
    options.force = true;
    watch_start(&w, 9, -1);
    assert_code(compress_named("m", "a.lort", &options, &w.observer, NULL, &err), LORT_E_STOPPED,
                &err);
    lort_buffer old = file_read("a.lort");
    assert_int_equal(old.size, 3);
    lort_buffer_free(&old);
    remove_unfinished("a.lort");
    assert_int_equal(names_left(), 2);
}

static void a_sample_stops(void **state)
{
    watcher w;
    lort_options options = options_rank(3);
    lort_report report = {0};
    lort_error err = {0};
    write_model();
    options.sample = 3;
    watch_start(&w, 1, -1);
    assert_code(lort_plan(tiny_path(dir, "m"), &options, &w.observer, &report, &err),
                LORT_E_STOPPED, &err);
    lort_report_free(&report);
    watch_start(&w, -1, -1);
    assert_code(lort_plan(tiny_path(dir, "m"), &options, &w.observer, &report, &err), LORT_OK,
                &err);
    assert_int_equal(w.kinds[LORT_EVENT_TENSOR], 3);
    assert_true(report.output_low <= report.output_high && report.output_low > 0);
    lort_report_free(&report);
}

/* ---- the input changes under the run ---- */

static void grow(void)
{
    FILE *f = fopen(tiny_path(dir, "m"), "ab");
    assert_non_null(f);
    fputc('x', f);
    assert_int_equal(fclose(f), 0);
}

static void cut(void) { assert_int_equal(truncate(tiny_path(dir, "m"), 9000), 0); }

static void overwrite(void)
{
    FILE *f = fopen(tiny_path(dir, "m"), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 20000, SEEK_SET), 0);
    fputs("changed", f);
    assert_int_equal(fclose(f), 0);
}

static void replace(void)
{
    tiny_text(dir, "other", "another file");
    assert_int_equal(rename(tiny_path(dir, "other"), tiny_path(dir, "m")), 0);
}

static void a_changed_input_is_a_read_error(void **state)
{
    static void (*const acts[])(void) = {grow, cut, overwrite, replace};
    for (int mode = LORT_MODE_FULL; mode <= LORT_MODE_STREAM; mode++)
        for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
            watcher w;
            lort_options options = options_rank(3);
            lort_error err = {0};
            write_model();
            make_old("m");
            options.mode = (lort_mode)mode;
            watch_start(&w, -1, -1);
            w.act = acts[i];
            assert_code(compress_named("m", "a.lort", &options, &w.observer, NULL, &err),
                        LORT_E_READ, &err);
            assert_says(&err, "m");
            remove_unfinished("a.lort");
            assert_int_equal(names_left(), 1);
        }
}

/* ---- memory ---- */

static lort_code run_stream_in(uint64_t memory, lort_report *report, lort_error *err)
{
    lort_options options = options_rank(3);
    options.mode = LORT_MODE_STREAM;
    options.memory_bytes = memory;
    options.force = true;
    lort_code code = compress_named("m", "b.lort", &options, NULL, report, err);
    if (code == LORT_OK)
        assert_true(same_files("a.lort", "b.lort"));
    return code;
}

static void memory_is_a_promise(void **state)
{
    lort_options options = options_rank(3);
    write_model();
    compress_to("m", "a.lort", &options);
    sweep_memory(run_stream_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(same_bytes_by_rank),
        command_test(same_bytes_by_error),
        command_test(same_bytes_from_gguf),
        command_test(every_way_through),
        command_test(a_quality_limit_stops_the_run),
        command_test(the_ratio_is_noted),
        command_test(a_stop_leaves_nothing_full),
        command_test(a_stop_leaves_nothing_stream),
        command_test(a_stop_keeps_the_old_output),
        command_test(a_sample_stops),
        command_test(a_changed_input_is_a_read_error),
        command_test(memory_is_a_promise),
    };
    return run_chosen(tests, fill, NULL);
}
