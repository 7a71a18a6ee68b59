/* fit_trits: finds how one slice is stored as trits under a scale per row, beside factors. */
#ifndef LORT_COMPRESS_SLICE_FIT_TRITS_H
#define LORT_COMPRESS_SLICE_FIT_TRITS_H

#include "compress/slice/outcome.h"

/* Finds scales and factors of one slice. key: lort_matrix_key of the slice. On return out->kind is
 * TERNARY, or KEPT with a reason. On failure `out` keeps what it owns: free it.
 *
 * Threads: several slices may be fitted at once, each with a worker of its own. */
lort_code lort_fit_trits(lort_slice_source *source, uint32_t slice, uint64_t key, lort_work work,
                         lort_outcome *out, lort_error *err);
/* The most bytes that fitting one slice takes. The spaces of the workers, two outcomes and
 * lort_factor_bound come on top. */
uint64_t lort_fit_trits_bound(int64_t rows, int64_t cols, unsigned workers);
/* Encodes one whole block of the slice, less the factors, as trits. scales: [rows] of the slice.
 * The block space of the worker gets everything, as in lort_integers_encode. */
lort_code lort_trits_encode(lort_slice_source *source, unsigned worker,
                            const lort_block_place *place, const float *scales,
                            lort_block_coded *out, lort_error *err);

#endif
