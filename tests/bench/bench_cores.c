/* bench_cores: the gain of the second core. It runs lort_compress on four matrices of 4096 x 4096
 * and on one of 8192 x 8192. It does so in both modes, at rank 64 and at the default target. It
 * also counts the tasks that the pool gets for a pass over 4096 x 4096. The linker wraps
 * lort_pool_each, so that the program sees its calls.
 *
 * The bar is all cores against one, for two cores. With more cores it is the same share of their
 * possible gain. Files are in memory (/dev/shm). BENCH=short: two matrices and one, of 4096 x 4096,
 * each command once. */
#include "tests/bench/spectra.h"

#define BAR 1.85
#define TASKS 64

typedef struct model {
    const char *name;
    int64_t count, side;
} model;
static const model models[] = {{"four of 4096 x 4096", 4, 4096}, {"one of 8192 x 8192", 1, 8192}},
                   short_models[] = {{"two of 4096 x 4096", 2, 4096},
                                     {"one of 4096 x 4096", 1, 4096}};
static const struct {
    const char *name;
    lort_goal goal;
} goals[] = {{"--rank 64", LORT_GOAL_RANK}, {"default", LORT_GOAL_DEFAULT}};
static const struct {
    const char *name;
    lort_mode mode;
} modes[] = {{"full", LORT_MODE_FULL}, {"stream", LORT_MODE_STREAM}};

static bench_bars bars;

/* ---- tasks ---- */

lort_code __real_lort_pool_each(lort_pool *pool, int64_t n, lort_work_fn *work, void *ctx,
                                lort_error *err);
lort_code __wrap_lort_pool_each(lort_pool *pool, int64_t n, lort_work_fn *work, void *ctx,
                                lort_error *err);

static int64_t reads; /* reads of tiles since the pool's run began */
/* of runs that read the matrix */
static int64_t passes, tasks, least_tasks = INT64_MAX, most_tasks;

lort_code __wrap_lort_pool_each(lort_pool *pool, int64_t n, lort_work_fn *work, void *ctx,
                                lort_error *err)
{
    reads = 0;
    const lort_code code = __real_lort_pool_each(pool, n, work, ctx, err);
    if (reads > 0) {
        passes++;
        tasks += n;
        least_tasks = n < least_tasks ? n : least_tasks;
        most_tasks = n > most_tasks ? n : most_tasks;
    }
    return code;
}

static lort_code count_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                            int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err)
{
    reads++;
    return spectra_read(ctx, worker, r0, r1, c0, c1, dst, out, ld, err);
}

/* Runs on one thread, so that counting needs no lock. */
static void count_tasks(void)
{
    spectra m = spectra_make(4096, 4096, LORT_F16);
    const lort_target target = {
        .kind = LORT_TARGET_RANK, .rank = 64, .max_rank = 64, .key = SPECTRA_KEY};
    lort_matrix_source source = spectra_source(&m);
    lort_error err = {0};
    lort_factors f;

    passes = tasks = 0;
    least_tasks = INT64_MAX;
    source.read = count_read;
    bench_ok(lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, &err), &err);
    lort_factors_free(&f, &lort_alloc_heap);
    spectra_free(&m);
    printf("a factorisation of 4096 x 4096 at k = 64 reads the matrix in %" PRId64
           " runs of the pool, of %" PRId64 " to %" PRId64 " tasks each\n",
           passes, least_tasks, most_tasks);
    bench_at_least(&bars, (double)least_tasks, TASKS, "tasks", true,
                   "4096 x 4096: fewest tasks between two waits of a pass");
}

/* ---- commands ---- */

static void write_model(const char *path, const model *what, const spectra *m)
{
    const size_t bytes = (size_t)(what->side * what->side) * 2;
    char head[1000];
    int n = 0;
    FILE *file = fopen(path, "wb");

    bench_need(file != NULL, path);
    for (int64_t i = 0; i < what->count; i++)
        n += snprintf(head + 8 + n, sizeof head - 8 - (size_t)n,
                      "%c\"w%d\":{\"dtype\":\"BF16\",\"shape\":[%" PRId64 ",%" PRId64
                      "],\"data_offsets\":[%zu,%zu]}",
                      i ? ',' : '{', (int)i, what->side, what->side, (size_t)i * bytes,
                      (size_t)(i + 1) * bytes);
    n += snprintf(head + 8 + n, sizeof head - 8 - (size_t)n, "}");
    lort_store_u64(head, (uint64_t)n);
    bool fine = fwrite(head, 1, 8 + (size_t)n, file) == 8 + (size_t)n;
    fine = fine &&
           fwrite(m->bytes, 1, (size_t)what->count * bytes, file) == (size_t)what->count * bytes;
    bench_need(fclose(file) == 0 && fine, path);
}

static double seconds_of(const bench_files *f, lort_goal goal, lort_mode mode, unsigned threads,
                         uint64_t *bytes)
{
    lort_options options;
    lort_report report = {0};
    lort_error err = {0};

    lort_options_init(&options);
    options.goal = goal;
    options.rank = 64;
    options.mode = mode;
    options.threads = threads;
    options.force = true;
    const double begin = bench_now();
    bench_ok(lort_compress(f->model, f->coded, &options, NULL, &report, &err), &err);
    const double seconds = bench_now() - begin;
    bench_need(report.threads == threads, "fewer threads than asked for");
    *bytes = report.output_bytes;
    lort_report_free(&report);
    return seconds;
}

static void measure(const bench_files *f, const model *what, size_t goal, size_t mode)
{
    const unsigned cores = bench_cores();
    const double mb = 2e-6 * (double)(what->count * what->side * what->side);
    double one = 1e9, all = 1e9;
    uint64_t bytes = 0, same = 0;
    char text[100];

    for (int i = 0; i < (bench_short() ? 1 : 2); i++) {
        one = fmin(one, seconds_of(f, goals[goal].goal, modes[mode].mode, 1, &bytes));
        all = fmin(all, seconds_of(f, goals[goal].goal, modes[mode].mode, cores, &same));
        bench_need(bytes == same, "other bytes with more threads");
    }
    printf("  %-20s %-10s %-7s %8.3f s on one core (%6.1f MB/s)  %8.3f s on %u  %5.2f times\n",
           what->name, goals[goal].name, modes[mode].name, one, mb / one, all, cores, one / all);
    fflush(stdout);
    snprintf(text, sizeof text, "%s, %s, %s: %u cores against one", what->name, goals[goal].name,
             modes[mode].name, cores);
    if (cores > 1)
        bench_at_least(&bars, one / all, BAR / 2 * cores, "times", true, text);
}

static void measure_model(const model *what)
{
    const bench_files files = bench_files_memory("safetensors");
    spectra m = spectra_make(what->side * what->count, what->side, LORT_BF16);

    write_model(files.model, what, &m);
    spectra_free(&m);
    for (size_t goal = 0; goal < sizeof goals / sizeof *goals; goal++)
        for (size_t mode = 0; mode < sizeof modes / sizeof *modes; mode++)
            measure(&files, what, goal, mode);
    bench_files_remove(&files);
}

int main(void)
{
    const unsigned cores = bench_cores();

    lort_blas_start(NULL);
    const double one = bench_sgemm(1), all = bench_sgemm(cores);
    printf("sgemm: %.1f Gflop/s on one core, %.1f on %u: %.2f times\n", one, all, cores, all / one);
    count_tasks();
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        measure_model(bench_short() ? &short_models[i] : &models[i]);
    bench_bars_print(&bars);
    return 0;
}
