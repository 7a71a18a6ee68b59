/* part: see part.h. */
#include "formats/container/part.h"
#include "formats/container/container.h"
#include "formats/types/layout.h"
#include "formats/types/opaque.h"

bool lort_part_has_blocks(const lort_part *part)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        if (lort_term_get((uint32_t)part->terms[i].kind)->blocks)
            return true;
    return false;
}

uint64_t lort_part_elements(const lort_part *part)
{
    uint64_t n = 1;
    if (lort_is_opaque((uint32_t)part->dtype))
        return part->source_bytes;
    for (uint32_t i = 0; i < part->n_dims; i++)
        n *= (uint64_t)part->dims[i]; /* no overflow: the gate checked the product */
    return n;
}

bool lort_part_is_raw(const lort_part *part)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        if (part->terms[i].kind != LORT_TERM_RAW)
            return false;
    return true;
}

bool lort_part_decodes(const lort_part *part)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        if (part->terms[i].kind != LORT_TERM_INTEGERS &&
            part->terms[i].kind != LORT_TERM_OUTLIERS &&
            !lort_dtype_get(part->terms[i].left)->decode)
            return false;
    return true;
}

lort_matrices lort_part_matrices(const lort_part *part)
{
    uint64_t elements = 0;
    lort_matrices m = {.slices = part->slices, .rows = 0, .cols = 1};
    if (lort_is_opaque((uint32_t)part->dtype))
        return (lort_matrices){1, part->source_bytes ? 1 : 0, (int64_t)part->source_bytes};
    lort_layout_elements(part->dims, part->n_dims, &elements); /* the gate checked it */
    if (part->convolution && elements)
        return lort_dims_convolution(part->dims, part->n_dims);
    if (part->n_dims)
        m.cols = part->dims[part->n_dims - 1];
    if (elements)
        m.rows = (int64_t)(elements / part->slices / (uint64_t)m.cols);
    return m;
}

const lort_term *lort_part_term(const lort_part *part, uint32_t slice, lort_term_kind kind)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        if (part->terms[i].kind == kind && part->terms[i].rank[slice])
            return &part->terms[i];
    return NULL;
}
