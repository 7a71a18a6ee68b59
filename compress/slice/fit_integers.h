/* fit_integers: finds how one slice is coded by integers: the codes, and the largest step whose
 * error or size meets the target. */
#ifndef LORT_COMPRESS_SLICE_FIT_INTEGERS_H
#define LORT_COMPRESS_SLICE_FIT_INTEGERS_H

#include "compress/slice/outcome.h"

/* Fits codes and step so that the relative error is at most `target`, or, with a share, its payload
 * is nearly and at most so many bytes; CODED, or the reason why it is kept. FACTORED where the
 * factors do, or leave no room in the share. */
lort_code lort_fit_integers(lort_slice_source *source, uint32_t slice, double target,
                            const lort_share *share, lort_work work, lort_outcome *out,
                            lort_error *err);
/* Most bytes fitting one slice takes at once, beside the workers' spaces and what it leaves in the
 * outcome. */
uint64_t lort_fit_integers_bound(int64_t rows, int64_t cols, unsigned workers);
/* A whole block of the slice, less the factors, as integers of `step` under codes [rows + cols]:
 * coded into the worker's space, whose weights are the block's and whose decoded is what a reader
 * gets. mean2: of the slice. */
lort_code lort_integers_encode(lort_slice_source *source, unsigned worker,
                               const lort_block_place *place, const uint8_t *codes, double mean2,
                               float step, lort_block_coded *out, lort_error *err);

#endif
