#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/store/heartbeat.h"
#include "tests/unit/main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_MS 300u

static char place[] = "/tmp/lort-heartbeat-XXXXXX";
static char path[64];
static lort_dir *dir;
static unsigned told;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(place))
        return -1;
    snprintf(path, sizeof path, "%s/beat", place);
    return lort_os_dir_open(place, &dir, NULL) == LORT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lort_os_dir_close(dir);
    return rmdir(place); /* every end removes the heartbeat */
}

static void tells(void *ctx, const char *text)
{
    (void)ctx;
    told += strstr(text, "another host") != NULL;
}

static bool stop_now(void *ctx)
{
    (void)ctx;
    return true;
}

static lort_code start(lort_heartbeat **out, lort_error *err)
{
    const lort_heartbeat_options how = {
        .dir = dir, .name = "beat", .watch_ms = WATCH_MS, .tells = tells};
    told = 0;
    return lort_heartbeat_start(&how, &lort_alloc_heap, out, err);
}

static void read_file(char *text, size_t cap)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    text[fread(text, 1, cap - 1, f)] = '\0';
    fclose(f);
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Replaces the value of a line: all up to the end of the line. */
static void change_line(char *text, const char *key, const char *value)
{
    char after[2048];
    char *at = strstr(text, key);
    assert_non_null(at);
    snprintf(after, sizeof after, "%s%s", value, strchr(at + 1, '\n'));
    strcpy(at + strlen(key), after);
}

static uint64_t beat_of(const char *text) { return strtoull(strstr(text, "beat ") + 5, NULL, 10); }

static void it_names_the_process_and_grows(void **state)
{
    char text[2048], later[2048], process[64];
    lort_heartbeat *h;
    (void)state;
    assert_int_equal(start(&h, NULL), LORT_OK);
    read_file(text, sizeof text);
    snprintf(process, sizeof process, "\nprocess %d\n", (int)getpid());
    assert_non_null(strstr(text, process));
    assert_int_equal(strncmp(text, "LoRT writer\nbeat ", 17), 0);
    usleep(WATCH_MS * 1000);
    assert_int_equal(lort_heartbeat_check(h, NULL), LORT_OK);
    read_file(later, sizeof later);
    assert_true(beat_of(later) > beat_of(text));
    assert_string_equal(strstr(later, "\nhost"), strstr(text, "\nhost"));
    lort_heartbeat_stop(h);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_living_process_of_this_host_is_refused_at_once(void **state)
{
    lort_heartbeat *first, *second;
    lort_error err = {0};
    (void)state;
    assert_int_equal(start(&first, NULL), LORT_OK);
    const uint64_t begin = lort_os_clock_ns();
    assert_int_equal(start(&second, &err), LORT_E_EXISTS);
    assert_true(lort_os_clock_ns() - begin < WATCH_MS * 500000u);
    assert_null(second);
    assert_non_null(strstr(err.message, "another LoRT is writing"));
    assert_int_equal(lort_heartbeat_check(first, NULL), LORT_OK);
    lort_heartbeat_stop(first);
}

/* What a child left that ended without lort_heartbeat_stop. */
static void leave_dead(char *text, size_t cap)
{
    lort_heartbeat *h;
    const pid_t child = fork();
    if (child == 0)
        _exit(start(&h, NULL) == LORT_OK ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    read_file(text, cap);
}

static void a_dead_process_of_this_host_is_followed_at_once(void **state)
{
    char text[2048], start_time[64];
    lort_heartbeat *h;
    (void)state;
    leave_dead(text, sizeof text);
    uint64_t begin = lort_os_clock_ns();
    assert_int_equal(start(&h, NULL), LORT_OK);
    assert_true(lort_os_clock_ns() - begin < WATCH_MS * 500000u);
    lort_heartbeat_stop(h);
    /* its number belongs to another process by now */
    snprintf(start_time, sizeof start_time, "%d", (int)getpid());
    change_line(text, "\nprocess ", start_time);
    change_line(text, "\nstart ", "1");
    write_file(text);
    begin = lort_os_clock_ns();
    assert_int_equal(start(&h, NULL), LORT_OK);
    assert_true(lort_os_clock_ns() - begin < WATCH_MS * 500000u);
    assert_int_equal(told, 0);
    lort_heartbeat_stop(h);
}

static void a_still_heartbeat_of_another_host_is_taken_over_later(void **state)
{
    static const char *const keys[] = {"\nhost ", "\nboot ", "\nspace "};
    char text[2048], changed[2048];
    lort_heartbeat *h;
    (void)state;
    leave_dead(text, sizeof text);
    for (size_t i = 0; i < 3; i++) {
        strcpy(changed, text);
        change_line(changed, keys[i], "elsewhere");
        write_file(changed);
        const uint64_t begin = lort_os_clock_ns();
        assert_int_equal(start(&h, NULL), LORT_OK);
        assert_true(lort_os_clock_ns() - begin >= WATCH_MS * 1000000u);
        assert_int_equal(told, 1);
        lort_heartbeat_stop(h);
    }
}

static void a_moving_heartbeat_of_another_host_is_refused(void **state)
{
    char text[2048];
    lort_heartbeat *h;
    lort_error err = {0};
    (void)state;
    leave_dead(text, sizeof text);
    change_line(text, "\nhost ", "elsewhere");
    write_file(text);
    const pid_t child = fork();
    if (child == 0) {
        usleep(WATCH_MS * 300);
        change_line(text, "\nbeat ", "00000000000000000077");
        write_file(text);
        _exit(0);
    }
    assert_int_equal(start(&h, &err), LORT_E_EXISTS);
    assert_non_null(strstr(err.message, "on host elsewhere"));
    waitpid(child, NULL, 0);
    assert_int_equal(unlink(path), 0); /* it is not ours: LoRT left it */
}

static void another_name_ends_the_writer(void **state)
{
    char text[2048], after[2048];
    lort_heartbeat *h;
    lort_error err = {0};
    (void)state;
    assert_int_equal(start(&h, NULL), LORT_OK);
    read_file(text, sizeof text);
    change_line(text, "\nhost ", "elsewhere");
    write_file(text);
    assert_int_equal(lort_heartbeat_check(h, &err), LORT_E_EXISTS);
    assert_true(lort_heartbeat_lost(h));
    assert_int_equal(lort_heartbeat_check(h, &err), LORT_E_EXISTS);
    usleep(WATCH_MS * 1000); /* no beat reaches the file of the other */
    lort_heartbeat_stop(h);
    read_file(after, sizeof after);
    assert_string_equal(after, text);
    unlink(path);
}

static void a_removed_file_comes_back(void **state)
{
    lort_heartbeat *h;
    (void)state;
    assert_int_equal(start(&h, NULL), LORT_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(lort_heartbeat_check(h, NULL), LORT_OK);
    assert_int_equal(access(path, F_OK), 0);
    assert_false(lort_heartbeat_lost(h));
    lort_heartbeat_stop(h);
}

/* Its writer died between making it and writing into it. */
static void an_empty_file_holds_nobody_up_for_long(void **state)
{
    lort_heartbeat *h;
    (void)state;
    write_file("");
    const uint64_t begin = lort_os_clock_ns();
    assert_int_equal(start(&h, NULL), LORT_OK);
    assert_true(lort_os_clock_ns() - begin < WATCH_MS * 900000u);
    lort_heartbeat_stop(h);
}

static void a_file_of_a_stranger_stays(void **state)
{
    lort_heartbeat *h;
    char text[64];
    (void)state;
    write_file("my notes");
    assert_int_equal(start(&h, NULL), LORT_E_EXISTS);
    read_file(text, sizeof text);
    assert_string_equal(text, "my notes");
    unlink(path);
}

static void a_stop_ends_the_watch(void **state)
{
    char text[2048];
    lort_heartbeat *h;
    (void)state;
    leave_dead(text, sizeof text);
    change_line(text, "\nhost ", "elsewhere");
    write_file(text);
    const lort_heartbeat_options how = {
        .dir = dir, .name = "beat", .watch_ms = LORT_WATCH_MS, .stop = stop_now};
    assert_int_equal(lort_heartbeat_start(&how, &lort_alloc_heap, &h, NULL), LORT_E_STOPPED);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_names_the_process_and_grows),
        cmocka_unit_test(a_living_process_of_this_host_is_refused_at_once),
        cmocka_unit_test(a_dead_process_of_this_host_is_followed_at_once),
        cmocka_unit_test(a_still_heartbeat_of_another_host_is_taken_over_later),
        cmocka_unit_test(a_moving_heartbeat_of_another_host_is_refused),
        cmocka_unit_test(another_name_ends_the_writer),
        cmocka_unit_test(a_removed_file_comes_back),
        cmocka_unit_test(an_empty_file_holds_nobody_up_for_long),
        cmocka_unit_test(a_file_of_a_stranger_stays),
        cmocka_unit_test(a_stop_ends_the_watch),
    };
    return run_chosen(tests, set_up, tear_down);
}
