/* spool_list: the files of a remote model, in the order in which LoRT walks through a directory:
 * level by level, folders by name, and the files of each folder by name. So a model from the
 * network has the order of the same model on a disk, and the same container. */
#include "formats/base/plain_path.h"
#include "loader/spool/spool_parts.h"
#include <stdlib.h>
#include <string.h>

static unsigned depth_of(const char *path)
{
    unsigned depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

/* Names are compared one by one: the end of a name comes before every byte. */
static int compare_paths(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        ;
    const int x = *a == '/' ? 0 : (unsigned char)*a, y = *b == '/' ? 0 : (unsigned char)*b;
    return x - y;
}

static int compare_files(const void *a, const void *b)
{
    const lort_spool_file *x = a, *y = b;
    const unsigned dx = depth_of(x->path), dy = depth_of(y->path);
    return dx != dy ? (dx < dy ? -1 : 1) : compare_paths(x->path, y->path);
}

static lort_code add_file(lort_spool *spool, uint32_t number, const char *path, lort_error *err)
{
    const lort_remote_file *remote = lort_remote_get(spool->remote, number);
    lort_spool_file *file = &spool->files[spool->file_count];
    lort_buffer text = {.alloc = spool->alloc};
    *file = (lort_spool_file){.number = number, .size = remote->size};
    lort_sha256_start(&file->proof);
    lort_put_text(&text, "%s %s", lort_remote_commit(spool->remote), remote->etag);
    lort_code code = lort_buffer_check(&text, err);
    if (code == LORT_OK)
        code = lort_arena_text(&spool->arena, text.data, text.size, &file->identity, err);
    lort_buffer_free(&text);
    if (code == LORT_OK)
        code = lort_arena_text(&spool->arena, path, strlen(path), &file->path, err);
    spool->file_count += code == LORT_OK;
    return code;
}

lort_code lort_spool_list(lort_spool *spool, const char *folder, lort_error *err)
{
    const uint32_t count = lort_remote_count(spool->remote);
    const size_t n = strlen(folder);
    void *memory;
    lort_code code =
        lort_arena_take(&spool->arena, (count + 1ull) * sizeof *spool->files, &memory, err);
    spool->files = memory;
    for (uint32_t i = 0; i < count && code == LORT_OK; i++) {
        const char *path = lort_remote_get(spool->remote, i)->name;
        if (n == 0)
            code = add_file(spool, i, path, err);
        else if (strncmp(path, folder, n) == 0 && path[n] == '/')
            code = add_file(spool, i, path + n + 1, err);
    }
    if (code == LORT_OK)
        qsort(spool->files, spool->file_count, sizeof *spool->files, compare_files);
    return code;
}

lort_spool_file *lort_spool_named(const lort_spool *spool, const char *path)
{
    const lort_spool_file wanted = {.path = path};
    return spool->file_count ? bsearch(&wanted, spool->files, spool->file_count,
                                       sizeof *spool->files, compare_files)
                             : NULL;
}
