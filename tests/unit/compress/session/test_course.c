/* course: samples of a run, thinned out evenly. */
#include "compress/session/course.h"
#include "tests/unit/main.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Runs for `seconds`, and asks every 10 ms whether a sample is due. */
static void run_for(lort_course *course, double seconds)
{
    for (int i = 0; i * 0.01 <= seconds; i++)
        if (lort_course_due(course, i * 0.01))
            lort_course_add(course, i * 0.01, (uint64_t)i, 2 * (uint64_t)i);
}

static void a_short_run_has_all_samples(void **state)
{
    lort_course course = {0};
    run_for(&course, 1.005);
    assert_in_range(course.count, 10, 11);
    assert_true(course.samples[0].seconds == 0);
    assert_int_equal(course.samples[1].file_bytes, 2 * course.samples[1].anon_bytes);
}

static void a_long_run_has_at_most_200_even_samples(void **state)
{
    static lort_course course;
    course = (lort_course){0};
    run_for(&course, 1000);
    assert_in_range(course.count, LORT_COURSE_MOST / 2, LORT_COURSE_MOST);
    assert_true(course.samples[0].seconds == 0);
    const double step = course.samples[1].seconds - course.samples[0].seconds;
    for (unsigned i = 1; i < course.count; i++) {
        const double gap = course.samples[i].seconds - course.samples[i - 1].seconds;
        assert_true(gap > 0.5 * step && gap < 2 * step);
    }
    assert_true(course.samples[course.count - 1].seconds > 1000 - 2 * step);
}

static void a_sample_that_is_not_due_may_be_added(void **state)
{
    static lort_course course;
    course = (lort_course){0};
    for (unsigned i = 0; i < 10 * LORT_COURSE_MOST; i++)
        lort_course_add(&course, 1, i, i);
    assert_in_range(course.count, 1, LORT_COURSE_MOST);
    assert_int_equal(course.samples[course.count - 1].anon_bytes, 10 * LORT_COURSE_MOST - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_short_run_has_all_samples),
                                       cmocka_unit_test(a_long_run_has_at_most_200_even_samples),
                                       cmocka_unit_test(a_sample_that_is_not_due_may_be_added)};
    return run_chosen(tests, NULL, NULL);
}
