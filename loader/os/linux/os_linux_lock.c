/* os_linux_lock: locks files and finds the process that holds a lock. */
#define _GNU_SOURCE
#include "formats/base/text.h"
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ENOLCK: a disk without a lock service; the others: a system or a disk that has no such call. */
static bool has_no_locks(int why)
{
    return why == ENOLCK || why == ENOSYS || why == EINVAL || why == EOPNOTSUPP;
}

lort_code lort_os_lock(lort_file *file, bool *locked, lort_error *err)
{
    /* l_len 0: to the end, however far the file grows */
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int done;
    do
        done = fcntl(file->fd, F_OFD_SETLK, &whole);
    while (done != 0 && errno == EINTR);
    *locked = done == 0;
    if (done == 0 || has_no_locks(errno))
        return LORT_OK;
    if (errno != EAGAIN && errno != EACCES)
        return lort_os_fail(err, LORT_E_WRITE, errno, "lock", file->path);
    char shown[600];
    return lort_fail(err, LORT_E_EXISTS, "'%s' is locked: another process is writing it",
                     lort_escape_text(shown, sizeof shown, file->path));
}

typedef struct search {
    struct stat file; /* the locked file */
    lort_dir *proc, *process, *descriptors;
    uint64_t holder;
} search;

/* The kernel lists the locks of an open file in fdinfo, one to a line:
 * "lock: 1: OFDLCK ADVISORY WRITE -1 fe:00:5678 0 EOF". */
static bool has_lock(const lort_dir *process, const char *descriptor)
{
    char name[64], text[1024];
    snprintf(name, sizeof name, "fdinfo/%.16s", descriptor);
    int fd = lort_os_openat(process->fd, name, O_RDONLY, 0);
    if (fd < 0)
        return false;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *lock = strstr(text, "OFDLCK");
    return lock && strstr(lock, "WRITE");
}

/* LORT_E_EXISTS ends the search: this is the lock. */
static lort_code try_descriptor(void *ctx, const char *name, lort_error *err)
{
    const search *s = ctx;
    struct stat st;
    (void)err;
    return fstatat(s->descriptors->fd, name, &st, 0) == 0 && st.st_dev == s->file.st_dev &&
                   st.st_ino == s->file.st_ino && has_lock(s->process, name)
               ? LORT_E_EXISTS
               : LORT_OK;
}

static lort_code try_process(void *ctx, const char *name, lort_error *err)
{
    search *s = ctx;
    lort_code code = LORT_OK;
    const unsigned long pid = strtoul(name, NULL, 10);
    (void)err;
    if (pid == 0 || lort_os_dir_enter(s->proc, name, &s->process, NULL) != LORT_OK)
        return LORT_OK;
    if (lort_os_dir_enter(s->process, "fd", &s->descriptors, NULL) == LORT_OK)
        code = lort_os_dir_list(s->descriptors, try_descriptor, s, NULL);
    lort_os_dir_close(s->descriptors);
    lort_os_dir_close(s->process);
    if (code != LORT_E_EXISTS) /* a process that LoRT may not look at, or one that has ended */
        return LORT_OK;
    s->holder = pid;
    return code;
}

/* /proc/locks names no process for a lock of an open file description. So LoRT looks at the open
 * files of each process that it may see. */
uint64_t lort_os_lock_holder(const lort_file *file)
{
    search s = {0};
    if (fstat(file->fd, &s.file) != 0 || lort_os_dir_open("/proc", &s.proc, NULL) != LORT_OK)
        return 0;
    (void)lort_os_dir_list(s.proc, try_process, &s, NULL);
    lort_os_dir_close(s.proc);
    return s.holder;
}
