/* krylov: the orthonormal basis Q of a block Krylov space of A'A, and Y = A Q.
 *
 *   Y_j = A Q_j         by panels of rows
 *   Z   = A' Y_j        by stripes of columns
 *   twice:  Z -= Q Q'Z, then Z <- Z U L^(-1/2) with Z'Z = U L U'
 *   Q_(j+1) = Z
 *
 * A pass reads A once per group of rows. One item sums each element of Z in row order, so no
 * worker's sums are added to another's. CholeskyQR is in its eigenvalue form: dependent directions
 * are dropped, not shifted.
 *
 * Sources: Musco & Musco, NeurIPS 2015; Yamamoto et al., ETNA 44, 2015. */
#include "compress/factor/factor_parts.h"
#include "compress/math/blas.h"
#include "compress/math/random.h"
#include <math.h>
#include <string.h>

#define TURN_ROWS 256 /* rows at a time; lort_factor_scratch_bytes counts them */
/* Squared, as a share of ||Z||^2: directions of Z below this are rounding of f32. */
#define NOISE 1e-13
/* squared: the least that a unit column must keep in the second round */
#define SECOND 0.05

static void *scratch_of(const lort_factoring *f, unsigned worker)
{
    return f->scratch + worker * lort_factor_scratch_bytes(&f->grid);
}

/* ---- f64 Gram matrices in lanes ---- */

typedef struct gram_run {
    lort_factoring *f;
    const float *x;
    int64_t ldx, length, from, to;
    bool wide;
} gram_run;

static void load_tall(const gram_run *run, int64_t at, int64_t n, double *dst)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < run->to; j++)
            dst[i * run->to + j] = (double)run->x[(at + i) * run->ldx + j];
}

static void load_wide(const gram_run *run, int64_t at, int64_t n, double *dst)
{
    for (int64_t j = 0; j < run->to; j++)
        for (int64_t i = 0; i < n; i++)
            dst[j * n + i] = (double)run->x[j * run->ldx + at + i];
}

static void lane_range(int64_t lane, int64_t length, int64_t *first, int64_t *end)
{
    const int64_t share = lort_factor_items(length, LORT_FACTOR_LANES);

    *first = lort_min64(lane * share, length);
    *end = lort_min64(*first + share, length);
}

static lort_code gram_lane(void *ctx, int64_t lane, unsigned worker, unsigned slot, lort_error *err)
{
    const gram_run *run = ctx;
    const int64_t width = run->to - run->from;
    double *sum = run->f->lanes + lane * run->to * width, *x = scratch_of(run->f, worker);
    int64_t at, end;

    memset(sum, 0, (size_t)(run->to * width) * sizeof *sum);
    for (lane_range(lane, run->length, &at, &end); at < end; at += LORT_GRAM_STEP) {
        const int64_t n = lort_min64(LORT_GRAM_STEP, end - at);
        if (run->wide) {
            load_wide(run, at, n, x);
            lort_dgemm(false, true, run->to, width, n, 1, x, n, x + run->from * n, n, 1, sum,
                       width);
        } else {
            load_tall(run, at, n, x);
            lort_dgemm(true, false, run->to, width, n, 1, x, run->to, x + run->from, run->to, 1,
                       sum, width);
        }
    }
    return LORT_OK;
}

/* A lane holds cap x block numbers. So LoRT computes wider results in chunks of columns. */
static lort_code sum_gram(gram_run run, double *out, int64_t ldo, lort_error *err)
{
    const int64_t last = run.to;

    for (int64_t from = run.from; from < last; from += run.f->grid.block) {
        run.from = from;
        run.to = lort_min64(from + run.f->grid.block, last);
        lort_code code = lort_pool_each(run.f->pool, LORT_FACTOR_LANES, gram_lane, &run, err);
        if (code != LORT_OK)
            return code;
        const int64_t width = run.to - from;
        for (int64_t i = 0; i < run.to; i++)
            for (int64_t j = 0; j < width; j++) {
                double sum = 0;
                for (int64_t lane = 0; lane < LORT_FACTOR_LANES; lane++)
                    sum += run.f->lanes[lane * run.to * width + i * width + j];
                out[i * ldo + from + j] = sum;
            }
    }
    return LORT_OK;
}

lort_code lort_gram_tall(lort_factoring *f, const float *x, int64_t ldx, int64_t length,
                         int64_t from, int64_t to, double *out, int64_t ldo, lort_error *err)
{
    return sum_gram((gram_run){f, x, ldx, length, from, to, false}, out, ldo, err);
}

lort_code lort_gram_wide(lort_factoring *f, const float *x, int64_t ldx, int64_t length,
                         int64_t from, int64_t to, double *out, int64_t ldo, lort_error *err)
{
    return sum_gram((gram_run){f, x, ldx, length, from, to, true}, out, ldo, err);
}

/* ---- orthonormal blocks ---- */

/* Computes one lane of C = Q'Z (f32) and of ||Z||^2. The lane's slot of cap x block doubles has
 * room for C. */
static lort_code project_lane(void *ctx, int64_t lane, unsigned worker, unsigned slot,
                              lort_error *err)
{
    lort_factoring *f = ctx;
    const int64_t ld = f->grid.cap, d = f->d, w = f->width;
    float *c = (float *)(f->lanes + lane * ld * f->grid.block);
    double norm = 0;
    int64_t at, end;

    memset(c, 0, (size_t)(d * w) * sizeof *c);
    for (lane_range(lane, f->grid.cols, &at, &end); at < end; at += TURN_ROWS) {
        const int64_t n = lort_min64(TURN_ROWS, end - at);
        const float *q = f->q + at * ld;
        if (d > 0)
            lort_sgemm(true, false, d, w, n, 1, q, ld, q + d, ld, 1, c, w);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < w; j++)
                norm += (double)q[i * ld + d + j] * (double)q[i * ld + d + j];
    }
    f->partials[lane].sum = norm;
    return LORT_OK;
}

static lort_code subtract_rows(void *ctx, int64_t item, unsigned worker, unsigned slot,
                               lort_error *err)
{
    lort_factoring *f = ctx;
    const int64_t ld = f->grid.cap, at = item * TURN_ROWS,
                  n = lort_min64(TURN_ROWS, f->grid.cols - at);
    float *q = f->q + at * ld;

    lort_sgemm(false, false, n, f->width, f->d, -1, q, ld, f->turn, f->width, 1, q + f->d, ld);
    return LORT_OK;
}

/* Z -= Q (Q'Z). *norm2: ||Z||^2 before. */
static lort_code project_block(lort_factoring *f, double *norm2, lort_error *err)
{
    const int64_t count = f->d * f->width, lane_floats = 2 * f->grid.cap * f->grid.block;
    lort_code code = lort_pool_each(f->pool, LORT_FACTOR_LANES, project_lane, f, err);

    *norm2 = 0;
    if (code != LORT_OK)
        return code;
    for (int64_t lane = 0; lane < LORT_FACTOR_LANES; lane++)
        *norm2 += f->partials[lane].sum;
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t lane = 0; lane < LORT_FACTOR_LANES; lane++)
            sum += (double)((const float *)f->lanes)[lane * lane_floats + i];
        f->turn[i] = (float)sum;
    }
    if (f->d == 0)
        return LORT_OK;
    return lort_pool_each(f->pool, lort_factor_items(f->grid.cols, TURN_ROWS), subtract_rows, f,
                          err);
}

typedef struct turn_run {
    lort_factoring *f;
    int64_t rank;
} turn_run;

static lort_code turn_rows(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const turn_run *run = ctx;
    const lort_factoring *f = run->f;
    const int64_t ld = f->grid.cap, at = item * TURN_ROWS,
                  n = lort_min64(TURN_ROWS, f->grid.cols - at), w = f->width;
    float *z = f->q + at * ld + f->d, *copy = scratch_of(f, worker);

    for (int64_t i = 0; i < n; i++)
        memcpy(copy + i * w, z + i * ld, (size_t)w * sizeof *copy);
    lort_sgemm(false, false, n, run->rank, w, 1, copy, w, f->turn, run->rank, 0, z, ld);
    return LORT_OK;
}

/* Z <- Z U L^(-1/2), over the eigenpairs (L, U) of Z'Z with L > least. */
static lort_code orthonormalise_block(lort_factoring *f, double least, lort_error *err)
{
    const int64_t w = f->width;
    turn_run run = {f, 0};
    lort_code code =
        lort_gram_tall(f, f->q + f->d, f->grid.cap, f->grid.cols, 0, w, f->solve, w, err);

    if (code == LORT_OK)
        code = lort_dsyevd(w, f->solve, w, f->diagonal, f->work, err);
    if (code != LORT_OK)
        return code;
    for (int64_t i = 0; i < w; i++)
        run.rank += f->diagonal[i] > least;
    for (int64_t i = 0; i < run.rank; i++)
        for (int64_t j = 0; j < w; j++) /* largest first */
            f->turn[j * run.rank + i] =
                (float)(f->solve[(w - 1 - i) * w + j] / sqrt(f->diagonal[w - 1 - i]));
    if (run.rank > 0)
        code = lort_pool_each(f->pool, lort_factor_items(f->grid.cols, TURN_ROWS), turn_rows, &run,
                              err);
    f->width = code == LORT_OK ? run.rank : 0;
    return code;
}

static lort_code orthonormal_block(lort_factoring *f, lort_error *err)
{
    lort_code code = LORT_OK;

    for (int round = 0; round < 2 && code == LORT_OK && f->width > 0; round++) {
        double norm2;
        code = project_block(f, &norm2, err);
        if (code == LORT_OK)
            code = orthonormalise_block(f, round == 0 ? NOISE * norm2 : SECOND, err);
    }
    return code;
}

static void set_identity(lort_factoring *f)
{
    memset(f->q, 0, (size_t)(f->grid.cols * f->grid.cap) * sizeof *f->q);
    for (int64_t i = 0; i < f->grid.cols; i++)
        f->q[i * f->grid.cap + i] = 1;
}

/* A key has one random matrix. Block d of Q starts from columns d and on of that matrix. */
static lort_code random_block(lort_factoring *f, lort_error *err)
{
    f->width = lort_min64(f->grid.block, f->grid.cap - f->d);
    for (int64_t r = 0; r < f->grid.cols; r++)
        lort_random_signs(f->target->key, r, f->d, 1, f->width, f->q + r * f->grid.cap + f->d);
    return orthonormal_block(f, err);
}

lort_code lort_krylov_start(lort_factoring *f, lort_error *err)
{
    f->d = f->before = 0;
    if (f->grid.exact) {
        set_identity(f);
        f->width = f->grid.cols;
        return LORT_OK;
    }
    return random_block(f, err);
}

/* ---- the pass ---- */

/* The block is columns [at, at + width) of Q and Y. Z has `next` columns and lies behind the block
 * in Q. */
typedef struct pass_run {
    lort_factoring *f;
    int64_t r0, r1; /* the row group */
    int64_t at, width, next;
} pass_run;

/* Computes Y = A Q for one panel. */
static lort_code forward_panel(void *ctx, int64_t item, unsigned worker, unsigned slot,
                               lort_error *err)
{
    const pass_run *run = ctx;
    lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;

    for (int64_t c0 = 0; c0 < g->cols; c0 += g->tile) {
        lort_tile tile = lort_tile_at(f, run->r0 + item * g->panel, g->panel, run->r1, c0, g->tile);
        lort_code code = lort_tile_read(f, worker, &tile, err);
        if (code != LORT_OK)
            return code;
        lort_sgemm(false, false, tile.r1 - tile.r0, run->width, tile.c1 - c0, f->alpha, tile.at,
                   tile.ld, f->q + c0 * g->cap + run->at, g->cap, c0 > 0,
                   f->y + tile.r0 * g->cap + run->at, g->cap);
    }
    return LORT_OK;
}

/* Computes Z += A'Y for one stripe and the rows of the group. */
static lort_code backward_stripe(void *ctx, int64_t item, unsigned worker, unsigned slot,
                                 lort_error *err)
{
    const pass_run *run = ctx;
    lort_factoring *f = run->f;
    const lort_factor_grid *g = &f->grid;

    for (int64_t r0 = run->r0; r0 < run->r1; r0 += g->depth) {
        lort_tile tile = lort_tile_at(f, r0, g->depth, run->r1, item * g->stripe, g->stripe);
        lort_code code = lort_tile_read(f, worker, &tile, err);
        if (code != LORT_OK)
            return code;
        lort_sgemm(true, false, tile.c1 - tile.c0, run->next, tile.r1 - r0, f->alpha, tile.at,
                   tile.ld, f->y + r0 * g->cap + run->at, g->cap, r0 > 0,
                   f->q + tile.c0 * g->cap + run->at + run->width, g->cap);
    }
    return LORT_OK;
}

static lort_code run_group(pass_run *run, bool forward, bool backward, lort_error *err)
{
    const lort_factor_grid *g = &run->f->grid;
    lort_code code = LORT_OK;

    if (forward)
        code = lort_pool_each(run->f->pool, lort_factor_items(run->r1 - run->r0, g->panel),
                              forward_panel, run, err);
    if (backward && code == LORT_OK)
        code = lort_pool_each(run->f->pool, lort_factor_items(g->cols, g->stripe), backward_stripe,
                              run, err);
    return code;
}

/* If the matrix is one group, LoRT computes Z later, once it knows that it needs Z. The rows are
 * still cached then. */
lort_code lort_krylov_pass(lort_factoring *f, lort_error *err)
{
    const lort_factor_grid *g = &f->grid;
    const int64_t next = lort_min64(f->width, g->cap - f->d - f->width);
    const bool both = g->group < g->rows && next > 0;
    lort_code code = LORT_OK;

    for (int64_t r0 = 0; r0 < g->rows && code == LORT_OK; r0 += g->group) {
        pass_run run = {f, r0, lort_min64(r0 + g->group, g->rows), f->d, f->width, next};
        code = run_group(&run, true, both, err);
    }
    f->passes++;
    if (code == LORT_OK)
        code =
            lort_gram_tall(f, f->y, g->cap, g->rows, f->d, f->d + f->width, f->gram, g->cap, err);
    f->before = f->d;
    f->d += f->width;
    f->width = next;
    return code;
}

lort_code lort_krylov_next(lort_factoring *f, lort_error *err)
{
    const lort_factor_grid *g = &f->grid;
    lort_code code = LORT_OK;

    if (f->width > 0 && g->group >= g->rows) {
        pass_run run = {f, 0, g->rows, f->before, f->d - f->before, f->width};
        code = run_group(&run, false, true, err);
    }
    if (code == LORT_OK)
        code = orthonormal_block(f, err);
    /* A singular value that occurs more often than a block is wide, as in an orthogonal matrix,
     * looks like an exhausted space. If energy is missing, a new random block starts. */
    if (code == LORT_OK && f->width == 0 && lort_reach_unseen(f))
        code = random_block(f, err);
    return code;
}

/* ---- Rayleigh-Ritz ---- */

lort_code lort_krylov_values(lort_factoring *f, lort_error *err)
{
    const int64_t d = f->d;
    lort_code code;

    for (int64_t i = 0; i < d; i++)
        for (int64_t j = i; j < d; j++)
            f->work[i * d + j] = f->gram[i * f->grid.cap + j];
    code = lort_dsyevd_values(d, f->work, d, f->values, f->work + d * d, err);
    if (code != LORT_OK)
        return code;
    memcpy(f->ritz_before, f->ritz, (size_t)f->grid.cap * sizeof *f->ritz);
    for (int64_t i = 0; i < d; i++)
        f->ritz[i] = f->values[d - 1 - i] > 0 ? f->values[d - 1 - i] : 0;
    return LORT_OK;
}

lort_code lort_krylov_finish(lort_factoring *f, lort_error *err)
{
    return lort_dsyevd(f->d, f->gram, f->grid.cap, f->values, f->work, err);
}

/* ---- shrinking a full basis ----
 * LoRT keeps the wanted Ritz vectors and the block that comes next. Together they still span a
 * Krylov space, so the passes go on as if nothing had been dropped. Source: thick restart, Wu &
 * Simon, SIAM J. Matrix Anal. 22, 2000. */

#define SHRINK_ROWS 256 /* rows at a time; the scratch of a Gram matrix has room for them */

typedef struct shrink_run {
    lort_factoring *f;
    float *x;
    int64_t rows, keep, width; /* width: columns behind column d that move up */
} shrink_run;

/* Turns [ X | block ] of d + width columns into [ X V | block ] of keep + width columns, in place.
 */
static lort_code shrink_rows(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    const shrink_run *run = ctx;
    const lort_factoring *f = run->f;
    const int64_t ld = f->grid.cap, at = item * SHRINK_ROWS, keep = run->keep;
    const int64_t n = at + SHRINK_ROWS < run->rows ? SHRINK_ROWS : run->rows - at;
    float *x = run->x + at * ld, *turned = scratch_of(f, worker);

    lort_sgemm(false, true, n, keep, f->d, 1, x, ld, (const float *)f->work, f->d, 0, turned, keep);
    for (int64_t i = 0; i < n; i++) {
        memcpy(x + i * ld, turned + i * keep, (size_t)keep * sizeof *x);
        memmove(x + i * ld + keep, x + i * ld + f->d, (size_t)run->width * sizeof *x);
    }
    return LORT_OK;
}

static lort_code shrink_one(lort_factoring *f, float *x, int64_t rows, int64_t keep, int64_t width,
                            lort_error *err)
{
    shrink_run run = {f, x, rows, keep, width};

    return lort_pool_each(f->pool, lort_factor_items(rows, SHRINK_ROWS), shrink_rows, &run, err);
}

lort_code lort_krylov_shrink(lort_factoring *f, int64_t keep, lort_error *err)
{
    const int64_t d = f->d, ld = f->grid.cap;
    float *v = (float *)f->work;
    lort_code code = lort_dsyevd(d, f->gram, ld, f->values, f->work, err);

    if (code != LORT_OK)
        return code;
    for (int64_t i = 0; i < keep; i++)
        for (int64_t j = 0; j < d; j++)
            v[i * d + j] = (float)f->gram[(d - 1 - i) * ld + j];
    code = shrink_one(f, f->q, f->grid.cols, keep, f->width, err);
    if (code == LORT_OK)
        code = shrink_one(f, f->y, f->grid.rows, keep, 0, err);
    memset(f->gram, 0, (size_t)(ld * ld) * sizeof *f->gram);
    for (int64_t i = 0; i < keep; i++)
        f->gram[i * ld + i] = f->values[d - 1 - i];
    f->d = keep;
    f->shrunk = true;
    return code;
}
