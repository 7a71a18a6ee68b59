/* estimate: how large the output will be, estimated from headers alone. */
#ifndef LORT_COMPRESS_PLAN_ESTIMATE_H
#define LORT_COMPRESS_PLAN_ESTIMATE_H

#include "compress/plan/plan.h"

/* The share of its bytes that a kept part usually takes losslessly, at best (high false) or at
 * worst. */
double lort_plan_share(const lort_tensor_plan *planned, bool high);
/* Bytes of the output that --size asks for. */
double lort_plan_size(const lort_options *options, const lort_model *model);
/* Sets out_low and out_high of the plan. */
void lort_estimate_output(const lort_model *model, const lort_options *options,
                          lort_work_plan *plan);

#endif
