/* input: see input.h. */
#include "compress/read/input.h"
#include "formats/container/part.h"
#include <stdio.h>
#include <string.h>

lort_code lort_input_open(const char *path, const lort_alloc *alloc, lort_warn_fn *warn,
                          bool (*stop)(void *ctx), void *ctx, lort_input *out, lort_error *err)
{
    return lort_input_open_as(path, &(lort_model_options){0}, alloc, warn, stop, ctx, out, err);
}

lort_code lort_input_open_as(const char *path, const lort_model_options *options,
                             const lort_alloc *alloc, lort_warn_fn *warn, bool (*stop)(void *ctx),
                             void *ctx, lort_input *out, lort_error *err)
{
    bool archive;
    lort_model_options files = *options;
    *out = (lort_input){0};
    files.stop = stop;
    files.stop_ctx = ctx;
    lort_code code = lort_named_find(path, options->offline, alloc, &out->named, err);
    if (code == LORT_OK)
        code = lort_named_told(&out->named, &archive, err);
    if (code == LORT_OK)
        code = archive
                   ? lort_archive_open_until(out->named.path, alloc, stop, ctx, &out->archive, err)
                   : lort_named_model(&out->named, &files, warn, ctx, &out->model, err);
    if (code == LORT_OK)
        out->index = archive ? lort_archive_names(out->archive) : lort_model_index(out->model);
    else
        lort_named_close(&out->named);
    return code;
}

void lort_input_close(lort_input *input)
{
    lort_model_close(input->model);
    lort_archive_close(input->archive);
    lort_named_close(&input->named);
    *input = (lort_input){0};
}

lort_code lort_input_unchanged(const lort_input *input, lort_error *err)
{
    return input->archive ? lort_archive_unchanged(input->archive, err)
                          : lort_model_unchanged(input->model, err);
}

lort_code lort_input_proven(const lort_input *input, lort_error *err)
{
    return input->model ? lort_model_prove_all(input->model, err) : LORT_OK;
}

uint32_t lort_input_unproven(const lort_input *input)
{
    lort_supply_figures figures = {0};
    if (input->model)
        lort_model_figures(input->model, &figures);
    return figures.unproved;
}

static bool same_file(const lort_file_info *a, const lort_file_info *b)
{
    return a->device == b->device && a->inode == b->inode;
}

static bool owns(const lort_input *input, const char *imatrix, const lort_file_info *info)
{
    lort_file_info other;
    bool exists;
    if (imatrix && lort_os_stat(imatrix, &other, &exists, NULL) == LORT_OK && exists &&
        same_file(info, &other))
        return true;
    if (input->model)
        return lort_model_owns(input->model, info);
    return same_file(info, lort_archive_info(input->archive));
}

lort_code lort_input_refuse(const lort_input *input, const char *imatrix, const char *output,
                            const lort_alloc *alloc, lort_error *err)
{
    static const char *const written[] = {"", ".part", ".part.journal", ".part.writer"};
    const size_t room = strlen(output) + sizeof ".part.journal";
    char shown[300];
    void *name;
    lort_code code = lort_take(alloc, room, "a name", &name, err);
    for (size_t i = 0; i < sizeof written / sizeof *written && code == LORT_OK; i++) {
        lort_file_info info;
        bool exists;
        snprintf(name, room, "%s%s", output, written[i]);
        if (lort_os_stat(name, &info, &exists, NULL) == LORT_OK && exists &&
            owns(input, imatrix, &info))
            code =
                lort_fail(err, LORT_E_USAGE, "%s: the output%s is one of the input files",
                          lort_escape_text(shown, sizeof shown, name), i ? "'s partial file" : "");
    }
    lort_give(alloc, name, room);
    return code;
}

/* ---- tensors ---- */

static lort_entry entry_of(const lort_input *input, const lort_tensor *tensor)
{
    return (lort_entry){input, tensor,
                        input->archive ? lort_archive_part(input->archive, tensor->offset) : NULL};
}

lort_entry lort_input_entry(const lort_input *input, uint64_t number)
{
    return entry_of(input, &input->index->tensors[number]);
}

bool lort_input_find(const lort_input *input, const char *name, uint64_t name_bytes,
                     lort_entry *out)
{
    const lort_tensor *tensor = lort_index_find(input->index, name, name_bytes);
    if (tensor)
        *out = entry_of(input, tensor);
    return tensor != NULL;
}

bool lort_entry_decodes(const lort_entry *entry)
{
    return entry->part ? lort_part_decodes(entry->part) : entry->tensor->type->decode != NULL;
}

lort_code lort_entry_elements(const lort_entry *entry, uint64_t first, uint64_t count,
                              const lort_scratch *scratch, float *dst, lort_error *err)
{
    const lort_tensor *tensor = entry->tensor;
    const uint64_t elements = tensor->type->block_elements, bytes = tensor->type->block_bytes,
                   most = scratch->size / bytes * elements;
    for (uint64_t end = first + count; first < end; first += count, dst += count) {
        count = end - first < most ? end - first : most;
        const uint8_t *view;
        lort_code code = lort_model_view(entry->input->model, tensor->file,
                                         tensor->offset + first / elements * bytes,
                                         count / elements * bytes, scratch->bytes, &view, err);
        if (code)
            return code;
        tensor->type->decode(view, dst, count);
    }
    return LORT_OK;
}

static lort_code tensor_bytes(const lort_entry *entry, const lort_scratch *scratch,
                              lort_sink_fn *sink, void *ctx, lort_error *err)
{
    const lort_tensor *tensor = entry->tensor;
    lort_code code = LORT_OK;
    for (uint64_t at = 0; code == LORT_OK && at < tensor->bytes; at += scratch->size) {
        uint64_t n = tensor->bytes - at < scratch->size ? tensor->bytes - at : scratch->size;
        const uint8_t *bytes;
        code = lort_model_view(entry->input->model, tensor->file, tensor->offset + at, n,
                               scratch->bytes, &bytes, err);
        if (code == LORT_OK)
            code = sink(ctx, bytes, n, err);
    }
    return code;
}

/* A raw part has only chunks of raw arrays, slice by slice. */
static lort_code part_bytes(const lort_entry *entry, const lort_scratch *scratch,
                            lort_sink_fn *sink, void *ctx, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; code == LORT_OK && i < entry->part->chunk_count; i++) {
        code = lort_archive_chunk(entry->input->archive, entry->part, i, scratch->codec,
                                  scratch->planes, scratch->bytes, err);
        if (code == LORT_OK)
            code = sink(ctx, scratch->bytes, entry->part->chunks[i].decoded, err);
    }
    return code;
}

lort_code lort_entry_bytes(const lort_entry *entry, const lort_scratch *scratch, lort_sink_fn *sink,
                           void *ctx, lort_error *err)
{
    return (entry->part ? part_bytes : tensor_bytes)(entry, scratch, sink, ctx, err);
}

lort_code lort_entry_check(const lort_entry *entry, lort_error *err)
{
    return entry->part ? LORT_OK : lort_model_check(entry->input->model, entry->tensor->file, err);
}

lort_code lort_entry_unchanged(const lort_entry *entry, lort_error *err)
{
    return entry->part ? LORT_OK
                       : lort_model_file_unchanged(entry->input->model, entry->tensor->file, err);
}

void lort_entry_release(const lort_entry *entry)
{
    if (entry->part)
        lort_archive_release(entry->input->archive, entry->part);
    else
        lort_model_release(entry->input->model, entry->tensor->file, entry->tensor->offset,
                           entry->tensor->bytes);
}

/* ---- headers ---- */

static uint32_t file_count(const lort_input *input)
{
    return input->model ? lort_model_file_count(input->model)
                        : lort_archive_model(input->archive)->file_count;
}

static bool holds_weights(const lort_input *input, uint32_t file)
{
    return (input->model
                ? lort_model_get_file(input->model, file)->role
                : lort_archive_model(input->archive)->files[file].role) == LORT_ROLE_WEIGHTS;
}

uint32_t lort_input_weight_files(const lort_input *input)
{
    uint32_t count = 0;
    for (uint32_t f = 0; f < file_count(input); f++)
        count += holds_weights(input, f);
    return count;
}

/* The number among all files of a weight file. */
static uint32_t weight_file(const lort_input *input, uint32_t number)
{
    uint32_t file = 0;
    while (!holds_weights(input, file) || number--)
        file++;
    return file;
}

static lort_code model_header(lort_model *model, uint32_t file, uint8_t *to, uint64_t room,
                              uint64_t *bytes, lort_error *err)
{
    const uint64_t all = lort_model_get_file(model, file)->header.header_bytes,
                   n = all < room ? all : room;
    const uint8_t *view;
    lort_code code = n ? lort_model_view(model, file, 0, n, to, &view, err) : LORT_OK;
    if (n && code == LORT_OK && view != to)
        memcpy(to, view, (size_t)n);
    if (code == LORT_OK)
        code = lort_model_file_unchanged(model, file, err);
    *bytes = code ? 0 : all;
    return code;
}

/* Copies the decoded bytes of a raw part, as many as there is room for. */
static lort_code copy_part(const lort_archive *archive, const lort_part *part,
                           const lort_scratch *scratch, uint8_t *to, uint64_t room, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0, at = 0; i < part->chunk_count && at < room && code == LORT_OK; i++) {
        const uint64_t decoded = part->chunks[i].decoded,
                       n = decoded < room - at ? decoded : room - at;
        code = lort_archive_chunk(archive, part, i, scratch->codec, scratch->planes, scratch->bytes,
                                  err);
        if (code == LORT_OK)
            memcpy(to + at, scratch->bytes, (size_t)n);
        at += n;
    }
    return code;
}

static lort_code archive_header(const lort_archive *archive, uint32_t file,
                                const lort_scratch *scratch, uint8_t *to, uint64_t room,
                                uint64_t *bytes, lort_error *err)
{
    const lort_model_record *model = lort_archive_model(archive);
    uint64_t i = 0, all = 0;
    lort_code code = LORT_OK;
    while (i < model->extent_count && model->extents[i].file != file)
        i++;
    for (; i < model->extent_count && model->extents[i].file == file && !model->extents[i].tensor &&
           code == LORT_OK;
         all += model->extents[i++].bytes)
        if (all < room)
            code = copy_part(archive, lort_archive_part(archive, i), scratch, to + all, room - all,
                             err);
    *bytes = code ? 0 : all;
    return code;
}

lort_code lort_input_header(const lort_input *input, uint32_t file, const lort_scratch *scratch,
                            void *buffer, uint64_t buffer_bytes, uint64_t *bytes, lort_error *err)
{
    const uint32_t number = weight_file(input, file);
    return input->model
               ? model_header(input->model, number, buffer, buffer_bytes, bytes, err)
               : archive_header(input->archive, number, scratch, buffer, buffer_bytes, bytes, err);
}
