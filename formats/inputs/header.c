/* header: see header.h. */
#include "formats/inputs/header.h"
#include "formats/base/hash.h"
#include "formats/inputs/format.h"
#include <string.h>

/* The table of keys is at most two thirds full (see names.c for the length of runs). It holds
 * numbers of 4 bytes, since a header may have millions of keys. */
#define MAX_PROBES 1024u
#define MOST_KEYS (UINT32_MAX - 1u)

void lort_header_free(lort_header *header)
{
    if (!header)
        return;
    lort_arena_free(&header->arena);
    memset(header, 0, sizeof *header);
}

const lort_kv *lort_header_find(const lort_header *header, const char *key)
{
    size_t n = strlen(key);
    for (uint64_t i = 0; i < header->kv_count; i++) {
        const lort_kv *kv = &header->kv[i];
        if (kv->key_bytes == n && memcmp(kv->key, key, n) == 0)
            return kv;
    }
    return NULL;
}

/* The slot that holds the key, or the free slot where it belongs. NULL after MAX_PROBES slots. */
static uint32_t *probe_slot(const lort_header *header, uint32_t *slots, uint64_t mask,
                            const lort_kv *kv)
{
    uint64_t at = lort_name_hash(kv->key, kv->key_bytes) & mask;
    for (uint32_t tries = 0; tries < MAX_PROBES; tries++, at = (at + 1) & mask) {
        const lort_kv *other = slots[at] ? &header->kv[slots[at] - 1] : NULL;
        if (!other ||
            (other->key_bytes == kv->key_bytes && memcmp(other->key, kv->key, kv->key_bytes) == 0))
            return &slots[at];
    }
    return NULL;
}

static lort_code fill_slots(const lort_header *header, uint32_t *slots, uint64_t mask,
                            const lort_kv **twice, lort_error *err)
{
    for (uint64_t i = 0; i < header->kv_count && !*twice; i++) {
        uint32_t *slot = probe_slot(header, slots, mask, &header->kv[i]);
        if (!slot)
            return lort_fail(err, LORT_E_INPUT,
                             "the names in this header are made to collide (a run of more than %u "
                             "in the hash table)",
                             MAX_PROBES);
        *twice = *slot ? &header->kv[i] : NULL;
        *slot = (uint32_t)i + 1;
    }
    return LORT_OK;
}

lort_code lort_header_twice(const lort_header *header, const lort_kv **twice, lort_error *err)
{
    void *slots;
    uint64_t count = 64;
    *twice = NULL;
    if (header->kv_count > MOST_KEYS)
        return lort_fail(err, LORT_E_INPUT, "%llu metadata keys (at most %u are allowed)",
                         (unsigned long long)header->kv_count, MOST_KEYS);
    while (count * 2 < header->kv_count * 3)
        count *= 2;
    lort_code code =
        lort_take_zero(header->arena.alloc, count * sizeof(uint32_t), "a set of keys", &slots, err);
    if (code)
        return code;
    code = fill_slots(header, slots, count - 1, twice, err);
    lort_give(header->arena.alloc, slots, count * sizeof(uint32_t));
    return code;
}
