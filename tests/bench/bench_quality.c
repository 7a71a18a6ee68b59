/* bench_quality: captured energy of the rounded factors over the optimum, and its cost, on the real
 * matrices of the tests.
 *
 *   bench_quality [K ...]     default 16 64 128
 *
 * It prints one line per rank: worst and mean share, mean sketch, passes, time. Then comes the
 * default goal: relative error 0.05 at ranks that gain bytes over lossless storage (two thirds of
 * bf16). */
#include "tests/bench/bench.h"

#include "tests/numerics/matrices.h"

typedef struct tally {
    int64_t rank;
    double worst, sum, seconds, sketch, passes;
    char name[128];
    int count;
} tally;

static void measure(const char *name, matrix *m, void *ctx)
{
    tally *t = ctx;
    const lort_target target = {
        .kind = LORT_TARGET_RANK, .rank = t->rank, .max_rank = 1 << 20, .key = 7};
    const lort_matrix_source source = matrix_source(m);
    lort_factors f;
    double *squares = spectrum(m), best = 0, begin = bench_now();
    const int64_t least = m->rows < m->cols ? m->rows : m->cols;

    if (lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, NULL) != LORT_OK)
        abort();
    t->seconds += bench_now() - begin;
    for (int64_t i = 0; i < t->rank && i < least; i++)
        best += squares[i];
    const double share = ldexp(f.norm2 - f.error2, 2 * f.exponent) / best;
    if (share < t->worst)
        snprintf(t->name, sizeof t->name, "%s", name);
    t->worst = fmin(t->worst, share);
    t->sum += share;
    t->sketch += (double)f.sketch;
    t->passes += f.passes;
    t->count++;
    lort_factors_free(&f, &lort_alloc_heap);
    free(squares);
}

/* Measures the default goal of the command line. */
static void measure_goal(const char *name, matrix *m, void *ctx)
{
    tally *t = ctx;
    const int64_t even = m->rows * m->cols * 2 / 3 / (m->rows + m->cols),
                  least = m->rows < m->cols ? m->rows : m->cols;
    const lort_target target = {
        .kind = LORT_TARGET_ERROR, .value = 0.05, .max_rank = even < 256 ? even : 256, .key = 7};
    const lort_matrix_source source = matrix_source(m);
    lort_factors f;
    const double begin = bench_now();

    if (lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, NULL) != LORT_OK)
        abort();
    t->seconds += bench_now() - begin;
    t->sketch += (double)f.sketch / (double)least;
    t->passes += f.passes;
    t->rank += f.verdict == LORT_FACTORED;
    t->count++;
    lort_factors_free(&f, &lort_alloc_heap);
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"16", "64", "128"};
    const int n = argc > 1 ? argc - 1 : 3;

    lort_blas_start(NULL);
    printf("%6s %8s %8s %8s %8s %8s %9s  %s\n", "rank", "matrices", "worst", "mean", "sketch",
           "passes", "ms each", "worst one");
    for (int i = 0; i < n; i++) {
        tally t = {.rank = strtoll(argc > 1 ? argv[i + 1] : usual[i], NULL, 10), .worst = 2};
        visit_models(measure, &t);
        if (t.count > 0)
            printf("%6lld %8d %8.4f %8.4f %8.1f %8.2f %9.2f  %s\n", (long long)t.rank, t.count,
                   t.worst, t.sum / t.count, t.sketch / t.count, t.passes / t.count,
                   1e3 * t.seconds / t.count, t.name);
    }
    tally t = {0};
    visit_models(measure_goal, &t);
    printf("error 0.05 up to break-even: %lld of %d met; mean sketch %.2f of the smaller side, "
           "%.2f passes, %.2f ms\n",
           (long long)t.rank, t.count, t.sketch / t.count, t.passes / t.count,
           1e3 * t.seconds / t.count);
    return 0;
}
