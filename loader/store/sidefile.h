/* sidefile: a whole file that is neither a model nor a container, such as an importance matrix, in
 * memory. */
#ifndef LORT_LOADER_STORE_SIDEFILE_H
#define LORT_LOADER_STORE_SIDEFILE_H

#include "formats/base/alloc.h"

typedef struct lort_sidefile {
    uint8_t *data;
    uint64_t bytes;
    const lort_alloc *alloc;
} lort_sidefile;

/* Reads a regular file of at most `max` bytes, through symlinks. LORT_E_INPUT if it is none or
 * larger, LORT_E_READ if it changes meanwhile; messages name the path. */
lort_code lort_sidefile_read(const char *path, uint64_t max, const lort_alloc *alloc,
                             lort_sidefile *out, lort_error *err);
void lort_sidefile_free(lort_sidefile *file); /* accepts zeroed and NULL */

#endif
