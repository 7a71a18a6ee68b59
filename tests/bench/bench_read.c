/* bench_read: lort_weights_read on a container of the default target, whose matrices are coded
 * integers: one thread and two, beside lort_weights_rows and memcpy. Then a container of 1 GiB of
 * weights, tensor by tensor, under a budget. Files are in memory (/dev/shm). Several runs take
 * turns, and the best of each counts, since other programs disturb the times. */
#define _POSIX_C_SOURCE 200809L
#include "tests/bench/bench.h"
#include "tests/bench/roofline.h"
#include "tests/unit/sized.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#define BAR 1.7
#define BUDGET (UINT64_C(64) << 20)

static bench_bars bars;

/* make_model lies beside this program. */
static void make(const char *program, const char *path, const char *settings)
{
    char command[600];
    const char *slash = strrchr(program, '/');
    snprintf(command, sizeof command, "%.*s/make_model %s %s >/dev/null",
             slash ? (int)(slash - program) : 1, slash ? program : ".", path, settings);
    bench_need(system(command) == 0, "make_model failed (make bench builds it)");
}

static void compress(const bench_files *f)
{
    lort_options options;
    lort_report report = {0};
    lort_error err = {0};
    lort_options_init(&options);
    options.force = true;
    bench_ok(lort_compress(f->model, f->coded, &options, NULL, &report, &err), &err);
    printf("%.0f MB of weights, %.0f MB in the container, %.2f bits per weight\n",
           1e-6 * (double)report.input_bytes, 1e-6 * (double)report.output_bytes, report.bpw);
    lort_report_free(&report);
}

static lort_weights *open_within(const char *path, uint64_t memory)
{
    lort_run_options run;
    lort_weights *w;
    lort_error err = {0};
    lort_run_options_init(&run);
    run.memory_bytes = memory;
    bench_ok(lort_weights_open(path, &run, &w, &err), &err);
    return w;
}

/* The largest tensor. */
static lort_tensor_info largest(const lort_weights *w)
{
    lort_tensor_info most = {0}, info;
    for (uint64_t i = 0; i < lort_weights_count(w); i++)
        if (lort_weights_info(w, i, &info, NULL) == LORT_OK && info.elements > most.elements)
            most = info;
    return most;
}

/* ---- speed ---- */

static lort_code take_rows(void *ctx, uint64_t first, const float *values, uint64_t count)
{
    memcpy((float *)ctx + first, values, count * sizeof *values);
    return LORT_OK;
}

static double stream(lort_weights *w, const lort_tensor_info *info, float *values, float *piece,
                     uint64_t bytes)
{
    uint64_t number;
    lort_error err = {0};
    const double begin = bench_now();
    bench_ok(lort_weights_find(w, info->name, &number, &err), &err);
    bench_ok(lort_weights_rows(w, number, 0, LORT_ROWS_ALL, piece, bytes, take_rows, values, &err),
             &err);
    return bench_now() - begin;
}

static double read_tensor(lort_weights *w, const lort_tensor_info *info, lort_read_type type,
                          unsigned threads, void *buffer)
{
    lort_error err = {0};
    const double begin = bench_now();
    bench_ok(lort_weights_read(w, info->name, type, 0, LORT_ROWS_ALL, buffer,
                               info->elements * sizeof(float), threads, &err),
             &err);
    return bench_now() - begin;
}

static void print_row(const char *what, const lort_tensor_info *info, double seconds, double one)
{
    printf("  %-34s %9.0f rows/s %8.1f M weights/s %6.2f x\n", what, (double)info->rows / seconds,
           1e-6 * (double)info->elements / seconds, one / seconds);
}

static void measure_speed(const bench_files *f)
{
    static const struct {
        const char *name;
        lort_read_type type;
        unsigned threads;
    } ways[] = {{"lort_weights_read, F32, 1 thread", LORT_READ_F32, 1},
                {"lort_weights_read, F32, 2 threads", LORT_READ_F32, 2},
                {"lort_weights_read, BF16, 1 thread", LORT_READ_BF16, 1},
                {"lort_weights_read, BF16, 2 threads", LORT_READ_BF16, 2},
                {"lort_weights_read, own, 2 threads", LORT_READ_OWN, 2}};
    enum { WAYS = sizeof ways / sizeof *ways, PIECE = 1 << 20 };
    lort_weights *w = open_within(f->coded, 0);
    const lort_tensor_info info = largest(w);
    const size_t bytes = (size_t)info.elements * sizeof(float);
    float *values = bench_take(bytes), *piece = bench_take(PIECE);
    double best[WAYS], rows = 1e9;
    memset(values, 0, bytes); /* its pages are there */
    for (int i = 0; i < WAYS; i++)
        best[i] = 1e9;
    for (int turn = 0; turn < (bench_short() ? 3 : 9); turn++) {
        rows = fmin(rows, stream(w, &info, values, piece, PIECE));
        for (int i = 0; i < WAYS; i++)
            best[i] = fmin(best[i], read_tensor(w, &info, ways[i].type, ways[i].threads, values));
    }
    print_row("lort_weights_rows", &info, rows, best[0]);
    for (int i = 0; i < WAYS; i++)
        print_row(ways[i].name, &info, best[i], best[ways[i].type == LORT_READ_F32 ? 0 : 2]);
    const double copy = (double)bytes / (1e9 * bench_memcpy());
    print_row("memcpy of its values", &info, copy, best[0]);
    if (bench_cores() > 1)
        bench_at_least(&bars, best[0] / best[1], BAR, "times", true,
                       "lort_weights_read, F32: two threads beside one");
    free(values);
    free(piece);
    lort_weights_close(w);
}

/* ---- memory ---- */

static atomic_bool done;
static atomic_ullong peak;

/* Anonymous memory of the process: resident pages less shared ones. */
static uint64_t anonymous(void)
{
    unsigned long long size = 0, resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    bench_need(file && fscanf(file, "%llu %llu %llu", &size, &resident, &shared) == 3, "statm");
    fclose(file);
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void *watch(void *nothing)
{
    while (!atomic_load(&done)) {
        const unsigned long long now = anonymous();
        if (now > atomic_load(&peak))
            atomic_store(&peak, now);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    return nothing;
}

static void measure_memory(const bench_files *f)
{
    lort_weights *w = open_within(f->coded, BUDGET);
    const size_t bytes = (size_t)largest(w).elements * sizeof(float);
    void *buffer = bench_take(bytes);
    lort_tensor_info info;
    pthread_t thread;
    lort_weights_close(w);
    memset(buffer, 0, bytes); /* the program's memory does not count */
    const uint64_t before = anonymous();
    atomic_store(&peak, before);
    bench_need(pthread_create(&thread, NULL, watch, NULL) == 0, "no thread");
    w = open_within(f->coded, BUDGET);
    const double begin = bench_now();
    double elements = 0;
    for (uint64_t i = 0; i < lort_weights_count(w); i++) {
        bench_need(lort_weights_info(w, i, &info, NULL) == LORT_OK, "info");
        read_tensor(w, &info, LORT_READ_F32, 0, buffer);
        elements += (double)info.elements;
    }
    const double seconds = bench_now() - begin;
    lort_weights_close(w);
    atomic_store(&done, true);
    pthread_join(thread, NULL);
    const double most = 1e-6 * (double)(atomic_load(&peak) - before);
    printf("  tensor by tensor, all cores: %.2f s, %.1f M weights/s; peak of anonymous memory "
           "%.1f MB, budget %.1f MB\n",
           seconds, 1e-6 * elements / seconds, most, 1e-6 * (double)BUDGET);
    bench_at_most(&bars, most, 1e-6 * (double)BUDGET, "MB",
                  "a container read tensor by tensor: peak of anonymous memory");
    free(buffer);
}

int main(int argc, char **argv)
{
    const bench_files one = bench_files_memory("safetensors"),
                      all = bench_files_memory("safetensors");
    (void)argc;
    printf("memcpy %.1f GB/s\n", bench_memcpy());
    make(argv[0], one.model, "big=1 rows=8192 cols=4096");
    compress(&one);
    measure_speed(&one);
    make(argv[0], all.model,
         bench_short() ? "vocab=8192 hidden=1024 kv=256 ffn=4096 layers=4"
                       : "vocab=32768 hidden=2048 kv=512 ffn=8192 layers=7");
    compress(&all);
    measure_memory(&all);
    bench_bars_print(&bars);
    bench_files_remove(&one);
    bench_files_remove(&all);
    return bars.missed > 0;
}
