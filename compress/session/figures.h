/* figures: the figures of tensors and stored parts, for the report. */
#ifndef LORT_COMPRESS_SESSION_FIGURES_H
#define LORT_COMPRESS_SESSION_FIGURES_H

#include "compress/factor/factor.h"
#include "compress/lort.h"
#include "formats/container/container.h"

/* Fills what the header tells of a tensor: name, shape, type, slices and bytes. */
void lort_report_tensor(lort_report *report, const lort_tensor *tensor, lort_tensor_report *entry);
/* Fills the worst and the mean error of all tensors that are not kept. */
void lort_report_errors(lort_report *report);
/* The same of the weighted errors. */
void lort_report_weighted(lort_report *report);
/* Fills action, reason, rank, error and stored bytes of an entry from the record of its part. */
void lort_reading_figures(lort_report *report, const lort_part *part, uint64_t record_bytes,
                          lort_tensor_report *entry);
/* Copies a spectrum into the report of a tensor; leaves it alone if there is none. */
void lort_report_spectrum(lort_report *report, const lort_spectrum *spectrum,
                          lort_tensor_report *entry);
/* Makes an entry that of a tensor with the bytes of `origin`, whose entry is complete: action,
 * rank, slices and errors are those of the origin, reason and same_as name it. */
void lort_report_same(lort_report *report, const lort_tensor_report *origin,
                      lort_tensor_report *entry);

#endif
