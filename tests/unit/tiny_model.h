/* Tiny models for tests: safetensors, GGUF and index.json files in a fresh directory, and an
 * allocator that fails on request. Include after cmocka.h. */
#ifndef LORT_TESTS_TINY_MODEL_H
#define LORT_TESTS_TINY_MODEL_H

#include "formats/base/alloc.h"
#include "formats/base/hash.h"
#include "formats/types/dtype.h"
#include "formats/types/tensor.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct tiny_tensor {
    const char *name, *dtype; /* as the format spells it */
    uint32_t n_dims;
    int64_t dims[4];
    const float *values; /* F32, F16, BF16: the values; NULL: noise that depends on the name */
} tiny_tensor;

/* An initialiser with noise as its values: TINY("a", "F32", 4, 6). */
#define TINY(name, dtype, ...)                                                                     \
    {                                                                                              \
        name, dtype, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}, NULL       \
    }

typedef struct tiny_split {
    /* As in the split.* keys: `no` counts from 0. count 0: the file has no such keys. */
    unsigned no, count;
    unsigned tensors;
    const char *architecture; /* NULL: "test" */
} tiny_split;

static inline void tiny_says(const char *text, const char *words)
{
    if (!strstr(text, words))
        fail_msg("'%s' lacks '%s'", text, words);
}

/* dir: at least 32 bytes. */
static inline const char *tiny_dir(char *dir)
{
    strcpy(dir, "/tmp/lort-model-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline int tiny_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

static inline void tiny_remove(const char *dir)
{
    assert_int_equal(nftw(dir, tiny_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* "dir/name", valid until the eighth call after this one. */
static inline const char *tiny_path(const char *dir, const char *name)
{
    static char paths[8][600];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static inline void tiny_write(const char *dir, const char *name, const void *bytes, size_t n)
{
    FILE *out = fopen(tiny_path(dir, name), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static inline void tiny_text(const char *dir, const char *name, const char *text)
{
    tiny_write(dir, name, text, strlen(text));
}

static inline void tiny_write_buffer(const char *dir, const char *name, lort_buffer *bytes)
{
    assert_int_equal(lort_buffer_check(bytes, NULL), LORT_OK);
    tiny_write(dir, name, bytes->data, bytes->size);
    lort_buffer_free(bytes);
}

/* Roughly normal, mean 0, standard deviation 1. */
static inline float tiny_noise(uint64_t *state)
{
    float sum = 0;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (float)(*state >> 40) / (float)(1 << 24);
    }
    return sum - 6;
}

static inline void tiny_fill_noise(float *values, uint64_t n, uint64_t seed)
{
    for (uint64_t i = 0; i < n; i++)
        values[i] = tiny_noise(&seed);
}

/* values: [rows][cols] of the given rank. */
static inline void tiny_fill_rank(float *values, int64_t rows, int64_t cols, int64_t rank,
                                  uint64_t seed)
{
    float *left = calloc((size_t)(rows * rank), sizeof *left),
          *right = calloc((size_t)(rank * cols), sizeof *right);
    assert_true(left && right);
    tiny_fill_noise(left, (uint64_t)(rows * rank), seed);
    tiny_fill_noise(right, (uint64_t)(rank * cols), seed + 1);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            float sum = 0;
            for (int64_t k = 0; k < rank; k++)
                sum += left[r * rank + k] * right[k * cols + c];
            values[r * cols + c] = sum;
        }
    free(left);
    free(right);
}

static inline const lort_dtype_info *tiny_type(const tiny_tensor *tensor)
{
    const lort_dtype_info *type = lort_dtype_by_name(tensor->dtype, strlen(tensor->dtype));
    assert_non_null(type);
    return type;
}

static inline uint64_t tiny_elements(const tiny_tensor *tensor)
{
    uint64_t elements = 1;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        elements *= (uint64_t)tensor->dims[i];
    return elements;
}

static inline uint64_t tiny_bytes(const tiny_tensor *tensor)
{
    uint64_t bytes = 0;
    assert_true(lort_dtype_bytes(tiny_type(tensor), tiny_elements(tensor), &bytes));
    return bytes;
}

static inline void tiny_put_data(lort_buffer *out, const tiny_tensor *tensor)
{
    uint64_t n = tiny_elements(tensor), bytes = tiny_bytes(tensor),
             seed = lort_name_hash(tensor->name, strlen(tensor->name));
    lort_encode_fn *encode = lort_dtype_encoder(tiny_type(tensor)->id);
    if (!encode || n == 0) {
        for (uint64_t i = 0; i < bytes; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            lort_put_u8(out, (uint8_t)(seed >> 56));
        }
        return;
    }
    float *values = calloc(n, sizeof *values);
    void *stored = malloc(bytes);
    assert_true(values && stored);
    if (tensor->values)
        memcpy(values, tensor->values, n * sizeof *values);
    else
        tiny_fill_noise(values, n, seed);
    encode(values, stored, n);
    lort_put_bytes(out, stored, bytes);
    free(stored);
    free(values);
}

/* Appends the header to *file; returns the bytes of data that must follow. */
static inline uint64_t tiny_put_header(lort_buffer *file, const tiny_tensor *tensors, size_t count)
{
    lort_buffer json = {.alloc = &lort_alloc_heap};
    uint64_t at = 0;
    lort_put_text(&json, "{");
    for (size_t i = 0; i < count; i++) {
        lort_put_text(&json, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "",
                      tensors[i].name, tensors[i].dtype);
        for (uint32_t d = 0; d < tensors[i].n_dims; d++)
            lort_put_text(&json, "%s%lld", d ? "," : "", (long long)tensors[i].dims[d]);
        uint64_t end = at + tiny_bytes(&tensors[i]);
        lort_put_text(&json, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                      (unsigned long long)end);
        at = end;
    }
    lort_put_text(&json, "}");
    while (json.size % 8)
        lort_put_u8(&json, ' ');
    lort_put_u64(file, json.size);
    lort_put_bytes(file, json.data, json.size);
    lort_buffer_free(&json);
    return at;
}

static inline void tiny_safetensors(const char *dir, const char *name, const tiny_tensor *tensors,
                                    size_t count)
{
    lort_buffer file = {.alloc = &lort_alloc_heap};
    tiny_put_header(&file, tensors, count);
    for (size_t i = 0; i < count; i++)
        tiny_put_data(&file, &tensors[i]);
    tiny_write_buffer(dir, name, &file);
}

/* As above, with zeros that take no space on the disk: for large models of which a test reads only
 * the header. */
static inline void tiny_sparse(const char *dir, const char *name, const tiny_tensor *tensors,
                               size_t count)
{
    lort_buffer file = {.alloc = &lort_alloc_heap};
    uint64_t bytes = tiny_put_header(&file, tensors, count) + file.size;
    tiny_write_buffer(dir, name, &file);
    assert_int_equal(truncate(tiny_path(dir, name), (off_t)bytes), 0);
}

static inline void tiny_put_string(lort_buffer *out, const char *text)
{
    lort_put_u64(out, strlen(text));
    lort_put_bytes(out, text, strlen(text));
}

static inline void tiny_pad(lort_buffer *out, uint64_t unit)
{
    while (out->size % unit)
        lort_put_u8(out, 0);
}

static inline void tiny_put_kv(lort_buffer *out, const tiny_split *split)
{
    tiny_put_string(out, "general.architecture");
    lort_put_u32(out, 8);
    tiny_put_string(out, split && split->architecture ? split->architecture : "test");
    if (!split || !split->count)
        return;
    tiny_put_string(out, "split.no");
    lort_put_u32(out, 2);
    lort_put_u16(out, (uint16_t)split->no);
    tiny_put_string(out, "split.count");
    lort_put_u32(out, 2);
    lort_put_u16(out, (uint16_t)split->count);
    tiny_put_string(out, "split.tensors.count");
    lort_put_u32(out, 5);
    lort_put_u32(out, split->tensors);
}

/* GGUF version 3, alignment 32. split may be NULL. */
static inline void tiny_gguf(const char *dir, const char *name, const tiny_tensor *tensors,
                             size_t count, const tiny_split *split)
{
    lort_buffer file = {.alloc = &lort_alloc_heap};
    uint64_t at = 0;
    lort_put_bytes(&file, "GGUF", 4);
    lort_put_u32(&file, 3);
    lort_put_u64(&file, count);
    lort_put_u64(&file, split && split->count ? 4 : 1);
    tiny_put_kv(&file, split);
    for (size_t i = 0; i < count; i++) {
        tiny_put_string(&file, tensors[i].name);
        lort_put_u32(&file, tensors[i].n_dims);
        for (uint32_t d = tensors[i].n_dims; d-- > 0;)
            lort_put_u64(&file, (uint64_t)tensors[i].dims[d]);
        lort_put_u32(&file, (uint32_t)tiny_type(&tensors[i])->id);
        lort_put_u64(&file, at);
        at = (at + tiny_bytes(&tensors[i]) + 31) / 32 * 32;
    }
    tiny_pad(&file, 32);
    for (size_t i = 0; i < count; i++) {
        tiny_put_data(&file, &tensors[i]);
        tiny_pad(&file, 32);
    }
    tiny_write_buffer(dir, name, &file);
}

/* pairs: tensor, file, tensor, file, ..., NULL. */
static inline void tiny_index(const char *dir, const char *name, const char *const *pairs)
{
    lort_buffer json = {.alloc = &lort_alloc_heap};
    lort_put_text(&json, "{\"weight_map\":{");
    for (size_t i = 0; pairs[i]; i += 2)
        lort_put_text(&json, "%s\"%s\":\"%s\"", i ? "," : "", pairs[i], pairs[i + 1]);
    lort_put_text(&json, "}}");
    tiny_write_buffer(dir, name, &json);
}

/* ---- an allocator that fails after `left` more takes ---- */

typedef struct tiny_failing {
    lort_alloc alloc;
    int64_t left;  /* takes until the one that fails; negative: never */
    int64_t live;  /* blocks that are taken */
    int64_t bytes; /* bytes in these blocks; a give with a wrong size shows here */
} tiny_failing;

static inline void *tiny_failing_take(void *ctx, size_t bytes)
{
    tiny_failing *f = ctx;
    if (f->left == 0)
        return NULL;
    f->left -= f->left > 0;
    void *memory = lort_alloc_heap.take(NULL, bytes);
    f->live += memory != NULL;
    f->bytes += memory ? (int64_t)bytes : 0;
    return memory;
}

static inline void tiny_failing_give(void *ctx, void *memory, size_t bytes)
{
    tiny_failing *f = ctx;
    f->live -= memory != NULL;
    f->bytes -= memory ? (int64_t)bytes : 0;
    lort_alloc_heap.give(NULL, memory, bytes);
}

static inline void tiny_failing_start(tiny_failing *f, int64_t left)
{
    *f = (tiny_failing){.alloc = {tiny_failing_take, tiny_failing_give, f}, .left = left};
}

#endif
