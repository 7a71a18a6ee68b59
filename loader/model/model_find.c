/* model_find: finds the files of the model that a path names. It guesses nothing: if a directory
 * holds several models, the user must name one. */
#include "formats/base/plain_name.h"
#include "formats/base/text.h"
#include "loader/model/model_parts.h"
#include <stdio.h>
#include <string.h>

#define HEAD_BYTES 4096

typedef enum found_kind { FOUND_SIDE, FOUND_INDEX, FOUND_SAFETENSORS, FOUND_GGUF } found_kind;

typedef struct found_file {
    struct found_file *next;
    const char *name;
    found_kind kind;
    bool lists_shards; /* SIDE only: the contents of an index.json under another name */
    uint64_t size;
} found_file;

typedef struct found_list {
    lort_model *model;
    found_file *first, **last;
    unsigned counts[4];
} found_list;

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

bool lort_model_finds_index(const char *name)
{
    return lort_model_index_is_found(name) && lort_model_claims_index(name);
}

/* Unfinished files of LoRT itself, or of a download. LoRT's output may go into the directory of its
 * model. */
static bool is_unfinished(const char *name)
{
    return ends_with(name, ".part") || ends_with(name, ".part.journal");
}

/* Decides by the contents first, then by the name. Many binary side files begin with bytes that
 * could be the length of a header. */
static found_kind tell_kind(const char *name, const uint8_t *head, uint64_t n, uint64_t size)
{
    const lort_format *format = NULL;
    if (lort_format_tell(head, n, size, &format, NULL) == LORT_OK &&
        format->bid(head, n, size) >= LORT_BID_SURE)
        return format == &lort_format_gguf ? FOUND_GGUF : FOUND_SAFETENSORS;
    return !lort_model_claims_weights(name) ? FOUND_SIDE
           : ends_with(name, ".gguf")       ? FOUND_GGUF
                                            : FOUND_SAFETENSORS;
}

static lort_code read_source_head(const lort_model_source *source, const char *name, uint8_t *head,
                                  uint64_t *n, uint64_t *size, lort_error *err)
{
    lort_code code = source->size(source->ctx, name, size, err);
    if (code)
        return code;
    *n = *size < HEAD_BYTES ? *size : HEAD_BYTES;
    return source->read(source->ctx, name, head, *n, err);
}

static lort_code read_head(lort_model *model, const char *name, uint8_t *head, uint64_t *n,
                           uint64_t *size, lort_error *err)
{
    lort_file *file;
    lort_file_info info;
    if (model->source)
        return read_source_head(model->source, name, head, n, size, err);
    lort_code code = lort_os_open(model->dir, name, &file, err);
    if (code)
        return code;
    code = lort_os_info(file, &info, err);
    if (code == LORT_OK) {
        *size = info.size;
        *n = info.size < HEAD_BYTES ? info.size : HEAD_BYTES;
        code = lort_os_read(file, head, *n, 0, err);
    }
    lort_os_close(file, NULL);
    return code;
}

static lort_code see_file(void *ctx, const char *name, lort_error *err)
{
    found_list *list = ctx;
    uint8_t head[HEAD_BYTES];
    uint64_t n, size;
    void *memory;
    char shown[200];
    lort_error why = {0};
    if (name[0] == '.')
        return LORT_OK;
    if (list->model->dir && lort_os_dangles(list->model->dir, name, name, err))
        return LORT_E_INPUT;
    if (read_head(list->model, name, head, &n, &size, &why) != LORT_OK) {
        if (why.code != LORT_E_INPUT || lort_model_claims_weights(name) ||
            lort_model_claims_index(name))
            return lort_fail(err, why.code, "%s", why.message);
        lort_model_warn(list->model, "left out: %s", why.message);
        return LORT_OK;
    }
    bool index = false;
    lort_code code = LORT_OK;
    if (lort_model_claims_index(name))
        code = lort_model_tell_index(list->model, name, head, n, size, &index, err);
    const found_kind kind = index ? FOUND_INDEX : tell_kind(name, head, n, size);
    if (code)
        return code;
    if (kind == FOUND_SIDE && lort_plain_name(name, strlen(name), &why) != LORT_OK) {
        lort_model_warn(list->model, "left out: %s: %s",
                        lort_escape_text(shown, sizeof shown, name), why.message);
        return LORT_OK;
    }
    code = lort_arena_take(&list->model->arena, sizeof(found_file), &memory, err);
    if (code)
        return code;
    found_file *found = memory;
    found->kind = kind;
    found->lists_shards =
        kind == FOUND_SIDE && !lort_model_foreign_index(name) && lort_shards_bid(head, n);
    found->size = size;
    code = lort_arena_text(&list->model->arena, name, strlen(name), &found->name, err);
    if (code)
        return code;
    *list->last = found;
    list->last = &found->next;
    list->counts[found->kind]++;
    return LORT_OK;
}

static found_file *first_of(found_list *list, found_kind kind)
{
    for (found_file *f = list->first; f; f = f->next)
        if (f->kind == kind)
            return f;
    return NULL;
}

/* Looks at whole files called .json for the list of shards. What a source lists was named before.
 */
static lort_code look_for_lists(found_list *list, lort_error *err)
{
    uint8_t head[HEAD_BYTES];
    uint64_t n, size;
    lort_code code = LORT_OK;
    for (found_file *f = list->first; f && code == LORT_OK; f = f->next) {
        if (f->kind != FOUND_SIDE || f->lists_shards || !ends_with(f->name, ".json") ||
            list->model->source || lort_model_foreign_index(f->name))
            continue;
        code = read_head(list->model, f->name, head, &n, &size, err);
        if (code == LORT_OK)
            code =
                lort_model_tell_index(list->model, f->name, head, n, size, &f->lists_shards, err);
    }
    return code;
}

/* The one file that lists shards under a name of its own; NULL: there is none, or several. */
static lort_code odd_index(found_list *list, const char **name, lort_error *err)
{
    lort_code code = look_for_lists(list, err);
    *name = NULL;
    for (found_file *f = list->first; f && code == LORT_OK; f = f->next) {
        if (f->lists_shards && *name) {
            *name = NULL;
            return LORT_OK;
        }
        *name = f->lists_shards ? f->name : *name;
    }
    return code;
}

/* ---- the three shapes of a model ---- */

/* Adds the set of numbered shards to which a name belongs. *found: there is one of several shards.
 * A safetensors file that a container holds as one file stays one file. */
static lort_code add_numbered(lort_model *model, const char *name, bool *found, lort_error *err)
{
    lort_numbered form;
    lort_folder folder;
    lort_shard_sets sets = {0};
    *found =
        lort_numbered_parse(name, &form) && !(model->source && ends_with(name, ".safetensors"));
    if (!*found)
        return LORT_OK;
    lort_code code = lort_model_names(model, &folder, err);
    folder.place = model->dir ? lort_os_dir_path(model->dir) : NULL;
    if (code == LORT_OK)
        code = lort_shard_sets_find(&folder, model->alloc, &sets, err);
    if (code)
        return code;
    const uint32_t set = lort_shard_sets_of(&sets, name);
    *found = set != LORT_NO_SET && sets.sets[set].have + sets.sets[set].lack > 1;
    if (*found)
        code = lort_model_add_set(model, &sets, set, err);
    lort_shard_sets_free(&sets);
    return code;
}

static lort_code add_weights(lort_model *model, const char *name, lort_error *err)
{
    bool found;
    char shown[200];
    lort_code code = add_numbered(model, name, &found, err);
    if (code || found)
        return code;
    code = lort_model_add(model, name, LORT_ROLE_WEIGHTS, err);
    if (code)
        return lort_model_explain_piece(name, code, err);
    const lort_header *header = &model->files[model->file_count - 1].shown.header;
    lort_escape_text(shown, sizeof shown, name);
    if (header->split)
        code = lort_fail(err, LORT_E_INPUT,
                         "%s: is shard %llu of %u, but its name is not PREFIX-%05llu-of-%05u.gguf, "
                         "so the others cannot be found",
                         shown, header->split_no + 1ull, header->split_count,
                         header->split_no + 1ull, header->split_count);
    return lort_model_explain_glued(model, model->file_count - 1, code, err);
}

/* ---- a directory ---- */

static lort_code refuse_several(found_list *list, found_kind kind, const char *what,
                                lort_error *err)
{
    char names[600] = "";
    for (found_file *f = list->first; f; f = f->next) {
        size_t at = strlen(names);
        if (f->kind == kind && at + 3 < sizeof names) {
            snprintf(names + at, sizeof names - at, "%s", at ? ", " : "");
            lort_escape_text(names + strlen(names), sizeof names - strlen(names), f->name);
        }
    }
    return lort_fail(err, LORT_E_USAGE, "the directory holds several %s: name one of them (%s)",
                     what, names);
}

/* The names of the weight files of a kind that were found. */
static lort_code folder_of(found_list *list, found_kind kind, lort_folder *out, lort_error *err)
{
    void *memory;
    lort_code code =
        lort_arena_take(&list->model->arena, list->counts[kind] * sizeof(char *), &memory, err);
    if (code)
        return code;
    const char **names = memory;
    *out = (lort_folder){.path = "", .names = names};
    for (found_file *f = list->first; f; f = f->next)
        if (f->kind == kind)
            names[out->count++] = f->name;
    return LORT_OK;
}

/* The set that stands for all files of the folder: the only one, or the only whole one of several.
 * LORT_NO_SET if the user must name one. An incomplete set stands for itself, and is refused. */
static uint32_t choose_set(const lort_shard_sets *sets, bool alone)
{
    uint32_t chosen = LORT_NO_SET;
    for (uint32_t i = 0; i < sets->folder.count && alone; i++)
        if (sets->set_of[i] != sets->set_of[0])
            return LORT_NO_SET;
    for (uint32_t i = 0; i < sets->count; i++) {
        if (sets->sets[i].lack)
            return i;
        if (sets->sets[i].have > 1 && chosen != LORT_NO_SET)
            return LORT_NO_SET;
        chosen = sets->sets[i].have > 1 ? i : chosen;
    }
    return chosen;
}

/* Adds the numbered set of the folder. *added: there is one. A container may hold a shard alone. */
static lort_code add_directory_set(found_list *list, found_kind kind, bool *added, lort_error *err)
{
    lort_folder folder;
    lort_shard_sets sets = {0};
    lort_code code = folder_of(list, kind, &folder, err);
    *added = false;
    if (code == LORT_OK)
        code = lort_shard_sets_find(&folder, list->model->alloc, &sets, err);
    if (code)
        return code;
    const uint32_t set = choose_set(&sets, kind == FOUND_GGUF);
    *added = set != LORT_NO_SET &&
             !(list->model->source && list->counts[kind] == 1 && kind == FOUND_SAFETENSORS);
    if (*added)
        code = lort_model_add_set(list->model, &sets, set, err);
    lort_shard_sets_free(&sets);
    return code;
}

static lort_code add_directory_index(found_list *list, const char *name, lort_error *err)
{
    lort_folder folder;
    lort_code code = lort_model_names(list->model, &folder, err);
    return code ? code : lort_model_add_index(list->model, &folder, name, err);
}

static lort_code add_directory_model(lort_model *model, found_list *list, lort_error *err)
{
    static const char *const many[] = {
        [FOUND_SAFETENSORS] = ".safetensors files and no index.json", [FOUND_GGUF] = "GGUF models"};
    const found_kind kind = list->counts[FOUND_SAFETENSORS] ? FOUND_SAFETENSORS : FOUND_GGUF;
    const char *odd = NULL;
    bool added;
    lort_code code = LORT_OK;
    if (list->counts[FOUND_INDEX] > 1)
        return refuse_several(list, FOUND_INDEX, "index.json files", err);
    if (list->counts[FOUND_INDEX] == 1)
        return add_directory_index(list, first_of(list, FOUND_INDEX)->name, err);
    if (list->counts[FOUND_SAFETENSORS] > 1)
        code = odd_index(list, &odd, err);
    if (code || odd)
        return code ? code : add_directory_index(list, odd, err);
    if (list->counts[kind] == 0)
        return lort_fail(err, LORT_E_INPUT,
                         "the directory holds no .gguf, .safetensors or index.json");
    code = add_directory_set(list, kind, &added, err);
    if (code || added)
        return code;
    return list->counts[kind] > 1 ? refuse_several(list, kind, many[kind], err)
                                  : add_weights(model, first_of(list, kind)->name, err);
}

static bool is_added(const lort_model *model, const char *name)
{
    for (uint32_t i = 0; i < model->file_count; i++)
        if (strcmp(model->files[i].name, name) == 0)
            return true;
    return false;
}

static lort_code add_side_files(lort_model *model, found_list *list, lort_error *err)
{
    lort_code code = LORT_OK;
    for (found_file *f = list->first; f && code == LORT_OK; f = f->next) {
        char shown[200];
        lort_escape_text(shown, sizeof shown, f->name);
        if (is_added(model, f->name))
            continue;
        if (f->kind == FOUND_SAFETENSORS || f->kind == FOUND_GGUF)
            lort_model_warn(model, "left out: %s: weights that are not part of this model", shown);
        else if (is_unfinished(f->name))
            lort_model_warn(model, "left out: %s: unfinished work", shown);
        else if (f->size > LORT_SIDE_FILE_MAX)
            lort_model_warn(model, "left out: %s: %llu bytes, a side file may have at most %u",
                            shown, (unsigned long long)f->size, LORT_SIDE_FILE_MAX);
        else
            code = lort_model_add(model, f->name, LORT_ROLE_SIDE, err);
    }
    return code;
}

static lort_code find_directory(lort_model *model, const char *path, lort_error *err)
{
    found_list list = {.model = model};
    list.last = &list.first;
    lort_code code = lort_os_dir_open(path, &model->dir, err);
    if (code == LORT_OK)
        code = lort_os_dir_list(model->dir, see_file, &list, err);
    if (code == LORT_OK)
        code = add_directory_model(model, &list, err);
    if (code == LORT_OK)
        code = add_side_files(model, &list, err);
    model->directory = true;
    return code;
}

/* Adds the model to which the file `name` belongs. */
static lort_code find_by_file(lort_model *model, const char *name, lort_error *err)
{
    uint8_t head[HEAD_BYTES];
    uint64_t n, size;
    bool index = false;
    lort_folder folder;
    char shown[200];
    lort_code code = read_head(model, name, head, &n, &size, err);
    if (code == LORT_OK)
        code = lort_model_tell_index(model, name, head, n, size, &index, err);
    if (code || !index)
        return code ? code : add_weights(model, name, err);
    if (model->source && !lort_model_index_is_found(name))
        return lort_fail(err, LORT_E_INPUT, "%s: LoRT finds no index by this name in a directory",
                         lort_escape_text(shown, sizeof shown, name));
    code = lort_model_names(model, &folder, err);
    if (code)
        return code;
    folder.place = model->dir ? lort_os_dir_path(model->dir) : NULL;
    return lort_model_add_index(model, &folder, name, err);
}

lort_code lort_model_find_source(lort_model *model, const char *name, lort_error *err)
{
    found_list list = {.model = model};
    list.last = &list.first;
    if (name)
        return find_by_file(model, name, err);
    model->directory = true;
    lort_code code = model->source->list(model->source->ctx, see_file, &list, err);
    return code ? code : add_directory_model(model, &list, err);
}

static lort_code refuse_missing(const char *path, lort_error *err)
{
    lort_dir *dir;
    const char *name;
    char shown[300];
    bool dangles = false;
    if (lort_os_dir_of(path, &dir, &name, NULL) == LORT_OK) {
        dangles = lort_os_dangles(dir, name, path, err);
        lort_os_dir_close(dir);
    }
    return dangles ? LORT_E_INPUT
                   : lort_fail(err, LORT_E_INPUT, "%s: no such file or directory",
                               lort_escape_text(shown, sizeof shown, path));
}

lort_code lort_model_find(lort_model *model, const char *path, lort_error *err)
{
    lort_file_info info;
    bool exists;
    const char *name;
    char shown[300];
    lort_code code = lort_os_stat(path, &info, &exists, err);
    if (code)
        return code;
    if (!exists)
        return refuse_missing(path, err);
    if (info.kind == LORT_FILE_DIRECTORY) {
        code = find_directory(model, path, err);
        if (code)
            lort_error_path(err, path);
        return code;
    }
    code = lort_os_dir_of(path, &model->dir, &name, err);
    return code ? code : find_by_file(model, name, err);
}
