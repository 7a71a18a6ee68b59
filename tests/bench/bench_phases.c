/* bench_phases: the time of one core in a factorisation: decoding, products by shape with their
 * rates beside the sgemm peak, eigenproblems, the rest.
 *
 *   bench_phases [ROWS COLS RANK]   default 4096 x 4096, 4096 x 14336 at 64, 4096 x 4096 at 256
 *
 * The linker wraps compress/math/blas.h. Times are of the thread's own CPU clock, so that a busy
 * machine blurs them less. */
#include "tests/bench/spectra.h"

#define SHAPES 1000
#define WORTH 0.01 /* share of the time from which on a line is printed by itself */

typedef struct product {
    const char *name;
    bool trans_a, trans_b;
    int64_t m, n, k, calls;
    double seconds;
} product;

static product products[SHAPES];
static int product_count;
static double reading, eigen;
static int64_t numbers_read;

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_product(const char *name, bool trans_a, bool trans_b, int64_t m, int64_t n,
                        int64_t k, double seconds)
{
    int i = 0;
    while (i < product_count && (products[i].name != name || products[i].trans_a != trans_a ||
                                 products[i].trans_b != trans_b || products[i].m != m ||
                                 products[i].n != n || products[i].k != k))
        i++;
    if (i == product_count) {
        bench_need(product_count < SHAPES, "too many shapes");
        products[product_count++] = (product){name, trans_a, trans_b, m, n, k, 0, 0};
    }
    products[i].calls++;
    products[i].seconds += seconds;
}

/* ---- the linker puts these in place of compress/math/blas.h ---- */

static const char sgemm[] = "sgemm", dgemm[] = "dgemm";

#define GEMM_ARGUMENTS(type)                                                                       \
    bool ta, bool tb, int64_t m, int64_t n, int64_t k, type alpha, const type *a, int64_t lda,     \
        const type *b, int64_t ldb, type beta, type *c, int64_t ldc
#define GEMM(type, real, wrap, name)                                                               \
    void real(GEMM_ARGUMENTS(type));                                                               \
    void wrap(GEMM_ARGUMENTS(type));                                                               \
    void wrap(GEMM_ARGUMENTS(type))                                                                \
    {                                                                                              \
        const double begin = cpu();                                                                \
        real(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                                \
        add_product(name, ta, tb, m, n, k, cpu() - begin);                                         \
    }
GEMM(float, __real_lort_sgemm, __wrap_lort_sgemm, sgemm)
GEMM(double, __real_lort_dgemm, __wrap_lort_dgemm, dgemm)

#define EIGEN_ARGUMENTS                                                                            \
    int64_t n, double *a, int64_t lda, double *values, void *work, lort_error *err
#define EIGEN(real, wrap)                                                                          \
    lort_code real(EIGEN_ARGUMENTS);                                                               \
    lort_code wrap(EIGEN_ARGUMENTS);                                                               \
    lort_code wrap(EIGEN_ARGUMENTS)                                                                \
    {                                                                                              \
        const double begin = cpu();                                                                \
        const lort_code code = real(n, a, lda, values, work, err);                                 \
        eigen += cpu() - begin;                                                                    \
        return code;                                                                               \
    }
EIGEN(__real_lort_dsyevd, __wrap_lort_dsyevd)
EIGEN(__real_lort_dsyevd_values, __wrap_lort_dsyevd_values)

static lort_code read_timed(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                            int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err)
{
    const double begin = cpu();
    const lort_code code = spectra_read(ctx, worker, r0, r1, c0, c1, dst, out, ld, err);
    reading += cpu() - begin;
    numbers_read += (r1 - r0) * (c1 - c0);
    return code;
}

/* Returns Gflop/s by the same clock: the best of ten calls through the wrapper. */
static double sgemm_peak(void)
{
    enum { N = BENCH_SGEMM };
    float *x = bench_take(3 * sizeof(float) * N * N);
    double best = 1e9;
    for (int i = 0; i < 3 * N * N; i++)
        x[i] = (float)(i % 1000) / 1000 - 0.5f;
    for (int i = 0; i < 10; i++) {
        product_count = 0;
        lort_sgemm(false, false, N, N, N, 1, x, N, x + N * N, N, 0, x + 2 * N * N, N);
        best = fmin(best, products[0].seconds);
    }
    free(x);
    return 2e-9 * N * N * N / best;
}

/* ---- the table ---- */

static double seconds_of(const char *name)
{
    double sum = 0;
    for (int i = 0; i < product_count; i++)
        sum += products[i].name == name ? products[i].seconds : 0;
    return sum;
}

static void print_phase(const char *what, double seconds, double whole)
{
    printf("  %-34s %8.4f s  %5.1f %%\n", what, seconds, 100 * seconds / whole);
}

static void print_products(double whole, double peak)
{
    for (int i = 0; i < product_count; i++) {
        const product *p = &products[i];
        const double rate =
            2e-9 * (double)p->m * (double)p->n * (double)p->k * (double)p->calls / p->seconds;
        if (p->seconds >= WORTH * whole)
            printf("    %s %s %s %6" PRId64 " x %4" PRId64 " over %5" PRId64
                   " %7.4f s  %5.1f %%  %5" PRId64
                   " calls  %6.1f Gflop/s: %5.1f %% of the sgemm peak\n",
                   p->name, p->trans_a ? "A'" : "A ", p->trans_b ? "B'" : "B ", p->m, p->n, p->k,
                   p->seconds, 100 * p->seconds / whole, p->calls, rate, 100 * rate / peak);
    }
}

static void print_all(const spectra *m, double whole, double peak)
{
    char what[80];
    snprintf(what, sizeof what, "decoding, %.1f times the matrix",
             (double)numbers_read / (double)(m->rows * m->cols));
    print_phase(what, reading, whole);
    print_phase("sgemm", seconds_of(sgemm), whole);
    print_phase("dgemm", seconds_of(dgemm), whole);
    print_phase("eigenproblems", eigen, whole);
    print_phase("the rest: scan, errors, copies",
                whole - reading - seconds_of(sgemm) - seconds_of(dgemm) - eigen, whole);
    print_products(whole, peak);
    fflush(stdout);
}

static void measure(int64_t rows, int64_t cols, int64_t rank)
{
    spectra m = spectra_make(rows, cols, LORT_F16);
    const lort_target target = {
        .kind = LORT_TARGET_RANK, .rank = rank, .max_rank = rank, .key = SPECTRA_KEY};
    lort_matrix_source source = spectra_source(&m);
    const double peak = sgemm_peak();
    double whole = 0;
    lort_factors f;

    source.read = read_timed;
    for (int i = 0; i < 2; i++) { /* the first warms up */
        lort_error err = {0};
        product_count = 0;
        reading = eigen = 0;
        numbers_read = 0;
        const double begin = cpu();
        bench_ok(lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, &err), &err);
        whole = cpu() - begin;
        lort_factors_free(&f, &lort_alloc_heap);
    }
    printf("%" PRId64 " x %" PRId64 ", k = %" PRId64
           ": %.3f s of one core, %d reads, width %" PRId64 "; sgemm peak %.1f Gflop/s\n",
           rows, cols, rank, whole, f.passes, f.sketch, peak);
    print_all(&m, whole, peak);
    spectra_free(&m);
}

int main(int argc, char **argv)
{
    lort_blas_start(NULL);
    if (argc > 3)
        measure(strtoll(argv[1], NULL, 10), strtoll(argv[2], NULL, 10), strtoll(argv[3], NULL, 10));
    else {
        measure(4096, 4096, 64);
        if (!bench_short())
            measure(4096, 14336, 64);
        measure(4096, 4096, 256);
    }
    return 0;
}
