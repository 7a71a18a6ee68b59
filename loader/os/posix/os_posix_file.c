/* os_posix_file: opens, reads, writes and syncs regular files. Every call repeats after EINTR and
 * after a short result. */
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

#define ONE_CALL (UINT64_C(1) << 30) /* Linux moves at most 2 GiB - 4 KiB per call (read(2)) */

static lort_code new_file(const lort_dir *dir, const char *name, lort_file **out, lort_error *err)
{
    size_t n = lort_os_join(NULL, 0, dir, name);
    lort_file *file = calloc(1, sizeof *file + n + 1);
    *out = file;
    if (!file)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a file handle");
    lort_os_join(file->path, n + 1, dir, name);
    file->fd = -1;
    return LORT_OK;
}

static lort_code not_regular(lort_error *err, lort_code code, uint32_t mode, const char *path)
{
    char shown[600];
    lort_fail(err, code, "'%s' is %s; only regular files are accepted",
              lort_escape_text(shown, sizeof shown, path), lort_os_kind_name(mode));
    lort_error_file(err, path);
    return code;
}

lort_code lort_os_open(lort_dir *dir, const char *name, lort_file **out, lort_error *err)
{
    struct stat st = {0};
    lort_file *file = NULL;
    *out = NULL;
    lort_code code = new_file(dir, name, &file, err);
    if (code)
        return code;
    file->fd = lort_os_openat(dir->fd, name, O_RDONLY, 0);
    if (file->fd < 0) {
        int why = errno;
        /* open fails on a socket, so fstat cannot name it */
        if (fstatat(dir->fd, name, &st, 0) == 0 && !S_ISREG(st.st_mode))
            code = not_regular(err, LORT_E_INPUT, st.st_mode, file->path);
        else if (lort_os_dangles(dir, name, file->path, err))
            code = LORT_E_INPUT;
        else
            code = lort_os_fail(err, lort_os_open_code(why), why, "open", file->path);
    } else if (fstat(file->fd, &st) != 0)
        code = lort_os_fail(err, LORT_E_READ, errno, "stat", file->path);
    else if (!S_ISREG(st.st_mode))
        code = not_regular(err, LORT_E_INPUT, st.st_mode, file->path);
    if (code) {
        lort_os_close(file, NULL);
        return code;
    }
    *out = file;
    return LORT_OK;
}

/* Opens with `flags` for reading and writing; errno value in *why. */
static lort_code open_to_write(lort_dir *dir, const char *name, int flags, uint32_t mode,
                               lort_file **file, int *why, lort_error *err)
{
    lort_code code = new_file(dir, name, file, err);
    *why = 0;
    if (code)
        return code;
    (*file)->writing = true;
    (*file)->fd = lort_os_openat(dir->fd, name, O_RDWR | O_NOFOLLOW | flags, mode);
    *why = (*file)->fd < 0 ? errno : 0;
    return LORT_OK;
}

lort_code lort_os_create(lort_dir *dir, const char *name, uint32_t mode, lort_file **out,
                         lort_error *err)
{
    lort_file *file;
    int why;
    *out = NULL;
    lort_code code = open_to_write(dir, name, O_CREAT | O_EXCL, mode, &file, &why, err);
    if (code)
        return code;
    if (why) {
        code = lort_os_fail(err, why == EEXIST ? LORT_E_EXISTS : LORT_E_WRITE, why, "create",
                            file->path);
        lort_os_close(file, NULL);
        return code;
    }
    *out = file;
    return LORT_OK;
}

lort_code lort_os_open_found(lort_dir *dir, const char *name, lort_file **out, lort_error *err)
{
    struct stat st = {0};
    lort_file *file;
    int why;
    *out = NULL;
    lort_code code = open_to_write(dir, name, 0, 0, &file, &why, err);
    if (code)
        return code;
    if (!why && fstat(file->fd, &st) != 0)
        why = errno;
    if (why == ELOOP)
        code = not_regular(err, LORT_E_EXISTS, S_IFLNK, file->path);
    else if (why && why != ENOENT)
        code = lort_os_fail(err, LORT_E_WRITE, why, "open", file->path);
    else if (!why && !S_ISREG(st.st_mode))
        code = not_regular(err, LORT_E_EXISTS, st.st_mode, file->path);
    if (code || why)
        lort_os_close(file, NULL);
    else
        *out = file;
    return code;
}

lort_code lort_os_restrict(lort_file *file, uint32_t mode, lort_error *err)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return lort_os_fail(err, LORT_E_WRITE, errno, "stat", file->path);
    if ((st.st_mode & 0777 & ~mode) && fchmod(file->fd, st.st_mode & mode & 0777) != 0)
        return lort_os_fail(err, LORT_E_WRITE, errno, "set the permissions of", file->path);
    return LORT_OK;
}

static lort_code fail_offset(lort_error *err, lort_code code, int why, const char *what,
                             const lort_file *file, uint64_t offset)
{
    return lort_os_fail_offset(err, code, what, file->path, offset, strerror(why));
}

lort_code lort_os_read(lort_file *file, void *buffer, uint64_t n, uint64_t offset, lort_error *err)
{
    char *to = buffer;
    if (lort_os_is_beyond(n, offset))
        return lort_os_fail_shrank(err, file->path, n, offset);
    while (n > 0) {
        ssize_t got = pread(file->fd, to, (size_t)(n < ONE_CALL ? n : ONE_CALL), (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_offset(err, LORT_E_READ, errno, "read", file, offset);
        if (got == 0)
            return lort_os_fail_shrank(err, file->path, n, offset);
        to += got;
        n -= (uint64_t)got;
        offset += (uint64_t)got;
    }
    return LORT_OK;
}

lort_code lort_os_write(lort_file *file, const void *buffer, uint64_t n, uint64_t offset,
                        lort_error *err)
{
    const char *from = buffer;
    if (lort_os_is_beyond(n, offset))
        return fail_offset(err, LORT_E_WRITE, EFBIG, "write", file, offset);
    while (n > 0) {
        ssize_t put = pwrite(file->fd, from, (size_t)(n < ONE_CALL ? n : ONE_CALL), (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fail_offset(err, LORT_E_WRITE, put < 0 ? errno : ENOSPC, "write", file, offset);
        from += put;
        n -= (uint64_t)put;
        offset += (uint64_t)put;
    }
    return LORT_OK;
}

lort_code lort_os_truncate(lort_file *file, uint64_t size, lort_error *err)
{
    int why = size > INT64_MAX ? EFBIG : 0;
    while (!why && ftruncate(file->fd, (off_t)size) != 0)
        if (errno != EINTR)
            why = errno;
    return why ? fail_offset(err, LORT_E_WRITE, why, "truncate", file, size) : LORT_OK;
}

/* Closes a duplicate, to hear what close would report. Some file systems (NFS, quotas) report a
 * lost write only at close. After the rename that report would come too late. */
static int try_close(int fd)
{
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 || close(copy) == 0 || errno == EINTR ? 0 : errno;
}

lort_code lort_os_sync(lort_file *file, lort_error *err)
{
    int why = lort_os_fsync(file->fd);
    if (why)
        return lort_os_fail(err, LORT_E_WRITE, why, "sync", file->path);
    why = try_close(file->fd);
    return why ? lort_os_fail(err, LORT_E_WRITE, why, "close", file->path) : LORT_OK;
}

lort_code lort_os_close(lort_file *file, lort_error *err)
{
    if (!file)
        return LORT_OK;
    lort_code code = LORT_OK;
    /* After EINTR the descriptor is closed. A second close could hit another thread's file. */
    if (file->fd >= 0 && close(file->fd) != 0 && file->writing && errno != EINTR)
        code = lort_os_fail(err, LORT_E_WRITE, errno, "close", file->path);
    free(file);
    return code;
}

const char *lort_os_file_path(const lort_file *file) { return file->path; }

bool lort_os_read_text(const char *path, char *out, uint64_t cap)
{
    uint64_t used = 0;
    ssize_t got = 0;
    int fd = lort_os_openat(AT_FDCWD, path, O_RDONLY, 0);
    if (cap)
        out[0] = '\0';
    if (fd < 0 || cap == 0)
        return false;
    while (used + 1 < cap) {
        got = read(fd, out + used, (size_t)(cap - 1 - used));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (uint64_t)got;
    }
    close(fd);
    out[used] = '\0';
    return got >= 0;
}
