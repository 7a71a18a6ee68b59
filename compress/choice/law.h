/* law: how much the error of a tensor costs the model. Without running the model, the allocation
 * goes by it (docs/NUMERICS.md, "Types of tensors").
 *
 *     cost = weight * relative error^2
 *
 * The Kullback-Leibler divergence of a file is the sum of such terms to 3 % (measured). A matrix of
 * a layer counts the same in every layer and at every size. So a head, which stands alone, counts
 * as several layers do together. */
#ifndef LORT_COMPRESS_CHOICE_LAW_H
#define LORT_COMPRESS_CHOICE_LAW_H

#include "compress/choice/roles.h"

/* Returns the cost of a tensor. tied: the model has no output head, so its embedding is one.
 * layers: of the model, at least 1. error2: the relative error squared, weighed by importance where
 * that is known. */
double lort_law_cost(lort_use use, bool tied, int64_t layers, double error2);

#endif
