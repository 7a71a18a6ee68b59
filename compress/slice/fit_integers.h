/* fit_integers: finds how one slice is coded as integers. It finds the codes of rows and columns,
 * and the largest step whose error or size meets the target. */
#ifndef LORT_COMPRESS_SLICE_FIT_INTEGERS_H
#define LORT_COMPRESS_SLICE_FIT_INTEGERS_H

#include "compress/slice/outcome.h"

/* Finds codes and step. Without a share the relative error is at most `target`. With a share the
 * payload takes nearly share->bytes bytes and never more, and `target` is where the search starts.
 *
 * On entry `out` has the lossless size, and factors if source->factors names them. On return
 * out->kind is CODED, or KEPT with a reason. It stays FACTORED where the factors alone meet the
 * target, or leave no room in the share.
 *
 * Threads: several slices may be fitted at once, each with a worker of its own. */
lort_code lort_fit_integers(lort_slice_source *source, uint32_t slice, double target,
                            const lort_share *share, lort_work work, lort_outcome *out,
                            lort_error *err);
/* The most bytes that fitting one slice takes at once. The spaces of the workers and the outcome
 * come on top. */
uint64_t lort_fit_integers_bound(int64_t rows, int64_t cols, unsigned workers);
/* Encodes one whole block of the slice, less the factors, as integers of `step`. `codes` are those
 * of the slice, [rows + cols]. `mean2` is the mean square of the slice's weights less the factors.
 *
 * The block space of the worker gets everything. Its `weights` are those of the block, its
 * `decoded` what a reader gets, its `coded` the frames. */
lort_code lort_integers_encode(lort_slice_source *source, unsigned worker,
                               const lort_block_place *place, const uint8_t *codes, double mean2,
                               float step, lort_block_coded *out, lort_error *err);

#endif
