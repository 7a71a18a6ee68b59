/* rounded: errors of a slice that is stored as the difference to a base. A reader adds the base and
 * rounds to the type of the file, so the error is that of the rounded sum. */
#ifndef LORT_COMPRESS_SLICE_ROUNDED_H
#define LORT_COMPRESS_SLICE_ROUNDED_H

#include "compress/slice/slice.h"

/* Sums of squared errors of the first `rows` rows of a block, plain and weighed. weights: the block
 * as lort_slice_block gives it; decoded: as a reader gets it, NULL: zeros. Without a base the sums
 * are those of lort_weighed_sum. On failure: LORT_E_READ. */
lort_code lort_slice_errors(const lort_slice_source *source, unsigned worker,
                            const lort_block_place *place, int64_t rows, const float *weights,
                            const float *decoded, lort_weighed *out, lort_error *err);

/* The same for the block that the worker has just quantised: space->weights and space->decoded.
 * With a covariance the weighed sum is tr(E H E') over the mean of the diagonal of H. */
lort_code lort_slice_coded_errors(const lort_slice_source *source, unsigned worker,
                                  const lort_block_place *place, int64_t rows,
                                  const lort_block_space *space, lort_weighed *out,
                                  lort_error *err);

#endif
