/* course_json: see course_json.h. */
#include "compress/report/course_json.h"
#include "compress/session/report.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the time of day ---- */

#define LORT_STAMP_TEXT 32  /* bytes: enough for any text */
#define DAYS_TO_1970 719468 /* from 0000-03-01 */
#define DAYS_OF_ERA 146097  /* 400 years */

/* The standard library has gmtime, but its header is one of the operating system. The days are
 * counted from 1 March of year 0, so that the leap day is the last of a year. Source: Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms". */
const char *lort_stamp(int64_t ns, char *out)
{
    const int64_t seconds = ns / 1000000000, day = seconds / 86400 + DAYS_TO_1970,
                  second = seconds % 86400;
    const int64_t era = day / DAYS_OF_ERA, of_era = day % DAYS_OF_ERA;
    const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    const int64_t month = (5 * of_year + 2) / 153; /* 0: March */
    *out = '\0';
    if (ns > 0)
        snprintf(out, LORT_STAMP_TEXT,
                 "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64
                 "Z",
                 year + era * 400 + (month > 9), month < 10 ? month + 3 : month - 9,
                 of_year - (153 * month + 2) / 5 + 1, second / 3600, second / 60 % 60, second % 60);
    return out;
}

/* ---- options, samples and phases ---- */

static const lort_field sample_fields[] = {
    {"seconds", LORT_FIELD_REAL, offsetof(lort_sample_report, seconds)},
    {"anon_bytes", LORT_FIELD_U64, offsetof(lort_sample_report, anon_bytes)},
    {"file_bytes", LORT_FIELD_U64, offsetof(lort_sample_report, file_bytes)}};
static const lort_field phase_fields[] = {
    {"phase", LORT_FIELD_TEXT, offsetof(lort_phase_report, phase)},
    {"seconds", LORT_FIELD_REAL, offsetof(lort_phase_report, seconds)}};

/* A value of the command line, which may hold any byte. */
static lort_node *option_text(const char *value)
{
    char escaped[4096];
    return lort_node_string(lort_escape_plain(escaped, sizeof escaped, value, strlen(value)));
}

lort_node *lort_options_node(const lort_report *report)
{
    lort_node *object = lort_node_object();
    for (uint64_t i = 0; i < report->option_count; i++) {
        const lort_option_report *option = &report->options[i];
        object = option->value ? lort_node_join(object, option->name, option_text(option->value))
                               : lort_node_with(object, option->name, lort_node_literal("true"));
    }
    return object;
}

lort_node *lort_course_json(lort_node *root, const lort_report *report)
{
    char text[LORT_STAMP_TEXT];
    lort_node *samples = lort_node_array(), *phases = lort_node_array();
    for (uint64_t i = 0; i < report->sample_count; i++)
        samples = lort_node_add(samples, LORT_NODE_OF(sample_fields, &report->samples[i]));
    for (uint64_t i = 0; i < report->phase_count; i++)
        phases = lort_node_add(phases, LORT_NODE_OF(phase_fields, &report->phases[i]));
    root = lort_node_with(root, "started", lort_node_text(lort_stamp(report->started_ns, text)));
    root = lort_node_with(root, "ended", lort_node_text(lort_stamp(report->ended_ns, text)));
    root = lort_node_with(root, "phases", phases);
    return lort_node_with(root, "samples", samples);
}

/* ---- runs of tasks ---- */

#define RUN(member) offsetof(lort_run_report, member)
static const lort_field run_fields[] = {{"first_extent", LORT_FIELD_U64, RUN(first)},
                                        {"extents", LORT_FIELD_U64, RUN(extents)},
                                        {"tensors", LORT_FIELD_U64, RUN(tensors)},
                                        {"bytes", LORT_FIELD_U64, RUN(bytes_in)},
                                        {"share", LORT_FIELD_REAL, RUN(share)},
                                        {"memory_bytes", LORT_FIELD_U64, RUN(memory_bytes)}};

lort_node *lort_runs_node(const lort_report *report)
{
    if (report->run_count == 0)
        return lort_node_null();
    lort_node *runs = lort_node_array();
    for (uint64_t t = 0; t < report->run_count; t++) {
        lort_node *run = lort_node_with(lort_node_object(), "task", lort_node_u64(t));
        run = lort_node_merge(run, LORT_NODE_OF(run_fields, &report->runs[t]));
        runs = lort_node_add(runs, run);
    }
    lort_node *all = lort_node_with(lort_node_object(), "count", lort_node_u64(report->run_count));
    all = lort_node_with(all, "slowest_over_mean", lort_node_real(report->slowest_over_mean));
    return lort_node_with(all, "runs", runs);
}
