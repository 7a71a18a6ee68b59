/* source_tree: owns the JSON files of caches. They are untrusted. */
#include "formats/base/text.h"
#include "formats/inputs/json.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

#define TREE_FILES_MOST 200000u

lort_code lort_source_read(const char *path, uint64_t most, const lort_alloc *alloc, void **out,
                           uint64_t *size, lort_error *err)
{
    lort_dir *dir;
    lort_file *file = NULL;
    lort_file_info info;
    const char *name;
    *out = NULL;
    *size = 0;
    lort_code code = lort_os_dir_of(path, &dir, &name, err);
    if (code)
        return code;
    code = lort_os_open(dir, name, &file, err);
    if (code == LORT_OK)
        code = lort_os_info(file, &info, err);
    if (code == LORT_OK && info.size > most)
        code = lort_fail(err, LORT_E_INPUT, "%s: is too long (found %llu bytes, at most %llu)",
                         path, (unsigned long long)info.size, (unsigned long long)most);
    if (code == LORT_OK)
        code = lort_take(alloc, info.size, "a file of a cache", out, err);
    if (code == LORT_OK) {
        *size = info.size;
        code = lort_os_read(file, *out, info.size, 0, err);
    }
    if (code && *out) {
        lort_give(alloc, *out, *size);
        *out = NULL;
    }
    lort_os_close(file, NULL);
    lort_os_dir_close(dir);
    return code;
}

/* Unescapes the current KEY or STRING. False if it does not fit, or holds a NUL. */
static bool take_text(const lort_json *json, char *out, size_t cap)
{
    if (json->text_size >= cap)
        return false;
    const size_t n = (size_t)lort_json_text(json, out);
    out[n] = '\0';
    return !memchr(out, 0, n);
}

/* Goes to the next key of an object. False at its end, or on failure. */
static bool next_key(lort_json *json) { return lort_json_next(json) == LORT_JSON_KEY; }

static lort_code end_of(lort_json *json)
{
    if (json->code == LORT_OK && lort_json_next(json) != LORT_JSON_END)
        lort_json_fail(json, "more than one value");
    return json->code;
}

/* ---- trees/COMMIT.json ---- */

typedef struct tree_parse {
    lort_json json;
    lort_source_tree *out;
    uint32_t room;
    uint64_t version;
} tree_parse;

static bool fail(tree_parse *p, const char *what)
{
    lort_json_fail(&p->json, "%s", what);
    return false;
}

/* {"size": 1234, ...} */
static bool take_size(tree_parse *p, uint64_t *size)
{
    bool given = false;
    if (lort_json_next(&p->json) != LORT_JSON_OBJECT)
        return fail(p, "a file is no object");
    while (next_key(&p->json)) {
        const bool is_size = lort_json_text_is(&p->json, "size");
        const lort_json_token token = lort_json_next(&p->json);
        if (!is_size) {
            if (!lort_json_skip(&p->json, token))
                return false;
        } else if (given || token != LORT_JSON_NUMBER || !lort_json_u64(&p->json, size)) {
            return fail(p, "the size of a file is no whole number, or stands twice");
        }
        given = given || is_size;
    }
    return p->json.code == LORT_OK && (given || fail(p, "a file has no size"));
}

static bool grow(tree_parse *p)
{
    lort_source_tree *out = p->out;
    void *memory;
    if (out->count < p->room)
        return true;
    if (out->count == TREE_FILES_MOST)
        return fail(p, "too many files");
    p->room = p->room ? 2 * p->room : 64;
    if ((p->json.code = lort_arena_take(&out->arena, p->room * sizeof *out->files, &memory,
                                        p->json.error)) != LORT_OK)
        return false;
    if (out->count)
        memcpy(memory, out->files, out->count * sizeof *out->files);
    out->files = memory;
    return true;
}

static bool take_file(tree_parse *p)
{
    char path[LORT_PLAIN_PATH_MAX + 1];
    lort_source_tree_file file = {NULL, 0};
    if (!take_text(&p->json, path, sizeof path) || lort_plain_path(path, strlen(path), NULL))
        return fail(p, "a path is not plain");
    if (!take_size(p, &file.size) || !grow(p))
        return false;
    p->json.code = lort_arena_text(&p->out->arena, path, strlen(path), &file.path, p->json.error);
    if (p->json.code == LORT_OK)
        p->out->files[p->out->count++] = file;
    return p->json.code == LORT_OK;
}

static bool take_files(tree_parse *p)
{
    if (lort_json_next(&p->json) != LORT_JSON_OBJECT)
        return fail(p, "files is no object");
    while (next_key(&p->json))
        if (!take_file(p))
            return false;
    return p->json.code == LORT_OK;
}

static void take_tree(tree_parse *p)
{
    if (lort_json_next(&p->json) != LORT_JSON_OBJECT) {
        fail(p, "no object");
        return;
    }
    while (next_key(&p->json)) {
        if (lort_json_text_is(&p->json, "files")) {
            if (!take_files(p))
                return;
            continue;
        }
        const bool is_version = lort_json_text_is(&p->json, "format_version");
        const lort_json_token token = lort_json_next(&p->json);
        if (is_version && token == LORT_JSON_NUMBER)
            lort_json_u64(&p->json, &p->version);
        else if (!lort_json_skip(&p->json, token))
            return;
    }
    if (end_of(&p->json) == LORT_OK && p->version != 1)
        fail(p, "format_version is not 1");
}

lort_code lort_source_tree_parse(const void *data, uint64_t size, const lort_alloc *alloc,
                                 lort_source_tree *out, lort_error *err)
{
    tree_parse p = {.out = out};
    *out = (lort_source_tree){.arena.alloc = alloc};
    p.json = lort_json_start(data, size, err);
    take_tree(&p);
    if (p.json.code)
        lort_source_tree_free(out);
    return p.json.code;
}

void lort_source_tree_free(lort_source_tree *tree)
{
    if (tree->arena.alloc)
        lort_arena_free(&tree->arena);
    *tree = (lort_source_tree){0};
}

/* ---- manifests of Ollama ---- */

#define MODEL_LAYER "application/vnd.ollama.image.model"
#define TENSOR_LAYER "application/vnd.ollama.image.tensor"

typedef struct layer {
    char type[128], digest[128];
    uint64_t size;
} layer;

typedef struct layers {
    unsigned models, tensors;
    layer model;
} layers;

/* "sha256:HEX" */
static bool take_digest(const char *text, char digest[65])
{
    static const char mark[] = "sha256:";
    const char *hex = text + sizeof mark - 1;
    if (strncmp(text, mark, sizeof mark - 1) != 0 || strlen(hex) != 64 ||
        strspn(hex, "0123456789abcdef") != 64)
        return false;
    memcpy(digest, hex, 65);
    return true;
}

static bool take_layer(lort_json *json, layers *out)
{
    layer one = {"", "", 0};
    while (next_key(json)) {
        char *text = lort_json_text_is(json, "mediaType") ? one.type
                     : lort_json_text_is(json, "digest")  ? one.digest
                                                          : NULL;
        const bool is_size = lort_json_text_is(json, "size");
        const lort_json_token token = lort_json_next(json);
        if (text && token == LORT_JSON_STRING) {
            if (!take_text(json, text, sizeof one.type))
                text[0] = '\0';
        } else if (is_size && token == LORT_JSON_NUMBER) {
            lort_json_u64(json, &one.size);
        } else if (!lort_json_skip(json, token)) {
            return false;
        }
    }
    out->tensors += strcmp(one.type, TENSOR_LAYER) == 0;
    if (strcmp(one.type, MODEL_LAYER) == 0 && out->models++ == 0)
        out->model = one;
    return json->code == LORT_OK;
}

static bool take_layers(lort_json *json, layers *out)
{
    lort_json_token token = lort_json_next(json);
    if (token != LORT_JSON_ARRAY)
        return lort_json_skip(json, token);
    while ((token = lort_json_next(json)) != LORT_JSON_ARRAY_END)
        if (token == LORT_JSON_OBJECT ? !take_layer(json, out) : !lort_json_skip(json, token))
            return false;
    return true;
}

static lort_code take_manifest(lort_json *json, layers *out)
{
    if (lort_json_next(json) != LORT_JSON_OBJECT)
        return lort_json_fail(json, "no object");
    while (next_key(json)) {
        if (lort_json_text_is(json, "layers")) {
            if (!take_layers(json, out))
                return json->code;
        } else if (!lort_json_skip(json, lort_json_next(json))) {
            return json->code;
        }
    }
    return end_of(json);
}

lort_code lort_manifest_parse(const void *data, uint64_t size, lort_manifest *out, lort_error *err)
{
    layers found = {0};
    lort_json json = lort_json_start(data, size, err);
    *out = (lort_manifest){.size = 0};
    lort_code code = take_manifest(&json, &found);
    if (code)
        return code;
    if (found.tensors)
        return lort_fail(err, LORT_E_INPUT,
                         "the model is stored as one blob for each tensor, which LoRT does not "
                         "read (found %u, allowed: one GGUF file)",
                         found.tensors);
    if (found.models != 1)
        return lort_fail(err, LORT_E_INPUT, "lists %u files of weights (allowed: 1)", found.models);
    if (!take_digest(found.model.digest, out->digest)) {
        *out = (lort_manifest){.size = 0};
        return lort_fail(err, LORT_E_INPUT,
                         "the digest of the weights is not sha256: and 64 hexadecimal digits");
    }
    out->size = found.model.size;
    return LORT_OK;
}
