/* fill: a choice of types that uses at least a wished number of bytes.
 *
 * The least cost may leave much of a budget unused where tensors are few and types far apart. Then
 * a table over all sums of bytes gives the least cost among the choices that fill the budget. */
#ifndef LORT_COMPRESS_CHOICE_FILL_H
#define LORT_COMPRESS_CHOICE_FILL_H

#include "compress/choice/allocate.h"

/* Changes the result of lort_allocate (chosen, *out) so that its bytes are in [least, budget], at
 * the least cost. Changes nothing if they are there already, if the budget is too small, or if no
 * such choice is found. The search is exact for up to 60 tensors, and where the steps of bytes are
 * coarse. Above, it may miss a choice. *filled: whether it changed the choice. Memory: at most 21
 * MiB. On failure: LORT_E_MEMORY; chosen and *out stay as they were. */
lort_code lort_allocate_fill(const lort_alloc *alloc, const lort_choice *choices, uint64_t count,
                             uint32_t types, uint64_t least, uint64_t budget, uint8_t *chosen,
                             lort_allocation *out, bool *filled, lort_error *err);

#endif
