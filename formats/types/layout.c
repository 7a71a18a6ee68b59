/* layout: sorts by a bottom-up merge sort. It is stable, has no recursion, and takes O(n log n) for
 * any file. Its memory comes from the allocator; that of qsort may not. */
#include "formats/types/layout.h"
#include <string.h>

static bool in_order(const lort_tensor *a, const lort_tensor *b)
{
    return a->offset < b->offset || (a->offset == b->offset && a->bytes <= b->bytes);
}

/* Merges the sorted runs [first, middle) and [middle, end). */
static void merge_extents(const lort_tensor *from, uint64_t first, uint64_t middle, uint64_t end,
                          lort_tensor *to)
{
    uint64_t a = first, b = middle;
    for (uint64_t i = first; i < end; i++) {
        bool take_a = b == end || (a < middle && in_order(&from[a], &from[b]));
        to[i] = from[take_a ? a++ : b++];
    }
}

lort_code lort_layout_sort(lort_tensor *tensors, uint64_t count, const lort_alloc *alloc,
                           lort_error *err)
{
    uint64_t sorted = 1;
    while (sorted < count && in_order(&tensors[sorted - 1], &tensors[sorted]))
        sorted++;
    if (sorted >= count)
        return LORT_OK;
    void *scratch;
    lort_code code = lort_take(alloc, count * sizeof *tensors, "sorting tensors", &scratch, err);
    if (code)
        return code;
    lort_tensor *from = tensors, *to = scratch;
    for (uint64_t run = 1; run < count; run *= 2) {
        for (uint64_t at = 0; at < count; at += 2 * run) {
            uint64_t middle = at + run < count ? at + run : count;
            uint64_t end = at + 2 * run < count ? at + 2 * run : count;
            merge_extents(from, at, middle, end, to);
        }
        lort_tensor *swap = from;
        from = to;
        to = swap;
    }
    if (from != tensors)
        memcpy(tensors, from, count * sizeof *tensors);
    lort_give(alloc, scratch, count * sizeof *tensors);
    return LORT_OK;
}

bool lort_layout_elements(const int64_t *dims, uint32_t n_dims, uint64_t *elements)
{
    uint64_t product = 1;
    bool empty = false;
    for (uint32_t i = 0; i < n_dims; i++) {
        uint64_t dim = (uint64_t)dims[i];
        if (dim > INT64_MAX || (dim && product > INT64_MAX / dim))
            return false;
        empty = empty || dim == 0;
        product *= dim ? dim : 1;
    }
    *elements = empty ? 0 : product;
    return true;
}
