/* weigh: norms of a slice and of what its factors leave, plain and weighed by importance. */
#ifndef LORT_COMPRESS_SLICE_WEIGH_H
#define LORT_COMPRESS_SLICE_WEIGH_H

#include "compress/slice/outcome.h"

/* Norms of the slice, plain and weighed, into out->norm; and of what the factors leave, where
 * source->factors are set, into *left (may be NULL). */
lort_code lort_slice_weigh(lort_slice_source *source, lort_work work, lort_outcome *out,
                           lort_weighed *left, lort_error *err);

#endif
