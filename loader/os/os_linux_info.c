/* os_linux_info: tells what a path or an open file is. */
#define _GNU_SOURCE
#include "loader/os/os_linux.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

const char *lort_os_kind_name(uint32_t mode)
{
    static const struct {
        mode_t type;
        const char *name;
    } kinds[] = {{S_IFDIR, "a directory"},        {S_IFIFO, "a FIFO"},
                 {S_IFCHR, "a character device"}, {S_IFBLK, "a block device"},
                 {S_IFSOCK, "a socket"},          {S_IFLNK, "a symbolic link"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((mode & S_IFMT) == kinds[i].type)
            return kinds[i].name;
    return "of an unknown kind";
}

static void fill_info(lort_file_info *info, const struct stat *st)
{
    info->kind = S_ISREG(st->st_mode)   ? LORT_FILE_REGULAR
                 : S_ISDIR(st->st_mode) ? LORT_FILE_DIRECTORY
                                        : LORT_FILE_OTHER;
    info->size = st->st_size > 0 ? (uint64_t)st->st_size : 0;
    info->device = (uint64_t)st->st_dev;
    info->inode = (uint64_t)st->st_ino;
    info->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
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
    return LORT_OK;
}
