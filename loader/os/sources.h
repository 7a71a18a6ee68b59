/* sources: a list of memory sources, for the files that fill one. */
#ifndef LORT_LOADER_OS_SOURCES_H
#define LORT_LOADER_OS_SOURCES_H

#include "loader/os/os.h"

/* Adds a source. Cuts texts at their start: the end of a long path says more. Leaves a source out
 * if the list is full. */
void lort_sources_add(lort_memory_sources *list, const char *name, const char *where,
                      uint64_t bytes);
/* True if a limit of this many bytes limits anything. A limit of 0, or above the physical memory,
 * limits nothing. If physical is 0 (unknown), this knows only the kernel's value for "unlimited".
 */
bool lort_sources_limit(uint64_t limit, uint64_t physical);
/* What a limit leaves: limit - used, or 0. */
uint64_t lort_sources_left(uint64_t limit, uint64_t used);

#endif
