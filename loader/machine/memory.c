/* memory: reads and compares, allocates nothing. Texts come from os/proc, below a root that tests
 * can choose. */
#include "loader/machine/memory.h"
#include "loader/os/os.h"
#include "loader/os/linux/proc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_BYTES (UINT64_C(1) << 30)
/* meminfo and memory.stat have 2 to 3 KiB. Three such buffers lie on the stack, which may have only
 * 64 KiB. */
#define TEXT_CAP 8192

/* Copies as much of the end as fits: the end of a long path says more than its start. */
static void copy_end(char *out, size_t cap, const char *text)
{
    size_t n = strlen(text), skip = n < cap ? 0 : n - (cap - 1);
    memcpy(out, text + skip, n - skip + 1);
}

static void add_source(lort_memory *m, const char *name, const char *where, uint64_t bytes)
{
    if (m->count == LORT_MEMORY_SOURCES)
        return;
    lort_memory_source *s = &m->sources[m->count++];
    copy_end(s->name, sizeof s->name, name);
    copy_end(s->where, sizeof s->where, where);
    s->bytes = bytes;
}

static uint64_t subtract_floor(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

/* A limit of 0, or above the physical memory, limits nothing. Without /proc LoRT recognises only
 * the kernel's value for "unlimited". */
static bool is_limit(uint64_t limit, uint64_t physical)
{
    return limit > 0 && limit <= (physical ? physical : UINT64_C(1) << 60);
}

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
    uint64_t cached = subtract_floor(value_or_zero(info, "Cached"), value_or_zero(info, "Shmem"));
    *bytes += value_or_zero(info, "Buffers") + cached;
    return true;
}

/* Under strict overcommit (mode 2) an allocation fails at the commit limit, however much memory is
 * free. */
static void add_commit(const char *root, const char *info, lort_memory *m)
{
    char path[600], mode[8];
    uint64_t limit, used;
    snprintf(path, sizeof path, "%s/proc/sys/vm/overcommit_memory", root);
    if (lort_os_read_text(path, mode, sizeof mode) && mode[0] == '2' &&
        lort_proc_value(info, "CommitLimit", &limit) &&
        lort_proc_value(info, "Committed_AS", &used))
        add_source(m, "CommitLimit", path, subtract_floor(limit, used));
}

static void add_host(const char *root, lort_memory *m, uint64_t *physical)
{
    char path[600], info[TEXT_CAP];
    uint64_t bytes = 0;
    *physical = 0;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (!lort_os_read_text(path, info, sizeof info) || !host_available(info, &bytes)) {
        add_source(m, "unknown", "nothing readable under /proc", UNKNOWN_BYTES);
        return;
    }
    *physical = value_or_zero(info, "MemTotal");
    add_source(m, "MemAvailable", path, bytes);
    add_commit(root, info, m);
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
           subtract_floor(kernel, value_or_zero(stat, "slab_reclaimable"));
}

static void where_in(const lort_group *group, const char *file, char *out, size_t cap)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", group->dir, file);
    copy_end(out, cap, path);
}

/* Adds the smallest limit of this group and its ancestors. memory.high counts as a limit too: above
 * it the kernel slows a job down to almost nothing. */
static void add_group_v2(lort_group group, uint64_t physical, lort_memory *m)
{
    static const char *const files[] = {"memory.max", "memory.high"};
    char stat[TEXT_CAP], where[200] = "";
    uint64_t least = UINT64_MAX;
    do {
        uint64_t used =
            lort_group_text(&group, "memory.stat", stat, sizeof stat) ? used_v2(stat) : 0;
        for (int i = 0; i < 2; i++) {
            uint64_t limit;
            if (!lort_group_number(&group, files[i], &limit) || !is_limit(limit, physical) ||
                subtract_floor(limit, used) >= least)
                continue;
            least = subtract_floor(limit, used);
            where_in(&group, files[i], where, sizeof where);
        }
    } while (lort_group_up(&group));
    if (where[0])
        add_source(m, "cgroup v2", where, least);
}

/* hierarchical_memory_limit is the kernel's own minimum over the ancestors. A container sees only
 * its own part of the hierarchy. For a path that is not visible LoRT takes the nearest visible
 * ancestor. */
static void add_group_v1(lort_group group, uint64_t physical, lort_memory *m)
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
    if (!is_limit(limit, physical))
        return;
    where_in(&group, file, where, sizeof where);
    add_source(m, "cgroup v1", where,
               subtract_floor(limit, value_or_zero(stat, "total_rss") +
                                         value_or_zero(stat, "total_shmem")));
}

static void add_group(const char *root, uint64_t physical, lort_memory *m)
{
    lort_group group;
    if (!lort_group_find(root, "memory", &group))
        return;
    if (group.version == 2)
        add_group_v2(group, physical, m);
    else
        add_group_v1(group, physical, m);
}

static void add_rlimits(uint64_t physical, lort_memory *m)
{
    lort_limits limits;
    lort_process_memory now;
    lort_os_limits(&limits);
    if (limits.address_space == UINT64_MAX && limits.data == UINT64_MAX)
        return;
    lort_os_process_memory(&now);
    if (is_limit(limits.address_space, physical))
        add_source(m, "RLIMIT_AS", "ulimit -v",
                   subtract_floor(limits.address_space, now.virtual_bytes));
    if (is_limit(limits.data, physical))
        add_source(m, "RLIMIT_DATA", "ulimit -d", subtract_floor(limits.data, now.data_bytes));
}

/* Accepts digits only, and no number that does not fit: the environment is untrusted too. */
static uint64_t number_in_environment(const char *name)
{
    const char *text = getenv(name);
    uint64_t value = 0;
    for (; text && *text; text++) {
        if (*text < '0' || *text > '9' || value > UINT64_MAX / 100)
            return 0;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value;
}

/* Slurm may enforce a job's memory without a cgroup, by polling and killing. Then only the
 * environment tells the limit. Both variables are in mebibytes; 0 means the whole node. (sbatch(1),
 * "OUTPUT ENVIRONMENT VARIABLES") */
static void add_slurm(uint64_t physical, lort_memory *m)
{
    uint64_t node = number_in_environment("SLURM_MEM_PER_NODE"),
             cpu = number_in_environment("SLURM_MEM_PER_CPU");
    uint64_t cpus = number_in_environment("SLURM_CPUS_ON_NODE"),
             limit = node                              ? node
                     : cpu && cpus <= UINT64_MAX / cpu ? cpu * cpus
                                                       : 0;
    lort_process_memory now;
    if (limit > UINT64_MAX >> 20 || !is_limit(limit << 20, physical))
        return;
    lort_os_process_memory(&now);
    add_source(m, "Slurm", node ? "SLURM_MEM_PER_NODE" : "SLURM_MEM_PER_CPU x SLURM_CPUS_ON_NODE",
               subtract_floor(limit << 20, now.anon_bytes));
}

lort_code lort_memory_probe(const char *root, uint64_t user_bytes, lort_memory *out,
                            lort_error *err)
{
    uint64_t physical = 0;
    (void)err; /* an unreadable file only leaves a source out */
    memset(out, 0, sizeof *out);
    add_host(root, out, &physical);
    add_group(root, physical, out);
    add_rlimits(physical, out);
    add_slurm(physical, out);
    if (user_bytes)
        add_source(out, "--memory", "the command line", user_bytes);
    for (unsigned i = 1; i < out->count; i++)
        if (out->sources[i].bytes < out->sources[out->binding].bytes)
            out->binding = i;
    if (user_bytes)
        out->binding = out->count - 1;
    out->available = out->sources[out->binding].bytes;
    return LORT_OK;
}
