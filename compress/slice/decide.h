/* decide: one slice of one tensor - factored or kept, and why. The result is a function of the
 * slice's bytes and the quality options only. */
#ifndef LORT_COMPRESS_SLICE_DECIDE_H
#define LORT_COMPRESS_SLICE_DECIDE_H

#include "compress/slice/curve.h"
#include "compress/slice/outcome.h"

/* worker: whose scratch is used by the caller; pool: who factors (NULL: this worker alone). */
lort_code lort_decide(const lort_decider *decider, const lort_tensor_plan *planned, uint32_t slice,
                      lort_work work, lort_outcome *out, lort_error *err);
/* The curve of a slice under a target for the size of all. */
lort_code lort_decide_curve(const lort_decider *decider, const lort_tensor_plan *planned,
                            uint32_t slice, lort_work work, lort_curve *curve, lort_error *err);

#endif
