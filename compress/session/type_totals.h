/* type_totals: sums up the tensors of a report by their element types. */
#ifndef LORT_COMPRESS_SESSION_TYPE_TOTALS_H
#define LORT_COMPRESS_SESSION_TYPE_TOTALS_H

#include "compress/lort.h"

/* Fills report->types from report->tensors, the most bytes first. Rows have the texts of the
 * entries. A hostile header may have any number of types: one row then has all others.
 * On failure: LORT_E_MEMORY. */
#define LORT_TYPE_TOTALS 64u
#define LORT_TYPE_OTHERS "others"
lort_code lort_report_type_totals(lort_report *report, lort_error *err);
/* The elements of all tensors of report->types; UINT64_MAX if they are more. */
uint64_t lort_report_elements(const lort_report *report);

#endif
