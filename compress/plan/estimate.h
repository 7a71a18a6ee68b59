/* estimate: how large the output will be, estimated from headers and samples of the lossless form.
 */
#ifndef LORT_COMPRESS_PLAN_ESTIMATE_H
#define LORT_COMPRESS_PLAN_ESTIMATE_H

#include "compress/plan/plan.h"

/* The share of its bytes that a kept part usually takes losslessly, at best (high false) or at
 * worst. */
double lort_plan_share(const lort_tensor_plan *planned, bool high);
/* Bytes of the output that --size asks for. */
double lort_plan_size(const lort_options *options, const lort_model *model);
/* The elements of all tensors that count in bits per weight. */
double lort_plan_elements(const lort_work_plan *plan);
typedef struct lort_span {
    double low, high;
} lort_span;
/* Sets out_low and out_high of the plan: never above the lossless form. */
void lort_estimate_output(const lort_model *model, const lort_options *options,
                          lort_work_plan *plan);
/* For --size and --bpw. True if compress will surely reach the target. smallest: what is the least
 * that it can reach, in bytes or in bits per weight; headers tell no more than an interval. */
bool lort_estimate_reach(const lort_model *model, const lort_options *options,
                         const lort_work_plan *plan, lort_span *smallest);

#endif
