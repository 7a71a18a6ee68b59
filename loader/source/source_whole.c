/* source_whole: owns the question whether a cache holds a whole model. No mark says so: a cache
 * holds what was asked for. These tell, the first that is there:
 *
 *     trees/COMMIT.json    the files of the repository and their sizes
 *     index.json           the shards of the model
 *     NAME-00001-of-00003  the names of the shards themselves
 *
 * The list of a repository has files that no reader of the model needs: other forms of the weights,
 * copies in other frameworks, pictures. A file lacks only if the model that is there needs it. */
#include "formats/base/text.h"
#include "formats/inputs/shards.h"
#include "loader/model/model_tree.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

#define INDEX_MOST (256u << 20) /* bytes of an index.json; large ones have 10 MB */

static bool is_safetensors(const char *name) { return lort_text_ends(name, ".safetensors"); }
static bool is_gguf(const char *name) { return lort_text_ends(name, ".gguf"); }

static bool has_some(const lort_cached_folder *folder, bool (*is)(const char *name))
{
    for (uint32_t i = 0; i < folder->count; i++)
        if (is(folder->names[i]))
            return true;
    return false;
}

static bool is_weights(const char *name)
{
    return is_safetensors(name) || is_gguf(name) || lort_text_ends(name, ".lort");
}

bool lort_whole_has_weights(const lort_cached *cached)
{
    for (const lort_cached_folder *folder = cached->first; folder; folder = folder->next)
        if (has_some(folder, is_weights))
            return true;
    return false;
}

static lort_code find_sets(const lort_cached_folder *folder, const char *place,
                           const lort_alloc *alloc, lort_shard_sets *out, lort_error *err)
{
    const lort_folder names = {folder->path, folder->names, folder->count, place};
    return lort_shard_sets_find(&names, alloc, out, err);
}

/* ---- several models ---- */

static lort_code count_models(const lort_cached_folder *folder, const lort_alloc *alloc,
                              uint32_t *count, lort_name_text *names, lort_error *err)
{
    lort_shard_sets sets;
    lort_place path;
    lort_code code = find_sets(folder, NULL, alloc, &sets, err);
    for (uint32_t i = 0; code == LORT_OK && i < folder->count; i++) {
        const uint32_t set = sets.set_of[i];
        if (!is_gguf(folder->names[i]) ||
            (set != LORT_NO_SET && strcmp(sets.sets[set].name, folder->names[i]) != 0))
            continue;
        lort_place_set(&path, "%s%s", folder->path, folder->names[i]);
        lort_name_text_add(names, path.text, (uint32_t)strlen(path.text));
        ++*count;
    }
    lort_shard_sets_free(&sets);
    return code;
}

lort_code lort_whole_models(const lort_cached *cached, const lort_alloc *alloc, uint32_t *count,
                            lort_name_text *names, lort_error *err)
{
    *count = 0;
    for (const lort_cached_folder *folder = cached->first; folder; folder = folder->next) {
        lort_code code = has_some(folder, is_safetensors)
                             ? LORT_OK
                             : count_models(folder, alloc, count, names, err);
        if (code)
            return code;
        if (has_some(folder, is_safetensors)) {
            *count = 1;
            return LORT_OK;
        }
    }
    return LORT_OK;
}

/* ---- numbered shards and indexes ---- */

static bool is_in(const lort_cached_folder *folder, const char *name)
{
    for (uint32_t i = 0; i < folder->count; i++)
        if (strcmp(folder->names[i], name) == 0)
            return true;
    return false;
}

/* An index of which no shard is there may belong to a form of the weights that nobody asked for. */
static lort_code check_index(const lort_cached_folder *folder, const lort_shard_sets *sets,
                             const char *name, const lort_shard_list *list, lort_error *err)
{
    lort_name_text names = {{0}, 0, 0};
    uint32_t lack = 0;
    for (uint32_t i = 0; i < list->file_count; i++)
        if (!is_in(folder, list->files[i])) {
            lort_name_text_add(&names, list->files[i], (uint32_t)strlen(list->files[i]));
            lack++;
        }
    if (lack == 0 || (lack == list->file_count && has_some(folder, is_weights)))
        return LORT_OK;
    return lort_shards_refuse(sets, name, lack, list->file_count, &names, err);
}

/* An index that cannot be read says nothing here. Opening the model refuses it. */
static lort_code read_index(const lort_whole *whole, const lort_cached_folder *folder,
                            const lort_shard_sets *sets, const char *name, lort_error *err)
{
    lort_place place;
    lort_shard_list list;
    void *data;
    uint64_t size;
    lort_place_set(&place, "%s/%s%s", whole->directory, folder->path, name);
    lort_code code = lort_source_read(place.text, INDEX_MOST, whole->alloc, &data, &size, err);
    if (code)
        return code == LORT_E_MEMORY ? code : LORT_OK;
    code = lort_shards_parse(data, size, whole->alloc, &list, err);
    lort_give(whole->alloc, data, size);
    if (code)
        return code == LORT_E_MEMORY ? code : LORT_OK;
    code = check_index(folder, sets, name, &list, err);
    lort_shards_free(&list);
    return code;
}

static lort_code check_folder(const lort_whole *whole, const lort_cached_folder *folder,
                              lort_error *err)
{
    lort_shard_sets sets;
    lort_place place;
    lort_place_set(&place, "%s/%s", whole->directory, folder->path);
    for (size_t n = strlen(place.text); n && place.text[n - 1] == '/'; n--)
        place.text[n - 1] = '\0';
    lort_code code = find_sets(folder, place.text, whole->alloc, &sets, err);
    for (uint32_t i = 0; code == LORT_OK && i < sets.count; i++)
        code = lort_shard_set_check(&sets, i, err);
    for (uint32_t i = 0; code == LORT_OK && i < folder->count; i++)
        if (lort_model_claims_index(folder->names[i]))
            code = read_index(whole, folder, &sets, folder->names[i], err);
    lort_shard_sets_free(&sets);
    return code;
}

/* ---- the list of the repository ---- */

static const lort_cached_folder *folder_of(const lort_cached *cached, const char *path)
{
    const uint32_t n = lort_path_folder(path);
    for (const lort_cached_folder *folder = cached->first; folder; folder = folder->next)
        if (strlen(folder->path) == n + (n > 0) && strncmp(folder->path, path, n) == 0)
            return folder;
    return NULL;
}

/* A copy in another framework, a hidden file, another save of the model: or below a folder of such.
 */
static bool is_beside(const char *path)
{
    char name[LORT_PLAIN_NAME_MAX + 1];
    if (lort_name_in_save(path))
        return true;
    for (const char *at = path;; at++) {
        const size_t n = strcspn(at, "/");
        snprintf(name, sizeof name, "%.*s", (int)n, at);
        if (lort_name_tell(name, at[n] == '/') != LORT_NAME_PLAIN)
            return true;
        at += n;
        if (!*at)
            return false;
    }
}

/* What a program needs beside the weights. */
static bool is_needed_side(const char *name)
{
    static const char *const endings[] = {".json",      ".model",    ".jinja", ".tiktoken",
                                          "merges.txt", "vocab.txt", NULL};
    for (size_t i = 0; endings[i]; i++)
        if (lort_text_ends(name, endings[i]))
            return !lort_model_claims_index(name);
    return false;
}

/* True if the model needs this file of the repository, which is not there. root: the repository has
 * weights outside its folders, so the folders have other things. */
static bool is_needed(const lort_cached *cached, const char *path, bool root)
{
    const lort_cached_folder *folder = folder_of(cached, path);
    if (is_beside(path))
        return false;
    if (is_safetensors(path)) /* numbered sets are checked apart */
        return (!folder || !has_some(folder, is_weights)) && (!root || !strchr(path, '/'));
    return folder && has_some(folder, is_safetensors) && is_needed_side(lort_path_base(path));
}

static bool has_root_weights(const lort_source_tree *tree, const char *below)
{
    const size_t n = strlen(below);
    for (uint32_t i = 0; i < tree->count; i++)
        if (strncmp(tree->files[i].path, below, n) == 0 && !strchr(tree->files[i].path + n, '/') &&
            is_safetensors(tree->files[i].path))
            return true;
    return false;
}

static bool has_any(const lort_cached *cached, bool (*is)(const char *name))
{
    for (const lort_cached_folder *folder = cached->first; folder; folder = folder->next)
        if (has_some(folder, is))
            return true;
    return false;
}

static lort_code check_tree(const lort_whole *whole, lort_error *err)
{
    const size_t n = strlen(whole->below);
    const bool root = has_root_weights(whole->tree, whole->below),
               gguf_only = !has_any(whole->cached, is_safetensors);
    lort_name_text lacking = {{0}, 0, 0};
    uint32_t lack = 0;
    char shown[300];
    for (uint32_t i = 0; i < whole->tree->count; i++) {
        const lort_source_tree_file *file = &whole->tree->files[i];
        uint64_t size;
        if (strncmp(file->path, whole->below, n) != 0)
            continue;
        if (lort_cached_find(whole->cached, file->path + n, &size)
                ? size == file->size
                : gguf_only || !is_needed(whole->cached, file->path + n, root))
            continue;
        lort_name_text_add(&lacking, file->path, (uint32_t)strlen(file->path));
        lack++;
    }
    if (lack == 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_INPUT,
                     "%s: %u files of the repository are missing or too short: %s; is the download "
                     "complete?",
                     lort_escape_text(shown, sizeof shown, whole->directory), lack,
                     lort_name_text_end(&lacking));
}

lort_code lort_whole_check(const lort_whole *whole, lort_error *err)
{
    lort_code code = LORT_OK;
    for (const lort_cached_folder *folder = whole->cached->first; code == LORT_OK && folder;
         folder = folder->next)
        code = check_folder(whole, folder, err);
    return code == LORT_OK && whole->tree ? check_tree(whole, err) : code;
}

lort_code lort_whole_check_file(const lort_whole *whole, const char *path, lort_error *err)
{
    const lort_cached_folder *folder = folder_of(whole->cached, path);
    lort_shard_sets sets;
    lort_place place;
    uint64_t size;
    char shown[300];
    lort_place_set(&place, "%s/%.*s", whole->directory, (int)lort_path_folder(path), path);
    lort_code code = find_sets(folder, place.text, whole->alloc, &sets, err);
    const uint32_t set = code ? LORT_NO_SET : lort_shard_sets_of(&sets, lort_path_base(path));
    if (set != LORT_NO_SET)
        code = lort_shard_set_check(&sets, set, err);
    lort_shard_sets_free(&sets);
    for (uint32_t i = 0; code == LORT_OK && whole->tree && i < whole->tree->count; i++) {
        const lort_source_tree_file *file = &whole->tree->files[i];
        if (strcmp(file->path, path) == 0 && lort_cached_find(whole->cached, path, &size) &&
            size != file->size)
            code = lort_fail(err, LORT_E_INPUT,
                             "%s: the file is too short (found %llu bytes, allowed %llu)",
                             lort_escape_text(shown, sizeof shown, path), (unsigned long long)size,
                             (unsigned long long)file->size);
    }
    return code;
}
