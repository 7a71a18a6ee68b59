/* fit_trits: finds how one slice is stored as trits under a scale per row, beside factors. */
#ifndef LORT_COMPRESS_SLICE_FIT_TRITS_H
#define LORT_COMPRESS_SLICE_FIT_TRITS_H

#include "compress/slice/outcome.h"

/* Finds scales and factors; TERNARY, or the reason why the slice is kept. */
lort_code lort_fit_trits(lort_slice_source *source, uint32_t slice, uint64_t key, lort_work work,
                         lort_outcome *out, lort_error *err);
/* Most bytes it takes beside the workers' spaces, the outcome it makes, one more, and those of
 * lort_factor. */
uint64_t lort_fit_trits_bound(int64_t rows, int64_t cols, unsigned workers);
/* A whole block of the slice, less the factors, as trits under the rows' scales: in the worker's
 * space, as above. */
lort_code lort_trits_encode(lort_slice_source *source, unsigned worker,
                            const lort_block_place *place, const float *scales,
                            lort_block_coded *out, lort_error *err);

#endif
