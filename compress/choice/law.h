/* law: how much the error of a tensor costs the model. Without running the model, the allocation
 * goes by it (docs/NUMERICS.md, "Types of tensors").
 *
 *     cost = weight * depth * relative error^2
 *
 * The Kullback-Leibler divergence of a file is the sum of such terms to 3 % (measured). The size of
 * a matrix does not count. So a head, which stands alone, counts as several layers do together. A
 * stack of experts counts as one matrix. */
#ifndef LORT_COMPRESS_CHOICE_LAW_H
#define LORT_COMPRESS_CHOICE_LAW_H

#include "compress/choice/roles.h"

/* What the law asks of a model. */
typedef struct lort_law_model {
    bool tied;      /* the model has no output head, so its embedding is one */
    int64_t layers; /* at least 1 */
} lort_law_model;

/* Returns the cost of a tensor. layer: of the tensor, or -1. error2: the relative error squared. */
double lort_law_cost(const lort_law_model *model, lort_use use, int64_t layer, double error2);

#endif
