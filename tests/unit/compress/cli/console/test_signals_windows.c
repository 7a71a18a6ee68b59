/* Console events of Windows: a test calls the handler, as Wine cannot send Ctrl-C to a program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/cli/console/signals.h"
#include "compress/cli/ui/finish.h"
#include "tests/unit/main.h"

#include <stdio.h>
#include <windows.h>

#define MODEL "tests/data/kjv-3m/kjv-3m-f16.gguf"
#define TENSORS_BEFORE 7 /* of 39 */

static char folder[MAX_PATH], output[MAX_PATH + 16];

static int set_up(void **state)
{
    snprintf(folder, sizeof folder, "lort-events-%lu", GetCurrentProcessId());
    snprintf(output, sizeof output, "%s/out.lort", folder);
    return !CreateDirectoryA(folder, NULL);
}

static int tear_down(void **state)
{
    DeleteFileA(output);
    return !RemoveDirectoryA(folder);
}

/* Ctrl-C after some tensors. */
static void on_event(void *ctx, const lort_event *event)
{
    int *tensors = ctx;
    if (event->kind == LORT_EVENT_TENSOR && ++*tensors == TENSORS_BEFORE)
        assert_true(lort_cli_take_event(CTRL_C_EVENT));
}

static bool stopped(void *ctx) { return lort_cli_signal() != 0; }

static lort_code compress(const lort_observer *observer, lort_report *report, lort_error *err)
{
    lort_options options;
    lort_options_init(&options);
    options.resume = true;
    options.threads = 1;
    return lort_compress(MODEL, output, &options, observer, report, err);
}

/* The run ends with exit code 75, and the same command goes on from there. */
static void ctrl_c_stops_at_a_checkpoint(void **state)
{
    int tensors = 0;
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    assert_int_equal(lort_cli_signal(), 0);
    lort_progress_open(&progress, lort_cli_stopped, true, false, false);
    lort_code code = compress(&(lort_observer){.event = on_event, .stop = stopped, .ctx = &tensors},
                              &report, &err);
    assert_int_equal(lort_cli_signal(), 2);
    assert_int_equal(lort_cli_end_run(&progress, &report, code, &err), 75);
    assert_in_range(report.partial_tensors, 1, report.tensor_count - 1);
    const uint64_t before = report.partial_tensors;
    lort_report_free(&report);

    report = (lort_report){0};
    assert_int_equal(compress(NULL, &report, &err), LORT_OK);
    assert_int_equal(report.resumed_tensors, before);
    lort_report_free(&report);
}

/* Windows then ends lort. */
static void the_second_ctrl_c_ends(void **state)
{
    assert_false(lort_cli_take_event(CTRL_C_EVENT));
    assert_false(lort_cli_take_event(CTRL_BREAK_EVENT));
    assert_false(lort_cli_take_event(99)); /* unknown */
    assert_int_equal(lort_cli_signal(), 2);
}

static DWORD WINAPI take(void *event) { return lort_cli_take_event(*(DWORD *)event); }

/* When the handler of these returns, Windows ends the process, before the checkpoint. */
static void closing_leaves_time(void **state)
{
    static DWORD events[] = {CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        const HANDLE thread = CreateThread(NULL, 0, take, &events[i], 0, NULL);
        assert_non_null(thread);
        assert_int_equal(WaitForSingleObject(thread, 200), WAIT_TIMEOUT);
        CloseHandle(thread);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ctrl_c_stops_at_a_checkpoint),
        cmocka_unit_test(the_second_ctrl_c_ends),
        cmocka_unit_test(closing_leaves_time),
    };
    return run_chosen(tests, set_up, tear_down);
}
