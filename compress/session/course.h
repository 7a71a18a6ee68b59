/* course: the course of a run for the report, as samples of its memory. When there is no room,
 * every second sample goes, and from then on twice the time lies between two. So a run of any
 * length has at most LORT_COURSE_MOST of them, evenly spread. */
#ifndef LORT_COMPRESS_SESSION_COURSE_H
#define LORT_COMPRESS_SESSION_COURSE_H

#include "compress/lort.h"

#define LORT_COURSE_MOST 200
#define LORT_COURSE_EVERY 0.1 /* seconds between two samples, at first */

typedef struct lort_course {
    lort_sample_report samples[LORT_COURSE_MOST];
    unsigned count;
    double every; /* seconds between two samples; 0: LORT_COURSE_EVERY */
} lort_course;

/* True if it is time for a sample. */
bool lort_course_due(const lort_course *course, double seconds);
/* Adds a sample. seconds: not before the last one. */
void lort_course_add(lort_course *course, double seconds, uint64_t anon, uint64_t file);

#endif
