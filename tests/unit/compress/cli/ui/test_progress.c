/* What a person sees of a run: lines of a log, the live line of a terminal, and silence where it
 * was asked for. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/cli/ui/progress.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"

#include <math.h>
#include <pthread.h>
#include <sys/ioctl.h>

static const tiny_tensor tensors[] = {
    TINY("token_embd.weight", "F32", 48, 40),   TINY("blk.0.attn_q.weight", "F32", 40, 40),
    TINY("blk.0.attn_norm.weight", "F32", 40),  TINY("blk.0.ffn_up.weight", "F32", 64, 40),
    TINY("blk.1.attn_q.weight", "F32", 40, 40), TINY("blk.1.ffn_up.weight", "F32", 64, 40),
    TINY("output_norm.weight", "F32", 40),
};
#define COUNT (sizeof tensors / sizeof *tensors)

static int saved = -1;       /* standard error of the test program */
static lort_buffer captured; /* text, with a NUL behind it */

static int set_up(void **state)
{
    dir_open(state);
    tiny_gguf(dir, "m.gguf", tensors, COUNT, NULL);
    captured = (lort_buffer){.alloc = &lort_alloc_heap};
    return 0;
}

static int tear_down(void **state)
{
    lort_buffer_free(&captured);
    return dir_close(state);
}

/* From here on standard error is `fd`. */
static void replace_stderr(int fd)
{
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    assert_true(fd >= 0 && saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
}

static void put_stderr_back(void)
{
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
}

static void capture(void)
{
    replace_stderr(open(tiny_path(dir, "err"), O_CREAT | O_TRUNC | O_WRONLY, 0600));
}

/* What was written since capture(). */
static const char *text_of_stderr(void)
{
    put_stderr_back();
    lort_buffer_free(&captured);
    captured = file_read("err");
    lort_put_u8(&captured, 0);
    return (const char *)captured.data;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}

static bool never(void *progress) { return false; }

/* Compresses the model, watched. */
static void run_watched(lort_progress *progress)
{
    lort_options options = options_rank(2);
    lort_report report = {0};
    lort_error err = {0};
    options.force = true;
    const lort_code code = lort_compress(tiny_path(dir, "m.gguf"), tiny_path(dir, "m.lort"),
                                         &options, &progress->observer, &report, &err);
    lort_progress_close(progress);
    lort_report_free(&report);
    assert_code(code, LORT_OK, &err);
}

static const char *logged(bool quiet, bool verbose, bool start_block)
{
    lort_progress progress;
    capture();
    lort_progress_open(&progress, never, quiet, verbose, start_block);
    run_watched(&progress);
    return text_of_stderr();
}

static void a_log_has_a_line_per_layer(void **state)
{
    const char *text = logged(false, false, false);
    assert_int_equal(count(text, "  layer 0 "), 1);
    assert_int_equal(count(text, "  layer 1 "), 1);
    assert_true(count(text, "  other tensors ") >= 1);
    assert_int_equal(count(text, "blk."), 0);
    assert_int_equal(count(text, " 7/7 "), 1); /* the last line is of all */
    assert_int_equal(count(text, "100 %  elapsed "), 1);
    assert_int_equal(count(text, "  40.8 KiB of 40.8 KiB"), 1);
    assert_int_equal(count(text, "\r"), 0);
    assert_int_equal(count(text, " 2 factored, 1 kept "), 1); /* layer 0 */
}

static void a_verbose_log_has_a_line_per_tensor(void **state)
{
    const char *text = logged(false, true, false);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(count(text, tensors[i].name), 1);
    assert_int_equal(count(text, "  layer "), 0);
}

static void quiet_is_silent(void **state) { assert_string_equal(logged(true, false, true), ""); }

static void the_start_is_told_where_it_is_wanted(void **state)
{
    assert_int_equal(count(logged(false, false, false), "  budget "), 0);
    assert_int_equal(count(logged(false, false, true), "  budget "), 1);
}

/* Warnings wait for the plan, so that an error comes before them. Notes are held back by --quiet,
 * warnings are not. Each stands there once. */
static void warnings_and_notes(void **state)
{
    const char *early[] = {"it is early", "look out"};
    lort_report report = {.warnings = early, .warning_count = 1};
    for (int quiet = 0; quiet < 2; quiet++) {
        lort_progress progress;
        capture();
        lort_progress_open(&progress, never, quiet, false, false);
        report.warning_count = 1;
        progress.observer.event(
            progress.observer.ctx,
            &(lort_event){.kind = LORT_EVENT_WARNING, .text = "it is early", .report = &report});
        assert_string_equal(text_of_stderr(), "");
        capture();
        progress.observer.event(progress.observer.ctx,
                                &(lort_event){.kind = LORT_EVENT_START, .report = &report});
        report.warning_count = 2;
        progress.observer.event(
            progress.observer.ctx,
            &(lort_event){.kind = LORT_EVENT_WARNING, .text = "look out", .report = &report});
        progress.observer.event(
            progress.observer.ctx,
            &(lort_event){.kind = LORT_EVENT_NOTE, .text = "by the way", .report = &report});
        lort_progress_close(&progress);
        lort_progress_warnings(&progress, &report);
        assert_string_equal(text_of_stderr(),
                            quiet ? "lort: warning: it is early\nlort: warning: look out\n"
                                  : "lort: warning: it is early\nlort: warning: look out\n"
                                    "  note: by the way\n");
    }
}

static void the_observer_stops_as_it_is_told(void **state)
{
    lort_progress progress;
    lort_progress_open(&progress, never, true, false, false);
    assert_ptr_equal(progress.observer.stop, never);
    assert_ptr_equal(progress.observer.ctx, &progress);
    lort_progress_close(&progress);
}

static void *ask(void *progress) { return lort_progress_answer(progress) ? progress : NULL; }

/* One answer, at most ten a second, from the thread that opened it. */
static void how_far_it_is(void **state)
{
    const lort_report report = {0};
    lort_progress progress;
    pthread_t other;
    void *answered = &progress;
    capture();
    lort_progress_open(&progress, never, true, false, false);
    progress.observer.event(progress.observer.ctx, &(lort_event){.kind = LORT_EVENT_PROGRESS,
                                                                 .report = &report,
                                                                 .phase = LORT_PHASE_MEASURING,
                                                                 .share = 0.25,
                                                                 .seconds_left = 90,
                                                                 .bytes_per_second = 3 << 20,
                                                                 .done_bytes = 1 << 20,
                                                                 .total_bytes = 4 << 20,
                                                                 .tensors_done = 3,
                                                                 .tensors_total = 9,
                                                                 .worst_error = 0.25});
    pthread_create(&other, NULL, ask, &progress);
    pthread_join(other, &answered);
    const bool first = lort_progress_answer(&progress), second = lort_progress_answer(&progress);
    lort_progress_close(&progress);
    const char *text = text_of_stderr();
    assert_null(answered);
    assert_true(first && !second);
    assert_int_equal(count(text, "so far"), 1);
    assert_int_equal(count(text, " measuring 3/9 "), 1);
    assert_int_equal(count(text, " 25 %  ETA 90.0 s  elapsed "), 1);
    assert_int_equal(count(text, "  3 MiB/s  "), 1);
    assert_int_equal(count(text, "1 MiB of 4 MiB"), 1);
    assert_int_equal(count(text, "worst error 0.25"), 1);
}

static void layers_are_found_in_names(void **state)
{
    static const struct {
        const char *name;
        int64_t layer;
    } names[] = {
        {"blk.0.attn_q.weight", 0},
        {"blk.12.ffn_up.weight", 12},
        {"model.layers.31.mlp.up_proj.weight", 31},
        {"h.5.attn.c_attn.weight", 5},
        {"transformer.h.7.ln_1.bias", 7},
        {"token_embd.weight", -1},
        {"", -1},
        {"blk.", -1},
        {"blk.x.weight", -1},
        {"blk.3", -1},
        {"notblk.3.weight", -1},
        {"blk.1234567890.w", -1},
        {"sh.4.w", -1},
        {"blk.-1.w", -1},
        {"layers.x.layers.2.w", 2},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lort_progress_layer(names[i].name) != names[i].layer)
            fail_msg("%s: layer %d", names[i].name, (int)lort_progress_layer(names[i].name));
}

/* ---- a terminal ---- */

static unsigned short wide = 30;

/* A terminal of `wide` columns in place of standard error; its other end, or -1 where there is
 * none. */
static int open_terminal(void)
{
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    char name[64];
    if (terminal < 0 || grantpt(terminal) || unlockpt(terminal) ||
        ptsname_r(terminal, name, sizeof name))
        return -1;
    const int end = open(name, O_RDWR | O_NOCTTY);
    if (end < 0)
        return -1;
    const struct winsize size = {.ws_row = 10, .ws_col = wide};
    ioctl(end, TIOCSWINSZ, &size);
    replace_stderr(end);
    return terminal;
}

enum { EVENTS = 40 };

/* Reads what was written up to the line that was taken away: the terminal may hand it on in
 * pieces. */
static void read_terminal(int terminal, char *text, size_t cap)
{
    static const char gone[] = "\r\033[K";
    size_t n = 0;
    for (;;) {
        const ssize_t got = read(terminal, text + n, cap - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
        text[n] = '\0';
        if (n >= sizeof gone - 1 && strcmp(text + n - (sizeof gone - 1), gone) == 0)
            return;
    }
}

/* What a terminal of 30 columns shows of an event that comes again and again for `seconds`. */
static void watch_terminal(const lort_event *event, double seconds, char *text, size_t cap)
{
    lort_progress progress;
    const int terminal = open_terminal();
    if (terminal < 0) {
        print_message("skipped: no terminal can be made here\n");
        skip();
    }
    setenv("TERM", "xterm", 1);
    lort_progress_open(&progress, never, false, false, false);
    for (int i = 0; i < EVENTS; i++)
        progress.observer.event(progress.observer.ctx, event);
    usleep((useconds_t)(1e6 * seconds));
    lort_progress_close(&progress);
    fflush(stderr);
    read_terminal(terminal, text, cap);
    put_stderr_back();
    close(terminal);
}

static const lort_report no_report;
static const lort_tensor_report long_name = {
    .name = "blk.0.\xC3\xA4\xC3\xA4\xC3\xA4.a name that is longer than the terminal is wide"};
static const lort_event halfway = {.kind = LORT_EVENT_PROGRESS,
                                   .report = &no_report,
                                   .tensor = &long_name,
                                   .phase = LORT_PHASE_WRITING,
                                   .done_bytes = 1,
                                   .total_bytes = 2,
                                   .share = 0.5,
                                   .seconds_left = NAN,
                                   .worst_error = NAN,
                                   .tensors_total = 8,
                                   .tensors_done = 4};

static void a_terminal_has_one_line_that_goes_away(void **state)
{
    char text[4096] = "";
    watch_terminal(&halfway, 0, text, sizeof text);
    /* 29 columns hold no more whole fields: "elapsed 0.0 s" would be one too many */
    const char *line = "\r| writing 4/8   50 %\033[K";
    const size_t n = strlen(line);
    assert_memory_equal(text, line, n);
    size_t drawn = 0;
    for (const char *at = text; (at = strstr(at, " writing 4/8   50 %\033[K")); at++)
        drawn++;
    /* at most ten a second: events that come faster do not draw */
    assert_in_range(drawn, 1, EVENTS / 2);
}

/* The line changes although no event comes. */
static void a_terminal_sees_time_go_by(void **state)
{
    static const char *const turns[] = {"\r| wri", "\r/ wri", "\r- wri"};
    char text[16384] = "";
    watch_terminal(&halfway, 1.5, text, sizeof text);
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++)
        assert_int_not_equal(count(text, turns[i]), 0);
}

/* A name that has room is shortened in its middle, and never in a character. */
static void a_long_name_loses_its_middle(void **state)
{
    lort_event event = halfway;
    char text[4096] = "";
    event.share = 0;
    event.phase = LORT_PHASE_OPENING;
    event.tensors_total = 0;
    event.total_bytes = 0;
    event.seconds = 0;
    watch_terminal(&event, 0, text, sizeof text);
    assert_int_equal(count(text, "\r| opening  elapsed 0.0 s\033[K"), 1);
    wide = 60;
    watch_terminal(&halfway, 0, text, sizeof text);
    wide = 30;
    assert_int_equal(count(text,
                           "\r| writing 4/8  blk.0.\xC3\xA4\xE2\x80\xA6rminal is wide   50 %  "
                           "elapsed 0.0 s\033[K"),
                     1);
}

static void heartbeats_name_the_phase(void **state)
{
    lort_progress progress;
    lort_event event = halfway;
    event.phase = LORT_PHASE_MEASURING;
    capture();
    lort_progress_open(&progress, never, false, false, false);
    lort_ticker_lock(&progress.ticker);
    progress.heartbeat_ns = 300000000; /* 0.3 s */
    lort_ticker_unlock(&progress.ticker);
    progress.observer.event(progress.observer.ctx, &event);
    usleep(1500000);
    lort_progress_close(&progress);
    const char *text = text_of_stderr();
    assert_in_range(count(text, "  measuring 4/8 "), 2, 6);
    assert_int_equal(count(text, "\r"), 0);
}

static void a_dumb_terminal_is_a_log(void **state)
{
    lort_progress progress;
    const int terminal = open_terminal();
    if (terminal < 0) {
        print_message("skipped: no terminal can be made here\n");
        skip();
    }
    setenv("TERM", "dumb", 1);
    lort_progress_open(&progress, never, false, false, false);
    assert_false(progress.live);
    lort_progress_close(&progress);
    setenv("TERM", "xterm", 1);
    lort_progress_open(&progress, never, true, false, false); /* quiet */
    assert_false(progress.live || progress.ticker.ticks);
    lort_progress_close(&progress);
    lort_progress_open(&progress, never, false, false, false);
    assert_true(progress.live);
    lort_progress_close(&progress);
    put_stderr_back();
    close(terminal);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_log_has_a_line_per_layer),
        TEST(a_verbose_log_has_a_line_per_tensor),
        TEST(quiet_is_silent),
        TEST(the_start_is_told_where_it_is_wanted),
        TEST(warnings_and_notes),
        TEST(the_observer_stops_as_it_is_told),
        TEST(how_far_it_is),
        TEST(layers_are_found_in_names),
        TEST(a_terminal_has_one_line_that_goes_away),
        TEST(a_terminal_sees_time_go_by),
        TEST(a_long_name_loses_its_middle),
        TEST(heartbeats_name_the_phase),
        TEST(a_dumb_terminal_is_a_log),
    };
    /* without /sys hwloc writes a line of its own to standard error */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    return run_chosen(tests, NULL, NULL);
}
