/* tensor: matrices of a tensor, and the index of tensors by name (open addressing, linear
 * probing). */
#include "formats/types/tensor.h"
#include "formats/base/hash.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

/* The index is at most half full. At that load the longest run among n random hashes is about 5 ln
 * n slots. A run of MAX_PROBES slots means that someone made the names collide. Without a limit
 * such names would take time with the square of their number. */
#define MAX_PROBES 256u

lort_matrices lort_tensor_matrices(const lort_tensor *tensor)
{
    lort_matrices m = {1, 1, 1};
    uint32_t n = tensor->n_dims;
    if (n >= 1)
        m.cols = tensor->dims[n - 1];
    if (n >= 2)
        m.rows = tensor->dims[n - 2];
    for (uint32_t i = 0; i + 2 < n; i++)
        /* No overflow: the gates checked the product, without zeros (lort_layout_elements). */
        m.slices *= tensor->dims[i];
    return m;
}

lort_matrices lort_dims_convolution(const int64_t *dims, uint32_t n_dims)
{
    lort_matrices m = {1, dims[0], 1};
    for (uint32_t i = 1; i < n_dims; i++)
        m.cols *= dims[i];
    return m;
}

bool lort_tensor_is_convolution(const lort_tensor *tensor)
{
    bool kernels = tensor->n_dims >= 3 && tensor->n_dims <= 5;
    for (uint32_t i = 2; kernels && i < tensor->n_dims; i++)
        kernels = tensor->dims[i] <= LORT_KERNEL_MOST;
    return kernels;
}

static bool same_name(const lort_tensor *tensor, const char *name, uint64_t name_bytes)
{
    return tensor->name_bytes == name_bytes && memcmp(tensor->name, name, (size_t)name_bytes) == 0;
}

/* The slot that holds the name, or the free slot where it belongs. NULL after MAX_PROBES slots. */
static uint32_t *find_slot(const lort_index *index, const char *name, uint64_t name_bytes)
{
    uint64_t mask = index->slot_count - 1;
    uint64_t at = lort_name_hash(name, name_bytes) & mask;
    for (unsigned tries = 0; tries < MAX_PROBES; tries++, at = (at + 1) & mask)
        if (!index->slots[at] || same_name(&index->tensors[index->slots[at] - 1], name, name_bytes))
            return &index->slots[at];
    return NULL;
}

static lort_code put_name(const lort_index *index, uint64_t number, lort_error *err)
{
    const lort_tensor *tensor = &index->tensors[number];
    uint32_t *slot = find_slot(index, tensor->name, tensor->name_bytes);
    char name[160];
    if (!slot)
        return lort_fail(
            err, LORT_E_INPUT,
            "the tensor names are made to collide (a run of more than %u in the hash table)",
            MAX_PROBES);
    if (*slot)
        return lort_fail(err, LORT_E_INPUT, "tensor name '%s' occurs twice",
                         lort_escape(name, sizeof name, tensor->name, tensor->name_bytes));
    *slot = (uint32_t)number + 1;
    return LORT_OK;
}

lort_code lort_index_build(lort_index *index, lort_arena *arena, lort_error *err)
{
    uint64_t slots = 8;
    void *memory;
    if (index->count > LORT_INDEX_MOST)
        return lort_fail(err, LORT_E_INPUT, "%llu tensors (at most %u are allowed)",
                         (unsigned long long)index->count, LORT_INDEX_MOST);
    while (slots < 2 * index->count)
        slots *= 2;
    lort_code code = lort_arena_take(arena, slots * sizeof *index->slots, &memory, err);
    if (code)
        return code;
    index->slots = memory;
    index->slot_count = slots;
    for (uint64_t i = 0; i < index->count && code == LORT_OK; i++)
        code = put_name(index, i, err);
    return code;
}

const lort_tensor *lort_index_find(const lort_index *index, const char *name, uint64_t name_bytes)
{
    if (index->slot_count == 0)
        return NULL;
    const uint32_t *slot = find_slot(index, name, name_bytes);
    return slot && *slot ? &index->tensors[*slot - 1] : NULL;
}

const char *lort_shape_text(const lort_tensor *tensor, char *out, size_t cap)
{
    size_t at = 0;
    snprintf(out, cap, "[");
    for (uint32_t i = 0; i < tensor->n_dims && at < cap; i++) {
        at = strlen(out);
        snprintf(out + at, cap - at, "%s%lld", i ? ", " : "", (long long)tensor->dims[i]);
    }
    at = strlen(out);
    snprintf(out + at, cap - at, "]");
    return out;
}
