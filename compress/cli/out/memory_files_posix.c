/* memory_files: see memory_files.h. */
#define _GNU_SOURCE
#include "compress/cli/out/memory_files.h"
#include "compress/cli/ui/print.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#define MOST_MEMFD_NAME 200 /* bytes; Linux allows 249 */
#define FIRST_SHARD "-00001-of-"

static lort_code no_memory(lort_error *err)
{
    return lort_fail(err, LORT_E_MEMORY, "no memory for the names of the restored files");
}

/* ---- the files ---- */

/* Kernels before 6.3 do not know MFD_NOEXEC_SEAL. */
static int new_memory(const char *name)
{
    char brief[MOST_MEMFD_NAME];
    const char *slash = strrchr(name, '/');
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    snprintf(brief, sizeof brief, "%s", slash ? slash + 1 : name);
    const int fd = memfd_create(brief, flags | MFD_NOEXEC_SEAL);
    return fd < 0 && errno == EINVAL ? memfd_create(brief, flags) : fd;
}

static lort_code begin_file(void *ctx, const char *name, uint64_t bytes, lort_error *err)
{
    lort_cli_memory_files *m = ctx;
    char shown[200];
    lort_cli_memory_file *grown = realloc(m->files, (m->count + 1) * sizeof *grown);
    if (!grown)
        return no_memory(err);
    m->files = grown;
    grown[m->count] = (lort_cli_memory_file){strdup(name), -1};
    if (!grown[m->count].name)
        return no_memory(err);
    grown[m->count].fd = new_memory(name);
    if (grown[m->count++].fd >= 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_WRITE, "cannot make a file in memory for %s: %s",
                     lort_escape_text(shown, sizeof shown, name), strerror(errno));
}

static lort_code write_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    lort_cli_memory_files *m = ctx;
    const lort_cli_memory_file *file = &m->files[m->count - 1];
    const char *from = bytes;
    char shown[200];
    while (n > 0) {
        const ssize_t put = write(file->fd, from, (size_t)n);
        if (put < 0 && errno != EINTR)
            return lort_fail(err, errno == ENOSPC || errno == ENOMEM ? LORT_E_MEMORY : LORT_E_WRITE,
                             "cannot hold %s in memory: %s",
                             lort_escape_text(shown, sizeof shown, file->name), strerror(errno));
        from += put > 0 ? put : 0;
        n -= put > 0 ? (uint64_t)put : 0;
    }
    return LORT_OK;
}

void lort_cli_memory_files_open(lort_cli_memory_files *m)
{
    *m = (lort_cli_memory_files){
        .sink = {begin_file, write_bytes, m, .several = true, .in_memory = true}};
}

static lort_code seal(const lort_cli_memory_file *file, lort_error *err)
{
    char shown[200];
    if (fcntl(file->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_WRITE, "cannot seal %s in memory: %s",
                     lort_escape_text(shown, sizeof shown, file->name), strerror(errno));
}

/* ---- the folder ---- */

static lort_code cannot_make(const char *path, lort_error *err)
{
    const int why = errno;
    char shown[600];
    return lort_fail(err, LORT_E_WRITE, "cannot make '%s': %s",
                     lort_escape_text(shown, sizeof shown, path), strerror(why));
}

/* folder/name; the caller frees it. NULL without memory. */
static char *path_in(const lort_cli_memory_files *m, const char *name)
{
    const size_t bytes = strlen(m->folder) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", m->folder, name);
    return path;
}

/* Makes the folders of a name below the folder. */
static lort_code make_folders(const lort_cli_memory_files *m, char *path, lort_error *err)
{
    lort_code code = LORT_OK;
    for (char *at = path + strlen(m->folder) + 1; code == LORT_OK && (at = strchr(at, '/')); at++) {
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            code = cannot_make(path, err);
        *at = '/';
    }
    return code;
}

static lort_code make_link(const lort_cli_memory_files *m, const lort_cli_memory_file *file,
                           lort_error *err)
{
    char target[64];
    char *path = path_in(m, file->name);
    if (!path)
        return no_memory(err);
    snprintf(target, sizeof target, "/proc/%lld/fd/%d", (long long)getpid(), file->fd);
    lort_code code = make_folders(m, path, err);
    if (code == LORT_OK && symlink(target, path) != 0)
        code = cannot_make(path, err);
    free(path);
    return code;
}

static lort_code make_folder(lort_cli_memory_files *m, lort_error *err)
{
    const char *parent = getenv("TMPDIR");
    char *folder = NULL;
    if (asprintf(&folder, "%s/lort-run-XXXXXX", parent && *parent ? parent : "/tmp") < 0)
        return no_memory(err);
    lort_code code = mkdtemp(folder) ? LORT_OK : cannot_make(folder, err);
    if (code)
        free(folder);
    else
        m->folder = folder;
    for (unsigned i = 0; i < m->count && code == LORT_OK; i++)
        code = make_link(m, &m->files[i], err);
    return code;
}

/* Programs of GGUF take a file: the first shard, or else the first GGUF file. NULL: none. */
static const char *gguf_of(const lort_cli_memory_files *m)
{
    const char *found = NULL;
    for (unsigned i = 0; i < m->count; i++) {
        const char *name = m->files[i].name;
        const size_t n = strlen(name);
        if (strchr(name, '/') || n < 5 || strcmp(name + n - 5, ".gguf") != 0)
            continue;
        if (strstr(name, FIRST_SHARD))
            return name;
        found = found ? found : name;
    }
    return found;
}

/* The path of the only file. The command inherits its descriptor. */
static lort_code offer_one(lort_cli_memory_files *m, lort_error *err)
{
    const int fd = m->files[0].fd;
    char *path = NULL;
    if (asprintf(&path, "/proc/self/fd/%d", fd) < 0)
        return no_memory(err);
    m->path = path;
    if (fcntl(fd, F_SETFD, 0) == 0 && access(path, R_OK) == 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_WRITE,
                     "cannot use %s: %s; lort run needs /proc, lort restore does "
                     "not",
                     path, strerror(errno));
}

static lort_code offer_folder(lort_cli_memory_files *m, lort_error *err)
{
    lort_code code = make_folder(m, err);
    if (code)
        return code;
    const char *gguf = gguf_of(m);
    char *first = path_in(m, m->files[0].name);
    m->path = gguf ? path_in(m, gguf) : strdup(m->folder);
    if (!first || !m->path)
        code = no_memory(err);
    else if (access(first, R_OK) != 0)
        code = lort_fail(err, LORT_E_WRITE,
                         "cannot read %s: %s; lort run needs /proc, lort restore does not", first,
                         strerror(errno));
    free(first);
    return code;
}

lort_code lort_cli_memory_files_offer(lort_cli_memory_files *m, lort_error *err)
{
    lort_code code = LORT_OK;
    for (unsigned i = 0; i < m->count && code == LORT_OK; i++)
        code = seal(&m->files[i], err);
    if (code)
        return code;
    return m->count == 1 ? offer_one(m, err) : offer_folder(m, err);
}

/* ---- the end ---- */

/* Removes the link of a file, and its folders as far as they are empty. */
static void remove_link(const lort_cli_memory_files *m, const char *name)
{
    char *path = path_in(m, name);
    if (!path)
        return;
    (void)unlink(path);
    for (char *slash = strrchr(path, '/'); slash && slash > path + strlen(m->folder);
         slash = strrchr(path, '/')) {
        *slash = '\0';
        if (rmdir(path) != 0)
            break;
    }
    free(path);
}

void lort_cli_memory_files_close(lort_cli_memory_files *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        if (m->folder)
            remove_link(m, m->files[i].name);
        if (m->files[i].fd >= 0)
            close(m->files[i].fd);
        free(m->files[i].name);
    }
    if (m->folder && rmdir(m->folder) != 0)
        lort_cli_print(stderr, "lort: '%s' stays: %s\n", m->folder, strerror(errno));
    free(m->files);
    free(m->folder);
    free(m->path);
    *m = (lort_cli_memory_files){0};
}
