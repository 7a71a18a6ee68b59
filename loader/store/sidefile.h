/* sidefile: owns one small file in memory that is neither a model nor a container, such as an
 * importance matrix. */
#ifndef LORT_LOADER_STORE_SIDEFILE_H
#define LORT_LOADER_STORE_SIDEFILE_H

#include "formats/base/alloc.h"

typedef struct lort_sidefile {
    uint8_t *data;
    uint64_t bytes;
    const lort_alloc *alloc;
} lort_sidefile;

/* Reads a regular file of at most `max` bytes; follows symlinks. On failure: LORT_E_INPUT if the
 * file is not regular or is larger, LORT_E_READ if it changes meanwhile. Messages name the path. */
lort_code lort_sidefile_read(const char *path, uint64_t max, const lort_alloc *alloc,
                             lort_sidefile *out, lort_error *err);
void lort_sidefile_free(lort_sidefile *file); /* accepts zeroed and NULL */

#endif
