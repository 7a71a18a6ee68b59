/* offset: what reading and writing at an offset of a file says on every system. */
#ifndef LORT_LOADER_OS_OFFSET_H
#define LORT_LOADER_OS_OFFSET_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* True if no file can have n bytes at this offset. */
static inline bool lort_os_is_beyond(uint64_t n, uint64_t offset)
{
    return offset > INT64_MAX || n > INT64_MAX - offset;
}

/* Fails with "cannot <what> '<path>' at offset <offset>: <reason>". */
lort_code lort_os_fail_offset(lort_error *err, lort_code code, const char *what, const char *path,
                              uint64_t offset, const char *reason);
/* Fails with LORT_E_READ: the file ends before `n` bytes at the offset. */
lort_code lort_os_fail_shrank(lort_error *err, const char *path, uint64_t n, uint64_t offset);

#endif
