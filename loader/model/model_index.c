/* model_index: builds one index over all files, checks shards against each other, and lists the
 * extents that tile every file. */
#include "formats/base/text.h"
#include "loader/model/model_parts.h"
#include <stdio.h>
#include <string.h>

/* Names the two shards that hold one tensor, after lort_index_build refused a name. Each file alone
 * was checked before. */
static lort_code name_twice(const lort_model *model, lort_error *err)
{
    char name[200], a[200], b[200];
    for (uint64_t i = 0; i < model->index.count; i++) {
        const lort_tensor *tensor = &model->index.tensors[i];
        const lort_tensor *other = lort_index_find(&model->index, tensor->name, tensor->name_bytes);
        if (other && other != tensor)
            return lort_fail(err, LORT_E_INPUT, "tensor '%s' stands in two shards, %s and %s",
                             lort_escape(name, sizeof name, tensor->name, tensor->name_bytes),
                             lort_escape_text(a, sizeof a, model->files[other->file].name),
                             lort_escape_text(b, sizeof b, model->files[tensor->file].name));
    }
    return LORT_E_INPUT; /* something else is wrong with the names */
}

/* The index of file i, where no other file has tensors, serves the model too. */
static void share_index(lort_model *model, uint32_t i)
{
    model->index = model->files[i].shown.header.index;
    for (uint64_t t = 0; t < model->index.count; t++)
        model->index.tensors[t].file = i;
}

static lort_code merge_tensors(lort_model *model, lort_error *err)
{
    void *memory;
    uint64_t at = 0;
    for (uint32_t i = 0; i < model->file_count; i++)
        model->index.count += model->files[i].shown.header.index.count;
    for (uint32_t i = 0; i < model->file_count; i++)
        if (model->index.count && model->files[i].shown.header.index.count == model->index.count) {
            share_index(model, i);
            return LORT_OK;
        }
    lort_code code =
        lort_arena_take(&model->arena, model->index.count * sizeof(lort_tensor), &memory, err);
    if (code)
        return code;
    model->index.tensors = memory;
    for (uint32_t i = 0; i < model->file_count; i++) {
        const lort_index *own = &model->files[i].shown.header.index;
        for (uint64_t t = 0; t < own->count; t++, at++) {
            model->index.tensors[at] = own->tensors[t];
            model->index.tensors[at].file = i;
        }
    }
    code = lort_index_build(&model->index, &model->arena, err);
    return code == LORT_E_INPUT ? name_twice(model, err) : code;
}

/* ---- shards against each other ---- */

static lort_code check_split(lort_model *model, lort_error *err)
{
    const lort_model_file *first = NULL;
    char name[200], is[100], was[100];
    for (uint32_t i = 0; i < model->file_count; i++) {
        const lort_model_file *file = &model->files[i].shown;
        if (file->role != LORT_ROLE_WEIGHTS || !file->header.split)
            continue;
        first = first ? first : file;
        if (file->header.split_tensors != first->header.split_tensors)
            return lort_fail(err, LORT_E_INPUT,
                             "%s: split.tensors.count is %llu, in the first shard it is %llu: a "
                             "shard of another model?",
                             lort_escape_text(name, sizeof name, file->name),
                             (unsigned long long)file->header.split_tensors,
                             (unsigned long long)first->header.split_tensors);
        if (file->header.architecture[0] && first->header.architecture[0] &&
            strcmp(file->header.architecture, first->header.architecture) != 0)
            return lort_fail(err, LORT_E_INPUT,
                             "%s: architecture '%s' differs from the first shard's '%s': a shard "
                             "of another model?",
                             lort_escape_text(name, sizeof name, file->name),
                             lort_escape_text(is, sizeof is, file->header.architecture),
                             lort_escape_text(was, sizeof was, first->header.architecture));
    }
    if (first && first->header.split_tensors != model->index.count)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: split.tensors.count is %llu, the shards hold %llu tensors",
                         lort_escape_text(name, sizeof name, first->name),
                         (unsigned long long)first->header.split_tensors,
                         (unsigned long long)model->index.count);
    return LORT_OK;
}

/* The name in its folder, as an index.json there has it. */
static const char *base_name(const lort_model_entry *file)
{
    const char *slash = strrchr(file->name, '/');
    return slash ? slash + 1 : file->name;
}

/* Warns about tensors that weight_map gives no shard that has them. Marks in `listed` the tensors
 * of the shards that it has. */
static void warn_entries(lort_model *model, const char *shown, bool *listed)
{
    lort_name_text gone = {0}, moved = {0};
    uint64_t n_gone = 0, n_moved = 0;
    for (uint64_t i = 0; i < model->shards.entry_count; i++) {
        const lort_shard_entry *e = &model->shards.entries[i];
        const lort_tensor *tensor = lort_index_find(&model->index, e->tensor, e->tensor_bytes);
        if (!tensor) {
            n_gone++;
            lort_name_text_add(&gone, e->tensor, e->tensor_bytes);
            continue;
        }
        listed[tensor - model->index.tensors] = true;
        if (strcmp(base_name(&model->files[tensor->file]), model->shards.files[e->file]) != 0) {
            n_moved++;
            lort_name_text_add(&moved, e->tensor, e->tensor_bytes);
        }
    }
    if (n_gone)
        lort_model_warn(model, "%s: weight_map names %llu tensors that no shard has: %s", shown,
                        (unsigned long long)n_gone, lort_name_text_end(&gone));
    if (n_moved)
        lort_model_warn(model, "%s: weight_map gives the wrong shard for %llu tensors: %s", shown,
                        (unsigned long long)n_moved, lort_name_text_end(&moved));
}

/* Warns about tensors of the shards that weight_map lacks. */
static void warn_unlisted(lort_model *model, const char *shown, const bool *listed)
{
    lort_name_text list = {0};
    uint64_t n = 0;
    for (uint64_t i = 0; i < model->index.count; i++) {
        const lort_tensor *tensor = &model->index.tensors[i];
        n += !listed[i];
        if (!listed[i])
            lort_name_text_add(&list, tensor->name, tensor->name_bytes);
    }
    if (n)
        lort_model_warn(model,
                        "%s: %llu tensors of the shards are not in weight_map; LoRT includes "
                        "them: %s",
                        shown, (unsigned long long)n, lort_name_text_end(&list));
}

static void warn_total(lort_model *model, const char *shown)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < model->index.count; i++)
        total += model->index.tensors[i].bytes;
    if (model->shards.odd_total)
        lort_model_warn(model, "%s: metadata.total_size is no whole number below 2^64", shown);
    if (model->shards.has_total && model->shards.total_size != total)
        lort_model_warn(model, "%s: metadata.total_size is %llu, the tensors have %llu bytes",
                        shown, (unsigned long long)model->shards.total_size,
                        (unsigned long long)total);
}

/* What an index says beside the names of its shards is advice. */
static lort_code check_shard_list(lort_model *model, lort_error *err)
{
    char shown[200];
    void *listed;
    if (model->index_file == UINT32_MAX || !model->warn)
        return LORT_OK;
    lort_code code =
        lort_take_zero(model->alloc, model->index.count, "a list of tensors", &listed, err);
    if (code)
        return code;
    lort_escape_text(shown, sizeof shown, model->files[model->index_file].name);
    warn_entries(model, shown, listed);
    warn_unlisted(model, shown, listed);
    warn_total(model, shown);
    lort_give(model->alloc, listed, model->index.count);
    return LORT_OK;
}

/* ---- extents ---- */

/* Without arrays LoRT only counts. */
static void put_extent(lort_model *model, uint32_t file, uint64_t tensor, uint64_t offset,
                       uint64_t bytes)
{
    const uint64_t at = model->extent_count++;
    if (!model->extents)
        return;
    model->extents[at] = (lort_extent){file, tensor != UINT64_MAX, offset, bytes};
    model->extent_tensor[at] = tensor;
}

/* Within a file the tensors are in ascending order of offset. The bytes between them are raw. */
static void tile_file(lort_model *model, uint32_t file, uint64_t *tensor)
{
    uint64_t at = 0, size = model->files[file].info.size;
    for (; *tensor < model->index.count && model->index.tensors[*tensor].file == file; ++*tensor) {
        const lort_tensor *t = &model->index.tensors[*tensor];
        if (t->offset > at)
            put_extent(model, file, UINT64_MAX, at, t->offset - at);
        put_extent(model, file, *tensor, t->offset, t->bytes);
        at = t->offset + t->bytes;
    }
    if (at < size)
        put_extent(model, file, UINT64_MAX, at, size - at);
}

static void tile_files(lort_model *model)
{
    uint64_t tensor = 0;
    model->extent_count = 0;
    for (uint32_t file = 0; file < model->file_count; file++)
        tile_file(model, file, &tensor);
}

/* Counts the extents, then lists them: a header may have millions. */
static lort_code list_extents(lort_model *model, lort_error *err)
{
    void *extents, *numbers;
    tile_files(model);
    const uint64_t room = model->extent_count;
    lort_code code = lort_arena_take(&model->arena, room * sizeof(lort_extent), &extents, err);
    if (code == LORT_OK)
        code = lort_arena_take(&model->arena, room * sizeof(uint64_t), &numbers, err);
    if (code)
        return code;
    model->extents = extents;
    model->extent_tensor = numbers;
    tile_files(model);
    return LORT_OK;
}

lort_code lort_model_merge(lort_model *model, lort_error *err)
{
    lort_code code = merge_tensors(model, err);
    if (code == LORT_OK)
        code = check_split(model, err);
    if (code == LORT_OK)
        code = check_shard_list(model, err);
    if (code == LORT_OK)
        lort_model_warn_opaque(model);
    return code ? code : list_extents(model, err);
}
