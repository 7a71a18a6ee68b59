/* source_search: owns a search: what it found or what lacks, and whether a directory is the model.
 */
#include "formats/base/text.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

/* ---- what was found ---- */

lort_code lort_search_keep(const lort_search *search, const char *text, char **out, lort_error *err)
{
    void *memory;
    *out = NULL;
    if (!text)
        return LORT_OK;
    const size_t n = strlen(text) + 1;
    lort_code code = lort_take(search->alloc, n, "the name of a model", &memory, err);
    if (code)
        return code;
    memcpy(memory, text, n);
    *out = memory;
    return LORT_OK;
}

lort_code lort_search_take(lort_search *search, const char *path, const char *how, lort_error *err)
{
    search->out->kind = LORT_SOURCE_CACHE;
    lort_code code = lort_search_keep(search, path, &search->out->path, err);
    if (code == LORT_OK)
        code = lort_search_keep(search, how, &search->out->found, err);
    search->found = code == LORT_OK;
    return code;
}

void lort_search_looked(lort_search *search, const char *what, const char *path)
{
    char shown[300];
    const size_t at = strlen(search->places);
    lort_escape_text(shown, sizeof shown, path);
    snprintf(search->places + at, sizeof search->places - at, "%s%s %s", at ? ", " : "", what,
             shown);
}

lort_code lort_search_lacks(lort_search *search, lort_code code, lort_error *err)
{
    if (code != LORT_E_INPUT || !err)
        return code;
    if (!search->lacking)
        snprintf(search->lack, sizeof search->lack, "%.699s", err->message);
    search->lacking = true;
    *err = (lort_error){.code = LORT_OK};
    return LORT_OK;
}

lort_code lort_search_ambiguous(const lort_search *search, lort_name_text *names, lort_error *err)
{
    char shown[200];
    return lort_fail(err, LORT_E_USAGE,
                     "%s: holds several models: %s; name one as hf://%s%s%s/FILE",
                     lort_escape_text(shown, sizeof shown, search->text), lort_name_text_end(names),
                     search->name->repository, search->name->revision_given ? "@" : "",
                     search->name->revision_given ? search->name->revision : "");
}

/* ---- a directory ---- */

static bool has_folder(const lort_cached *cached, const char *path)
{
    const size_t n = strlen(path);
    for (const lort_cached_folder *folder = cached->first; folder; folder = folder->next)
        if (strncmp(folder->path, path, n) == 0 && strcmp(folder->path + n, "/") == 0)
            return true;
    return false;
}

static lort_code take_whole(lort_search *search, const lort_candidate *candidate, const char *below,
                            const lort_cached *cached, lort_error *err)
{
    const lort_whole whole = {candidate->directory, cached, candidate->tree, below, search->alloc};
    lort_name_text names = {{0}, 0, 0};
    uint32_t models;
    if (!lort_whole_has_weights(cached)) {
        char what[100];
        snprintf(what, sizeof what, "%s (no weights that LoRT reads)", candidate->what);
        lort_search_looked(search, what, candidate->directory);
        return LORT_OK;
    }
    lort_code code = lort_whole_check(&whole, err);
    if (code)
        return lort_search_lacks(search, code, err);
    code = lort_whole_models(cached, search->alloc, &models, &names, err);
    if (code == LORT_OK && models > 1)
        code = lort_search_ambiguous(search, &names, err);
    return code ? code : lort_search_take(search, candidate->directory, candidate->how, err);
}

/* The file of the name is a folder. */
static lort_code take_folder(lort_search *search, const lort_candidate *candidate, lort_error *err)
{
    lort_place place, below;
    lort_cached cached;
    lort_candidate inner = *candidate;
    lort_place_set(&place, "%s/%s", candidate->directory, search->name->file);
    lort_place_set(&below, "%s/", search->name->file);
    inner.directory = place.text;
    lort_code code =
        lort_cached_list(place.text, candidate->root, &(lort_cached_filter){NULL, NULL},
                         search->alloc, &cached, err);
    if (code == LORT_OK)
        code = take_whole(search, &inner, below.text, &cached, err);
    lort_cached_free(&cached);
    return code;
}

static lort_code take_file(lort_search *search, const lort_candidate *candidate,
                           const lort_cached *cached, lort_error *err)
{
    const lort_whole whole = {candidate->directory, cached, candidate->tree, "", search->alloc};
    const char *file = search->name->file;
    lort_place place;
    uint64_t size;
    if (!lort_cached_find(cached, file, &size))
        return has_folder(cached, file) ? take_folder(search, candidate, err) : LORT_OK;
    lort_code code = lort_whole_check_file(&whole, file, err);
    if (code)
        return lort_search_lacks(search, code, err);
    lort_place_set(&place, "%s/%s", candidate->directory, file);
    return lort_search_take(search, place.text, candidate->how, err);
}

lort_code lort_search_directory(lort_search *search, const lort_candidate *candidate,
                                lort_error *err)
{
    const char *file = search->name->file;
    const lort_cached_filter filter = {*file ? file : NULL, NULL};
    lort_cached cached;
    lort_code code = lort_cached_list(candidate->directory, candidate->root, &filter, search->alloc,
                                      &cached, err);
    if (code == LORT_OK)
        code = *file ? take_file(search, candidate, &cached, err)
                     : take_whole(search, candidate, "", &cached, err);
    lort_cached_free(&cached);
    return code;
}
