/* os_posix_info: tells what a path, a name or an open file is. */
#define _GNU_SOURCE
#include "formats/base/text.h"
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *lort_os_kind_name(uint32_t mode)
{
    static const struct {
        mode_t type;
        const char *name;
    } kinds[] = {{S_IFREG, "a regular file"}, {S_IFDIR, "a directory"},
                 {S_IFIFO, "a FIFO"},         {S_IFCHR, "a character device"},
                 {S_IFBLK, "a block device"}, {S_IFSOCK, "a socket"},
                 {S_IFLNK, "a symbolic link"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((mode & S_IFMT) == kinds[i].type)
            return kinds[i].name;
    return "of an unknown kind";
}

static void fill_info(lort_file_info *info, const struct stat *st)
{
    info->kind = S_ISREG(st->st_mode)   ? LORT_FILE_REGULAR
                 : S_ISDIR(st->st_mode) ? LORT_FILE_DIRECTORY
                 : S_ISLNK(st->st_mode) ? LORT_FILE_LINK
                                        : LORT_FILE_OTHER;
    info->kind_text = lort_os_kind_name((uint32_t)st->st_mode);
    info->size = st->st_size > 0 ? (uint64_t)st->st_size : 0;
    info->device = (uint64_t)st->st_dev;
    info->inode = (uint64_t)st->st_ino;
    info->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    info->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
    info->links = (uint64_t)st->st_nlink;
    info->owner = (uint64_t)st->st_uid;
    info->mode = (uint32_t)st->st_mode & 07777;
}

lort_code lort_os_stat(const char *path, lort_file_info *info, bool *exists, lort_error *err)
{
    struct stat st;
    memset(info, 0, sizeof *info);
    *exists = false;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? LORT_OK
                               : lort_os_fail(err, lort_os_open_code(errno), errno, "stat", path);
    *exists = true;
    fill_info(info, &st);
    return LORT_OK;
}

lort_code lort_os_info(lort_file *file, lort_file_info *info, lort_error *err)
{
    struct stat st;
    memset(info, 0, sizeof *info);
    if (fstat(file->fd, &st) != 0)
        return lort_os_fail(err, LORT_E_READ, errno, "stat", file->path);
    fill_info(info, &st);
    info->birth_ns = lort_os_birth(file->fd, NULL);
    return LORT_OK;
}

lort_code lort_os_look(lort_dir *dir, const char *name, lort_file_info *info, bool *exists,
                       lort_error *err)
{
    struct stat st;
    memset(info, 0, sizeof *info);
    *exists = false;
    if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? LORT_OK
                               : lort_os_fail_at(err, LORT_E_WRITE, errno, "stat", dir, name);
    *exists = true;
    fill_info(info, &st);
    info->birth_ns = lort_os_birth(dir->fd, name);
    return LORT_OK;
}

lort_code lort_os_real_path(const char *path, char *out, uint64_t cap, lort_error *err)
{
    char *real = realpath(path, NULL);
    const int why = real ? ENAMETOOLONG : errno;
    const size_t n = real ? strlen(real) : 0;
    *out = 0;
    if (real && n < cap)
        memcpy(out, real, n + 1);
    free(real);
    return *out ? LORT_OK : lort_os_fail(err, lort_os_open_code(why), why, "resolve", path);
}

lort_code lort_os_follow(lort_dir *dir, const char *name, lort_file_info *info, bool *exists,
                         lort_error *err)
{
    struct stat st;
    memset(info, 0, sizeof *info);
    *exists = false;
    if (fstatat(dir->fd, name, &st, 0) != 0)
        return errno == ENOENT || errno == ELOOP
                   ? LORT_OK
                   : lort_os_fail_at(err, LORT_E_READ, errno, "stat", dir, name);
    *exists = true;
    fill_info(info, &st);
    return LORT_OK;
}

bool lort_os_dangles(lort_dir *dir, const char *name, const char *shown, lort_error *err)
{
    struct stat st;
    char target[300], names[600], leads[400];
    const ssize_t n = readlinkat(dir->fd, name, target, sizeof target - 1);
    if (n < 0 || fstatat(dir->fd, name, &st, 0) == 0 || errno != ENOENT)
        return false;
    lort_fail(err, LORT_E_INPUT, "%s is a link to %s, which does not exist",
              lort_escape_text(names, sizeof names, shown),
              lort_escape(leads, sizeof leads, target, (uint64_t)n));
    return true;
}

void lort_os_link_text(lort_dir *dir, const char *name, char *out, uint64_t cap)
{
    char target[300];
    const ssize_t n = readlinkat(dir->fd, name, target, sizeof target);
    lort_escape(out, cap, target, n < 0 ? 0 : (uint64_t)n);
}

static lort_code is_same(lort_dir *dir, const char *name, int fd, const char *path, bool *same,
                         lort_error *err)
{
    struct stat named, held;
    *same = false;
    if (fstatat(dir->fd, name, &named, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? LORT_OK
                               : lort_os_fail_at(err, LORT_E_WRITE, errno, "stat", dir, name);
    if (fstat(fd, &held) != 0)
        return lort_os_fail(err, LORT_E_WRITE, errno, "stat", path);
    *same = named.st_dev == held.st_dev && named.st_ino == held.st_ino;
    return LORT_OK;
}

lort_code lort_os_leads_to(lort_dir *dir, const char *name, const lort_file *file, bool *same,
                           lort_error *err)
{
    return is_same(dir, name, file->fd, file->path, same, err);
}

lort_code lort_os_leads_to_dir(lort_dir *dir, const char *name, const lort_dir *held, bool *same,
                               lort_error *err)
{
    return is_same(dir, name, held->fd, held->path, same, err);
}
