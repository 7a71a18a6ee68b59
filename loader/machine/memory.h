/* memory: how much is available, from every source that applies, and which one binds. Rules:
 * docs/ARCHITECTURE.md, "Memory". */
#ifndef LORT_LOADER_MACHINE_MEMORY_H
#define LORT_LOADER_MACHINE_MEMORY_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define LORT_MEMORY_SOURCES 12

typedef struct lort_memory_source {
    char name[40]; /* "MemAvailable", "CommitLimit", "cgroup v2", "cgroup v1", "RLIMIT_AS",
                      "RLIMIT_DATA", "--memory", "unknown" */
    /* the file it came from, e.g. /sys/fs/cgroup/a/b/memory.max; the end of a long path */
    char where[200];
    uint64_t bytes; /* what it leaves for us now */
} lort_memory_source;

typedef struct lort_memory {
    lort_memory_source sources[LORT_MEMORY_SOURCES]; /* only those that apply */
    unsigned count;
    unsigned binding;   /* index of the smallest; --memory, when given, stands for all */
    uint64_t available; /* sources[binding].bytes; "unknown", 1 GiB, stands in where /proc/meminfo
                           cannot be read */
} lort_memory;

/* root: "" for the real /proc and /sys, or a directory that holds recorded ones (tests).
 * user_bytes: --memory, 0 = not given. Anonymous-based: page cache is never counted as used. cgroup
 * v2: min over leaf..root of min(memory.max, memory.high) - (anon + shmem + sock + kernel -
 * slab_reclaimable); v1: hierarchical_memory_limit - (total_rss + total_shmem). Hybrid boxes work.
 * A limit of 0, negative, unreadable or above the physical memory is none. Strict overcommit (mode
 * 2) is a source of its own. Never fails. */
lort_code lort_memory_probe(const char *root, uint64_t user_bytes, lort_memory *out,
                            lort_error *err);

#endif
