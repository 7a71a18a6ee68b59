/* listing: the names of a directory while LoRT lists it. */
#ifndef LORT_LOADER_OS_LISTING_H
#define LORT_LOADER_OS_LISTING_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise. */
typedef struct lort_listing {
    char **names;
    size_t count, room;
} lort_listing;

/* Copies a name into the list. False if memory is missing. */
bool lort_listing_add(lort_listing *list, const char *name);
/* Sorts the list by bytes and calls each() with every name. Stops at the first failure and returns
 * its code. */
lort_code lort_listing_each(lort_listing *list,
                            lort_code (*each)(void *ctx, const char *name, lort_error *err),
                            void *ctx, lort_error *err);
void lort_listing_free(lort_listing *list);

#endif
