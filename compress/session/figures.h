/* figures: what a stored part says of its tensor, for the report. */
#ifndef LORT_COMPRESS_SESSION_FIGURES_H
#define LORT_COMPRESS_SESSION_FIGURES_H

#include "compress/lort.h"
#include "formats/container/container.h"

/* What a part says of its tensor's coding: action, reason, rank, error, bytes. */
void lort_reading_figures(lort_report *report, const lort_part *part, uint64_t record_bytes,
                          lort_tensor_report *entry);

#endif
