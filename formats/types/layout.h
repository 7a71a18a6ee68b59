/* layout: sorts tensors into data order and counts their elements. The parsers share it. Dimensions
 * and offsets are not trusted yet. */
#ifndef LORT_FORMATS_TYPES_LAYOUT_H
#define LORT_FORMATS_TYPES_LAYOUT_H

#include "formats/types/tensor.h"

/* Sorts by (offset, bytes), stably. So an empty tensor comes before the tensor that starts at the
 * same offset. It takes scratch memory only if the tensors are out of order. On failure:
 * LORT_E_MEMORY. */
lort_code lort_layout_sort(lort_tensor *tensors, uint64_t count, const lort_alloc *alloc,
                           lort_error *err);

/* Puts the product of the dims into *elements. Returns false if a dim is negative, or if the
 * product without zeros exceeds INT64_MAX. */
bool lort_layout_elements(const int64_t *dims, uint32_t n_dims, uint64_t *elements);

/* Bytes for a name in a message, after lort_escape. */
#define LORT_SHOWN_NAME 200

#endif
