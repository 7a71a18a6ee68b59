/* guard: see guard.h. */
#include "loader/os/guard.h"
#include <stddef.h>

static lort_guard_slot slots[LORT_GUARD_SLOTS];

lort_guard_slot *lort_guard_find(uintptr_t address)
{
    for (int i = 0; i < LORT_GUARD_SLOTS; i++) {
        lort_guard_slot *slot = &slots[i];
        unsigned version = atomic_load(&slot->version);
        uintptr_t start = atomic_load(&slot->start), end = atomic_load(&slot->end);
        if (start && address >= start && address < end && !(version & 1) &&
            atomic_load(&slot->version) == version)
            return slot;
    }
    return NULL;
}

lort_guard_slot *lort_guard_claim(const void *data, uint64_t bytes)
{
    for (int i = 0; i < LORT_GUARD_SLOTS; i++) {
        lort_guard_slot *slot = &slots[i];
        unsigned version = atomic_load(&slot->version);
        if ((version & 1) || atomic_load(&slot->start) ||
            !atomic_compare_exchange_strong(&slot->version, &version, version + 1))
            continue;
        atomic_store(&slot->faulted, false);
        atomic_store(&slot->state, 0);
        atomic_store(&slot->end, (uintptr_t)data + (uintptr_t)bytes);
        atomic_store(&slot->start, (uintptr_t)data);
        atomic_store(&slot->version, version + 2);
        return slot;
    }
    return NULL;
}

void lort_guard_free(lort_guard_slot *slot)
{
    atomic_fetch_add(&slot->version, 1);
    atomic_store(&slot->start, 0);
    atomic_fetch_add(&slot->version, 1);
}
