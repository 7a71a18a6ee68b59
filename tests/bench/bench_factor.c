/* bench_factor: time of one factorisation next to the sgemm peak of the same run.
 *
 *   bench_factor [ROWS COLS RANK [THREADS]]     default 4096 11008 64, one thread. The matrix is bf16 in memory. */
#include "tests/bench/bench.h"
#include "compress/random.h"
#include "tests/numerics/matrices.h"

typedef struct stored {
    int64_t cols;
    uint8_t *bytes;
} stored;

static lort_code read_stored(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0, int64_t c1, float *dst, const float **out,
                             int64_t *ld, lort_error *err)
{
    const stored *s = ctx;

    for (int64_t r = r0; r < r1; r++)
        lort_load_bf16(s->bytes + 2 * (r * s->cols + c0), dst + (r - r0) * (c1 - c0), (uint64_t)(c1 - c0));
    *out = dst;
    *ld = c1 - c0;
    return LORT_OK;
}

/* 24 components that fall off slowly, and noise: about what weights look like. */
static void make_row(int64_t r, int64_t cols, const float *basis, float *row)
{
    float weights[24];

    lort_random_signs(11, r, 0, 1, cols, row);
    lort_random_signs(12, r, 0, 1, 24, weights);
    for (int i = 0; i < 24; i++)
        for (int64_t c = 0; c < cols; c++)
            row[c] += weights[i] * basis[i * cols + c] * 2 / sqrtf((float)(i + 1));
    for (int64_t c = 0; c < cols; c++)
        row[c] *= 0.01f;
}

static double peak_gflops(void)
{
    enum { N = 1024 };
    float *x = calloc(3 * N * N, sizeof *x);
    double best = 1e9;

    for (int i = 0; i < 10; i++) {
        const double begin = bench_now();
        lort_sgemm(false, false, N, N, N, 1, x, N, x + N * N, N, 0, x + 2 * N * N, N);
        best = fmin(best, bench_now() - begin);
    }
    free(x);
    return 2e-9 * N * N * N / best;
}

int main(int argc, char **argv)
{
    const int64_t rows = argc > 3 ? strtoll(argv[1], NULL, 10) : 4096, cols = argc > 3 ? strtoll(argv[2], NULL, 10) : 11008;
    const int64_t rank = argc > 3 ? strtoll(argv[3], NULL, 10) : 64;
    const unsigned threads = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1;
    stored s = {cols, malloc((size_t)(rows * cols) * 2)};
    float *row = malloc((size_t)cols * sizeof *row), *basis = malloc((size_t)cols * 24 * sizeof *basis);
    const lort_matrix_source source = {rows, cols, 2, read_stored, &s, NULL};
    const lort_target target = {.kind = LORT_TARGET_RANK, .rank = rank, .max_rank = rank, .key = 5};
    lort_pool *pool;
    unsigned started;
    lort_factors f;

    lort_blas_start();
    lort_random_signs(13, 0, 0, 24, cols, basis);
    for (int64_t r = 0; r < rows; r++) {
        make_row(r, cols, basis, row);
        lort_store_bf16(row, s.bytes + 2 * r * cols, (uint64_t)cols);
    }
    if (lort_pool_open(threads, &pool, &started, NULL) != LORT_OK)
        return 1;
    const double begin = bench_now();
    if (lort_factor(&source, &target, pool, &lort_alloc_heap, &f, NULL) != LORT_OK)
        return 1;
    const double seconds = bench_now() - begin, mn = (double)rows * (double)cols;
    /* Y for every column of Q, Z for all but the last block, A R' and L R */
    const double flops = mn * (4.0 * (double)f.sketch - 2 * 64 + 4 * (double)f.rank);
    printf("%s, core %s, calls run at once: %s\n", lort_blas_config(), lort_blas_core(), lort_blas_concurrent() ? "yes" : "no");
    printf("%lld x %lld rank %lld, %u threads: %.3f s, %d reads, sketch %lld, relative error %.4f, %.1f Gflop/s of %.1f per core\n",
           (long long)rows, (long long)cols, (long long)f.rank, started, seconds, f.passes, (long long)f.sketch, sqrt(f.error2 / f.norm2),
           1e-9 * flops / seconds, peak_gflops());
    printf("workspace bound %.1f MiB\n", (double)lort_factor_bound(rows, cols, 2, &target, started) / (1 << 20));
    lort_factors_free(&f, &lort_alloc_heap);
    lort_pool_close(pool);
    free(s.bytes);
    free(row);
    free(basis);
    return 0;
}
