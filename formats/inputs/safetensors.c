/* safetensors: u64 N, then N bytes of JSON (padded with spaces), then the data without gaps.
 *
 *     {"__metadata__": {"key": "text", ...},
 *      "NAME": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}, ...}
 *
 * The JSON is walked twice. The first walk validates and counts; the second fills arrays of exactly
 * the right size. A third walk, over an accepted header, writes a new one. Nothing is allocated for
 * a JSON token. */
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "formats/inputs/format.h"
#include "formats/inputs/header.h"
#include "formats/inputs/json.h"
#include "formats/types/layout.h"
#include <inttypes.h>
#include <stdio.h>

#define MAX_HEADER 100000000u /* the limit of the safetensors library */

static int safetensors_bid(const uint8_t *head, uint64_t n, uint64_t file_size)
{
    if (n < 9)
        return 0;
    uint64_t size = lort_load_u64(head);
    bool plausible = size > 0 && size <= MAX_HEADER && size <= file_size - 8;
    if (head[8] == '{' && size <= UINT32_MAX)
        return plausible ? 90 : 60;
    return plausible ? 10 : 0;
}

/* The entry of one tensor. `key` is a scanner that stands on the key, so that its text can be read
 * later. */
typedef struct entry {
    lort_json key;
    const lort_dtype_info *type;
    int64_t dims[LORT_MAX_DIMS];
    uint32_t n_dims;
    uint64_t begin, end;
} entry;

static const char *show_text(const lort_json *key, char *out)
{
    char plain[LORT_SHOWN_NAME];
    bool small = key->text_size <= sizeof plain;
    uint64_t n = small ? lort_json_text(key, plain) : sizeof plain;
    return lort_escape(out, LORT_SHOWN_NAME, small ? plain : (const char *)key->data + key->text,
                       n);
}

/* --- the fields of an entry --- */

static lort_code read_dtype(lort_json *j, entry *e)
{
    char text[96], shown[LORT_SHOWN_NAME];
    if (lort_json_next(j) != LORT_JSON_STRING)
        return lort_json_fail(j, "dtype must be a string");
    if (j->text_size <= sizeof text)
        e->type = lort_dtype_by_name(text, lort_json_text(j, text));
    if (!e->type || !e->type->in_safetensors)
        return lort_json_fail(j, "unknown dtype '%s'", show_text(j, shown));
    return LORT_OK;
}

/* Reads a number of digits only, at most INT64_MAX. */
static lort_code read_whole(lort_json *j, lort_json_token token, const char *field, uint64_t *out)
{
    char shown[64];
    if (token != LORT_JSON_NUMBER)
        return lort_json_fail(j, "%s must hold whole numbers only", field);
    if (!lort_json_u64(j, out) || *out > INT64_MAX)
        return lort_json_fail(
            j, "%s holds %s (allowed: whole numbers from 0 to 2^63-1, in digits only)", field,
            lort_escape(shown, sizeof shown, j->data + j->text, j->text_size));
    return LORT_OK;
}

static lort_code read_shape(lort_json *j, entry *e)
{
    if (lort_json_next(j) != LORT_JSON_ARRAY)
        return lort_json_fail(j, "shape must be an array");
    for (;;) {
        lort_json_token token = lort_json_next(j);
        if (token == LORT_JSON_ARRAY_END)
            return LORT_OK;
        if (e->n_dims == LORT_MAX_DIMS)
            return lort_json_fail(j, "shape has more than %d dimensions", LORT_MAX_DIMS);
        uint64_t v = 0;
        if (read_whole(j, token, "shape", &v))
            return j->code;
        e->dims[e->n_dims++] = (int64_t)v;
    }
}

static lort_code read_offsets(lort_json *j, entry *e)
{
    if (lort_json_next(j) != LORT_JSON_ARRAY)
        return lort_json_fail(j, "data_offsets must be an array");
    if (read_whole(j, lort_json_next(j), "data_offsets", &e->begin) ||
        read_whole(j, lort_json_next(j), "data_offsets", &e->end))
        return j->code;
    if (lort_json_next(j) != LORT_JSON_ARRAY_END)
        return lort_json_fail(j, "data_offsets must hold two numbers");
    if (e->end < e->begin)
        return lort_json_fail(j, "data_offsets [%" PRIu64 ", %" PRIu64 "] end before they begin",
                              e->begin, e->end);
    return LORT_OK;
}

static const struct field {
    const char *name;
    lort_code (*read)(lort_json *j, entry *e);
} fields[] = {{"dtype", read_dtype}, {"shape", read_shape}, {"data_offsets", read_offsets}};

#define FIELDS (sizeof fields / sizeof *fields)

static lort_code read_field(lort_json *j, entry *e, unsigned *seen)
{
    char shown[LORT_SHOWN_NAME];
    for (unsigned i = 0; i < FIELDS; i++) {
        if (!lort_json_text_is(j, fields[i].name))
            continue;
        if (*seen & 1u << i)
            return lort_json_fail(j, "'%s' stands twice", fields[i].name);
        *seen |= 1u << i;
        return fields[i].read(j, e);
    }
    return lort_json_fail(j, "unknown key '%s' (allowed: dtype, shape and data_offsets)",
                          show_text(j, shown));
}

static lort_code read_fields(lort_json *j, entry *e)
{
    unsigned seen = 0;
    if (lort_json_next(j) != LORT_JSON_OBJECT)
        return lort_json_fail(j, "its value must be an object");
    while (lort_json_next(j) == LORT_JSON_KEY) {
        if (read_field(j, e, &seen))
            return j->code;
    }
    for (unsigned i = 0; i < FIELDS && !j->code; i++) {
        if (!(seen & 1u << i))
            return lort_json_fail(j, "'%s' is missing", fields[i].name);
    }
    return j->code;
}

static lort_code read_entry(lort_json *j, entry *e)
{
    char shown[LORT_SHOWN_NAME];
    *e = (entry){.key = *j};
    lort_code code = read_fields(j, e);
    if (code)
        lort_error_prefix(j->error, "tensor '%s'", show_text(&e->key, shown));
    return code;
}

/* --- the walk --- */

/* Functions that a walk calls. In on_meta `value` stands on the value, `key` on the key before
 * it. */
typedef struct visitor {
    lort_code (*on_entry)(void *ctx, const entry *e, lort_error *err);
    /* May be NULL. */
    lort_code (*on_meta)(void *ctx, const lort_json *key, const lort_json *value, lort_error *err);
    void (*on_meta_end)(void *ctx, const uint8_t *object,
                        uint64_t bytes); /* the whole object; may be NULL */
    void *ctx;
} visitor;

static lort_code walk_meta(lort_json *j, const visitor *v)
{
    char shown[LORT_SHOWN_NAME];
    if (lort_json_next(j) != LORT_JSON_OBJECT)
        return lort_json_fail(j, "__metadata__ must be an object");
    uint64_t object = j->token_at;
    while (lort_json_next(j) == LORT_JSON_KEY) {
        lort_json key = *j;
        if (lort_json_next(j) != LORT_JSON_STRING)
            return lort_json_fail(j, "__metadata__ key '%s' must have a string as its value",
                                  show_text(&key, shown));
        lort_code code = v->on_meta ? v->on_meta(v->ctx, &key, j, j->error) : LORT_OK;
        if (code)
            return code;
    }
    if (!j->code && v->on_meta_end)
        v->on_meta_end(v->ctx, j->data + object, j->at - object);
    return j->code;
}

static lort_code walk_entry(lort_json *j, const visitor *v)
{
    entry e;
    lort_code code = read_entry(j, &e);
    return code ? code : v->on_entry(v->ctx, &e, j->error);
}

static lort_code check_padding(lort_json *j)
{
    uint64_t nul = 0;
    while (j->at < j->size && j->data[j->at] == ' ')
        j->at++;
    for (uint64_t i = j->token_at = j->at; i < j->size; i++)
        nul += j->data[i] == 0;
    if (nul && nul == j->size - j->at)
        return lort_json_fail(j, "pad with spaces: the header ends in %" PRIu64 " NUL bytes", nul);
    return j->at == j->size ? LORT_OK
                            : lort_json_fail(j, "only spaces may follow the header's JSON");
}

static lort_code walk_top(lort_json *j, const visitor *v)
{
    bool has_meta = false;
    lort_code code = LORT_OK;
    if (lort_json_next(j) != LORT_JSON_OBJECT)
        return lort_json_fail(j, "the header must be a JSON object");
    while (!code && lort_json_next(j) == LORT_JSON_KEY) {
        bool meta = lort_json_text_is(j, "__metadata__");
        if (meta && has_meta)
            return lort_json_fail(j, "__metadata__ stands twice");
        has_meta |= meta;
        code = meta ? walk_meta(j, v) : walk_entry(j, v);
    }
    return code ? code : j->code ? j->code : check_padding(j);
}

static lort_json start_header(const uint8_t *data, uint64_t header_bytes, lort_error *err)
{
    lort_json j = lort_json_start(data + 8, header_bytes - 8, err);
    j.base = 8;
    return j;
}

/* --- first walk: count --- */

typedef struct totals {
    uint64_t tensors, dims, pairs;
    uint64_t text; /* bytes as escaped: an upper bound */
} totals;

static lort_code count_entry(void *ctx, const entry *e, lort_error *err)
{
    totals *t = ctx;
    t->tensors++;
    t->dims += e->n_dims;
    t->text += e->key.text_size + 1;
    return LORT_OK;
}

static lort_code count_meta(void *ctx, const lort_json *key, const lort_json *value,
                            lort_error *err)
{
    totals *t = ctx;
    t->pairs++;
    t->text += key->text_size + value->text_size + 2;
    return LORT_OK;
}

/* --- second walk: fill --- */

typedef struct filler {
    lort_header *header;
    totals left; /* what is left of the counts of the first walk */
    char *text;
    int64_t *dims;
    uint64_t data_bytes;
} filler;

static lort_code warn_changed(lort_error *err)
{
    return lort_fail(err, LORT_E_INPUT, "the header changed while it was read");
}

/* Returns a copy of the text, or NULL if it needs more bytes than the first walk counted. */
static const char *copy_text(filler *f, const lort_json *from, uint32_t *bytes)
{
    char *to = f->text;
    if (from->text_size >= f->left.text)
        return NULL;
    uint64_t n = lort_json_text(from, to);
    to[n] = 0;
    *bytes = (uint32_t)n;
    f->text += n + 1;
    f->left.text -= n + 1;
    return to;
}

/* Writes "tensor 'x' of shape [2, 3] and dtype F16", for a message. */
static const char *show_tensor(const lort_tensor *t, char *out, size_t cap)
{
    char name[LORT_SHOWN_NAME], shape[256];
    snprintf(out, cap, "tensor '%s' of shape %s and dtype %s",
             lort_escape(name, sizeof name, t->name, t->name_bytes),
             lort_shape_text(t, shape, sizeof shape), t->type->name);
    return out;
}

static lort_code check_tensor(lort_tensor *t, const entry *e, uint64_t data_bytes, lort_error *err)
{
    char shown[600];
    if (!lort_layout_elements(t->dims, t->n_dims, &t->elements))
        return lort_fail(err, LORT_E_INPUT, "%s has more than 2^63 elements",
                         show_tensor(t, shown, sizeof shown));
    if (!lort_dtype_bytes(t->type, t->elements, &t->bytes))
        return lort_fail(err, LORT_E_INPUT, "%s is not a whole number of bytes below 2^64",
                         show_tensor(t, shown, sizeof shown));
    if (t->bytes != e->end - e->begin)
        return lort_fail(err, LORT_E_INPUT,
                         "%s has %" PRIu64 " bytes, but data_offsets [%" PRIu64 ", %" PRIu64 "]",
                         show_tensor(t, shown, sizeof shown), t->bytes, e->begin, e->end);
    if (e->end > data_bytes)
        return lort_fail(err, LORT_E_INPUT,
                         "%s ends at data offset %" PRIu64 ", but the file has %" PRIu64
                         " bytes of data: is it truncated?",
                         show_tensor(t, shown, sizeof shown), e->end, data_bytes);
    return LORT_OK;
}

static lort_code fill_entry(void *ctx, const entry *e, lort_error *err)
{
    filler *f = ctx;
    if (!f->left.tensors || f->left.dims < e->n_dims)
        return warn_changed(err);
    lort_tensor *t = &f->header->index.tensors[f->header->index.count];
    t->name = copy_text(f, &e->key, &t->name_bytes);
    if (!t->name)
        return warn_changed(err);
    memcpy(f->dims, e->dims, e->n_dims * sizeof *f->dims);
    t->dims = f->dims;
    t->n_dims = e->n_dims;
    t->type = e->type;
    t->offset = f->header->header_bytes + e->begin;
    f->dims += e->n_dims;
    f->left.dims -= e->n_dims;
    f->left.tensors--;
    f->header->index.count++;
    return check_tensor(t, e, f->data_bytes, err);
}

static lort_code fill_meta(void *ctx, const lort_json *key, const lort_json *value, lort_error *err)
{
    filler *f = ctx;
    uint32_t value_bytes;
    if (!f->left.pairs)
        return warn_changed(err);
    lort_kv *kv = &f->header->kv[f->header->kv_count];
    *kv = (lort_kv){.kind = LORT_KV_TEXT,
                    .type = "string",
                    .v.text = {key->base + value->text, value->text_size}};
    kv->key = copy_text(f, key, &kv->key_bytes);
    kv->text_copy = copy_text(f, value, &value_bytes);
    if (!kv->key || !kv->text_copy)
        return warn_changed(err);
    f->left.pairs--;
    f->header->kv_count++;
    return LORT_OK;
}

static lort_code check_meta(const lort_header *h, lort_error *err)
{
    char shown[LORT_SHOWN_NAME];
    const lort_kv *twice;
    lort_code code = lort_header_twice(h, &twice, err);
    if (!code && twice)
        code = lort_fail(err, LORT_E_INPUT, "__metadata__ key '%s' stands twice",
                         lort_escape(shown, sizeof shown, twice->key, twice->key_bytes));
    return code;
}

static lort_code take_all(lort_header *h, const totals *t, filler *f, lort_error *err)
{
    const uint64_t bytes[] = {t->tensors * sizeof *h->index.tensors, t->pairs * sizeof *h->kv,
                              t->dims * sizeof(int64_t), t->text};
    void *taken[4] = {NULL};
    lort_code code = LORT_OK;
    for (size_t i = 0; i < 4 && !code; i++)
        code = lort_arena_take(&h->arena, bytes[i], &taken[i], err);
    h->index.tensors = taken[0];
    h->kv = taken[1];
    f->dims = taken[2];
    f->text = taken[3];
    return code;
}

/* Checks that the data has no gaps: the first tensor starts the data, and each tensor begins at the
 * end of the last one. The last tensor ends the file. */
static lort_code check_dense(const lort_header *h, uint64_t file_size, lort_error *err)
{
    char name[LORT_SHOWN_NAME];
    uint64_t end = h->header_bytes;
    for (uint64_t i = 0; i < h->index.count; i++) {
        const lort_tensor *t = &h->index.tensors[i];
        if (t->offset != end)
            return lort_fail(err, LORT_E_INPUT,
                             "tensor '%s' begins at data offset %" PRIu64
                             ", leaving %s; it must begin at %" PRIu64,
                             lort_escape(name, sizeof name, t->name, t->name_bytes),
                             t->offset - h->header_bytes, t->offset > end ? "a hole" : "an overlap",
                             end - h->header_bytes);
        end += t->bytes;
    }
    if (end != file_size)
        return lort_fail(err, LORT_E_INPUT,
                         "%" PRIu64
                         " trailing bytes follow the last tensor, which ends at offset %" PRIu64,
                         file_size - end, end);
    return LORT_OK;
}

static lort_code check_prefix(const uint8_t *data, uint64_t available, uint64_t file_size,
                              uint64_t *header_bytes, uint64_t *wanted, lort_error *err)
{
    if (file_size < 8)
        return lort_fail(err, LORT_E_INPUT,
                         "file too short for a safetensors header (%" PRIu64 " < 8 bytes)",
                         file_size);
    *wanted = available < 8 ? 8 : 0;
    if (*wanted)
        return lort_fail(err, LORT_E_INPUT,
                         "the header length lies beyond the %" PRIu64 " bytes read so far",
                         available);
    uint64_t n = lort_load_u64(data);
    if (n < 2 || n > MAX_HEADER)
        return lort_fail(err, LORT_E_INPUT,
                         "header length %" PRIu64 " at offset 0; 2 to %u bytes are allowed", n,
                         MAX_HEADER);
    if (n > file_size - 8)
        return lort_fail(err, LORT_E_INPUT,
                         "header length %" PRIu64 " at offset 0 exceeds the %" PRIu64
                         " bytes that follow",
                         n, file_size - 8);
    *header_bytes = 8 + n;
    *wanted = available < 8 + n ? 8 + n : 0;
    if (*wanted)
        return lort_fail(err, LORT_E_INPUT,
                         "the header lies beyond the %" PRIu64 " bytes read so far", available);
    if (data[8] != '{')
        return lort_fail(err, LORT_E_INPUT,
                         "the header must start with '{' at offset 8 (found 0x%02x)", data[8]);
    return LORT_OK;
}

static lort_code fill_all(const uint8_t *data, uint64_t file_size, lort_header *h, lort_error *err)
{
    totals counted = {0};
    filler f = {.header = h, .data_bytes = file_size - h->header_bytes};
    lort_json first = start_header(data, h->header_bytes, err),
              second = start_header(data, h->header_bytes, err);
    lort_code code = walk_top(&first, &(visitor){count_entry, count_meta, NULL, &counted});
    f.left = counted;
    code = code ? code : take_all(h, &counted, &f, err);
    code = code ? code : walk_top(&second, &(visitor){fill_entry, fill_meta, NULL, &f});
    code = code ? code : check_meta(h, err);
    code = code ? code : lort_layout_sort(h->index.tensors, h->index.count, h->arena.alloc, err);
    code = code ? code : lort_index_build(&h->index, &h->arena, err);
    return code ? code : check_dense(h, file_size, err);
}

static lort_code safetensors_parse(const uint8_t *data, uint64_t available, uint64_t file_size,
                                   const lort_alloc *alloc, lort_header *out, uint64_t *wanted,
                                   lort_error *err)
{
    lort_header header = {.format = &lort_format_safetensors,
                          .version = 1,
                          .alignment = 1,
                          .architecture = "",
                          .arena.alloc = alloc};
    memset(out, 0, sizeof *out);
    *wanted = 0;
    lort_code code = check_prefix(data, available, file_size, &header.header_bytes, wanted, err);
    if (!code)
        code = fill_all(data, file_size, &header, err);
    if (code)
        lort_header_free(&header);
    else
        *out = header;
    return code;
}

/* --- third walk: write --- */

typedef struct writer {
    const lort_header *header;
    const lort_dtype_info *const *types;
    const uint64_t *offsets; /* from the start of the new data section */
    lort_buffer *out;
    bool comma;
} writer;

static void put_key(writer *w, const void *escaped, uint64_t bytes)
{
    lort_put_text(w->out, w->comma ? ",\"" : "\"");
    lort_put_bytes(w->out, escaped, bytes);
    lort_put_text(w->out, "\":");
    w->comma = true;
}

static void write_meta(void *ctx, const uint8_t *object, uint64_t bytes)
{
    writer *w = ctx;
    put_key(w, "__metadata__", 12);
    lort_put_bytes(w->out, object, bytes);
}

static lort_code find_tensor(const writer *w, const lort_json *key, uint64_t *number,
                             lort_error *err)
{
    void *name;
    lort_code code = lort_take(w->out->alloc, key->text_size, "a tensor name", &name, err);
    if (code)
        return code;
    const lort_tensor *t = lort_index_find(&w->header->index, name, lort_json_text(key, name));
    lort_give(w->out->alloc, name, key->text_size);
    if (!t)
        return warn_changed(err);
    *number = (uint64_t)(t - w->header->index.tensors);
    return LORT_OK;
}

static lort_code write_entry(void *ctx, const entry *e, lort_error *err)
{
    writer *w = ctx;
    uint64_t i = 0, bytes = 0;
    lort_code code = find_tensor(w, &e->key, &i, err);
    if (code)
        return code;
    const lort_tensor *t = &w->header->index.tensors[i];
    lort_dtype_bytes(w->types[i], t->elements, &bytes);
    put_key(w, e->key.data + e->key.text, e->key.text_size);
    lort_put_text(w->out, "{\"dtype\":\"%s\",\"shape\":[", w->types[i]->name);
    for (uint32_t d = 0; d < t->n_dims; d++)
        lort_put_text(w->out, "%s%" PRId64, d ? "," : "", t->dims[d]);
    lort_put_text(w->out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", w->offsets[i],
                  w->offsets[i] + bytes);
    return LORT_OK;
}

/* Gives the tensors new offsets in the data section, without gaps, in data order. */
static lort_code place_tensors(const lort_header *h, const lort_dtype_info *const *types,
                               uint64_t *offsets, uint64_t *end, lort_error *err)
{
    char shown[LORT_SHOWN_NAME];
    *end = 0;
    for (uint64_t i = 0; i < h->index.count; i++) {
        const lort_tensor *t = &h->index.tensors[i];
        uint64_t bytes;
        offsets[i] = *end;
        if (!types[i]->in_safetensors || !lort_dtype_bytes(types[i], t->elements, &bytes) ||
            !lort_add_u64(*end, bytes, end))
            return lort_fail(
                err, LORT_E_USAGE, "tensor '%s' cannot be written to a safetensors file as %s",
                lort_escape(shown, sizeof shown, t->name, t->name_bytes), types[i]->name);
    }
    return LORT_OK;
}

static lort_code write_json(writer *w, const uint8_t *data, lort_error *err)
{
    uint64_t first = w->out->size;
    lort_put_u64(w->out, 0);
    lort_put_text(w->out, "{");
    lort_json j = start_header(data, w->header->header_bytes, err);
    lort_code code = walk_top(&j, &(visitor){write_entry, NULL, write_meta, w});
    if (code)
        return code;
    lort_put_text(w->out, "}");
    while ((w->out->size - first) % 8 && !w->out->error.code)
        lort_put_u8(w->out, ' ');
    code = lort_buffer_check(w->out, err);
    if (code)
        return code;
    uint64_t n = w->out->size - first - 8;
    if (n > MAX_HEADER)
        return lort_fail(err, LORT_E_USAGE,
                         "the new safetensors header has %" PRIu64 " bytes; at most %u are allowed",
                         n, MAX_HEADER);
    lort_store_u64(w->out->data + first, n);
    return LORT_OK;
}

static lort_code safetensors_rewrite(const lort_header *header, const uint8_t *data,
                                     const lort_dtype_info *const *types, lort_buffer *out,
                                     uint64_t *offsets, uint64_t *file_size, lort_error *err)
{
    writer w = {header, types, offsets, out, false};
    uint64_t first = out->size, data_bytes;
    *file_size = 0;
    lort_code code = place_tensors(header, types, offsets, &data_bytes, err);
    code = code ? code : write_json(&w, data, err);
    if (code)
        return code;
    uint64_t header_bytes = out->size - first;
    if (!lort_add_u64(header_bytes, data_bytes, file_size))
        return lort_fail(err, LORT_E_USAGE, "the tensors take more than 2^64 bytes in these types");
    for (uint64_t i = 0; i < header->index.count; i++)
        offsets[i] += header_bytes;
    return LORT_OK;
}

const lort_format lort_format_safetensors = {"safetensors", safetensors_bid, safetensors_parse,
                                             safetensors_rewrite};
