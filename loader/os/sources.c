/* sources: see sources.h. Allocates nothing. */
#include "loader/os/sources.h"
#include <string.h>

static void copy_end(char *out, size_t cap, const char *text)
{
    size_t n = strlen(text), skip = n < cap ? 0 : n - (cap - 1);
    memcpy(out, text + skip, n - skip + 1);
}

void lort_sources_add(lort_memory_sources *list, const char *name, const char *where,
                      uint64_t bytes)
{
    if (list->count == LORT_MEMORY_SOURCES)
        return;
    lort_memory_source *s = &list->at[list->count++];
    copy_end(s->name, sizeof s->name, name);
    copy_end(s->where, sizeof s->where, where);
    s->bytes = bytes;
}

bool lort_sources_limit(uint64_t limit, uint64_t physical)
{
    return limit > 0 && limit <= (physical ? physical : UINT64_C(1) << 60);
}

uint64_t lort_sources_left(uint64_t limit, uint64_t used)
{
    return limit > used ? limit - used : 0;
}
