/* Tests of resuming: the model, runs that stop, a clock. Include after cmocka.h, with _XOPEN_SOURCE
 * 700. A program that includes this wraps functions of loader/os (Makefile). */
#ifndef LORT_TESTS_RESUME_FIXTURE_H
#define LORT_TESTS_RESUME_FIXTURE_H

#include "formats/base/bytes.h"
#include "formats/base/hash.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"

#include <sys/stat.h>
#include <time.h>

enum { ROWS = 72, COLS = 60, EXPERTS = 3, SIZE = ROWS * COLS, POINTS = SANITIZED ? 12 : 20 };

static float low_rank[SIZE], experts[EXPERTS * SIZE], mixed[EXPERTS * SIZE];

static inline int fill(void **state)
{
    tiny_fill_rank(low_rank, ROWS, COLS, 3, 1);
    for (int s = 0; s < EXPERTS; s++) {
        tiny_fill_rank(experts + s * SIZE, ROWS, COLS, 2 + s, 10 + (uint64_t)s);
        tiny_fill_rank(mixed + s * SIZE, ROWS, COLS, 2, 20 + (uint64_t)s);
    }
    mixed[SIZE + 5] = INFINITY;
    return 0;
}

static const tiny_tensor model[] = {
    {"plain.weight", "F32", 2, {ROWS, COLS}, low_rank},
    {"noise.weight", "BF16", 2, {ROWS, COLS}, NULL},
    {"experts.weight", "F32", 3, {EXPERTS, ROWS, COLS}, experts},
    {"mixed.weight", "F32", 3, {EXPERTS, ROWS, COLS}, mixed},
    {"norm.weight", "F32", 1, {COLS}, NULL},
    {"none", "F32", 2, {0, COLS}, NULL},
    {"half.weight", "F16", 2, {ROWS, COLS}, low_rank},
};
#define TENSORS (sizeof model / sizeof *model)

static inline lort_options options_error(void)
{
    lort_options options = options_rank(0);
    options.goal = LORT_GOAL_ERROR;
    options.value = 0.02;
    return options;
}

static inline lort_options options_size(void)
{
    lort_options options = options_rank(0);
    options.goal = LORT_GOAL_SIZE;
    options.value = 60;
    return options;
}

static inline lort_code run(const lort_options *options, const lort_observer *observer,
                            uint64_t *resumed, lort_error *err)
{
    lort_report report = {0};
    lort_code code =
        lort_compress(tiny_path(dir, "m"), tiny_path(dir, "out"), options, observer, &report, err);
    if (resumed)
        *resumed = report.resumed_tensors;
    lort_report_free(&report);
    return code;
}

static inline void ends_whole(const lort_options *options, uint64_t *resumed)
{
    lort_error err = {0};
    lort_options resume = *options;
    resume.resume = true;
    assert_code(run(&resume, NULL, resumed, &err), LORT_OK, &err);
    assert_true(same_files("whole", "out"));
    assert_false(file_exists("out.part") || file_exists("out.part.journal"));
    unlink(tiny_path(dir, "out"));
}

/* The linker puts the functions __wrap_NAME in the place of NAME (Makefile). No power is lost here,
 * so nothing needs to be on the disk. Syncs would take two thirds of the time of this test. */
lort_code __wrap_lort_os_sync(lort_file *file, lort_error *err);
lort_code __wrap_lort_os_sync(lort_file *file, lort_error *err) { return LORT_OK; }
lort_code __wrap_lort_os_dir_sync(lort_dir *directory, lort_error *err);
lort_code __wrap_lort_os_dir_sync(lort_dir *directory, lort_error *err) { return LORT_OK; }

/* The clock of LoRT. A file that was changed less than two seconds before a run is in doubt. No
 * program can set a ctime back, so the test sets the clock forward. */
static int64_t clock_ahead_ns;
int64_t __real_lort_os_time_ns(void);
int64_t __wrap_lort_os_time_ns(void);
int64_t __wrap_lort_os_time_ns(void) { return __real_lort_os_time_ns() + clock_ahead_ns; }

/* Until write_model, no file is in doubt any more. The pause is longer than the grain of ctimes on
 * the disk of the test. So a change before the pause has another ctime than one after it. */
static inline void past_doubt(void)
{
    const struct timespec grain = {.tv_nsec = 20000000};
    clock_ahead_ns = INT64_C(2100000000);
    nanosleep(&grain, NULL);
}

static inline void write_model(const lort_options *options)
{
    clock_ahead_ns = 0;
    unlink(tiny_path(dir, "whole"));
    tiny_safetensors(dir, "m", model, TENSORS);
    compress_to("m", "whole", options);
}

/* Runs until call number `after` of stop, or to the end. */
static inline lort_code stopped(const lort_options *options, int64_t after, uint64_t *resumed)
{
    watcher w;
    lort_error err = {0};
    watch_start(&w, after, -1);
    lort_code code = run(options, &w.observer, resumed, &err);
    assert_true(code == LORT_OK || code == LORT_E_STOPPED);
    assert_true(file_exists("out") == (code == LORT_OK));
    assert_true(file_exists("out.part") == file_exists("out.part.journal"));
    return code;
}

/* Leaves the longest unfinished work: all but the last calls of stop. */
static inline void leave_most(const lort_options *options)
{
    watcher w;
    lort_error err = {0};
    watch_start(&w, -1, -1);
    assert_code(run(options, &w.observer, NULL, &err), LORT_OK, &err);
    unlink(tiny_path(dir, "out"));
    assert_int_equal(stopped(options, w.asked - 1, NULL), LORT_E_STOPPED);
    assert_true(file_exists("out.part"));
}

static inline void write_bytes(const char *name, const uint8_t *bytes, uint64_t n)
{
    FILE *out = fopen(tiny_path(dir, name), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(out);
}

static inline void assert_refused(lort_options options, lort_code code, const char *words)
{
    lort_error err = {0};
    lort_buffer part = file_read("out.part"), journal = file_read("out.part.journal");
    options.resume = true;
    assert_code(run(&options, NULL, NULL, &err), code, &err);
    assert_says(&err, words);
    lort_buffer part2 = file_read("out.part"), journal2 = file_read("out.part.journal");
    assert_true(part.size == part2.size && memcmp(part.data, part2.data, part.size) == 0);
    assert_true(journal.size == journal2.size &&
                memcmp(journal.data, journal2.data, journal.size) == 0);
    lort_buffer_free(&part);
    lort_buffer_free(&part2);
    lort_buffer_free(&journal);
    lort_buffer_free(&journal2);
}

#endif
