/* spectra: matrices for the benchmarks of the factorisation, in memory as F16 or BF16, and the
 * energy that k components can hold of them.
 *
 * A generated matrix is signal and noise. The signal is SPECTRA_COMPONENTS components of random
 * directions, whose singular values fall as (1 + i)^-1/2. The noise is normal in every element.
 * SPECTRA_SIGNAL is the signal's share of the energy. So 64 components of 4096 x 11008 hold 4 % of
 * the energy. */
#ifndef LORT_TESTS_SPECTRA_H
#define LORT_TESTS_SPECTRA_H

#include "tests/bench/roofline.h"

#include <cblas.h>

#include "compress/factor/factor.h"
#include "compress/math/random.h"
#include "formats/types/half.h"

#define SPECTRA_COMPONENTS 512
#define SPECTRA_SIGNAL 0.02
#define SPECTRA_SIZE 0.02 /* root mean square of the elements */
#define SPECTRA_KEY 5

typedef struct spectra {
    int64_t rows, cols;
    const lort_dtype_info *type;
    uint8_t *bytes; /* [rows][cols] of the type */
    float *values;  /* the same elements as f32 */
} spectra;

/* Twelve uniform numbers of 13 bits are normal enough. Three steps of a linear congruential
 * generator give them. */
static inline float spectra_normal(uint64_t *x)
{
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        *x = *x * 6364136223846793005u + 1442695040888963407u;
        sum +=
            (int64_t)((*x >> 51) + (*x >> 38 & 0x1FFF) + (*x >> 25 & 0x1FFF) + (*x >> 12 & 0x1FFF));
    }
    return (float)(sum - 6 * 8191) / 8192.0f;
}

typedef struct spectra_making {
    const spectra *to;
    /* [rows][components] with the singular values, [components][cols] */
    const float *left, *right;
    float noise;
} spectra_making;

#define SPECTRA_STEP 64
static inline lort_code spectra_make_rows(void *ctx, int64_t item, unsigned worker, unsigned slot,
                                          lort_error *err)
{
    const spectra_making *run = ctx;
    const spectra *to = run->to;
    const int64_t r0 = item * SPECTRA_STEP,
                  rows = to->rows - r0 < SPECTRA_STEP ? to->rows - r0 : SPECTRA_STEP,
                  count = rows * to->cols;
    float *out = to->values + r0 * to->cols;
    uint8_t *bytes = to->bytes + (size_t)(r0 * to->cols) * 2;
    uint64_t x = 1 + 2 * (uint64_t)item;

    for (int64_t i = 0; i < count; i++)
        out[i] = run->noise * spectra_normal(&x);
    lort_sgemm(false, false, rows, to->cols, SPECTRA_COMPONENTS, 1,
               run->left + r0 * SPECTRA_COMPONENTS, SPECTRA_COMPONENTS, run->right, to->cols, 1,
               out, to->cols);
    lort_dtype_encoder(to->type->id)(out, bytes, (uint64_t)count);
    to->type->decode(bytes, out, (uint64_t)count);
    return LORT_OK;
}

static inline spectra spectra_take(int64_t rows, int64_t cols, lort_dtype type)
{
    const size_t count = (size_t)(rows * cols);
    return (spectra){rows, cols, lort_dtype_get(type), bench_take(2 * count),
                     bench_take(4 * count)};
}

/* type: F16 or BF16. */
static inline spectra spectra_make(int64_t rows, int64_t cols, lort_dtype type)
{
    enum { R = SPECTRA_COMPONENTS };
    const spectra made = spectra_take(rows, cols, type);
    float *left = bench_take((size_t)(rows * R) * 4), *right = bench_take((size_t)(R * cols) * 4);
    const double elements = (double)rows * (double)cols;
    double sum = 0;

    for (int i = 0; i < R; i++)
        sum += 1.0 / (1 + i);
    const double scale = SPECTRA_SIZE * sqrt(SPECTRA_SIGNAL * elements / sum) / sqrt(elements);
    lort_random_signs(11, 0, 0, rows, R, left);
    lort_random_signs(12, 0, 0, R, cols, right);
    for (int64_t i = 0; i < rows * R; i++)
        left[i] *= (float)(scale / sqrt(1.0 + (double)(i % R)));
    spectra_making run = {&made, left, right, (float)(SPECTRA_SIZE * sqrt(1 - SPECTRA_SIGNAL))};
    lort_pool *pool = bench_pool(bench_cores());
    bench_need(lort_pool_each(pool, (rows + SPECTRA_STEP - 1) / SPECTRA_STEP, spectra_make_rows,
                              &run, NULL) == LORT_OK,
               "matrix");
    lort_pool_close(pool);
    free(left);
    free(right);
    return made;
}

static inline void spectra_free(spectra *m)
{
    free(m->bytes);
    free(m->values);
    *m = (spectra){0};
}

static inline double spectra_norm2(const spectra *m)
{
    double sum = 0;
    for (int64_t i = 0; i < m->rows * m->cols; i++)
        sum += (double)m->values[i] * (double)m->values[i];
    return sum;
}

/* Reads as lort_slice_read does: whole rows at once, parts of rows one by one. For parts it asks
 * memory 16 rows ahead. */
static inline lort_code spectra_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                                     int64_t c1, float *dst, const float **out, int64_t *ld,
                                     lort_error *err)
{
    const spectra *m = ctx;
    const int64_t cols = c1 - c0, step = cols == m->cols ? r1 - r0 : 1;
    for (int64_t r = r0; r < r1; r += step) {
        for (int64_t at = 0; step == 1 && r + 16 < r1 && at < 2 * cols; at += 64)
            __builtin_prefetch(m->bytes + 2 * ((r + 16) * m->cols + c0) + at);
        m->type->decode(m->bytes + 2 * (r * m->cols + c0), dst + (r - r0) * cols,
                        (uint64_t)(step * cols));
    }
    *out = dst;
    *ld = cols;
    return LORT_OK;
}

static inline lort_matrix_source spectra_source(spectra *m)
{
    return (lort_matrix_source){
        .rows = m->rows, .cols = m->cols, .element_bytes = 2, .read = spectra_read, .ctx = m};
}

/* ---- the energy that k components can hold ---- */

/* Width of a block of LoRT's basis (compress/factor/grid.c, set_widths). */
static inline int64_t spectra_block(int64_t rank) { return rank > 128 ? 128 : 64; }

/* A block Krylov basis like LoRT's, of f32 products with all cores. It grows until k components
 * gain next to nothing. */
typedef struct spectra_basis {
    const spectra *m;
    int64_t block, cap, d;
    float *q, *y; /* [cols][cap], [rows][cap] */
    double *gram, *square, *values, *work;
    float *turn, *copy;
} spectra_basis;

typedef struct spectra_need {
    double optimal; /* energy of the first k components */
    int64_t width;  /* smallest basis that captures `share` of it: multiple of the block */
    int64_t grown;  /* width at which growing ended */
} spectra_need;

#define SPECTRA_CHUNK 512
/* out[i][j] = sum over rows of x[row][i] * x[row][from + j], i below from + width; f64. */
static inline void spectra_gram(const float *x, int64_t ld, int64_t length, int64_t from,
                                int64_t width, double *out, int64_t ldo)
{
    const int64_t to = from + width;
    double *wide = bench_take((size_t)(SPECTRA_CHUNK * to) * 8);
    for (int64_t at = 0; at < length; at += SPECTRA_CHUNK) {
        const int64_t n = length - at < SPECTRA_CHUNK ? length - at : SPECTRA_CHUNK;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < to; j++)
                wide[i * to + j] = (double)x[(at + i) * ld + j];
        lort_dgemm(true, false, to, width, n, 1, wide, to, wide + from, to, at > 0, out + from,
                   ldo);
    }
    free(wide);
}

/* Makes columns [d, d + block) of q orthonormal against those before them and each other. */
static inline void spectra_orthonormalise(spectra_basis *b)
{
    const int64_t n = b->m->cols, w = b->block, ld = b->cap;
    float *z = b->q + b->d;
    for (int round = 0; round < 2; round++) {
        if (b->d > 0) {
            lort_sgemm(true, false, b->d, w, n, 1, b->q, ld, z, ld, 0, b->turn, w);
            lort_sgemm(false, false, n, w, b->d, -1, b->q, ld, b->turn, w, 1, z, ld);
        }
        spectra_gram(z, ld, n, 0, w, b->square, w);
        bench_need(lort_dsyevd(w, b->square, w, b->values, b->work, NULL) == LORT_OK &&
                       b->values[0] > 0,
                   "the Krylov space is exhausted");
        for (int64_t i = 0; i < w; i++)
            for (int64_t j = 0; j < w; j++)
                b->turn[j * w + i] =
                    (float)(b->square[(w - 1 - i) * w + j] / sqrt(b->values[w - 1 - i]));
        for (int64_t i = 0; i < n; i++)
            memcpy(b->copy + i * w, z + i * ld, (size_t)w * sizeof *z);
        lort_sgemm(false, false, n, w, w, 1, b->copy, w, b->turn, w, 0, z, ld);
    }
}

/* Adds a block: Y = A Q_j, the Ritz values, and the next block. Returns the energy of the first k.
 */
static inline double spectra_grow(spectra_basis *b, int64_t k)
{
    const spectra *m = b->m;
    const int64_t ld = b->cap, at = b->d, d = at + b->block;
    double sum = 0;
    lort_sgemm(false, false, m->rows, b->block, m->cols, 1, m->values, m->cols, b->q + at, ld, 0,
               b->y + at, ld);
    spectra_gram(b->y, ld, m->rows, at, b->block, b->gram, ld);
    for (int64_t i = 0; i < d; i++)
        memcpy(b->square + i * d, b->gram + i * ld, (size_t)d * sizeof *b->gram);
    bench_need(lort_dsyevd_values(d, b->square, d, b->values, b->work, NULL) == LORT_OK, "dsyevd");
    for (int64_t i = 0; i < k && i < d; i++)
        sum += b->values[d - 1 - i];
    b->d = d;
    if (d + b->block <= ld) {
        lort_sgemm(true, false, m->cols, b->block, m->rows, 1, m->values, m->cols, b->y + at, ld, 0,
                   b->q + d, ld);
        spectra_orthonormalise(b);
    }
    return sum;
}

static inline spectra_basis spectra_begin(const spectra *m, int64_t block, int64_t cap)
{
    spectra_basis b = {.m = m, .block = block, .cap = cap};
    b.q = bench_take((size_t)(m->cols * cap) * 4);
    b.y = bench_take((size_t)(m->rows * cap) * 4);
    b.gram = bench_take((size_t)(cap * cap) * 8);
    b.square = bench_take((size_t)(cap * cap) * 8);
    b.values = bench_take((size_t)cap * 8);
    b.work = bench_take(lort_dsyevd_values_work(cap) + lort_dsyevd_work(block));
    b.turn = bench_take((size_t)(cap * block) * 4);
    b.copy = bench_take((size_t)(m->cols * block) * 4);
    for (int64_t r = 0; r < m->cols; r++)
        lort_random_signs(SPECTRA_KEY, r, 0, 1, block, b.q + r * cap);
    spectra_orthonormalise(&b);
    return b;
}

static inline void spectra_end(spectra_basis *b)
{
    void *all[] = {b->q, b->y, b->gram, b->square, b->values, b->work, b->turn, b->copy};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* share of the energy that a block may still add */
#define SPECTRA_SETTLED 1e-4
static inline spectra_need spectra_measure(const spectra *m, int64_t k, double share)
{
    const int64_t block = spectra_block(k), least = m->rows < m->cols ? m->rows : m->cols,
                  most = least / block * block;
    const int64_t cap = most < 16 * k + 1024 ? most : (16 * k + 1024) / block * block;
    double sums[256], before = 0;
    int64_t blocks = 0;
    openblas_set_num_threads((int)bench_cores());
    spectra_basis b = spectra_begin(m, block, cap);
    for (;;) {
        const double sum = sums[blocks++] = spectra_grow(&b, k);
        if (b.d + block > cap || blocks == 256 ||
            (b.d >= 2 * k && sum - before <= SPECTRA_SETTLED * sum))
            break;
        before = sum;
    }
    spectra_need need = {sums[blocks - 1], b.d, b.d};
    for (int64_t i = blocks; i-- > 0 && sums[i] >= share * need.optimal;)
        need.width = (i + 1) * block;
    spectra_end(&b);
    openblas_set_num_threads(1);
    return need;
}

/* Returns that energy by the eigenvalues of the f64 Gram matrix of the smaller side. It is slow,
 * and serves to check spectra_measure. */
static inline double spectra_optimal(const spectra *m, int64_t k)
{
    const bool wide = m->cols > m->rows;
    const int64_t n = wide ? m->rows : m->cols, length = wide ? m->cols : m->rows;
    double *gram = bench_take((size_t)(n * n) * 8), *values = bench_take((size_t)n * 8), sum = 0;
    double *part = bench_take((size_t)(n * SPECTRA_CHUNK) * 8);
    void *work = bench_take(lort_dsyevd_values_work(n));
    openblas_set_num_threads((int)bench_cores());
    for (int64_t at = 0; at < length; at += SPECTRA_CHUNK) {
        const int64_t count = length - at < SPECTRA_CHUNK ? length - at : SPECTRA_CHUNK;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < count; j++)
                part[i * count + j] = (double)(wide ? m->values[i * m->cols + at + j]
                                                    : m->values[(at + j) * m->cols + i]);
        lort_dgemm(false, true, n, n, count, 1, part, count, part, count, at > 0, gram, n);
    }
    bench_need(lort_dsyevd_values(n, gram, n, values, work, NULL) == LORT_OK, "dsyevd");
    openblas_set_num_threads(1);
    for (int64_t i = 0; i < k; i++)
        sum += values[n - 1 - i];
    free(gram);
    free(values);
    free(part);
    free(work);
    return sum;
}

/* Returns the energy that stored factors hold. */
static inline double spectra_captured(const lort_factors *f)
{
    return ldexp(f->norm2 - f->error2, 2 * f->exponent);
}

/* Factorises `rounds` times. Returns the least time. */
static inline double spectra_factor(spectra *m, int64_t rank, unsigned threads, int rounds,
                                    lort_factors *out)
{
    const lort_matrix_source source = spectra_source(m);
    const lort_target target = {
        .kind = LORT_TARGET_RANK, .rank = rank, .max_rank = rank, .key = SPECTRA_KEY};
    lort_pool *pool = bench_pool(threads);
    lort_error err = {0};
    double best = 1e9;
    for (int i = 0; i < rounds; i++) {
        const double begin = bench_now();
        bench_ok(lort_factor(&source, &target, pool, &lort_alloc_heap, out, &err), &err);
        best = fmin(best, bench_now() - begin);
        bench_need(out->verdict == LORT_FACTORED && out->rank == rank, "a rank that was not found");
        lort_factors_free(out, &lort_alloc_heap); /* the figures stay */
    }
    lort_pool_close(pool);
    return best;
}

#endif
