/* bench_decode: decoders to f32. It prints GB/s of output on one core. It also prints the decoders'
 * share of the time of a factorisation at k = 64 that reads a matrix of the type.
 *
 * Stored bytes are random, but bit 6 is clear, so that no scale is Inf or NaN. For the share, every
 * read of a tile decodes bytes of the type, and the program times this. Then the tile gets the
 * numbers of a generated matrix (spectra.h), so that the factorisation has as much work as with
 * real weights. The program subtracts the time of that copy. */
#include "tests/bench/spectra.h"

#define TILE ((int64_t)256 * 4096)  /* numbers */
#define STORED ((int64_t)16 * TILE) /* 64 MiB of f32: beyond the caches */
#define RANK 64

typedef struct reader {
    spectra *m;
    const lort_dtype_info *type;
    const uint8_t *bytes; /* [rows][cols] of the type */
    double decoding, copying;
} reader;

static bench_bars bars;

static uint8_t *make_bytes(size_t n)
{
    uint8_t *bytes = bench_take(n);
    uint64_t x = 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(x >> 56) & 0xBF;
    }
    return bytes;
}

/* Decodes tile after tile through one buffer, as the factorisation does. */
static double gigabytes(const lort_dtype_info *type, const uint8_t *bytes, float *tile)
{
    const size_t step = bench_bytes(type, 1, TILE);
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        const double begin = bench_now();
        for (int64_t at = 0; at < STORED / TILE; at++)
            type->decode(bytes + (size_t)at * step, tile, (uint64_t)TILE);
        best = fmin(best, bench_now() - begin);
    }
    return 4e-9 * (double)STORED / best;
}

static lort_code read_tile(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                           int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err)
{
    reader *s = ctx;
    const int64_t cols = c1 - c0, step = cols == s->m->cols ? r1 - r0 : 1;
    const double begin = bench_now();
    for (int64_t r = r0; r < r1; r += step)
        s->type->decode(s->bytes + bench_bytes(s->type, 1, r * s->m->cols + c0),
                        dst + (r - r0) * cols, (uint64_t)(step * cols));
    const double middle = bench_now();
    for (int64_t r = r0; r < r1; r++)
        memcpy(dst + (r - r0) * cols, s->m->values + r * s->m->cols + c0,
               (size_t)cols * sizeof *dst);
    s->copying += bench_now() - middle;
    s->decoding += middle - begin;
    *out = dst;
    *ld = cols;
    return LORT_OK;
}

/* Returns the decoders' share of one core's time. *seconds: of the factorisation, without the
 * copies. */
static double share_of(reader *r, double *seconds)
{
    const lort_target target = {
        .kind = LORT_TARGET_RANK, .rank = RANK, .max_rank = RANK, .key = SPECTRA_KEY};
    const uint32_t element = r->type->block_elements > 1 ? 1 : r->type->block_bytes;
    const lort_matrix_source source = {.rows = r->m->rows,
                                       .cols = r->m->cols,
                                       .element_bytes = element,
                                       .read = read_tile,
                                       .ctx = r};
    double best = 1;
    for (int i = 0; i < (bench_short() ? 1 : 3); i++) {
        lort_error err = {0};
        lort_factors f;
        r->decoding = r->copying = 0;
        const double begin = bench_now();
        bench_ok(lort_factor(&source, &target, NULL, &lort_alloc_heap, &f, &err), &err);
        const double taken = bench_now() - begin - r->copying;
        bench_need(f.verdict == LORT_FACTORED, "not factored");
        lort_factors_free(&f, &lort_alloc_heap);
        if (r->decoding / taken < best) {
            best = r->decoding / taken;
            *seconds = taken;
        }
    }
    return best;
}

/* Returns the most per cent of the factorisation that a type may take; 0: no bar. */
static double bar_of(const lort_dtype_info *type)
{
    if (type->id == LORT_F16 || type->id == LORT_BF16)
        return 15;
    return type->id >= LORT_Q4_0 && type->id <= LORT_Q6_K ? 35 : 0;
}

static void measure(const lort_dtype_info *type, spectra *m, const uint8_t *bytes, float *tile,
                    double copy)
{
    const double speed = gigabytes(type, bytes, tile), bar = bar_of(type);
    char what[80];
    printf("  %-8s %7.1f GB/s  %5.2f of memcpy", type->name, speed, speed / copy);
    if (bar > 0) {
        reader r = {.m = m, .type = type, .bytes = bytes};
        double seconds;
        const double share = share_of(&r, &seconds);
        printf("  %6.3f s of %6.3f s: %5.1f %%", share * seconds, seconds, 100 * share);
        snprintf(what, sizeof what, "%s: decoding's share of a factorisation at k = %d, one core",
                 type->name, RANK);
        bench_at_most(&bars, 100 * share, bar, "%", what);
    }
    printf("\n");
    fflush(stdout);
}

int main(void)
{
    const int64_t side = bench_short() ? 2048 : 4096;
    uint8_t *bytes = make_bytes((size_t)STORED * 8);
    float *tile = bench_take((size_t)TILE * sizeof *tile);
    spectra m;

    lort_blas_start(NULL);
    m = spectra_make(side, 4096, LORT_F16);
    const double copy = bench_memcpy();
    printf("memcpy %.1f GB/s, sgemm %.1f Gflop/s on one core; %" PRId64 " x 4096; GB/s of f32\n",
           copy, bench_sgemm(1), side);
    for (uint32_t i = 0; lort_dtype_at(i); i++)
        if (lort_dtype_at(i)->decode && lort_dtype_at(i)->kind != LORT_KIND_OTHER &&
            TILE % lort_dtype_at(i)->block_elements == 0)
            measure(lort_dtype_at(i), &m, bytes, tile, copy);
    bench_bars_print(&bars);
    spectra_free(&m);
    free(bytes);
    free(tile);
    return 0;
}
