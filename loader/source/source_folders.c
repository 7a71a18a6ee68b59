/* source_folders: owns the caches that have no layout of their own: directories of files.
 *
 *     llama.cpp    LLAMA_CACHE or ~/.cache/llama.cpp         ORG_NAME_FILE.gguf
 *     LM Studio    ~/.lmstudio/models                        ORG/NAME/FILE
 *     ModelScope   MODELSCOPE_CACHE or ~/.cache/modelscope/hub
 *                                                            models/ORG/NAME/FILE, '.' as "___"
 *
 * They note no revision. So they have only the default one. */
#include "formats/base/text.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

/* ---- caches of plain directories ---- */

static bool is_default(const lort_search *search)
{
    return strcmp(search->name->revision, "main") == 0 && strchr(search->name->repository, '/');
}

static lort_code search_below(lort_search *search, const char *what, const char *directory,
                              lort_error *err)
{
    char how[300];
    lort_search_looked(search, what, directory);
    if (!lort_place_is_dir(directory))
        return LORT_OK;
    snprintf(how, sizeof how, "%s, %s", what, search->name->repository);
    const lort_candidate candidate = {directory, NULL, NULL, what, how};
    return lort_search_directory(search, &candidate, err);
}

lort_code lort_search_lm_studio(lort_search *search, lort_error *err)
{
    static const char *const roots[] = {".lmstudio/models", ".cache/lm-studio/models"};
    lort_place root, place;
    lort_code code = LORT_OK;
    for (size_t i = 0; is_default(search) && code == LORT_OK && !search->found && i < 2; i++) {
        if (!lort_place_home(roots[i], &root))
            continue;
        lort_place_set(&place, "%s/%s", root.text, search->name->repository);
        if (!place.cut && (i == 0 || lort_place_is_dir(place.text)))
            code = search_below(search, "LM Studio", place.text, err);
    }
    return code;
}

/* "Qwen/Qwen2.5-7B" lies in "Qwen/Qwen2___5-7B". */
static void model_scope_name(const char *repository, lort_place *out)
{
    const char *name = strchr(repository, '/') + 1;
    lort_place_set(out, "%.*s", (int)(name - repository), repository);
    for (; *name; name++) {
        const size_t at = strlen(out->text);
        snprintf(out->text + at, sizeof out->text - at, *name == '.' ? "___" : "%c", *name);
    }
}

lort_code lort_search_model_scope(lort_search *search, lort_error *err)
{
    static const char *const below[] = {"models/", "hub/models/", "", "hub/"};
    lort_place root, name, place;
    lort_code code = LORT_OK;
    if (!is_default(search) || (!lort_place_variable("MODELSCOPE_CACHE", &root) &&
                                !lort_place_home(".cache/modelscope/hub", &root)))
        return LORT_OK;
    model_scope_name(search->name->repository, &name);
    for (size_t i = 0; code == LORT_OK && !search->found && i < sizeof below / sizeof *below; i++) {
        lort_place_set(&place, "%s/%s%s", root.text, below[i], name.text);
        if (!place.cut && (i == 0 || lort_place_is_dir(place.text)))
            code = search_below(search, "ModelScope", place.text, err);
    }
    return code;
}

/* ---- the former cache of llama.cpp ---- */

/* "ORG/NAME" and a file as one name: every '/' is a '_'. */
static void llama_name(const lort_source_name *name, lort_place *out)
{
    lort_place_set(out, "%s_%s", name->repository, name->file);
    for (char *at = out->text; *at; at++)
        if (*at == '/')
            *at = '_';
}

static lort_code take_llama(lort_search *search, const char *root, const char *name,
                            const lort_cached *cached, lort_error *err)
{
    const lort_whole whole = {root, cached, NULL, "", search->alloc};
    lort_place place;
    lort_code code = lort_whole_check_file(&whole, name, err);
    if (code)
        return lort_search_lacks(search, code, err);
    lort_place_set(&place, "%s/%s", root, name);
    return lort_search_take(search, place.text, "the former cache of llama.cpp", err);
}

static const char *first_gguf(const lort_cached *cached)
{
    const lort_cached_folder *folder = cached->first;
    for (uint32_t i = 0; i < folder->count; i++)
        if (lort_text_ends(folder->names[i], ".gguf"))
            return folder->names[i];
    return NULL;
}

/* The files of the repository. Their names begin with `prefix`, which the user does not know. */
static lort_code choose_llama(lort_search *search, const char *root, const char *prefix,
                              const lort_cached *cached, lort_error *err)
{
    lort_name_text names = {{0}, 0, 0}, short_names = {{0}, 0, 0};
    uint32_t models;
    uint64_t size;
    if (*search->name->file)
        return lort_cached_find(cached, prefix, &size)
                   ? take_llama(search, root, prefix, cached, err)
                   : LORT_OK;
    lort_code code = lort_whole_models(cached, search->alloc, &models, &names, err);
    if (code || models == 0)
        return code;
    if (models == 1)
        return take_llama(search, root, first_gguf(cached), cached, err);
    for (uint32_t i = 0; i < cached->first->count; i++)
        if (lort_text_ends(cached->first->names[i], ".gguf")) {
            const char *name = cached->first->names[i] + strlen(prefix);
            lort_name_text_add(&short_names, name, (uint32_t)strlen(name));
        }
    return lort_search_ambiguous(search, &short_names, err);
}

lort_code lort_search_llama(lort_search *search, lort_error *err)
{
    lort_place root, prefix;
    lort_cached cached;
    if (!is_default(search) ||
        (!lort_place_variable("LLAMA_CACHE", &root) && !lort_place_cache("llama.cpp", &root)))
        return LORT_OK;
    lort_search_looked(search, "llama.cpp", root.text);
    if (!lort_place_is_dir(root.text))
        return LORT_OK;
    llama_name(search->name, &prefix);
    const lort_cached_filter filter = {*search->name->file ? prefix.text : NULL,
                                       *search->name->file ? "" : prefix.text};
    lort_code code = lort_cached_list(root.text, NULL, &filter, search->alloc, &cached, err);
    if (code == LORT_OK && cached.first)
        code = choose_llama(search, root.text, prefix.text, &cached, err);
    lort_cached_free(&cached);
    return code;
}
