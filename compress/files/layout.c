/* layout: see layout.h.
 *
 *     as it was      part part part ...                     the places of the source
 *     retyped        new header, zeros, tensor, zeros, ...  the places that the format gives
 *     index.json     a new text, if a shard is retyped
 */
#include "compress/files/layout.h"
#include "compress/files/rows.h"
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "formats/container/part.h"
#include "formats/inputs/shards.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lort_alloc *alloc_of(const lort_layout *l) { return &l->reading->session.alloc; }
static const lort_model_record *model_of(const lort_layout *l)
{
    return lort_archive_model(l->reading->archive);
}
static const lort_part *part_of(const lort_layout *l, uint64_t i)
{
    return lort_archive_part(l->reading->archive, i);
}

lort_code lort_layout_dtype(const char *name, const lort_dtype_info **out, lort_error *err)
{
    *out = name ? lort_dtype_by_name(name, strlen(name)) : NULL;
    if (!name || (*out && lort_dtype_encoder((*out)->id)))
        return LORT_OK;
    *out = NULL;
    return lort_fail(err, LORT_E_USAGE, "--dtype %.20s: allowed are F32, F16 and BF16", name);
}

const lort_dtype_info *lort_layout_type(const lort_layout *l, const lort_part *part)
{
    return l->wanted && !lort_part_is_raw(part) ? l->wanted : lort_rows_own_type(part);
}

uint64_t lort_layout_part_bytes(const lort_layout *l, const lort_part *part)
{
    const lort_dtype_info *type = lort_layout_type(l, part);
    return lort_part_is_raw(part) ? part->source_bytes
                                  : lort_part_elements(part) * type->block_bytes;
}

uint64_t lort_layout_cost(const lort_layout *l)
{
    const lort_model_record *model = model_of(l);
    bool retyped = false;
    for (uint64_t i = 0; i < model->extent_count; i++)
        retyped |= lort_layout_type(l, part_of(l, i))->id != part_of(l, i)->dtype;
    return model->file_count * sizeof(lort_out_file) +
           (retyped ? model->extent_count * sizeof(uint64_t) : 0) +
           lort_headers_cost(l->reading->archive, retyped);
}

/* ---- headers ---- */

/* Gives every part of a file its place, from the offsets of the tensors. */
static void place_parts(const lort_layout *l, lort_out_file *out, const uint64_t *offsets)
{
    uint64_t end = out->header.size, at = 0;
    for (uint64_t i = 0; i < out->count; i++) {
        const lort_part *part = part_of(l, out->first + i);
        out->places[i] = part->tensor ? offsets[at++] : end;
        end = out->places[i] + (part->tensor ? lort_layout_part_bytes(l, part) : 0);
    }
}

/* Makes the new header: the old one with other types. */
static lort_code rewrite_header(lort_layout *l, const lort_headers *headers, uint32_t file,
                                lort_error *err)
{
    lort_out_file *out = &l->files[file];
    const uint8_t *old;
    const lort_header *header = lort_headers_get(headers, file, &old);
    lort_arena arena = {.alloc = alloc_of(l)};
    uint64_t at = 0;
    void *types = NULL, *offsets = NULL, *places;
    lort_code code = lort_arena_take(&arena, out->tensors * sizeof(lort_dtype_info *), &types, err);
    if (code == LORT_OK)
        code = lort_arena_take(&arena, out->tensors * sizeof(uint64_t), &offsets, err);
    if (code == LORT_OK)
        code =
            lort_take(alloc_of(l), out->count * sizeof(uint64_t), "places of parts", &places, err);
    if (code == LORT_OK) {
        out->places = places;
        for (uint64_t i = out->first; i < out->first + out->count; i++)
            if (part_of(l, i)->tensor)
                ((const lort_dtype_info **)types)[at++] = lort_layout_type(l, part_of(l, i));
        out->header.alloc = alloc_of(l);
        code = header->format->rewrite(header, old, types, &out->header, offsets, &out->size, err);
    }
    if (code == LORT_OK)
        place_parts(l, out, offsets);
    lort_arena_free(&arena);
    return code;
}

/* ---- index.json ---- */

static lort_code collect_bytes(void *buffer, const void *bytes, uint64_t n, lort_error *err)
{
    lort_put_bytes(buffer, bytes, n);
    return lort_buffer_check(buffer, err);
}

/* The sizes that a container claims are checked one by one, and their sums here. */
static lort_code add_bytes(uint64_t *sum, uint64_t bytes, lort_error *err)
{
    return lort_add_u64(*sum, bytes, sum)
               ? LORT_OK
               : lort_fail(err, LORT_E_WRITE, "the output needs more than 2^64 bytes");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds up the new bytes of all tensors of the shards that an index lists. *any: one of the shards
 * has tensors that change their type. */
static lort_code sum_shards(const lort_layout *l, const char *index, const lort_shard_list *shards,
                            uint64_t *total, bool *any, lort_error *err)
{
    const lort_model_record *model = model_of(l);
    lort_code code = LORT_OK;
    *total = 0;
    *any = false;
    for (uint32_t f = 0; f < model->file_count; f++) {
        const lort_out_file *file = &l->files[f];
        const char *base = lort_path_base(model->files[f].name);
        if (!lort_path_same_folder(model->files[f].name, index) ||
            !bsearch(&base, shards->files, shards->file_count, sizeof *shards->files, by_text))
            continue;
        *any |= file->retyped;
        for (uint64_t i = file->first; i < file->first + file->count && code == LORT_OK; i++)
            if (part_of(l, i)->tensor)
                code = add_bytes(total, lort_layout_part_bytes(l, part_of(l, i)), err);
    }
    return code;
}

/* Writes index.json anew, with the sum of the new sizes as total_size, if a size changes. */
static lort_code rewrite_index(lort_layout *l, uint32_t file, lort_error *err)
{
    lort_out_file *out = &l->files[file];
    lort_buffer old = {.alloc = alloc_of(l)};
    lort_shard_list shards = {0};
    uint64_t total;
    bool any = false;
    lort_code code = out->count ? lort_reading_bytes(l->reading, part_of(l, out->first), 0,
                                                     collect_bytes, &old, err)
                                : LORT_OK;
    if (code == LORT_OK)
        code = lort_shards_parse(old.data, old.size, alloc_of(l), &shards, err);
    if (code == LORT_OK)
        code = sum_shards(l, model_of(l)->files[file].name, &shards, &total, &any, err);
    if (code == LORT_OK && any) {
        out->text.alloc = alloc_of(l);
        code = lort_shards_rewrite(&shards, old.data, old.size, total, &out->text, err);
        out->size = out->text.size;
    }
    lort_shards_free(&shards);
    lort_buffer_free(&old);
    return code;
}

/* ---- all files ---- */

static lort_code list_files(lort_layout *l, lort_error *err)
{
    const lort_model_record *model = model_of(l);
    void *memory;
    lort_code code = lort_take_zero(alloc_of(l), model->file_count * sizeof *l->files,
                                    "files to write", &memory, err);
    if (code)
        return code;
    l->files = memory;
    for (uint32_t f = 0; f < model->file_count; f++)
        l->files[f].size = model->files[f].size;
    for (uint64_t i = 0; i < model->extent_count; i++) {
        lort_out_file *out = &l->files[model->extents[i].file];
        const lort_part *part = part_of(l, i);
        out->first = out->count++ ? out->first : i;
        out->tensors += part->tensor;
        out->retyped |= lort_layout_type(l, part)->id != part->dtype;
    }
    return LORT_OK;
}

static lort_code plan_files(lort_layout *l, const lort_headers *headers, lort_error *err)
{
    const lort_model_record *model = model_of(l);
    bool any = false;
    lort_code code = list_files(l, err);
    for (uint32_t f = 0; code == LORT_OK && f < model->file_count; f++)
        if (l->files[f].retyped) {
            any = true;
            code = rewrite_header(l, headers, f, err);
        }
    for (uint32_t f = 0; any && code == LORT_OK && f < model->file_count; f++)
        if (model->files[f].role == LORT_ROLE_INDEX)
            code = rewrite_index(l, f, err);
    for (uint32_t f = 0; code == LORT_OK && f < model->file_count; f++)
        code = add_bytes(&l->bytes, l->files[f].size, err);
    return code;
}

lort_code lort_layout_open(lort_layout *l, lort_error *err)
{
    lort_headers headers;
    lort_code code = lort_headers_open(&headers, l->reading, err);
    if (code == LORT_OK)
        code = plan_files(l, &headers, err);
    lort_headers_close(&headers); /* the new headers are made */
    return code;
}

void lort_layout_close(lort_layout *l)
{
    if (!l->files)
        return;
    for (uint32_t f = 0; f < model_of(l)->file_count; f++) {
        lort_out_file *out = &l->files[f];
        if (out->header.alloc)
            lort_buffer_free(&out->header);
        if (out->text.alloc)
            lort_buffer_free(&out->text);
        lort_give(alloc_of(l), out->places, out->count * sizeof(uint64_t));
    }
    lort_give(alloc_of(l), l->files, model_of(l)->file_count * sizeof *l->files);
    *l = (lort_layout){0};
}

/* ---- places ---- */

/* Where part i of a file begins, and its bytes there. */
static uint64_t place_of(const lort_layout *l, const lort_out_file *out, uint64_t i)
{
    return out->places ? out->places[i] : model_of(l)->extents[out->first + i].offset;
}

static uint64_t bytes_of(const lort_layout *l, const lort_out_file *out, uint64_t i)
{
    const lort_part *part = part_of(l, out->first + i);
    return out->places && !part->tensor ? 0 : lort_layout_part_bytes(l, part);
}

/* The number of parts that begin at `at` or before it. */
static uint64_t parts_until(const lort_layout *l, const lort_out_file *out, uint64_t at)
{
    uint64_t low = 0, high = out->count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (place_of(l, out, middle) <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

lort_layout_piece lort_layout_at(const lort_layout *l, uint32_t file, uint64_t at)
{
    const lort_out_file *out = &l->files[file];
    const lort_buffer *text = out->text.size ? &out->text : &out->header;
    if (at < text->size)
        return (lort_layout_piece){.bytes = text->data + at, .count = text->size - at};
    const uint64_t next = parts_until(l, out, at),
                   end = next < out->count ? place_of(l, out, next) : out->size;
    if (next > 0) {
        const uint64_t inside = at - place_of(l, out, next - 1), bytes = bytes_of(l, out, next - 1);
        if (inside < bytes)
            return (lort_layout_piece){.part = part_of(l, out->first + next - 1),
                                       .inside = inside,
                                       .count = bytes - inside};
    }
    return (lort_layout_piece){.count = end - at};
}

lort_code lort_layout_find(const lort_layout *l, const char *name, uint32_t *file, lort_error *err)
{
    const lort_model_record *model = model_of(l);
    char shown[200], first[200];
    for (*file = 0; *file < model->file_count; ++*file)
        if (strcmp(model->files[*file].name, name) == 0)
            return LORT_OK;
    *file = 0;
    lort_fail(err, LORT_E_USAGE, "no file '%s' in the container, which holds %u file%s%s '%s'",
              lort_escape_text(shown, sizeof shown, name), (unsigned)model->file_count,
              model->file_count == 1 ? "" : "s", model->file_count == 1 ? ":" : ", such as",
              lort_escape_text(first, sizeof first, model->files[0].name));
    lort_error_file(err, name);
    return LORT_E_USAGE;
}
