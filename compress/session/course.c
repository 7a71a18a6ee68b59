/* course: see course.h. */
#include "compress/session/course.h"

bool lort_course_due(const lort_course *course, double seconds)
{
    const double every = course->every > 0 ? course->every : LORT_COURSE_EVERY;
    return course->count == 0 || seconds >= course->samples[course->count - 1].seconds + every;
}

/* Keeps the first sample, the third, and so on. */
static void thin_out(lort_course *course)
{
    for (unsigned i = 0; 2 * i < course->count; i++)
        course->samples[i] = course->samples[2 * i];
    course->count = (course->count + 1) / 2;
    course->every = 2 * (course->every > 0 ? course->every : LORT_COURSE_EVERY);
}

void lort_course_add(lort_course *course, double seconds, uint64_t anon, uint64_t file)
{
    if (course->count == LORT_COURSE_MOST)
        thin_out(course);
    course->samples[course->count++] =
        (lort_sample_report){.seconds = seconds, .anon_bytes = anon, .file_bytes = file};
}
