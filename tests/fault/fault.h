/* fault: owns what fault.c (faults on purpose) and lose.c (loss of power) share. Both are one
 * library for LD_PRELOAD, tests/fault/fault.so. */
#ifndef LORT_TESTS_FAULT_H
#define LORT_TESTS_FAULT_H

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

/* The original functions: libc's, or a sanitizer's. */
typedef struct fault_real {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    char *(*strdup)(const char *);
    char *(*strndup)(const char *, size_t);
    int (*openat64)(int, const char *, int, ...);
    FILE *(*fopen64)(const char *, const char *);
    DIR *(*fdopendir)(int);
    ssize_t (*read)(int, void *, size_t);
    ssize_t (*pread64)(int, void *, size_t, off64_t);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite64)(int, const void *, size_t, off64_t);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*ftruncate64)(int, off64_t);
    int (*close)(int);
    int (*renameat)(int, const char *, int, const char *);
    int (*linkat)(int, const char *, int, const char *, int);
    int (*unlinkat)(int, const char *, int);
    int (*mkdirat)(int, const char *, mode_t);
    int (*fcntl64)(int, int, ...);
    long (*syscall)(long, ...);
    void *(*mmap64)(void *, size_t, int, int, int, off64_t);
    /* These three may be absent: libc before 2.33 has them in its headers. */
    int (*stat64)(const char *, struct stat64 *);
    int (*fstat64)(int, struct stat64 *);
    int (*fstatat64)(int, const char *, struct stat64 *, int);
    int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
} fault_real;
extern fault_real real;

/* Writes the counts of calls to the file of LORT_FAULT_COUNT; leaves errno as it is. */
void fault_say(void);
void fault_delivered(void);

/* ---- lose.c: the calls that change files, done and remembered until they are synced ---- */
extern bool lose_on;
/* One of the first two arguments is 0; the other one counts. */
void lose_start(uint64_t milliseconds, uint64_t at_call, uint64_t seed);
#define LOSE_AT_END UINT64_MAX
void lose_end(void); /* the program has ended */
int lose_open(int dir, const char *path, int flags, mode_t mode);
ssize_t lose_write(int fd, const void *bytes, size_t n, off64_t at, bool positioned);
int lose_truncate(int fd, off64_t size);
int lose_sync(int fd, bool data_only);
int lose_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int lose_link(int from_dir, const char *from, int to_dir, const char *to, int flags);
int lose_unlink(int dir, const char *path, int flags);
int lose_mkdir(int dir, const char *path, mode_t mode);

#endif
