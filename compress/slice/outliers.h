/* outliers: the few weights of a slice that are stored exactly, because they would spoil the step
 * of all others.
 *
 *     n          weights of the slice
 *     rms(t)     root mean square of the weights whose magnitude is below t
 *     outliers   weights of magnitude t or more: at most n / 1000 of them, and t >= 16 rms(t)
 *
 * If 1 to 10 in a thousand are so large, the slice is crowded. It has no outliers, and LoRT keeps
 * it: what it codes would lose all other weights. Rows with scales of their own do not need this.
 *
 * Of all borders t that fulfil both, LoRT takes the smallest. Borders are quarters of the way
 * between powers of two. All other code of this room sees zeros in place of the outliers, and the
 * target holds for the rest. docs/NUMERICS.md, "Outliers", has the reasons. */
#ifndef LORT_COMPRESS_SLICE_OUTLIERS_H
#define LORT_COMPRESS_SLICE_OUTLIERS_H

#include "compress/slice/outcome.h"

/* Bytes that the search takes with so many workers, and the most that its result takes. */
uint64_t lort_outliers_bound(unsigned workers);
uint64_t lort_outliers_most(const lort_matrices *shape);
/* Finds the outliers of a slice whose source has none yet. Reads the slice once, and once more if
 * it has outliers. A slice with NaN or Inf has none.
 * On failure: LORT_E_MEMORY, LORT_E_READ or LORT_E_STOPPED; *out is empty.
 * Owner: the caller, who frees *out with lort_outliers_free. */
lort_code lort_outliers_find(lort_slice_source *source, lort_work work, lort_outliers *out,
                             lort_error *err);
/* Encodes places and values, and appends them to out->coded. */
lort_code lort_outliers_encode(const lort_outliers *outliers, lort_session *session,
                               unsigned worker, uint32_t slice, lort_outcome *out, lort_error *err);

#endif
