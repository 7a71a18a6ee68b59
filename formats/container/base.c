/* base: see base.h. */
#include "formats/container/base.h"
#include "formats/base/plain_path.h"
#include "formats/container/body.h"

#define LEAST_FILE 28u /* bytes of an entry with an empty name */

typedef unsigned long long ull;

static void put_name(const char *name, uint32_t bytes, lort_buffer *out)
{
    lort_put_u32(out, bytes);
    lort_put_bytes(out, name, bytes);
}

void lort_base_files_put(const lort_model_record *model, lort_buffer *out)
{
    lort_put_u32(out, model->base_count);
    for (uint32_t i = 0; i < model->base_count; i++) {
        const lort_base_file *file = &model->base[i];
        lort_put_u64(out, file->size);
        lort_put_bytes(out, file->header.bytes, sizeof file->header.bytes);
        put_name(file->name, (uint32_t)strlen(file->name), out);
    }
}

void lort_base_tensor_put(const lort_base_tensor *base, lort_buffer *out)
{
    lort_put_u64(out, base->bytes);
    lort_put_bytes(out, base->hash.bytes, sizeof base->hash.bytes);
    put_name(base->name, base->name_bytes, out);
}

static lort_code get_hash(lort_cursor *c, const char *what, lort_hash128 *hash)
{
    const uint8_t *bytes = lort_get_bytes(c, sizeof hash->bytes, what);
    if (bytes)
        memcpy(hash->bytes, bytes, sizeof hash->bytes);
    return c->code;
}

static lort_code get_file(lort_cursor *c, lort_arena *arena, lort_base_file *file, lort_error *err)
{
    file->size = lort_get_u64(c, "size of a base's file");
    lort_code code = get_hash(c, "header hash of a base's file", &file->header);
    if (code == LORT_OK)
        code = lort_body_string(c, arena, LORT_PLAIN_PATH_MAX, "name of a base's file", &file->name,
                                err);
    if (code == LORT_OK && file->size > INT64_MAX)
        return lort_cursor_fail(c, "a file of the base has %llu bytes (allowed: less than 2^63)",
                                (ull)file->size);
    if (code == LORT_OK && lort_plain_path(file->name, strlen(file->name), NULL) != LORT_OK)
        return lort_cursor_fail(c, "a file of the base has no plain path for a name");
    return code;
}

lort_code lort_base_files_get(lort_cursor *c, lort_arena *arena, lort_model_record *model,
                              lort_error *err)
{
    void *memory;
    const uint32_t count = lort_get_u32(c, "number of the base's files");
    lort_code code = lort_body_count_fits(c, count, LEAST_FILE, "files of the base");
    if (code == LORT_OK && count == 0)
        code = lort_cursor_fail(c, "the base has no files (allowed: at least 1)");
    if (code == LORT_OK)
        code = lort_arena_take(arena, (uint64_t)count * sizeof *model->base, &memory, err);
    if (code)
        return code;
    model->base = memory;
    model->base_count = count;
    for (uint32_t i = 0; i < count && code == LORT_OK; i++)
        code = get_file(c, arena, &model->base[i], err);
    return code;
}

lort_code lort_base_tensor_get(lort_cursor *c, lort_arena *arena, lort_base_tensor *out,
                               lort_error *err)
{
    out->bytes = lort_get_u64(c, "bytes of the base's tensor");
    get_hash(c, "hash of the base's tensor", &out->hash);
    out->name_bytes = lort_get_u32(c, "name size of the base's tensor");
    const uint8_t *name = lort_get_bytes(c, out->name_bytes, "name of the base's tensor");
    if (c->code == LORT_OK && out->bytes > INT64_MAX)
        return lort_cursor_fail(c, "the base's tensor has %llu bytes (allowed: less than 2^63)",
                                (ull)out->bytes);
    return c->code ? c->code : lort_arena_text(arena, name, out->name_bytes, &out->name, err);
}

const lort_term *lort_part_base(const lort_part *part)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        if (part->terms[i].kind == LORT_TERM_BASE)
            return &part->terms[i];
    return NULL;
}
