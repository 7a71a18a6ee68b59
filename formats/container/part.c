/* part: see part.h. */
#include "formats/container/part.h"
#include "formats/container/container.h"
#include "formats/types/layout.h"
#include "formats/types/opaque.h"
#include <string.h>

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
        if (part->terms[i].kind != LORT_TERM_RAW && part->terms[i].kind != LORT_TERM_BASE)
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

static bool same_tensor(const lort_part *a, const lort_part *b)
{
    bool same = a->dtype == b->dtype && a->n_dims == b->n_dims &&
                a->source_bytes == b->source_bytes &&
                memcmp(a->source.bytes, b->source.bytes, sizeof a->source.bytes) == 0;
    for (uint32_t i = 0; same && i < a->n_dims; i++)
        same = a->dims[i] == b->dims[i];
    return same;
}

lort_code lort_part_share(lort_part *part, const lort_part *origin, lort_error *err)
{
    if (!origin->tensor || origin->same)
        return lort_fail(err, LORT_E_DAMAGED,
                         "it is the same as part %llu, which is %s (allowed: a tensor that is "
                         "stored by itself)",
                         (unsigned long long)part->origin,
                         origin->tensor ? "itself the same as another part" : "raw bytes");
    if (!same_tensor(part, origin))
        return lort_fail(err, LORT_E_DAMAGED,
                         "it is the same as part %llu, but type, shape, size or source hash differ",
                         (unsigned long long)part->origin);
    part->slices = origin->slices;
    part->convolution = origin->convolution;
    part->has_error = origin->has_error;
    part->rel_error = origin->rel_error;
    part->reason = origin->reason;
    part->terms = origin->terms;
    part->term_count = origin->term_count;
    part->chunks = origin->chunks;
    part->chunk_count = origin->chunk_count;
    part->payload_bytes = origin->payload_bytes;
    return LORT_OK;
}

lort_code lort_part_matches(const lort_part *part, const lort_model_record *model, lort_error *err)
{
    if (part->number >= model->extent_count)
        return lort_fail(err, LORT_E_DAMAGED, "part number is %llu, but the model has %llu parts",
                         (unsigned long long)part->number, (unsigned long long)model->extent_count);
    const lort_extent *extent = &model->extents[part->number];
    if (part->tensor != extent->tensor || part->source_bytes != extent->bytes)
        return lort_fail(err, LORT_E_DAMAGED,
                         "part %llu is %s of %llu bytes, but its extent is %s of %llu bytes",
                         (unsigned long long)part->number, part->tensor ? "a tensor" : "raw",
                         (unsigned long long)part->source_bytes,
                         extent->tensor ? "a tensor" : "raw", (unsigned long long)extent->bytes);
    if (!part->tensor && (part->dtype != LORT_U8 || part->n_dims != 1))
        return lort_fail(err, LORT_E_DAMAGED,
                         "raw part %llu is not a list of bytes (allowed: type U8, 1 dimension)",
                         (unsigned long long)part->number);
    return LORT_OK;
}
