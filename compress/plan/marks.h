/* marks: what each tensor is beside others of the model, found before the keep rules: a part of a
 * module that is quantised already, a router, a mask, a table of positions. */
#ifndef LORT_COMPRESS_PLAN_MARKS_H
#define LORT_COMPRESS_PLAN_MARKS_H

#include "compress/plan/facts.h"
#include "compress/slice/tensor_plan.h"

typedef struct lort_marks {
    uint8_t *of; /* [count], a lort_mark for each tensor of the index */
    uint64_t count;
    uint64_t quantised; /* packed tensors and companions */
    char method[40];    /* of quantisation; "": not known */
} lort_marks;

/* Marks all tensors of a model. Reads headers and configurations only. On failure: LORT_E_READ or
 * LORT_E_MEMORY, and *marks is empty. Owner: free it with lort_marks_free. */
lort_code lort_marks_make(lort_session *session, lort_model *model, lort_marks *marks,
                          lort_error *err);
void lort_marks_free(lort_marks *marks, const lort_alloc *alloc);
/* Warns once of tensors that are quantised already, and once of those that --include names. */
void lort_marks_warn(lort_session *session, const lort_model *model, const lort_options *options,
                     const lort_marks *marks);

#endif
