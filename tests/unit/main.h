/* The main function of every test program ends in run_chosen. TEST_FILTER in the environment names
 * a part of a test's name: only tests whose names contain it are run (scripts/run-tests sets it for
 * `make check T=...`). */
#ifndef TESTS_UNIT_MAIN_H
#define TESTS_UNIT_MAIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static void choose_tests(void)
{
    static char pattern[256];
    const char *part = getenv("TEST_FILTER");

    if (!part || !*part)
        return;
    snprintf(pattern, sizeof pattern, "*%s*", part);
    cmocka_set_test_filter(pattern);
}

#define run_chosen(tests, set_up, tear_down)                                                       \
    (choose_tests(), cmocka_run_group_tests(tests, set_up, tear_down))

#endif
