/* course_json: the members of a JSON report that tell how a run was asked for, and how it went. */
#ifndef LORT_COMPRESS_REPORT_COURSE_JSON_H
#define LORT_COMPRESS_REPORT_COURSE_JSON_H

#include "compress/lort_report.h"
#include "compress/session/json_tree.h"

#define LORT_STAMP_TEXT 32 /* bytes: enough for any text */
/* Writes nanoseconds since 1970 as "2026-12-01T12:26:03Z" to `out` and returns `out`; "" for 0,
 * which means "unknown". */
const char *lort_stamp(int64_t ns, char *out);
/* The options of the command line. One that was given several times is a list, and one without a
 * value is true. */
lort_node *lort_options_node(const lort_report *report);
/* Adds begin and end, the phases, and the samples of memory to `root`, and returns it. */
lort_node *lort_course_json(lort_node *root, const lort_report *report);
/* The runs of tasks that a plan shows; null without --tasks. */
lort_node *lort_runs_node(const lort_report *report);

#endif
