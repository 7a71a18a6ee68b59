/* law: how much the error of a tensor costs the model. Without running the model, the allocation
 * goes by it (docs/NUMERICS.md, "Types of tensors").
 *
 *     cost = weight * relative error^2 * elements^exponent
 */
#ifndef LORT_COMPRESS_CHOICE_LAW_H
#define LORT_COMPRESS_CHOICE_LAW_H

#include "compress/choice/roles.h"

/* What the law asks of a model. */
typedef struct lort_law_model {
    bool tied;       /* the embedding is the output head, too */
    int64_t layers;  /* 1 + the largest layer; at least 1 */
    double elements; /* of all tensors that can be quantised */
} lort_law_model;

/* use, layer, elements: of the tensor. error2: relative error squared. */
double lort_law_cost(const lort_law_model *model, lort_use use, int64_t layer, double elements,
                     double error2);

#endif
