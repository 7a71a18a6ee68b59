/* gguf_read: reads the grammar of a GGUF header through the bounds-checked cursor, one field at a
 * time. It allocates nothing and does not know the file as a whole (gguf.c does). */
#include "formats/base/text.h"
#include "formats/inputs/gguf.h"
#include "formats/types/layout.h"
#include <inttypes.h>

/* MAX_KEY: GGUF specification. MAX_STRING and MAX_ARRAY: the limits of ggml's own reader. */
#define MAX_KEY 65535u
#define MAX_STRING (1ull << 30)
#define MAX_ARRAY (1ull << 30)
#define TYPE_BOOL 7u
#define TYPE_STRING 8u
#define TYPE_ARRAY 9u

static const struct value_type {
    const char *name;
    uint8_t bytes; /* 0: the value has its own length */
    lort_kv_kind kind;
    uint8_t since; /* first GGUF version that has it */
} value_types[] = {
    {"uint8", 1, LORT_KV_U64, 1},   {"int8", 1, LORT_KV_I64, 1},   {"uint16", 2, LORT_KV_U64, 1},
    {"int16", 2, LORT_KV_I64, 1},   {"uint32", 4, LORT_KV_U64, 1}, {"int32", 4, LORT_KV_I64, 1},
    {"float32", 4, LORT_KV_F64, 1}, {"bool", 1, LORT_KV_BOOL, 1},  {"string", 0, LORT_KV_TEXT, 1},
    {"array", 0, LORT_KV_ARRAY, 1}, {"uint64", 8, LORT_KV_U64, 2}, {"int64", 8, LORT_KV_I64, 2},
    {"float64", 8, LORT_KV_F64, 2},
};

static uint64_t get_count(lort_gguf_reader *r, const char *what)
{
    return r->version == 1 ? lort_get_u32(&r->cursor, what) : lort_get_u64(&r->cursor, what);
}

static uint64_t bytes_left(const lort_gguf_reader *r) { return r->cursor.limit - r->cursor.at; }

/* Checks that the file has room for the least bytes of every pair and info. So the size of the file
 * bounds each count before any use. */
static lort_code check_counts(lort_gguf_reader *r)
{
    uint64_t prefix = r->version == 1 ? 4 : 8, kv_bytes, info_bytes, need;
    bool fits = lort_mul_u64(r->kv_count, prefix + 1 + 4 + 1, &kv_bytes) &&
                lort_mul_u64(r->tensor_count, prefix + 4 + 4 + 8, &info_bytes) &&
                lort_add_u64(kv_bytes, info_bytes, &need);
    if (fits && need <= bytes_left(r))
        return LORT_OK;
    r->cursor.at = 8;
    return lort_cursor_fail(&r->cursor,
                            "%" PRIu64 " tensors and %" PRIu64
                            " metadata pairs cannot fit in a file of %" PRIu64 " bytes",
                            r->tensor_count, r->kv_count, r->cursor.limit);
}

static lort_code too_short(lort_gguf_reader *r, unsigned least)
{
    r->cursor.at = 0;
    return lort_cursor_fail(&r->cursor, "file too short for a GGUF header (%" PRIu64 " < %u bytes)",
                            r->cursor.limit, least);
}

lort_code lort_gguf_read_head(lort_gguf_reader *r)
{
    lort_cursor *c = &r->cursor;
    if (c->limit < 16)
        return too_short(r, 24);
    const uint8_t *magic = lort_get_bytes(c, 4, "magic");
    if (magic && memcmp(magic, "GGUF", 4) != 0) {
        c->at = 0;
        return lort_cursor_fail(c, "the magic is not 'GGUF'");
    }
    r->version = lort_get_u32(c, "version");
    if (c->code)
        return c->code;
    c->at = 4;
    if (r->version && (r->version & 0xFFFF) == 0)
        return lort_cursor_fail(c,
                                "big-endian GGUF file (version 0x%08" PRIx32
                                "; only little-endian files are supported)",
                                r->version);
    if (r->version < 1 || r->version > 3)
        return lort_cursor_fail(
            c, "GGUF version %" PRIu32 " is not supported (allowed: 1, 2 and 3)", r->version);
    if (r->version > 1 && c->limit < 24)
        return too_short(r, 24);
    c->at = 8;
    r->tensor_count = get_count(r, "tensor count");
    r->kv_count = get_count(r, "metadata pair count");
    return c->code ? c->code : check_counts(r);
}

static const char *get_string(lort_gguf_reader *r, uint64_t max, const char *what, uint64_t *bytes)
{
    lort_cursor *c = &r->cursor;
    uint64_t at = c->at, n = get_count(r, what);
    *bytes = 0;
    if (c->code)
        return NULL;
    if (n > max || n > bytes_left(r)) {
        uint64_t room = bytes_left(r);
        c->at = at;
        lort_cursor_fail(c,
                         "%s has %" PRIu64 " bytes (at most %" PRIu64 " are allowed, and %" PRIu64
                         " are left in the file)",
                         what, n, max, room);
        return NULL;
    }
    const uint8_t *p = lort_get_bytes(c, n, what);
    while (p && r->version == 1 && n && p[n - 1] == 0)
        n--;
    *bytes = p ? n : 0;
    return (const char *)p;
}

static const struct value_type *get_type(lort_gguf_reader *r, const char *what, uint32_t *id)
{
    lort_cursor *c = &r->cursor;
    uint64_t at = c->at;
    *id = lort_get_u32(c, what);
    if (c->code)
        return NULL;
    if (*id < sizeof value_types / sizeof *value_types && r->version >= value_types[*id].since)
        return &value_types[*id];
    c->at = at;
    lort_cursor_fail(c, "unknown %s %" PRIu32 " (version %" PRIu32 " has 0 to %u)", what, *id,
                     r->version, r->version == 1 ? 9u : 12u);
    return NULL;
}

static lort_code check_bools(lort_gguf_reader *r, const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (p[i] > 1) {
            r->cursor.at = r->cursor.at - n + i;
            return lort_cursor_fail(&r->cursor, "bool has the value %u (allowed: 0 and 1)", p[i]);
        }
    }
    return LORT_OK;
}

static void get_scalar(lort_gguf_reader *r, const struct value_type *type, lort_kv *out)
{
    const uint8_t *p = lort_get_bytes(&r->cursor, type->bytes, type->name);
    if (!p)
        return;
    uint8_t wide[8] = {0};
    memcpy(wide, p, type->bytes);
    uint64_t bits = lort_load_u64(wide);
    uint32_t low = (uint32_t)bits;
    float single;
    switch (type->kind) {
    case LORT_KV_I64: /* sign extension: flip the sign bit, then subtract it */
        bits = (bits ^ 1ull << (8 * type->bytes - 1)) - (1ull << (8 * type->bytes - 1));
        memcpy(&out->v.i, &bits, 8);
        break;
    case LORT_KV_F64:
        memcpy(&single, &low, 4);
        if (type->bytes == 4)
            out->v.f = (double)single;
        else
            memcpy(&out->v.f, &bits, 8);
        break;
    case LORT_KV_BOOL:
        out->v.b = bits == 1;
        check_bools(r, p, 1);
        break;
    default:
        out->v.u = bits;
    }
}

static void skip_strings(lort_gguf_reader *r, uint64_t n)
{
    uint64_t bytes;
    for (uint64_t i = 0; i < n && !r->cursor.code; i++)
        get_string(r, MAX_STRING, "string in an array", &bytes);
}

static void get_array(lort_gguf_reader *r, lort_kv *out)
{
    lort_cursor *c = &r->cursor;
    uint64_t at = c->at;
    uint32_t id;
    const struct value_type *type = get_type(r, "array element type", &id);
    if (type && id == TYPE_ARRAY) {
        c->at = at;
        lort_cursor_fail(c, "array of arrays (ggml and LoRT do not allow nested arrays)");
    }
    uint64_t count_at = c->at, n = get_count(r, "array length");
    if (c->code)
        return;
    uint64_t each = type->bytes ? type->bytes : (r->version == 1 ? 4 : 8);
    if (n > MAX_ARRAY || n * each > bytes_left(r)) {
        uint64_t room = bytes_left(r);
        c->at = count_at;
        lort_cursor_fail(c,
                         "array of %" PRIu64
                         " elements of type %s (at most 2^30 are allowed, and %" PRIu64
                         " bytes are left in the file)",
                         n, type->name, room);
        return;
    }
    out->type = type->name;
    out->v.array.at = c->at;
    out->v.array.count = n;
    if (id == TYPE_STRING) {
        skip_strings(r, n);
        return;
    }
    const uint8_t *p = lort_get_bytes(c, n * each, "array elements");
    if (p && id == TYPE_BOOL)
        check_bools(r, p, n);
}

static void get_value(lort_gguf_reader *r, lort_kv *out)
{
    uint32_t id;
    const struct value_type *type = get_type(r, "value type", &id);
    if (!type)
        return;
    out->kind = type->kind;
    out->type = type->name;
    if (id == TYPE_ARRAY) {
        get_array(r, out);
    } else if (id == TYPE_STRING) {
        uint64_t start = r->cursor.at + (r->version == 1 ? 4 : 8);
        get_string(r, MAX_STRING, "string", &out->v.text.bytes);
        out->v.text.at = start;
    } else {
        get_scalar(r, type, out);
    }
}

lort_code lort_gguf_read_kv(lort_gguf_reader *r, lort_kv *out)
{
    lort_cursor *c = &r->cursor;
    char shown[256];
    memset(out, 0, sizeof *out);
    uint64_t at = c->at, bytes;
    const char *key = get_string(r, MAX_KEY, "metadata key", &bytes);
    if (key && bytes == 0) {
        c->at = at;
        return lort_cursor_fail(c, "empty metadata key");
    }
    if (c->code)
        return c->code;
    out->key = key;
    out->key_bytes = (uint32_t)bytes;
    get_value(r, out);
    if (c->code)
        lort_error_prefix(c->error, "key '%s'", lort_escape(shown, sizeof shown, key, bytes));
    return c->code;
}

static void get_dims(lort_gguf_reader *r, lort_gguf_info *out)
{
    lort_cursor *c = &r->cursor;
    uint64_t at = c->at;
    out->n_dims = lort_get_u32(c, "number of dimensions");
    if (!c->code && out->n_dims > LORT_GGUF_MAX_DIMS) {
        c->at = at;
        lort_cursor_fail(c, "%" PRIu32 " dimensions (at most %d are allowed)", out->n_dims,
                         LORT_GGUF_MAX_DIMS);
    }
    for (uint32_t i = 0; i < out->n_dims && !c->code; i++) {
        at = c->at;
        out->ne[i] = get_count(r, "dimension");
        if (out->ne[i] > INT64_MAX) {
            c->at = at;
            lort_cursor_fail(c, "dimension %" PRIu32 " is negative (0x%016" PRIx64 ")", i,
                             out->ne[i]);
        }
    }
}

lort_code lort_gguf_read_info(lort_gguf_reader *r, lort_gguf_info *out)
{
    lort_cursor *c = &r->cursor;
    char shown[LORT_SHOWN_NAME];
    memset(out, 0, sizeof *out);
    out->at = c->at;
    uint64_t bytes; /* version 1 may count a NUL beside them */
    out->name = get_string(r, LORT_GGUF_MAX_NAME + (r->version == 1), "tensor name", &bytes);
    if (out->name && bytes > LORT_GGUF_MAX_NAME) {
        c->at = out->at;
        return lort_cursor_fail(c, "tensor name has %" PRIu64 " bytes (at most %d are allowed)",
                                bytes, LORT_GGUF_MAX_NAME);
    }
    out->name_bytes = (uint32_t)bytes;
    if (c->code)
        return c->code;
    get_dims(r, out);
    out->type_at = c->at;
    out->type = lort_get_u32(c, "tensor type");
    out->offset = lort_get_u64(c, "tensor offset");
    if (c->code)
        lort_error_prefix(c->error, "tensor '%s'",
                          lort_escape(shown, sizeof shown, out->name, bytes));
    return c->code;
}
