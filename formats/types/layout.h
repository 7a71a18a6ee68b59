/* layout: tensors into data order. Shared by the parsers; pure bookkeeping on offsets that are
 * still untrusted. */
#ifndef LORT_FORMATS_TYPES_LAYOUT_H
#define LORT_FORMATS_TYPES_LAYOUT_H

#include "formats/types/tensor.h"

/* Sorts by (offset, bytes), stably, so that empty tensors come before the one that starts where
 * they stand. Takes scratch memory only if they are out of order. */
lort_code lort_layout_sort(lort_tensor *tensors, uint64_t count, const lort_alloc *alloc,
                           lort_error *err);

/* Product of the dims; false when it (zeros left out) exceeds INT64_MAX or a dim is negative. */
bool lort_layout_elements(const int64_t *dims, uint32_t n_dims, uint64_t *elements);

/* Room for a name in a message, after lort_escape. */
#define LORT_SHOWN_NAME 200

#endif
