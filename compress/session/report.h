/* report: building a lort_report and writing it as JSON. Everything a report points to lies in one
 * arena on the heap (not in the ledger: results outlive the budget of the run). A builder that runs
 * out of memory goes on with empty texts and remembers it: check once with lort_report_check, as
 * with lort_buffer. */
#ifndef LORT_COMPRESS_SESSION_REPORT_H
#define LORT_COMPRESS_SESSION_REPORT_H

#include "compress/lort.h"
#include <stddef.h>

/* Clears *report to "nothing known": empty texts, NaN errors, an owner. lort_report_free undoes it
 * (and accepts zeroed). */
lort_code lort_report_open(lort_report *report, lort_error *err);
/* The first failure of the calls below, or LORT_OK. */
lort_code lort_report_check(const lort_report *report, lort_error *err);

/* Texts that live as long as the report; never NULL. escape: untrusted bytes made printable
 * (lort_escape), uncut. */
const char *lort_report_text(lort_report *report, const char *format, ...) LORT_PRINTF(2, 3);
const char *lort_report_escape(lort_report *report, const void *bytes, size_t n);
/* Appends to report->warnings; at most LORT_REPORT_WARNINGS are kept, the last one then says how
 * many more there were. Returns the text. */
#define LORT_REPORT_WARNINGS 1000
const char *lort_report_warn(lort_report *report, const char *format, ...) LORT_PRINTF(2, 3);

/* Zeroed arrays of `count` in the report, with the count set: tensors (texts "", errors NaN),
 * sources and metadata. */
lort_code lort_report_tensors(lort_report *report, uint64_t count, lort_error *err);
lort_code lort_report_sources(lort_report *report, unsigned count, lort_error *err);
lort_code lort_report_meta(lort_report *report, uint64_t count, lort_error *err);
/* A copy of a shape. */
const int64_t *lort_report_shape(lort_report *report, const int64_t *dims, uint32_t n_dims);

#endif
