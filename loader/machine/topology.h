/* topology: finds the CPUs of the machine and the default number of threads. Only this file uses
 * <hwloc.h>. */
#ifndef LORT_LOADER_MACHINE_TOPOLOGY_H
#define LORT_LOADER_MACHINE_TOPOLOGY_H

#include "formats/base/error.h"

typedef struct lort_topology {
    unsigned packages, numa_nodes, cores, pus; /* allowed for this process */
    /* CPUs of the mask; CPU quota, rounded up, 0 = none */
    unsigned affinity, quota;
    /* default for -T: min(cores, affinity, quota), at least 1 */
    unsigned threads;
} lort_topology;

/* synthetic: NULL for this machine. Tests give an hwloc synthetic description, or the path of an
 * hwloc XML file. root: as in lort_memory_probe, for the quota. Returns LORT_OK. Without data from
 * hwloc every count is 1. */
lort_code lort_topology_probe(const char *synthetic, const char *root, lort_topology *out,
                              lort_error *err);
unsigned lort_topology_version(void); /* hwloc's API in use: major << 16 | minor << 8 | release */

#endif
