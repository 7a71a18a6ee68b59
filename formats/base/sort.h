/* sort: sorts without memory of its own, in n log n steps for every input. */
#ifndef LORT_FORMATS_BASE_SORT_H
#define LORT_FORMATS_BASE_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LORT_SORT_BYTES_MAX 128u /* of one item */

/* True if the item at `a` comes before the one at `b`. A total order, or equal items may change
 * places. */
typedef bool lort_before_fn(const void *a, const void *b);
/* Sorts items[0, count) of `bytes` bytes each. Heapsort. */
void lort_sort(void *items, uint64_t count, size_t bytes, lort_before_fn *before);

#endif
