/* listing: see listing.h. */
#include "loader/os/listing.h"
#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool lort_listing_add(lort_listing *list, const char *name)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        char **bigger = realloc(list->names, room * sizeof *bigger);
        if (!bigger)
            return false;
        list->names = bigger;
        list->room = room;
    }
    const size_t bytes = strlen(name) + 1;
    char *copy = malloc(bytes);
    if (copy)
        list->names[list->count++] = memcpy(copy, name, bytes);
    return copy != NULL;
}

lort_code lort_listing_each(lort_listing *list,
                            lort_code (*each)(void *ctx, const char *name, lort_error *err),
                            void *ctx, lort_error *err)
{
    lort_code code = LORT_OK;
    if (list->count)
        qsort(list->names, list->count, sizeof *list->names, by_bytes);
    for (size_t i = 0; i < list->count && code == LORT_OK; i++)
        code = each(ctx, list->names[i], err);
    return code;
}

void lort_listing_free(lort_listing *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (lort_listing){0};
}
