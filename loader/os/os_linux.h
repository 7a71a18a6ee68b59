/* os_linux: owns what the os_linux_*.c files share. No other file includes it. */
#ifndef LORT_LOADER_OS_OS_LINUX_H
#define LORT_LOADER_OS_OS_LINUX_H

#include "loader/os/os.h"

struct lort_dir {
    int fd;
    char path[]; /* the path given to open, for messages */
};

struct lort_file {
    int fd;
    bool writing;
    /* range of the last lort_os_flush_behind: its write-back has started */
    uint64_t behind_at, behind_bytes;
    char path[]; /* directory and name, for messages */
};

/* Fails with "cannot <what> '<path>': <reason of errno value why>". */
lort_code lort_os_fail(lort_error *err, lort_code code, int why, const char *what,
                       const char *path);
/* Like lort_os_fail, for a name in a directory. */
lort_code lort_os_fail_at(lort_error *err, lort_code code, int why, const char *what,
                          const lort_dir *dir, const char *name);
/* Writes "dir/name", or "name" for the current directory, cut at `cap`. Returns the full length
 * without NUL. */
size_t lort_os_join(char *out, size_t cap, const lort_dir *dir, const char *name);
/* The code for a failed open. LORT_E_INPUT if the reason lies in what the user named, LORT_E_MEMORY
 * if memory is missing, else LORT_E_READ. */
lort_code lort_os_open_code(int why);
/* Calls openat with the flags that every descriptor of LoRT has; repeats the call after a
 * signal. */
int lort_os_openat(int dir, const char *name, int flags, uint32_t mode);
/* Calls fsync and returns 0 or an errno value. Repeats the call after a signal: nothing is lost
 * then. Never repeats it after another failure. The kernel forgets which pages it lost, and a
 * second call would report success. */
int lort_os_fsync(int fd);
/* Address space that RLIMIT_AS leaves, in bytes; UINT64_MAX if there is no limit. */
uint64_t lort_os_address_space_left(void);
/* Names a thing that is not a regular file, such as "a FIFO". */
const char *lort_os_kind_name(uint32_t mode);

#endif
