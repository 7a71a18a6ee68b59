/* os_posix: owns what the files of loader/os/posix share, and declares what each POSIX system does
 * in its own way. The files of loader/os/linux do that for Linux. No other file includes it. */
#ifndef LORT_LOADER_OS_POSIX_OS_POSIX_H
#define LORT_LOADER_OS_POSIX_OS_POSIX_H

#include "loader/os/offset.h"
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
/* Names a thing that is not a regular file, such as "a FIFO". */
const char *lort_os_kind_name(uint32_t mode);

/* ---- what each system does in its own way ---- */

/* Renames only if `to` does not exist. Returns 0 or an errno value. */
int lort_os_rename_new(int fd, const char *from, const char *to);
/* Time of birth of the name in directory fd, or of fd itself if name is NULL; 0: unknown. */
int64_t lort_os_birth(int fd, const char *name);
/* Drops clean pages of a file from the page cache. Advice only. */
void lort_os_drop_cache(int fd, uint64_t offset, uint64_t n);
/* Gives advice on whole pages. */
void lort_os_advise(void *data, uint64_t n, lort_advice advice);
/* Puts a page of zeros in place of a page that cannot be read. A handler of signals calls it. */
bool lort_os_put_zeros(uintptr_t address, uintptr_t page);
/* Address space that RLIMIT_AS leaves, in bytes; UINT64_MAX if there is no limit. */
uint64_t lort_os_address_space_left(void);
/* Makes all threads share one heap where address space is limited. */
void lort_os_share_heap(void);
/* The number of an open descriptor of this process that the path names, or -1. */
int lort_os_descriptor_of(const char *path);
/* Duplicates a descriptor for writing; -1 and errno if it cannot be written. */
int lort_os_copy_descriptor(int number);

#endif
