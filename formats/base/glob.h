/* glob: patterns of names, of tensors and of files. '*' matches any run of bytes, '?' matches any
 * one byte. */
#ifndef LORT_FORMATS_BASE_GLOB_H
#define LORT_FORMATS_BASE_GLOB_H

#include <stdbool.h>

/* True if the pattern matches the whole name. */
bool lort_glob(const char *pattern, const char *name);
/* True if one of the patterns matches the name. */
bool lort_glob_any(const char **patterns, unsigned count, const char *name);
/* True if one of the patterns is the name itself, without a wildcard. */
bool lort_glob_names(const char **patterns, unsigned count, const char *name);

#endif
