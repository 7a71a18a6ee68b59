/* rules: why a tensor is kept before anything of it is read; a table, in order. */
#ifndef LORT_COMPRESS_PLAN_RULES_H
#define LORT_COMPRESS_PLAN_RULES_H

#include "compress/lort.h"
#include "loader/model/model.h"

/* The first rule that keeps the tensor; NONE: none does, every slice is tried. */
lort_reason lort_rules_reason(const lort_model *model, const lort_options *options,
                              const lort_tensor *tensor);

#endif
