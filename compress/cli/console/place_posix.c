/* place_posix: see place.h. */
#define _GNU_SOURCE
#include "compress/cli/console/place.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(PATH_MAX <= LORT_PLACE_PATH && NAME_MAX < LORT_PLACE_NAME, "room for every path");

static lort_identity identity_of(const struct stat *st)
{
    return (lort_identity){true, st->st_dev, st->st_ino};
}

lort_identity lort_place_identity(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? identity_of(&st) : (lort_identity){0};
}

lort_identity lort_place_stdout(void)
{
    struct stat st;
    return fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? identity_of(&st)
                                                                 : (lort_identity){0};
}

bool lort_place_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

void lort_place_spell(char *path) { (void)path; }

/* No system call takes a longer path. */
bool lort_place_plain(const char *path, char out[LORT_PLACE_PATH])
{
    if (strlen(path) >= PATH_MAX)
        return false;
    strcpy(out, path);
    return true;
}

bool lort_place_real(const char *path, char out[LORT_PLACE_PATH]) { return realpath(path, out); }

bool lort_place_link(const char *path, char out[LORT_PLACE_PATH])
{
    const ssize_t n = readlink(path, out, LORT_PLACE_PATH - 1);
    if (n >= 0)
        out[n] = '\0';
    return n >= 0;
}

bool lort_place_is_absolute(const char *plain) { return *plain == '/'; }

bool lort_place_same_name(const char *a, const char *b) { return strcmp(a, b) == 0; }

bool lort_place_any(const char *directory,
                    bool (*hit)(void *ctx, const char *name, const lort_identity *file), void *ctx)
{
    bool found = false;
    DIR *stream = opendir(directory);
    for (const struct dirent *entry; stream && !found && (entry = readdir(stream));) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(stream), entry->d_name, &st, 0) != 0)
            continue;
        const lort_identity file = identity_of(&st);
        found = hit(ctx, entry->d_name, &file);
    }
    if (stream)
        closedir(stream);
    return found;
}
