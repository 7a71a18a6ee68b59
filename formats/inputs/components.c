/* components: see components.h. */
#include "formats/inputs/components.h"
#include "formats/base/plain_path.h"
#include "formats/inputs/json.h"
#include <string.h>

typedef struct text {
    char bytes[LORT_PLAIN_PATH_MAX + 1];
} text;

/* Unescapes the current KEY or STRING. A text that is too long, or that holds a NUL, is no path:
 * it becomes empty. */
static void take_text(const lort_json *json, text *out)
{
    uint64_t n = 0;
    if (json->text_size < sizeof out->bytes)
        n = lort_json_text(json, out->bytes);
    if (memchr(out->bytes, 0, (size_t)n))
        n = 0;
    out->bytes[n] = 0;
}

/* Reads an array to its end. Returns true if it is two strings: library and class. */
static bool is_pair(lort_json *json)
{
    unsigned strings = 0, others = 0;
    for (;;) {
        const lort_json_token token = lort_json_next(json);
        if (token == LORT_JSON_ARRAY_END)
            return strings == 2 && others == 0;
        if (!lort_json_skip(json, token))
            return false;
        strings += token == LORT_JSON_STRING;
        others += token != LORT_JSON_STRING;
    }
}

static void parse_index(lort_json *json, lort_component_fn *each, void *ctx)
{
    text name;
    while (lort_json_next(json) == LORT_JSON_KEY) {
        take_text(json, &name);
        const lort_json_token token = lort_json_next(json);
        if (token == LORT_JSON_ARRAY) {
            /* "_..." is about the pipeline itself */
            if (is_pair(json) && name.bytes[0] && name.bytes[0] != '_')
                each(ctx, name.bytes, false);
        } else if (!lort_json_skip(json, token))
            return;
    }
}

static void parse_module(lort_json *json, lort_component_fn *each, void *ctx)
{
    static const char bare[] = "Normalize";
    const size_t end = sizeof bare - 1;
    text path = {""}, type = {""};
    while (lort_json_next(json) == LORT_JSON_KEY) {
        text *out = lort_json_text_is(json, "path")   ? &path
                    : lort_json_text_is(json, "type") ? &type
                                                      : NULL;
        const lort_json_token token = lort_json_next(json);
        if (out && token == LORT_JSON_STRING)
            take_text(json, out);
        else if (!lort_json_skip(json, token))
            return;
    }
    const size_t n = strlen(type.bytes);
    if (json->code == LORT_OK && path.bytes[0])
        each(ctx, path.bytes, n >= end && strcmp(type.bytes + n - end, bare) == 0);
}

static void parse_modules(lort_json *json, lort_component_fn *each, void *ctx)
{
    for (;;) {
        const lort_json_token token = lort_json_next(json);
        if (token == LORT_JSON_ARRAY_END)
            return;
        if (token == LORT_JSON_OBJECT)
            parse_module(json, each, ctx);
        else if (!lort_json_skip(json, token))
            return;
    }
}

lort_code lort_components_parse(lort_components_form form, const void *data, uint64_t size,
                                lort_component_fn *each, void *ctx, lort_error *err)
{
    const bool modules = form == LORT_COMPONENTS_MODULES;
    lort_json json = lort_json_start(data, size, err);
    const lort_json_token first = lort_json_next(&json);
    if (first != (modules ? LORT_JSON_ARRAY : LORT_JSON_OBJECT))
        return lort_json_fail(&json, "the file is no JSON %s", modules ? "array" : "object");
    if (modules)
        parse_modules(&json, each, ctx);
    else
        parse_index(&json, each, ctx);
    if (json.code == LORT_OK)
        lort_json_next(&json); /* nothing may follow */
    return json.code;
}
