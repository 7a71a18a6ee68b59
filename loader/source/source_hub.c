/* source_hub: owns the cache of Hugging Face.
 *
 *     ROOT/models--ORG--NAME/refs/REV               the commit of a branch or tag
 *                           /snapshots/COMMIT/FILE  a link to ../../blobs/ETAG, or a real file
 *                           /blobs/X.incomplete     part of a download: never opened
 *                           /trees/COMMIT.json      the files of the repository
 *
 * LoRT opens files through the snapshot. The real path of each must stay below models--ORG--NAME.
 */
#include "formats/base/text.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

#define COMMIT_MOST 64u /* 40 digits today; 64 of SHA-256 */
#define WHAT "Hugging Face cache"

/* The root that huggingface_hub takes [constants.py]. */
static bool find_root(lort_place *out)
{
    lort_place home;
    if (lort_place_variable("HF_HUB_CACHE", out) ||
        lort_place_variable("HUGGINGFACE_HUB_CACHE", out))
        return true;
    if (lort_place_variable("HF_HOME", &home)) {
        lort_place_set(out, "%s/hub", home.text);
        return !out->cut;
    }
    return lort_place_cache("huggingface/hub", out);
}

static void repository_place(const char *root, const char *repository, lort_place *out)
{
    const int n = (int)strcspn(repository, "/");
    if (repository[n])
        lort_place_set(out, "%s/models--%.*s--%s", root, n, repository, repository + n + 1);
    else
        lort_place_set(out, "%s/models--%s", root, repository);
}

/* Reads refs/REV. *commit: "" if the file is not there. */
static lort_code read_ref(const lort_search *search, const char *repository,
                          char commit[COMMIT_MOST + 1], lort_error *err)
{
    lort_place place;
    char shown[400];
    void *data;
    uint64_t size;
    commit[0] = '\0';
    lort_place_set(&place, "%s/refs/%s", repository, search->name->revision);
    if (place.cut || !lort_place_is_file(place.text, &size))
        return LORT_OK;
    lort_code code = lort_source_read(place.text, 4096, search->alloc, &data, &size, err);
    if (code)
        return code;
    const char *text = data;
    uint64_t n = size;
    while (n && strchr(" \t\r\n", text[n - 1]))
        n--;
    const bool fits = n >= 4 && n <= COMMIT_MOST;
    if (fits) {
        memcpy(commit, text, n);
        commit[n] = '\0';
    }
    lort_give(search->alloc, data, size);
    if (fits && strspn(commit, "0123456789abcdef") == n)
        return LORT_OK;
    commit[0] = '\0';
    return lort_fail(err, LORT_E_INPUT, "%s: holds no commit (allowed: hexadecimal digits)",
                     lort_escape_text(shown, sizeof shown, place.text));
}

/* A list that cannot be read says nothing: huggingface_hub ignores it too. */
static lort_code read_tree(const lort_search *search, const char *repository, const char *commit,
                           lort_source_tree *out, bool *is_there, lort_error *err)
{
    lort_place place;
    void *data;
    uint64_t size;
    *out = (lort_source_tree){.count = 0};
    *is_there = false;
    lort_place_set(&place, "%s/trees/%s.json", repository, commit);
    if (place.cut || !lort_place_is_file(place.text, &size))
        return LORT_OK;
    lort_code code =
        lort_source_read(place.text, LORT_TREE_JSON_MAX, search->alloc, &data, &size, err);
    if (code == LORT_OK) {
        code = lort_source_tree_parse(data, size, search->alloc, out, err);
        lort_give(search->alloc, data, size);
        *is_there = code == LORT_OK;
    }
    return code == LORT_E_MEMORY ? code : LORT_OK;
}

static lort_code take_snapshot(lort_search *search, const char *repository, const char *commit,
                               lort_error *err)
{
    char real[LORT_SOURCE_PLACE_MAX], how[400];
    lort_place snapshot;
    lort_source_tree tree;
    bool has_tree;
    const bool same = strcmp(commit, search->name->revision) == 0;
    lort_place_set(&snapshot, "%s/snapshots/%s", repository, commit);
    if (snapshot.cut || !lort_place_is_dir(snapshot.text))
        return LORT_OK;
    lort_code code = lort_os_real_path(repository, real, sizeof real, err);
    if (code == LORT_OK)
        code = read_tree(search, repository, commit, &tree, &has_tree, err);
    if (code)
        return code;
    snprintf(how, sizeof how, same ? "%s, %s" : "%s, %s (%.12s)", WHAT, search->name->revision,
             commit);
    const lort_candidate candidate = {snapshot.text, real, has_tree ? &tree : NULL, WHAT, how};
    code = lort_search_directory(search, &candidate, err);
    lort_source_tree_free(&tree);
    return code;
}

static lort_code search_root(lort_search *search, const char *root, lort_error *err)
{
    const char *revision = search->name->revision;
    char commit[COMMIT_MOST + 1];
    lort_place repository;
    repository_place(root, search->name->repository, &repository);
    lort_search_looked(search, WHAT, root);
    if (repository.cut || !lort_place_is_dir(repository.text))
        return LORT_OK;
    lort_code code = read_ref(search, repository.text, commit, err);
    if (code)
        return code;
    if (commit[0] == '\0' && strchr(revision, '/')) /* snapshots have no folders of revisions */
        return LORT_OK;
    return take_snapshot(search, repository.text, commit[0] ? commit : revision, err);
}

lort_code lort_search_hub(lort_search *search, lort_error *err)
{
    lort_place root, other;
    const bool has_root = find_root(&root);
    lort_code code = has_root ? search_root(search, root.text, err) : LORT_OK;
    if (code || search->found || !lort_place_variable("LLAMA_CACHE", &other) ||
        (has_root && strcmp(root.text, other.text) == 0))
        return code;
    return search_root(search, other.text, err);
}
