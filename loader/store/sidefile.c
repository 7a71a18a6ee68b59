/* sidefile: opens the file relative to its directory and reads it. It never maps the file, so the
 * bytes cannot change under the parser. */
#include "loader/store/sidefile.h"
#include "formats/base/text.h"
#include "loader/os/os.h"
#include <inttypes.h>

static bool is_same_file(const lort_file_info *a, const lort_file_info *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns;
}

static lort_code read_all(lort_file *file, uint64_t max, lort_sidefile *out, lort_error *err)
{
    char shown[300];
    lort_file_info before, after;
    void *memory;
    const char *path = lort_os_file_path(file);
    lort_code code = lort_os_info(file, &before, err);
    if (code)
        return code;
    lort_escape_text(shown, sizeof shown, path);
    if (before.size > max)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: %" PRIu64 " bytes; at most %" PRIu64 " are allowed", shown,
                         before.size, max);
    code = lort_take(out->alloc, before.size, shown, &memory, err);
    if (code)
        return code;
    out->data = memory;
    out->bytes = before.size;
    code = lort_os_read(file, out->data, out->bytes, 0, err);
    if (code == LORT_OK)
        code = lort_os_info(file, &after, err);
    if (code == LORT_OK && !is_same_file(&before, &after))
        code = lort_fail(err, LORT_E_READ, "%s: changed while it was read", shown);
    return code;
}

lort_code lort_sidefile_read(const char *path, uint64_t max, const lort_alloc *alloc,
                             lort_sidefile *out, lort_error *err)
{
    lort_dir *dir = NULL;
    lort_file *file = NULL;
    const char *name;
    *out = (lort_sidefile){0};
    lort_sidefile read = {.alloc = alloc};
    lort_code code = lort_os_dir_of(path, &dir, &name, err);
    if (code == LORT_OK)
        code = lort_os_open(dir, name, &file, err);
    if (code == LORT_OK)
        code = read_all(file, max, &read, err);
    lort_os_close(file, NULL);
    lort_os_dir_close(dir);
    if (code)
        lort_sidefile_free(&read);
    else
        *out = read;
    return code;
}

void lort_sidefile_free(lort_sidefile *file)
{
    if (!file || !file->alloc)
        return;
    lort_give(file->alloc, file->data, file->bytes);
    *file = (lort_sidefile){0};
}
