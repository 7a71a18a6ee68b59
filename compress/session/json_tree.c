/* json_tree: see json_tree.h. It holds no table: report_json has those. */
#include "compress/session/json_tree.h"
#include "compress/lort.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lort_node *lort_node_object(void) { return json_object(); }
lort_node *lort_node_array(void) { return json_array(); }
lort_node *lort_node_null(void) { return json_null(); }
lort_node *lort_node_whole(int64_t v) { return json_integer(v); }
lort_node *lort_node_string(const char *text) { return json_string(text); }

lort_node *lort_node_with(lort_node *object, const char *key, lort_node *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

lort_node *lort_node_add(lort_node *array, lort_node *value)
{
    if (json_array_append_new(array, value) == 0)
        return array;
    json_decref(array);
    return NULL;
}

lort_node *lort_node_join(lort_node *object, const char *key, lort_node *value)
{
    json_t *there = json_object_get(object, key);
    if (!there)
        return lort_node_with(object, key, value);
    json_t *list =
        json_is_array(there) ? json_incref(there) : lort_node_add(json_array(), json_incref(there));
    return lort_node_with(object, key, lort_node_add(list, value));
}

lort_node *lort_node_u64(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

/* Texts are escaped already, but for format characters. A text that is not valid UTF-8 is escaped
 * here, so that it is not lost. */
lort_node *lort_node_text(const char *text)
{
    char escaped[4096];
    if (!text || !*text)
        return json_null();
    return json_string(lort_utf8_valid(text, strlen(text))
                           ? text
                           : lort_escape_plain(escaped, sizeof escaped, text, strlen(text)));
}

lort_node *lort_node_real(double v) { return isfinite(v) ? json_real(v) : json_null(); }

_Static_assert(sizeof(lort_action) == sizeof(unsigned) && sizeof(lort_mode) == sizeof(unsigned) &&
                   sizeof(lort_phase) == sizeof(unsigned),
               "read as unsigned");

static lort_node *field_value(const lort_field *f, const char *base)
{
    const char *at = base + f->at;
    uint64_t u = 0;
    int64_t i;
    double d;
    const char *text;
    unsigned n;
    switch (f->kind) {
    case LORT_FIELD_TEXT:
        memcpy(&text, at, sizeof text);
        return lort_node_text(text);
    case LORT_FIELD_U32:
        memcpy(&n, at, sizeof n);
        return lort_node_u64(n);
    case LORT_FIELD_U64:
    case LORT_FIELD_U64_KNOWN:
        memcpy(&u, at, sizeof u);
        return f->kind == LORT_FIELD_U64_KNOWN && !u ? json_null() : lort_node_u64(u);
    case LORT_FIELD_I64:
        memcpy(&i, at, sizeof i);
        return json_integer(i);
    case LORT_FIELD_REAL:
        memcpy(&d, at, sizeof d);
        return lort_node_real(d);
    case LORT_FIELD_ACTION:
        memcpy(&n, at, sizeof n);
        return lort_node_text(lort_action_text((lort_action)n));
    case LORT_FIELD_MODE:
        memcpy(&n, at, sizeof n);
        return n == LORT_MODE_AUTO ? json_null() : lort_node_text(lort_mode_text((lort_mode)n));
    case LORT_FIELD_PHASE:
        memcpy(&n, at, sizeof n);
        return lort_node_text(lort_phase_text((lort_phase)n));
    case LORT_FIELD_NONE:
        break;
    }
    return json_null();
}

lort_node *lort_node_fields(const lort_field *fields, size_t count, const void *base)
{
    lort_node *object = json_object();
    for (size_t i = 0; i < count; i++)
        object = lort_node_with(object, fields[i].name, field_value(&fields[i], base));
    return object;
}
/* The JSON value of a literal; a string if JSON has no such literal. json_loads would report a
 * failed allocation as an error in the text, or as its end. */
lort_node *lort_node_literal(const char *text)
{
    char *end;
    errno = 0;
    const int64_t whole = strtoll(text, &end, 10);
    if (end != text && !*end)
        return errno ? json_string(text) : json_integer(whole);
    const double v = strtod(text, &end);
    if (end != text && !*end && isfinite(v))
        return json_real(v);
    return strcmp(text, "true") == 0    ? json_true()
           : strcmp(text, "false") == 0 ? json_false()
           : strcmp(text, "null") == 0  ? json_null()
                                        : lort_node_text(text);
}

lort_node *lort_node_merge(lort_node *root, lort_node *fields)
{
    const bool done = json_object_update(root, fields) == 0;
    json_decref(fields);
    if (done)
        return root;
    json_decref(root);
    return NULL;
}

/* ---- reading ---- */

lort_code lort_node_read(const void *text, size_t n, lort_node **out, lort_error *err)
{
    *out = json_loadb(text, n, 0, NULL);
    return *out ? LORT_OK : lort_node_no_memory(err);
}

void lort_node_free(lort_node *node) { json_decref(node); }

lort_node *lort_node_get(const lort_node *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

uint64_t lort_node_count(const lort_node *array) { return json_array_size(array); }
lort_node *lort_node_at(const lort_node *array, uint64_t i)
{
    return json_array_get(array, (size_t)i);
}
bool lort_node_is_object(const lort_node *node) { return json_is_object(node); }
const char *lort_node_chars(const lort_node *node) { return json_string_value(node); }
double lort_node_number(const lort_node *node)
{
    return json_is_number(node) ? json_number_value(node) : NAN;
}

bool lort_node_next(lort_node *object, void **at, const char **key, const lort_node **value)
{
    *at = *at ? json_object_iter_next(object, *at) : json_object_iter(object);
    if (!*at)
        return false;
    *key = json_object_iter_key(*at);
    *value = json_object_iter_value(*at);
    return true;
}

/* ---- writing ---- */

/* Buffers the output, since jansson writes a few bytes at a time. */
typedef struct buffer {
    lort_node_put *put;
    void *ctx;
    lort_error *err;
    lort_code code;
    size_t used;
    char bytes[16384];
} buffer;

static lort_code flush_bytes(buffer *b)
{
    if (!b->code && b->used)
        b->code = b->put(b->ctx, b->bytes, b->used, b->err);
    b->used = 0;
    return b->code;
}

static lort_code put_bytes(buffer *b, const char *bytes, size_t n)
{
    if (n > sizeof b->bytes - b->used && flush_bytes(b))
        return b->code;
    memcpy(b->bytes + b->used, bytes, n);
    b->used += n;
    return LORT_OK;
}

/* A format character as JSON escapes it, so that the report is harmless on a terminal too. */
static lort_code put_format(buffer *b, uint32_t code_point)
{
    char text[16];
    if (code_point < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", code_point);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + ((code_point - 0x10000) >> 10),
                 0xDC00 + ((code_point - 0x10000) & 0x3FF));
    return put_bytes(b, text, strlen(text));
}

/* jansson hands over whole characters. Characters beyond ASCII stand in strings only. */
static int append_bytes(const char *bytes, size_t n, void *ctx)
{
    buffer *b = ctx;
    for (size_t i = 0; i < n;) {
        uint32_t code_point;
        const unsigned length = lort_utf8_next(bytes + i, n - i, &code_point);
        const size_t taken = length ? length : 1;
        if (length > 1 && lort_is_format(code_point) ? put_format(b, code_point)
                                                     : put_bytes(b, bytes + i, taken))
            return -1;
        i += taken;
    }
    return 0;
}

lort_code lort_node_no_memory(lort_error *err)
{
    return lort_fail(err, LORT_E_MEMORY, "no memory for the JSON report");
}

lort_code lort_node_write(lort_node *root, bool line, lort_node_put *put, void *ctx,
                          lort_error *err)
{
    const size_t flags = (line ? JSON_COMPACT : JSON_INDENT(1)) | JSON_REAL_PRECISION(9);
    if (!root)
        return lort_node_no_memory(err);
    buffer b = {.put = put, .ctx = ctx, .err = err};
    if (json_dump_callback(root, append_bytes, &b, flags) && !b.code)
        b.code = lort_node_no_memory(err);
    if (!b.code && append_bytes("\n", 1, &b) == 0)
        flush_bytes(&b);
    json_decref(root);
    return b.code;
}

const char *lort_json_version(void) { return jansson_version_str(); }
