/* check: whether fine-tune and base fit together, before any weight is read (adapter.h). */
#include "compress/adapter/adapter.h"
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "formats/inputs/json.h"
#include <stdio.h>
#include <string.h>

#define CONFIG_MOST (8u << 20)

/* ---- the two sides ---- */

static lort_code check_formats(lort_extractor *x, lort_error *err)
{
    const lort_input *tuned = &x->pair.tuned, *base = &x->pair.base;
    if (tuned->archive || base->archive)
        return lort_fail(err, LORT_E_INPUT,
                         "the %s is a .lort container: extract-lora reads models; 'lort restore' "
                         "makes one",
                         tuned->archive ? "fine-tune" : "base");
    const char *a = lort_model_format(tuned->model), *b = lort_model_format(base->model);
    if (strcmp(a, b) != 0)
        return lort_fail(
            err, LORT_E_INPUT,
            "the fine-tune is %s and the base is %s: conversion to GGUF moves rows, so "
            "their difference means nothing. Extract from the two Hugging Face models, "
            "then run llama.cpp's convert_lora_to_gguf.py --base BASE ADAPTER",
            a, b);
    x->gguf = strcmp(a, "gguf") == 0;
    return LORT_OK;
}

/* True if the text ends so, in upper or lower case. `end` is in lower case. */
static bool has_end(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    bool same = n >= m;
    for (size_t i = 0; same && i < m; i++) {
        const char c = text[n - m + i];
        same = (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) == end[i];
    }
    return same;
}

static lort_code check_output(const lort_extractor *x, const char *output, lort_error *err)
{
    static const char *const files[] = {".gguf", ".safetensors", ".lort", ".json", ".bin"};
    char shown[300];
    lort_escape_text(shown, sizeof shown, output);
    if (x->gguf)
        return has_end(output, ".gguf")
                   ? LORT_OK
                   : lort_fail(err, LORT_E_USAGE,
                               "-o %s: the adapter of a GGUF pair is one file; give it a name that "
                               "ends in .gguf",
                               shown);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (has_end(output, files[i]))
            return lort_fail(err, LORT_E_USAGE,
                             "-o %s: the adapter of a Hugging Face pair is a new directory, with "
                             "adapter_config.json in it; a name that ends in %s is that of a file",
                             shown, files[i]);
    return x->type->in_safetensors
               ? LORT_OK
               : lort_fail(
                     err, LORT_E_USAGE,
                     "--outtype %s is for GGUF pairs: safetensors files hold F32, F16 or BF16",
                     x->type->name);
}

/* ---- keys of GGUF ---- */

static const lort_header *first_header(const lort_model *model)
{
    for (uint32_t i = 0; i < lort_model_file_count(model); i++)
        if (lort_model_get_file(model, i)->role == LORT_ROLE_WEIGHTS)
            return &lort_model_get_file(model, i)->header;
    return NULL;
}

static const lort_kv *find_kv(const lort_header *header, const lort_kv *like)
{
    for (uint64_t i = 0; i < header->kv_count; i++)
        if (header->kv[i].key_bytes == like->key_bytes &&
            memcmp(header->kv[i].key, like->key, like->key_bytes) == 0)
            return &header->kv[i];
    return NULL;
}

/* The value as a number; false if it is none. */
static bool number_of(const lort_kv *kv, double *out)
{
    switch (kv->kind) {
    case LORT_KV_U64:
        *out = (double)kv->v.u;
        return true;
    case LORT_KV_I64:
        *out = (double)kv->v.i;
        return true;
    case LORT_KV_F64:
        *out = kv->v.f;
        return true;
    case LORT_KV_BOOL:
        *out = kv->v.b;
        return true;
    case LORT_KV_TEXT:
    case LORT_KV_ARRAY:
        break;
    }
    return false;
}

static bool key_ends(const lort_kv *kv, const char *end)
{
    const size_t n = strlen(end);
    return kv->key_bytes >= n && memcmp(kv->key + kv->key_bytes - n, end, n) == 0;
}

/* Heads decide what rows mean, and shapes do not show them. */
static bool decides_rows(const lort_kv *kv)
{
    return key_ends(kv, ".attention.head_count") || key_ends(kv, ".attention.head_count_kv") ||
           key_ends(kv, ".block_count") || key_ends(kv, ".embedding_length");
}

static lort_code compare_key(lort_extractor *x, const lort_kv *tuned, const lort_kv *base,
                             lort_error *err)
{
    char key[200];
    double a, b;
    if (!base || !number_of(tuned, &a) || !number_of(base, &b) || a == b ||
        key_ends(tuned, ".vocab_size") || key_ends(tuned, ".context_length"))
        return LORT_OK;
    lort_escape(key, sizeof key, tuned->key, tuned->key_bytes);
    if (decides_rows(tuned))
        return lort_fail(err, LORT_E_INPUT,
                         "%s is %g in the fine-tune and %g in the base: the two are not one "
                         "architecture",
                         key, a, b);
    lort_session_warn(&x->session,
                      "%s is %g in the fine-tune and %g in the base: the adapter does not carry it",
                      key, a, b);
    return LORT_OK;
}

static lort_code check_headers(lort_extractor *x, lort_error *err)
{
    const lort_header *tuned = first_header(x->pair.tuned.model),
                      *base = first_header(x->pair.base.model);
    char a[100], b[100];
    lort_code code = LORT_OK;
    if (!tuned || !base || !*base->architecture)
        return lort_fail(err, LORT_E_INPUT, "the %s names no general.architecture",
                         tuned && *tuned->architecture ? "base" : "fine-tune");
    if (strcmp(tuned->architecture, base->architecture) != 0)
        return lort_fail(err, LORT_E_INPUT,
                         "general.architecture is %s in the fine-tune and %s in the base",
                         lort_escape_text(a, sizeof a, tuned->architecture),
                         lort_escape_text(b, sizeof b, base->architecture));
    const size_t n = strlen(base->architecture);
    for (uint64_t i = 0; i < tuned->kv_count && code == LORT_OK; i++) {
        const lort_kv *kv = &tuned->kv[i];
        if (kv->key_bytes > n && memcmp(kv->key, tuned->architecture, n) == 0 && kv->key[n] == '.')
            code = compare_key(x, kv, find_kv(base, kv), err);
    }
    return code;
}

/* ---- config.json ---- */

/* What counts of a config.json. "" and 0: not said. */
typedef struct config {
    char model_type[64];
    uint64_t numbers[3];
} config;
static const char *const number_keys[3] = {"num_attention_heads", "num_key_value_heads",
                                           "num_hidden_layers"};

static void take_value(const lort_json *json, int key, lort_json_token token, config *out)
{
    if (key == 3 && token == LORT_JSON_STRING && json->text_size < sizeof out->model_type)
        out->model_type[lort_json_text(json, out->model_type)] = '\0';
    else if (key >= 0 && key < 3 && token == LORT_JSON_NUMBER)
        (void)lort_json_u64(json, &out->numbers[key]);
}

static int key_of(const lort_json *json)
{
    for (int i = 0; i < 3; i++)
        if (lort_json_text_is(json, number_keys[i]))
            return i;
    return lort_json_text_is(json, "model_type") ? 3 : -1;
}

/* Reads the members of the outermost object. A text that is no JSON says what it said so far. */
static void parse_config(const uint8_t *text, uint64_t bytes, config *out)
{
    lort_json json = lort_json_start(text, bytes, NULL);
    int key = -1;
    if (lort_json_next(&json) != LORT_JSON_OBJECT)
        return;
    for (;;) {
        const lort_json_token token = lort_json_next(&json);
        if (token == LORT_JSON_KEY) {
            key = key_of(&json);
            continue;
        }
        if (token == LORT_JSON_ERROR || token == LORT_JSON_END || token == LORT_JSON_OBJECT_END)
            return;
        take_value(&json, key, token, out);
        if (!lort_json_skip(&json, token))
            return;
    }
}

static lort_code read_config(lort_extractor *x, lort_model *model, config *out, lort_error *err)
{
    const lort_alloc *alloc = &x->session.alloc;
    for (uint32_t i = 0; i < lort_model_file_count(model); i++) {
        const lort_model_file *file = lort_model_get_file(model, i);
        const uint8_t *text;
        void *scratch;
        if (strcmp(file->name, "config.json") != 0 || file->size == 0 || file->size > CONFIG_MOST)
            continue;
        lort_code code = lort_take(alloc, file->size, "config.json", &scratch, err);
        if (code)
            return code;
        code = lort_model_view(model, i, 0, file->size, scratch, &text, err);
        if (code == LORT_OK)
            parse_config(text, file->size, out);
        if (code == LORT_OK)
            code = lort_model_check(model, i, err);
        lort_give(alloc, scratch, file->size);
        return code;
    }
    return LORT_OK;
}

static lort_code compare_configs(lort_extractor *x, const config *tuned, const config *base,
                                 lort_error *err)
{
    char a[100], b[100];
    const char *type = *tuned->model_type ? tuned->model_type : base->model_type;
    if (*tuned->model_type && *base->model_type && strcmp(tuned->model_type, base->model_type) != 0)
        return lort_fail(err, LORT_E_INPUT,
                         "config.json: model_type is %s in the fine-tune and %s in the base",
                         lort_escape_text(a, sizeof a, tuned->model_type),
                         lort_escape_text(b, sizeof b, base->model_type));
    for (int i = 0; i < 3; i++)
        if (tuned->numbers[i] && base->numbers[i] && tuned->numbers[i] != base->numbers[i])
            return lort_fail(err, LORT_E_INPUT,
                             "config.json: %s is %llu in the fine-tune and %llu in the base",
                             number_keys[i], (unsigned long long)tuned->numbers[i],
                             (unsigned long long)base->numbers[i]);
    x->conv1d = strcmp(type, "gpt2") == 0;
    return LORT_OK;
}

static lort_code check_configs(lort_extractor *x, lort_error *err)
{
    config tuned = {0}, base = {0};
    lort_code code = read_config(x, x->pair.tuned.model, &tuned, err);
    if (code == LORT_OK)
        code = read_config(x, x->pair.base.model, &base, err);
    return code ? code : compare_configs(x, &tuned, &base, err);
}

lort_code lort_check_pair(lort_extractor *x, const char *output, lort_error *err)
{
    lort_code code = check_formats(x, err);
    if (code == LORT_OK)
        code = check_output(x, output, err);
    if (code)
        return code;
    return (x->gguf ? check_headers : check_configs)(x, err);
}
