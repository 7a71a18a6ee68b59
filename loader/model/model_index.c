/* model_index: builds one index over all files, checks shards against each other, and lists the
 * extents that tile every file. */
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
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

/* In a folder the model's name of a tensor is FOLDER/name. The header keeps the file's own
 * spelling. */
static lort_code name_tensor(lort_model *model, const char *path, lort_tensor *tensor,
                             lort_error *err)
{
    const uint32_t folder = lort_path_folder(path);
    void *memory;
    if (!folder)
        return LORT_OK;
    if (tensor->name_bytes > UINT32_MAX - folder - 2)
        return lort_fail(err, LORT_E_INPUT, "the name of a tensor has %u bytes",
                         tensor->name_bytes);
    const uint32_t bytes = folder + 1 + tensor->name_bytes;
    lort_code code = lort_arena_take(&model->arena, bytes + 1ull, &memory, err);
    if (code)
        return code;
    char *name = memory;
    memcpy(name, path, folder + 1ull);
    memcpy(name + folder + 1, tensor->name, tensor->name_bytes);
    name[bytes] = 0;
    tensor->name = name;
    tensor->name_bytes = bytes;
    return LORT_OK;
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
        if (model->index.count && model->files[i].shown.header.index.count == model->index.count &&
            !lort_path_folder(model->files[i].shown.name)) {
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
        for (uint64_t t = 0; t < own->count && code == LORT_OK; t++, at++) {
            model->index.tensors[at] = own->tensors[t];
            model->index.tensors[at].file = i;
            code = name_tensor(model, model->files[i].shown.name, &model->index.tensors[at], err);
        }
    }
    if (code)
        return code;
    code = lort_index_build(&model->index, &model->arena, err);
    return code == LORT_E_INPUT ? name_twice(model, err) : code;
}

/* ---- shards against each other ---- */

/* Compares a shard of a split with the first one in its folder. */
static lort_code check_shard(const lort_model_file *file, const lort_model_file *first,
                             lort_error *err)
{
    char name[200], is[100], was[100];
    lort_escape_text(name, sizeof name, file->name);
    if (file->header.split_tensors != first->header.split_tensors)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: split.tensors.count is %llu, in the first shard it is %llu: a "
                         "shard of another model?",
                         name, (unsigned long long)file->header.split_tensors,
                         (unsigned long long)first->header.split_tensors);
    if (file->header.architecture[0] && first->header.architecture[0] &&
        strcmp(file->header.architecture, first->header.architecture) != 0)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: architecture '%s' differs from the first shard's '%s': a shard "
                         "of another model?",
                         name, lort_escape_text(is, sizeof is, file->header.architecture),
                         lort_escape_text(was, sizeof was, first->header.architecture));
    return LORT_OK;
}

/* Checks the split that begins with file *at, and moves *at behind its shards. A folder has one
 * split at most, and its shards follow one another. */
static lort_code check_split_at(const lort_model *model, uint32_t *at, lort_error *err)
{
    const lort_model_file *first = &model->files[*at].shown;
    uint64_t tensors = 0;
    char name[200];
    lort_code code = LORT_OK;
    for (; *at < model->file_count && code == LORT_OK; ++*at) {
        const lort_model_file *file = &model->files[*at].shown;
        if (file->role != LORT_ROLE_WEIGHTS || !file->header.split ||
            !lort_path_same_folder(file->name, first->name))
            break;
        tensors += file->header.index.count;
        code = check_shard(file, first, err);
    }
    if (code || first->header.split_tensors == tensors)
        return code;
    return lort_fail(err, LORT_E_INPUT,
                     "%s: split.tensors.count is %llu, the shards hold %llu tensors",
                     lort_escape_text(name, sizeof name, first->name),
                     (unsigned long long)first->header.split_tensors, (unsigned long long)tensors);
}

static lort_code check_splits(const lort_model *model, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t at = 0; at < model->file_count && code == LORT_OK;) {
        const lort_model_file *file = &model->files[at].shown;
        if (file->role == LORT_ROLE_WEIGHTS && file->header.split)
            code = check_split_at(model, &at, err);
        else
            at++;
    }
    return code;
}

/* True if the tensor stands in a shard of the index. The shards follow it in the list of files. */
static bool is_listed_by(const lort_model_shards *index, const lort_tensor *tensor)
{
    return tensor->file > index->file && tensor->file <= index->file + index->list.file_count;
}

/* Finds the tensor that an entry names. room: for the name with the folder of the index. */
static lort_code find_entry(const lort_model *model, const lort_model_shards *index,
                            const lort_shard_entry *e, lort_buffer *room, const lort_tensor **out,
                            lort_error *err)
{
    const char *path = model->files[index->file].shown.name;
    const uint32_t folder = lort_path_folder(path);
    if (!folder) {
        *out = lort_index_find(&model->index, e->tensor, e->tensor_bytes);
        return LORT_OK;
    }
    room->size = 0;
    lort_put_bytes(room, path, folder + 1ull);
    lort_put_bytes(room, e->tensor, e->tensor_bytes);
    lort_code code = lort_buffer_check(room, err);
    *out = code ? NULL : lort_index_find(&model->index, (const char *)room->data, room->size);
    return code;
}

/* Warns about tensors that weight_map gives no shard that has them. Marks in `listed` the tensors
 * of the shards that it has. */
static lort_code warn_entries(lort_model *model, const lort_model_shards *index, const char *shown,
                              bool *listed, lort_error *err)
{
    lort_name_text gone = {0}, moved = {0};
    uint64_t n_gone = 0, n_moved = 0;
    lort_buffer room = {.alloc = model->alloc};
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < index->list.entry_count && code == LORT_OK; i++) {
        const lort_shard_entry *e = &index->list.entries[i];
        const lort_tensor *tensor;
        code = find_entry(model, index, e, &room, &tensor, err);
        if (!tensor || !is_listed_by(index, tensor)) {
            n_gone++;
            lort_name_text_add(&gone, e->tensor, e->tensor_bytes);
            continue;
        }
        listed[tensor - model->index.tensors] = true;
        if (tensor->file != index->file + 1 + e->file) {
            n_moved++;
            lort_name_text_add(&moved, e->tensor, e->tensor_bytes);
        }
    }
    lort_buffer_free(&room);
    if (n_gone)
        lort_model_warn(model, "%s: weight_map names %llu tensors that no shard has: %s", shown,
                        (unsigned long long)n_gone, lort_name_text_end(&gone));
    if (n_moved)
        lort_model_warn(model, "%s: weight_map gives the wrong shard for %llu tensors: %s", shown,
                        (unsigned long long)n_moved, lort_name_text_end(&moved));
    return code;
}

/* Warns about tensors of the shards that weight_map lacks. */
static void warn_unlisted(lort_model *model, const lort_model_shards *index, const char *shown,
                          const bool *listed)
{
    lort_name_text list = {0};
    uint64_t n = 0;
    for (uint64_t i = 0; i < model->index.count; i++) {
        const lort_tensor *tensor = &model->index.tensors[i];
        if (listed[i] || !is_listed_by(index, tensor))
            continue;
        n++;
        lort_name_text_add(&list, tensor->name, tensor->name_bytes);
    }
    if (n)
        lort_model_warn(model,
                        "%s: %llu tensors of the shards are not in weight_map; LoRT includes "
                        "them: %s",
                        shown, (unsigned long long)n, lort_name_text_end(&list));
}

static void warn_total(lort_model *model, const lort_model_shards *index, const char *shown)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < model->index.count; i++)
        if (is_listed_by(index, &model->index.tensors[i]))
            total += model->index.tensors[i].bytes;
    if (index->list.odd_total)
        lort_model_warn(model, "%s: metadata.total_size is no whole number below 2^64", shown);
    if (index->list.has_total && index->list.total_size != total)
        lort_model_warn(model, "%s: metadata.total_size is %llu, the tensors have %llu bytes",
                        shown, (unsigned long long)index->list.total_size,
                        (unsigned long long)total);
}

/* What an index says beside the names of its shards is advice. */
static lort_code check_shard_list(lort_model *model, const lort_model_shards *index,
                                  lort_error *err)
{
    char shown[300];
    void *listed;
    lort_code code =
        lort_take_zero(model->alloc, model->index.count, "a list of tensors", &listed, err);
    if (code)
        return code;
    lort_escape_text(shown, sizeof shown, model->files[index->file].name);
    code = warn_entries(model, index, shown, listed, err);
    if (code == LORT_OK) {
        warn_unlisted(model, index, shown, listed);
        warn_total(model, index, shown);
    }
    lort_give(model->alloc, listed, model->index.count);
    return code;
}

static lort_code check_shard_lists(lort_model *model, lort_error *err)
{
    lort_code code = LORT_OK;
    for (const lort_model_shards *index = model->warn ? model->indexes : NULL;
         index && code == LORT_OK; index = index->next)
        code = check_shard_list(model, index, err);
    return code;
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
        code = check_splits(model, err);
    if (code == LORT_OK)
        code = check_shard_lists(model, err);
    if (code == LORT_OK)
        lort_model_warn_opaque(model);
    return code ? code : list_extents(model, err);
}
