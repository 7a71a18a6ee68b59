/* lossless: about how small the lossless form of each tensor is, measured on samples of its bytes.
 * Types tell too little: F32 tensors may hold BF16 values.
 *
 * Only the forecast and the question whether a size is in reach use it. No byte of a container
 * depends on it. */
#ifndef LORT_COMPRESS_PLAN_LOSSLESS_H
#define LORT_COMPRESS_PLAN_LOSSLESS_H

#include "compress/plan/plan.h"

/* Sets lossless_share and lossless_whole of the plan's tensors, but of those that are the same as
 * another one. Reads at most 1 MiB of a tensor and 32 MiB of a model, rounded up to pieces: evenly
 * spaced pieces of at most 64 KiB. Of more than 1024 tensors it reads evenly spaced ones. Memory:
 * 300 KiB and a codec. On failure: LORT_E_READ, LORT_E_MEMORY or LORT_E_STOPPED. */
lort_code lort_lossless_sample(lort_session *session, lort_model *model, lort_work_plan *plan,
                               lort_error *err);

#endif
