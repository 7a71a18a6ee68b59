/* rules: why a tensor is kept, decided from its header. One table in order. */
#ifndef LORT_COMPRESS_PLAN_RULES_H
#define LORT_COMPRESS_PLAN_RULES_H

#include "compress/lort.h"
#include "compress/plan/plan.h"
#include "compress/plan/view.h"
#include "compress/session/session.h"
#include "compress/slice/tensor_plan.h"

/* The reason of the first rule that keeps the tensor. NONE: no rule keeps it, so LoRT tries every
 * slice. view, mark: of the tensor (view.h, marks.h). */
lort_reason lort_rules_reason(const lort_options *options, const lort_tensor *tensor,
                              const lort_view *view, lort_mark mark);
/* Warns of patterns of the options that match no tensor. */
void lort_rules_warn(lort_session *session, const lort_index *index, const lort_options *options);
/* Warns once, before hours of work, that quantised tensors are restored as F16. */
void lort_rules_warn_growth(lort_session *session, const lort_work_plan *plan);

#endif
