/* container_get: bodies of MODEL and INDEX to structs. This is the gate for hostile bytes of a
 * container: it checks every field and the rules between fields. No allocation is larger than a
 * small multiple of the body. Layouts: docs/FORMAT.md. */
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "formats/container/base.h"
#include "formats/container/body.h"
#include "formats/container/container.h"
#include <stdlib.h>
#include <string.h>

#define LEAST_FILE 20u /* bytes of a file entry with empty strings */
#define EXTENT_ENTRY 16u
#define INDEX_ENTRY 16u

typedef unsigned long long ull;

/* ---- MODEL ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Fails if a file has the name of a folder in which another file lies. names: sorted. */
static lort_code no_file_is_a_folder(const lort_model_record *m, const char **names,
                                     lort_error *err)
{
    char folder[LORT_PLAIN_PATH_MAX + 1], text[300];
    const char *key = folder;
    for (uint32_t i = 0; i < m->file_count; i++)
        for (const char *at = strchr(names[i], '/'); at; at = strchr(at + 1, '/')) {
            const size_t n = (size_t)(at - names[i]); /* at most LORT_PLAIN_PATH_MAX */
            memcpy(folder, names[i], n);
            folder[n] = 0;
            if (bsearch(&key, names, m->file_count, sizeof *names, by_name))
                return lort_fail(err, LORT_E_DAMAGED, "'%s' is a file and a folder",
                                 lort_escape_text(text, sizeof text, folder));
        }
    return LORT_OK;
}

static lort_code names_differ(const lort_model_record *m, lort_arena *arena, lort_error *err)
{
    void *memory;
    lort_code code = lort_arena_take(arena, (uint64_t)m->file_count * sizeof(char *), &memory, err);
    if (code)
        return code;
    const char **names = memory;
    for (uint32_t i = 0; i < m->file_count; i++)
        names[i] = m->files[i].name;
    qsort(names, m->file_count, sizeof *names, by_name);
    for (uint32_t i = 1; i < m->file_count; i++) {
        char text[300];
        if (strcmp(names[i - 1], names[i]) == 0)
            return lort_fail(err, LORT_E_DAMAGED, "two files are named '%s'",
                             lort_escape_text(text, sizeof text, names[i]));
    }
    return no_file_is_a_folder(m, names, err);
}

static lort_code get_file(lort_cursor *c, lort_arena *arena, lort_input_file *file, lort_error *err)
{
    file->size = lort_get_u64(c, "file size");
    uint32_t role = lort_get_u32(c, "file role");
    lort_code code = lort_body_string(c, arena, LORT_PLAIN_PATH_MAX, "file name", &file->name, err);
    if (code == LORT_OK)
        code = lort_body_string(c, arena, 32, "file format", &file->format, err);
    if (code)
        return code;
    if (lort_plain_path(file->name, strlen(file->name), err) != LORT_OK) {
        lort_error_prefix(err, "file name in the container");
        if (err)
            err->code = LORT_E_DAMAGED;
        return LORT_E_DAMAGED;
    }
    if (role > LORT_ROLE_SIDE)
        return lort_cursor_fail(c, "file role is %u (allowed: 0 to %d)", role, LORT_ROLE_SIDE);
    if (file->size > INT64_MAX)
        return lort_cursor_fail(c, "file size is %llu bytes (allowed: less than 2^63)",
                                (ull)file->size);
    file->role = (lort_role)role;
    return LORT_OK;
}

static lort_code get_files(lort_cursor *c, lort_arena *arena, lort_model_record *m, lort_error *err)
{
    void *memory;
    lort_code code = lort_body_count_fits(c, m->file_count, LEAST_FILE, "files");
    if (code == LORT_OK && m->file_count == 0)
        code = lort_cursor_fail(c, "the model has no files (allowed: at least 1)");
    if (code == LORT_OK && m->file_count > 1 && !m->directory)
        code = lort_cursor_fail(
            c, "the model has %u files, but only a directory may have more than 1", m->file_count);
    if (code == LORT_OK)
        code = lort_arena_take(arena, (uint64_t)m->file_count * sizeof *m->files, &memory, err);
    if (code)
        return code;
    m->files = memory;
    for (uint32_t i = 0; i < m->file_count && code == LORT_OK; i++)
        code = get_file(c, arena, &m->files[i], err);
    if (code == LORT_OK && !m->directory && lort_path_folder(m->files[0].name))
        code = lort_cursor_fail(c, "the model is one file, but its name is a path");
    return code ? code : names_differ(m, arena, err);
}

/* Checks that an extent continues the tiling of the files. *file, *at: the end of the extents
 * before it. */
static lort_code next_extent(lort_cursor *c, const lort_model_record *m, uint32_t *file,
                             uint64_t *at, lort_extent *extent)
{
    if (extent->file >= m->file_count || extent->file < *file)
        return lort_cursor_fail(c,
                                "an extent of file %u follows one of file %u (the model has %u "
                                "files, in ascending order)",
                                extent->file, *file, m->file_count);
    for (; *file < extent->file; ++*file, *at = 0)
        if (*at != m->files[*file].size)
            return lort_cursor_fail(c, "the extents cover %llu of the %llu bytes of file %u",
                                    (ull)*at, (ull)m->files[*file].size, *file);
    if (extent->bytes > m->files[*file].size - *at)
        return lort_cursor_fail(
            c, "an extent of %llu bytes begins at %llu of file %u, which has %llu bytes",
            (ull)extent->bytes, (ull)*at, *file, (ull)m->files[*file].size);
    if (extent->bytes == 0 && !extent->tensor)
        return lort_cursor_fail(c, "a raw extent has no bytes (allowed: at least 1)");
    extent->offset = *at;
    *at += extent->bytes;
    return LORT_OK;
}

static lort_code get_extents(lort_cursor *c, lort_arena *arena, lort_model_record *m,
                             lort_error *err)
{
    void *memory;
    uint32_t file = 0;
    uint64_t at = 0;
    lort_code code = lort_body_count_fits(c, m->extent_count, EXTENT_ENTRY, "extents");
    if (code == LORT_OK)
        code = lort_arena_take(arena, m->extent_count * sizeof *m->extents, &memory, err);
    if (code)
        return code;
    m->extents = memory;
    for (uint64_t i = 0; i < m->extent_count; i++) {
        lort_extent *extent = &m->extents[i];
        extent->file = lort_get_u32(c, "extent's file");
        uint32_t flags = lort_get_u32(c, "extent's flags");
        extent->bytes = lort_get_u64(c, "extent's size");
        extent->tensor = flags == 1;
        if (c->code == LORT_OK && flags > 1)
            return lort_cursor_fail(c, "extent flags are %#x (allowed: 0 and 1)", flags);
        if (c->code || next_extent(c, m, &file, &at, extent))
            return c->code;
    }
    for (; file < m->file_count; file++, at = 0)
        if (at != m->files[file].size)
            return lort_cursor_fail(c, "the extents cover %llu of the %llu bytes of file %u",
                                    (ull)at, (ull)m->files[file].size, file);
    return LORT_OK;
}

static lort_code get_model(lort_cursor *c, lort_arena *arena, lort_model_record *m, lort_error *err)
{
    m->algorithm = lort_get_u32(c, "algorithm");
    uint32_t flags = lort_get_u32(c, "model flags");
    m->seed = lort_get_u64(c, "seed");
    m->extent_count = lort_get_u64(c, "extent count");
    m->file_count = lort_get_u32(c, "file count");
    uint32_t zero = lort_get_u32(c, "reserved field");
    m->directory = flags & 1;
    if (c->code == LORT_OK && (flags > 3 || zero != 0))
        return lort_cursor_fail(
            c, "model flags are %#x and the reserved field is %#x (allowed: flags 0 to 3, field 0)",
            flags, zero);
    lort_code code = lort_body_string(c, arena, LORT_TEXT_MAX, "producer", &m->producer, err);
    if (code == LORT_OK)
        code = lort_body_string(c, arena, LORT_TEXT_MAX, "options", &m->options, err);
    if (code == LORT_OK)
        code = lort_body_string(c, arena, LORT_TEXT_MAX, "libraries", &m->libraries, err);
    if (code == LORT_OK)
        code = get_files(c, arena, m, err);
    if (code == LORT_OK)
        code = get_extents(c, arena, m, err);
    if (code == LORT_OK && flags & 2)
        code = lort_base_files_get(c, arena, m, err);
    return code ? code : lort_body_end(c);
}

bool lort_model_record_has_paths(const lort_model_record *model)
{
    bool any = false;
    for (uint32_t i = 0; i < model->file_count; i++)
        any |= lort_path_folder(model->files[i].name) != 0;
    return any;
}

lort_code lort_model_record_get(const uint8_t *body, uint64_t bytes, lort_arena *arena,
                                lort_model_record *out, lort_error *err)
{
    lort_cursor c = lort_body_cursor(body, bytes, err);
    memset(out, 0, sizeof *out);
    return lort_body_or_nothing(get_model(&c, arena, out, err), out, sizeof *out);
}

/* ---- INDEX ---- */

static lort_code get_index(lort_cursor *c, lort_arena *arena, lort_index_record *index,
                           lort_error *err)
{
    void *memory;
    uint64_t end = LORT_HEADER_BYTES;
    index->count = lort_get_u64(c, "part count");
    const uint8_t *hash = lort_get_bytes(c, sizeof index->model.bytes, "model hash");
    lort_code code = lort_body_count_fits(c, index->count, INDEX_ENTRY, "index entries");
    if (code == LORT_OK)
        code = lort_arena_take(arena, index->count * sizeof *index->entries, &memory, err);
    if (code)
        return code;
    index->entries = memory;
    memcpy(index->model.bytes, hash, sizeof index->model.bytes);
    for (uint64_t i = 0; i < index->count; i++) {
        lort_index_entry *e = &index->entries[i];
        e->record_offset = lort_get_u64(c, "record offset");
        e->record_bytes = lort_get_u64(c, "record size");
        if (e->record_offset < end || e->record_bytes < LORT_FRAME_HEADER + LORT_FRAME_TRAILER ||
            !lort_add_u64(e->record_offset, e->record_bytes, &end))
            return lort_cursor_fail(c,
                                    "record %llu at offset %llu, of %llu bytes, is too small or "
                                    "overlaps the one before it",
                                    (ull)i, (ull)e->record_offset, (ull)e->record_bytes);
    }
    if (c->at != c->limit)
        return lort_cursor_fail(c, "%llu bytes follow the end of the index (allowed: 0)",
                                (ull)(c->limit - c->at));
    return c->code;
}

lort_code lort_index_record_get(const uint8_t *body, uint64_t bytes, lort_arena *arena,
                                lort_index_record *out, lort_error *err)
{
    lort_cursor c = lort_body_cursor(body, bytes, err);
    memset(out, 0, sizeof *out);
    return lort_body_or_nothing(get_index(&c, arena, out, err), out, sizeof *out);
}
