/* os_linux: what the os_linux_*.c files share. Nothing else includes it. */
#ifndef LORT_LOADER_OS_LINUX_H
#define LORT_LOADER_OS_LINUX_H

#include "loader/os.h"

struct lort_dir {
    int fd;
    char path[]; /* as it was opened, for messages */
};

struct lort_file {
    int fd;
    bool writing;
    uint64_t behind_at, behind_bytes; /* the range of the last lort_os_flush_behind: on its way to the disk */
    char path[];                      /* directory and name, for messages */
};

/* "cannot <what> '<path>': <reason of errno value why>" */
lort_code lort_os_fail(lort_error *err, lort_code code, int why, const char *what, const char *path);
/* The same for a name in a directory. */
lort_code lort_os_fail_at(lort_error *err, lort_code code, int why, const char *what, const lort_dir *dir,
                          const char *name);
/* Writes "dir/name" (or "name" for the current directory), cut at `cap`; returns the full length without NUL. */
size_t lort_os_join(char *out, size_t cap, const lort_dir *dir, const char *name);
/* Address space that RLIMIT_AS leaves; UINT64_MAX: there is no limit. */
uint64_t lort_os_address_space_left(void);
/* What a thing is that is not a regular file: "a FIFO". */
const char *lort_os_kind_name(uint32_t mode);

#endif
