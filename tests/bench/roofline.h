/* roofline: the speeds of the machine itself in the same run: sgemm, memcpy, the disk, zstd. And
 * bars: figures that are printed together at a program's end. */
#ifndef LORT_TESTS_ROOFLINE_H
#define LORT_TESTS_ROOFLINE_H

#include "tests/bench/bench.h"

#include <fcntl.h>
#include <math.h>
#include <zstd.h>

#include "compress/math/blas.h"
#include "formats/container/container.h"
#include "formats/types/planes.h"
#include "loader/machine/pool.h"

static inline unsigned bench_cores(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 1 ? (unsigned)n : 1;
}

static inline void *bench_take(size_t bytes)
{
    void *memory = NULL;
    bench_need(posix_memalign(&memory, 4096, bytes + 4096) == 0, "no memory");
    return memory;
}

static inline lort_pool *bench_pool(unsigned threads)
{
    lort_pool *pool;
    lort_error err = {0};
    unsigned started;
    bench_ok(lort_pool_open(threads, &pool, &started, &err), &err);
    bench_need(started == threads, "fewer threads than asked for");
    return pool;
}

/* As bench_files_make, but in memory if the machine has a place for such files. A disk that is slow
 * to sync says nothing about the coding. */
static inline bench_files bench_files_memory(const char *extension)
{
    if (access("/dev/shm", W_OK) == 0)
        return bench_files_in("/dev/shm", extension);
    printf("no /dev/shm here: times are of the disk too\n");
    return bench_files_make(extension);
}

/* ---- bars ---- */

#define BENCH_BARS 80
typedef struct bench_bars {
    unsigned count, missed;
    char text[BENCH_BARS][280];
} bench_bars;

/* Notes a figure that must be `bar` or more. A note says which other condition held, or did not. */
static inline void bench_at_least(bench_bars *bars, double value, double bar, const char *unit,
                                  bool also, const char *what)
{
    const bool met = value >= bar && also;
    bench_need(bars->count < BENCH_BARS, "too many bars");
    bars->missed += !met;
    snprintf(bars->text[bars->count++], sizeof bars->text[0], "%-76s %10.4g %-6s (at least %g) %s",
             what, value, unit, bar, met ? "met" : "MISSED");
}

static inline void bench_at_most(bench_bars *bars, double value, double bar, const char *unit,
                                 const char *what)
{
    const bool met = value <= bar;
    bench_need(bars->count < BENCH_BARS, "too many bars");
    bars->missed += !met;
    snprintf(bars->text[bars->count++], sizeof bars->text[0], "%-76s %10.4g %-6s (at most %g) %s",
             what, value, unit, bar, met ? "met" : "MISSED");
}

static inline void bench_bars_print(const bench_bars *bars)
{
    for (unsigned i = 0; i < bars->count; i++)
        printf("bar: %s\n", bars->text[i]);
    fflush(stdout);
}

/* ---- sgemm ---- */

#define BENCH_SGEMM 1024
typedef struct bench_gemms {
    float *matrices; /* three for each worker */
} bench_gemms;

static inline lort_code bench_gemm_item(void *ctx, int64_t item, unsigned worker, unsigned slot,
                                        lort_error *err)
{
    enum { N = BENCH_SGEMM };
    float *x = ((bench_gemms *)ctx)->matrices + (size_t)worker * 3 * N * N;
    lort_sgemm(false, false, N, N, N, 1, x, N, x + N * N, N, 0, x + 2 * N * N, N);
    return LORT_OK;
}

/* Returns Gflop/s of `threads` workers, each with a product of its own, as LoRT uses BLAS. It is
 * the best of ten rounds. */
static inline double bench_sgemm(unsigned threads)
{
    enum { N = BENCH_SGEMM, EACH = 2 };
    const size_t count = (size_t)threads * 3 * N * N;
    bench_gemms gemms = {bench_take(count * sizeof(float))};
    lort_pool *pool = bench_pool(threads);
    double best = 1e9;

    /* zeros would draw less power than numbers */
    for (size_t i = 0; i < count; i++)
        gemms.matrices[i] = (float)(i * 2654435761u % 1000) / 1000 - 0.5f;
    for (int i = 0; i < 10; i++) {
        const double begin = bench_now();
        bench_need(lort_pool_each(pool, EACH * threads, bench_gemm_item, &gemms, NULL) == LORT_OK,
                   "sgemm");
        best = fmin(best, bench_now() - begin);
    }
    lort_pool_close(pool);
    free(gemms.matrices);
    return 2e-9 * N * N * N * EACH * threads / best;
}

/* ---- memcpy, zstd ---- */

/* Returns GB/s of copies of 256 MiB, one thread. */
static inline double bench_memcpy(void)
{
    const size_t n = 256u << 20;
    uint8_t *from = bench_take(n), *to = bench_take(n);
    double best = 1e9;
    memset(from, 1, n);
    memset(to, 2, n);
    for (int i = 0; i < 4; i++) {
        const double begin = bench_now();
        memcpy(to, from, n);
        best = fmin(best, bench_now() - begin);
        bench_need(memcmp(to + n / 2, from, 4096) == 0, "memcpy");
    }
    free(from);
    free(to);
    return 1e-9 * (double)n / best;
}

typedef struct bench_zstd_speed {
    double encode, decode; /* MB/s of the bytes that are coded, one thread */
    double share;          /* coded size over size */
} bench_zstd_speed;

/* Runs zstd at level 1 on the byte planes of each chunk, and takes the best of three. The splitting
 * does not count. */
static inline bench_zstd_speed bench_zstd(const lort_dtype_info *type, const uint8_t *bytes,
                                          size_t n)
{
    const size_t chunk = LORT_CHUNK_TARGET / type->block_bytes * type->block_bytes,
                 room = ZSTD_compressBound(chunk), chunks = (n + chunk - 1) / chunk;
    uint8_t *planes = bench_take(n), *coded = bench_take(chunks * room), *back = bench_take(chunk);
    size_t *stored = bench_take(chunks * sizeof *stored), total = 0;
    ZSTD_CCtx *encoder = ZSTD_createCCtx();
    ZSTD_DCtx *decoder = ZSTD_createDCtx();
    double encode = 1e9, decode = 1e9;

    for (size_t i = 0; i < chunks; i++)
        lort_planes_split(bytes + i * chunk, planes + i * chunk,
                          i + 1 < chunks ? chunk : n - i * chunk, type->plane_width, type->rotate);
    for (int round = 0; round < 3; round++) {
        double begin = bench_now();
        for (size_t i = total = 0; i < chunks; i++)
            total += stored[i] =
                ZSTD_compressCCtx(encoder, coded + i * room, room, planes + i * chunk,
                                  i + 1 < chunks ? chunk : n - i * chunk, 1);
        encode = fmin(encode, bench_now() - begin);
        begin = bench_now();
        for (size_t i = 0; i < chunks; i++)
            bench_need(!ZSTD_isError(
                           ZSTD_decompressDCtx(decoder, back, chunk, coded + i * room, stored[i])),
                       "zstd");
        decode = fmin(decode, bench_now() - begin);
    }
    ZSTD_freeCCtx(encoder);
    ZSTD_freeDCtx(decoder);
    free(planes);
    free(coded);
    free(back);
    free(stored);
    return (bench_zstd_speed){1e-6 * (double)n / encode, 1e-6 * (double)n / decode,
                              (double)total / (double)n};
}

/* ---- the disk ---- */

typedef struct bench_disk_speed {
    /* GB/s: written and synced; read after the page cache is dropped; read again */
    double write, cold, warm;
} bench_disk_speed;

static inline double bench_read_file(const char *path, bool cold, uint8_t *buffer, size_t step)
{
    const int fd = open(path, O_RDONLY);
    double total = 0;
    ssize_t got;
    bench_need(fd >= 0, path);
    if (cold)
        bench_need(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0,
                   "the page cache does not let go");
    const double begin = bench_now();
    while ((got = read(fd, buffer, step)) > 0)
        total += (double)got;
    const double seconds = bench_now() - begin;
    close(fd);
    return 1e-9 * total / seconds;
}

/* Writes and reads a file of `bytes` in /tmp, 8 MiB at a time. The host below a virtual disk may
 * still hold data that the guest dropped. */
static inline bench_disk_speed bench_disk(size_t bytes)
{
    const size_t step = 8u << 20;
    uint8_t *buffer = bench_take(step);
    char path[] = "/tmp/lort-disk-XXXXXX";
    const int fd = mkstemp(path);
    bench_disk_speed speed;

    bench_need(fd >= 0, "no file in /tmp");
    for (size_t i = 0; i < step; i++)
        buffer[i] = (uint8_t)(i * 2654435761u >> 13);
    const double begin = bench_now();
    for (size_t at = 0; at < bytes; at += step)
        bench_need(write(fd, buffer, step) == (ssize_t)step, "the disk is full");
    bench_need(fsync(fd) == 0 && close(fd) == 0, "the disk is full");
    speed.write = 1e-9 * (double)bytes / (bench_now() - begin);
    speed.cold = bench_read_file(path, true, buffer, step);
    speed.warm = fmax(bench_read_file(path, false, buffer, step),
                      bench_read_file(path, false, buffer, step));
    remove(path);
    free(buffer);
    return speed;
}

#endif
