/* part: answers questions about a PART record that was read. */
#ifndef LORT_FORMATS_CONTAINER_PART_H
#define LORT_FORMATS_CONTAINER_PART_H

#include "formats/container/container.h"

/* Elements of the part: the product of its dims, or the bytes of an opaque tensor. */
uint64_t lort_part_elements(const lort_part *part);
/* True if some slice is coded as integers or trits. */
bool lort_part_has_blocks(const lort_part *part);
/* True if the whole part is stored losslessly. */
bool lort_part_is_raw(const lort_part *part);
/* True if readers can decode rows to f32: every term has an element type with a decoder. */
bool lort_part_decodes(const lort_part *part);
/* Rows and columns of a slice of the part, as lort_tensor_matrices. A part of more than two dims
 * may have one slice. Then cols is the last dim, and rows is the product of the others; of a
 * convolution rows is the first dim, and cols the product of the others. A scalar has one column.
 * An opaque tensor is one row of its bytes. */
lort_matrices lort_part_matrices(const lort_part *part);
#endif
