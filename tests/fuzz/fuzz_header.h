/* The checks of every accepted header of a weight file, and the allocator that counts its memory.
 */
#ifndef LORT_TESTS_FUZZ_HEADER_H
#define LORT_TESTS_FUZZ_HEADER_H

#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "formats/inputs/format.h"
#include "formats/inputs/header.h"
#include "fuzz.h"

/* Counts the memory, and refuses more than a header of this size can honestly need. */
typedef struct allocations {
    uint64_t out, peak, blocks;
} allocations;

static inline void *ledger_take(void *ctx, size_t bytes)
{
    allocations *l = ctx;
    l->out += bytes;
    l->blocks++;
    l->peak = l->out > l->peak ? l->out : l->peak;
    return lort_alloc_heap.take(NULL, bytes);
}

static inline void ledger_give(void *ctx, void *memory, size_t bytes)
{
    allocations *l = ctx;
    CHECK(l->out >= bytes && l->blocks > 0);
    l->out -= bytes;
    l->blocks--;
    lort_alloc_heap.give(NULL, memory, bytes);
}

static inline void check_failed(lort_code code, const lort_error *err, const allocations *l)
{
    CHECK(code == LORT_E_INPUT);
    CHECK(err->code == code && err->message[0]);
    CHECK(lort_utf8_valid(err->message, strlen(err->message)));
    for (const char *p = err->message; *p; p++)
        CHECK((uint8_t)*p >= 0x20);
    CHECK(l->blocks == 0 && l->out == 0);
}

static inline void check_tensor(const lort_tensor *t, const lort_header *h, uint64_t *end,
                                uint64_t file_size)
{
    uint64_t product = 1, bytes;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        CHECK(t->dims[i] >= 0);
        product *= (uint64_t)t->dims[i];
    }
    if (t->type->kind == LORT_KIND_OPAQUE)
        CHECK(t->elements == t->bytes && (product == 0) == (t->bytes == 0));
    else
        CHECK(product == t->elements && t->elements <= INT64_MAX);
    CHECK(lort_dtype_bytes(t->type, t->elements, &bytes) && bytes == t->bytes);
    CHECK(t->offset >= *end && t->offset <= file_size && t->bytes <= file_size - t->offset);
    CHECK((t->offset - h->header_bytes) % h->alignment == 0);
    CHECK(t->name[t->name_bytes] == 0);
    CHECK(lort_index_find(&h->index, t->name, t->name_bytes) == t);
    *end = t->offset + t->bytes;
}

static inline void check_header(const lort_header *h, uint64_t file_size)
{
    uint64_t end = h->header_bytes, sum = 0;
    CHECK(h->header_bytes <= file_size && h->architecture);
    for (uint64_t i = 0; i < h->index.count; i++) {
        check_tensor(&h->index.tensors[i], h, &end, file_size);
        sum += h->index.tensors[i].bytes;
    }
    CHECK(h->gaps <= file_size - h->header_bytes - sum);
    for (uint64_t i = 0; i < h->kv_count; i++) {
        CHECK(h->kv[i].key[h->kv[i].key_bytes] == 0 && h->kv[i].type);
        CHECK((h->kv[i].kind == LORT_KV_TEXT) == (h->kv[i].text_copy != NULL));
        CHECK(h->kv[i].kind != LORT_KV_TEXT ||
              h->kv[i].v.text.at + h->kv[i].v.text.bytes <= h->header_bytes);
        CHECK(h->kv[i].kind != LORT_KV_ARRAY || h->kv[i].v.array.at <= h->header_bytes);
    }
}

static inline void check_same(const lort_header *a, const lort_header *b,
                              const lort_dtype_info *const *types, const uint64_t *offsets)
{
    CHECK(a->index.count == b->index.count && a->kv_count == b->kv_count &&
          a->version == b->version);
    for (uint64_t i = 0; i < a->index.count; i++) {
        const lort_tensor *x = &a->index.tensors[i],
                          *y = lort_index_find(&b->index, x->name, x->name_bytes);
        CHECK(y && y->n_dims == x->n_dims && y->type->id == types[i]->id &&
              y->offset == offsets[i]);
        CHECK(x->n_dims == 0 || memcmp(x->dims, y->dims, x->n_dims * sizeof *x->dims) == 0);
    }
}

/* Writes the header anew with `type` for the floats (NULL: all types as they are), and reads the
 * result. */
static inline void check_rewrite(const lort_header *h, const uint8_t *data, uint64_t old_size,
                                 const lort_dtype_info *type)
{
    uint64_t n = h->index.count, size, wanted;
    const lort_dtype_info **types = calloc(n + 1, sizeof *types);
    uint64_t *offsets = calloc(n + 1, sizeof *offsets);
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_header again;
    CHECK(types && offsets);
    for (uint64_t i = 0; i < n; i++)
        types[i] = type && h->index.tensors[i].type->kind == LORT_KIND_FLOAT
                       ? type
                       : h->index.tensors[i].type;
    lort_code code = h->format->rewrite(h, data, types, &out, offsets, &size, NULL);
    CHECK(code == LORT_OK);
    code = h->format->parse(out.data, out.size, size, &lort_alloc_heap, &again, &wanted, NULL);
    CHECK(code == LORT_OK && again.gaps == 0 && again.header_bytes == out.size);
    check_header(&again, size);
    check_same(h, &again, types, offsets);
    if (!type && h->alignment > 1 && h->gaps == 0)
        CHECK(out.size == h->header_bytes && memcmp(out.data, data, out.size) == 0 &&
              size >= old_size);
    lort_header_free(&again);
    lort_buffer_free(&out);
    free(types);
    free(offsets);
}

/* Gives the parser the bytes that it asks for, step by step, like a caller that cannot map the
 * file. */
static inline lort_code parse_in_steps(const lort_format *format, const uint8_t *data,
                                       uint64_t size)
{
    uint64_t have = 0, wanted = 0;
    for (;;) {
        uint8_t *copy = malloc(have + 1);
        lort_header h;
        CHECK(copy);
        if (have)
            memcpy(copy, data, have);
        lort_code code = format->parse(copy, have, size, &lort_alloc_heap, &h, &wanted, NULL);
        lort_header_free(&h);
        free(copy);
        if (code == LORT_OK || wanted == 0)
            return code;
        CHECK(wanted > have && wanted <= size);
        have = wanted;
    }
}

static inline int fuzz_header(const lort_format *format, const uint8_t *data, size_t size)
{
    allocations l = {0};
    lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_error err = {0};
    lort_header h;
    uint64_t wanted;
    lort_code code = format->parse(data, size, size, &alloc, &h, &wanted, &err);
    CHECK(wanted == 0);
    CHECK(l.peak <= (1u << 20) + 64 * (uint64_t)size);
    CHECK(parse_in_steps(format, data, size) == code);
    if (code) {
        check_failed(code, &err, &l);
        return 0;
    }
    check_header(&h, size);
    check_rewrite(&h, data, size, NULL);
    check_rewrite(&h, data, size, lort_dtype_get(LORT_F16));
    lort_header_free(&h);
    CHECK(l.blocks == 0 && l.out == 0);
    /* and its content tells the format */
    code = lort_header_parse(data, size, size, &alloc, &h, &wanted, NULL);
    CHECK(code == LORT_OK && h.format == format);
    lort_header_free(&h);
    return 0;
}

#endif
