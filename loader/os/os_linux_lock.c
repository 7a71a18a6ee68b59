/* os_linux_lock: locks files and finds the process that holds a lock. */
#define _GNU_SOURCE
#include "formats/base/text.h"
#include "loader/os/os_linux.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

lort_code lort_os_lock(lort_file *file, lort_error *err)
{
    /* l_len 0: to the end, however far the file grows */
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int done;
    do
        done = fcntl(file->fd, F_OFD_SETLK, &whole);
    while (done != 0 && errno == EINTR);
    if (done == 0)
        return LORT_OK;
    if (errno != EAGAIN && errno != EACCES)
        return lort_os_fail(err, LORT_E_WRITE, errno, "lock", file->path);
    char shown[600];
    return lort_fail(err, LORT_E_EXISTS, "'%s' is locked: another process is writing it",
                     lort_escape_text(shown, sizeof shown, file->path));
}

/* The kernel lists the locks of an open file in fdinfo, one to a line:
 * "lock: 1: OFDLCK ADVISORY WRITE -1 fe:00:5678 0 EOF". */
static bool has_lock(int process, const char *descriptor)
{
    char name[64], text[1024];
    snprintf(name, sizeof name, "fdinfo/%.16s", descriptor);
    int fd = lort_os_openat(process, name, O_RDONLY, 0);
    if (fd < 0)
        return false;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *lock = strstr(text, "OFDLCK");
    return lock && strstr(lock, "WRITE");
}

static bool holds_lock(int process, const struct stat *st)
{
    struct stat open_file;
    bool holds = false;
    int fd = lort_os_openat(process, "fd", O_RDONLY | O_DIRECTORY, 0);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    for (struct dirent *e; list && !holds && (e = readdir(list));)
        holds = fstatat(fd, e->d_name, &open_file, 0) == 0 && open_file.st_dev == st->st_dev &&
                open_file.st_ino == st->st_ino && has_lock(process, e->d_name);
    if (list)
        closedir(list);
    return holds;
}

/* /proc/locks names no process for a lock of an open file description. So LoRT looks at the open
 * files of each process that it may see. */
uint64_t lort_os_lock_holder(const lort_file *file)
{
    struct stat st;
    uint64_t holder = 0;
    int fd = fstat(file->fd, &st) == 0
                 ? lort_os_openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, 0)
                 : -1;
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    for (struct dirent *e; list && holder == 0 && (e = readdir(list));) {
        const unsigned long pid = strtoul(e->d_name, NULL, 10);
        int process = pid ? lort_os_openat(fd, e->d_name, O_RDONLY | O_DIRECTORY, 0) : -1;
        if (process >= 0 && holds_lock(process, &st))
            holder = pid;
        if (process >= 0)
            close(process);
    }
    if (list)
        closedir(list);
    return holder;
}
