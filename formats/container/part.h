/* part: questions about a parsed PART record. */
#ifndef LORT_FORMATS_CONTAINER_PART_H
#define LORT_FORMATS_CONTAINER_PART_H

#include "formats/container/container.h"

uint64_t lort_part_elements(const lort_part *part);
/* True if some slice is coded by integers, or by trits. */
bool lort_part_has_blocks(const lort_part *part);
/* True if the part is stored losslessly whole. */
bool lort_part_is_raw(const lort_part *part);
/* True if rows of f32 can be had: every term's element type has a decoder. */
bool lort_part_decodes(const lort_part *part);
/* Rows and columns of a slice of a part, as lort_tensor_matrices; whole parts (slices == 1) of more
 * dims are one slice: cols is the last dim (1 for a scalar), rows the rest. */
lort_matrices lort_part_matrices(const lort_part *part);
#endif
