/* header: see header.h. */
#include "formats/inputs/header.h"
#include "formats/inputs/format.h"
#include <string.h>

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
