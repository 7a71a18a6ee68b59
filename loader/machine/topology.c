/* topology: counts packages, NUMA nodes, cores and PUs with hwloc. It binds and changes nothing. */
#include "loader/machine/topology.h"

#include "formats/base/text.h"
#include "loader/os/os.h"
#include <hwloc.h>
#include <string.h>

/* Leaves out I/O devices, the slow part of a discovery. Leaves out the x86 component, which would
 * bind this thread to every PU in turn. */
static bool configure_hwloc(hwloc_topology_t topology, const char *synthetic)
{
    if (hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE) ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_PACKAGE, HWLOC_TYPE_FILTER_KEEP_ALL) ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL))
        return false;
    if (synthetic)
        return lort_text_ends(synthetic, ".xml")
                   ? hwloc_topology_set_xml(topology, synthetic) == 0
                   : hwloc_topology_set_synthetic(topology, synthetic) == 0;
    (void)hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    return hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING |
                                                  HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM) == 0;
}

static unsigned count_objects(hwloc_topology_t topology, hwloc_obj_type_t type, unsigned otherwise)
{
    int n = hwloc_get_nbobjs_by_type(topology, type);
    return n > 0 ? (unsigned)n : otherwise;
}

static void discover_nodes(const char *synthetic, lort_topology *out)
{
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0)
        return;
    if (configure_hwloc(topology, synthetic) && hwloc_topology_load(topology) == 0) {
        out->packages = count_objects(topology, HWLOC_OBJ_PACKAGE, 1);
        out->numa_nodes = count_objects(topology, HWLOC_OBJ_NUMANODE, 1);
        out->pus = count_objects(topology, HWLOC_OBJ_PU, 1);
        /* some virtual machines report no cores */
        out->cores = count_objects(topology, HWLOC_OBJ_CORE, out->pus);
    }
    hwloc_topology_destroy(topology);
}

lort_code lort_topology_probe(const char *synthetic, const char *root, lort_topology *out,
                              lort_error *err)
{
    (void)err;
    *out = (lort_topology){.packages = 1, .numa_nodes = 1, .cores = 1, .pus = 1};
    discover_nodes(synthetic, out);
    lort_os_cpus(root, &out->affinity, &out->quota);
    out->threads = out->cores;
    if (out->affinity && out->affinity < out->threads)
        out->threads = out->affinity;
    if (out->quota && out->quota < out->threads)
        out->threads = out->quota;
    return LORT_OK;
}

unsigned lort_topology_version(void) { return hwloc_get_api_version(); }
