/* factor: the driver. It fixes every size from the shape and the target alone, takes one block of
 * memory, and runs the passes. The arithmetic is in tiles.c, krylov.c, reach.c and refit.c. */
#include "compress/factor/factor.h"
#include "compress/factor/factor_parts.h"
#include "formats/types/dtype.h"
#include <math.h>

#define MOST_PASSES 24 /* reads of the matrix after which a full basis does not shrink again */
#define RAISES 4       /* refits at a higher rank after the first measurement missed the target */

/* A target may need a better basis than a full one. Then LoRT keeps the best part of the basis and
 * goes on from it. */
static bool must_shrink(const lort_factoring *f)
{
    const lort_factor_grid *g = &f->grid;

    return (f->target->kind != LORT_TARGET_RANK || f->target->fixed) &&
           f->target->kind != LORT_TARGET_GAIN && f->passes < MOST_PASSES && f->d > g->rank_cap &&
           f->d + f->width + g->block > g->cap && g->cap < lort_min64(g->rows, g->cols);
}

static lort_code grow_basis(lort_factoring *f, lort_reach *reach, double *best_energy,
                            lort_error *err)
{
    lort_code code = lort_krylov_start(f, err);

    for (*reach = LORT_REACH_MORE; code == LORT_OK;) {
        code = lort_krylov_pass(f, err);
        if (code == LORT_OK)
            code = lort_krylov_values(f, err);
        if (code != LORT_OK)
            return code;
        *reach = lort_reach_step(f, best_energy);
        if (*reach != LORT_REACH_MORE)
            return LORT_OK;
        code = lort_krylov_next(f, err);
        if (f->width == 0)
            return code;
        if (code == LORT_OK && must_shrink(f))
            code = lort_krylov_shrink(f, f->grid.rank_cap, err);
    }
    return code;
}

static bool is_met(const lort_target *target, const lort_factors *out)
{
    if (target->kind == LORT_TARGET_RANK || target->kind == LORT_TARGET_GAIN)
        return true;
    if (target->kind == LORT_TARGET_ERROR)
        return out->error2 <= target->value * target->value * out->norm2;
    return out->norm2 - out->error2 >= target->value * out->norm2;
}

/* Builds factors of this rank. If the stored factors miss the target, builds them at a higher rank.
 */
static lort_code refit_until_met(lort_factoring *f, int64_t rank, lort_factors *out,
                                 lort_error *err)
{
    lort_code code = LORT_OK;

    for (int tries = 0; rank > 0 && code == LORT_OK && tries <= RAISES; tries++) {
        code = lort_refit(f, rank, out, err);
        if (code == LORT_OK && is_met(f->target, out)) {
            out->verdict = LORT_FACTORED;
            return LORT_OK;
        }
        if (code == LORT_OK)
            rank = lort_reach_raise(f, rank, out->error2);
    }
    return code;
}

/* Factors whose rank was raised for 8 bits may still not fit 8 bits, as their numbers are too
 * uneven. Tells whether they take no more bits than 16-bit factors of `rank`. */
static bool is_smaller(const lort_factoring *f, const lort_factors *out, int64_t rank)
{
    const double left = out->left_type == LORT_Q8_0 ? LORT_EIGHT_BITS : LORT_SIXTEEN_BITS,
                 right = out->right_type == LORT_Q8_0 ? LORT_EIGHT_BITS : LORT_SIXTEEN_BITS;
    const double rows = (double)f->grid.rows, cols = (double)f->grid.cols;

    return out->verdict == LORT_FACTORED && (double)out->rank * (rows * left + cols * right) <=
                                                (double)rank * (rows + cols) * LORT_SIXTEEN_BITS;
}

static lort_code build_factors(lort_factoring *f, lort_factors *out, lort_error *err)
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

/* The first values that the basis found. */
static void note_spectrum(const lort_factoring *f, lort_spectrum *out)
{
    const int64_t known = lort_min64(lort_min64(f->d, f->grid.rank_cap), LORT_SPECTRUM_MOST);
    out->count = (uint32_t)known;
    for (int64_t i = 0; i < known; i++)
        out->values[i] = (float)sqrt(fmax(f->ritz[i], 0) / f->norm2);
}

static lort_code factorise(lort_factoring *f, lort_factors *out, lort_error *err)
{
    lort_reach reach;
    lort_code code;

    if (f->grid.rank_cap == 0) {
        out->verdict = LORT_OUT_OF_REACH;
        return LORT_OK;
    }
    code = grow_basis(f, &reach, &out->best_energy, err);
    if (code != LORT_OK)
        return code;
    out->sketch = f->d;
    out->sigma_first = sqrt(f->ritz[0] / f->norm2);
    note_spectrum(f, &out->spectrum);
    if (reach != LORT_REACH_HOPELESS)
        return build_factors(f, out, err);
    out->verdict = LORT_OUT_OF_REACH;
    return LORT_OK;
}

static lort_code find_values(lort_factoring *f, double *values, lort_values *out, lort_error *err)
{
    lort_reach reach;
    lort_partial bad;
    double unused = 0;
    lort_code code = lort_factor_scan(f, &out->verdict, &bad, err);

    out->norm2 = ldexp(f->norm2, 2 * f->exponent);
    if (code == LORT_OK && out->verdict == LORT_NONFINITE) {
        out->bad_row = bad.row;
        out->bad_col = bad.col;
    }
    if (code != LORT_OK || out->verdict != LORT_FACTORED)
        return code;
    code = grow_basis(f, &reach, &unused, err);
    out->count = lort_min64(f->d, f->grid.rank_cap);
    for (int64_t i = 0; i < out->count && code == LORT_OK; i++)
        values[i] = ldexp(fmax(f->ritz[i], 0), 2 * f->exponent);
    return code;
}

/* Lays out a factorisation and takes its memory. *any: false if there is nothing to factor. */
static lort_code open_factoring(lort_factoring *f, bool *any, lort_error *err)
{
    const lort_matrix_source *source = f->source;
    f->workers = lort_pool_workers(f->pool);
    *any = lort_factor_grid_make(source->rows, source->cols, source->element_bytes, f->target,
                                 &f->grid);
    return *any ? lort_factoring_take(f, err) : LORT_OK;
}

lort_code lort_factor_values(const lort_matrix_source *source, const lort_target *target,
                             lort_pool *pool, const lort_alloc *alloc, double *values,
                             lort_values *out, lort_error *err)
{
    lort_factoring f = {.source = source, .target = target, .pool = pool, .alloc = alloc};
    bool any;

    *out = (lort_values){.verdict = LORT_NOT_CONVERGED};
    lort_code code = open_factoring(&f, &any, err);
    if (!any)
        return LORT_OK;
    if (code == LORT_OK)
        code = find_values(&f, values, out, err);
    if (code == LORT_E_NUMERIC) {
        *out = (lort_values){.verdict = LORT_NOT_CONVERGED, .norm2 = out->norm2};
        code = LORT_OK;
    }
    out->passes = f.passes;
    lort_give(alloc, f.memory, f.memory_bytes);
    return code;
}

static lort_code run_factoring(lort_factoring *f, lort_factors *out, lort_error *err)
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

lort_code lort_factor(const lort_matrix_source *source, const lort_target *target, lort_pool *pool,
                      const lort_alloc *alloc, lort_factors *out, lort_error *err)
{
    lort_factoring f = {.source = source, .target = target, .pool = pool, .alloc = alloc};
    bool any;

    *out = (lort_factors){.verdict = LORT_NOT_CONVERGED};
    lort_code code = open_factoring(&f, &any, err);
    if (!any)
        return LORT_OK;
    if (code != LORT_OK)
        goto done;
    code = run_factoring(&f, out, err);
    if (code == LORT_E_NUMERIC) { /* LAPACK gave up: the matrix is kept, and the run goes on */
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
