/* source_ollama: owns the store of Ollama.
 *
 *     ROOT/manifests/HOST/NAMESPACE/MODEL/TAG      JSON with the digests of all files
 *     ROOT/blobs/sha256-HEX, or sha256:HEX         the files
 *     ROOT/blobs/sha256-HEX-partial                part of a download: never opened */
#include "formats/base/text.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

#define SERVICE "/usr/share/ollama/.ollama/models" /* of the Linux service */

static lort_code read_manifest(const lort_search *search, const char *path, lort_manifest *out,
                               lort_error *err)
{
    void *data;
    uint64_t size;
    char shown[400];
    lort_code code =
        lort_source_read(path, LORT_MANIFEST_JSON_MAX, search->alloc, &data, &size, err);
    if (code)
        return code;
    code = lort_manifest_parse(data, size, out, err);
    lort_give(search->alloc, data, size);
    if (code)
        lort_error_prefix(err, "%s", lort_escape_text(shown, sizeof shown, path));
    return code;
}

static lort_code take_blob(lort_search *search, const char *root, const lort_manifest *manifest,
                           lort_error *err)
{
    const lort_source_name *name = search->name;
    char how[400], shown[600];
    lort_place place;
    uint64_t size;
    for (int i = 0; i < 2; i++) {
        lort_place_set(&place, "%s/blobs/sha256%c%s", root, "-:"[i], manifest -> digest);
        if (place.cut || !lort_place_is_file(place.text, &size))
            continue;
        if (size != manifest->size)
            return lort_fail(err, LORT_E_INPUT,
                             "%s: has another size than the manifest says (found %llu bytes, "
                             "allowed %llu); run ollama pull again",
                             lort_escape_text(shown, sizeof shown, place.text),
                             (unsigned long long)size, (unsigned long long)manifest->size);
        snprintf(how, sizeof how, "Ollama, %s:%s", name->model, name->tag);
        return lort_search_take(search, place.text, how, err);
    }
    lort_place_set(&place, "%s/blobs/sha256-%s", root, manifest->digest);
    return lort_fail(err, LORT_E_INPUT,
                     "%s: the weights of %s:%s are not there; run ollama pull again",
                     lort_escape_text(shown, sizeof shown, place.text), name->model, name->tag);
}

static lort_code search_root(lort_search *search, const char *root, lort_error *err)
{
    const lort_source_name *name = search->name;
    lort_manifest manifest;
    lort_place place;
    uint64_t size;
    lort_place_set(&place, "%s/manifests/%s/%s/%s/%s", root, name->host, name->space, name->model,
                   name->tag);
    lort_search_looked(search, "Ollama's", place.text);
    if (place.cut || !lort_place_is_file(place.text, &size))
        return LORT_OK;
    lort_code code = read_manifest(search, place.text, &manifest, err);
    return code ? code : take_blob(search, root, &manifest, err);
}

lort_code lort_search_ollama(lort_search *search, lort_error *err)
{
    lort_place root;
    if (lort_place_variable("OLLAMA_MODELS", &root))
        return search_root(search, root.text, err);
    if (lort_place_home(".ollama/models", &root)) {
        lort_code code = search_root(search, root.text, err);
        if (code || search->found)
            return code;
    }
    return search_root(search, SERVICE, err);
}
