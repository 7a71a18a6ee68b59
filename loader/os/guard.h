/* guard: the registry of guarded mappings. A handler of faults looks an address up in it. All
 * functions use atomics only, so a handler may call them. */
#ifndef LORT_LOADER_OS_GUARD_H
#define LORT_LOADER_OS_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LORT_GUARD_SLOTS 4096

/* `version` is odd while the owner changes the slot. The handler skips a slot that changes during
 * the lookup. Such a slot cannot be the one that faulted: a mapping stays registered while somebody
 * reads it. */
typedef struct lort_guard_slot {
    atomic_uint version;
    atomic_uintptr_t start, end; /* start 0: free */
    atomic_bool faulted;
    atomic_uint state; /* for the handler; 0 in a new slot */
} lort_guard_slot;

/* The slot whose mapping holds the address, or NULL. */
lort_guard_slot *lort_guard_find(uintptr_t address);
/* Registers a mapping of `bytes` bytes, in whole pages. NULL if all slots are taken. */
lort_guard_slot *lort_guard_claim(const void *data, uint64_t bytes);
void lort_guard_free(lort_guard_slot *slot);

#endif
