/* routers: finds the tensors that choose experts or tokens, by name and by structure. Their order
 * decides, so a small error changes the result of a model.
 *
 *   by name        the last part before ".weight" is gate, router or wg, or follows "router.", and
 *                  a side is at most 1,024; or a name of the table in routers.c
 *   by structure   a matrix of a block with E experts: one side is E, the other one is a side of
 *                  the experts' matrices
 *
 * A block is all tensors with the same first number in their names, such as "model.layers.3". E
 * comes from the configuration, from the leading dimension of stacked experts, or from the numbers
 * of experts in names. */
#ifndef LORT_COMPRESS_PLAN_ROUTERS_H
#define LORT_COMPRESS_PLAN_ROUTERS_H

#include "compress/plan/facts.h"
#include "compress/slice/tensor_plan.h"

/* Sets marks[i] of tensors without a mark to ROUTER. Time and memory are linear in the number of
 * tensors. */
lort_code lort_routers_mark(const lort_index *index, const lort_facts *facts,
                            const lort_alloc *alloc, uint8_t *marks, lort_error *err);

#endif
