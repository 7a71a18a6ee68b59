/* model_join: adds the files that belong together, by an index.json or by their numbers. It refuses
 * what is incomplete before it opens a shard. */
#include "formats/base/names.h"
#include "formats/base/plain_name.h"
#include "formats/base/text.h"
#include "loader/model/model_parts.h"
#include <stdio.h>
#include <string.h>

/* ---- the names of a folder ---- */

typedef struct lister {
    lort_model *model;
    const char **names;
    uint32_t count, room;
} lister;

static lort_code see_name(void *ctx, const char *name, lort_error *err)
{
    lister *l = ctx;
    void *memory;
    if (lort_model_supply_of(l->model) && strchr(name, '/')) /* in a folder */
        return LORT_OK;
    if (l->count == l->room) {
        const uint32_t room = l->room ? 2 * l->room : 64;
        lort_code code = lort_arena_take(&l->model->arena, room * sizeof *l->names, &memory, err);
        if (code)
            return code;
        if (l->count)
            memcpy(memory, l->names, l->count * sizeof *l->names);
        l->names = memory;
        l->room = room;
    }
    return lort_arena_text(&l->model->arena, name, strlen(name), &l->names[l->count++], err);
}

lort_code lort_model_names(lort_model *model, lort_folder *out, lort_error *err)
{
    lister l = {.model = model};
    lort_code code = model->source ? model->source->list(model->source->ctx, see_name, &l, err)
                                   : lort_os_dir_list(model->dir, see_name, &l, err);
    *out = (lort_folder){.path = "", .names = l.names, .count = l.count};
    return code;
}

static lort_code add_member(lort_model *model, const lort_folder *folder, const char *name,
                            lort_role role, lort_error *err)
{
    void *memory;
    const size_t n = strlen(folder->path), m = strlen(name);
    if (n == 0)
        return lort_model_add(model, name, role, err);
    lort_code code = lort_arena_take(&model->arena, n + m + 1, &memory, err);
    if (code)
        return code;
    memcpy(memory, folder->path, n);
    memcpy((char *)memory + n, name, m + 1);
    return lort_model_add(model, memory, role, err);
}

/* ---- an index.json ---- */

/* Looks at the whole file. A mapping needs no memory. */
static lort_code look_whole(lort_file *file, uint64_t size, const lort_alloc *alloc, bool *is,
                            lort_error *err)
{
    lort_map *map;
    void *memory;
    lort_code code = lort_os_map(file, size, &map, err);
    if (code == LORT_OK) {
        *is = lort_shards_bid_whole(lort_os_map_data(map), size);
        if (lort_os_map_faulted(map))
            code = lort_fail(err, LORT_E_READ, "the file shrank or could not be read");
        lort_os_unmap(map);
        return code;
    }
    if (code != LORT_E_MEMORY)
        return code;
    code = lort_take(alloc, size, "an index.json", &memory, err);
    if (code)
        return code;
    code = lort_os_read(file, memory, size, 0, err);
    *is = code == LORT_OK && lort_shards_bid_whole(memory, size);
    lort_give(alloc, memory, size);
    return code;
}

static lort_code look_at_source(const lort_model *model, const char *name, uint64_t size, bool *is,
                                lort_error *err)
{
    void *memory;
    lort_code code = lort_take(model->alloc, size, "an index.json", &memory, err);
    if (code)
        return code;
    code = model->source->read(model->source->ctx, name, memory, size, err);
    *is = code == LORT_OK && lort_shards_bid_whole(memory, size);
    lort_give(model->alloc, memory, size);
    return code;
}

lort_code lort_model_tell_index(lort_model *model, const char *name, const uint8_t *head,
                                uint64_t n, uint64_t size, bool *is, lort_error *err)
{
    lort_file *file;
    char shown[200];
    *is = lort_shards_bid(head, n) || (n == size && lort_shards_bid_whole(head, n));
    if (*is || n == size || size > LORT_INDEX_MAX || !lort_shards_may_be(head, n))
        return LORT_OK;
    if (model->source)
        return look_at_source(model, name, size, is, err);
    lort_code code = lort_model_open_path(model, name, &file, err);
    if (code)
        return code;
    code = look_whole(file, size, model->alloc, is, err);
    lort_os_close(file, NULL);
    if (code)
        lort_error_prefix(err, "%s", lort_escape_text(shown, sizeof shown, name));
    return code;
}

/* A mapped index needs no memory of its own. */
static lort_code parse_index(lort_model *model, uint32_t number, lort_shard_list *list,
                             lort_error *err)
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
        code = lort_shards_parse(data, entry->info.size, model->alloc, list, err);
    lort_give(model->alloc, scratch, entry->info.size);
    /* After a fault the text was zeros, and the parser's message means nothing. */
    if (lort_model_check(model, number, NULL))
        return lort_model_check(model, number, err);
    if (code)
        lort_error_prefix(err, "%s", lort_escape_text(shown, sizeof shown, entry->name));
    return code;
}

/* Refuses an index that names files which the folder lacks. */
static lort_code check_listed(const lort_model *model, const lort_folder *folder,
                              const lort_shard_list *list, const char *index, lort_error *err)
{
    lort_names names = {.alloc = model->alloc};
    lort_name_text lacking = {0};
    uint32_t lack = 0, found;
    bool is_new;
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < folder->count && code == LORT_OK; i++)
        code = lort_names_add(&names, folder->names[i], (uint32_t)strlen(folder->names[i]), i,
                              &is_new, &found, err);
    for (uint32_t i = 0; i < list->file_count && code == LORT_OK; i++) {
        const char *name = list->files[i];
        const uint32_t bytes = (uint32_t)strlen(name);
        if (lort_names_find(&names, name, bytes))
            continue;
        lort_name_text_add(&lacking, name, bytes);
        lack++;
    }
    lort_names_free(&names);
    if (code || lack == 0)
        return code;
    lort_shard_sets sets;
    code = lort_shard_sets_find(folder, model->alloc, &sets, err);
    if (code == LORT_OK)
        code = lort_shards_refuse(&sets, index, lack, list->file_count, &lacking, err);
    lort_shard_sets_free(&sets);
    return code;
}

/* Makes room for the list of one more index: the file that was added last. */
static lort_code new_index(lort_model *model, lort_model_shards **out, lort_error *err)
{
    void *memory;
    lort_code code = lort_arena_take(&model->arena, sizeof **out, &memory, err);
    if (code)
        return code;
    *out = memory;
    **out = (lort_model_shards){.next = model->indexes, .file = model->file_count - 1};
    model->indexes = *out;
    return LORT_OK;
}

lort_code lort_model_add_index(lort_model *model, const lort_folder *folder, const char *name,
                               lort_error *err)
{
    lort_model_shards *index;
    lort_code code = add_member(model, folder, name, LORT_ROLE_INDEX, err);
    if (code == LORT_OK)
        code = new_index(model, &index, err);
    if (code == LORT_OK)
        code = parse_index(model, index->file, &index->list, err);
    if (code == LORT_OK)
        code = check_listed(model, folder, &index->list, name, err);
    if (code)
        return code;
    for (uint32_t i = 0; i < index->list.file_count && code == LORT_OK; i++)
        code = add_member(model, folder, index->list.files[i], LORT_ROLE_WEIGHTS, err);
    model->directory = true;
    return code;
}

/* ---- a numbered set ---- */

static lort_code check_number(const lort_model_entry *entry, uint32_t number, uint32_t count,
                              lort_error *err)
{
    const lort_header *header = &entry->shown.header;
    char shown[200];
    if (header->format != &lort_format_gguf ||
        (header->split && header->split_count == count && header->split_no == number - 1))
        return LORT_OK;
    return lort_fail(
        err, LORT_E_INPUT, "%s: its name says shard %u of %u, its split.* keys say %llu of %u",
        lort_escape_text(shown, sizeof shown, entry->name), number, count,
        header->split ? header->split_no + 1ull : 1, header->split ? header->split_count : 1);
}

/* Shards that need a plain name all get the same `_` in front, so that they stay one set. */
static void choose_lead(lort_model *model, const lort_shard_sets *sets, const lort_shard_set *set)
{
    if (lort_plain_name(set->name, strlen(set->name), NULL) == LORT_OK)
        return;
    for (uint32_t i = 0; i < set->have && model->lead < LORT_PLAIN_NAME_MAX; i++)
        while (model->lead < LORT_PLAIN_NAME_MAX &&
               !lort_model_name_is_free(model, lort_shard_set_member(sets, set, i), model->lead)) {
            model->lead++;
            i = 0;
        }
}

/* A set may lack shards because somebody joined them with cat. code: of the set that lacks some. */
static lort_code explain_lack(lort_model *model, const lort_shard_sets *sets,
                              const lort_shard_set *set, lort_code code, lort_error *err)
{
    const uint32_t first = model->file_count;
    if (set->have == 0 || add_member(model, &sets->folder, lort_shard_set_member(sets, set, 0),
                                     LORT_ROLE_WEIGHTS, NULL))
        return code;
    return lort_model_explain_glued(model, first, code, err);
}

lort_code lort_model_add_set(lort_model *model, const lort_shard_sets *sets, uint32_t number,
                             lort_error *err)
{
    const lort_shard_set *set = &sets->sets[number];
    const uint32_t first = model->file_count;
    lort_code code = lort_shard_set_check(sets, number, err);
    if (code)
        return explain_lack(model, sets, set, code, err);
    choose_lead(model, sets, set);
    for (uint32_t i = 0; i < set->have && code == LORT_OK; i++) {
        const char *name = lort_shard_set_member(sets, set, i);
        code = add_member(model, &sets->folder, name, LORT_ROLE_WEIGHTS, err);
        if (code) {
            lort_error_prefix(err, "shard %u of %u", i + 1, set->have);
            return i ? lort_model_explain_glued(model, first, code, err) : code;
        }
        code =
            check_number(&model->files[model->file_count - 1], set->low + i, set->form.count, err);
    }
    if (set->have > 1)
        model->directory = true;
    return code;
}

lort_code lort_model_add_single(lort_model *model, const char *path, lort_error *err)
{
    char shown[300];
    lort_code code = lort_model_add(model, path, LORT_ROLE_WEIGHTS, err);
    if (code)
        return lort_model_explain_piece(path, code, err);
    const lort_header *header = &model->files[model->file_count - 1].shown.header;
    if (header->split)
        code = lort_fail(err, LORT_E_INPUT,
                         "%s: is shard %llu of %u, but its name is not PREFIX-%05llu-of-%05u.gguf, "
                         "so the others cannot be found",
                         lort_escape_text(shown, sizeof shown, path), header->split_no + 1ull,
                         header->split_count, header->split_no + 1ull, header->split_count);
    return lort_model_explain_glued(model, model->file_count - 1, code, err);
}
