/* os_posix_call: system calls that all other files make in one way. */
#define _GNU_SOURCE
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int lort_os_openat(int dir, const char *name, int flags, uint32_t mode)
{
    int fd;
    do
        fd = openat(dir, name, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, (mode_t)(mode & 0777));
    while (fd < 0 && errno == EINTR);
    return fd;
}

int lort_os_fsync(int fd)
{
    int done;
    do
        done = fsync(fd);
    while (done != 0 && errno == EINTR);
    return done == 0 ? 0 : errno;
}
