/* The main function of every test program ends in run_chosen. TEST_FILTER in the environment names
 * a part of a test's name: only tests whose names contain it are run (scripts/run-tests sets it for
 * `make check T=...`). TEST_LEAVE_OUT holds whole names, each between two blanks: these tests are
 * not run (scripts/run-tests sets it from a table of tests that a system cannot run). */
#ifndef TESTS_UNIT_MAIN_H
#define TESTS_UNIT_MAIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void choose_tests(void)
{
    static char pattern[256];
    const char *part = getenv("TEST_FILTER");

    if (!part || !*part)
        return;
    snprintf(pattern, sizeof pattern, "*%s*", part);
    cmocka_set_test_filter(pattern);
}

static bool is_left_out(const char *name)
{
    const char *names = getenv("TEST_LEAVE_OUT"), *at = names;
    const size_t length = strlen(name);

    for (; at && (at = strstr(at, name)) != NULL; at++)
        if (at > names && at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

/* Copies the tests that are run, and returns their number. */
static size_t keep_tests(struct CMUnitTest *kept, const struct CMUnitTest *tests, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_left_out(tests[i].name))
            kept[n++] = tests[i];
    return n;
}

static int run_kept(const char *name, const struct CMUnitTest *tests, size_t count,
                    CMFixtureFunction set_up, CMFixtureFunction tear_down)
{
    static struct CMUnitTest kept[256];

    choose_tests();
    if (count > sizeof kept / sizeof kept[0])
        abort();
    return _cmocka_run_group_tests(name, kept, keep_tests(kept, tests, count), set_up, tear_down);
}

#define run_chosen(tests, set_up, tear_down)                                                       \
    run_kept(#tests, tests, sizeof(tests) / sizeof((tests)[0]), set_up, tear_down)

#endif
