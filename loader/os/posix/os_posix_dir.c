/* os_posix_dir: opens, lists and changes directories. os_posix_file.c handles the contents of
 * files. */
#define _GNU_SOURCE
#include "formats/base/text.h"
#include "loader/os/listing.h"
#include "loader/os/posix/os_posix.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static lort_code new_dir(size_t path_bytes, lort_dir **out, lort_error *err)
{
    *out = malloc(sizeof **out + path_bytes + 1);
    return *out ? LORT_OK : lort_fail(err, LORT_E_MEMORY, "no memory for a directory handle");
}

lort_code lort_os_dir_open(const char *path, lort_dir **out, lort_error *err)
{
    lort_dir *dir;
    *out = NULL;
    lort_code code = new_dir(strlen(path), &dir, err);
    if (code)
        return code;
    strcpy(dir->path, path);
    dir->fd = lort_os_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (dir->fd < 0) {
        int why = errno;
        free(dir);
        return lort_os_fail(err, lort_os_open_code(why), why, "open directory", path);
    }
    *out = dir;
    return LORT_OK;
}

/* *why: an errno value, if the directory cannot be opened. Then *out is NULL. */
static lort_code enter(lort_dir *dir, const char *name, lort_dir **out, int *why, lort_error *err)
{
    lort_dir *entered;
    *out = NULL;
    const size_t n = lort_os_join(NULL, 0, dir, name);
    lort_code code = new_dir(n, &entered, err);
    if (code)
        return code;
    lort_os_join(entered->path, n + 1, dir, name);
    entered->fd = lort_os_openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    *why = entered->fd < 0 ? errno : 0;
    if (*why)
        free(entered);
    else
        *out = entered;
    return LORT_OK;
}

lort_code lort_os_dir_enter(lort_dir *dir, const char *name, lort_dir **out, lort_error *err)
{
    int why = 0;
    lort_code code = enter(dir, name, out, &why, err);
    return why ? lort_os_fail_at(err, LORT_E_WRITE, why, "open directory", dir, name) : code;
}

lort_code lort_os_dir_down(lort_dir *dir, const char *name, lort_dir **out, lort_error *err)
{
    int why = 0;
    lort_code code = enter(dir, name, out, &why, err);
    return why ? lort_os_fail_at(err, lort_os_open_code(why), why, "open directory", dir, name)
               : code;
}

const char *lort_os_dir_path(const lort_dir *dir) { return dir->path; }

void lort_os_dir_close(lort_dir *dir)
{
    if (!dir)
        return;
    close(dir->fd);
    free(dir);
}

bool lort_os_is_separator(char c) { return c == '/'; }

int lort_os_compare_names(const char *a, uint64_t a_bytes, const char *b, uint64_t b_bytes)
{
    const int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

const char *lort_os_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

lort_code lort_os_dir_of(const char *path, lort_dir **dir, const char **name, lort_error *err)
{
    const char *slash = strrchr(path, '/'), *base = lort_os_base_name(path);
    char shown[600];
    *dir = NULL;
    *name = NULL;
    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return lort_fail(err, LORT_E_USAGE, "'%s' does not end in the name of a file",
                         lort_escape_text(shown, sizeof shown, path));
    size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0; /* "/name" lies in "/" */
    char *parent = n ? strndup(path, n) : strdup(".");
    if (!parent)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a path");
    lort_code code = lort_os_dir_open(parent, dir, err);
    free(parent);
    if (code == LORT_OK)
        *name = base;
    return code;
}

/* Returns 0 or an errno value. Opens a new handle, since all duplicates of a handle share one
 * position. */
static int read_names(const lort_dir *dir, lort_listing *list)
{
    int fd = lort_os_openat(dir->fd, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int why = 0;
    if (!stream) {
        why = errno;
        if (fd >= 0)
            close(fd);
        return why;
    }
    for (errno = 0; why == 0;) {
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            why = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !lort_listing_add(list, entry->d_name))
            why = ENOMEM;
        errno = 0;
    }
    closedir(stream);
    return why;
}

lort_code lort_os_dir_list(lort_dir *dir,
                           lort_code (*each)(void *ctx, const char *name, lort_error *err),
                           void *ctx, lort_error *err)
{
    lort_listing list = {0};
    const int why = read_names(dir, &list);
    lort_code code =
        why ? lort_os_fail(err, lort_os_open_code(why), why, "list directory", dir->path)
            : lort_listing_each(&list, each, ctx, err);
    lort_listing_free(&list);
    return code;
}

lort_code lort_os_make_dir(lort_dir *dir, const char *name, uint32_t mode, lort_error *err)
{
    if (mkdirat(dir->fd, name, mode & 07777) == 0)
        return LORT_OK;
    return lort_os_fail_at(err, errno == EEXIST ? LORT_E_EXISTS : LORT_E_WRITE, errno,
                           "create directory", dir, name);
}

lort_code lort_os_rename(lort_dir *dir, const char *from, const char *to, bool replace,
                         lort_error *err)
{
    int why = replace ? (renameat(dir->fd, from, dir->fd, to) == 0 ? 0 : errno)
                      : lort_os_rename_new(dir->fd, from, to);
    if (!why)
        return LORT_OK;
    return lort_os_fail_at(err, why == EEXIST ? LORT_E_EXISTS : LORT_E_WRITE, why, "rename to", dir,
                           to);
}

lort_code lort_os_remove(lort_dir *dir, const char *name, bool is_dir, lort_error *err)
{
    if (unlinkat(dir->fd, name, is_dir ? AT_REMOVEDIR : 0) == 0)
        return LORT_OK;
    return lort_os_fail_at(err, LORT_E_WRITE, errno, "remove", dir, name);
}

lort_code lort_os_dir_sync(lort_dir *dir, lort_error *err)
{
    /* EINVAL: this file system cannot sync a directory and does not need to. */
    const int why = lort_os_fsync(dir->fd);
    return why && why != EINVAL ? lort_os_fail(err, LORT_E_WRITE, why, "sync directory", dir->path)
                                : LORT_OK;
}

lort_code lort_os_free_space(lort_dir *dir, uint64_t *bytes, lort_error *err)
{
    struct statvfs fs;
    *bytes = 0;
    if (fstatvfs(dir->fd, &fs) != 0)
        return lort_os_fail(err, LORT_E_WRITE, errno, "get the free space of", dir->path);
    *bytes =
        /* f_bavail leaves out the blocks reserved for root. */
        (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
    return LORT_OK;
}
