/* bench_speed: MB/s of bf16 that one thread compresses and restores, beside memcpy and zstd of the
 * same run.
 *
 *   bench_speed [ROWS COLS [ERROR ...]]      default 4096 4096 and errors 0.05, 0.02, 0.3
 *
 * 0.05 is the command line's default. The matrix is normal noise whose rows and columns differ in
 * scale by up to a factor of four. To integers this looks much like weights. Times are of whole
 * commands, checksums included, the best of two (BENCH=short: of one). Files are in memory
 * (/dev/shm), since on a disk the disk would decide. */
#include "tests/bench/roofline.h"

#include "compress/math/random.h"
#include "formats/types/half.h"
#include "tests/unit/sized.h"

#define COMPRESS_BAR 100
#define RESTORE_BAR 400

/* The sum of twelve uniform numbers: normal enough. */
static float normal(uint64_t *x)
{
    float sum = -6;
    for (int i = 0; i < 3; i++) {
        *x = *x * 6364136223846793005u + 1442695040888963407u;
        for (int part = 1; part < 5; part++)
            sum += (float)(*x >> (64 - 13 * part) & 0x1FFF) / 8192.0f;
    }
    return sum;
}

static uint8_t *make_model(int64_t rows, int64_t cols)
{
    uint8_t *bytes = malloc((size_t)(rows * cols) * 2);
    float *row = malloc((size_t)cols * sizeof *row);
    uint64_t x = 1;
    bench_need(bytes && row, "no memory");
    for (int64_t r = 0; r < rows; r++) {
        const float scale = 0.02f * exp2f(sinf((float)r * 0.37f));
        for (int64_t c = 0; c < cols; c++)
            row[c] = scale * exp2f(sinf((float)c * 0.11f)) * normal(&x);
        lort_store_bf16(row, bytes + 2 * r * cols, (uint64_t)cols);
    }
    free(row);
    return bytes;
}

static void print_speed(const char *what, double mb, double seconds, double share, double bar)
{
    printf("  %-28s %9.1f MB/s", what, mb / seconds);
    if (share > 0)
        printf("  %6.2f bits of 16", 16 * share);
    if (bar > 0)
        printf("  bar %3.0f MB/s %s", bar, mb / seconds >= bar ? "met" : "MISSED");
    printf("\n");
}

static void measure_zstd(const uint8_t *bytes, size_t n, int level)
{
    const size_t room = ZSTD_compressBound(n);
    uint8_t *coded = malloc(room), *back = malloc(n);
    char what[40];
    double begin = bench_now();
    const size_t stored = ZSTD_compress(coded, room, bytes, n, level);
    snprintf(what, sizeof what, "zstd -%d", level);
    print_speed(what, (double)n / 1e6, bench_now() - begin, (double)stored / (double)n, 0);
    begin = bench_now();
    bench_need(ZSTD_decompress(back, n, coded, stored) == n, "zstd");
    print_speed("zstd -d", (double)n / 1e6, bench_now() - begin, 0, 0);
    free(coded);
    free(back);
}

static double time_restore(const bench_files *f)
{
    const lort_restore_options options = {
        RESTORE_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = 1}, .force = true};
    lort_report report = {0};
    lort_error err;
    const double begin = bench_now();
    bench_ok(lort_restore(f->coded, f->back, &options, NULL, &report, &err), &err);
    const double seconds = bench_now() - begin;
    lort_report_free(&report);
    return seconds;
}

/* error < 0: losslessly */
static void measure_lort(const bench_files *f, double mb, double error)
{
    double compress = 1e9, restore = 1e9, share = 0;
    char what[40];
    for (int i = 0; i < (bench_short() ? 1 : 2); i++) {
        lort_options options;
        lort_report report;
        lort_options_init(&options);
        options.goal = error < 0 ? LORT_GOAL_LOSSLESS : LORT_GOAL_ERROR;
        options.value = error < 0 ? 0 : error;
        options.residual = error < 0 ? LORT_RESIDUAL_NONE : LORT_RESIDUAL_INT;
        const double begin = bench_now();
        const lort_tensor_report *tensor = bench_compress(f, &options, &report);
        compress = fmin(compress, bench_now() - begin);
        share = (double)tensor->bytes_out / (double)tensor->bytes_in;
        lort_report_free(&report);
        restore = fmin(restore, time_restore(f));
    }
    snprintf(what, sizeof what,
             error < 0 ? "lort compress --lossless" : "lort compress, error %.3g", error);
    print_speed(what, mb, compress, share, error < 0 ? 0 : COMPRESS_BAR);
    print_speed("lort restore", mb, restore, 0, error < 0 ? 0 : RESTORE_BAR);
}

int main(int argc, char **argv)
{
    static const double usual[] = {0.05, 0.02, 0.3};
    const int64_t rows = argc > 2 ? strtoll(argv[1], NULL, 10) : 4096,
                  cols = argc > 2 ? strtoll(argv[2], NULL, 10) : 4096;
    const int given = argc > 3 ? argc - 3 : 0;
    const bench_files files = bench_files_memory("safetensors");
    const size_t n = (size_t)(rows * cols) * 2;
    uint8_t *bytes = make_model(rows, cols);
    bench_write_safetensors(files.model, lort_dtype_get(LORT_BF16), rows, cols, bytes);
    printf("%lld x %lld in bf16, one thread, MB of bf16 a second\n", (long long)rows,
           (long long)cols);
    print_speed("memcpy", 1e3 * bench_memcpy(), 1, 0, 0);
    measure_zstd(bytes, n, 1);
    free(bytes);
    measure_lort(&files, (double)n / 1e6, -1);
    for (int i = 0; i < (given ? given : 3); i++)
        measure_lort(&files, (double)n / 1e6, given ? strtod(argv[3 + i], NULL) : usual[i]);
    bench_files_remove(&files);
    return 0;
}
