/* A directory that the fuzz target owns. It is in memory if the system has such a place, and goes
 * away when the program ends. */
#ifndef LORT_TESTS_FUZZ_DIR_H
#define LORT_TESTS_FUZZ_DIR_H

#include "fuzz.h"
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char fuzz_dir[40];

static inline int fuzz_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void fuzz_dir_remove(void)
{
    nftw(fuzz_dir, fuzz_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline const char *fuzz_dir_path(void)
{
    if (!fuzz_dir[0]) {
        strcpy(fuzz_dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/lort-fuzz-XXXXXX"
                                                       : "/tmp/lort-fuzz-XXXXXX");
        CHECK(mkdtemp(fuzz_dir));
        atexit(fuzz_dir_remove);
    }
    return fuzz_dir;
}

/* Returns "dir/name", valid until the next call. */
static inline const char *fuzz_path(const char *name)
{
    static char path[600];
    const int n = snprintf(path, sizeof path, "%s/%s", fuzz_dir_path(), name);
    CHECK(n > 0 && (size_t)n < sizeof path);
    return path;
}

/* Makes the directories on the way to this path. */
static inline void fuzz_make_dirs(char *path)
{
    for (char *slash = strchr(path + strlen(fuzz_dir) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

static inline const char *fuzz_write(const char *name, const void *bytes, size_t n)
{
    const char *path = fuzz_path(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        char way[600];
        strcpy(way, path);
        fuzz_make_dirs(way);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    CHECK(fd >= 0 && (n == 0 || write(fd, bytes, n) == (ssize_t)n) && close(fd) == 0);
    return path;
}

static inline void fuzz_unlink(const char *name) { CHECK(unlink(fuzz_path(name)) == 0); }

#endif
