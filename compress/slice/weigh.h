/* weigh: norms of a slice and of its residual, plain and weighed by importance. */
#ifndef LORT_COMPRESS_SLICE_WEIGH_H
#define LORT_COMPRESS_SLICE_WEIGH_H

#include "compress/slice/outcome.h"

/* Measures the norms of the slice in one pass, plain and weighed, into out->norm. If
 * source->factors is set, also measures what they leave, into *left (may be NULL). */
lort_code lort_slice_weigh(lort_slice_source *source, lort_work work, lort_outcome *out,
                           lort_weighed *left, lort_error *err);

#endif
