/* sample: what a few matrices come to, for `plan --sample`. Writes nothing. */
#ifndef LORT_COMPRESS_WRITE_SAMPLE_H
#define LORT_COMPRESS_WRITE_SAMPLE_H

#include "compress/plan/plan.h"
#include "compress/slice/slice.h"

/* Decides `sample` evenly spaced candidate matrices without writing: narrows the plan's output
 * interval, fills those tensors' reports. */
lort_code lort_sample(const lort_decider *decider, lort_work_plan *plan, int64_t sample,
                      lort_error *err);

#endif
