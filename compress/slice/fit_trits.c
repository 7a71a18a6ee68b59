/* fit_trits: finds how one slice W is stored as trits and factors.
 *
 *   W ~ a T + A B       T: trits (-1, 0, 1), a: a scale per row, A B: factors of one rank
 *
 *   round 0   no factors; the scales that suit W
 *   round 1   A B of W itself; the scales that suit W - A B
 *   round k   A B of A B + RELAX (W - A B - a T), over-relaxed;
 *             the scales that suit W less the new A B
 *
 * T is a function of W, A B and a (coder/trits.h), and LoRT never holds T. Each pass over the slice
 * makes T again: block by block in block order, or tile by tile within the factorisation.
 *
 * If the error of a round is not below that of the round before, LoRT drops the round and ends the
 * search. So no result is worse than round 0. The error is that of the scales and factors as they
 * are stored. docs/NUMERICS.md ("Trits") has the figures. */
#include "compress/slice/fit_trits.h"
#include "compress/coder/trits.h"
#include "compress/goal/goal.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 6 /* with factors, at most */
/* On kjv-3m four rounds with 1.5 end lower than six with 1: mean errors 0.1792 and 0.1801. On GPT-2
 * they end about as low: 0.3506 and 0.3503. With 2 they end higher (docs/NUMERICS.md, "Trits").
 * Above 2 they diverge. */
#define RELAX 1.5f
/* The search ends after a round that leaves more than this part of the squared error. */
#define ROUND_FALL 0.99
#define PASSES 8
/* The same for the passes that fit the scales. */
#define PASS_FALL 0.9995
/* Ranks that are tried for a target of error. The last one tried is the largest allowed. */
#define TRIES 8
/* Each further rank is larger than the one before by an eighth, or by 1. */
#define RAISE_BY 8
/* The search gives up if the line of rank_on_line asks for more than 1.5 times the largest rank. */
#define HOPELESS 1.5
/* The first factors may have this much more than the estimated error. So the ranks rise from below,
 * and the first rank that meets the target is about the smallest. */
#define FIRST_TRY 1.15

typedef struct row_slot {
    lort_trit_sum *rows; /* [high] */
    uint64_t stored;
    double error2;
} row_slot;

typedef struct alternation {
    lort_slice_source *source;
    lort_work work;
    uint32_t slice;
    lort_block_grid grid;
    row_slot *slots; /* [window] */
    unsigned window;
    lort_trit_sum *sums; /* [rows] */
    float *trial;        /* [rows]: the scales being measured */
    double error2;       /* of the slice under the trial scales */
    uint64_t stored;     /* bytes of all blocks */
    double plain2;       /* squared error of round 0 */
    char plain[40];      /* text of round 0 for the detail */
    lort_outcome *best;
} alternation;

static const lort_alloc *alloc_of(const alternation *f)
{
    return &f->source->decider->session->alloc;
}
static lort_session *session_of(const alternation *f) { return f->source->decider->session; }
static uint64_t scale_bytes(const alternation *f) { return (uint64_t)f->grid.rows * sizeof(float); }

/* ---- scales ---- */

static lort_code sum_block(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const alternation *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    worker = lort_work_worker(f->work, worker);
    lort_block_space *space = &session_of(f)->scratch[worker].block;
    lort_trit_sum *rows = f->slots[slot].rows;
    lort_code code = lort_slice_block(f->source, worker, &place, place.rows, space->weights,
                                      space->decoded, err);
    for (int64_t r = 0; r < place.rows && code == LORT_OK; r++) {
        rows[r] = (lort_trit_sum){0};
        lort_trit_sum_add(space->weights + r * place.cols, place.cols, f->trial[place.row + r],
                          &rows[r]);
    }
    return code;
}

static lort_code add_block(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    alternation *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    const lort_trit_sum *rows = f->slots[slot].rows;
    for (int64_t r = 0; r < place.rows; r++) {
        lort_trit_sum *sum = &f->sums[place.row + r];
        sum->magnitude += rows[r].magnitude;
        sum->error2 += rows[r].error2;
        sum->count += rows[r].count;
        f->error2 += rows[r].error2;
    }
    return lort_session_check_stop(session_of(f), err);
}

/* Measures the sums of all rows, and the error, under the trial scales. */
static lort_code measure_rows(alternation *f, lort_error *err)
{
    memset(f->sums, 0, (size_t)f->grid.rows * sizeof *f->sums);
    f->error2 = 0;
    f->source->passes++;
    return lort_pool_run(f->work.pool, f->grid.down * f->grid.across, f->window, sum_block,
                         add_block, f, err);
}

/* Fits the scales to what the factors of `out` leave, and sets out->error2. *energy: the energy
 * that the factors leave. */
static lort_code fit_scales(alternation *f, lort_outcome *out, double *energy, lort_error *err)
{
    f->source->factors = lort_outcome_has_factors(out) ? &out->product : NULL;
    memset(f->trial, 0, (size_t)scale_bytes(f));
    lort_code code = measure_rows(f, err);
    double before = INFINITY;
    *energy = out->error2 = f->error2;
    memset(out->scales, 0, (size_t)scale_bytes(f));
    for (int i = 0;
         i < PASSES && code == LORT_OK && isfinite(*energy) && out->error2 < PASS_FALL * before;
         i++) {
        before = i ? out->error2 : INFINITY;
        for (int64_t r = 0; r < f->grid.rows; r++)
            f->trial[r] = lort_trit_next_scale(&f->sums[r], f->grid.cols, f->trial[r]);
        code = measure_rows(f, err);
        if (code || !(f->error2 < out->error2))
            break;
        out->error2 = f->error2;
        memcpy(out->scales, f->trial, (size_t)scale_bytes(f));
    }
    return code;
}

static lort_code take_scales(const alternation *f, lort_outcome *out, lort_error *err)
{
    void *memory;
    lort_code code = lort_take(alloc_of(f), scale_bytes(f), "scales of rows", &memory, err);
    out->scales = code ? NULL : memory;
    out->scale_bytes = code ? 0 : scale_bytes(f);
    return code;
}

/* ---- rounds ---- */

/* Rows and columns of the product that a tile needs at once. */
enum { PRODUCT_ROWS = 64, PRODUCT_COLS = 1024 };

/* A lort_tile_fn. Gives the matrix that the next factors approximate: A B + RELAX (W - A B - a T).
 * The product is that of a reader. */
static lort_code read_relaxed(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                              int64_t c1, float *dst, const float **out, int64_t *ld,
                              lort_error *err)
{
    const alternation *f = ctx;
    const lort_outcome *best = f->best;
    float *product = session_of(f)->scratch[lort_work_worker(f->work, worker)].block.decoded;
    const float *values;
    int64_t from;
    lort_code code = lort_slice_read(f->source, worker, r0, r1, c0, c1, dst, &values, &from, err);
    if (code)
        return code;
    for (int64_t r = r0; values != dst && r < r1; r++)
        memcpy(dst + (r - r0) * (c1 - c0), values + (r - r0) * from,
               (size_t)(c1 - c0) * sizeof *dst);
    for (int64_t r = r0; r < r1; r += PRODUCT_ROWS)
        for (int64_t c = c0; c < c1; c += PRODUCT_COLS) {
            const int64_t down = r + PRODUCT_ROWS < r1 ? r + PRODUCT_ROWS : r1,
                          right = c + PRODUCT_COLS < c1 ? c + PRODUCT_COLS : c1;
            lort_product_cells(&best->product, f->grid.cols, r, down, c, right, product, right - c);
            for (int64_t i = r; i < down; i++)
                lort_trit_relax(dst + (i - r0) * (c1 - c0) + (c - c0),
                                product + (i - r) * (right - c), right - c, best->scales[i], RELAX);
        }
    *out = dst;
    *ld = c1 - c0;
    return LORT_OK;
}

static void say_error(lort_outcome *out, const char *before)
{
    char line[sizeof out->detail];
    snprintf(line, sizeof line, "%s %.5f", before, sqrt(out->error2 / out->norm2));
    memcpy(out->detail, line, sizeof line);
}

/* Makes the next iterate. It replaces the best one if its squared error is below `bar`. said: the
 * errors of the rounds before, for the detail. */
static lort_code try_round(alternation *f, const lort_matrix_source *matrix,
                           const lort_target *target, double bar, const char *said, bool *better,
                           lort_error *err)
{
    lort_outcome next = {.lossless = f->best->lossless, .has_norm = true};
    double left;
    *better = false;
    lort_code code = lort_outcome_factor(f->source, matrix, f->slice, target, f->work, &next, err);
    if (code == LORT_OK && lort_outcome_has_factors(&next))
        code = take_scales(f, &next, err);
    if (code == LORT_OK && lort_outcome_has_factors(&next))
        code = fit_scales(f, &next, &left, err);
    if (code == LORT_OK && lort_outcome_has_factors(&next) && next.error2 < bar) {
        const lort_outcome swap = *f->best;
        next.norm2 = swap.norm2;
        say_error(&next, said);
        *f->best = next;
        next = swap;
        *better = true;
    }
    lort_outcome_free(&next, alloc_of(f));
    return code;
}

/* Makes round 1 and the following. The target gives the rank of round 1, and the other rounds keep
 * this rank. */
static lort_code improve_by_rounds(alternation *f, const lort_target *target, lort_error *err)
{
    lort_matrix_source matrix = lort_slice_matrix(f->source);
    bool better;
    lort_code code = try_round(f, &matrix, target, f->plain2, f->plain, &better, err);
    matrix.read = read_relaxed;
    matrix.ctx = f;
    for (int i = 1; i < ROUNDS && code == LORT_OK && better; i++) {
        const double before = f->best->error2;
        const lort_target same = {.kind = LORT_TARGET_RANK,
                                  .rank = f->best->product.rank,
                                  .max_rank = f->best->product.rank,
                                  .key = target->key};
        code = try_round(f, &matrix, &same, before, f->best->detail, &better, err);
        better = better && f->best->error2 < ROUND_FALL * before;
    }
    return code;
}

/* ---- targets ---- */

static lort_target of_rank(int64_t rank, const lort_target *target)
{
    const int64_t most = rank < target->max_rank ? rank : target->max_rank;
    return (lort_target){
        .kind = LORT_TARGET_RANK, .rank = most, .max_rank = most, .key = target->key};
}

/* The rank at which a line through rank 0 and the best rank meets the target. Each component is
 * worth less than the one before, so the rank that meets the target is larger. */
static double rank_on_line(const alternation *f, double wanted2)
{
    const double gained = f->plain2 - f->best->error2;
    return gained > 0 ? (double)f->best->product.rank * (f->plain2 - wanted2) / gained : INFINITY;
}

static int64_t raise_rank(int64_t rank, double line)
{
    const int64_t least = rank + (rank < RAISE_BY ? 1 : rank / RAISE_BY);
    return line < 1e9 && (int64_t)line > least ? (int64_t)line : least;
}

/* Finds about the smallest rank whose error is at most `wanted`. The first estimate is a product:
 * the error of the factors alone times the error of trits alone. The sum of both errs a little less
 * than this product. */
static lort_code reach_error(alternation *f, const lort_target *target, double wanted,
                             lort_error *err)
{
    const double wanted2 = wanted * wanted * f->best->norm2,
                 alone = FIRST_TRY * wanted / sqrt(f->plain2 / f->best->norm2);
    lort_target next = {.kind = LORT_TARGET_ERROR,
                        .value = alone,
                        .max_rank = target->max_rank,
                        .key = target->key};
    lort_code code = LORT_OK;
    next = alone < 1 ? next : of_rank(1, target);
    for (int i = 1;
         i <= TRIES && code == LORT_OK && f->best->error2 > wanted2 && target->max_rank > 0; i++) {
        const int64_t before = f->best->product.rank;
        const bool last = next.kind == LORT_TARGET_RANK && next.rank == target->max_rank;
        code = improve_by_rounds(f, &next, err);
        if (last)
            break;
        const bool found = f->best->product.rank > before;
        const double line = found ? rank_on_line(f, wanted2) : 0;
        if (line > HOPELESS * (double)target->max_rank)
            break;
        next = of_rank(found && i + 1 < TRIES ? raise_rank(f->best->product.rank, line)
                                              : target->max_rank,
                       target);
    }
    if (code == LORT_OK && f->best->error2 > wanted2) {
        snprintf(f->best->detail, sizeof f->best->detail, "rank %lld leaves an error of %.4g",
                 (long long)f->best->product.rank, sqrt(f->best->error2 / f->best->norm2));
        lort_outcome_keep(f->best, LORT_REASON_TRITS_LOW_RANK);
    }
    return code;
}

static lort_code meet_target(alternation *f, uint64_t key, lort_error *err)
{
    const lort_options *options = f->source->decider->options;
    lort_target target =
        lort_goal_ternary_target(options, f->grid.rows, f->grid.cols, f->best->lossless);
    target.key = key;
    const int64_t even = lort_goal_break_even(f->grid.rows, f->grid.cols, f->best->lossless);
    if (target.kind == LORT_TARGET_RANK && options->rank > even) {
        snprintf(f->best->detail, sizeof f->best->detail, "factors pay up to rank %lld",
                 (long long)even);
        return lort_outcome_keep(f->best, LORT_REASON_BREAK_EVEN);
    }
    if (target.kind == LORT_TARGET_ERROR)
        return reach_error(f, &target, target.value, err);
    return target.max_rank > 0 && target.value < 1 ? improve_by_rounds(f, &target, err) : LORT_OK;
}

/* ---- blocks ---- */

lort_code lort_trits_encode(lort_slice_source *source, unsigned worker,
                            const lort_block_place *place, const float *scales,
                            lort_block_coded *out, lort_error *err)
{
    lort_scratch *scratch = &source->decider->session->scratch[worker];
    lort_block_space *space = &scratch->block;
    const int64_t count = place->rows * place->cols;
    const uint64_t bytes = lort_trits_bytes((uint64_t)count);
    uint8_t *digits = space->scratch;
    lort_code code =
        lort_slice_block(source, worker, place, place->rows, space->weights, space->decoded, err);
    if (code)
        return code;
    lort_trits_pack(space->weights, place->rows, place->cols, scales + place->row, digits,
                    space->body, space->decoded);
    *out = (lort_block_coded){.decoded = bytes};
    for (int64_t i = 0; i < count; i++) {
        const double rest = (double)space->weights[i] - space->decoded[i];
        out->error2 += rest * rest;
    }
    return lort_codec_encode_symbols(scratch->codec, space->body, bytes, space->coded,
                                     space->coded_size, &out->stored, err);
}

static lort_code size_block(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    const alternation *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    lort_block_coded coded = {0};
    lort_code code = lort_trits_encode(f->source, lort_work_worker(f->work, worker), &place,
                                       f->best->scales, &coded, err);
    f->slots[slot].stored = coded.stored;
    return code;
}

static lort_code add_size(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    alternation *f = ctx;
    (void)item;
    f->stored += f->slots[slot].stored;
    return lort_session_check_stop(session_of(f), err);
}

static lort_code encode_scales(alternation *f, lort_error *err)
{
    const uint64_t count = (uint64_t)f->grid.rows;
    void *memory;
    lort_code code = lort_take(alloc_of(f), 2 * count, "scales as stored", &memory, err);
    if (code)
        return code;
    lort_dtype_encoder(LORT_BF16)(f->best->scales, memory, count);
    if (!lort_outcome_has_factors(f->best))
        code = lort_outcome_room(session_of(f), 2 * count, 1, f->best, err);
    if (code == LORT_OK)
        code = lort_outcome_encode(session_of(f), f->work.worker, LORT_ARRAY_SCALES, f->slice,
                                   LORT_BF16, memory, 2 * count, f->best, err);
    lort_give(alloc_of(f), memory, 2 * count);
    return code;
}

static lort_code accept_trits(alternation *f, lort_error *err)
{
    lort_outcome *out = f->best;
    lort_code code = encode_scales(f, err);
    f->source->factors = lort_outcome_has_factors(out) ? &out->product : NULL;
    f->stored = 0;
    f->source->passes++;
    if (code == LORT_OK)
        code = lort_pool_run(f->work.pool, f->grid.down * f->grid.across, f->window, size_block,
                             add_size, f, err);
    if (code)
        return code;
    out->estimate = out->coded.size + f->stored;
    if (out->estimate + LORT_BLOCKS_RECORD >= out->lossless)
        return lort_outcome_keep_larger(out, LORT_REASON_TRITS_LARGER, out->estimate);
    out->kind = LORT_OUTCOME_TERNARY;
    return LORT_OK;
}

/* ---- the slice ---- */

static lort_code find_scales_and_factors(alternation *f, uint64_t key, lort_error *err)
{
    lort_outcome *out = f->best;
    lort_code code = take_scales(f, out, err);
    if (code == LORT_OK)
        code = fit_scales(f, out, &out->norm2, err);
    out->has_norm = code == LORT_OK && isfinite(out->norm2);
    f->plain2 = out->error2;
    if (code == LORT_OK && !out->has_norm)
        return lort_slice_keep_nonfinite(f->source, f->work.worker, out, err);
    if (code == LORT_OK && !(out->norm2 > 0))
        return lort_outcome_keep(out, LORT_REASON_ZERO);
    say_error(out, "errors by round:");
    memcpy(f->plain, out->detail, sizeof f->plain - 1);
    if (code == LORT_OK)
        code = meet_target(f, key, err);
    if (code == LORT_OK && !out->reason && !(out->error2 < out->norm2))
        return lort_outcome_keep(out, LORT_REASON_TRITS);
    return code || out->reason ? code : accept_trits(f, err);
}

static lort_code take_sums(alternation *f, lort_error *err)
{
    const uint64_t rows = (uint64_t)f->grid.rows,
                   each = (uint64_t)f->grid.high * sizeof(lort_trit_sum);
    void *memory;
    lort_code code = lort_take(alloc_of(f), rows * (sizeof *f->sums + sizeof *f->trial),
                               "sums of rows", &memory, err);
    if (code)
        return code;
    f->sums = memory;
    f->trial = (float *)(void *)(f->sums + rows);
    code =
        lort_take(alloc_of(f), f->window * (sizeof *f->slots + each), "partial sums", &memory, err);
    if (code)
        return code;
    f->slots = memory;
    lort_trit_sum *at = (lort_trit_sum *)(void *)(f->slots + f->window);
    for (unsigned i = 0; i < f->window; i++, at += f->grid.high)
        f->slots[i] = (row_slot){.rows = at};
    return LORT_OK;
}

uint64_t lort_fit_trits_bound(int64_t rows, int64_t cols, unsigned workers)
{
    /* of both iterates, and as stored */
    const uint64_t high = (uint64_t)lort_block_grid_of(rows, cols).high,
                   scales = 2 * sizeof(float) + 2;
    return (uint64_t)rows * (sizeof(lort_trit_sum) + sizeof(float) + scales) +
           2 * workers * (sizeof(row_slot) + high * sizeof(lort_trit_sum)) + 256;
}

lort_code lort_fit_trits(lort_slice_source *source, uint32_t slice, uint64_t key, lort_work work,
                         lort_outcome *out, lort_error *err)
{
    const lort_matrices *shape = &source->planned->shape;
    alternation f = {.source = source,
                     .slice = slice,
                     .work = work,
                     .grid = lort_block_grid_of(shape->rows, shape->cols),
                     .window = lort_pool_window(work.pool),
                     .best = out};
    lort_code code = take_sums(&f, err);
    if (code == LORT_OK)
        code = find_scales_and_factors(&f, key, err);
    lort_give(alloc_of(&f), f.slots,
              f.window * (sizeof *f.slots + (uint64_t)f.grid.high * sizeof(lort_trit_sum)));
    lort_give(alloc_of(&f), f.sums, (uint64_t)f.grid.rows * (sizeof *f.sums + sizeof *f.trial));
    return code;
}
