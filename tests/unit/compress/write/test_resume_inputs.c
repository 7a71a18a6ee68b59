/* Tests of resuming with other inputs: touched, replaced, written to between the runs or during a
 * run. LoRT goes on if the contents are equal, and never mixes two. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/compress/write/resume_fixture.h"

/* The input has the same names and sizes, a later time, and other weights in one tensor. */
static void touched_inputs_are_compared(void **state)
{
    lort_options options = options_error();
    uint64_t resumed;
    write_model(&options);
    leave_most(&options);
    make_old("m");
    ends_whole(&options, &resumed);
    assert_true(resumed >= TENSORS - 1);

    leave_most(&options);
    lort_buffer m = file_read("m");
    const uint8_t was = m.data[m.size - (SIZE * 2) - 100]; /* not in the last tensor */
    m.data[m.size - (SIZE * 2) - 100] ^= 0x11;
    write_bytes("m", m.data, m.size);
    assert_refused(options, LORT_E_READ, "changed since out.part was begun");
    m.data[m.size - (SIZE * 2) - 100] = was;
    write_bytes("m", m.data, m.size);
    lort_buffer_free(&m);
    ends_whole(&options, &resumed);
    assert_true(resumed >= TENSORS - 1);
}

/* The shares of a size depend on all weights. */
static void touched_inputs_under_a_size(void **state)
{
    lort_options options = options_size();
    write_model(&options);
    leave_most(&options);
    make_old("m");
    ends_whole(&options, NULL);
    leave_most(&options);
    lort_buffer m = file_read("m");
    for (uint64_t i = 0; i < 600; i++)
        m.data[m.size - 1 - i] ^= (uint8_t)(i * 29);
    write_bytes("m", m.data, m.size);
    lort_buffer_free(&m);
    assert_refused(options, LORT_E_READ, "changed since");
    compress_to("m", "whole2", &options);
    compress_to("m", "out", &options);
    assert_true(same_files("whole2", "out"));
}

/* ---- inputs of the same size and mtime ---- */

enum { WAYS = 2 };

/* Writes over a file and never cuts it: a reader of its pages must not fault. */
static void overwrite(const char *name, const uint8_t *bytes, uint64_t n)
{
    FILE *out = fopen(tiny_path(dir, name), "r+b");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(out);
}

/* Sets n bytes of `m`, `back` bytes before its end, to others. Size, header and mtime stay. way: 0
 * in place, 1 by another file of the same name. */
static void change_unseen(int way, uint64_t back, uint64_t n)
{
    struct stat was;
    lort_buffer m = file_read("m");
    assert_int_equal(stat(tiny_path(dir, "m"), &was), 0);
    for (uint64_t i = 0; i < n; i++)
        m.data[m.size - back + i] ^= (uint8_t)(1 + i % 64);
    if (way)
        write_bytes("other", m.data, m.size);
    else
        overwrite("m", m.data, m.size);
    lort_buffer_free(&m);
    if (way)
        assert_int_equal(rename(tiny_path(dir, "other"), tiny_path(dir, "m")), 0);
    const struct timespec times[2] = {was.st_atim, was.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, tiny_path(dir, "m"), times, 0), 0);
}

/* The bytes of "experts.weight" and of the last tensor, counted from the end. */
#define LAST_BYTES (2 * SIZE)
#define EXPERTS_BACK (LAST_BYTES + 2 * COLS + 2 * 4 * EXPERTS * SIZE)

static void unseen_changes_are_refused(const lort_options *options, uint64_t back, uint64_t n,
                                       const char *words)
{
    for (int way = 0; way < WAYS; way++) {
        write_model(options);
        past_doubt();
        leave_most(options);
        change_unseen(way, back, n);
        past_doubt(); /* else the doubt alone would find the change */
        assert_refused(*options, LORT_E_READ, words);
        compress_to("m", "fresh", options);
        compress_to("m", "out", options);
        assert_true(same_files("fresh", "out"));
        unlink(tiny_path(dir, "out"));
        unlink(tiny_path(dir, "fresh"));
    }
}

static void a_replaced_input_is_refused(void **state)
{
    const lort_options options = options_error();
    unseen_changes_are_refused(&options, EXPERTS_BACK - 64, 4,
                               "tensor experts.weight in m changed");
}

static void a_replaced_input_is_refused_under_a_size(void **state)
{
    const lort_options options = options_size();
    unseen_changes_are_refused(&options, LAST_BYTES, LAST_BYTES, "changed since");
}

/* A run may be killed in its first reading too. Curves of other weights must not be used. */
static void curves_are_of_the_weights_that_are_there(void **state)
{
    const lort_options options = options_size();
    uint64_t seen = 0;
    write_model(&options);
    past_doubt();
    for (int64_t after = 1; stopped(&options, after, NULL) == LORT_E_STOPPED;
         after += 1 + after / (SANITIZED ? 2 : 3)) {
        const bool left = file_exists("out.part.journal");
        seen += left;
        change_unseen((int)(seen % WAYS), EXPERTS_BACK, 4 * SIZE); /* one expert, there or back */
        past_doubt();
        compress_to("m", "fresh", &options);
        compress_to("m", "out", &options);
        assert_true(same_files("fresh", "out"));
        unlink(tiny_path(dir, "out"));
        unlink(tiny_path(dir, "fresh"));
    }
    assert_true(seen > 3);
}

/* Copies with all times, links and permissions change what tells a file, but not its contents. */
static void equal_contents_go_on(lort_options options)
{
    uint64_t resumed;
    write_model(&options);
    for (int what = 0; what < 3; what++) {
        leave_most(&options);
        if (what == 0)
            assert_int_equal(chmod(tiny_path(dir, "m"), 0640), 0);
        else if (what == 1)
            assert_int_equal(link(tiny_path(dir, "m"), tiny_path(dir, "another")), 0);
        else
            change_unseen(1, 0, 0);
        ends_whole(&options, &resumed);
        assert_true(resumed >= TENSORS - 1);
    }
}

static void equal_contents_go_on_by_error(void **state) { equal_contents_go_on(options_error()); }
static void equal_contents_go_on_by_size(void **state) { equal_contents_go_on(options_size()); }

/* Curves whose weights have the same hash are not measured again, run after run. */
static void curves_of_equal_weights_are_used_again(void **state)
{
    const lort_options options = options_size();
    uint64_t resumed = 0, last = 0;
    int64_t after = 1;
    int runs = 1;
    write_model(&options);
    for (; stopped(&options, after, &resumed) == LORT_E_STOPPED; runs++) {
        after = resumed > last ? after : after + 3;
        last = resumed;
        assert_int_equal(chmod(tiny_path(dir, "m"), runs % 2 ? 0640 : 0600), 0);
        assert_true(runs < 3000);
    }
    assert_true(runs > 2);
    assert_true(same_files("whole", "out"));
}

/* Gives the key of the journal the lines of an older LoRT, which knew a file by its mtime alone. */
static void make_key_old(void)
{
    lort_buffer journal = file_read("out.part.journal"), out = {.alloc = &lort_alloc_heap};
    const uint32_t n = lort_load_u32(journal.data + 4);
    char *key = strndup((char *)journal.data + 16, n), *time = strstr(key, "time of m\t");
    assert_non_null(time);
    char *end = strchr(time + 10, ' ');
    assert_non_null(end);
    memcpy(end, "\n", 2);
    lort_put_u32(&out, 0);
    lort_put_u32(&out, (uint32_t)strlen(key));
    lort_put_u64(&out, 0);
    lort_put_bytes(&out, key, strlen(key));
    lort_put_u64(&out, lort_xxh64(out.data, out.size));
    lort_put_bytes(&out, journal.data + 24 + n, journal.size - 24 - n);
    write_bytes("out.part.journal", out.data, out.size);
    free(key);
    lort_buffer_free(&out);
    lort_buffer_free(&journal);
}

static void a_journal_of_an_older_version_is_compared(void **state)
{
    const lort_options options[] = {options_error(), options_size()};
    uint64_t resumed;
    for (int i = 0; i < 2; i++) {
        write_model(&options[i]);
        leave_most(&options[i]);
        make_key_old();
        ends_whole(&options[i], &resumed);
        assert_true(resumed >= TENSORS - 1);
        leave_most(&options[i]);
        make_key_old();
        change_unseen(0, EXPERTS_BACK, 4 * SIZE);
        assert_refused(options[i], LORT_E_READ, "changed since");
        remove_unfinished("out");
    }
}

/* ---- inputs that change while a run reads them ---- */

static void act_chmod(void) { assert_int_equal(chmod(tiny_path(dir, "m"), 0640), 0); }
static void act_first(void) { change_unseen(0, EXPERTS_BACK + 2 * SIZE + 4 * SIZE, 4 * SIZE); }
/* A download that begins again cuts the file first. */
static void act_cut(void)
{
    lort_buffer m = file_read("m");
    m.data[m.size - EXPERTS_BACK] ^= 1;
    write_bytes("m", m.data, m.size);
    lort_buffer_free(&m);
}
static void act_experts(void) { change_unseen(0, EXPERTS_BACK, 4 * SIZE); }

static lort_code run_disturbed(const lort_options *options, void (*act)(void), lort_error *err)
{
    watcher w;
    watch_start(&w, -1, -1);
    w.act = act;
    return run(options, &w.observer, NULL, err);
}

/* `act` comes after the first tensor. A touched input goes on to the same bytes. Other contents end
 * the run, or give the bytes of a fresh run. */
static void disturbed(lort_options options, void (*act)(void), bool may_end, bool may_go_on)
{
    for (int mode = LORT_MODE_FULL; mode <= LORT_MODE_STREAM; mode++) {
        lort_error err = {0};
        options.mode = (lort_mode)mode;
        write_model(&options);
        lort_code code = run_disturbed(&options, act, &err);
        assert_true(code == (may_end ? LORT_E_READ : LORT_OK) || (may_go_on && code == LORT_OK));
        assert_true(file_exists("out") == (code == LORT_OK));
        /* LoRT may notice while it reads, or at the end. After a cut it may find no page. */
        if (code && !strstr(err.message, "while it was"))
            assert_says(&err, "changed since");
        compress_to("m", "fresh", &options);
        assert_true(code || same_files("fresh", "out"));
        unlink(tiny_path(dir, "fresh"));
        unlink(tiny_path(dir, "out"));
        remove_unfinished("out");
    }
}

static void an_input_that_is_touched_meanwhile_goes_on(void **state)
{
    disturbed(options_error(), act_chmod, false, true);
    disturbed(options_size(), act_chmod, false, true);
}

static void an_input_that_changes_meanwhile_is_never_mixed(void **state)
{
    disturbed(options_error(), act_first, true, false);
    disturbed(options_size(), act_first, true, false);
    disturbed(options_error(), act_experts, true, true);
    disturbed(options_size(), act_experts, true, false);
    for (int i = 0; i < (SANITIZED ? 1 : 2); i++)
        disturbed(options_error(), act_cut, true, true);
    disturbed(options_size(), act_cut, true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(touched_inputs_are_compared),
        command_test(touched_inputs_under_a_size),
        command_test(a_replaced_input_is_refused),
        command_test(a_replaced_input_is_refused_under_a_size),
        command_test(curves_are_of_the_weights_that_are_there),
        command_test(equal_contents_go_on_by_error),
        command_test(equal_contents_go_on_by_size),
        command_test(curves_of_equal_weights_are_used_again),
        command_test(a_journal_of_an_older_version_is_compared),
        command_test(an_input_that_is_touched_meanwhile_goes_on),
        command_test(an_input_that_changes_meanwhile_is_never_mixed),
    };
    return run_chosen(tests, fill, NULL);
}
