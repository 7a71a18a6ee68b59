/* os_linux_file: calls on files and directories that Linux alone has. */
#define _GNU_SOURCE
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* Renames only if `to` does not exist. Where the file system has no atomic call for this, link and
 * unlink do the same for files, also atomically. Where links are missing too (FAT, directories),
 * LoRT looks before it renames. A directory with content is never replaced. */
int lort_os_rename_new(int fd, const char *from, const char *to)
{
    if (syscall(SYS_renameat2, fd, from, fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != ENOSYS && errno != EINVAL)
        return errno;
    if (linkat(fd, from, fd, to, 0) == 0)
        return unlinkat(fd, from, 0) == 0 ? 0 : errno;
    if (errno == EEXIST || errno == ENOENT)
        return errno;
    struct stat st;
    if (fstatat(fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    return renameat(fd, from, fd, to) == 0 ? 0 : errno;
}

/* A server can give new files another owner than the user of this process. A file without a name
 * shows it. */
bool lort_os_is_own_user(lort_dir *dir, uint64_t owner)
{
    struct stat st;
    if (owner == (uint64_t)geteuid())
        return true;
    int fd = lort_os_openat(dir->fd, ".", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0)
        return false;
    const bool same = fstat(fd, &st) == 0 && (uint64_t)st.st_uid == owner;
    close(fd);
    return same;
}

/* An inode number can come back after its file is gone. A time of birth does not. */
int64_t lort_os_birth(int fd, const char *name)
{
    struct statx st;
    if (statx(fd, name ? name : "", (name ? 0 : AT_EMPTY_PATH) | AT_SYMLINK_NOFOLLOW, STATX_BTIME,
              &st) != 0 ||
        !(st.stx_mask & STATX_BTIME))
        return 0;
    return (int64_t)st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
}

void lort_os_drop_cache(int fd, uint64_t offset, uint64_t n)
{
    (void)posix_fadvise(fd, (off_t)offset, (off_t)n, POSIX_FADV_DONTNEED);
}

/* The previous range had the time of a whole range to reach the disk. So the wait for it is short.
 * Only clean pages can be dropped. */
void lort_os_flush_behind(lort_file *file, uint64_t offset, uint64_t n)
{
    const unsigned wait_all =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (n == 0 || lort_os_is_beyond(n, offset))
        return;
    (void)sync_file_range(file->fd, (off_t)offset, (off_t)n, SYNC_FILE_RANGE_WRITE);
    if (file->behind_bytes) {
        (void)sync_file_range(file->fd, (off_t)file->behind_at, (off_t)file->behind_bytes,
                              wait_all);
        lort_os_drop_cache(file->fd, file->behind_at, file->behind_bytes);
    }
    file->behind_at = offset;
    file->behind_bytes = n;
}
