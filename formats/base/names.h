/* names: a growing set of byte strings. Parsers find duplicates in untrusted headers with it, in
 * one pass. The set stores views: the bytes of a name must stay where they are. The set refuses
 * names that were made to collide, because a search among them would be slow. */
#ifndef LORT_FORMATS_BASE_NAMES_H
#define LORT_FORMATS_BASE_NAMES_H

#include "formats/base/alloc.h"
#include <stdbool.h>

typedef struct lort_names_slot {
    const char *name; /* NULL: the slot is free */
    uint32_t bytes, value;
} lort_names_slot;

/* Zero-initialise all but `alloc`. */
typedef struct lort_names {
    const lort_alloc *alloc;
    lort_names_slot *slots;
    uint64_t slot_count, used;
} lort_names;

/* Adds `name` with `value`, unless the name is in the set. *is_new: whether LoRT added the name.
 * *found: the value that the set has for it. On failure: LORT_E_MEMORY, or LORT_E_INPUT for names
 * that were made to collide. */
lort_code lort_names_add(lort_names *names, const char *name, uint32_t bytes, uint32_t value,
                         bool *is_new, uint32_t *found, lort_error *err);
/* Returns the slot of the name, or NULL. */
lort_names_slot *lort_names_find(const lort_names *names, const char *name, uint32_t bytes);
void lort_names_free(lort_names *names);

#endif
