/* refit: factors of one rank as they will be stored. R = S^(1/2) V'Q' is rounded to 16 bits; the left factor is then the least-squares
 * answer to the R that is stored, L = A R'(R R')^-1, rounded in turn; and the error is summed in f64 over what a reader will
 * compute from the two. One read of A. */
#include "compress/factor_parts.h"

#include "compress/blas.h"
#include "formats/half.h"
#include <math.h>
#include <string.h>

#define DEPENDENT 1e-12 /* eigenvalues of R R' this far below the largest: rows of R that rounding made dependent */
#define ERROR_LANES 8

typedef struct half_type {
    lort_dtype id;
    uint16_t (*narrow)(float);
    float (*widen)(uint16_t);
    void (*store)(const float *src, void *dst, uint64_t n);
    void (*load)(const void *src, float *dst, uint64_t n);
} half_type;
static const half_type half_types[2] = {
    {LORT_F16, lort_f32_to_f16, lort_f16_to_f32, lort_store_f16, lort_load_f16},
    {LORT_BF16, lort_f32_to_bf16, lort_bf16_to_f32, lort_store_bf16, lort_load_bf16},
};

typedef struct refit_run {
    lort_factoring *f;
    lort_factors *out;
    int64_t rank;
    const half_type *left, *right;
} refit_run;

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Squared rounding error of n numbers in one type; with scales, of numbers that are stored divided by them. */
static double rounding(const half_type *type, const float *x, int64_t n, int64_t stride, const float *scale)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        const float v = scale ? x[i * stride] / scale[i] : x[i * stride];
        const double d = ((double)v - (double)type->widen(type->narrow(v))) * (scale ? (double)scale[i] : 1);
        sum += d * d;
    }
    return sum;
}

static void times(float *x, const float *scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= scale[i];
}

static void over(float *x, const float *scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] /= scale[i];
}

/* The scales of columns from c on, or NULL. */
static const float *scales_at(const lort_factoring *f, int64_t c) { return f->source->scale ? f->source->scale + c : NULL; }

static double singular(const lort_factoring *f, int64_t i)
{
    const double square = f->values[f->d - 1 - i];

    return square > 0 ? sqrt(square) : 0;
}

/* An error in row i of R, or in column i of L, is multiplied by the other factor, whose norm squared is the singular value. */
static void add_rounding(const lort_factoring *f, int64_t i, const float *x, int64_t n, int64_t stride, const float *scale, lort_partial *part)
{
    part->sum += singular(f, i) * rounding(&half_types[0], x, n, stride, scale);
    part->other += singular(f, i) * rounding(&half_types[1], x, n, stride, scale);
}

static const half_type *better_half(const lort_factoring *f, int64_t items)
{
    double sums[2] = {0, 0};

    for (int64_t i = 0; i < items; i++) {
        sums[0] += f->partials[i].sum;
        sums[1] += f->partials[i].other;
    }
    return &half_types[sums[1] < sums[0]]; /* f16 on a tie; an overflow to Inf loses */
}

/* ---- the right factor ---- */

/* Rows i of coefficients: sqrt(s_i) v_i', so that R = C Q' and Y C' has columns s_i^(3/2) u_i. */
static float *coefficients(const lort_factoring *f, int64_t rank)
{
    float *c = (float *)f->work;

    for (int64_t i = 0; i < rank; i++) {
        const double *v = f->gram + (f->d - 1 - i) * f->grid.cap, scale = sqrt(singular(f, i));
        for (int64_t j = 0; j < f->d; j++)
            c[i * f->d + j] = (float)(v[j] * scale);
    }
    return c;
}

static lort_code right_stripe(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const refit_run *run = ctx;
    lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;
    const int64_t c0 = item * g->stripe, n = min64(g->stripe, g->cols - c0);

    lort_sgemm(false, true, run->rank, n, f->d, 1, (const float *)f->work, f->d, f->q + c0 * g->cap, g->cap, 0, f->right + c0, g->cols);
    f->partials[item] = (lort_partial){0};
    for (int64_t i = 0; i < run->rank; i++)
        add_rounding(f, i, f->right + i * g->cols + c0, n, 1, scales_at(f, c0), &f->partials[item]);
    return LORT_OK;
}

static lort_code round_stripe(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const refit_run *run = ctx;
    const lort_factor_grid *g = &run->f->grid;
    const int64_t c0 = item * g->stripe, n = min64(g->stripe, g->cols - c0);
    const float *scale = scales_at(run->f, c0);

    for (int64_t i = 0; i < run->rank; i++) {
        float *row = run->f->right + i * g->cols + c0;
        uint8_t *stored = run->out->right + 2 * (i * g->cols + c0);
        if (scale)
            over(row, scale, n);
        run->right->store(row, stored, (uint64_t)n);
        run->right->load(stored, row, (uint64_t)n);
        if (scale)
            times(row, scale, n);
    }
    return LORT_OK;
}

static lort_code build_right(refit_run *run, lort_error *err)
{
    lort_factoring *f = run->f;
    const int64_t stripes = lort_factor_items(f->grid.cols, f->grid.stripe);
    lort_code code;

    coefficients(f, run->rank);
    code = lort_pool_each(f->pool, stripes, right_stripe, run, err);
    if (code != LORT_OK)
        return code;
    run->right = better_half(f, stripes);
    return lort_pool_each(f->pool, stripes, round_stripe, run, err);
}

/* ---- the type of the left factor, judged on U S^(1/2) ---- */

static lort_code left_panel(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const refit_run *run = ctx;
    const lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;
    const int64_t r0 = item * g->panel, n = min64(g->panel, g->rows - r0), k = run->rank;
    float *left = (float *)(f->scratch + worker * lort_factor_scratch_bytes(g));

    lort_sgemm(false, true, n, k, f->d, 1, f->y + r0 * g->cap, g->cap, (const float *)f->work, f->d, 0, left, k);
    f->partials[item] = (lort_partial){0};
    for (int64_t i = 0; i < k; i++) {
        const float scale = (float)(1 / singular(f, i));
        for (int64_t r = 0; r < n; r++)
            left[r * k + i] *= scale;
        add_rounding(f, i, left + i, n, k, NULL, &f->partials[item]);
    }
    return LORT_OK;
}

static lort_code choose_left(refit_run *run, lort_error *err)
{
    const int64_t panels = lort_factor_items(run->f->grid.rows, run->f->grid.panel);
    lort_code code = lort_pool_each(run->f->pool, panels, left_panel, run, err);

    if (code == LORT_OK)
        run->left = better_half(run->f, panels);
    return code;
}

/* ---- the left factor and the error ---- */

/* solve <- B with B'B = (R R')^-1: eigenvectors over the roots of their eigenvalues, zero rows for dependent ones. */
static lort_code invert(refit_run *run, lort_error *err)
{
    lort_factoring *f = run->f;
    const int64_t k = run->rank;
    lort_code code = lort_gram_wide(f, f->right, f->grid.cols, f->grid.cols, 0, k, f->solve, k, err);

    if (code == LORT_OK)
        code = lort_dsyevd(k, f->solve, k, f->diagonal, f->work, err);
    if (code != LORT_OK)
        return code;
    for (int64_t i = 0; i < k; i++) {
        const double value = f->diagonal[i];
        const double scale = value > DEPENDENT * f->diagonal[k - 1] ? 1 / sqrt(value) : 0;
        for (int64_t j = 0; j < k; j++)
            f->solve[i * k + j] *= scale;
    }
    return LORT_OK;
}

/* One worker's scratch in the last pass. */
typedef struct refit_room {
    double *product, *solved; /* [panel][rank] */
    float *left;              /* [panel][rank] */
    float *cell;              /* [LORT_DECODE_ROWS][LORT_DECODE_COLS] */
} refit_room;

static refit_room room_of(const refit_run *run, unsigned worker)
{
    const lort_factor_grid *g = &run->f->grid;
    uint8_t *at = run->f->scratch + worker * lort_factor_scratch_bytes(g);
    const int64_t n = g->panel * g->rank_cap;
    refit_room room = {.product = (double *)at};

    room.solved = room.product + n;
    room.left = (float *)(room.solved + n);
    room.cell = room.left + n;
    return room;
}

typedef struct panel_view {
    const float *tile;
    int64_t ld, r0, r1, c0, c1;
} panel_view;

static lort_code read_panel(lort_factoring *f, unsigned worker, panel_view *v, int64_t c0, lort_error *err)
{
    v->c0 = c0;
    v->c1 = min64(c0 + f->grid.tile, f->grid.cols);
    return lort_tile_read(f, worker, v->r0, v->r1, v->c0, v->c1, &v->tile, &v->ld, err);
}

/* room->left = A_panel R'. */
static lort_code times_right(const refit_run *run, unsigned worker, const refit_room *room, panel_view *v, lort_error *err)
{
    lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;

    for (int64_t c0 = 0; c0 < g->cols; c0 += g->tile) {
        lort_code code = read_panel(f, worker, v, c0, err);
        if (code != LORT_OK)
            return code;
        lort_sgemm(false, true, v->r1 - v->r0, run->rank, v->c1 - c0, f->alpha, v->tile, v->ld, f->right + c0, g->cols, c0 > 0, room->left,
                   run->rank);
    }
    return LORT_OK;
}

/* room->left: A R' in, the stored left factor out. */
static void solve_left(const refit_run *run, const refit_room *room, const panel_view *v)
{
    const int64_t k = run->rank, n = v->r1 - v->r0;
    uint8_t *stored = run->out->left + 2 * (v->r0 * k);

    for (int64_t i = 0; i < n * k; i++)
        room->product[i] = (double)room->left[i];
    lort_dgemm(false, true, n, k, k, 1, room->product, k, run->f->solve, k, 0, room->solved, k);
    lort_dgemm(false, false, n, k, k, 1, room->solved, k, run->f->solve, k, 0, room->product, k);
    for (int64_t i = 0; i < n * k; i++)
        room->left[i] = (float)room->product[i];
    run->left->store(room->left, stored, (uint64_t)(n * k));
    run->left->load(stored, room->left, (uint64_t)(n * k));
}

static double row_error(const float *a, float alpha, const float *p, int64_t n)
{
    double sums[ERROR_LANES] = {0}, sum = 0;
    int64_t i = 0;

    for (; i + ERROR_LANES <= n; i += ERROR_LANES)
        for (int l = 0; l < ERROR_LANES; l++) {
            const double d = (double)(a[i + l] * alpha) - (double)p[i + l];
            sums[l] += d * d;
        }
    for (int l = 0; i < n; i++, l++) {
        const double d = (double)(a[i] * alpha) - (double)p[i];
        sums[l] += d * d;
    }
    for (int l = 0; l < ERROR_LANES; l++)
        sum += sums[l];
    return sum;
}

/* The error of one cell of the decode grid. Far from 1 the reader's numbers themselves round or saturate: so do these. */
static double cell_error(const refit_run *run, const refit_room *room, const panel_view *v, int64_t r, int64_t c)
{
    const lort_factoring *f = run->f;
    const int64_t n = min64(LORT_DECODE_ROWS, v->r1 - r), end = min64(c + LORT_DECODE_COLS, v->c1);
    double sum = 0;

    lort_decode_cell(room->left + (r - v->r0) * run->rank, f->right, run->rank, f->grid.cols, n, c, end, room->cell, end - c);
    if (f->rescale) {
        lort_scale_floats(room->cell, n * (end - c), f->exponent);
        lort_scale_floats(room->cell, n * (end - c), -f->exponent);
    }
    for (int64_t i = 0; i < n; i++)
        sum += row_error(v->tile + (r - v->r0 + i) * v->ld + c - v->c0, f->alpha, room->cell + i * (end - c), end - c);
    return sum;
}

static lort_code refit_panel(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const refit_run *run = ctx;
    lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;
    const refit_room room = room_of(run, worker);
    panel_view v = {.r0 = item * g->panel, .r1 = min64((item + 1) * g->panel, g->rows)};
    double sum = 0;
    lort_code code = times_right(run, worker, &room, &v, err);

    if (code != LORT_OK)
        return code;
    solve_left(run, &room, &v);
    for (int64_t c0 = 0; c0 < g->cols; c0 += g->tile) {
        if (g->tile < g->cols)
            code = read_panel(f, worker, &v, c0, err);
        if (code != LORT_OK)
            return code;
        for (int64_t r = v.r0; r < v.r1; r += LORT_DECODE_ROWS)
            for (int64_t c = v.c0; c < v.c1; c += LORT_DECODE_COLS)
                sum += cell_error(run, &room, &v, r, c);
    }
    f->partials[item].sum = sum;
    return LORT_OK;
}

static lort_code fit_left(refit_run *run, lort_error *err)
{
    const int64_t panels = lort_factor_items(run->f->grid.rows, run->f->grid.panel);
    lort_code code = lort_pool_each(run->f->pool, panels, refit_panel, run, err);

    run->f->passes++;
    run->out->error2 = 0;
    for (int64_t i = 0; i < panels && code == LORT_OK; i++)
        run->out->error2 += run->f->partials[i].sum;
    return code;
}

lort_code lort_refit(lort_factoring *f, int64_t rank, lort_factors *out, lort_error *err)
{
    refit_run run = {.f = f, .out = out, .rank = rank};
    lort_code code;

    lort_factors_free(out, f->alloc);
    out->rank = rank;
    out->left_bytes = 2 * (uint64_t)(f->grid.rows * rank);
    out->right_bytes = 2 * (uint64_t)(f->grid.cols * rank);
    code = lort_take(f->alloc, out->left_bytes, "left factor", (void **)&out->left, err);
    if (code == LORT_OK)
        code = lort_take(f->alloc, out->right_bytes, "right factor", (void **)&out->right, err);
    if (code == LORT_OK)
        code = build_right(&run, err);
    if (code == LORT_OK)
        code = choose_left(&run, err);
    if (code == LORT_OK)
        code = invert(&run, err);
    if (code == LORT_OK)
        code = fit_left(&run, err);
    if (code != LORT_OK)
        return code;
    out->left_type = run.left->id;
    out->right_type = run.right->id;
    return LORT_OK;
}
