/* model_shards: see model_shards.h. A hash table groups the names by set. A sort by set and number
 * then tells what lacks. So a folder of many names takes no longer than their sort. */
#include "loader/model/model_shards.h"
#include "formats/base/names.h"
#include "formats/base/sort.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

#define NAMES_SHOWN 10u

/* ---- finding ---- */

typedef struct member {
    uint32_t set, number, place;
} member;

typedef struct finder {
    lort_shard_sets *sets;
    lort_names keys; /* prefix and rest of a name: its set */
    member *members;
    uint32_t count;
} finder;

static bool comes_before(const void *left, const void *right)
{
    const member *a = left, *b = right;
    return a->set != b->set         ? a->set < b->set
           : a->number != b->number ? a->number < b->number
                                    : a->place < b->place;
}

/* Names of one set differ in the number alone. '/' stands for it in the key: no name has one. */
static lort_code find_set(finder *f, const char *name, const lort_numbered *form, uint32_t *set,
                          lort_error *err)
{
    const char *rest = lort_numbered_rest(name, form);
    const size_t n = form->prefix_bytes + 1 + strlen(rest);
    void *memory;
    bool is_new;
    lort_code code = lort_arena_take(&f->sets->arena, n, &memory, err);
    if (code)
        return code;
    char *key = memory;
    memcpy(key, name, form->prefix_bytes);
    key[form->prefix_bytes] = '/';
    memcpy(key + form->prefix_bytes + 1, rest, n - form->prefix_bytes - 1);
    code = lort_names_add(&f->keys, key, (uint32_t)n, f->sets->count, &is_new, set, err);
    if (code == LORT_OK && is_new)
        f->sets->sets[f->sets->count++] = (lort_shard_set){.name = name, .form = *form};
    return code;
}

static lort_code group_names(finder *f, lort_error *err)
{
    const lort_folder *folder = &f->sets->folder;
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < folder->count && code == LORT_OK; i++) {
        lort_numbered form;
        f->sets->set_of[i] = LORT_NO_SET;
        if (!lort_numbered_parse(folder->names[i], &form))
            continue;
        member *to = &f->members[f->count++];
        *to = (member){.number = form.number, .place = i};
        code = find_set(f, folder->names[i], &form, &to->set, err);
    }
    return code;
}

/* Two names may have one number, as "a-1-of-2" and "a-01-of-2" do. The second is no shard. */
static void fill_sets(finder *f)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const member *m = &f->members[i];
        lort_shard_set *set = &f->sets->sets[m->set];
        const bool first = i == 0 || m[-1].set != m->set;
        if (first) {
            set->at = at;
            set->low = m->number ? 1 : 0;
        } else if (m[-1].number == m->number)
            continue;
        f->sets->members[at++] = m->place;
        f->sets->set_of[m->place] = m->set;
        set->have++;
        set->high = m->number;
    }
    for (uint32_t i = 0; i < f->sets->count; i++) {
        lort_shard_set *set = &f->sets->sets[i];
        const uint32_t last = set->low ? set->form.count : set->form.count - 1;
        set->high = set->high > last ? set->high : last;
        set->lack = set->high - set->low + 1 - set->have;
    }
}

static lort_code take_all(finder *f, lort_error *err)
{
    const uint64_t n = f->sets->folder.count;
    const uint64_t bytes[] = {n * sizeof(lort_shard_set), n * sizeof(uint32_t),
                              n * sizeof(uint32_t), n * sizeof(member)};
    void *taken[4] = {NULL};
    lort_code code = LORT_OK;
    for (size_t i = 0; i < 4 && code == LORT_OK; i++)
        code = lort_arena_take(&f->sets->arena, bytes[i], &taken[i], err);
    f->sets->sets = taken[0];
    f->sets->members = taken[1];
    f->sets->set_of = taken[2];
    f->members = taken[3];
    return code;
}

lort_code lort_shard_sets_find(const lort_folder *folder, const lort_alloc *alloc,
                               lort_shard_sets *out, lort_error *err)
{
    finder f = {.sets = out, .keys.alloc = alloc};
    *out = (lort_shard_sets){.folder = *folder, .arena.alloc = alloc};
    lort_code code = take_all(&f, err);
    if (code == LORT_OK)
        code = group_names(&f, err);
    if (code == LORT_OK) {
        lort_sort(f.members, f.count, sizeof *f.members, comes_before);
        fill_sets(&f);
    }
    lort_names_free(&f.keys);
    if (code)
        lort_shard_sets_free(out);
    return code;
}

void lort_shard_sets_free(lort_shard_sets *sets)
{
    if (!sets)
        return;
    if (sets->arena.alloc)
        lort_arena_free(&sets->arena);
    *sets = (lort_shard_sets){0};
}

uint32_t lort_shard_sets_of(const lort_shard_sets *sets, const char *name)
{
    for (uint32_t i = 0; i < sets->folder.count; i++)
        if (strcmp(sets->folder.names[i], name) == 0)
            return sets->set_of[i];
    return LORT_NO_SET;
}

const char *lort_shard_set_member(const lort_shard_sets *sets, const lort_shard_set *set,
                                  uint32_t number)
{
    return sets->folder.names[sets->members[set->at + number]];
}

/* ---- refusing ---- */

void lort_name_text_add(lort_name_text *list, const char *name, uint32_t bytes)
{
    char shown[300];
    const size_t at = strlen(list->text);
    if (list->more == 0 && list->shown < NAMES_SHOWN)
        lort_escape(shown, sizeof shown, name, bytes);
    if (list->more || list->shown == NAMES_SHOWN || at + strlen(shown) + 24 > sizeof list->text) {
        list->more++;
        return;
    }
    snprintf(list->text + at, sizeof list->text - at, "%s%s", list->shown++ ? ", " : "", shown);
}

const char *lort_name_text_end(lort_name_text *list)
{
    const size_t at = strlen(list->text);
    if (list->more)
        snprintf(list->text + at, sizeof list->text - at, "%s%u more", list->shown ? " and " : "",
                 list->more);
    return list->text;
}

/* A whole set of several shards, or NULL. */
static const lort_shard_set *whole_set(const lort_shard_sets *sets)
{
    for (uint32_t i = 0; i < sets->count; i++)
        if (!sets->sets[i].lack && sets->sets[i].have > 1)
            return &sets->sets[i];
    return NULL;
}

lort_code lort_shards_refuse(const lort_shard_sets *sets, const char *index, uint32_t lack,
                             uint32_t all, lort_name_text *names, lort_error *err)
{
    const lort_shard_set *other = whole_set(sets);
    char first[200], last[200], more[500] = "";
    if (other)
        snprintf(more, sizeof more,
                 " Beside it is a complete set, %s to %s: name one of its files to take that set",
                 lort_escape_text(first, sizeof first, other->name),
                 lort_escape_text(last, sizeof last,
                                  lort_shard_set_member(sets, other, other->have - 1)));
    lort_fail(err, LORT_E_INPUT, "%u of %u shards are missing: %s; is the download complete?%s",
              lack, all, lort_name_text_end(names), more);
    if (index)
        lort_error_prefix(err, "%s", lort_escape_text(first, sizeof first, index));
    if (sets->folder.place)
        lort_error_prefix(err, "%s", lort_escape_text(first, sizeof first, sets->folder.place));
    return LORT_E_INPUT;
}

lort_code lort_shard_set_check(const lort_shard_sets *sets, uint32_t number, lort_error *err)
{
    const lort_shard_set *set = &sets->sets[number];
    lort_name_text names = {0};
    uint32_t seen = 0;
    char name[600];
    if (!set->lack)
        return LORT_OK;
    for (uint32_t i = set->low; i <= set->high; i++) {
        lort_numbered form = {0};
        if (seen < set->have)
            lort_numbered_parse(lort_shard_set_member(sets, set, seen), &form);
        if (seen < set->have && form.number == i) {
            seen++;
            continue;
        }
        lort_numbered_make(set->name, &set->form, i, name, sizeof name);
        lort_name_text_add(&names, name, (uint32_t)strlen(name));
    }
    return lort_shards_refuse(sets, NULL, set->lack, set->high - set->low + 1, &names, err);
}

/* ---- what a name claims ---- */

/* Endings of the files that an index of another framework lists. */
static bool is_foreign(const char *name, size_t bytes)
{
    static const char *const endings[] = {".bin",     ".pt",   ".pth", ".h5",
                                          ".msgpack", ".ckpt", ".onnx"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (lort_text_ends_in(name, bytes, endings[i]))
            return true;
    return false;
}

/* "model.safetensors.index.json", and "x.safetensors.index.fp16.json" of diffusers. */
static const char *index_part(const char *name)
{
    const char *last = NULL;
    if (!lort_text_ends(name, ".json"))
        return NULL;
    for (const char *at = strstr(name, ".index."); at; at = strstr(at + 1, ".index."))
        last = at;
    return last;
}

bool lort_model_foreign_index(const char *name)
{
    const char *part = index_part(name);
    return part && is_foreign(name, (size_t)(part - name));
}

bool lort_model_claims_index(const char *name)
{
    return (index_part(name) || lort_text_ends(name, "index.json")) &&
           !lort_model_foreign_index(name);
}

/* LoRT must refuse a broken file whose name claims weights. It may neither carry nor leave out such
 * a file. */
bool lort_model_claims_weights(const char *name)
{
    const size_t n = strlen(name);
    return lort_text_ends_in(name, n, ".gguf") || lort_text_ends_in(name, n, ".safetensors");
}

bool lort_model_index_is_found(const char *name)
{
    return name[0] != '.' && !lort_model_claims_weights(name) && !lort_model_foreign_index(name);
}
