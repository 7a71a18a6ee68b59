/* versions: see versions.h. The configuration of OpenBLAS begins with its name and version. */
#include "compress/session/versions.h"
#include "compress/lort.h"
#include "compress/math/blas.h"
#include "compress/math/cores.h"
#include "compress/session/json_tree.h"
#include "formats/base/hash.h"
#include "loader/machine/topology.h"
#include "loader/store/codec.h"
#include <stdio.h>

void lort_library_versions(bool products, char *out, size_t room)
{
    if (!products) {
        snprintf(out, room, "zstd %.20s", lort_codec_version());
        return;
    }
    int words = 0; /* takes two words: "OpenBLAS 0.3.21" */
    const char *config = lort_blas_config(), *end = config;
    while (*end && (*end != ' ' || words++ == 0))
        end++;
    snprintf(out, room, "%.*s core %.30s; zstd %.20s", (int)(end - config), config,
             lort_core_class(lort_blas_core()), lort_codec_version());
}

/* lort calls it before a sanitizer is ready. */
__attribute__((no_sanitize("address", "thread", "undefined"))) const char *
lort_blas_coretype(const char *asked)
{
    return lort_core_type(asked, lort_core_features());
}

uint32_t lort_api_version(void) { return LORT_API_VERSION; }

const char *lort_version_text(void)
{
    static char text[512];
    const char *core = lort_blas_core();
    const unsigned xxh = lort_hash_version(), hwloc = lort_topology_version();
    snprintf(text, sizeof text,
             "lort %s (algorithm %d; %s%s%s; zstd %s; hwloc %u.%u.%u; xxHash %u.%u.%u; jansson %s)",
             LORT_VERSION, LORT_ALGORITHM, lort_blas_config(), core[0] ? ", core " : "", core,
             lort_codec_version(), hwloc >> 16, hwloc >> 8 & 255, hwloc & 255, xxh / 10000,
             xxh / 100 % 100, xxh % 100, lort_json_version());
    return text;
}

lort_node *lort_versions_node(void)
{
    char number[64];
    const unsigned xxh = lort_hash_version(), hwloc = lort_topology_version();
    lort_node *object = lort_node_with(lort_node_object(), "lort", lort_node_string(LORT_VERSION));
    object = lort_node_with(object, "algorithm", lort_node_whole(LORT_ALGORITHM));
    object = lort_node_with(object, "zstd", lort_node_text(lort_codec_version()));
    snprintf(number, sizeof number, "%u.%u.%u", hwloc >> 16, hwloc >> 8 & 255, hwloc & 255);
    object = lort_node_with(object, "hwloc", lort_node_text(number));
    snprintf(number, sizeof number, "%u.%u.%u", xxh / 10000, xxh / 100 % 100, xxh % 100);
    object = lort_node_with(object, "xxhash", lort_node_text(number));
    object = lort_node_with(object, "jansson", lort_node_text(lort_json_version()));
    return lort_node_with(object, "blas", lort_node_text(lort_blas_config()));
}
