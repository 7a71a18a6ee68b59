/* bench_kept: lossless and kept tensors through whole commands, beside zstd at level 1 on the same
 * byte planes. For zstd the chunks are already split, and only the coding counts. One thread and
 * all cores; files are in memory (/dev/shm). Times include checksums and reading back. */
#include "tests/bench/spectra.h"
#include "tests/unit/sized.h"

#define BAR 0.70

typedef struct path {
    const char *name;
    lort_goal goal;
    /* every tensor is excluded: the kept path of a run that would factorise */
    bool keep;
} path;
static const path paths[] = {{"--lossless", LORT_GOAL_LOSSLESS, false},
                             {"kept", LORT_GOAL_RANK, true}};
static bench_bars bars;

static double compress(const bench_files *f, const path *way, unsigned threads, double *share)
{
    static const char *everything[] = {"*"};
    lort_options options;
    lort_report report = {0};
    lort_error err = {0};

    remove(f->coded); /* not timed: freeing the old file */
    lort_options_init(&options);
    options.goal = way->goal;
    options.rank = 64;
    options.exclude = everything;
    options.exclude_count = way->keep;
    options.threads = threads;
    options.force = true;
    const double begin = bench_now();
    bench_ok(lort_compress(f->model, f->coded, &options, NULL, &report, &err), &err);
    const double seconds = bench_now() - begin;
    bench_need(report.tensor_count == 1 && report.tensors[0].action == LORT_ACTION_KEPT,
               "a tensor that is not kept");
    *share = (double)report.output_bytes / (double)report.input_bytes;
    lort_report_free(&report);
    return seconds;
}

static double restore(const bench_files *f, unsigned threads)
{
    const lort_restore_options options = {
        RESTORE_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = threads}, .force = true};
    lort_report report = {0};
    lort_error err = {0};
    remove(f->back);
    const double begin = bench_now();
    bench_ok(lort_restore(f->coded, f->back, &options, NULL, &report, &err), &err);
    lort_report_free(&report);
    return bench_now() - begin;
}

static void measure_path(const bench_files *f, const path *way, const char *type, double mb,
                         unsigned threads, const bench_zstd_speed *zstd)
{
    double coding = 1e9, restoring = 1e9, share = 0;
    char what[100];
    for (int i = 0; i < (bench_short() ? 1 : 3); i++) {
        coding = fmin(coding, compress(f, way, threads, &share));
        restoring = fmin(restoring, restore(f, threads));
    }
    const double of = mb / coding / (zstd->encode * threads);
    printf("  %-11s %u core%s  compress %7.0f MB/s: %5.1f %% of zstd -1   restore %7.0f MB/s: "
           "%5.1f %% of zstd -d   %.4f of the size\n",
           way->name, threads, threads > 1 ? "s" : " ", mb / coding, 100 * of, mb / restoring,
           100 * mb / restoring / (zstd->decode * threads), share);
    fflush(stdout);
    snprintf(what, sizeof what, "%s, %s, %u core%s: compress, share of the speed of zstd -1", type,
             way->name, threads, threads > 1 ? "s" : "");
    bench_at_least(&bars, 100 * of, 100 * BAR, "%", true, what);
}

static void measure(const lort_dtype_info *type, int64_t rows, int64_t cols, const void *data)
{
    const bench_files files = bench_files_memory("safetensors");
    const size_t n = bench_bytes(type, rows, cols);
    const bench_zstd_speed zstd = bench_zstd(type, data, n);

    bench_write_safetensors(files.model, type, rows, cols, data);
    printf("%s, %" PRId64 " x %" PRId64
           ": zstd -1 on planes %.0f MB/s, %.4f of the size; zstd -d %.0f MB/s\n",
           type->name, rows, cols, zstd.encode, zstd.share, zstd.decode);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        measure_path(&files, &paths[i], type->name, 1e-6 * (double)n, 1, &zstd);
        if (bench_cores() > 1)
            measure_path(&files, &paths[i], type->name, 1e-6 * (double)n, bench_cores(), &zstd);
    }
    bench_files_remove(&files);
}

int main(void)
{
    static const lort_dtype types[] = {LORT_BF16, LORT_F16};
    const int64_t rows = bench_short() ? 4096 : 8192, cols = 4096;

    lort_blas_start(NULL);
    printf("memcpy %.1f GB/s\n", bench_memcpy());
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        spectra m = spectra_make(rows, cols, types[i]);
        measure(m.type, rows, cols, m.bytes);
        /* fills the fraction, which F16 left half empty */
        for (int64_t at = 0; at < rows * cols; at++)
            m.values[at] *= 0.73105858f;
        if (i == 1)
            measure(lort_dtype_get(LORT_F32), rows, cols, m.values);
        spectra_free(&m);
    }
    bench_bars_print(&bars);
    return 0;
}
