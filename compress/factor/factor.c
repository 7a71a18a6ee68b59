/* factor: the driver. Fixes every size from the shape and the target alone, takes one block of memory for the job, runs the passes and
 * says what came of it. The arithmetic is in tiles.c, krylov.c, shrink.c, reach.c, refit.c and rows.c. */
#include "compress/factor/factor_parts.h"

#include "compress/math/blas.h"
#include "formats/types/dtype.h"
#include <math.h>
#include <string.h>

#define PAGE 4096
#define TILE_COLS 4096
#define PANEL_ROWS 64    /* a cell of the decode grid high */
#define STRIPE_COLS 64   /* few, so that a pass over 4096 x 4096 keeps 64 cores busy; it takes no longer than one by wider ones (docs/NUMERICS.md) */
#define STRIPE_ROWS 2048
#define GROUP_BYTES ((int64_t)64 << 20)
#define MOST_PASSES 24 /* from then on the basis fills up and that is that */
#define RAISES 4 /* refits at a higher rank after the first measurement missed the target */

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t round_up(int64_t v, int64_t step)
{
    return (v + step - 1) / step * step;
}

int64_t lort_factor_items(int64_t total, int64_t step)
{
    return (total + step - 1) / step;
}

/* ---- sizes ---- */

/* `total` in `parts` equal steps, multiples of `unit`. */
static int64_t even_step(int64_t total, int64_t parts, int64_t unit)
{
    return max64(min64(round_up(lort_factor_items(total, max64(parts, 1)), unit), total), 1);
}

static void set_tiles(lort_factor_grid *g, uint32_t element_bytes)
{
    const int64_t row_bytes = max64(g->cols, 1) * max64(element_bytes, 1);

    g->panel = PANEL_ROWS;
    /* tiles are cut where the decode grid is, so that a cell of it lies in one tile */
    g->tile = even_step(g->cols, lort_factor_items(g->cols, TILE_COLS), LORT_DECODE_COLS);
    g->stripe = min64(element_bytes > 1 ? STRIPE_COLS : LORT_BLOCK_ELEMENTS_MAX, max64(g->cols, 1)); /* blocks are decoded whole */
    g->group = min64(max64(GROUP_BYTES / row_bytes / g->panel, 1) * g->panel, max64(g->rows, 1));
    g->depth = min64(STRIPE_ROWS, g->group);
}

static void set_widths(lort_factor_grid *g, const lort_target *target)
{
    const int64_t least = min64(g->rows, g->cols);
    const int64_t asked = target->kind == LORT_TARGET_RANK ? min64(target->rank, target->max_rank) : target->max_rank;
    int64_t cap;

    g->rank_cap = max64(min64(min64(asked, least), LORT_DSYEVD_MAX), 0);
    if (target->kind == LORT_TARGET_GAIN) { /* few components far above the rest: two blocks find them, and in most matrices none */
        g->block = 32;
        cap = g->rank_cap + 2 * g->block;
    } else if (target->kind == LORT_TARGET_RANK) {
        g->block = g->rank_cap > 128 ? 128 : max64(32, min64(64, round_up(g->rank_cap, 16)));
        cap = max64(3 * g->rank_cap + 160, 4 * g->rank_cap); /* real spectra need 2.7 to 9 times the rank (docs/NUMERICS.md) */
    } else {
        g->block = 64;
        cap = g->rank_cap + max64(g->rank_cap / 4, g->block) + g->block; /* room for two blocks after a shrink */
    }
    g->cap = max64(min64(min64(cap, LORT_DSYEVD_MAX), min64(g->cols, g->rows + g->block)), 1);
    g->block = min64(g->block, g->cap);
    g->exact = g->cap >= g->cols;
}

static bool make_grid(int64_t rows, int64_t cols, uint32_t element_bytes, const lort_target *target, lort_factor_grid *g)
{
    *g = (lort_factor_grid){.rows = rows, .cols = cols};
    if (rows < 0 || cols < 0 || rows > INT32_MAX - PAGE || cols > INT32_MAX - PAGE)
        return false;
    set_tiles(g, element_bytes);
    set_widths(g, target);
    return true;
}

uint64_t lort_factor_tile_floats(const lort_factor_grid *g)
{
    return (uint64_t)max64(min64(g->panel, g->rows) * g->tile, g->depth * g->stripe);
}

uint64_t lort_factor_scratch_bytes(const lort_factor_grid *g)
{
    const int64_t gram = 8 * LORT_GRAM_STEP * g->cap, turn = 4 * 256 * g->block;
    const int64_t refit = g->panel * g->rank_cap * (8 + 8 + 4) + 4 * LORT_DECODE_ROWS * LORT_DECODE_COLS;

    return (uint64_t)round_up(max64(max64(gram, turn), refit), 64);
}

/* ---- memory ---- */

enum { TILES, SCRATCH, Q, Y, GRAM, WORK, VALUES, RITZ, BEFORE, LANES, SOLVE, DIAGONAL, TURN, RIGHT, PARTIALS, PIECES };

/* Offsets of the pieces of the one block, and its size. */
static uint64_t layout(const lort_factor_grid *g, unsigned workers, uint64_t offsets[PIECES])
{
    const uint64_t cap = (uint64_t)g->cap, block = (uint64_t)g->block, side = (uint64_t)max64(g->rank_cap, g->block);
    const uint64_t rows = (uint64_t)g->rows, cols = (uint64_t)g->cols;
    const int64_t most = max64(lort_factor_items(g->rows, g->panel), lort_factor_items(g->cols, g->stripe));
    const uint64_t bytes[PIECES] = {
        [TILES] = 4 * workers * lort_factor_tile_floats(g), [SCRATCH] = workers * lort_factor_scratch_bytes(g),
        [Q] = 4 * cols * cap, [Y] = 4 * rows * cap, [GRAM] = 8 * cap * cap, [WORK] = lort_dsyevd_work((int64_t)max64(g->cap, (int64_t)side)),
        [VALUES] = 8 * cap, [RITZ] = 8 * cap, [BEFORE] = 8 * cap, [LANES] = 8 * LORT_FACTOR_LANES * cap * block,
        [SOLVE] = 8 * side * side, [DIAGONAL] = 8 * side, [TURN] = 4 * cap * block, [RIGHT] = 4 * (uint64_t)g->rank_cap * cols,
        [PARTIALS] = sizeof(lort_partial) * (uint64_t)max64(most, LORT_FACTOR_LANES),
    };
    uint64_t total = 0;

    for (int i = 0; i < PIECES; i++) {
        offsets[i] = total;
        total += (bytes[i] + 63) / 64 * 64;
    }
    return total;
}

uint64_t lort_factor_bound(int64_t rows, int64_t cols, uint32_t element_bytes, const lort_target *target, unsigned workers)
{
    lort_factor_grid g;
    uint64_t offsets[PIECES];

    if (!make_grid(rows, cols, element_bytes, target, &g))
        return 0;
    /* the block and two results, each in whole pages */
    return layout(&g, workers, offsets) + 2 * (uint64_t)g.rank_cap * (uint64_t)(rows + cols) + 3 * PAGE;
}

static lort_code take_memory(lort_factoring *f, lort_error *err)
{
    uint64_t at[PIECES];
    lort_code code;

    f->memory_bytes = layout(&f->grid, f->workers, at);
    code = lort_take(f->alloc, f->memory_bytes, "factorisation workspace", (void **)&f->memory, err);
    if (code != LORT_OK)
        return code;
    f->tiles = (float *)(f->memory + at[TILES]);
    f->scratch = f->memory + at[SCRATCH];
    f->q = (float *)(f->memory + at[Q]);
    f->y = (float *)(f->memory + at[Y]);
    f->gram = (double *)(f->memory + at[GRAM]);
    f->work = (double *)(f->memory + at[WORK]);
    f->values = (double *)(f->memory + at[VALUES]);
    f->ritz = (double *)(f->memory + at[RITZ]);
    f->ritz_before = (double *)(f->memory + at[BEFORE]);
    f->lanes = (double *)(f->memory + at[LANES]);
    f->solve = (double *)(f->memory + at[SOLVE]);
    f->diagonal = (double *)(f->memory + at[DIAGONAL]);
    f->turn = (float *)(f->memory + at[TURN]);
    f->right = (float *)(f->memory + at[RIGHT]);
    f->partials = (lort_partial *)(f->memory + at[PARTIALS]);
    memset(f->ritz, 0, (size_t)f->grid.cap * sizeof *f->ritz);
    return LORT_OK;
}

/* ---- the run ---- */

/* A target may be closer than the basis can say: instead of filling it for good, go on in the part that matters. */
static bool must_shrink(const lort_factoring *f)
{
    const lort_factor_grid *g = &f->grid;

    return f->target->kind != LORT_TARGET_RANK && f->target->kind != LORT_TARGET_GAIN && f->passes < MOST_PASSES && f->d > g->rank_cap && f->d + f->width + g->block > g->cap &&
           g->cap < min64(g->rows, g->cols);
}

static lort_code grow_basis(lort_factoring *f, lort_reach *step, double *best_energy, lort_error *err)
{
    lort_code code = lort_krylov_start(f, err);

    for (*step = LORT_REACH_MORE; code == LORT_OK;) {
        code = lort_krylov_pass(f, err);
        if (code == LORT_OK)
            code = lort_krylov_values(f, err);
        if (code != LORT_OK)
            return code;
        *step = lort_reach_step(f, best_energy);
        if (*step != LORT_REACH_MORE)
            return LORT_OK;
        code = lort_krylov_next(f, err);
        if (f->width == 0)
            return code;
        if (code == LORT_OK && must_shrink(f))
            code = lort_krylov_shrink(f, f->grid.rank_cap, err);
    }
    return code;
}

static bool met(const lort_target *target, const lort_factors *out)
{
    if (target->kind == LORT_TARGET_RANK || target->kind == LORT_TARGET_GAIN)
        return true;
    if (target->kind == LORT_TARGET_ERROR)
        return out->error2 <= target->value * target->value * out->norm2;
    return out->norm2 - out->error2 >= target->value * out->norm2;
}

/* Factors of this rank, or of a higher one if they miss the target as they are stored. */
static lort_code refit_until_met(lort_factoring *f, int64_t rank, lort_factors *out, lort_error *err)
{
    lort_code code = LORT_OK;

    for (int tries = 0; rank > 0 && code == LORT_OK && tries <= RAISES; tries++) {
        code = lort_refit(f, rank, out, err);
        if (code == LORT_OK && met(f->target, out)) {
            out->verdict = LORT_FACTORED;
            return LORT_OK;
        }
        if (code == LORT_OK)
            rank = lort_reach_raise(f, rank, out->error2);
    }
    return code;
}

/* Factors of a rank that was raised for 8 bits may be of too uneven numbers for them after all. */
static bool is_smaller(const lort_factoring *f, const lort_factors *out, int64_t rank)
{
    const double left = out->left_type == LORT_Q8_0 ? LORT_EIGHT_BITS : LORT_SIXTEEN_BITS, right = out->right_type == LORT_Q8_0 ? LORT_EIGHT_BITS : LORT_SIXTEEN_BITS;
    const double rows = (double)f->grid.rows, cols = (double)f->grid.cols;

    return out->verdict == LORT_FACTORED && (double)out->rank * (rows * left + cols * right) <= (double)rank * (rows + cols) * LORT_SIXTEEN_BITS;
}

static lort_code build(lort_factoring *f, lort_factors *out, lort_error *err)
{
    const int64_t rank = lort_reach_rank(f), eight = lort_reach_rank_eight(f, rank);
    lort_code code = rank > 0 ? lort_krylov_finish(f, err) : LORT_OK;

    out->verdict = LORT_NOT_CONVERGED;
    f->eight = eight > 0;
    if (code == LORT_OK && f->eight)
        code = refit_until_met(f, eight, out, err);
    f->eight = false;
    if (code == LORT_OK && !is_smaller(f, out, rank)) {
        out->verdict = LORT_NOT_CONVERGED;
        code = refit_until_met(f, rank, out, err);
    }
    if (out->verdict == LORT_FACTORED)
        return code;
    out->verdict = f->target->kind == LORT_TARGET_RANK ? LORT_NOT_CONVERGED : LORT_OUT_OF_REACH;
    out->best_energy = fmin(lort_ritz_sum(f, f->grid.rank_cap) / f->norm2, 1);
    return code;
}

static lort_code factorise(lort_factoring *f, lort_factors *out, lort_error *err)
{
    lort_reach step;
    lort_code code;

    if (f->grid.rank_cap == 0) {
        out->verdict = LORT_OUT_OF_REACH;
        return LORT_OK;
    }
    code = grow_basis(f, &step, &out->best_energy, err);
    if (code != LORT_OK)
        return code;
    out->sketch = f->d;
    out->sigma_first = sqrt(f->ritz[0] / f->norm2);
    if (step != LORT_REACH_HOPELESS)
        return build(f, out, err);
    out->verdict = LORT_OUT_OF_REACH;
    return LORT_OK;
}

static lort_code run(lort_factoring *f, lort_factors *out, lort_error *err)
{
    lort_partial bad;
    lort_code code = lort_factor_scan(f, &out->verdict, &bad, err);

    if (code == LORT_OK && out->verdict == LORT_NONFINITE) {
        out->bad_row = bad.row;
        out->bad_col = bad.col;
    }
    out->exponent = f->exponent;
    out->norm2 = f->norm2;
    if (code == LORT_OK && out->verdict == LORT_FACTORED)
        code = factorise(f, out, err);
    return code;
}

void lort_factors_free(lort_factors *factors, const lort_alloc *alloc)
{
    lort_give(alloc, factors->left, factors->left_bytes);
    lort_give(alloc, factors->right, factors->right_bytes);
    factors->left = factors->right = NULL;
    factors->left_bytes = factors->right_bytes = 0;
    factors->rank = 0;
}

lort_code lort_factor(const lort_matrix_source *source, const lort_target *target, lort_pool *pool, const lort_alloc *alloc,
                      lort_factors *out, lort_error *err)
{
    lort_factoring f = {.source = source, .target = target, .pool = pool, .alloc = alloc, .workers = lort_pool_workers(pool)};
    lort_code code;

    *out = (lort_factors){.verdict = LORT_NOT_CONVERGED};
    if (!make_grid(source->rows, source->cols, source->element_bytes, target, &f.grid))
        return LORT_OK;
    code = take_memory(&f, err);
    if (code != LORT_OK)
        goto done;
    code = run(&f, out, err);
    if (code == LORT_E_NUMERIC) { /* LAPACK gave up: the matrix is kept, the run goes on */
        out->verdict = LORT_NOT_CONVERGED;
        code = LORT_OK;
    }
    out->passes = f.passes;
done:
    if (code != LORT_OK || out->verdict != LORT_FACTORED)
        lort_factors_free(out, alloc);
    if (code != LORT_OK)
        *out = (lort_factors){0};
    lort_give(alloc, f.memory, f.memory_bytes);
    return code;
}
