/* equal: tensors of equal type, shape and bytes, such as a head that is tied to the embedding. LoRT
 * stores the first of them, and the others as "the same as".
 *
 * The one place of the room that reads weights, for two reasons. The head of the container says
 * whether it has such parts. And one plan must serve all tensors of the same bytes. */
#ifndef LORT_COMPRESS_PLAN_EQUAL_H
#define LORT_COMPRESS_PLAN_EQUAL_H

#include "compress/plan/plan.h"

/* Finds equal tensors and marks all but the first of each group as `same`, with its origin.
 *
 * The group is one candidate if all its tensors are candidates, else it is kept. The strictest kind
 * of the group is that of the first tensor. All-zero tensors, and tensors of few bytes, have no
 * group. The time goes with the number of tensors. LoRT samples tensors of equal type and shape,
 * and reads those with equal samples. Memory: 56 to 64 bytes for each extent, and 1 MiB.
 * session: asked for stops. plan: tensor, reason, candidate and kind of every extent are set.
 * On failure: LORT_E_READ, LORT_E_MEMORY or LORT_E_STOPPED. */
lort_code lort_equal_find(lort_session *session, lort_model *model, const lort_options *options,
                          lort_work_plan *plan, lort_error *err);

#endif
