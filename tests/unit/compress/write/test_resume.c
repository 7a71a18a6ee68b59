/* Tests of resuming. A run is stopped at one call of stop after the other, and its files are torn
 * or flipped anywhere. The output always has the bytes of an uninterrupted run. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/compress/write/resume_fixture.h"

static void at_many_questions(lort_options options)
{
    uint64_t resumed, most = 0, kept = 0;
    write_model(&options);
    for (int mode = LORT_MODE_FULL; mode <= LORT_MODE_STREAM; mode++) {
        options.mode = (lort_mode)mode;
        for (int64_t after = 0; stopped(&options, after, NULL) == LORT_E_STOPPED;
             after += 1 + after / 4) {
            kept += file_exists("out.part");
            ends_whole(&options, &resumed);
            most = resumed > most ? resumed : most;
        }
        unlink(tiny_path(dir, "out"));
    }
    assert_true(kept > 2 && most > 1);
}

static void stopped_at_many_questions_by_error(void **state) { at_many_questions(options_error()); }
static void stopped_at_many_questions_by_size(void **state) { at_many_questions(options_size()); }

/* Each run gets a little further than the last one, without --resume. */
static void many_short_runs_are_one(lort_options options)
{
    uint64_t resumed, last = 0;
    int64_t after = 1;
    int runs = 1;
    write_model(&options);
    for (; stopped(&options, after, &resumed) == LORT_E_STOPPED; runs++) {
        after = resumed > last ? after : after + 3;
        last = resumed;
        assert_true(runs < 3000);
    }
    assert_true(runs > 2);
    assert_true(same_files("whole", "out"));
}

static void many_short_runs_by_error(void **state) { many_short_runs_are_one(options_error()); }
static void many_short_runs_by_size(void **state) { many_short_runs_are_one(options_size()); }

/* ---- damaged files ---- */

static void restore_left(const lort_buffer *part, const lort_buffer *journal)
{
    write_bytes("out.part", part->data, part->size);
    write_bytes("out.part.journal", journal->data, journal->size);
}

/* what: 0 flips a byte, 1 cuts the file there, 2 cuts it and adds garbage. */
static void damage(const char *name, const lort_buffer *whole, uint64_t at, int what)
{
    lort_buffer copy = {.alloc = &lort_alloc_heap};
    lort_put_bytes(&copy, whole->data, what ? at : whole->size);
    if (what == 0)
        copy.data[at] ^= (uint8_t)(1u << at % 8);
    for (int i = 0; what == 2 && i < 500; i++)
        lort_put_u8(&copy, (uint8_t)(i * 37));
    write_bytes(name, copy.size ? copy.data : (const uint8_t *)"", copy.size);
    lort_buffer_free(&copy);
}

static void damaged_anywhere(const lort_options *options, const char *name)
{
    uint64_t resumed, some = 0;
    write_model(options);
    past_doubt();
    leave_most(options);
    lort_buffer part = file_read("out.part"), journal = file_read("out.part.journal");
    const lort_buffer *whole = strcmp(name, "out.part") ? &journal : &part;
    for (int what = 0; what < 3; what++)
        for (uint64_t at = (uint64_t)what; at < whole->size; at += whole->size / POINTS) {
            restore_left(&part, &journal);
            damage(name, whole, at, what);
            /* A key of other words than ours is a difference, not a defect. */
            lort_options plain = *options;
            lort_error err = {0};
            const lort_code code = run(&plain, NULL, &resumed, &err);
            if (what == 2 && at < 40 && code == LORT_E_EXISTS)
                continue; /* nothing shows any more that the file is from LoRT */
            assert_code(code, LORT_OK, &err);
            assert_true(same_files("whole", "out"));
            some += resumed > 0;
            unlink(tiny_path(dir, "out"));
        }
    assert_true(some > 10);
    lort_buffer_free(&part);
    lort_buffer_free(&journal);
}

static void a_part_damaged_anywhere(void **state)
{
    const lort_options options = options_error();
    damaged_anywhere(&options, "out.part");
}

static void a_journal_damaged_anywhere(void **state)
{
    const lort_options options = options_size();
    damaged_anywhere(&options, "out.part.journal");
}

/* ---- other inputs and options ---- */

static void differences_are_named(void **state)
{
    lort_options options = options_error(), other;
    const char *globs[] = {"x*"};
    write_model(&options);
    leave_most(&options);
    other = options, other.value = 0.03;
    assert_refused(other, LORT_E_USAGE, "max-error=0.02 there, max-error=0.03 here");
    other = options, other.seed = 7;
    assert_refused(other, LORT_E_USAGE, "seed=0 there, seed=7 here");
    other = options, other.max_rank = 5;
    assert_refused(other, LORT_E_USAGE, "max-rank");
    other = options, other.exclude = globs, other.exclude_count = 1;
    assert_refused(other, LORT_E_USAGE, "nothing there");
    tiny_safetensors(dir, "m", model, TENSORS - 1);
    assert_refused(options, LORT_E_READ, "size of m");
    tiny_tensor renamed[TENSORS];
    memcpy(renamed, model, sizeof model);
    renamed[1].name = "noisy.weight";
    tiny_safetensors(dir, "m", renamed, TENSORS);
    assert_refused(options, LORT_E_READ, "header of m");
    tiny_safetensors(dir, "m", model, TENSORS);
    ends_whole(&options, NULL);
}

static void a_missed_limit_leaves_what_was_there(void **state)
{
    lort_options options = options_error();
    lort_error err = {0};
    write_model(&options);
    options.fail_above = 1e-9;
    assert_code(run(&options, NULL, NULL, &err), LORT_E_NUMERIC, &err);
    assert_false(file_exists("out.part") || file_exists("out.part.journal"));
    options.fail_above = -1;
    leave_most(&options);
    options.fail_above = 1e-9;
    assert_code(run(&options, NULL, NULL, &err), LORT_E_NUMERIC, &err);
    assert_true(file_exists("out.part") && file_exists("out.part.journal"));
    options.fail_above = -1;
    ends_whole(&options, NULL);
}

static bool just_once(void *ctx) { return ++*(_Atomic int *)ctx == 40; }

/* One call of stop that returns true is enough. */
static void a_stop_that_is_asked_for_once_is_one(void **state)
{
    lort_options options = options_error();
    lort_error err = {0};
    _Atomic int asked = 0;
    const lort_observer observer = {.event = NULL, .stop = just_once, .ctx = &asked};
    write_model(&options);
    assert_code(run(&options, &observer, NULL, &err), LORT_E_STOPPED, &err);
    assert_false(file_exists("out"));
    ends_whole(&options, NULL);
}

static void a_time_limit_stops_it(void **state)
{
    lort_options options = options_error();
    lort_error err = {0};
    write_model(&options);
    options.time_limit = 1e-9;
    assert_code(run(&options, NULL, NULL, &err), LORT_E_STOPPED, &err);
    assert_says(&err, "time limit");
    options.time_limit = 0;
    ends_whole(&options, NULL);
}

/* ---- a size that an attempt misses ---- */

static void hear_attempts(void *ctx, const lort_event *event)
{
    if (event->kind == LORT_EVENT_NOTE && strstr(event->text, "missed its size"))
        ++*(int *)ctx;
}

/* Compresses `m` to `whole`. Returns how many attempts missed the size. */
static int attempts_missed(const lort_options *options)
{
    int missed = 0;
    const lort_observer observer = {.event = hear_attempts, .stop = NULL, .ctx = &missed};
    lort_report report = {0};
    lort_error err = {0};
    unlink(tiny_path(dir, "whole"));
    assert_code(lort_compress(tiny_path(dir, "m"), tiny_path(dir, "whole"), options, &observer,
                              &report, &err),
                LORT_OK, &err);
    assert_true(report.bpw <= options->value);
    lort_report_free(&report);
    return missed;
}

/* The model is one small matrix. The estimate of its record is not exact, and no other tensor makes
 * up for the difference. */
static void a_missed_size_is_tried_again(void **state)
{
    static float noisy[SIZE];
    lort_options options = options_rank(0);
    uint64_t resumed;
    int found = 0;
    tiny_fill_rank(noisy, ROWS, COLS, 4, 7);
    for (int i = 0; i < SIZE; i++)
        noisy[i] += 0.02f * (float)((i * 7919) % 127 - 63) / 63;
    tiny_safetensors(dir, "m", &(tiny_tensor){"w", "F32", 2, {ROWS, COLS}, noisy}, 1);
    options.goal = LORT_GOAL_BPW;
    for (int tenths = 30; tenths < 90 && found < 1; tenths++) {
        options.value = tenths / 10.0;
        if (attempts_missed(&options) == 0)
            continue;
        found++;
        for (int64_t after = 0; stopped(&options, after, NULL) == LORT_E_STOPPED;
             after += 1 + after / 6) {
            /* The reserve outlives a second run too, which compares a touched input. */
            if (after % 2 && chmod(tiny_path(dir, "m"), 0640) == 0 &&
                stopped(&options, after, NULL) == LORT_OK)
                unlink(tiny_path(dir, "out"));
            ends_whole(&options, &resumed);
        }
        assert_true(same_files("whole", "out"));
        unlink(tiny_path(dir, "out"));
    }
    assert_true(found > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(stopped_at_many_questions_by_error),
        command_test(stopped_at_many_questions_by_size),
        command_test(many_short_runs_by_error),
        command_test(many_short_runs_by_size),
        command_test(a_part_damaged_anywhere),
        command_test(a_journal_damaged_anywhere),
        command_test(differences_are_named),
        command_test(a_missed_limit_leaves_what_was_there),
        command_test(a_time_limit_stops_it),
        command_test(a_stop_that_is_asked_for_once_is_one),
        command_test(a_missed_size_is_tried_again),
    };
    return run_chosen(tests, fill, NULL);
}
