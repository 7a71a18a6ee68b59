/* memory: compares the sources that the operating system lists (loader/os), the environment of a
 * batch system and --memory. Allocates nothing. */
#include "loader/machine/memory.h"
#include "loader/os/sources.h"
#include <stdlib.h>
#include <string.h>

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
static void add_slurm(uint64_t physical, lort_memory_sources *list)
{
    uint64_t node = number_in_environment("SLURM_MEM_PER_NODE"),
             cpu = number_in_environment("SLURM_MEM_PER_CPU");
    uint64_t cpus = number_in_environment("SLURM_CPUS_ON_NODE"),
             limit = node                              ? node
                     : cpu && cpus <= UINT64_MAX / cpu ? cpu * cpus
                                                       : 0;
    lort_process_memory now;
    if (limit > UINT64_MAX >> 20 || !lort_sources_limit(limit << 20, physical))
        return;
    lort_os_process_memory(&now);
    lort_sources_add(list, "Slurm",
                     node ? "SLURM_MEM_PER_NODE" : "SLURM_MEM_PER_CPU x SLURM_CPUS_ON_NODE",
                     lort_sources_left(limit << 20, now.anon_bytes));
}

lort_code lort_memory_probe(const char *root, uint64_t user_bytes, lort_memory *out,
                            lort_error *err)
{
    lort_memory_sources list;
    (void)err; /* an unreadable file only leaves a source out */
    memset(out, 0, sizeof *out);
    lort_os_memory_sources(root, &list);
    add_slurm(list.physical, &list);
    if (user_bytes)
        lort_sources_add(&list, "--memory", "the command line", user_bytes);
    memcpy(out->sources, list.at, sizeof out->sources);
    out->count = list.count;
    for (unsigned i = 1; i < out->count; i++)
        if (out->sources[i].bytes < out->sources[out->binding].bytes)
            out->binding = i;
    if (user_bytes)
        out->binding = out->count - 1;
    out->available = out->sources[out->binding].bytes;
    return LORT_OK;
}
