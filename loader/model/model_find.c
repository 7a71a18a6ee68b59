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

/* LoRT must refuse a broken file whose name claims weights. It may neither carry nor leave out such
 * a file. */
static bool claims_weights(const char *name)
{
    return ends_with(name, ".gguf") || ends_with(name, ".safetensors");
}

/* In many models the PyTorch index lies beside the safetensors index. LoRT does not read its .bin
 * files as weights. */
static bool claims_index(const char *name)
{
    return ends_with(name, "index.json") && !ends_with(name, ".bin.index.json");
}

bool lort_model_finds_index(const char *name) { return name[0] != '.' && claims_index(name); }

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
    if (claims_index(name) && lort_shards_bid(head, n))
        return FOUND_INDEX;
    if (lort_format_tell(head, n, size, &format, NULL) == LORT_OK &&
        format->bid(head, n, size) >= LORT_BID_SURE)
        return format == &lort_format_gguf ? FOUND_GGUF : FOUND_SAFETENSORS;
    return !claims_weights(name)      ? FOUND_SIDE
           : ends_with(name, ".gguf") ? FOUND_GGUF
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
    if (read_head(list->model, name, head, &n, &size, &why) != LORT_OK) {
        if (why.code != LORT_E_INPUT || claims_weights(name) || claims_index(name))
            return lort_fail(err, why.code, "%s", why.message);
        lort_model_warn(list->model, "left out: %s", why.message);
        return LORT_OK;
    }
    if (lort_plain_name(name, strlen(name), &why) != LORT_OK) {
        lort_model_warn(list->model, "left out: %s: %s",
                        lort_escape_text(shown, sizeof shown, name), why.message);
        return LORT_OK;
    }
    lort_code code = lort_arena_take(&list->model->arena, sizeof(found_file), &memory, err);
    if (code)
        return code;
    found_file *found = memory;
    found->kind = tell_kind(name, head, n, size);
    found->lists_shards = found->kind == FOUND_SIDE && !ends_with(name, ".bin.index.json") &&
                          lort_shards_bid(head, n);
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

/* The one file that lists shards under a name of its own; NULL: there is none, or several. */
static found_file *odd_index(found_list *list)
{
    found_file *only = NULL;
    for (found_file *f = list->first; f; f = f->next) {
        if (f->lists_shards && only)
            return NULL;
        only = f->lists_shards ? f : only;
    }
    return only;
}

/* ---- the three shapes of a model ---- */

/* A mapped index needs no memory of its own. */
static lort_code parse_index(lort_model *model, uint32_t number, lort_error *err)
{
    const lort_model_entry *entry = &model->files[number];
    const uint8_t *data;
    void *scratch = NULL;
    char shown[200];
    lort_code code =
        entry->map ? LORT_OK
                   : lort_take(model->alloc, entry->info.size, "an index.json", &scratch, err);
    if (code == LORT_OK)
        code = lort_model_view(model, number, 0, entry->info.size, scratch, &data, err);
    if (code == LORT_OK)
        code = lort_shards_parse(data, entry->info.size, model->alloc, &model->shards, err);
    lort_give(model->alloc, scratch, entry->info.size);
    /* After a fault the text was zeros, and the parser's message means nothing. */
    if (lort_model_check(model, number, NULL))
        return lort_model_check(model, number, err);
    if (code)
        lort_error_prefix(err, "%s", lort_escape_text(shown, sizeof shown, entry->shown.name));
    lort_error_file(code ? err : NULL, entry->shown.name);
    return code;
}

static lort_code add_index(lort_model *model, const char *name, lort_error *err)
{
    lort_code code = lort_model_add(model, name, LORT_ROLE_INDEX, err);
    if (code)
        return code;
    model->index_file = model->file_count - 1;
    code = parse_index(model, model->index_file, err);
    for (uint32_t i = 0; i < model->shards.file_count && code == LORT_OK; i++)
        code = lort_model_add(model, model->shards.files[i], LORT_ROLE_WEIGHTS, err);
    return code;
}

static lort_code check_number(const char *shown, const lort_header *header, uint32_t number,
                              uint32_t count, lort_error *err)
{
    if (header->split && header->split_count == count && header->split_no == number - 1)
        return LORT_OK;
    return lort_fail(err, LORT_E_INPUT,
                     "%s: its name says shard %u of %u, its split.* keys say %llu of %u", shown,
                     number, count, header->split ? header->split_no + 1ull : 1,
                     header->split ? header->split_count : 1);
}

static lort_code add_split(lort_model *model, const char *name, uint32_t prefix, uint32_t count,
                           lort_error *err)
{
    char shard[300], shown[200];
    lort_code code = LORT_OK;
    for (uint32_t i = 1; i <= count && code == LORT_OK; i++) {
        lort_split_name_make(name, prefix, i, count, shard, sizeof shard);
        code = lort_model_add(model, shard, LORT_ROLE_WEIGHTS, err);
        if (code) {
            lort_error_prefix(err, "shard %u of %u", i, count);
            return i > 1 ? lort_model_explain_glued(model, 0, code, err) : code;
        }
        lort_escape_text(shown, sizeof shown, shard);
        code =
            check_number(shown, &model->files[model->file_count - 1].shown.header, i, count, err);
    }
    model->directory = true;
    return code;
}

static lort_code add_weights(lort_model *model, const char *name, lort_error *err)
{
    uint32_t prefix, number, count;
    char shown[200];
    if (lort_split_name_parse(name, &prefix, &number, &count) && count > 1)
        return add_split(model, name, prefix, count, err);
    lort_code code = lort_model_add(model, name, LORT_ROLE_WEIGHTS, err);
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

/* Warns about a name such as "x-00001-of-00002.safetensors". */
static void warn_lone_shard(lort_model *model, const char *name)
{
    static const char ending[] = ".safetensors";
    uint32_t prefix, number, count;
    char as_split[300], shown[200];
    if (!ends_with(name, ending))
        return;
    snprintf(as_split, sizeof as_split, "%.*s.gguf", (int)(strlen(name) - strlen(ending)), name);
    if (lort_split_name_parse(as_split, &prefix, &number, &count) && count > 1)
        lort_model_warn(model,
                        "%s looks like one shard of several: give the directory or its index.json "
                        "for the whole model",
                        lort_escape_text(shown, sizeof shown, name));
}

/* ---- a directory ---- */

/* True if all GGUF files belong to one split. *name is its first shard, or the one file. */
static bool one_gguf_set(found_list *list, const char **name)
{
    uint32_t prefix, number, count, other, others;
    found_file *first = first_of(list, FOUND_GGUF);
    *name = first->name;
    if (list->counts[FOUND_GGUF] == 1)
        return true;
    if (!lort_split_name_parse(first->name, &prefix, &number, &count))
        return false;
    for (found_file *f = first; f; f = f->next)
        if (f->kind == FOUND_GGUF &&
            (!lort_split_name_parse(f->name, &other, &number, &others) || other != prefix ||
             others != count || strncmp(f->name, first->name, prefix) != 0))
            return false;
    return true;
}

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

static lort_code add_directory_model(lort_model *model, found_list *list, lort_error *err)
{
    const char *name;
    if (list->counts[FOUND_INDEX] > 1)
        return refuse_several(list, FOUND_INDEX, "index.json files", err);
    if (list->counts[FOUND_INDEX] == 1)
        return add_index(model, first_of(list, FOUND_INDEX)->name, err);
    if (list->counts[FOUND_SAFETENSORS] > 1 && odd_index(list))
        return add_index(model, odd_index(list)->name, err);
    if (list->counts[FOUND_SAFETENSORS] > 1)
        return refuse_several(list, FOUND_SAFETENSORS, ".safetensors files and no index.json", err);
    if (list->counts[FOUND_SAFETENSORS] == 1)
        return lort_model_add(model, first_of(list, FOUND_SAFETENSORS)->name, LORT_ROLE_WEIGHTS,
                              err);
    if (list->counts[FOUND_GGUF] == 0)
        return lort_fail(err, LORT_E_INPUT,
                         "the directory holds no .gguf, .safetensors or index.json");
    if (!one_gguf_set(list, &name))
        return refuse_several(list, FOUND_GGUF, "GGUF models", err);
    return add_weights(model, name, err);
}

static bool is_added(const lort_model *model, const char *name)
{
    for (uint32_t i = 0; i < model->file_count; i++)
        if (strcmp(model->files[i].shown.name, name) == 0)
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

/* Refuses names by which LoRT would not find the model in the directory that restore makes. */
static lort_code check_findable(const lort_model *model, const char *name, lort_error *err)
{
    const bool index = model->index_file != UINT32_MAX;
    char shown[200];
    if (name[0] != '.' && !(index && (claims_weights(name) || ends_with(name, ".bin.index.json"))))
        return LORT_OK;
    return lort_fail(err, LORT_E_INPUT,
                     "%s: LoRT does not find a model of several files by this name in a directory; "
                     "rename the file",
                     lort_escape_text(shown, sizeof shown, name));
}

/* Adds the model to which the file `name` belongs. */
static lort_code find_by_file(lort_model *model, const char *name, lort_error *err)
{
    uint8_t head[HEAD_BYTES];
    uint64_t n, size;
    lort_code code = lort_plain_name(name, strlen(name), err);
    if (code == LORT_OK)
        code = read_head(model, name, head, &n, &size, err);
    if (code)
        return code;
    if (lort_shards_bid(head, n)) {
        model->directory = true;
        code = add_index(model, name, err);
    } else {
        warn_lone_shard(model, name);
        code = add_weights(model, name, err);
    }
    return code == LORT_OK && model->directory ? check_findable(model, name, err) : code;
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

lort_code lort_model_find(lort_model *model, const char *path, lort_error *err)
{
    lort_file_info info;
    bool exists;
    const char *name;
    char shown[300];
    lort_code code = lort_os_stat(path, &info, &exists, err);
    if (code)
        return code;
    lort_escape_text(shown, sizeof shown, path);
    if (!exists)
        return lort_fail(err, LORT_E_INPUT, "%s: no such file or directory", shown);
    if (info.kind == LORT_FILE_DIRECTORY) {
        code = find_directory(model, path, err);
        if (code)
            lort_error_path(err, path);
        return code;
    }
    code = lort_os_dir_of(path, &model->dir, &name, err);
    return code ? code : find_by_file(model, name, err);
}
