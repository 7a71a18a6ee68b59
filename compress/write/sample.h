/* sample: measures a few matrices for `plan --sample`. It writes nothing. */
#ifndef LORT_COMPRESS_WRITE_SAMPLE_H
#define LORT_COMPRESS_WRITE_SAMPLE_H

#include "compress/plan/plan.h"
#include "compress/slice/slice.h"

/* Tells the meter what lort_sample will take. sample 0: nothing. */
void lort_sample_expect(const lort_decider *decider, const lort_work_plan *plan, int64_t sample);
/* Decides the first slices of `sample` evenly spaced candidates. Fills the reports of their tensors
 * and narrows the plan's estimate of the output. */
lort_code lort_sample(const lort_decider *decider, lort_work_plan *plan, int64_t sample,
                      lort_error *err);

#endif
