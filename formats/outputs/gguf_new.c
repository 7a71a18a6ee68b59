/* gguf_new: see gguf_new.h. Keys of versions 2 and 3 are copied byte by byte. Counts of version 1
 * have 32 bits, so its keys are written anew. */
#include "formats/outputs/gguf_new.h"
#include "formats/base/names.h"
#include "formats/base/text.h"
#include "formats/inputs/gguf.h"
#include "formats/types/opaque.h"
#include <stdlib.h>

enum { GGUF_U32 = 4, GGUF_F32 = 6, GGUF_TEXT = 8, NEW_VERSION = 3 };
static const uint32_t gguf_types[] = {[LORT_GGUF_SET_U32] = GGUF_U32,
                                      [LORT_GGUF_SET_F32] = GGUF_F32,
                                      [LORT_GGUF_SET_TEXT] = GGUF_TEXT};

typedef struct maker {
    const lort_gguf_plan *plan;
    lort_buffer *out;
    lort_names names; /* keys that are written, or left out */
    uint64_t keys;
    lort_error *err;
} maker;

/* ---- keys ---- */

static void put_string(lort_buffer *out, const void *bytes, uint64_t n)
{
    lort_put_u64(out, n);
    lort_put_bytes(out, bytes, n);
}

static void put_change(maker *m, const lort_gguf_change *change)
{
    if (change->action > LORT_GGUF_SET_TEXT)
        return;
    put_string(m->out, change->key, strlen(change->key));
    lort_put_u32(m->out, gguf_types[change->action]);
    if (change->action == LORT_GGUF_SET_TEXT)
        put_string(m->out, change->text, strlen(change->text));
    else
        lort_put_u32(m->out, change->u32);
    m->keys++;
}

/* What the plan says of a key, or NULL. */
static const lort_gguf_change *find_change(const lort_gguf_plan *plan, const lort_kv *kv)
{
    for (uint32_t i = 0; i < plan->change_count; i++) {
        const lort_gguf_change *change = &plan->changes[i];
        const uint64_t n = strlen(change->key);
        const bool whole = change->action != LORT_GGUF_DROP_PREFIX;
        if ((whole ? kv->key_bytes == n : kv->key_bytes >= n) &&
            memcmp(kv->key, change->key, n) == 0)
            return change;
    }
    return NULL;
}

/* Writes `count` strings of a file of version 1. */
static void put_strings_1(lort_buffer *out, const uint8_t *data, uint64_t at, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint32_t n = lort_load_u32(data + at);
        put_string(out, data + at + 4, n && data[at + 3 + n] == 0 ? n - 1 : n);
        at += 4 + (uint64_t)n;
    }
}

/* Writes a pair of version 1. type_at: where the type of its value stands; end: of the pair. */
static void put_pair_1(lort_buffer *out, const uint8_t *data, const lort_kv *kv, uint64_t type_at,
                       uint64_t end)
{
    put_string(out, kv->key, kv->key_bytes);
    lort_put_bytes(out, data + type_at, 4);
    if (kv->kind == LORT_KV_TEXT) {
        put_string(out, data + kv->v.text.at, kv->v.text.bytes);
    } else if (kv->kind == LORT_KV_ARRAY) {
        const uint8_t *element = data + type_at + 4;
        lort_put_bytes(out, element, 4);
        lort_put_u64(out, kv->v.array.count);
        if (lort_load_u32(element) == GGUF_TEXT)
            put_strings_1(out, data, kv->v.array.at, kv->v.array.count);
        else
            lort_put_bytes(out, data + kv->v.array.at, end - kv->v.array.at);
    } else {
        lort_put_bytes(out, data + type_at + 4, end - type_at - 4);
    }
}

/* Takes over the pair at [at, cursor), unless the plan or an earlier origin has the key. */
static lort_code take_pair(maker *m, const lort_gguf_reader *r, const lort_kv *kv, uint64_t at)
{
    const lort_gguf_change *change = find_change(m->plan, kv);
    const uint8_t *data = r->cursor.data;
    uint32_t found;
    bool is_new;
    lort_code code = lort_names_add(&m->names, kv->key, kv->key_bytes, 0, &is_new, &found, m->err);
    if (code || !is_new)
        return code;
    if (change) {
        put_change(m, change);
        return LORT_OK;
    }
    m->keys++;
    if (r->version == 1)
        put_pair_1(m->out, data, kv, at + 4 + lort_load_u32(data + at), r->cursor.at);
    else
        lort_put_bytes(m->out, data + at, r->cursor.at - at);
    return LORT_OK;
}

static lort_code take_keys(maker *m, const lort_gguf_origin *origin)
{
    const uint64_t bytes = origin->header->header_bytes;
    lort_gguf_reader r = {.cursor =
                              lort_cursor_make(origin->data, bytes, bytes, LORT_E_INPUT, m->err)};
    lort_code code = lort_gguf_read_head(&r);
    for (uint64_t i = 0; i < r.kv_count && code == LORT_OK; i++) {
        lort_kv kv;
        const uint64_t at = r.cursor.at;
        code = lort_gguf_read_kv(&r, &kv);
        if (code == LORT_OK)
            code = take_pair(m, &r, &kv, at);
    }
    return code;
}

static lort_code add_keys(maker *m)
{
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < m->plan->change_count && code == LORT_OK; i++) {
        const lort_gguf_change *change = &m->plan->changes[i];
        uint32_t found;
        bool is_new;
        code = lort_names_add(&m->names, change->key, (uint32_t)strlen(change->key), 0, &is_new,
                              &found, m->err);
        if (code == LORT_OK && is_new)
            put_change(m, change);
    }
    return code;
}

/* ---- tensors ---- */

static void put_info(lort_buffer *out, const lort_tensor *t, const lort_dtype_info *type,
                     uint64_t offset)
{
    put_string(out, t->name, t->name_bytes);
    lort_put_u32(out, t->n_dims);
    for (uint32_t i = t->n_dims; i-- > 0;)
        lort_put_u64(out, (uint64_t)t->dims[i]);
    lort_put_u32(out, lort_ggml_id(type));
    lort_put_u64(out, offset);
}

/* Writes the infos. Tensors lie one behind the other, each padded to the alignment. Offsets count
 * from the start of the data. Padding behind an opaque tensor at the end would be read as its
 * bytes, so there is none. */
static lort_code put_infos(const maker *m, uint64_t alignment, uint64_t *offsets, uint64_t *size)
{
    const lort_gguf_plan *plan = m->plan;
    char shown[200];
    *size = 0;
    for (uint64_t i = 0; i < plan->count; i++) {
        const lort_tensor *t = plan->tensors[i];
        uint64_t bytes, end = 0;
        offsets[i] = *size;
        put_info(m->out, t, plan->types[i], *size);
        if (!lort_gguf_bytes_as(t, plan->types[i], &bytes) || !lort_add_u64(*size, bytes, &end) ||
            !lort_align_up(end, alignment, size))
            return lort_fail(
                m->err, LORT_E_USAGE, "tensor '%s' cannot be written to a GGUF file as %s",
                lort_escape(shown, sizeof shown, t->name, t->name_bytes), plan->types[i]->name);
        if (i + 1 == plan->count && t->type->kind == LORT_KIND_OPAQUE)
            *size = end;
    }
    return LORT_OK;
}

static lort_code place(const maker *m, uint64_t header_bytes, uint64_t *offsets,
                       uint64_t *file_size)
{
    if (!lort_add_u64(*file_size, header_bytes, file_size))
        return lort_fail(m->err, LORT_E_INPUT, "the output needs more than 2^64 bytes");
    for (uint64_t i = 0; i < m->plan->count; i++)
        offsets[i] += header_bytes;
    return LORT_OK;
}

static lort_code make_header(maker *m, uint64_t *offsets, uint64_t *file_size)
{
    const uint64_t first = m->out->size, alignment = m->plan->origins[0].header->alignment;
    lort_code code = LORT_OK;
    uint64_t padded = 0;
    lort_put_bytes(m->out, "GGUF", 4);
    lort_put_u32(m->out, NEW_VERSION);
    lort_put_u64(m->out, m->plan->count);
    lort_put_u64(m->out, 0); /* the number of keys, set below */
    for (uint32_t i = 0; i < m->plan->origin_count && code == LORT_OK; i++)
        code = take_keys(m, &m->plan->origins[i]);
    if (code == LORT_OK)
        code = add_keys(m);
    if (code == LORT_OK)
        code = put_infos(m, alignment, offsets, file_size);
    if (code == LORT_OK)
        code = lort_buffer_check(m->out, m->err);
    if (code)
        return code;
    lort_store_u64(m->out->data + first + 16, m->keys);
    if (!lort_align_up(m->out->size - first, alignment, &padded))
        return lort_fail(m->err, LORT_E_INPUT, "the output needs more than 2^64 bytes");
    lort_put_zeros(m->out, padded - (m->out->size - first));
    code = lort_buffer_check(m->out, m->err);
    return code ? code : place(m, padded, offsets, file_size);
}

lort_code lort_gguf_make(const lort_gguf_plan *plan, const lort_alloc *alloc, lort_buffer *out,
                         uint64_t *offsets, uint64_t *file_size, lort_error *err)
{
    lort_error local = {0};
    maker m = {.plan = plan, .out = out, .names.alloc = alloc, .err = err ? err : &local};
    *file_size = 0;
    const lort_code code = make_header(&m, offsets, file_size);
    lort_names_free(&m.names);
    if (code)
        *file_size = 0;
    return code;
}
