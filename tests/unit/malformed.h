/* Helpers of the header tests: builders of small GGUF and safetensors files, and an allocator that
 * counts and fails. Exact-size copies let ASan see one byte too many. Some tests use real files
 * where these are present. */
#ifndef LORT_TESTS_MALFORMED_H
#define LORT_TESTS_MALFORMED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/base/bytes.h"
#include "formats/inputs/format.h"
#include "formats/inputs/header.h"
#include <stdio.h>
#include <stdlib.h>

#define MODELS "../shared/models/"

/* --- an allocator that fails the N-th time, and counts its blocks and bytes --- */

typedef struct failing {
    uint64_t fail_at; /* 1: the first; 0: never */
    uint64_t taken, out_bytes, out_blocks, peak_bytes;
} failing;

static inline void *failing_take(void *ctx, size_t bytes)
{
    failing *f = ctx;
    if (++f->taken == f->fail_at)
        return NULL;
    void *p = lort_alloc_heap.take(NULL, bytes);
    f->out_bytes += bytes;
    f->out_blocks++;
    f->peak_bytes = f->out_bytes > f->peak_bytes ? f->out_bytes : f->peak_bytes;
    return p;
}

static inline void failing_give(void *ctx, void *memory, size_t bytes)
{
    failing *f = ctx;
    f->out_bytes -= bytes;
    f->out_blocks--;
    lort_alloc_heap.give(NULL, memory, bytes);
}

#define FAILING_ALLOC(state)                                                                       \
    {                                                                                              \
        failing_take, failing_give, &(state)                                                       \
    }

/* --- building --- */

static inline lort_buffer new_buffer(void) { return (lort_buffer){.alloc = &lort_alloc_heap}; }

static inline void put_string(lort_buffer *b, const char *text)
{
    lort_put_u64(b, strlen(text));
    lort_put_bytes(b, text, strlen(text));
}

static inline void put_head(lort_buffer *b, uint32_t version, uint64_t tensors, uint64_t pairs)
{
    lort_put_bytes(b, "GGUF", 4);
    lort_put_u32(b, version);
    lort_put_u64(b, tensors);
    lort_put_u64(b, pairs);
}

static inline void put_key(lort_buffer *b, const char *key, uint32_t type)
{
    put_string(b, key);
    lort_put_u32(b, type);
}

static inline void put_kv_u32(lort_buffer *b, const char *key, uint32_t value)
{
    put_key(b, key, 4);
    lort_put_u32(b, value);
}

static inline void put_kv_text(lort_buffer *b, const char *key, const char *value)
{
    put_key(b, key, 8);
    put_string(b, value);
}

static inline void put_info(lort_buffer *b, const char *name, uint32_t n_dims, const uint64_t *ne,
                            uint32_t type, uint64_t offset)
{
    put_string(b, name);
    lort_put_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        lort_put_u64(b, ne[i]);
    lort_put_u32(b, type);
    lort_put_u64(b, offset);
}

static inline void put_vector(lort_buffer *b, const char *name, uint64_t n, uint64_t offset)
{
    put_info(b, name, 1, &n, LORT_F32, offset);
}

static inline void put_data(lort_buffer *b, uint64_t alignment, uint64_t bytes)
{
    lort_put_zeros(b, (alignment - b->size % alignment) % alignment);
    for (uint64_t i = 0; i < bytes; i++)
        lort_put_u8(b, (uint8_t)(i * 37 + 11));
}

static inline void put_safetensors(lort_buffer *b, const char *json, uint64_t data_bytes)
{
    lort_put_u64(b, strlen(json));
    lort_put_bytes(b, json, strlen(json));
    lort_put_zeros(b, data_bytes);
}

/* --- parsing --- */

/* Parses an exact-size copy. */
static inline lort_code parse_copy(const void *data, uint64_t available, uint64_t file_size,
                                   const lort_alloc *alloc, lort_header *out, uint64_t *wanted,
                                   lort_error *err)
{
    uint8_t *copy = malloc(available ? available : 1);
    assert_non_null(copy);
    if (available)
        memcpy(copy, data, available);
    lort_code code = lort_header_parse(copy, available, file_size, alloc, out, wanted, err);
    free(copy);
    return code;
}

static inline lort_code parse_all(const void *data, uint64_t size, lort_header *out,
                                  lort_error *err)
{
    uint64_t wanted;
    lort_code code = parse_copy(data, size, size, &lort_alloc_heap, out, &wanted, err);
    assert_int_equal(wanted, 0);
    return code;
}

static inline lort_header accept(const lort_buffer *b)
{
    lort_header h;
    lort_error err = {0};
    if (parse_all(b->data, b->size, &h, &err))
        fail_msg("refused: %s", err.message);
    return h;
}

static inline bool is_zero(const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        if (b[i])
            return false;
    }
    return true;
}

/* Asserts a failure LORT_E_INPUT whose message has `expected`, and that no memory is left
 * behind. */
static inline void expect_refusal(const char *name, const void *data, uint64_t size,
                                  const char *expected)
{
    failing state = {0};
    lort_alloc alloc = FAILING_ALLOC(state);
    lort_header header;
    lort_error err = {0};
    uint64_t wanted;
    lort_code code = parse_copy(data, size, size, &alloc, &header, &wanted, &err);
    if (code != LORT_E_INPUT || !strstr(err.message, expected))
        fail_msg("%s: code %d, message \"%s\", expected \"%s\"", name, code,
                 code ? err.message : "", expected);
    assert_int_equal(err.code, LORT_E_INPUT);
    assert_true(is_zero(&header, sizeof header));
    assert_int_equal(wanted, 0);
    assert_int_equal(state.out_blocks, 0);
    assert_true(state.peak_bytes <= (1u << 20) + 64 * size);
    assert_int_equal(parse_copy(data, size, size, &lort_alloc_heap, &header, &wanted, NULL),
                     LORT_E_INPUT);
}

/* Lets each allocation in turn fail, until one run succeeds. */
static inline void expect_memory_failures(const void *data, uint64_t size)
{
    lort_code code = LORT_E_MEMORY;
    uint64_t n = 0;
    while (code) {
        failing state = {.fail_at = ++n};
        lort_alloc alloc = FAILING_ALLOC(state);
        lort_header header;
        lort_error err = {0};
        uint64_t wanted;
        code = parse_copy(data, size, size, &alloc, &header, &wanted, &err);
        assert_true(code == LORT_OK || code == LORT_E_MEMORY);
        assert_true(code == LORT_OK || is_zero(&header, sizeof header));
        lort_header_free(&header);
        assert_int_equal(state.out_blocks, 0);
        assert_int_equal(state.out_bytes, 0);
    }
    assert_true(n > 2);
}

/* An allocator whose N-th take changes a byte of the input. Another process could do so, if it
 * writes to the mapped file. */
typedef struct meddler {
    uint64_t strike_at, taken;
    uint8_t *target, value;
} meddler;

static inline void *meddler_take(void *ctx, size_t bytes)
{
    meddler *m = ctx;
    if (++m->taken == m->strike_at)
        *m->target = m->value;
    return lort_alloc_heap.take(NULL, bytes);
}

static inline void meddler_give(void *ctx, void *memory, size_t bytes)
{
    lort_alloc_heap.give(NULL, memory, bytes);
}

/* Changes each byte between the two walks. No byte may be read or written out of bounds (ASan
 * checks it). */
static inline void expect_no_harm(const void *data, uint64_t size, uint64_t header_bytes)
{
    static const uint8_t values[] = {0, 1, 0x10, 0x7f, 0xff, '"', '\\', 'x'};
    uint8_t *copy = malloc(size);
    for (uint64_t k = 0; k < header_bytes * sizeof values * 2; k++) {
        uint64_t at = k / sizeof values / 2, wanted;
        memcpy(copy, data, size);
        meddler m = {
            .strike_at = 1 + k % 2, .target = copy + at, .value = values[k / 2 % sizeof values]};
        lort_alloc alloc = {meddler_take, meddler_give, &m};
        lort_header header;
        lort_code code = lort_header_parse(copy, size, size, &alloc, &header, &wanted, NULL);
        assert_true(m.taken > 0);
        assert_true(code == LORT_OK || code == LORT_E_INPUT);
        lort_header_free(&header);
    }
    free(copy);
}

/* Asserts that every prefix of a valid file is refused as a file. */
static inline void expect_truncations(const void *data, uint64_t size)
{
    for (uint64_t n = 0; n < size; n++) {
        lort_header header;
        lort_error err = {0};
        uint64_t wanted;
        assert_int_equal(parse_copy(data, n, n, &lort_alloc_heap, &header, &wanted, &err),
                         LORT_E_INPUT);
        assert_int_equal(wanted, 0);
    }
}

/* Parses with no bytes at first, then with as many as the parser wants, at most `rounds` times
 * more. */
static inline void expect_growth(const void *data, uint64_t size, int rounds)
{
    lort_header header;
    lort_error err;
    uint64_t have = 0, wanted;
    lort_code code;
    while ((code = parse_copy(data, have, size, &lort_alloc_heap, &header, &wanted, &err)) !=
           LORT_OK) {
        assert_int_equal(code, LORT_E_INPUT);
        assert_true(wanted > have && wanted <= size);
        assert_true(rounds-- > 0);
        have = wanted;
    }
    assert_true(have >= header.header_bytes || header.index.count == 0);
    lort_header_free(&header);
}

/* --- rewriting --- */

static inline void expect_same_tensors(const lort_header *a, const lort_header *b)
{
    assert_int_equal(a->index.count, b->index.count);
    for (uint64_t i = 0; i < a->index.count; i++) {
        const lort_tensor *x = &a->index.tensors[i],
                          *y = lort_index_find(&b->index, x->name, x->name_bytes);
        assert_non_null(y);
        assert_int_equal(x->elements, y->elements);
        assert_int_equal(x->n_dims, y->n_dims);
        if (x->n_dims)
            assert_memory_equal(x->dims, y->dims, x->n_dims * sizeof *x->dims);
    }
}

/* Writes the header again with `type` for every float tensor (NULL: unchanged), parses the result,
 * and checks it. *out: the new header, which the caller frees. Returns whether it equals the old
 * header. */
static inline bool rewrite_as(const lort_header *header, const uint8_t *data,
                              const lort_dtype_info *type, lort_buffer *out)
{
    uint64_t n = header->index.count, size, wanted;
    const lort_dtype_info **types = calloc(n + 1, sizeof *types);
    uint64_t *offsets = calloc(n + 1, sizeof *offsets);
    lort_error err = {0};
    lort_header again;
    for (uint64_t i = 0; i < n; i++)
        types[i] = type && header->index.tensors[i].type->kind == LORT_KIND_FLOAT
                       ? type
                       : header->index.tensors[i].type;
    *out = new_buffer();
    assert_int_equal(header->format->rewrite(header, data, types, out, offsets, &size, &err),
                     LORT_OK);
    uint64_t bytes = out->size;
    assert_true(bytes <= size);
    uint8_t *file = calloc(1, size + 1);
    memcpy(file, out->data, bytes);
    lort_code code = lort_header_parse(file, size, size, &lort_alloc_heap, &again, &wanted, &err);
    if (code)
        fail_msg("the rewritten header is refused: %s", err.message);
    assert_int_equal(again.header_bytes, bytes);
    assert_int_equal(again.gaps, 0);
    expect_same_tensors(header, &again);
    for (uint64_t i = 0; i < n; i++) {
        const lort_tensor *t = &header->index.tensors[i],
                          *u = lort_index_find(&again.index, t->name, t->name_bytes);
        assert_int_equal(u->type->id, types[i]->id);
        assert_int_equal(u->offset, offsets[i]);
    }
    assert_int_equal(again.kv_count, header->kv_count);
    lort_header_free(&again);
    free(file);
    free(types);
    free(offsets);
    return bytes == header->header_bytes && memcmp(out->data, data, bytes) == 0;
}

/* --- real files --- */

/* The contents of a file, or NULL if it does not exist. */
static inline uint8_t *read_file(const char *path, uint64_t *size)
{
    FILE *f = fopen(path, "rb");
    *size = 0;
    if (!f)
        return NULL;
    uint8_t *data = NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        *size = (uint64_t)ftell(f);
        rewind(f);
        data = malloc(*size + 1);
        assert_int_equal(fread(data, 1, *size, f), *size);
    }
    fclose(f);
    return data;
}

/* A file of MODELS; it must exist. */
static inline uint8_t *read_model(const char *name, uint64_t *size)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s", MODELS, name);
    uint8_t *data = read_file(path, size);
    if (!data)
        fail_msg("%s cannot be read", path);
    return data;
}

static inline lort_header accept_model(const char *name, const uint8_t *data, uint64_t size)
{
    lort_header h;
    lort_error err = {0};
    uint64_t wanted;
    if (lort_header_parse(data, size, size, &lort_alloc_heap, &h, &wanted, &err))
        fail_msg("%s is refused: %s", name, err.message);
    return h;
}

static inline bool have_models(void)
{
    FILE *f = fopen(MODELS "README.md", "rb");
    if (f)
        fclose(f);
    else
        print_message("skipped: " MODELS " is absent\n");
    return f != NULL;
}

#endif
