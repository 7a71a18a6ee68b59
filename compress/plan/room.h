/* room: the memory that each slice takes, and the mode, threads and slices in work that follow from
 * it. */
#ifndef LORT_COMPRESS_PLAN_ROOM_H
#define LORT_COMPRESS_PLAN_ROOM_H

#include "compress/plan/plan.h"

/* Sets `pending` and `holds` of a candidate. */
void lort_room_pending(const lort_options *options, lort_tensor_plan *planned);
/* Chooses mode, threads, abreast and team of a plan whose tensors are known. Sets need, peak and
 * spare, and the report's mode with its reason. On failure LORT_E_MEMORY names the tensor that does
 * not fit and the smallest --memory that would do. */
lort_code lort_room_choose(lort_session *session, const lort_model *model,
                           const lort_options *options, lort_work_plan *plan, lort_error *err);

#endif
