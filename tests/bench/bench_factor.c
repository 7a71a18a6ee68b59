/* bench_factor: the factorisation beside the sgemm peak of the same run.
 *
 *   bench_factor [ROWS COLS RANK]      one generated matrix instead of the table
 *
 * Work is counted as (4 m n d + 2 (m + n) d^2) flops, whatever LoRT really does. Here d is the
 * width at which a block Krylov basis captures 0.97 of the energy that k components can hold. That
 * energy is measured with a basis that grows until a block adds less than 1e-4 of it. One matrix is
 * checked by the eigenvalues of the f64 Gram matrix. Matrices are F16 in memory; spectra.h
 * describes the generated ones. */
#include "tests/bench/spectra.h"
#include "tests/numerics/matrices.h"

#define ENOUGH 0.97

typedef struct shape {
    int64_t rows, cols;
    bool in_short;
    struct {
        int64_t rank;
        double bar;
    } ranks[2];
} shape;
static const shape shapes[] = {
    {4096, 4096, true, {{64, 0.60}, {256, 0.60}}},
    {4096, 14336, false, {{64, 0.60}}},
    {8192, 28672, false, {{64, 0.60}, {256, 0.75}}},
};

static bench_bars bars;

static double flops(const spectra *m, int64_t d)
{
    const double rows = (double)m->rows, cols = (double)m->cols, width = (double)d;
    return 4 * rows * cols * width + 2 * (rows + cols) * width * width;
}

static void measure_threads(spectra *m, int64_t rank, unsigned threads, double bar,
                            const spectra_need *need)
{
    const int rounds = m->rows * m->cols > 100000000 ? 1 : bench_short() ? 2 : 3;
    const double peak = bench_sgemm(threads);
    char what[100];
    lort_factors f;
    const double seconds = spectra_factor(m, rank, threads, rounds, &f),
                 rate = 1e-9 * flops(m, need->width) / seconds;
    const double captured = spectra_captured(&f) / need->optimal;

    printf("  %u core%s %8.3f s  %2d reads, width %4" PRId64
           "  captured %.4f  %7.1f Gflop/s of %6.1f: %5.1f %%  (%5.1f %% by its own width)\n",
           threads, threads > 1 ? "s" : " ", seconds, f.passes, f.sketch, captured, rate, peak,
           100 * rate / peak, 1e-7 * flops(m, f.sketch) / seconds / peak);
    fflush(stdout);
    snprintf(what, sizeof what,
             "%" PRId64 " x %" PRId64 ", k = %" PRId64
             ", %u core%s, captured %.3f: share of sgemm peak",
             m->rows, m->cols, rank, threads, threads > 1 ? "s" : "", captured);
    if (bar > 0)
        bench_at_least(&bars, 100 * rate / peak, 100 * bar, "%", captured >= ENOUGH, what);
}

static void measure(const char *name, spectra *m, int64_t rank, double bar, bool check)
{
    const spectra_need need = spectra_measure(m, rank, ENOUGH);
    printf("%s %" PRId64 " x %" PRId64 ", k = %" PRId64 ": %.2f %% of the energy; d = %" PRId64
           " for %.2f of it (settled at %" PRId64 ")",
           name, m->rows, m->cols, rank, 100 * need.optimal / spectra_norm2(m), need.width, ENOUGH,
           need.grown);
    if (check)
        printf("; %.5f of the Gram matrix's", need.optimal / spectra_optimal(m, rank));
    printf("\n");
    measure_threads(m, rank, 1, bar, &need);
    if (bench_cores() > 1)
        measure_threads(m, rank, bench_cores(), bar, &need);
}

/* ---- real matrices: those of GPT-2's attention side by side, as one ---- */

#define SIDE 768
#define ACROSS 6
#define DOWN 8

typedef struct mosaic {
    spectra m;
    int64_t count;
} mosaic;

static void add_matrix(const char *name, matrix *from, void *ctx)
{
    mosaic *to = ctx;
    if (from->rows != SIDE || from->cols != SIDE || to->count == ACROSS * DOWN)
        return;
    float *corner =
        to->m.values + to->count / ACROSS * SIDE * to->m.cols + to->count % ACROSS * SIDE;
    for (int64_t r = 0; r < SIDE; r++)
        memcpy(corner + r * to->m.cols, from->at + r * SIDE, SIDE * sizeof *corner);
    to->count++;
}

static void measure_real(void)
{
    mosaic real = {.m = spectra_take(DOWN * SIDE, ACROSS * SIDE, LORT_F16)};
    const uint64_t count = (uint64_t)(real.m.rows * real.m.cols);
    for (int i = 0; bench_gpt2[i]; i++)
        visit_safetensors(bench_gpt2[i], add_matrix, &real);
    if (real.count == ACROSS * DOWN) {
        lort_store_f16(real.m.values, real.m.bytes, count);
        lort_load_f16(real.m.bytes, real.m.values, count);
        measure("48 matrices of GPT-2 as one:", &real.m, 64, 0, false);
    } else
        printf("GPT-2's matrices are not here: real ones are skipped\n");
    spectra_free(&real.m);
}

int main(int argc, char **argv)
{
    lort_blas_start(NULL);
    printf("generated: %d components, singular values (1 + i)^-1/2, %g of the energy; the rest is "
           "noise\n",
           SPECTRA_COMPONENTS, SPECTRA_SIGNAL);
    if (argc > 3) {
        spectra m = spectra_make(strtoll(argv[1], NULL, 10), strtoll(argv[2], NULL, 10), LORT_F16);
        measure("generated:", &m, strtoll(argv[3], NULL, 10), 0, false);
        spectra_free(&m);
        return 0;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (bench_short() && !shapes[i].in_short)
            continue;
        spectra m = spectra_make(shapes[i].rows, shapes[i].cols, LORT_F16);
        for (int k = 0; k < 2 && shapes[i].ranks[k].rank > 0; k++)
            measure("generated:", &m, shapes[i].ranks[k].rank, shapes[i].ranks[k].bar,
                    !bench_short() && m.cols == 4096);
        spectra_free(&m);
    }
    measure_real();
    bench_bars_print(&bars);
    return 0;
}
