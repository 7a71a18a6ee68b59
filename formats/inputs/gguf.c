/* gguf: parses the header as a whole, in two walks through its bytes. The first walk checks the
 * grammar and counts. The second walk fills arrays of exactly the right size, so a false count
 * allocates nothing. Then gguf_place.c checks the places of all tensors in the file, before any
 * code uses one. */
#include "formats/inputs/gguf.h"
#include "formats/base/text.h"
#include "formats/inputs/header.h"
#include "formats/types/layout.h"
#include "formats/types/opaque.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* The GGUF specification wants a multiple of 8 and has 32 as the default. */
#define MIN_ALIGNMENT 8u
#define MAX_ALIGNMENT (1u << 20)
#define DEFAULT_ALIGNMENT 32u

static int gguf_bid(const uint8_t *head, uint64_t n, uint64_t file_size)
{
    return n >= 4 && memcmp(head, "GGUF", 4) == 0 ? 100 : 0;
}

/* Appends to the warning of the header. The warning is cut where its field is full. */
static void set_warning(lort_header *h, const char *format, ...) LORT_PRINTF(2, 3);
static void set_warning(lort_header *h, const char *format, ...)
{
    size_t at = strlen(h->warning);
    if (at)
        at += (size_t)snprintf(h->warning + at, sizeof h->warning - at, "; ");
    va_list args;
    va_start(args, format);
    vsnprintf(h->warning + at, sizeof h->warning - at, format, args);
    va_end(args);
}

/* Memory that the second walk fills, with the bytes and numbers that are left. */
typedef struct pools {
    char *text; /* names, keys and string values, each with a NUL */
    int64_t *dims;
    uint64_t text_bytes, dim_count;
} pools;

static uint64_t kv_text_bytes(const lort_kv *kv)
{
    return kv->key_bytes + 1ull + (kv->kind == LORT_KV_TEXT ? kv->v.text.bytes + 1 : 0);
}

static lort_code count_all(lort_gguf_reader *r, pools *p)
{
    lort_kv kv;
    lort_gguf_info info;
    for (uint64_t i = 0; i < r->kv_count; i++) {
        if (lort_gguf_read_kv(r, &kv))
            return r->cursor.code;
        p->text_bytes += kv_text_bytes(&kv);
    }
    for (uint64_t i = 0; i < r->tensor_count; i++) {
        if (lort_gguf_read_info(r, &info))
            return r->cursor.code;
        p->text_bytes += info.name_bytes + 1ull;
        p->dim_count += info.n_dims;
    }
    return LORT_OK;
}

static lort_code take_all(lort_header *h, const lort_gguf_reader *r, pools *p, lort_error *err)
{
    const uint64_t bytes[] = {p->text_bytes, p->dim_count * sizeof *p->dims,
                              r->kv_count * sizeof *h->kv,
                              r->tensor_count * sizeof *h->index.tensors};
    void *taken[4] = {NULL};
    lort_code code = LORT_OK;
    for (size_t i = 0; i < 4 && !code; i++)
        code = lort_arena_take(&h->arena, bytes[i], &taken[i], err);
    p->text = taken[0];
    p->dims = taken[1];
    h->kv = taken[2];
    h->index.tensors = taken[3];
    return code;
}

/* Both walks find equal bytes, unless another process writes to the mapped file meanwhile. */
static lort_code warn_changed(lort_gguf_reader *r)
{
    return lort_cursor_fail(&r->cursor, "the header changed while it was read");
}

static bool has_text(const pools *p, uint64_t bytes) { return bytes <= p->text_bytes; }

static const char *copy_text(pools *p, const void *bytes, uint64_t n)
{
    char *to = p->text;
    memcpy(to, bytes, n);
    to[n] = 0;
    p->text += n + 1;
    p->text_bytes -= n + 1;
    return to;
}

static lort_code check_keys(const lort_header *h, lort_error *err)
{
    char shown[LORT_SHOWN_NAME];
    const lort_kv *twice;
    lort_code code = lort_header_twice(h, &twice, err);
    if (!code && twice)
        code = lort_fail(err, LORT_E_INPUT, "metadata key '%s' stands twice in the header",
                         lort_escape(shown, sizeof shown, twice->key, twice->key_bytes));
    return code;
}

static lort_code fill_kv(lort_gguf_reader *r, lort_header *h, pools *p)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < r->kv_count; i++) {
        lort_kv *kv = &h->kv[i];
        code = lort_gguf_read_kv(r, kv);
        if (!code && !has_text(p, kv_text_bytes(kv)))
            code = warn_changed(r);
        if (code)
            return code;
        kv->key = copy_text(p, kv->key, kv->key_bytes);
        if (kv->kind == LORT_KV_TEXT)
            kv->text_copy = copy_text(p, r->cursor.data + kv->v.text.at, kv->v.text.bytes);
        h->kv_count = i + 1;
    }
    return check_keys(h, r->cursor.error);
}

/* --- the keys that LoRT obeys --- */

static lort_code read_alignment(lort_header *h, lort_error *err)
{
    h->alignment = DEFAULT_ALIGNMENT;
    const lort_kv *kv = lort_header_find(h, "general.alignment");
    if (!kv)
        return LORT_OK;
    if (strcmp(kv->type, "uint32") != 0 || kv->kind != LORT_KV_U64)
        return lort_fail(err, LORT_E_INPUT, "general.alignment is %s%s; it must be a uint32",
                         kv->kind == LORT_KV_ARRAY ? "an array of " : "of type ", kv->type);
    uint64_t v = kv->v.u;
    if (v < MIN_ALIGNMENT || v > MAX_ALIGNMENT || (v & (v - 1)))
        return lort_fail(err, LORT_E_INPUT,
                         "general.alignment is %" PRIu64
                         "; it must be a power of two from %u to %u",
                         v, MIN_ALIGNMENT, MAX_ALIGNMENT);
    h->alignment = (uint32_t)v;
    return LORT_OK;
}

static lort_code read_whole(const lort_header *h, const char *key, uint64_t max, uint64_t *out,
                            lort_error *err)
{
    const lort_kv *kv = lort_header_find(h, key);
    *out = 0;
    if (!kv)
        return LORT_OK;
    if (kv->kind != LORT_KV_U64 && !(kv->kind == LORT_KV_I64 && kv->v.i >= 0))
        return lort_fail(err, LORT_E_INPUT, "%s must be a whole number (its type is %s)", key,
                         kv->type);
    if (kv->v.u > max)
        return lort_fail(err, LORT_E_INPUT, "%s is %" PRIu64 "; at most %" PRIu64 " is allowed",
                         key, kv->v.u, max);
    *out = kv->v.u;
    return LORT_OK;
}

static lort_code read_split(lort_header *h, lort_error *err)
{
    uint64_t no, count, tensors;
    lort_code code = read_whole(h, "split.count", UINT16_MAX, &count, err);
    if (!code)
        code = read_whole(h, "split.no", UINT16_MAX, &no, err);
    if (!code)
        code = read_whole(h, "split.tensors.count", INT32_MAX, &tensors, err);
    if (code || count <= 1)
        return code;
    if (no >= count)
        return lort_fail(err, LORT_E_INPUT,
                         "split.no is %" PRIu64 " but split.count is %" PRIu64
                         " (numbers start at 0)",
                         no, count);
    h->split = true;
    h->split_no = (uint32_t)no;
    h->split_count = (uint32_t)count;
    h->split_tensors = tensors;
    return LORT_OK;
}

static lort_code read_keys(lort_header *h, lort_error *err)
{
    const lort_kv *arch = lort_header_find(h, "general.architecture");
    h->architecture = arch && arch->text_copy ? arch->text_copy : "";
    lort_code code = read_alignment(h, err);
    return code ? code : read_split(h, err);
}

/* --- tensors --- */

/* What the second walk needs for tensors. */
typedef struct filling {
    pools *pools;
    lort_arena *arena;
    lort_opaque_rows rows;
} filling;

static const char *show_name(const lort_tensor *t, char *out)
{
    return lort_escape(out, LORT_SHOWN_NAME, t->name, t->name_bytes);
}

/* A type without a row is opaque. */
static lort_code read_type(lort_gguf_reader *r, const lort_gguf_info *info, filling *f,
                           lort_tensor *t)
{
    char name[LORT_SHOWN_NAME];
    t->type = lort_dtype_get(info->type);
    if (t->type && t->type->in_gguf && !lort_is_opaque(info->type))
        return LORT_OK;
    if (info->type < LORT_OPAQUE_IDS)
        return lort_opaque_row(&f->rows, info->type, f->arena, &t->type, r->cursor.error);
    r->cursor.at = info->type_at;
    return lort_cursor_fail(&r->cursor, "tensor '%s' has type %" PRIu32 " (allowed: 0 to %u)",
                            show_name(t, name), info->type, LORT_OPAQUE_IDS - 1);
}

/* The bytes of an opaque tensor follow from the places of all tensors (gguf_place.c). So do the
 * bytes of a tensor whose rows do not fit its type, if the type may have another layout. */
static lort_code read_shape(lort_gguf_reader *r, const lort_gguf_info *info, lort_tensor *t)
{
    char name[LORT_SHOWN_NAME], shape[128];
    uint64_t row = info->n_dims ? info->ne[0] : 1, end = r->cursor.at;
    r->cursor.at = info->at;
    if (!lort_layout_elements(t->dims, t->n_dims, &t->elements))
        return lort_cursor_fail(&r->cursor, "tensor '%s' of shape %s has more than 2^63 elements",
                                show_name(t, name), lort_shape_text(t, shape, sizeof shape));
    if (row % t->type->block_elements && lort_gguf_may_differ(t->type))
        t->bytes = LORT_GGUF_UNFIT;
    else if (row % t->type->block_elements)
        return lort_cursor_fail(&r->cursor,
                                "tensor '%s' has rows of %" PRIu64
                                " elements (%s needs a multiple of %" PRIu32 ")",
                                show_name(t, name), row, t->type->name, t->type->block_elements);
    else if (!lort_dtype_bytes(t->type, t->elements, &t->bytes))
        return lort_cursor_fail(
            &r->cursor, "tensor '%s' of shape %s and type %s exceeds 2^64 bytes",
            show_name(t, name), lort_shape_text(t, shape, sizeof shape), t->type->name);
    r->cursor.at = end;
    return LORT_OK;
}

static lort_code read_tensor(lort_gguf_reader *r, filling *f, lort_tensor *t)
{
    lort_gguf_info info;
    pools *p = f->pools;
    if (lort_gguf_read_info(r, &info))
        return r->cursor.code;
    if (!has_text(p, info.name_bytes + 1ull) || info.n_dims > p->dim_count)
        return warn_changed(r);
    t->name = copy_text(p, info.name, info.name_bytes);
    t->name_bytes = info.name_bytes;
    t->n_dims = info.n_dims;
    t->dims = p->dims;
    t->offset = info.offset; /* from the start of the data, until the end of the header is known */
    for (uint32_t i = 0; i < info.n_dims; i++)
        p->dims[info.n_dims - 1 - i] = (int64_t)info.ne[i];
    p->dims += info.n_dims;
    p->dim_count -= info.n_dims;
    lort_code code = read_type(r, &info, f, t);
    return code ? code : read_shape(r, &info, t);
}

static lort_code fill_tensors(lort_gguf_reader *r, lort_header *h, pools *p)
{
    filling f = {.pools = p, .arena = &h->arena};
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < r->tensor_count && !code; i++) {
        code = read_tensor(r, &f, &h->index.tensors[i]);
        h->index.count = i + 1;
    }
    return code;
}

static lort_code parse_with(lort_gguf_reader *r, lort_header *h, lort_error *err)
{
    pools p = {0};
    lort_code code = lort_gguf_read_head(r);
    uint64_t first_kv = r->cursor.at;
    if (!code)
        code = count_all(r, &p);
    if (!code)
        code = take_all(h, r, &p, err);
    r->cursor.at = code ? r->cursor.at : first_kv;
    if (!code)
        code = fill_kv(r, h, &p);
    if (!code)
        code = read_keys(h, err);
    if (!code)
        code = fill_tensors(r, h, &p);
    if (!code)
        code = lort_gguf_place(h, r->cursor.at, r->cursor.limit, err);
    return code;
}

static lort_code gguf_parse(const uint8_t *data, uint64_t available, uint64_t file_size,
                            const lort_alloc *alloc, lort_header *out, uint64_t *wanted,
                            lort_error *err)
{
    lort_error local;
    lort_gguf_reader r = {
        .cursor = lort_cursor_make(data, available, file_size, LORT_E_INPUT, err ? err : &local)};
    memset(out, 0, sizeof *out);
    *wanted = 0;
    out->arena.alloc = alloc;
    out->format = &lort_format_gguf;
    lort_code code = parse_with(&r, out, err);
    if (code) {
        /* `available` doubles each time, so LoRT scans a header of n bytes for less than 4n bytes
         * in all. */
        uint64_t more = r.cursor.wanted;
        if (more && more < available * 2)
            more = available * 2 < file_size ? available * 2 : file_size;
        lort_header_free(out);
        *wanted = more;
        return code;
    }
    out->version = r.version;
    if (r.version == 1)
        set_warning(out, "GGUF version 1 is a legacy form");
    if (out->gaps)
        set_warning(out, "%" PRIu64 " bytes in the data section belong to no tensor", out->gaps);
    return LORT_OK;
}

const lort_format lort_format_gguf = {"gguf", gguf_bid, gguf_parse, lort_gguf_rewrite};
