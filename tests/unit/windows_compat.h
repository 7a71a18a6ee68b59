/* What the tests want of POSIX and mingw-w64 lacks. The Windows build puts this header before every
 * test source (-include), and links tests/unit/windows/compat.c. The other headers of that folder
 * have names of POSIX and say nothing: this one has their contents.
 *
 * Calls that Windows has no counterpart of fail with ENOSYS. A test that needs one of them is in
 * tests/windows-skips.tsv. */
#ifndef LORT_TESTS_WINDOWS_COMPAT_H
#define LORT_TESTS_WINDOWS_COMPAT_H

#include <direct.h>
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <limits.h>
#include <math.h>
#include <process.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Returns -1, with ENOSYS. */
int compat_missing(void);

/* ---- files ---- */

#define AT_FDCWD (-100)
#define O_CLOEXEC 0
#define O_NOFOLLOW 0
#define O_NONBLOCK 0

typedef unsigned nlink_t, uid_t, gid_t;

/* What the tests ask about a file. Inode and links are true ones. */
struct compat_stat {
    uint64_t st_dev, st_ino;
    unsigned st_mode;
    nlink_t st_nlink;
    int64_t st_size, st_blocks;
    struct timespec st_atim, st_mtim, st_ctim;
};

#undef stat
int compat_stat(const char *path, struct compat_stat *out);
#define stat compat_stat
#define lstat compat_stat
#undef fstat
int compat_fstat(int fd, struct compat_stat *out);
#define fstat compat_fstat

#define UTIME_OMIT (-1L) /* as nanoseconds: this time stays */
int utimensat(int folder, const char *path, const struct timespec times[2], int flags);
int compat_mkdir(const char *path, unsigned mode);
#define mkdir compat_mkdir
char *mkdtemp(char *path); /* replaces the XXXXXX at the end */
int compat_truncate(const char *path, int64_t bytes);
#undef truncate
#define truncate compat_truncate
int compat_remove(
    const char *path); /* the C library's deletes no directory, and no read-only file */
#define remove compat_remove
/* The C library's opens no file that another handle may delete. */
FILE *compat_fopen(const char *path, const char *mode);
#define fopen compat_fopen
int compat_rename(const char *path, const char *to); /* the C library's replaces no file */
#define rename compat_rename
int64_t pread(int fd, void *out, size_t bytes, int64_t offset);
int64_t pwrite(int fd, const void *data, size_t bytes, int64_t offset);
int link(const char *path, const char *to);
#define symlink(path, to) compat_missing()
#define readlink(path, text, bytes) compat_missing()
#define mkfifo(path, mode) compat_missing()
#define S_ISLNK(mode) false

#define FTW_DEPTH 8
#define FTW_PHYS 1
struct FTW {
    int base, level;
};
typedef int compat_each(const char *, const struct compat_stat *, int, struct FTW *);
/* Visits a tree: what is in a directory, and then the directory. */
int nftw(const char *path, compat_each *each, int count, int flags);

/* ---- memory, texts and processes ---- */

/* free() takes it back: 16 bytes are what the allocator of Windows aligns to. */
#define aligned_alloc(alignment, bytes) malloc(bytes)
/* One at a time. compat_fclose gives the text out. */
FILE *open_memstream(char **text, size_t *bytes);
int compat_fclose(FILE *file);
#define fclose compat_fclose
unsigned compat_thread_count(void); /* threads of this process */
unsigned alarm(unsigned seconds);   /* ends the program after so many seconds; 0: no more */

/* winpthreads sleeps no part of a millisecond: this one sleeps a whole one instead. */
int compat_nanosleep(const struct timespec *wait, struct timespec *left);
#define nanosleep compat_nanosleep

char *strchrnul(const char *text, int c);
char *strndup(const char *text, size_t most);
int setenv(const char *name, const char *value, int replace);
int unsetenv(const char *name);
int compat_system(const char *command); /* knows cmp 'A' 'B' and cp -p 'A' 'B' */
#define system compat_system

/* Knows one command: sha256sum PATH. */
FILE *compat_popen(const char *command, const char *mode);
#undef popen
#undef pclose
#define popen compat_popen
#define pclose fclose

#define _SC_PAGESIZE 1
#define sysconf(what) 4096L

typedef int __rlimit_resource_t;
typedef uint64_t rlim_t;
struct rlimit {
    rlim_t rlim_cur, rlim_max;
};
#define RLIM_INFINITY UINT64_MAX
#define RLIMIT_AS 9
#define RLIMIT_DATA 2
#define RLIMIT_NOFILE 7
#define RLIMIT_FSIZE 1
#define setrlimit(what, limit) ((void)(limit), compat_missing())
#define getrlimit(what, limit) ((limit)->rlim_cur = 0, compat_missing())

#define fork() compat_missing()
static inline int waitpid(int child, int *status, int flags)
{
    if (status)
        *status = -1;
    return compat_missing();
}
#define WIFEXITED(status) false
#define WEXITSTATUS(status) (-1)
#define WIFSIGNALED(status) false
#define WTERMSIG(status) (-1)

#define pause() compat_missing()
#define kill(process, signal) compat_missing()
#define SIGKILL 9
#define SIGXFSZ 25
#define pipe(ends) _pipe(ends, 65536, _O_BINARY)

/* mingw-w64's fmaf rounds wrong in a quarter of all cases: this one asks the processor. */
float compat_fmaf(float a, float b, float c);
#define fmaf compat_fmaf

typedef uint64_t cpu_set_t;
#define CPU_ZERO(set) (*(set) = 0)
#define CPU_SET(cpu, set) (*(set) |= UINT64_C(1) << (cpu))
#define CPU_ISSET(cpu, set) (*(set) >> (cpu)&1)
#define sched_getaffinity(process, bytes, set) (*(set) = 1, compat_missing())
#define sched_setaffinity(process, bytes, set) compat_missing()

#define mincore(start, bytes, pages) ((void)(start), compat_missing()) /* Wine keeps all pages */

#define RTLD_NOW 0
#define dlopen(path, flags) ((void)(path), (void *)NULL)
#define dlsym(library, name) ((void)(library), (void *)NULL)
#define dlerror() "no dlopen on Windows"
#define dlclose(library) ((void)(library))

#endif
