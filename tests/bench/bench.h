/* bench: shared by the benchmarks. A clock, a folder that deletes itself, and one-matrix models for
 * the library to compress. Any failure ends the program. */
#ifndef LORT_TESTS_BENCH_H
#define LORT_TESTS_BENCH_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* for mkdtemp: include this header first */
#endif
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compress/lort.h"
#include "formats/base/bytes.h"
#include "formats/types/dtype.h"
#include "formats/types/half.h"

#define GPT2(i) "../shared/models/gpt2-attn-bf16-sharded/model-0000" #i "-of-00004.safetensors"
#define KJV(i) "tests/data/kjv-3m/hf/model-0000" #i "-of-00002.safetensors"
static const char *const bench_gpt2[] = {GPT2(1), GPT2(2), GPT2(3), GPT2(4), NULL},
                         *const bench_kjv[] = {KJV(1), KJV(2), NULL};

static inline double bench_now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void bench_need(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static inline void bench_ok(lort_code code, const lort_error *err)
{
    bench_need(code == LORT_OK, err->message);
}

static inline bool bench_short(void)
{
    const char *word = getenv("BENCH");
    return word && strcmp(word, "short") == 0;
}

/* ---- files ---- */

typedef struct bench_files {
    char folder[64], model[96], coded[96], back[96];
} bench_files;

/* extension: of the model, and of the restored model. */
static inline bench_files bench_files_in(const char *place, const char *extension)
{
    bench_files f;
    snprintf(f.folder, sizeof f.folder, "%s/lort-bench-XXXXXX", place);
    bench_need(mkdtemp(f.folder) != NULL, "no folder can be made");
    snprintf(f.model, sizeof f.model, "%s/model.%s", f.folder, extension);
    snprintf(f.coded, sizeof f.coded, "%s/model.lort", f.folder);
    snprintf(f.back, sizeof f.back, "%s/back.%s", f.folder, extension);
    return f;
}

static inline bench_files bench_files_make(const char *extension)
{
    return bench_files_in("/tmp", extension);
}

static inline void bench_files_remove(const bench_files *f)
{
    remove(f->model);
    remove(f->coded);
    remove(f->back);
    bench_need(rmdir(f->folder) == 0, "the folder is not empty");
}

static inline void bench_write(const char *path, const void *head, size_t head_bytes,
                               const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    bench_need(file != NULL, path);
    const bool fine =
        fwrite(head, 1, head_bytes, file) == head_bytes && fwrite(data, 1, bytes, file) == bytes;
    bench_need(fclose(file) == 0 && fine, path);
}

static inline size_t bench_bytes(const lort_dtype_info *type, int64_t rows, int64_t cols)
{
    uint64_t bytes;
    bench_need(lort_dtype_bytes(type, (uint64_t)(rows * cols), &bytes), "not whole blocks");
    return (size_t)bytes;
}

static inline void bench_write_safetensors(const char *path, const lort_dtype_info *type,
                                           int64_t rows, int64_t cols, const void *data)
{
    char head[200];
    const size_t bytes = bench_bytes(type, rows, cols);
    int n = snprintf(head + 8, sizeof head - 8,
                     "{\"w\":{\"dtype\":\"%s\",\"shape\":[%" PRId64 ",%" PRId64
                     "],\"data_offsets\":[0,%zu]}}",
                     type->name, rows, cols, bytes);
    lort_store_u64(head, (uint64_t)n);
    bench_write(path, head, 8 + (size_t)n, data, bytes);
}

static inline void bench_write_gguf(const char *path, const lort_dtype_info *type, int64_t rows,
                                    int64_t cols, const void *data)
{
    /* no pairs, one tensor "w" at offset 0; the data begins at a multiple of 32 */
    uint8_t head[96] = "GGUF\3";
    lort_store_u64(head + 8, 1);
    lort_store_u64(head + 24, 1);
    head[32] = 'w';
    lort_store_u32(head + 33, 2);
    lort_store_u64(head + 37, (uint64_t)cols);
    lort_store_u64(head + 45, (uint64_t)rows);
    lort_store_u32(head + 53, (uint32_t)type->id);
    bench_write(path, head, sizeof head, data, bench_bytes(type, rows, cols));
}

static inline void bench_write_bf16(const char *path, int64_t rows, int64_t cols,
                                    const float *values)
{
    const lort_dtype_info *type = lort_dtype_get(LORT_BF16);
    uint8_t *bytes = malloc(bench_bytes(type, rows, cols));
    lort_store_bf16(values, bytes, (uint64_t)(rows * cols));
    bench_write_safetensors(path, type, rows, cols, bytes);
    free(bytes);
}

/* ---- which matrices ---- */

#define BENCH_SHORT_EVERY 6

/* Returns how many matrices there are for each one that is taken: BENCH_SHORT_EVERY with
 * BENCH=short in the environment, else 1. */
static inline int bench_every(void) { return bench_short() ? BENCH_SHORT_EVERY : 1; }

typedef struct bench_choice {
    const char *prefix; /* of the names */
    int64_t rows, cols; /* 0: any */
    int every, seen;    /* seen: the matrices that fit */
} bench_choice;

static inline bool bench_takes(bench_choice *c, const char *name, int64_t rows, int64_t cols)
{
    return strncmp(name, c->prefix, strlen(c->prefix)) == 0 &&
           (!c->rows || (rows == c->rows && cols == c->cols)) && c->seen++ % c->every == 0;
}

/* ---- compression ---- */

/* Compresses on one thread, with the caller's settings in `options`. Returns the report of the one
 * tensor. The caller frees *report. */
static inline const lort_tensor_report *bench_compress(const bench_files *f, lort_options *options,
                                                       lort_report *report)
{
    lort_error err = {0};
    options->threads = 1;
    options->force = true;
    *report = (lort_report){0};
    bench_ok(lort_compress(f->model, f->coded, options, NULL, report, &err), &err);
    bench_need(report->tensor_count == 1, "one tensor went in");
    return &report->tensors[0];
}

#endif
