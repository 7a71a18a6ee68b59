/* decide: decides what one slice of a tensor becomes: kept, factored, coded as integers or as
 * trits, and why.
 *
 * The room slice owns what becomes of one slice: the searches, their result, and the slice as a
 * matrix. It must not look at another slice, and it must not write. */
#ifndef LORT_COMPRESS_SLICE_DECIDE_H
#define LORT_COMPRESS_SLICE_DECIDE_H

#include "compress/slice/curve.h"
#include "compress/slice/outcome.h"

/* Decides one slice. The bytes in the container depend on the bytes of the slice, its plan and the
 * quality options alone. `held`, passes and seconds are figures of this run. A slice of a tensor
 * that is no candidate is KEPT with the planned reason, unread.
 *
 * work.pool does the work (NULL: the worker alone). work.worker names the scratch that this call
 * may use outside runs of the pool. Several slices may be decided at once, each with a worker of
 * its own.
 *
 * The outcome owns its memory: free it with lort_outcome_free. On failure it owns nothing. */
lort_code lort_decide(const lort_decider *decider, const lort_tensor_plan *planned, uint32_t slice,
                      lort_work work, lort_outcome *out, lort_error *err);
/* Measures the curve of one slice under a target size. The curve owns no memory. Threads: as
 * lort_decide. */
lort_code lort_decide_curve(const lort_decider *decider, const lort_tensor_plan *planned,
                            uint32_t slice, lort_work work, lort_curve *curve, lort_error *err);

#endif
