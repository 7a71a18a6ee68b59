/* names: a growing set of byte strings, for finding duplicates in untrusted headers in one pass. It
 * stores views: the bytes must stay where they are. A crafted set of names whose hashes collide is
 * refused instead of being searched slowly. */
#ifndef LORT_FORMATS_BASE_NAMES_H
#define LORT_FORMATS_BASE_NAMES_H

#include "formats/base/alloc.h"
#include <stdbool.h>

typedef struct lort_names_slot {
    const char *name; /* NULL = free */
    uint32_t bytes, value;
} lort_names_slot;

/* Zero-initialise with the allocator. */
typedef struct lort_names {
    const lort_alloc *alloc;
    lort_names_slot *slots;
    uint64_t slot_count, used;
} lort_names;

/* Adds `name` with `value` unless it is there already: then *found is the earlier value and *is_new
 * false. */
lort_code lort_names_add(lort_names *names, const char *name, uint32_t bytes, uint32_t value,
                         bool *is_new, uint32_t *found, lort_error *err);
/* or NULL */
lort_names_slot *lort_names_find(const lort_names *names, const char *name, uint32_t bytes);
void lort_names_free(lort_names *names);

#endif
