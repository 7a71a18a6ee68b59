/* recipe: see recipe.h. llama-quantize splits its file at white space and each word at its first
 * "=". It turns the letters of the pattern to lower case, but not those of the tensor's name. So
 * bytes that these rules would change are written as \xHH, whose digits are lower case. */
#include "compress/choice/recipe.h"
#include "formats/base/glob.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

static const lort_dtype written_types[] = {
    LORT_Q2_K, LORT_Q3_K, LORT_IQ4_XS, LORT_IQ4_NL, LORT_Q4_0, LORT_Q4_K, LORT_Q4_1, LORT_Q5_0,
    LORT_Q5_K, LORT_Q5_1, LORT_Q6_K,   LORT_Q8_0,   LORT_F16,  LORT_BF16, LORT_F32,
};
enum { WRITTEN_TYPES = sizeof written_types / sizeof *written_types };
_Static_assert(WRITTEN_TYPES <= LORT_TYPES_MOST, "a list holds all types");

const lort_dtype_info *lort_type_at(uint32_t i)
{
    return i < WRITTEN_TYPES ? lort_dtype_get(written_types[i]) : NULL;
}

/* "Q2_K, Q3_K, ..." */
static const char *list_types(char *out, size_t cap)
{
    size_t at = 0;
    *out = '\0';
    for (unsigned i = 0; i < WRITTEN_TYPES && at < cap; i++)
        at += (size_t)snprintf(out + at, cap - at, "%s%s", i ? ", " : "", lort_type_at(i)->name);
    return out;
}

/* The type of this name in any case, or NULL. */
static const lort_dtype_info *find_type(const char *name, size_t bytes)
{
    char upper[16];
    if (bytes >= sizeof upper)
        return NULL;
    for (size_t i = 0; i < bytes; i++)
        upper[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
    for (unsigned i = 0; i < WRITTEN_TYPES; i++) {
        const char *known = lort_type_at(i)->name;
        if (strlen(known) == bytes && memcmp(known, upper, bytes) == 0)
            return lort_type_at(i);
    }
    return NULL;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

void lort_recipe_put(lort_buffer *out, const char *name, uint64_t bytes,
                     const lort_dtype_info *type)
{
    lort_put_u8(out, '^');
    for (uint64_t i = 0; i < bytes; i++) {
        if (is_plain(name[i]))
            lort_put_u8(out, (uint8_t)name[i]);
        else if (name[i] == '.')
            lort_put_text(out, "\\.");
        else
            lort_put_text(out, "\\x%02x", (unsigned)(uint8_t)name[i]);
    }
    lort_put_text(out, "$=%s\n", type->name);
}

lort_code lort_override_parse(const char *text, lort_arena *arena, lort_override *out,
                              lort_error *err)
{
    char types[160];
    const char *equal = strrchr(text, '=');
    *out = (lort_override){NULL, NULL};
    if (!equal || equal == text)
        return lort_fail(err, LORT_E_USAGE,
                         "--tensor-type %.200s: no %s (allowed: GLOB=TYPE, such as "
                         "\"blk.*.attn_v.weight=Q6_K\")",
                         text, equal ? "pattern before \"=\"" : "\"=\"");
    const lort_dtype_info *type = find_type(equal + 1, strlen(equal + 1));
    if (!type)
        return lort_fail(
            err, LORT_E_USAGE,
            "--tensor-type %.200s: \"%.64s\" is no type that LoRT writes (allowed: %s)", text,
            equal + 1, list_types(types, sizeof types));
    const lort_code code = lort_arena_text(arena, text, (size_t)(equal - text), &out->pattern, err);
    if (code == LORT_OK)
        out->type = type;
    return code;
}

const lort_override *lort_override_find(const lort_override *overrides, uint64_t count,
                                        const char *name)
{
    for (uint64_t i = 0; i < count; i++)
        if (lort_glob(overrides[i].pattern, name))
            return &overrides[i];
    return NULL;
}

static lort_code add_type(lort_type_list *list, const char *text, const char *item, size_t bytes,
                          lort_error *err)
{
    char types[160];
    const lort_dtype_info *type = find_type(item, bytes);
    if (!type)
        return lort_fail(err, LORT_E_USAGE,
                         "--types %.200s: \"%.*s\" is no type that LoRT writes (allowed: %s)", text,
                         (int)(bytes < 64 ? bytes : 64), item, list_types(types, sizeof types));
    for (uint32_t i = 0; i < list->count; i++)
        if (list->types[i] == type)
            return lort_fail(err, LORT_E_USAGE,
                             "--types %.200s: %s occurs twice (allowed: once); remove one", text,
                             type->name);
    list->types[list->count++] = type;
    return LORT_OK;
}

lort_code lort_type_list_parse(const char *text, lort_type_list *out, lort_error *err)
{
    lort_type_list list = {.count = 0};
    *out = list;
    for (const char *item = text;; item++) {
        const size_t bytes = strcspn(item, ",");
        const lort_code code = add_type(&list, text, item, bytes, err);
        if (code != LORT_OK)
            return code;
        item += bytes;
        if (*item == '\0')
            break;
    }
    *out = list;
    return LORT_OK;
}
