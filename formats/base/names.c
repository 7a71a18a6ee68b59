/* names: open addressing with linear probing, at most two thirds full. At that load the longest run
 * among n random hashes is about 14 ln n slots. A run of MAX_PROBES slots means that someone made
 * the names collide. */
#include "formats/base/names.h"
#include "formats/base/hash.h"
#include <string.h>

#define FIRST_SLOTS 64u
#define MAX_PROBES 1024u

/* The slot that holds the name, or the free slot where it belongs. NULL after MAX_PROBES slots. */
static lort_names_slot *probe_slot(const lort_names *names, const char *name, uint32_t bytes)
{
    uint64_t mask = names->slot_count - 1;
    uint64_t at = lort_name_hash(name, bytes) & mask;
    for (uint32_t tries = 0; tries < MAX_PROBES; tries++, at = (at + 1) & mask) {
        lort_names_slot *slot = &names->slots[at];
        if (!slot->name || (slot->bytes == bytes && memcmp(slot->name, name, bytes) == 0))
            return slot;
    }
    return NULL;
}

static lort_code refuse_collision(lort_error *err)
{
    return lort_fail(
        err, LORT_E_INPUT,
        "the names in this header are made to collide (a run of more than %u in the hash table)",
        MAX_PROBES);
}

static lort_code grow_slots(lort_names *names, lort_error *err)
{
    lort_names bigger = *names;
    bigger.slot_count = names->slot_count ? names->slot_count * 2 : FIRST_SLOTS;
    void *memory;
    lort_code code = lort_take_zero(names->alloc, bigger.slot_count * sizeof *bigger.slots,
                                    "a set of names", &memory, err);
    if (code)
        return code;
    bigger.slots = memory;
    for (uint64_t i = 0; i < names->slot_count && !code; i++) {
        const lort_names_slot *old = &names->slots[i];
        lort_names_slot *slot = old->name ? probe_slot(&bigger, old->name, old->bytes) : NULL;
        if (slot)
            *slot = *old;
        else if (old->name)
            code = refuse_collision(err);
    }
    lort_names *unused = code ? &bigger : names;
    lort_give(names->alloc, unused->slots, unused->slot_count * sizeof *unused->slots);
    if (!code)
        *names = bigger;
    return code;
}

lort_code lort_names_add(lort_names *names, const char *name, uint32_t bytes, uint32_t value,
                         bool *is_new, uint32_t *found, lort_error *err)
{
    *is_new = false;
    *found = 0;
    lort_code code = names->used * 3 >= names->slot_count * 2 ? grow_slots(names, err) : LORT_OK;
    if (code)
        return code;
    lort_names_slot *slot = probe_slot(names, name, bytes);
    if (!slot)
        return refuse_collision(err);
    *is_new = !slot->name;
    *found = slot->name ? slot->value : value;
    if (slot->name)
        return LORT_OK;
    *slot = (lort_names_slot){name, bytes, value};
    names->used++;
    return LORT_OK;
}

lort_names_slot *lort_names_find(const lort_names *names, const char *name, uint32_t bytes)
{
    lort_names_slot *slot = names->slot_count ? probe_slot(names, name, bytes) : NULL;
    return slot && slot->name ? slot : NULL;
}

void lort_names_free(lort_names *names)
{
    lort_give(names->alloc, names->slots, names->slot_count * sizeof *names->slots);
    names->slots = NULL;
    names->slot_count = names->used = 0;
}
