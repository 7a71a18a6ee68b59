/* session: budget, workers, memory figures, warnings and events. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "compress/math/blas.h"
#include "loader/os/os.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_run.h"

#include <math.h>

#define MIB (UINT64_C(1) << 20)

static const lort_block_need no_blocks;
static lort_session session;
static lort_report report;
static lort_error err;

static void open_session(uint64_t memory, unsigned threads, const lort_observer *observer)
{
    report = (lort_report){0};
    tiny_ok(
        lort_session_open(&session, LORT_COMMAND_PLAN, memory, threads, observer, &report, &err),
        &err);
}

static int tear_down(void **state)
{
    lort_session_close(&session);
    lort_session_close(&session); /* does nothing to a session that is closed or was never opened */
    lort_report_free(&report);
    return 0;
}

static int set_up(void **state)
{
    session = (lort_session){0};
    report = (lort_report){0};
    return 0;
}

/* ---- opening ---- */

static void the_report_has_every_memory_source(void **state)
{
    open_session(0, 0, NULL);
    assert_int_equal(report.command, LORT_COMMAND_PLAN);
    assert_true(report.source_count > 0);
    uint64_t smallest = UINT64_MAX;
    bool binding = false;
    for (unsigned i = 0; i < report.source_count; i++) {
        smallest = report.sources[i].bytes < smallest ? report.sources[i].bytes : smallest;
        binding |= strcmp(report.sources[i].name, report.binding_source) == 0 &&
                   report.sources[i].bytes == report.available_bytes;
    }
    assert_int_equal(report.available_bytes, smallest);
    assert_true(binding);
    assert_true(report.threshold == LORT_MEMORY_SHARE);
    assert_true(report.blas_core[0] && report.blas_config[0]);
    assert_in_range(session.threads, 1, LORT_BLAS_MAX_CALLERS);
    assert_true(isnan(session.worst_error));
}

static void the_loaded_core_is_checked(void **state)
{
    open_session(0, 1, NULL);
    tiny_ok(lort_session_check_core(&session, NULL, &err), &err);
    tiny_ok(lort_session_check_core(&session, "native", &err), &err);
    assert_int_equal(report.warning_count, 0);
    assert_int_equal(lort_session_check_core(&session, "no such core", &err), LORT_E_USAGE);
    assert_non_null(strstr(err.message, "unknown core 'no such core'"));
    /* one of the two is not loaded, or cannot run */
    assert_true(lort_session_check_core(&session, "Nehalem", &err) == LORT_E_USAGE ||
                lort_session_check_core(&session, "Haswell", &err) == LORT_E_USAGE);
}

static void memory_asked_for_stands_for_what_is_available(void **state)
{
    open_session(300 * MIB, 3, NULL);
    assert_int_equal(report.available_bytes, 300 * MIB);
    assert_string_equal(report.binding_source, "--memory");
    assert_int_equal(session.threads, 3);
    assert_int_equal(lort_session_limit(&session, 300 * MIB), 300 * MIB);
    assert_int_equal(lort_session_limit(&session, 0), 240 * MIB);
}

static void threads_have_a_limit(void **state)
{
    open_session(TINY_PLENTY, 100000, NULL);
    assert_int_equal(session.threads, LORT_BLAS_MAX_CALLERS);
}

/* ---- workers ---- */

static void every_worker_has_its_scratch(void **state)
{
    open_session(TINY_PLENTY, 3, NULL);
    uint64_t cost = lort_session_cost(&session, 3, 1, MIB, &no_blocks);
    tiny_ok(lort_session_start(&session, 3, 1, MIB, &no_blocks, &err), &err);
    assert_int_equal(session.threads, 3);
    assert_int_equal(report.threads, 3);
    assert_int_equal(lort_pool_workers(session.pool), 3);
    for (unsigned i = 0; i < 3; i++) {
        const lort_scratch *scratch = &session.scratch[i];
        assert_non_null(scratch->codec);
        assert_int_equal(scratch->size, MIB);
        assert_true(scratch->coded_size >= lort_codec_bound(MIB));
        memset(scratch->bytes, 1, scratch->size);
        memset(scratch->planes, 2, scratch->size);
        memset(scratch->coded, 3, scratch->coded_size);
        assert_int_equal(scratch->bytes[scratch->size - 1], 1);
        assert_int_equal(scratch->planes[scratch->size - 1], 2);
    }
    /* the budget has the bytes that the plan counts, and the small table of workers */
    assert_in_range(lort_budget_used(session.budget), cost, cost + 64 * 1024);
    assert_true(lort_session_cost(&session, 4, 1, MIB, &no_blocks) > cost &&
                lort_session_cost(&session, 3, 1, 2 * MIB, &no_blocks) > cost &&
                lort_session_cost(&session, 3, 19, MIB, &no_blocks) > cost);
}

static void workers_beyond_the_limit_are_refused(void **state)
{
    open_session(TINY_PLENTY, 2, NULL);
    uint64_t cost = lort_session_cost(&session, 2, 1, MIB, &no_blocks);
    for (uint64_t limit = 1; limit < cost; limit += cost / 7) {
        lort_budget_limit(session.budget, limit);
        assert_int_equal(lort_session_start(&session, 2, 1, MIB, &no_blocks, &err), LORT_E_MEMORY);
        tear_down(NULL); /* must give everything back: the budget asserts it */
        open_session(TINY_PLENTY, 2, NULL);
    }
    lort_budget_limit(session.budget, cost + 64 * 1024);
    tiny_ok(lort_session_start(&session, 2, 1, MIB, &no_blocks, &err), &err);
}

static void a_level_zstd_does_not_have_is_refused(void **state)
{
    open_session(TINY_PLENTY, 1, NULL);
    assert_int_equal(lort_session_start(&session, 1, 99, MIB, &no_blocks, &err), LORT_E_USAGE);
}

static void every_allocation_of_the_workers_may_fail(void **state)
{
    lort_code code = LORT_E_MEMORY;
    int64_t n = 0;
    for (; code; n++) {
        tiny_failing failing;
        tiny_failing_start(&failing, n);
        open_session(TINY_PLENTY, 3, NULL);
        session.alloc = failing.alloc;
        code = lort_session_start(&session, 3, 1, 4096, &no_blocks, &err);
        assert_true(code == LORT_OK || code == LORT_E_MEMORY);
        tear_down(NULL);
        assert_int_equal(failing.live, 0);
        assert_int_equal(failing.bytes, 0);
    }
    assert_true(n > 3);
}

static void a_slot_needs_no_codec(void **state)
{
    lort_scratch scratch = {0};
    tiny_failing failing;
    tiny_failing_start(&failing, 0);
    assert_int_equal(lort_scratch_open(&scratch, &failing.alloc, 5000, &err), LORT_E_MEMORY);
    lort_scratch_close(&scratch, &failing.alloc);
    tiny_failing_start(&failing, -1);
    tiny_ok(lort_scratch_open(&scratch, &failing.alloc, 5000, &err), &err);
    assert_null(scratch.codec);
    lort_scratch_close(&scratch, &failing.alloc);
    assert_null(scratch.bytes);
    assert_int_equal(failing.live, 0);
    assert_int_equal(failing.bytes, 0);
}

/* ---- figures ---- */

/* LoRT samples a large block when it goes back. So its peak is in the report, although nothing else
 * sampled while it lived. */
static void peaks_are_seen_without_looking(void **state)
{
    void *block;
    lort_process_memory now;
    lort_os_process_memory(&now);
    if (now.anon_bytes == 0) {
        print_message("skipped: the system does not say how much memory a process has\n");
        skip();
    }
    open_session(TINY_PLENTY, 1, NULL);
    tiny_ok(lort_take(&session.alloc, 48 * MIB, "a block", &block, &err), &err);
    memset(block, 1, 48 * MIB);
    lort_give(&session.alloc, block, 48 * MIB);
    uint64_t before = session.base_anon;
    lort_session_close(&session);
    assert_true(report.peak_anon_bytes >= before + 40 * MIB);
    assert_true(report.peak_rss_bytes >= report.peak_anon_bytes);
    assert_true(report.seconds >= 0);
}

/* ---- events ---- */

typedef struct heard {
    unsigned events, warnings;
    lort_event last;
    char text[64], name[8];
    bool stop;
} heard;

static void hear(void *ctx, const lort_event *event)
{
    heard *h = ctx;
    h->events += event->kind != LORT_EVENT_PROGRESS; /* the clock decides about these */
    h->warnings += event->kind == LORT_EVENT_WARNING;
    h->last = *event;
    snprintf(h->text, sizeof h->text, "%s", event->text ? event->text : "");
    snprintf(h->name, sizeof h->name, "%s", event->tensor ? event->tensor->name : "");
}

static void *ask_elsewhere(void *asked)
{
    lort_session_check_stop(asked, NULL);
    return NULL;
}

static bool ask_to_stop(void *ctx) { return ((heard *)ctx)->stop; }

static void warnings_reach_report_and_observer(void **state)
{
    heard h = {0};
    lort_observer observer = {.event = hear, .stop = NULL, .ctx = &h};
    open_session(TINY_PLENTY, 1, &observer);
    lort_session_warn(&session, "%d of %s", 3, "them");
    assert_string_equal(h.text, "3 of them");
    lort_session_warn_text(&session, "100 % plain");
    assert_string_equal(h.text, "100 % plain");
    assert_int_equal(h.warnings, 2);
    assert_int_equal(report.warning_count, 2);
    assert_string_equal(report.warnings[0], "3 of them");
    assert_string_equal(report.warnings[1], "100 % plain");
}

static void events_carry_the_figures(void **state)
{
    heard h = {0};
    lort_observer observer = {.event = hear, .stop = NULL, .ctx = &h};
    lort_tensor_report tensor = {.name = "w"};
    open_session(TINY_PLENTY, 1, &observer);
    session.done_bytes = 5;
    session.total_bytes = 10;
    session.out_bytes = 4;
    session.tensors_done = 1;
    session.tensors_total = 2;
    session.worst_error = 0.25;
    lort_session_say(&session, LORT_EVENT_TENSOR, &tensor, NULL);
    assert_int_equal(h.events, 1);
    assert_int_equal(h.last.kind, LORT_EVENT_TENSOR);
    assert_ptr_equal(h.last.tensor, &tensor);
    assert_ptr_equal(h.last.report, &report);
    assert_int_equal(h.last.phase, LORT_PHASE_OPENING);
    assert_true(h.last.done_bytes == 5 && h.last.total_bytes == 10 && h.last.out_bytes == 4);
    assert_true(h.last.tensors_done == 1 && h.last.tensors_total == 2 &&
                h.last.worst_error == 0.25);
    assert_true(h.last.seconds >= 0 && h.last.seconds <= lort_session_seconds(&session));
}

/* Questions send PROGRESS events, on the thread that opened the session. */
static void questions_tell_how_far_it_is(void **state)
{
    heard h = {0};
    lort_observer observer = {.event = hear, .stop = NULL, .ctx = &h};
    lort_tensor_report tensor = {.name = "w", .rank = 3};
    open_session(TINY_PLENTY, 1, &observer);
    lort_session_work_on(&session, &tensor);
    session.said_ns = 0; /* long ago */
    assert_int_equal(lort_session_check_stop(&session, NULL), LORT_OK);
    assert_int_equal(h.last.kind, LORT_EVENT_PROGRESS);
    assert_string_equal(h.name, "w");
    h.last.kind = LORT_EVENT_START;
    session.said_ns = lort_os_clock_ns() + (uint64_t)60000000000; /* just now, for a minute */
    assert_int_equal(lort_session_check_stop(&session, NULL), LORT_OK);
    session.said_ns = 0;
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, ask_elsewhere, &session), 0);
    pthread_join(other, NULL);
    assert_int_equal(h.last.kind, LORT_EVENT_START);
}

static void stop_is_what_the_observer_says(void **state)
{
    heard h = {0};
    lort_observer deaf = {.event = hear, .stop = NULL, .ctx = &h},
                  observer = {.event = NULL, .stop = ask_to_stop, .ctx = &h};
    open_session(TINY_PLENTY, 1, NULL);
    assert_int_equal(lort_session_check_stop(&session, NULL), LORT_OK);
    lort_session_say(&session, LORT_EVENT_NOTE, NULL, "nobody listens");
    session.observer = &deaf;
    assert_int_equal(lort_session_check_stop(&session, NULL), LORT_OK);
    session.observer = &observer;
    assert_int_equal(lort_session_check_stop(&session, NULL), LORT_OK);
    lort_session_say(&session, LORT_EVENT_NOTE, NULL, "nobody listens");
    h.stop = true;
    assert_int_equal(lort_session_check_stop(&session, NULL), LORT_E_STOPPED);
    assert_int_equal(h.events, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_report_has_every_memory_source),
        TEST(memory_asked_for_stands_for_what_is_available),
        TEST(threads_have_a_limit),
        TEST(every_worker_has_its_scratch),
        TEST(workers_beyond_the_limit_are_refused),
        TEST(a_level_zstd_does_not_have_is_refused),
        TEST(every_allocation_of_the_workers_may_fail),
        cmocka_unit_test(a_slot_needs_no_codec),
        TEST(the_loaded_core_is_checked),
        TEST(peaks_are_seen_without_looking),
        TEST(warnings_reach_report_and_observer),
        TEST(events_carry_the_figures),
        TEST(questions_tell_how_far_it_is),
        TEST(stop_is_what_the_observer_says),
    };
    return run_chosen(tests, NULL, NULL);
}
