/* os_linux: what the os_linux_*.c files share. Nothing else includes it. */
#ifndef LORT_LOADER_OS_OS_LINUX_H
#define LORT_LOADER_OS_OS_LINUX_H

#include "loader/os/os.h"

struct lort_dir {
    int fd;
    char path[]; /* as it was opened, for messages */
};

struct lort_file {
    int fd;
    bool writing;
    /* the range of the last lort_os_flush_behind: on its way to the disk */
    uint64_t behind_at, behind_bytes;
    char path[]; /* directory and name, for messages */
};

/* "cannot <what> '<path>': <reason of errno value why>" */
lort_code lort_os_fail(lort_error *err, lort_code code, int why, const char *what,
                       const char *path);
/* The same for a name in a directory. */
lort_code lort_os_fail_at(lort_error *err, lort_code code, int why, const char *what,
                          const lort_dir *dir, const char *name);
/* Writes "dir/name" (or "name" for the current directory), cut at `cap`; returns the full length
 * without NUL. */
size_t lort_os_join(char *out, size_t cap, const lort_dir *dir, const char *name);
/* The code of a failed open: LORT_E_INPUT where the reason lies in what the user named,
 * LORT_E_MEMORY, else LORT_E_READ. */
lort_code lort_os_open_code(int why);
/* openat with what every descriptor of ours has, tried again after a signal. */
int lort_os_openat(int dir, const char *name, int flags, uint32_t mode);
/* fsync, tried again after a signal: nothing was lost by then. Never after another failure: the
 * kernel forgets which pages were lost, and a second call would say OK. 0 or an errno value. */
int lort_os_fsync(int fd);
/* Address space that RLIMIT_AS leaves; UINT64_MAX: there is no limit. */
uint64_t lort_os_address_space_left(void);
/* What a thing is that is not a regular file: "a FIFO". */
const char *lort_os_kind_name(uint32_t mode);

#endif
