/* Tests of lort_quantize as programs call it: stops at every question and event, memory that is
 * just enough, options that do not go together. tests/cli/quantize*.bats test the files that it
 * makes. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

static const tiny_tensor tensors[] = {TINY("token_embd.weight", "F16", 40, 256),
                                      TINY("blk.0.attn_norm.weight", "F32", 256),
                                      TINY("blk.0.attn_q.weight", "F32", 600, 512),
                                      TINY("blk.0.ffn_up_exps.weight", "F16", 3, 24, 256),
                                      TINY("blk.0.ffn_down.weight", "F16", 64, 96),
                                      TINY("strange.weight", "F32", 10, 30)};
enum { TENSORS = sizeof tensors / sizeof *tensors };

static const lort_quantize_options by_type = {QUANTIZE_SIZE, .goal = LORT_GOAL_TYPE, .type = "Q4_0",
                                              .memory_bytes = UINT64_C(1) << 30, .threads = 2};
static const lort_quantize_options by_bits = {QUANTIZE_SIZE,
                                              .goal = LORT_GOAL_BPW,
                                              .value = 8,
                                              .types = "Q4_0,Q8_0",
                                              .memory_bytes = UINT64_C(1) << 30,
                                              .threads = 2};

static lort_code quantize_with(const char *name, const lort_quantize_options *options,
                               const lort_observer *observer, lort_report *report, lort_error *err)
{
    char model[64], output[64];
    lort_report own = {0};
    snprintf(model, sizeof model, "%s/m.gguf", dir);
    snprintf(output, sizeof output, "%s/%s", dir, name);
    const lort_code code =
        lort_quantize(model, output, options, observer, report ? report : &own, err);
    if (!report)
        lort_report_free(&own);
    return code;
}

static void make_whole(const lort_quantize_options *options)
{
    lort_error err = {0};
    tiny_gguf(dir, "m.gguf", tensors, TENSORS, NULL);
    assert_code(quantize_with("whole.gguf", options, NULL, NULL, &err), LORT_OK, &err);
    assert_int_equal(names_left(), 2);
}

/* Stops after each number of questions or events, and lets another run finish the work. */
static void stop_at_each(const lort_quantize_options *options, bool at_events)
{
    lort_code code = LORT_E_STOPPED;
    int64_t stops = 0;
    for (; code; stops++) {
        lort_error err = {0};
        watcher w;
        watch_start(&w, at_events ? -1 : stops, at_events ? stops : -1);
        code = quantize_with("o.gguf", options, &w.observer, NULL, &err);
        if (code) {
            assert_code(code, LORT_E_STOPPED, &err);
            assert_false(file_exists("o.gguf"));
            assert_true(file_exists("o.gguf.part") <= file_exists("o.gguf.part.journal"));
            lort_quantize_options again = *options;
            again.threads = 1 + (unsigned)(stops % 3);
            again.mode = stops % 2 ? LORT_MODE_STREAM : LORT_MODE_FULL;
            assert_code(quantize_with("o.gguf", &again, NULL, NULL, &err), LORT_OK, &err);
        }
        assert_true(same_files("whole.gguf", "o.gguf"));
        assert_int_equal(names_left(), 3);
        assert_int_equal(unlink(tiny_path(dir, "o.gguf")), 0);
    }
    assert_true(stops > 4);
}

static void a_type_is_stopped_anywhere(void **state)
{
    make_whole(&by_type);
    stop_at_each(&by_type, false);
    stop_at_each(&by_type, true);
}

static void bits_are_stopped_anywhere(void **state)
{
    make_whole(&by_bits);
    stop_at_each(&by_bits, false);
    stop_at_each(&by_bits, true);
}

/* Each run gets a little further than the one before. */
static void one_question_more_each_time(void **state)
{
    lort_code code = LORT_E_STOPPED;
    make_whole(&by_bits);
    for (int64_t i = 0; code; i++) {
        lort_error err = {0};
        watcher w;
        watch_start(&w, i, -1);
        code = quantize_with("o.gguf", &by_bits, &w.observer, NULL, &err);
        assert_true(code == LORT_OK || code == LORT_E_STOPPED);
        assert_true(i < 10000);
    }
    assert_true(same_files("whole.gguf", "o.gguf"));
    assert_int_equal(names_left(), 3);
}

static lort_code with_memory(uint64_t memory, lort_report *report, lort_error *err)
{
    lort_quantize_options options = by_bits;
    options.memory_bytes = memory;
    return quantize_with("o.gguf", &options, NULL, report, err);
}

static void the_smallest_memory_is_enough(void **state)
{
    lort_error err = {0};
    lort_report report = {0};
    make_whole(&by_bits);
    assert_code(with_memory(UINT64_C(1) << 20, &report, &err), LORT_E_MEMORY, &err);
    lort_report_free(&report);
    const uint64_t least = smallest_said(&err);
    assert_false(file_exists("o.gguf"));
    /* texts of sizes are rounded up */
    assert_code(with_memory(least - least / 8, NULL, &err), LORT_E_MEMORY, &err);
    memset(&report, 0, sizeof report);
    assert_code(with_memory(least + (UINT64_C(1) << 20), &report, &err), LORT_OK, &err);
    assert_true(report.peak_anon_bytes <= report.budget_bytes);
    assert_true(report.planned_peak_bytes <= report.budget_bytes);
    lort_report_free(&report);
    assert_true(same_files("whole.gguf", "o.gguf"));
}

static void options_that_do_not_go_together(void **state)
{
    static const struct {
        const char *says;
        lort_quantize_options options;
    } rows[] = {
        {"target", {.goal = LORT_GOAL_DEFAULT}},
        {"target", {.goal = LORT_GOAL_RANK, .value = 4}},
        {"allowed are", {.goal = LORT_GOAL_TYPE}},
        {"allowed are", {.goal = LORT_GOAL_TYPE, .type = ""}},
        {"allowed are", {.goal = LORT_GOAL_TYPE, .type = "Q4_K_X"}},
        {"--types", {.goal = LORT_GOAL_TYPE, .type = "Q8_0", .types = "Q8_0"}},
        {"--types", {.goal = LORT_GOAL_BPW, .value = 4, .types = ""}},
        {"--pure", {.goal = LORT_GOAL_BPW, .value = 4, .pure = true}},
        {"above 0", {.goal = LORT_GOAL_BPW, .value = 0}},
        {"above 0", {.goal = LORT_GOAL_BPW, .value = -1}},
        {"above 0", {.goal = LORT_GOAL_BPW, .value = NAN}},
        {"above 0", {.goal = LORT_GOAL_BPW, .value = INFINITY}},
        {"above 0", {.goal = LORT_GOAL_SIZE}},
    };
    tiny_gguf(dir, "m.gguf", tensors, TENSORS, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lort_error err = {0};
        lort_quantize_options options = rows[i].options;
        options.size = sizeof options;
        options.memory_bytes = UINT64_C(1) << 30;
        assert_code(quantize_with("o.gguf", &options, NULL, NULL, &err), LORT_E_USAGE, &err);
        assert_says(&err, rows[i].says);
        assert_int_equal(names_left(), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(a_type_is_stopped_anywhere),      command_test(bits_are_stopped_anywhere),
        command_test(one_question_more_each_time),     command_test(the_smallest_memory_is_enough),
        command_test(options_that_do_not_go_together),
    };
    return run_chosen(tests, NULL, NULL);
}
