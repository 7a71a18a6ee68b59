/* refit: factors of one rank as LoRT stores them, in one read of A.
 *
 *   R = S^(1/2) V' Q'            rounded to its type
 *   L = A R' (R R')^-1           the least-squares answer to the stored R, rounded to its type
 *   error = ||A - L R||^2        summed in f64 over the numbers that a reader computes from L and R
 */
#include "compress/factor/factor_parts.h"
#include "compress/math/blas.h"
#include "compress/math/multiply.h"
#include "formats/types/half.h"
#include "formats/types/quant.h"
#include <math.h>

/* Eigenvalues of R R' below this share of the largest belong to rows that rounding made dependent.
 */
#define DEPENDENT 1e-12
#define ERROR_LANES 8
#define RUN 1024 /* numbers that are rounded at a time: whole blocks of any type */
#define BITS_SAVED (LORT_SIXTEEN_BITS - LORT_EIGHT_BITS)
/* 1 / (2 ln 2): log2(1 + x) / 2 is at most this times x */
#define BITS_AT_MOST 0.72134752044448170
/* Share of the energy left by a rank that rounding one factor to Q8_0 may add. So both factors make
 * the error grow by half a percent at most. */
#define SHARE_OF_LEFT 0.005

typedef struct factor_type {
    lort_dtype id;
    uint32_t block, bytes; /* numbers in a block, and its bytes */
    void (*store)(const float *src, void *dst, uint64_t n);
    void (*load)(const void *src, float *dst, uint64_t n);
} factor_type;
enum { HALF, BRAIN, EIGHT, WHOLE, TYPES };
_Static_assert(EIGHT + 1 == LORT_FACTOR_TYPES, "a sum for each type that LoRT chooses from");
static const factor_type factor_types[TYPES] = {
    [HALF] = {LORT_F16, 1, 2, lort_store_f16, lort_load_f16},
    [BRAIN] = {LORT_BF16, 1, 2, lort_store_bf16, lort_load_bf16},
    [EIGHT] = {LORT_Q8_0, 32, 34, lort_store_q8_0, lort_decode_q8_0},
    [WHOLE] = {LORT_F32, 1, 4, lort_store_f32, lort_load_f32}, /* only where it is asked for */
};

static const factor_type *find_type(lort_dtype id)
{
    int t = 0;

    while (t + 1 < TYPES && factor_types[t].id != id)
        t++;
    return &factor_types[t];
}

typedef struct refit_run {
    lort_factoring *f;
    lort_factors *out;
    int64_t rank, run; /* run: numbers of R in one item of the pool */
    const factor_type *left, *right;
} refit_run;

static uint64_t stored_bytes(const factor_type *type, int64_t n)
{
    return (uint64_t)(n / type->block) * type->bytes;
}

/* Weights of the errors of a factor's numbers, which lie row by row with `cols` in each. NULL: 1.
 */
typedef struct factor_weights {
    const float *rows, *columns;
    int64_t cols;
} factor_weights;

/* Returns the weighed squared rounding error of numbers [first, first + n) of a factor in one type.
 */
static double rounding_error(const factor_type *type, const float *x, int64_t first, int64_t n,
                             const factor_weights *by)
{
    uint8_t stored[2 * RUN];
    float back[RUN];
    double sum = 0;
    int64_t row = first / by->cols, column = first % by->cols;

    for (int64_t at = 0; at < n; at += RUN) {
        const int64_t count = lort_min64(RUN, n - at);
        type->store(x + at, stored, (uint64_t)count);
        type->load(stored, back, (uint64_t)count);
        for (int64_t i = 0; i < count; i++) {
            const double weight = (by->rows ? (double)by->rows[row] : 1) *
                                  (by->columns ? (double)by->columns[column] : 1);
            const double d = ((double)x[at + i] - (double)back[i]) * weight;
            sum += d * d;
            if (++column == by->cols) {
                column = 0;
                row++;
            }
        }
    }
    return sum;
}

/* Measures the rounding error in each type. Only a factor of whole blocks has a form in blocks:
 * `total` numbers must divide by the block. */
static void round_each(const float *x, int64_t first, int64_t n, int64_t total,
                       const factor_weights *by, lort_partial *partial)
{
    *partial = (lort_partial){0};
    for (int t = 0; t < LORT_FACTOR_TYPES; t++)
        if (total % factor_types[t].block == 0)
            partial->rounded[t] = rounding_error(&factor_types[t], x, first, n, by);
}

static double singular_value(const lort_factoring *f, int64_t i)
{
    const double square = i < f->d ? f->values[f->d - 1 - i] : 0;

    return square > 0 ? sqrt(square) : 0;
}

/* The other factor multiplies an error in row i of R, or in column i of L. Its norm there is the
 * root of the singular value. */
static float *root_weights(const lort_factoring *f) { return (float *)f->diagonal; }

/* Returns true if 8 bits are worth `more` squared error than 16 bits. The other factor is taken to
 * add as much, so l, the energy left, grows by 2 more.
 *
 *   GAIN      half of mn/2 log2((l + 2 more) / l), the bits that integers then need more, is
 *             less than the bits saved; growth of l below the aim costs nothing
 *   RANK      more <= 0.005 l
 *   others    lort_reach_rank_eight chose the rank with room for this error */
static bool eight_pays(const refit_run *run, double more, int64_t numbers)
{
    const lort_factoring *f = run->f;
    const lort_target *target = f->target;
    const double left = fmax(f->norm2 - lort_ritz_sum(f, run->rank), 0),
                 aim = target->aim * target->aim * f->norm2;

    if (target->kind == LORT_TARGET_GAIN && left <= aim && left + 2 * more > aim)
        return false; /* integers would have something to code */
    if (target->kind == LORT_TARGET_GAIN)
        return BITS_AT_MOST * (double)f->grid.rows * (double)f->grid.cols *
                   (fmax(left + 2 * more, aim) - fmax(left, aim)) / 2 <
               BITS_SAVED * (double)numbers * fmax(left, aim);
    return target->kind == LORT_TARGET_RANK
               ? more <= SHARE_OF_LEFT * left
               : f->eight && 2 * more <= LORT_EIGHT_ROUNDING * f->norm2;
}

static const factor_type *choose_types(const refit_run *run, int64_t items, int64_t numbers)
{
    double sums[LORT_FACTOR_TYPES] = {0};

    for (int64_t i = 0; i < items; i++)
        for (int t = 0; t < LORT_FACTOR_TYPES; t++)
            sums[t] += run->f->partials[i].rounded[t];
    /* f16 on a tie; a type that overflows to Inf loses */
    const int half = sums[BRAIN] < sums[HALF] ? BRAIN : HALF;
    return numbers % factor_types[EIGHT].block == 0 &&
                   eight_pays(run, sums[EIGHT] - sums[half], numbers)
               ? &factor_types[EIGHT]
               : &factor_types[half];
}

/* ---- the right factor ---- */

/* Row i of the coefficients C is sqrt(s_i) v_i'. So R = C Q', and Y C' has columns s_i^(3/2) u_i.
 */
static void solve_coefficients(const lort_factoring *f, int64_t rank)
{
    float *c = (float *)f->work;

    for (int64_t i = 0; i < rank; i++) {
        const double *v = f->gram + lort_max64(f->d - 1 - i, 0) * f->grid.cap,
                     scale = sqrt(singular_value(f, i));
        root_weights(f)[i] = (float)scale;
        for (int64_t j = 0; j < f->d; j++)
            c[i * f->d + j] = (float)(v[j] * scale);
    }
}

/* Computes columns of R as they are stored: divided by their scales. */
static lort_code right_stripe(void *ctx, int64_t item, unsigned worker, unsigned slot,
                              lort_error *err)
{
    const refit_run *run = ctx;
    lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;
    const int64_t c0 = item * g->stripe, n = lort_min64(g->stripe, g->cols - c0);
    const float *scale = f->source->scale;

    lort_sgemm(false, true, run->rank, n, f->d, 1, (const float *)f->work, f->d, f->q + c0 * g->cap,
               g->cap, 0, f->right + c0, g->cols);
    for (int64_t i = 0; scale && i < run->rank; i++)
        for (int64_t c = c0; c < c0 + n; c++)
            f->right[i * g->cols + c] /= scale[c];
    return LORT_OK;
}

/* Returns how many numbers of R an item has, and the first in *first. Runs may begin in the middle
 * of a row, as blocks do. */
static int64_t run_of(const refit_run *run, int64_t item, int64_t *first)
{
    *first = item * run->run;
    return lort_min64(run->run, run->rank * run->f->grid.cols - *first);
}

static lort_code measure_run(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    const refit_run *run = ctx;
    const lort_factoring *f = run->f;
    int64_t first, n = run_of(run, item, &first);

    const factor_weights by = {root_weights(f), f->source->scale, f->grid.cols};
    round_each(f->right + first, first, n, run->rank * f->grid.cols, &by, &f->partials[item]);
    return LORT_OK;
}

static lort_code round_run(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const refit_run *run = ctx;
    const lort_factoring *f = run->f;
    const float *scale = f->source->scale;
    int64_t first, n = run_of(run, item, &first);
    uint8_t *stored = run->out->right + stored_bytes(run->right, first);

    run->right->store(f->right + first, stored, (uint64_t)n);
    run->right->load(stored, f->right + first, (uint64_t)n);
    for (int64_t i = first; scale && i < first + n; i++)
        f->right[i] *= scale[i % f->grid.cols];
    return LORT_OK;
}

static lort_code build_right(refit_run *run, lort_error *err)
{
    lort_factoring *f = run->f;
    const int64_t stripes = lort_factor_items(f->grid.cols, f->grid.stripe),
                  numbers = run->rank * f->grid.cols;
    lort_code code;

    run->run = lort_factor_items(lort_factor_items(numbers, stripes), RUN) * RUN;
    const int64_t items = lort_factor_items(numbers, run->run);
    solve_coefficients(f, run->rank);
    code = lort_pool_each(f->pool, stripes, right_stripe, run, err);
    if (code == LORT_OK)
        code = lort_pool_each(f->pool, items, measure_run, run, err);
    if (code != LORT_OK)
        return code;
    run->right =
        f->target->fixed ? find_type(f->target->right_type) : choose_types(run, items, numbers);
    run->out->right_bytes = stored_bytes(run->right, numbers);
    code =
        lort_take(f->alloc, run->out->right_bytes, "right factor", (void **)&run->out->right, err);
    return code == LORT_OK ? lort_pool_each(f->pool, items, round_run, run, err) : code;
}

/* ---- the type of the left factor, judged on U S^(1/2) ---- */

static lort_code left_panel(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    const refit_run *run = ctx;
    const lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;
    const int64_t r0 = item * g->panel, n = lort_min64(g->panel, g->rows - r0), k = run->rank;
    float *left = (float *)(f->scratch + worker * lort_factor_scratch_bytes(g));

    lort_sgemm(false, true, n, k, f->d, 1, f->y + r0 * g->cap, g->cap, (const float *)f->work, f->d,
               0, left, k);
    for (int64_t i = 0; i < k; i++) {
        const float scale = (float)(1 / singular_value(f, i));
        for (int64_t r = 0; r < n; r++)
            left[r * k + i] *= scale;
    }
    const factor_weights by = {NULL, root_weights(f), k};
    round_each(left, r0 * k, n * k, g->rows * k, &by, &f->partials[item]);
    return LORT_OK;
}

static lort_code choose_left(refit_run *run, lort_error *err)
{
    lort_factoring *f = run->f;
    const int64_t panels = lort_factor_items(f->grid.rows, f->grid.panel),
                  numbers = f->grid.rows * run->rank;

    lort_code code =
        f->target->fixed ? LORT_OK : lort_pool_each(f->pool, panels, left_panel, run, err);
    if (code != LORT_OK)
        return code;
    run->left =
        f->target->fixed ? find_type(f->target->left_type) : choose_types(run, panels, numbers);
    run->out->left_bytes = stored_bytes(run->left, numbers);
    return lort_take(f->alloc, run->out->left_bytes, "left factor", (void **)&run->out->left, err);
}

/* ---- the left factor and the error ---- */

/* solve <- B with B'B = (R R')^-1: eigenvectors over the roots of their eigenvalues. Dependent rows
 * become zero rows. */
static lort_code invert_gram(refit_run *run, lort_error *err)
{
    lort_factoring *f = run->f;
    const int64_t k = run->rank;
    lort_code code =
        lort_gram_wide(f, f->right, f->grid.cols, f->grid.cols, 0, k, f->solve, k, err);

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

/* The scratch of one worker in the last pass. */
typedef struct refit_room {
    double *product, *solved; /* [panel][rank] */
    float *left;              /* [panel][rank] */
    float *values;            /* [panel][LORT_ERROR_COLS]: of the product */
} refit_room;

static refit_room room_of(const refit_run *run, unsigned worker)
{
    const lort_factor_grid *g = &run->f->grid;
    uint8_t *at = run->f->scratch + worker * lort_factor_scratch_bytes(g);
    const int64_t n = g->panel * g->rank_cap;
    refit_room room = {.product = (double *)at};

    room.solved = room.product + n;
    room.left = (float *)(room.solved + n);
    room.values = room.left + n;
    return room;
}

/* Reads the tile at column c0 of one panel. */
static lort_code read_panel(lort_factoring *f, unsigned worker, int64_t panel, int64_t c0,
                            lort_tile *tile, lort_error *err)
{
    const lort_factor_grid *g = &f->grid;

    *tile = lort_tile_at(f, panel * g->panel, g->panel, g->rows, c0, g->tile);
    return lort_tile_read(f, worker, tile, err);
}

/* Computes room->left = A R' for one panel. */
static lort_code times_right(const refit_run *run, unsigned worker, int64_t panel,
                             const refit_room *room, lort_tile *v, lort_error *err)
{
    lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;

    for (int64_t c0 = 0; c0 < g->cols; c0 += g->tile) {
        lort_code code = read_panel(f, worker, panel, c0, v, err);
        if (code != LORT_OK)
            return code;
        lort_sgemm(false, true, v->r1 - v->r0, run->rank, v->c1 - c0, f->alpha, v->at, v->ld,
                   f->right + c0, g->cols, c0 > 0, room->left, run->rank);
    }
    return LORT_OK;
}

/* Replaces A R' in room->left by the stored left factor. */
static void solve_left(const refit_run *run, const refit_room *room, const lort_tile *v)
{
    const int64_t k = run->rank, n = v->r1 - v->r0;
    uint8_t *stored = run->out->left + stored_bytes(run->left, v->r0 * k);

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

/* Returns the error of the columns of a tile from c on, at most LORT_ERROR_COLS. Far from 1 the
 * reader's numbers round or saturate, so these numbers do too. */
static double columns_error(const refit_run *run, const refit_room *room, const lort_tile *v,
                            int64_t c)
{
    const lort_factoring *f = run->f;
    const int64_t n = v->r1 - v->r0, wide = lort_min64(LORT_ERROR_COLS, v->c1 - c);
    double sum = 0;

    lort_multiply(&(lort_multiplication){.rows = n,
                                         .cols = wide,
                                         .rank = run->rank,
                                         .left = room->left,
                                         .left_ld = run->rank,
                                         .right = f->right + c,
                                         .right_ld = f->grid.cols,
                                         .out = room->values,
                                         .out_ld = wide});
    if (f->rescale) {
        lort_scale_floats(room->values, n * wide, f->exponent);
        lort_scale_floats(room->values, n * wide, -f->exponent);
    }
    for (int64_t i = 0; i < n; i++)
        sum += row_error(v->at + i * v->ld + c - v->c0, f->alpha, room->values + i * wide, wide);
    return sum;
}

static lort_code refit_panel(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    const refit_run *run = ctx;
    lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;
    const refit_room room = room_of(run, worker);
    lort_tile v;
    double sum = 0;
    lort_code code = times_right(run, worker, item, &room, &v, err);

    if (code != LORT_OK)
        return code;
    solve_left(run, &room, &v);
    for (int64_t c0 = 0; c0 < g->cols; c0 += g->tile) {
        if (g->tile < g->cols)
            code = read_panel(f, worker, item, c0, &v, err);
        if (code != LORT_OK)
            return code;
        for (int64_t c = v.c0; c < v.c1; c += LORT_ERROR_COLS)
            sum += columns_error(run, &room, &v, c);
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
    code = build_right(&run, err);
    if (code == LORT_OK)
        code = choose_left(&run, err);
    if (code == LORT_OK)
        code = invert_gram(&run, err);
    if (code == LORT_OK)
        code = fit_left(&run, err);
    if (code != LORT_OK)
        return code;
    out->left_type = run.left->id;
    out->right_type = run.right->id;
    return LORT_OK;
}
