/* multiply: see multiply.h.
 *
 *      DEPTH components of a strip, packed          a tile of out stays in registers
 *      +-------- STRIP --------+                    +-- STRIP or half of it --+
 *      | right[k0][c0 ..]      |                    | 4 to 8 rows             |
 *      | right[k0 + 1][c0 ..]  |                    +-------------------------+
 *
 * The rows of `right` may lie a power of two apart, where a cache holds few of them. So LoRT packs
 * a strip before it uses it for many rows. Between two pieces of DEPTH components the sums wait in
 * `out`, as the f32 that they are.
 *
 * Loops over arrays would be simpler, but gcc 12 spills them. So the tiles are written with the
 * vectors of the processor, in one macro for both widths. They are chosen by a table here instead
 * of by LORT_VECTORS, since a version differs from the others in more than its instructions. */
#include "compress/math/multiply.h"
#include "formats/types/vectors.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif
#include <string.h>

#define STRIP 32 /* columns: two vectors of AVX-512 */
#define DEPTH 32
#define BAND_ROWS 256 /* rows for which a packed strip serves; their left factor fits into L2 */
#define EDGE_ROWS 32  /* rows at a time where a strip is cut by the last column */

/* A piece of a product: [rows][depth] times a packed strip [depth][STRIP]. */
typedef struct piece {
    int64_t rows, depth;
    const float *left;
    int64_t left_ld;
    const float *strip;
    bool first; /* sums begin at +0; else at what out has */
    float *out; /* [rows][STRIP] */
    int64_t out_ld;
} piece;

struct lort_multiplier {
    const char *name;
    bool (*runs)(void);
    void (*multiply)(const piece *p);
};

/* ---- every processor ---- */

#if defined(__FP_FAST_FMAF)
LORT_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
/* The product of two f32 is exact in f64. The sum is rounded to odd there: if it is not exact, its
 * last bit is set. So rounding it once more, to f32, gives what one rounding would have given
 * (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008). The error of the
 * sum is Knuth's; it is NaN if the sum is Inf or NaN. fmaf of a C library may be far slower. */
LORT_INLINE float fused(float a, float b, float c)
{
    const double product = (double)a * (double)b, addend = (double)c, sum = product + addend;
    const double back = sum - product, error = (product - (sum - back)) + (addend - back);
    uint64_t bits;
    double odd;
    memcpy(&bits, &sum, sizeof bits);
    if ((error > 0 || error < 0) && !(bits & 1))
        bits += (error > 0) == (sum > 0) ? 1 : UINT64_MAX; /* towards the exact sum */
    memcpy(&odd, &bits, sizeof odd);
    return (float)odd;
}
#endif

static bool always(void) { return true; }

static void multiply_row(const piece *p, int64_t row)
{
    float sums[STRIP] = {0}, *out = p->out + row * p->out_ld;
    if (!p->first)
        memcpy(sums, out, sizeof sums);
    for (int64_t k = 0; k < p->depth; k++) {
        const float factor = p->left[row * p->left_ld + k], *strip = p->strip + k * STRIP;
        for (int j = 0; j < STRIP; j++)
            sums[j] = fused(factor, strip[j], sums[j]);
    }
    memcpy(out, sums, sizeof sums);
}

static void multiply_plain(const piece *p)
{
    for (int64_t row = 0; row < p->rows; row++)
        multiply_row(p, row);
}

/* ---- x86-64 with fused multiply-add ---- */

#if defined(__x86_64__) && defined(__GNUC__)

/* Defines `name`, which computes `rows` rows x `vectors` vectors of a tile. Both are constants
 * where it is inlined, so the sums stay in registers. */
#define DEFINE_TILE(name, isa, vector, lanes, zero, load, store, broadcast, fma)                   \
    static inline __attribute__((always_inline, target(isa))) void name(                           \
        int rows, int vectors, const piece *p, int64_t row, int64_t col)                           \
    {                                                                                              \
        const float *left = p->left + row * p->left_ld, *strip = p->strip + col;                   \
        float *out = p->out + row * p->out_ld + col;                                               \
        vector sums[8][4];                                                                         \
        LORT_UNROLL for (int i = 0; i < rows; i++) LORT_UNROLL for (int v = 0; v < vectors; v++)   \
            sums[i][v] = p->first ? zero() : load(out + i * p->out_ld + v * lanes);                \
        for (int64_t k = 0; k < p->depth; k++) {                                                   \
            vector right[4];                                                                       \
            LORT_UNROLL for (int v = 0; v < vectors; v++) right[v] =                               \
                load(strip + k * STRIP + v * lanes);                                               \
            LORT_UNROLL for (int i = 0; i < rows; i++)                                             \
            {                                                                                      \
                const vector factor = broadcast(left[i * p->left_ld + k]);                         \
                LORT_UNROLL for (int v = 0; v < vectors; v++) sums[i][v] =                         \
                    fma(factor, right[v], sums[i][v]);                                             \
            }                                                                                      \
        }                                                                                          \
        LORT_UNROLL for (int i = 0; i < rows; i++) LORT_UNROLL for (int v = 0; v < vectors; v++)   \
            store(out + i * p->out_ld + v * lanes, sums[i][v]);                                    \
    }

#define FMA "avx2,fma"
DEFINE_TILE(tile_fma, FMA, __m256, 8, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps,
            _mm256_set1_ps, _mm256_fmadd_ps)

/* Six rows of two vectors, since there are 16 registers: 12 sums, 2 of the strip, 1 factor. */
__attribute__((target(FMA))) static void multiply_fma(const piece *p)
{
    int64_t row = 0;
    for (; row + 6 <= p->rows; row += 6)
        for (int64_t col = 0; col < STRIP; col += 16)
            tile_fma(6, 2, p, row, col);
    for (; row + 2 <= p->rows; row += 2)
        tile_fma(2, 4, p, row, 0);
    for (; row < p->rows; row++)
        tile_fma(1, 4, p, row, 0);
}

static bool has_fma(void) { return lort_processor_kind() >= LORT_PROCESSOR_AVX2; }

#define AVX512 "avx512f"
DEFINE_TILE(tile_avx512, AVX512, __m512, 16, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps,
            _mm512_set1_ps, _mm512_fmadd_ps)

__attribute__((target(AVX512))) static void multiply_avx512(const piece *p)
{
    int64_t row = 0;
    for (; row + 8 <= p->rows; row += 8)
        tile_avx512(8, 2, p, row, 0);
    for (; row + 4 <= p->rows; row += 4)
        tile_avx512(4, 2, p, row, 0);
    for (; row < p->rows; row++)
        tile_avx512(1, 2, p, row, 0);
}

static bool has_avx512(void) { return lort_processor_kind() >= LORT_PROCESSOR_AVX512; }
#endif

/* ---- the choice ---- */

static const lort_multiplier ways[] = {
#if defined(__x86_64__) && defined(__GNUC__)
    {"avx512", has_avx512, multiply_avx512},
    {"fma", has_fma, multiply_fma},
#endif
    {"plain", always, multiply_plain},
};
#define WAYS (sizeof ways / sizeof *ways)

const lort_multiplier *lort_multiplier_at(unsigned number)
{
    return number < WAYS ? &ways[number] : NULL;
}

const char *lort_multiplier_name(const lort_multiplier *way) { return way->name; }

bool lort_multiplier_runs(const lort_multiplier *way) { return way->runs(); }

/* ---- strips ---- */

/* Packs [depth][wide] of the right factor. The strip is STRIP wide; the rest of it becomes zero. */
static void pack_strip(const float *right, int64_t ld, int64_t depth, int64_t wide, float *strip)
{
    for (int64_t k = 0; k < depth; k++) {
        memcpy(strip + k * STRIP, right + k * ld, (size_t)wide * sizeof *strip);
        memset(strip + k * STRIP + wide, 0, (size_t)(STRIP - wide) * sizeof *strip);
    }
}

static void copy_rows(const float *from, int64_t from_ld, float *to, int64_t to_ld, int64_t rows,
                      int64_t wide)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * to_ld, from + i * from_ld, (size_t)wide * sizeof *to);
}

/* A strip that the last column cuts: its rows are computed at full width beside `out`. */
static void multiply_edge(const lort_multiplier *way, const piece *whole, int64_t wide)
{
    float edge[EDGE_ROWS * STRIP];
    for (int64_t row = 0; row < whole->rows; row += EDGE_ROWS) {
        piece p = *whole;
        float *out = whole->out + row * whole->out_ld;
        p.rows = whole->rows - row < EDGE_ROWS ? whole->rows - row : EDGE_ROWS;
        p.left += row * p.left_ld;
        p.out = edge;
        p.out_ld = STRIP;
        memset(edge, 0, sizeof edge);
        if (!p.first)
            copy_rows(out, whole->out_ld, edge, STRIP, p.rows, wide);
        way->multiply(&p);
        copy_rows(edge, STRIP, out, whole->out_ld, p.rows, wide);
    }
}

static void multiply_strip(const lort_multiplier *way, const lort_multiplication *m, int64_t row,
                           int64_t rows, int64_t col)
{
    float strip[DEPTH * STRIP];
    const int64_t wide = m->cols - col < STRIP ? m->cols - col : STRIP;
    for (int64_t k = 0; k < m->rank; k += DEPTH) {
        const piece p = {.rows = rows,
                         .depth = m->rank - k < DEPTH ? m->rank - k : DEPTH,
                         .left = m->left + row * m->left_ld + k,
                         .left_ld = m->left_ld,
                         .strip = strip,
                         .first = k == 0,
                         .out = m->out + row * m->out_ld + col,
                         .out_ld = m->out_ld};
        pack_strip(m->right + k * m->right_ld + col, m->right_ld, p.depth, wide, strip);
        if (wide == STRIP)
            way->multiply(&p);
        else
            multiply_edge(way, &p, wide);
    }
}

void lort_multiply_by(const lort_multiplier *way, const lort_multiplication *m)
{
    for (int64_t i = 0; m->rank == 0 && i < m->rows; i++)
        memset(m->out + i * m->out_ld, 0, (size_t)m->cols * sizeof *m->out);
    for (int64_t row = 0; row < m->rows; row += BAND_ROWS) {
        const int64_t rows = m->rows - row < BAND_ROWS ? m->rows - row : BAND_ROWS;
        for (int64_t col = 0; col < m->cols; col += STRIP)
            multiply_strip(way, m, row, rows, col);
    }
}

void lort_multiply(const lort_multiplication *m)
{
    const lort_multiplier *way = ways;
    while (!way->runs())
        way++;
    lort_multiply_by(way, m);
}
