/* tiles: the matrix as the factorisation sees it, in tiles of a grid, scaled by an exact power of
 * two. A scan finds this power, the norm, and elements that are not finite. Owns no memory. */
#include "compress/factor/factor_parts.h"
#include <math.h>

#define SCAN_LANES 8
/* Within this exponent, sums of up to 2^32 products of raw elements stay far from the ends of f32.
 * So alpha of sgemm does the scaling. */
#define PLAIN_EXPONENT 32

static void scaled_copy(const lort_tile *tile, const float *scale, int exponent, float *dst)
{
    const int64_t cols = tile->c1 - tile->c0;

    for (int64_t r = 0; r < tile->r1 - tile->r0; r++) {
        const float *src = tile->at + r * tile->ld;
        for (int64_t c = 0; c < cols; c++)
            dst[r * cols + c] = scale ? src[c] * scale[c] : src[c];
        if (exponent != 0)
            lort_scale_floats(dst + r * cols, cols, exponent);
    }
}

lort_tile lort_tile_at(const lort_factoring *f, int64_t r0, int64_t rows, int64_t end, int64_t c0,
                       int64_t cols)
{
    return (lort_tile){.r0 = r0,
                       .r1 = lort_min64(r0 + rows, end),
                       .c0 = c0,
                       .c1 = lort_min64(c0 + cols, f->grid.cols)};
}

lort_code lort_tile_read(lort_factoring *f, unsigned worker, lort_tile *tile, lort_error *err)
{
    float *own = f->tiles + worker * lort_factor_tile_floats(&f->grid);
    const float *scale = f->source->scale;
    lort_code code = f->source->read(f->source->ctx, worker, tile->r0, tile->r1, tile->c0, tile->c1,
                                     own, &tile->at, &tile->ld, err);

    if (code != LORT_OK)
        return code;
    /* Views of one row may have a leading dimension beyond 31 bits, which BLAS cannot take. */
    if (f->rescale || scale || tile->ld > INT32_MAX) {
        scaled_copy(tile, scale ? scale + tile->c0 : NULL, f->rescale ? -f->exponent : 0, own);
        tile->at = own;
        tile->ld = tile->c1 - tile->c0;
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

static void find_bad(const lort_tile *tile, lort_partial *partial)
{
    for (int64_t r = tile->r0; r < tile->r1; r++)
        for (int64_t c = tile->c0; c < tile->c1; c++) {
            if (isfinite(tile->at[(r - tile->r0) * tile->ld + c - tile->c0]))
                continue;
            if (partial->row < 0 || r < partial->row || (r == partial->row && c < partial->col)) {
                partial->row = r;
                partial->col = c;
            }
            return;
        }
}

static void scan_tile(const lort_tile *tile, lort_partial *partial)
{
    double sums[SCAN_LANES] = {0}, sum = 0;
    float tops[SCAN_LANES] = {0};

    for (int64_t r = 0; r < tile->r1 - tile->r0; r++)
        add_row(tile->at + r * tile->ld, tile->c1 - tile->c0, sums, tops);
    for (int l = 0; l < SCAN_LANES; l++) {
        sum += sums[l];
        partial->max = tops[l] > partial->max ? tops[l] : partial->max;
    }
    /* Squares of finite f32 are finite in f64, and so is the sum of any 2^63 of them. */
    if (!isfinite(sum))
        find_bad(tile, partial);
    partial->sum += sum;
}

static lort_code scan_panel(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    lort_factoring *f = ctx;
    const lort_factor_grid *g = &f->grid;
    lort_partial *partial = &f->partials[item];

    *partial = (lort_partial){.row = -1, .col = -1};
    for (int64_t c0 = 0; c0 < g->cols; c0 += g->tile) {
        lort_tile tile = lort_tile_at(f, item * g->panel, g->panel, g->rows, c0, g->tile);
        lort_code code = lort_tile_read(f, worker, &tile, err);
        if (code != LORT_OK)
            return code;
        scan_tile(&tile, partial);
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
    if (max > 0 && !f->target->fixed)
        frexpf(max, &f->exponent);
    f->rescale = f->exponent > PLAIN_EXPONENT || f->exponent < -PLAIN_EXPONENT;
    f->alpha = f->rescale ? 1.0f : ldexpf(1.0f, -f->exponent);
    f->norm2 = ldexp(sum, -2 * f->exponent);
    return LORT_OK;
}
