/* names: whether the file system of this machine can hold all files of a model.
 *
 * Windows takes upper and lower case for one. There the file "A" would take the place of "a". */
#ifndef LORT_COMPRESS_FILES_NAMES_H
#define LORT_COMPRESS_FILES_NAMES_H

#include "formats/base/alloc.h"
#include "formats/container/container.h"

/* Compares two names, as lort_os_compare_names does. */
typedef int lort_names_compare(const char *a, uint64_t a_bytes, const char *b, uint64_t b_bytes);

/* Checks that no two files, and no two folders, have names that differ only in what `compare`
 * takes for one. Equal names are the container's matter. files: their names are plain paths.
 * On failure: LORT_E_WRITE, which names two of them; LORT_E_MEMORY. */
lort_code lort_names_check(const lort_input_file *files, uint32_t count,
                           lort_names_compare *compare, const lort_alloc *alloc, lort_error *err);

#endif
