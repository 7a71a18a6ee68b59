/* sort: see sort.h. Items are moved as bytes. */
#include "formats/base/sort.h"
#include <string.h>

typedef struct heap {
    uint8_t *items;
    size_t bytes;
    lort_before_fn *before;
} heap;

static uint8_t *at(const heap *h, uint64_t number) { return h->items + number * h->bytes; }

static bool comes_before(const heap *h, uint64_t a, uint64_t b)
{
    return h->before(at(h, a), at(h, b));
}

static void swap(const heap *h, uint64_t a, uint64_t b)
{
    uint8_t spare[LORT_SORT_BYTES_MAX];
    memcpy(spare, at(h, a), h->bytes);
    memcpy(at(h, a), at(h, b), h->bytes);
    memcpy(at(h, b), spare, h->bytes);
}

/* Moves an item down until its children do not come behind it. */
static void sift_down(const heap *h, uint64_t item, uint64_t n)
{
    for (uint64_t child; (child = 2 * item + 1) < n; item = child) {
        if (child + 1 < n && comes_before(h, child, child + 1))
            child++;
        if (!comes_before(h, item, child))
            return;
        swap(h, item, child);
    }
}

void lort_sort(void *items, uint64_t count, size_t bytes, lort_before_fn *before)
{
    const heap h = {items, bytes, before};
    for (uint64_t i = count / 2; i-- > 0;)
        sift_down(&h, i, count);
    for (uint64_t i = count; i-- > 1;) {
        swap(&h, 0, i);
        sift_down(&h, 0, i);
    }
}
