/* Tests of timed waits, and of libraries that are loaded when they are needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/os/os.h"
#include "tests/unit/main.h"

#define MS UINT64_C(1000000)

typedef struct shared {
    lort_mutex *mutex;
    lort_cond *cond;
    bool done;
} shared;

static void set_up(shared *s)
{
    *s = (shared){.done = false};
    assert_int_equal(lort_os_mutex_open(&s->mutex, NULL), LORT_OK);
    assert_int_equal(lort_os_cond_open(&s->cond, NULL), LORT_OK);
}

static void tear_down(shared *s)
{
    lort_os_cond_close(s->cond);
    lort_os_mutex_close(s->mutex);
}

static void a_wait_ends_by_itself(void **state)
{
    shared s;
    set_up(&s);
    const uint64_t start = lort_os_clock_ns();
    lort_os_lock_mutex(s.mutex);
    unsigned waits = 0;
    for (; lort_os_clock_ns() - start < 60 * MS; waits++)
        lort_os_wait_ms(s.cond, s.mutex, 70);
    lort_os_unlock_mutex(s.mutex);
    assert_in_range(waits, 1, 10); /* a wait may end early, but not each */
    assert_true(lort_os_clock_ns() - start < 10000 * MS);
    tear_down(&s);
}

static void set_done(void *ctx)
{
    shared *s = ctx;
    lort_os_lock_mutex(s->mutex);
    s->done = true;
    lort_os_wake_all(s->cond);
    lort_os_unlock_mutex(s->mutex);
}

static void a_wait_is_ended(void **state)
{
    shared s;
    lort_thread *thread;
    set_up(&s);
    const uint64_t start = lort_os_clock_ns();
    lort_os_lock_mutex(s.mutex);
    assert_int_equal(lort_os_thread_start(set_done, &s, 1 << 16, &thread, NULL), LORT_OK);
    while (!s.done)
        lort_os_wait_ms(s.cond, s.mutex, 60000);
    lort_os_unlock_mutex(s.mutex);
    assert_true(lort_os_clock_ns() - start < 30000 * MS);
    lort_os_thread_join(thread);
    tear_down(&s);
}

static void libraries(void **state)
{
    static const char *const none[] = {"libnothing-of-lort.so", NULL};
    static const char *const names[] = {"libnothing-of-lort.so", "libc.so.6", "libSystem.dylib",
                                        "msvcrt.dll", NULL};
    int (*function)(int) = NULL;
    assert_null(lort_os_library(none));
    void *library = lort_os_library(names);
    assert_non_null(library);
    assert_true(lort_os_library_find(library, "abs", &function));
    assert_int_equal(function(-7), 7);
    assert_false(lort_os_library_find(library, "no_such_function_of_lort", &function));
    assert_null(function);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_by_itself),
        cmocka_unit_test(a_wait_is_ended),
        cmocka_unit_test(libraries),
    };
    return run_chosen(tests, NULL, NULL);
}
