/* os_linux_stream: finds the open descriptor that a path names, below /proc/self/fd. */
#define _GNU_SOURCE
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The directory of a path with its links resolved, in `out`, and the name in it. False if there is
 * no such directory. */
static bool split_real(const char *path, char out[PATH_MAX], const char **name)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (n >= sizeof parent)
        return false;
    snprintf(parent, sizeof parent, "%.*s", (int)n, path);
    return realpath(n ? parent : ".", out) != NULL;
}

int lort_os_descriptor_of(const char *path)
{
    char real[PATH_MAX], own[PATH_MAX];
    const char *name;
    char *end;
    if (!split_real(path, real, &name) || !realpath("/proc/self/fd", own) || strcmp(real, own) != 0)
        return -1;
    const int64_t number = strtoll(name, &end, 10);
    return end == name || *end || number < 0 || number > INT_MAX || fcntl((int)number, F_GETFD) < 0
               ? -1
               : (int)number;
}

/* A descriptor that is open for reading only is found now, not after the work. */
int lort_os_copy_descriptor(int number)
{
    const int flags = fcntl(number, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH)) {
        errno = EBADF;
        return -1;
    }
    return fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}
