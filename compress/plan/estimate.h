/* estimate: how large the output will be, before any weight is read. */
#ifndef LORT_COMPRESS_PLAN_ESTIMATE_H
#define LORT_COMPRESS_PLAN_ESTIMATE_H

#include "compress/plan/plan.h"

/* Share of a kept part's bytes that its lossless form usually comes to, at best or at worst, before
 * it is read. */
double lort_plan_share(const lort_tensor_plan *planned, bool high);
/* Bytes of the output that GOAL_SIZE asks for. */
double lort_plan_size(const lort_options *options, const lort_model *model);
/* Sets out_low and out_high of the plan. */
void lort_estimate_output(const lort_model *model, const lort_options *options,
                          lort_work_plan *plan);

#endif
