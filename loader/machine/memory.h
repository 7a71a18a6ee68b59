/* memory: finds how much memory is available, from every source that applies, and which source
 * binds. Rules: docs/ARCHITECTURE.md, "Memory". */
#ifndef LORT_LOADER_MACHINE_MEMORY_H
#define LORT_LOADER_MACHINE_MEMORY_H

#include "loader/os/os.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct lort_memory {
    lort_memory_source sources[LORT_MEMORY_SOURCES]; /* only those that apply */
    unsigned count;
    unsigned binding; /* index of the smallest; --memory, if given, replaces all others */
    /* Bytes of the binding source. 1 GiB where the system tells nothing: source "unknown". */
    uint64_t available;
} lort_memory;

/* Fills `out` with every source that applies. root: as in lort_os_memory_sources. user_bytes:
 * --memory, 0 = not given. Returns LORT_OK: an unreadable file leaves its source out.
 *
 * Page cache never counts as used:
 *
 *   cgroup v2   the minimum over leaf..root of
 *               min(memory.max, memory.high) - (anon + shmem + sock + kernel - slab_reclaimable)
 *   cgroup v1   hierarchical_memory_limit - (total_rss + total_shmem)
 *
 * Machines with both versions work. A limit that is 0, negative, unreadable or above the physical
 * memory is no limit. Strict overcommit (mode 2) is a source of its own. */
lort_code lort_memory_probe(const char *root, uint64_t user_bytes, lort_memory *out,
                            lort_error *err);

/* The share of the available memory that full mode may need, and that LoRT takes as its budget
 * unless --memory is given (docs/ARCHITECTURE.md, "Mode"). */
#define LORT_MEMORY_SHARE 0.80
/* Bytes that LoRT may take where `available` bytes are: their LORT_MEMORY_SHARE. */
static inline uint64_t lort_memory_limit(uint64_t available)
{
    return (uint64_t)(LORT_MEMORY_SHARE * (double)available);
}

#endif
