/* glob: patterns of tensor names: '*' matches any run of bytes, '?' any one byte. */
#ifndef LORT_COMPRESS_GOAL_GLOB_H
#define LORT_COMPRESS_GOAL_GLOB_H

#include <stdbool.h>

bool lort_glob(const char *pattern, const char *name);
/* true if one of them matches */
bool lort_glob_any(const char **patterns, unsigned count, const char *name);

#endif
