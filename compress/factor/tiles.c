/* tiles: the matrix as the factorisation sees it, in tiles of a grid, scaled by an exact power of
 * two. A scan finds this power, the norm, and elements that are not finite. Owns no memory. */
#include "compress/factor/factor_parts.h"
#include <math.h>

#define SCAN_LANES 8
/* Within this exponent, sums of up to 2^32 products of raw elements stay far from the ends of f32.
 * So alpha of sgemm does the scaling. */
#define PLAIN_EXPONENT 32

static void scaled_copy(const float *src, int64_t ld, int64_t rows, int64_t cols,
                        const float *scale, int exponent, float *dst)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++)
            dst[r * cols + c] = scale ? src[r * ld + c] * scale[c] : src[r * ld + c];
        if (exponent != 0)
            lort_scale_floats(dst + r * cols, cols, exponent);
    }
}

lort_code lort_tile_read(lort_factoring *f, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                         int64_t c1, const float **tile, int64_t *ld, lort_error *err)
{
    float *own = f->tiles + worker * lort_factor_tile_floats(&f->grid);
    const float *scale = f->source->scale;
    lort_code code = f->source->read(f->source->ctx, worker, r0, r1, c0, c1, own, tile, ld, err);

    if (code != LORT_OK)
        return code;
    /* Views of one row may have a leading dimension beyond 31 bits, which BLAS cannot take. */
    if (f->rescale || scale || *ld > INT32_MAX) {
        scaled_copy(*tile, *ld, r1 - r0, c1 - c0, scale ? scale + c0 : NULL,
                    f->rescale ? -f->exponent : 0, own);
        *tile = own;
        *ld = c1 - c0;
    }
    return LORT_OK;
}

/* Fixed lanes fix the order of the sum. So the compiler may use vectors without leave to reorder.
 */
static void add_row(const float *x, int64_t n, double sums[SCAN_LANES], float tops[SCAN_LANES])
{
    int64_t i = 0;

    for (; i + SCAN_LANES <= n; i += SCAN_LANES)
        for (int l = 0; l < SCAN_LANES; l++) {
            const float v = fabsf(x[i + l]);
            sums[l] += (double)v * (double)v;
            tops[l] = v > tops[l] ? v : tops[l];
        }
    for (int l = 0; i < n; i++, l++) {
        const float v = fabsf(x[i]);
        sums[l] += (double)v * (double)v;
        tops[l] = v > tops[l] ? v : tops[l];
    }
}

static void find_bad(const float *tile, int64_t ld, int64_t r0, int64_t r1, int64_t c0, int64_t c1,
                     lort_partial *partial)
{
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) {
            if (isfinite(tile[(r - r0) * ld + c - c0]))
                continue;
            if (partial->row < 0 || r < partial->row || (r == partial->row && c < partial->col)) {
                partial->row = r;
                partial->col = c;
            }
            return;
        }
}

static void scan_tile(const float *tile, int64_t ld, int64_t r0, int64_t r1, int64_t c0, int64_t c1,
                      lort_partial *partial)
{
    double sums[SCAN_LANES] = {0}, sum = 0;
    float tops[SCAN_LANES] = {0};

    for (int64_t r = 0; r < r1 - r0; r++)
        add_row(tile + r * ld, c1 - c0, sums, tops);
    for (int l = 0; l < SCAN_LANES; l++) {
        sum += sums[l];
        partial->max = tops[l] > partial->max ? tops[l] : partial->max;
    }
    /* Squares of finite f32 are finite in f64, and so is the sum of any 2^63 of them. */
    if (!isfinite(sum))
        find_bad(tile, ld, r0, r1, c0, c1, partial);
    partial->sum += sum;
}

static lort_code scan_panel(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    lort_factoring *f = ctx;
    const lort_factor_grid *g = &f->grid;
    const int64_t r0 = item * g->panel, r1 = r0 + g->panel < g->rows ? r0 + g->panel : g->rows;
    lort_partial *partial = &f->partials[item];

    *partial = (lort_partial){.row = -1, .col = -1};
    for (int64_t c0 = 0; c0 < g->cols; c0 += g->tile) {
        const int64_t c1 = c0 + g->tile < g->cols ? c0 + g->tile : g->cols;
        const float *tile;
        int64_t ld;
        lort_code code = lort_tile_read(f, worker, r0, r1, c0, c1, &tile, &ld, err);
        if (code != LORT_OK)
            return code;
        scan_tile(tile, ld, r0, r1, c0, c1, partial);
    }
    return LORT_OK;
}

lort_code lort_factor_scan(lort_factoring *f, lort_verdict *verdict, lort_partial *bad,
                           lort_error *err)
{
    const int64_t panels = lort_factor_items(f->grid.rows, f->grid.panel);
    double sum = 0;
    float max = 0;
    lort_code code = lort_pool_each(f->pool, panels, scan_panel, f, err);

    if (code != LORT_OK)
        return code;
    f->passes++;
    for (int64_t i = 0; i < panels; i++) {
        if (f->partials[i].row >= 0) {
            *verdict = LORT_NONFINITE;
            *bad = f->partials[i];
            return LORT_OK;
        }
        sum += f->partials[i].sum;
        max = f->partials[i].max > max ? f->partials[i].max : max;
    }
    *verdict = max > 0 ? LORT_FACTORED : LORT_ZERO;
    if (max > 0)
        frexpf(max, &f->exponent);
    f->rescale = f->exponent > PLAIN_EXPONENT || f->exponent < -PLAIN_EXPONENT;
    f->alpha = f->rescale ? 1.0f : ldexpf(1.0f, -f->exponent);
    f->norm2 = ldexp(sum, -2 * f->exponent);
    return LORT_OK;
}
