/* matrices: shared by the tests and the benchmarks of the factorisation. Matrices in memory as
 * sources, real matrices from safetensors files, a counting allocator, and the exact spectrum. */
#ifndef LORT_TESTS_MATRICES_H
#define LORT_TESTS_MATRICES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compress/factor/cells.h"
#include "compress/factor/factor.h"
#include "compress/math/blas.h"
#include "formats/inputs/format.h"
#include "formats/inputs/header.h"
#include "formats/types/half.h"

typedef struct matrix {
    int64_t rows, cols;
    float *at;
    bool direct; /* read() points into the matrix instead of copying */
} matrix;

static inline matrix matrix_make(int64_t rows, int64_t cols)
{
    return (matrix){rows, cols, calloc((size_t)(rows * cols), sizeof(float)), false};
}

static inline lort_code matrix_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                                    int64_t c1, float *dst, const float **out, int64_t *ld,
                                    lort_error *err)
{
    const matrix *m = ctx;

    (void)worker, (void)err;
    if (m->direct) {
        *out = m->at + r0 * m->cols + c0;
        *ld = m->cols;
        return LORT_OK;
    }
    for (int64_t r = r0; r < r1; r++)
        memcpy(dst + (r - r0) * (c1 - c0), m->at + r * m->cols + c0,
               (size_t)(c1 - c0) * sizeof(float));
    *out = dst;
    *ld = c1 - c0;
    return LORT_OK;
}

static inline lort_matrix_source matrix_source(matrix *m)
{
    return (lort_matrix_source){
        .rows = m->rows, .cols = m->cols, .element_bytes = 4, .read = matrix_read, .ctx = m};
}

/* An allocator that counts bytes, and refuses more than its limit. */
typedef struct counter {
    uint64_t used, peak, limit, takes, fail_at;
} counter;

static inline void *counter_take(void *ctx, size_t bytes)
{
    counter *c = ctx;

    if (++c->takes == c->fail_at || c->used + bytes > c->limit)
        return NULL;
    c->used += bytes;
    c->peak = c->used > c->peak ? c->used : c->peak;
    return lort_alloc_heap.take(lort_alloc_heap.ctx, bytes);
}

static inline void counter_give(void *ctx, void *memory, size_t bytes)
{
    ((counter *)ctx)->used -= bytes;
    lort_alloc_heap.give(lort_alloc_heap.ctx, memory, bytes);
}

static inline lort_alloc counter_alloc(counter *c)
{
    return (lort_alloc){counter_take, counter_give, c};
}

/* Returns the min(rows, cols) squared singular values, descending. They are the eigenvalues of the
 * f64 Gram matrix of the smaller side. */
static inline double *spectrum(const matrix *m)
{
    const bool wide = m->cols > m->rows;
    const int64_t n = wide ? m->rows : m->cols, count = m->rows * m->cols;
    double *a = malloc((size_t)count * 8), *gram = malloc((size_t)(n * n) * 8),
           *values = malloc((size_t)n * 8);
    void *work = malloc(lort_dsyevd_values_work(n));

    for (int64_t i = 0; i < count; i++)
        a[i] = (double)m->at[i];
    lort_dgemm(!wide, wide, n, n, wide ? m->cols : m->rows, 1, a, m->cols, a, m->cols, 0, gram, n);
    if (lort_dsyevd_values(n, gram, n, values, work, NULL) != LORT_OK)
        abort();
    for (int64_t i = 0; i < n / 2; i++) {
        const double v = values[i];
        values[i] = values[n - 1 - i];
        values[n - 1 - i] = v;
    }
    free(a);
    free(gram);
    free(work);
    return values;
}

/* Returns a stored factor as f32 numbers. */
static inline float *widened(lort_dtype type, const uint8_t *bytes, uint64_t size)
{
    const lort_dtype_info *info = lort_dtype_get(type);
    const uint64_t n = size / info->block_bytes * info->block_elements;
    float *x = malloc(n * sizeof(float) + 1);

    info->decode(bytes, x, n);
    return x;
}

/* Returns ||W - W'||^2 in units of 2^(2 exponent), in f64 from the stored bytes alone. */
static inline double recomputed_error2(const matrix *m, const lort_factors *f)
{
    float *left = widened(f->left_type, f->left, f->left_bytes),
          *right = widened(f->right_type, f->right, f->right_bytes);
    float *rows = malloc((size_t)(m->rows * m->cols) * sizeof(float));
    double sum = 0;

    lort_product_cells(&(lort_product){f->rank, f->exponent, left, right}, m->cols, 0, m->rows, 0,
                       m->cols, rows, m->cols);
    for (int64_t i = 0; i < m->rows * m->cols; i++) {
        const double d = ldexp((double)m->at[i] - (double)rows[i], -f->exponent);
        sum += d * d;
    }
    free(left);
    free(right);
    free(rows);
    return sum;
}

/* Calls visit for every float matrix of a safetensors file with both sides of at least 32. Returns
 * false if the file is absent. */
typedef void matrix_visit(const char *name, matrix *m, void *ctx);
static inline bool visit_safetensors(const char *path, matrix_visit *visit, void *ctx)
{
    FILE *file = fopen(path, "rb");
    lort_header header = {0};
    lort_error err;
    uint64_t wanted;
    long size;

    if (file == NULL)
        return false;
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0)
        abort();
    uint8_t *bytes = malloc((size_t)size);
    if (fread(bytes, 1, (size_t)size, file) != (size_t)size)
        abort();
    fclose(file);
    if (lort_header_parse(bytes, (uint64_t)size, (uint64_t)size, &lort_alloc_heap, &header, &wanted,
                          &err) != LORT_OK) {
        fprintf(stderr, "%s: %s\n", path, err.message);
        abort();
    }
    for (uint64_t i = 0; i < header.index.count; i++) {
        const lort_tensor *t = &header.index.tensors[i];
        if (t->n_dims != 2 || t->dims[0] < 32 || t->dims[1] < 32 ||
            t->type->kind != LORT_KIND_FLOAT)
            continue;
        matrix m = matrix_make(t->dims[0], t->dims[1]);
        t->type->decode(bytes + t->offset, m.at, t->elements);
        visit(t->name, &m, ctx);
        free(m.at);
    }
    lort_header_free(&header);
    free(bytes);
    return true;
}

/* The real matrices: 48 of 768 x 768 and one of 1024 x 768 of GPT-2's attention, and those of the
 * bundled model. */
static inline unsigned visit_models(matrix_visit *visit, void *ctx)
{
    static const char *const paths[] = {
        "../shared/models/gpt2-attn-bf16-sharded/model-00001-of-00004.safetensors",
        "../shared/models/gpt2-attn-bf16-sharded/model-00002-of-00004.safetensors",
        "../shared/models/gpt2-attn-bf16-sharded/model-00003-of-00004.safetensors",
        "../shared/models/gpt2-attn-bf16-sharded/model-00004-of-00004.safetensors",
        "tests/data/kjv-3m/hf/model-00001-of-00002.safetensors",
        "tests/data/kjv-3m/hf/model-00002-of-00002.safetensors",
    };
    unsigned found = 0;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        found += visit_safetensors(paths[i], visit, ctx);
    return found;
}

#endif
