/* os_linux_sources: the memory sources of Linux. Reads and compares, allocates nothing. Texts come
 * from proc, below a root that tests can choose. */
#include "loader/os/linux/proc.h"
#include "loader/os/sources.h"
#include <stdio.h>
#include <string.h>

/* meminfo and memory.stat have 2 to 3 KiB. Three such buffers lie on the stack, which may have only
 * 64 KiB. */
#define TEXT_CAP 8192

static uint64_t value_or_zero(const char *text, const char *key)
{
    uint64_t v = 0;
    return lort_proc_value(text, key, &v) ? v : 0;
}

/* Kernels before 3.14 have no MemAvailable. Their "Cached" includes shared memory, which the kernel
 * cannot drop. */
static bool host_available(const char *info, uint64_t *bytes)
{
    if (lort_proc_value(info, "MemAvailable", bytes))
        return true;
    if (!lort_proc_value(info, "MemFree", bytes))
        return false;
    uint64_t cached =
        lort_sources_left(value_or_zero(info, "Cached"), value_or_zero(info, "Shmem"));
    *bytes += value_or_zero(info, "Buffers") + cached;
    return true;
}

/* Under strict overcommit (mode 2) an allocation fails at the commit limit, however much memory is
 * free. */
static void add_commit(const char *root, const char *info, lort_memory_sources *list)
{
    char path[600], mode[8];
    uint64_t limit, used;
    snprintf(path, sizeof path, "%s/proc/sys/vm/overcommit_memory", root);
    if (lort_os_read_text(path, mode, sizeof mode) && mode[0] == '2' &&
        lort_proc_value(info, "CommitLimit", &limit) &&
        lort_proc_value(info, "Committed_AS", &used))
        lort_sources_add(list, "CommitLimit", path, lort_sources_left(limit, used));
}

static void add_host(const char *root, lort_memory_sources *list, uint64_t *physical)
{
    char path[600], info[TEXT_CAP];
    uint64_t bytes = 0;
    *physical = 0;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (!lort_os_read_text(path, info, sizeof info) || !host_available(info, &bytes)) {
        lort_sources_add(list, "unknown", "nothing readable under /proc", LORT_UNKNOWN_MEMORY);
        return;
    }
    *physical = value_or_zero(info, "MemTotal");
    lort_sources_add(list, "MemAvailable", path, bytes);
    add_commit(root, info, list);
}

/* Memory of a version 2 group that the kernel cannot drop. Page cache ("file") does not count. Any
 * reader of files fills the group with page cache up to its limit, and the kernel takes it back on
 * demand. Kernels before 5.18 have no "kernel" sum. */
static uint64_t used_v2(const char *stat)
{
    uint64_t kernel = 0;
    if (!lort_proc_value(stat, "kernel", &kernel))
        kernel = value_or_zero(stat, "slab") + value_or_zero(stat, "kernel_stack") +
                 value_or_zero(stat, "pagetables") + value_or_zero(stat, "percpu");
    return value_or_zero(stat, "anon") + value_or_zero(stat, "shmem") +
           value_or_zero(stat, "sock") +
           lort_sources_left(kernel, value_or_zero(stat, "slab_reclaimable"));
}

static void where_in(const lort_group *group, const char *file, char *out, size_t cap)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", group->dir, file);
    const size_t n = strlen(path), skip = n < cap ? 0 : n - (cap - 1);
    memcpy(out, path + skip, n - skip + 1);
}

/* Adds the smallest limit of this group and its ancestors. memory.high counts as a limit too: above
 * it the kernel slows a job down to almost nothing. */
static void add_group_v2(lort_group group, uint64_t physical, lort_memory_sources *list)
{
    static const char *const files[] = {"memory.max", "memory.high"};
    char stat[TEXT_CAP], where[200] = "";
    uint64_t least = UINT64_MAX;
    do {
        uint64_t used =
            lort_group_text(&group, "memory.stat", stat, sizeof stat) ? used_v2(stat) : 0;
        for (int i = 0; i < 2; i++) {
            uint64_t limit;
            if (!lort_group_number(&group, files[i], &limit) ||
                !lort_sources_limit(limit, physical) || lort_sources_left(limit, used) >= least)
                continue;
            least = lort_sources_left(limit, used);
            where_in(&group, files[i], where, sizeof where);
        }
    } while (lort_group_up(&group));
    if (where[0])
        lort_sources_add(list, "cgroup v2", where, least);
}

/* hierarchical_memory_limit is the kernel's own minimum over the ancestors. A container sees only
 * its own part of the hierarchy. For a path that is not visible LoRT takes the nearest visible
 * ancestor. */
static void add_group_v1(lort_group group, uint64_t physical, lort_memory_sources *list)
{
    char stat[TEXT_CAP], where[200];
    uint64_t limit = 0;
    while (!lort_group_text(&group, "memory.stat", stat, sizeof stat))
        if (!lort_group_up(&group))
            return;
    const char *file = "memory.stat";
    if (!lort_proc_value(stat, "hierarchical_memory_limit", &limit))
        if (!lort_group_number(&group, file = "memory.limit_in_bytes", &limit))
            return;
    if (!lort_sources_limit(limit, physical))
        return;
    where_in(&group, file, where, sizeof where);
    lort_sources_add(list, "cgroup v1", where,
                     lort_sources_left(limit, value_or_zero(stat, "total_rss") +
                                                  value_or_zero(stat, "total_shmem")));
}

static void add_group(const char *root, uint64_t physical, lort_memory_sources *list)
{
    lort_group group;
    if (!lort_group_find(root, "memory", &group))
        return;
    if (group.version == 2)
        add_group_v2(group, physical, list);
    else
        add_group_v1(group, physical, list);
}

static void add_rlimits(uint64_t physical, lort_memory_sources *list)
{
    lort_limits limits;
    lort_process_memory now;
    lort_os_limits(&limits);
    if (limits.address_space == UINT64_MAX && limits.data == UINT64_MAX)
        return;
    lort_os_process_memory(&now);
    if (lort_sources_limit(limits.address_space, physical))
        lort_sources_add(list, "RLIMIT_AS", "ulimit -v",
                         lort_sources_left(limits.address_space, now.virtual_bytes));
    if (lort_sources_limit(limits.data, physical))
        lort_sources_add(list, "RLIMIT_DATA", "ulimit -d",
                         lort_sources_left(limits.data, now.data_bytes));
}

void lort_os_memory_sources(const char *root, lort_memory_sources *out)
{
    memset(out, 0, sizeof *out);
    add_host(root, out, &out->physical);
    add_group(root, out->physical, out);
    add_rlimits(out->physical, out);
}
