/* model: opens a model, answers questions about it, and loads, hashes and releases the bytes of its
 * files. */
#include "loader/model/model.h"
#include "formats/inputs/header.h"
#include "loader/model/model_parts.h"
#include <string.h>

#define LOAD_PIECE (8u << 20)

/* ---- opening ---- */

static lort_code new_model(const lort_alloc *alloc, lort_model **out, lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code = lort_take_zero(alloc, sizeof(lort_model), "a model", &memory, err);
    if (code)
        return code;
    lort_model *model = memory;
    model->alloc = alloc;
    model->arena.alloc = alloc;
    *out = model;
    return LORT_OK;
}

/* Puts the directory of the model before the name of the file that failed. */
static void name_place(const lort_model *model, lort_error *err)
{
    const char *place = model->dir                    ? lort_os_dir_path(model->dir)
                        : lort_model_supply_of(model) ? model->path
                                                      : ".";
    if (strcmp(place, ".") != 0)
        lort_error_inside(err, place, strlen(place));
}

/* Merges the files that were found. code: of the search for them. */
static lort_code merge_found(lort_model **model, lort_code code, lort_error *err)
{
    if (code == LORT_OK)
        code = lort_model_merge(*model, err);
    if (code) {
        name_place(*model, err);
        lort_model_close(*model);
        *model = NULL;
    }
    return code;
}

lort_code lort_model_open(const char *path, const lort_alloc *alloc, lort_warn_fn *warn,
                          void *warn_ctx, lort_model **out, lort_error *err)
{
    lort_code code =
        lort_model_open_as(path, &(lort_model_options){0}, alloc, warn, warn_ctx, out, err);
    if (code == LORT_OK)
        lort_model_say(*out);
    return code;
}

lort_code lort_model_open_as(const char *path, const lort_model_options *options,
                             const lort_alloc *alloc, lort_warn_fn *warn, void *warn_ctx,
                             lort_model **out, lort_error *err)
{
    lort_code code = new_model(alloc, out, err);
    if (code)
        return code;
    (*out)->warn = warn;
    (*out)->warn_ctx = warn_ctx;
    code = lort_arena_text(&(*out)->arena, path, strlen(path), &(*out)->path, err);
    if (code == LORT_OK)
        code = lort_model_find(*out, path, options, err);
    return merge_found(out, code, err);
}

lort_code lort_model_open_source(const lort_model_source *source, const char *name, bool directory,
                                 const lort_alloc *alloc, lort_model **out, lort_error *err)
{
    lort_code code = new_model(alloc, out, err);
    if (code)
        return code;
    (*out)->source = source;
    return merge_found(out, lort_model_find_source(*out, name, directory, err), err);
}

lort_code lort_model_open_supplied(const lort_model_source *source, const char *name,
                                   const char *label, const lort_model_options *options,
                                   const lort_alloc *alloc, lort_warn_fn *warn, void *warn_ctx,
                                   lort_model **out, lort_error *err)
{
    lort_code code = new_model(alloc, out, err);
    if (code) {
        source->supply->close(source->ctx);
        return code;
    }
    (*out)->warn = warn;
    (*out)->warn_ctx = warn_ctx;
    (*out)->source = source;
    code = lort_arena_text(&(*out)->arena, label, strlen(label), &(*out)->path, err);
    if (code == LORT_OK)
        code = lort_model_find_supplied(*out, name, options, err);
    return merge_found(out, code, err);
}

const uint8_t *lort_model_head(const lort_model *model, uint32_t file)
{
    return model->files[file].head;
}

void lort_model_close(lort_model *model)
{
    if (!model)
        return;
    lort_model_ahead_close(model);
    if (lort_model_supply_of(model)) /* its threads use the memory of the files */
        model->source->supply->close(model->source->ctx);
    lort_model_drop(model, 0);
    lort_give(model->alloc, model->files, model->file_room * sizeof *model->files);
    lort_arena_free(&model->arena);
    lort_os_dir_close(model->dir);
    lort_give(model->alloc, model, sizeof *model);
}

void lort_model_left_out(const lort_model *model, uint64_t *files, uint64_t *bytes)
{
    *files = model->left_files;
    *bytes = model->left_bytes;
}

bool lort_model_directory(const lort_model *model) { return model->directory; }
uint32_t lort_model_file_count(const lort_model *model) { return model->file_count; }
const lort_model_file *lort_model_get_file(const lort_model *model, uint32_t file)
{
    return &model->files[file].shown;
}
const lort_index *lort_model_index(const lort_model *model) { return &model->index; }
uint64_t lort_model_extent_tensor(const lort_model *model, uint64_t extent)
{
    return model->extent_tensor[extent];
}

const char *lort_model_format(const lort_model *model)
{
    for (uint32_t i = 0; i < model->file_count; i++)
        if (model->files[i].shown.role == LORT_ROLE_WEIGHTS)
            return model->files[i].shown.header.format->name;
    return "";
}

const lort_extent *lort_model_extents(const lort_model *model, uint64_t *count)
{
    *count = model->extent_count;
    return model->extents;
}

uint64_t lort_model_bytes(const lort_model *model)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model->file_count; i++)
        bytes += model->files[i].info.size;
    return bytes;
}

uint32_t lort_model_mode_bits(const lort_model *model)
{
    uint32_t bits = 0666;
    for (uint32_t i = 0; i < model->file_count; i++)
        bits &= model->files[i].info.mode;
    return bits | 0600;
}

bool lort_model_owns(const lort_model *model, const lort_file_info *info)
{
    for (uint32_t i = 0; i < model->file_count && !lort_model_supply_of(model); i++)
        if (model->files[i].info.device == info->device &&
            model->files[i].info.inode == info->inode)
            return true;
    return false;
}

bool lort_model_unmapped(const lort_model *model)
{
    for (uint32_t i = 0; i < model->file_count; i++)
        if (!model->files[i].map && !model->files[i].loaded && model->files[i].info.size)
            return true;
    return false;
}

lort_code lort_model_file_unchanged(lort_model *model, uint32_t file, lort_error *err)
{
    lort_file *again;
    if (lort_model_supply_of(model)) /* the supply checks what it fetches */
        return LORT_OK;
    lort_code code = lort_model_open_again(model, &model->files[file], &again, err);
    if (code)
        return code;
    lort_os_close(again, NULL);
    /* Checked after the file itself: "shrank" says more than "a page could not be read". */
    return lort_model_check(model, file, err);
}

lort_code lort_model_unchanged(lort_model *model, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < model->file_count && code == LORT_OK; i++)
        code = lort_model_file_unchanged(model, i, err);
    return code;
}

void lort_model_watch(lort_model *model) { model->watch = true; }
bool lort_model_touched(const lort_model *model) { return model->touched; }

lort_code lort_model_accept(lort_model *model, lort_error *err)
{
    lort_code code = LORT_OK;
    model->watch = false;
    lort_model_ahead_close(model); /* its thread reads what changes here */
    for (uint32_t i = 0; i < model->file_count; i++) {
        lort_model_entry *entry = &model->files[i];
        lort_file *again = NULL;
        lort_file_info now;
        lort_give(model->load_alloc, entry->loaded, entry->loaded_to - entry->loaded_from);
        entry->loaded = NULL;
        code = lort_model_open_again(model, entry, &again, err);
        if (code == LORT_OK)
            code = lort_os_info(again, &now, err);
        lort_os_close(again, NULL);
        if (code)
            break;
        entry->info = now;
        lort_model_show_info(entry);
    }
    model->watch = true;
    model->touched = false;
    return code;
}

void lort_model_stop_when(lort_model *model, bool (*stop)(void *ctx), void *ctx)
{
    model->stop = stop;
    model->stop_ctx = ctx;
}

static lort_code check_stop(const lort_model *model, lort_error *err)
{
    return model->stop && model->stop(model->stop_ctx)
               ? lort_fail(err, LORT_E_STOPPED, "stopped; nothing was published")
               : LORT_OK;
}

lort_code lort_model_hash(lort_model *model, uint32_t file, uint64_t offset, uint64_t n,
                          void *scratch, uint64_t scratch_bytes, lort_hasher *hasher,
                          lort_error *err)
{
    for (uint64_t at = 0; at < n; at += scratch_bytes) {
        const uint64_t piece = n - at < scratch_bytes ? n - at : scratch_bytes;
        const uint8_t *view;
        lort_code code = check_stop(model, err);
        if (code == LORT_OK)
            code = lort_model_view(model, file, offset + at, piece, scratch, &view, err);
        if (code)
            return code;
        lort_hasher_add(hasher, view, piece);
    }
    return LORT_OK;
}

/* ---- full mode ---- */

typedef struct load_job {
    const lort_model *model;
    const lort_model_entry *entry;
    lort_file *file;
    uint8_t *memory;
    uint64_t from, to; /* bytes of the file */
} load_job;

static lort_code load_piece(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    load_job *job = ctx;
    const uint64_t at = (uint64_t)item * LOAD_PIECE, rest = job->to - job->from - at;
    lort_code code = check_stop(job->model, err);
    return code ? code
                : lort_os_read(job->file, job->memory + at, rest < LOAD_PIECE ? rest : LOAD_PIECE,
                               job->from + at, err);
}

static lort_code load_from_disk(load_job *job, lort_model *model, lort_model_entry *entry,
                                lort_pool *pool, lort_error *err)
{
    lort_code code = lort_model_open_again(model, entry, &job->file, err);
    if (code == LORT_OK)
        code = lort_pool_each(pool, (int64_t)((job->to - job->from + LOAD_PIECE - 1) / LOAD_PIECE),
                              load_piece, job, err);
    lort_os_close(job->file, NULL);
    return code;
}

/* Views change over only once all bytes [from, to) of the file are in memory. */
static lort_code load_file(lort_model *model, lort_model_entry *entry, uint64_t from, uint64_t to,
                           lort_pool *pool, lort_error *err)
{
    const lort_model_supply *supply = lort_model_supply_of(model);
    void *memory;
    lort_code code = lort_take(model->load_alloc, to - from, "a file in memory", &memory, err);
    if (code)
        return code;
    load_job job = {.model = model, .entry = entry, .memory = memory, .from = from, .to = to};
    code = supply ? supply->load(model->source->ctx, entry->supplied, from, memory, err)
                  : load_from_disk(&job, model, entry, pool, err);
    if (code) {
        lort_give(model->load_alloc, memory, to - from);
        return code;
    }
    entry->loaded = memory;
    entry->loaded_from = from;
    entry->loaded_to = to;
    return LORT_OK;
}

/* The first byte of a file that is still needed; its size: none. A model on the disk that is needed
 * from its first extent on is loaded whole after a resumed run too. */
static uint64_t needed_from(const lort_model *model, uint32_t file)
{
    if (model->needed == 0 || (!lort_model_supply_of(model) && !model->run_only))
        return 0;
    const lort_extent *first =
        model->needed < model->extent_count ? &model->extents[model->needed] : NULL;
    return !first || first->file > file ? model->files[file].info.size
           : first->file == file        ? first->offset
                                        : 0;
}

/* Behind the last byte of a file that is needed. A supply brings the rest of a file too. */
static uint64_t needed_to(const lort_model *model, uint32_t file)
{
    const uint64_t size = model->files[file].info.size, from = needed_from(model, file);
    if (!model->run_only || model->needed_end >= model->extent_count)
        return size;
    const lort_extent *end = &model->extents[model->needed_end];
    const uint64_t to = end->file > file ? size : end->file == file ? end->offset : 0;
    if (to <= from)
        return from;
    return lort_model_supply_of(model) ? size : to;
}

void lort_model_need_from(lort_model *model, uint64_t extent) { model->needed = extent; }

void lort_model_need_run(lort_model *model, uint64_t first, uint64_t end)
{
    model->needed = first;
    model->needed_end = end;
    model->run_only = true;
}

/* Each file is one block of whole pages. */
uint64_t lort_model_load_bytes(const lort_model *model)
{
    uint64_t bytes = 0, page = lort_os_page_size();
    for (uint32_t i = 0; i < model->file_count; i++)
        bytes += (needed_to(model, i) - needed_from(model, i) + page - 1) / page * page;
    return bytes;
}

lort_code lort_model_load(lort_model *model, const lort_alloc *alloc, lort_pool *pool,
                          lort_error *err)
{
    lort_code code = LORT_OK;
    model->load_alloc = alloc;
    for (uint32_t i = 0; i < model->file_count && code == LORT_OK; i++) {
        const uint64_t from = needed_from(model, i), to = needed_to(model, i);
        if (from < to && !model->files[i].loaded)
            code = load_file(model, &model->files[i], from, to, pool, err);
    }
    return code;
}

void lort_model_ahead_limit(lort_model *model, uint64_t bytes) { model->ahead.most = bytes; }

static uint64_t position_of(const lort_model *model, uint32_t file, uint64_t offset)
{
    for (uint32_t i = 0; i < file; i++)
        offset += model->files[i].info.size;
    return offset;
}

/* Extends a small range to LORT_AHEAD_LEAST: the bytes behind it may belong to the next large
 * range. */
void lort_model_prefetch(lort_model *model, uint32_t file, uint64_t offset, uint64_t n)
{
    const uint64_t most = model->ahead.most ? model->ahead.most : LORT_AHEAD_MOST;
    if (lort_model_supply_of(model) && !model->files[file].loaded)
        model->source->supply->ahead(model->source->ctx, model->files[file].supplied, offset, n);
    if (!model->files[file].map || model->files[file].loaded ||
        offset > model->files[file].info.size)
        return;
    const uint64_t start = position_of(model, file, offset);
    n = n > LORT_AHEAD_LEAST ? n : LORT_AHEAD_LEAST;
    lort_model_ahead_ask(model, start, start + (n < most ? n : most));
}

void lort_model_scattered(lort_model *model, bool scattered)
{
    for (uint32_t i = 0; i < model->file_count; i++)
        if (model->files[i].map)
            lort_os_map_advise(model->files[i].map, 0, model->files[i].info.size,
                               scattered ? LORT_RANDOM : LORT_NORMAL, false);
}

/* Headers and side files stay in the supply: they are small, and read again. */
static void release_supplied(const lort_model *model, const lort_model_entry *entry,
                             uint64_t offset, uint64_t n)
{
    const uint64_t head = entry->shown.role == LORT_ROLE_WEIGHTS ? entry->shown.header.header_bytes
                                                                 : entry->info.size,
                   end = offset + n;
    if (end > head)
        model->source->supply->release(model->source->ctx, entry->supplied,
                                       offset > head ? offset : head,
                                       end - (offset > head ? offset : head));
}

void lort_model_release(lort_model *model, uint32_t file, uint64_t offset, uint64_t n)
{
    if (lort_model_supply_of(model) && !model->files[file].loaded)
        release_supplied(model, &model->files[file], offset, n);
    if (!model->files[file].map || model->files[file].loaded)
        return;
    const uint64_t start = position_of(model, file, offset);
    lort_model_ahead_pass(model, start, start + n);
    lort_os_map_advise(model->files[file].map, offset, n, LORT_DONT_NEED, false);
}

/* ---- supplies ---- */

bool lort_model_is_supplied(const lort_model *model) { return lort_model_supply_of(model) != NULL; }

void lort_model_figures(const lort_model *model, lort_supply_figures *out)
{
    *out = (lort_supply_figures){.label = "", .commit = "", .place = ""};
    if (lort_model_supply_of(model))
        model->source->supply->tell(model->source->ctx, out);
}

lort_code lort_model_begin(lort_model *model, uint64_t work, bool full, lort_error *err)
{
    const lort_model_supply *supply = lort_model_supply_of(model);
    return supply ? supply->begin(model->source->ctx, work, lort_model_bytes(model), full, err)
                  : LORT_OK;
}

lort_code lort_model_prove(lort_model *model, uint32_t file, uint64_t end, lort_buffer *state,
                           lort_error *err)
{
    const lort_model_supply *supply = lort_model_supply_of(model);
    lort_code code =
        supply ? supply->prove(model->source->ctx, model->files[file].supplied, end, state, err)
               : LORT_OK;
    if (code == LORT_E_READ)
        lort_error_file(err, model->files[file].shown.name);
    return code;
}

void lort_model_proved(lort_model *model, uint32_t file, uint64_t end, const uint8_t *state,
                       uint64_t bytes)
{
    const lort_model_supply *supply = lort_model_supply_of(model);
    if (supply)
        supply->proved(model->source->ctx, model->files[file].supplied, end, state, bytes);
}

lort_code lort_model_prove_all(lort_model *model, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < model->file_count && code == LORT_OK; i++)
        code = lort_model_prove(model, i, model->files[i].info.size, NULL, err);
    return code;
}
