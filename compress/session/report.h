/* report: builds a lort_report.
 *
 * All that a report points to lies in one arena on the heap, and outlives the run. It counts in the
 * budget of the run until the workers start (lort_report_charge). Later a run adds only reasons and
 * figures, some texts of less than 300 bytes a tensor. If memory runs out, builders return empty
 * texts and record the failure. Call lort_report_check once at the end, as with lort_buffer. */
#ifndef LORT_COMPRESS_SESSION_REPORT_H
#define LORT_COMPRESS_SESSION_REPORT_H

#include "compress/lort.h"
#include "formats/types/dtype.h"
#include "loader/machine/budget.h"
#include <stddef.h>

/* Sets *report to "nothing known": empty texts, NaN errors, an owner. lort_report_free frees it. */
lort_code lort_report_open(lort_report *report, lort_error *err);
/* Counts the bytes of the report in a budget from now on. So a hostile header cannot make the
 * report take more than the limit. settle: later bytes do not count; the plan knows the rest of the
 * memory now. uncharge: gives the booked bytes back, before the budget is closed. */
void lort_report_charge(lort_report *report, lort_budget *budget);
void lort_report_settle(lort_report *report);
void lort_report_uncharge(lort_report *report);
/* LORT_OK, or the first failure of the calls below. */
lort_code lort_report_check(const lort_report *report, lort_error *err);

/* Makes a text that lives as long as the report; never NULL. escape: escapes untrusted bytes
 * (lort_escape_plain: format characters stay, for JSON) and does not cut them. */
const char *lort_report_text(lort_report *report, const char *format, ...) LORT_PRINTF(2, 3);
const char *lort_report_escape(lort_report *report, const void *bytes, size_t n);
/* The escaped name of the file of entry i. again: the entry before is of the same file, so both
 * share one text. A header may have millions of tensors. */
const char *lort_report_file(lort_report *report, uint64_t i, const char *name, bool again);
/* Appends a warning, printable on a terminal, and returns its text; NULL if the report has the
 * warning already. A report has at most LORT_REPORT_WARNINGS; the last one then gives the number of
 * further warnings. */
#define LORT_REPORT_WARNINGS 1000
const char *lort_report_warn(lort_report *report, const char *format, ...) LORT_PRINTF(2, 3);

/* Puts an array of `count` entries into the report and sets its count. Texts are "", errors NaN and
 * other fields 0. */
lort_code lort_report_tensors(lort_report *report, uint64_t count, lort_error *err);
lort_code lort_report_sources(lort_report *report, unsigned count, lort_error *err);
lort_code lort_report_meta(lort_report *report, uint64_t count, lort_error *err);
/* Takes room for the runs of `count` tasks, and sets run_count. */
lort_code lort_report_runs(lort_report *report, uint64_t count, lort_error *err);
/* Takes room for the hashes of `count` files; hash_count stays 0. */
lort_code lort_report_hashes(lort_report *report, uint64_t count, lort_error *err);
/* The same for report->types, all zero: compress/session/type_totals.h fills them. */
lort_code lort_report_types(lort_report *report, uint64_t count, lort_error *err);
/* The name of a type. That of an opaque type is copied: its row does not outlive the model. */
const char *lort_report_dtype(lort_report *report, const lort_dtype_info *type);
/* A copy of numbers that lives as long as the report; NULL with the failure remembered. */
const float *lort_report_floats(lort_report *report, const float *values, uint64_t count);
/* Copies samples into the report, and takes room for so many phases; phase_count stays 0. */
lort_code lort_report_course(lort_report *report, const lort_sample_report *samples, unsigned count,
                             unsigned phases);
/* A copy of a shape that lives as long as the report. */
const int64_t *lort_report_shape(lort_report *report, const int64_t *dims, uint32_t n_dims);

#endif
