/* fit_integers: finds how one slice is coded by integers: codes of its rows and columns, and the
 * largest step whose error meets the target. Three kinds of passes over the slice, all by blocks
 * and in block order: energies; errors of a sixteenth of the rows, until the step is nearly right;
 * errors of all. */
#include "compress/slice/fit_integers.h"
#include "compress/slice/fitting.h"
#include <math.h>

#define SAMPLE_PART 16 /* of the rows of each block */
#define SAMPLE_ROUNDS 4
#define FULL_ROUNDS 8
/* of the target is close enough, for slices of up to FEW_WEIGHTS, where another pass costs little;
 */
#define CLOSE_FEW 0.9995
#define CLOSE_MANY 0.996 /* for larger ones, whose samples are good */
#define FEW_WEIGHTS (1 << 22)
#define ESTIMATE_ROWS 64 /* of the first block, encoded to see what it all will come to */
#define SMALL_ERROR 0.7
#define SIZE_ROUNDS 12
#define FIRST_MOST 0.5   /* of what factors leave: where the search for a size starts at most */
#define SIZE_SLACK 0.002 /* of a share: what may stay unused */
#define SLOPE_LEAST 0.02 /* bits of a weight to an octave of the step: less is not believed */

/* ---- errors ---- */

/* Whole lanes; with factors to take off, whole steps of their decoder. */
static int64_t sample_rows(const lort_fitting *f, const lort_block_place *place)
{
    const int64_t unit = f->source->factors ? LORT_DECODE_ROWS : LORT_LANES,
                  some = (place->rows / f->one_in + unit - 1) / unit * unit;
    return some < place->rows && f->one_in > 1 ? some : place->rows;
}

static lort_code measure_block(void *ctx, int64_t item, unsigned worker, unsigned slot,
                               lort_error *err)
{
    lort_fitting *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    const int64_t rows = sample_rows(f, &place);
    lort_block_space *space = lort_fitting_space(f, worker);
    lort_fitting_sums *s = &f->slots[slot];
    lort_code code =
        lort_slice_block(f->source, worker, &place, rows, space->weights, space->decoded, err);
    if (code)
        return code;
    const lort_block block =
        lort_fitting_block(f->source, &place, rows, f->codes, lort_fitting_mean2(f));
    s->weights = rows * place.cols;
    s->error2 = lort_block_measure(&block, f->step, space);
    if (lort_fitting_is_weighed(f)) {
        s->error = lort_fitting_weigh(f, &place, rows, space->weights, space->decoded);
        s->error2 = s->error.weighed;
    }
    return LORT_OK;
}

static lort_code add_error(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    lort_fitting *f = ctx;
    (void)item;
    f->total.weights += f->slots[slot].weights;
    f->total.error2 += f->slots[slot].error2;
    lort_weighed_add(&f->total.error, &f->slots[slot].error);
    return lort_session_check_stop(f->source->decider->session, err);
}

/* Relative error, by one row in `part`: errors depend on the step far more than on the weights, so
 * that each stands for as many weights, whatever its norm. */
static lort_code measure_error(lort_fitting *f, int64_t part, double *error, lort_error *err)
{
    f->one_in = part;
    f->source->passes += part == 1;
    f->sized = 0;
    f->total.weights = 0;
    f->total.error2 = 0;
    f->total.error = (lort_weighed){0, 0};
    lort_code code = lort_pool_run(f->work.pool, f->grid.down * f->grid.across, f->window,
                                   measure_block, add_error, f, err);
    const double share = (double)f->total.weights / (double)f->grid.rows / (double)f->grid.cols;
    *error = code ? 0 : sqrt(f->total.error2 / share / f->judged2);
    return code;
}

/* A little below the target, for the f32 rounding of what is measured in the end. */
static double close_enough(const lort_fitting *f)
{
    return f->grid.rows * f->grid.cols <= FEW_WEIGHTS ? CLOSE_FEW : CLOSE_MANY;
}
static bool close_to(const lort_fitting *f, double value, double target)
{
    return value >= target * close_enough(f) && value <= target * 0.999999;
}

/* What the next step is to reach: the middle of what is close enough. */
static double error_to_aim_at(const lort_fitting *f) { return (1 + close_enough(f)) / 2; }

/* By how much the step is to change. The error grows about as the step does; but near 1, where most
 * weights are zeros, it hardly does, and what falls instead is the share of the energy that is
 * still coded, steeply. */
static float change_of_step(double error, double wanted)
{
    if (wanted < SMALL_ERROR)
        return (float)(wanted / error);
    const double coded = 1 - error * error,
                 change = coded > 0 ? sqrt(sqrt(sqrt(coded / (1 - wanted * wanted)))) : 0;
    return change < 0.5 ? 0.5f : change > 2 ? 2.0f : (float)change;
}

static lort_code find_on_sample(lort_fitting *f, double target, lort_error *err)
{
    double error = 0;
    lort_code code = LORT_OK;
    f->step = (float)(2 * target * lort_fitting_rms(f));
    for (int i = 0; i < SAMPLE_ROUNDS && code == LORT_OK && !close_to(f, error, target); i++) {
        code = measure_error(f, SAMPLE_PART, &error, err);
        f->step *= error > 0 ? change_of_step(error, target * error_to_aim_at(f)) : 2.0f;
    }
    return code;
}

/* ---- sizes ---- */

lort_code lort_integers_encode(lort_slice_source *source, unsigned worker,
                               const lort_block_place *place, const uint8_t *codes, double mean2,
                               float step, lort_block_coded *out, lort_error *err)
{
    lort_scratch *scratch = &source->decider->session->scratch[worker];
    lort_code code = lort_slice_block(source, worker, place, place->rows, scratch->block.weights,
                                      scratch->block.decoded, err);
    if (code)
        return code;
    const lort_block block = lort_fitting_block(source, place, place->rows, codes, mean2);
    return lort_block_encode(&block, step, scratch->codec, &scratch->block, out, err);
}

static lort_code size_block(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    lort_fitting *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    lort_block_space *space = lort_fitting_space(f, worker);
    lort_block_coded coded = {0};
    lort_code code = lort_integers_encode(f->source, lort_work_worker(f->work, worker), &place,
                                          f->codes, lort_fitting_mean2(f), f->step, &coded, err);
    lort_fitting_sums *s = &f->slots[slot];
    *s = (lort_fitting_sums){.stored = coded.stored,
                             .error2 = coded.error2,
                             .measured2 = coded.measured2,
                             .rows = s->rows,
                             .cols = s->cols};
    if (code == LORT_OK && lort_fitting_is_weighed(f)) {
        s->error = lort_fitting_weigh(f, &place, place.rows, space->weights, space->decoded);
        s->error2 = s->measured2 = s->error.weighed;
    }
    if (code == LORT_OK)
        lort_held_put(&f->held, (uint64_t)item, &coded, &s->error, space->coded);
    return code;
}

static lort_code add_size(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    lort_fitting *f = ctx;
    (void)item;
    f->total.stored += f->slots[slot].stored;
    f->total.error2 += f->slots[slot].error2;
    f->total.measured2 += f->slots[slot].measured2;
    lort_weighed_add(&f->total.error, &f->slots[slot].error);
    return lort_session_check_stop(f->source->decider->session, err);
}

/* Bytes of all blocks at the step; at the same step again they are known. */
static lort_code measure_size(lort_fitting *f, uint64_t *bytes, lort_error *err)
{
    lort_code code = LORT_OK;
    if (f->sized != f->step) {
        f->total.stored = 0;
        f->total.error2 = f->total.measured2 = 0;
        f->total.error = (lort_weighed){0, 0};
        f->source->passes++;
        code = lort_pool_run(f->work.pool, f->grid.down * f->grid.across, f->window, size_block,
                             add_size, f, err);
        f->sized = code ? 0 : f->step;
    }
    *bytes = f->total.stored;
    return code;
}

/* Error of all weights. Large slices, whose first step mostly is the last one, are coded at once
 * where the blocks can be held. */
static lort_code measure_all(lort_fitting *f, double *error, double *error2, lort_error *err)
{
    uint64_t bytes;
    if (!f->held.alloc || f->grid.rows * f->grid.cols <= FEW_WEIGHTS) {
        lort_code code = measure_error(f, 1, error, err);
        *error2 = f->total.error2;
        return code;
    }
    lort_code code = measure_size(f, &bytes, err);
    *error2 = f->total.measured2;
    *error = code ? 0 : sqrt(f->total.measured2 / f->judged2);
    return code;
}

/* Of few weights the error does not even grow steadily: the largest step that met the target
 * counts, not the last one tried. */
static lort_code find_step(lort_fitting *f, double target, lort_error *err)
{
    double error = 0, all2, error2 = 0;
    lort_weighed weighed = {0, 0};
    float best = 0;
    lort_code code = find_on_sample(f, target, err);
    for (int i = 0; i < (best > 0 ? FULL_ROUNDS : 2 * FULL_ROUNDS) && code == LORT_OK &&
                    !close_to(f, error, target);
         i++) {
        /* at last just any that meets it */
        f->step *= i >= FULL_ROUNDS ? 0.8f
                   : error > 0 ? change_of_step(error, target * (error_to_aim_at(f) - i * 0.0005))
                               : 1.0f;
        code = measure_all(f, &error, &all2, err);
        if (code == LORT_OK && error <= target * 0.999999 && f->step > best) {
            best = f->step;
            error2 = all2;
            weighed = f->total.error;
        }
    }
    f->step = best;
    f->total.error2 = error2;
    f->total.error = weighed;
    return code;
}

/* 2^x for |x| <= 1, by its series: no libm, so that every machine takes the same steps. */
static double power_of_two(double x)
{
    double term = 1, sum = 1;
    for (int i = 1; i < 12; i++) {
        term *= x * 0.69314718055994531 / i;
        sum += term;
    }
    return sum;
}

/* A search for the step of a size: the largest size that fits, the steps around it, and how many
 * bits of a weight an octave of the step is worth: one at high rates, less where most weights are
 * zero. */
typedef struct size_search {
    float fits, over, best;
    uint64_t largest;
    /* too many bits at the last step; octaves it was moved by, 0: unknown */
    double bits, moved, slope;
} size_search;

static float next_step(size_search *s, float step, double bits)
{
    /* 0 / 0 is never taken */
    const double seen = s->moved != 0 ? (s->bits - bits) / s->moved : s->slope;
    s->slope = seen > 2 ? 2 : seen > SLOPE_LEAST ? seen : s->slope;
    s->bits = bits;
    s->moved = bits / s->slope;
    s->moved = s->moved > 1 ? 1 : s->moved < -1 ? -1 : s->moved;
    const float next = step * (float)power_of_two(s->moved);
    if (!(s->fits > 0 && s->over > 0) || (next < s->fits && next > s->over))
        return next;
    s->moved = 0;
    return s->over + (s->fits - s->over) / 2;
}

static lort_code find_step_of_size(lort_fitting *f, double error, uint64_t most, lort_error *err)
{
    const double weights = (double)f->grid.rows * (double)f->grid.cols,
                 wanted = (double)most * (1 - SIZE_SLACK / 2);
    size_search s = {.slope = 1};
    uint64_t bytes;
    if (most == 0) {
        f->step = 0;
        return LORT_OK;
    }
    lort_code code = find_on_sample(f, error, err);
    for (int i = 0; i < SIZE_ROUNDS && code == LORT_OK; i++) {
        code = measure_size(f, &bytes, err);
        if (code == LORT_OK && bytes <= most && (double)bytes >= (double)most * (1 - SIZE_SLACK))
            return LORT_OK;
        if (bytes <= most && bytes >= s.largest) {
            s.largest = bytes;
            s.best = f->step;
        }
        *(bytes <= most ? &s.fits : &s.over) = f->step;
        f->step = next_step(&s, f->step, 8 * ((double)bytes - wanted) / weights);
    }
    f->step = s.best;
    return code || !(s.best > 0) ? code : measure_size(f, &bytes, err);
}

/* ---- what it comes to ---- */

static lort_code estimate_size(lort_fitting *f, uint64_t *bytes, lort_error *err)
{
    lort_block_place place = lort_block_get(&f->grid, 0);
    lort_block_coded coded;
    place.rows = place.rows < ESTIMATE_ROWS ? place.rows : ESTIMATE_ROWS;
    lort_code code = lort_integers_encode(f->source, f->work.worker, &place, f->codes,
                                          lort_fitting_mean2(f), f->step, &coded, err);
    *bytes = code ? 0
                  : (uint64_t)((double)coded.stored * (double)f->grid.rows * (double)f->grid.cols /
                               (double)(place.rows * place.cols));
    return code;
}

/* The blocks as they will be written, if they can be held until then. */
static lort_code keep_blocks(lort_fitting *f, lort_outcome *out, lort_error *err)
{
    const lort_fitting_sums total = f->total;
    uint64_t bytes;
    if (!f->held.alloc)
        return LORT_OK;
    lort_code code = measure_size(f, &bytes, err);
    f->total = total;
    if (code == LORT_OK && lort_held_whole(&f->held)) {
        out->held = f->held;
        f->held = (lort_held){0};
    }
    return code;
}

static lort_code accept_step(lort_fitting *f, uint32_t slice, const lort_share *share,
                             lort_outcome *out, lort_error *err)
{
    lort_session *session = f->source->decider->session;
    const uint64_t count = f->code_count;
    uint64_t bytes;
    lort_code code =
        f->source->exact ? measure_size(f, &bytes, err) : estimate_size(f, &bytes, err);
    /* a share was less than that */
    if (code == LORT_OK && !share && bytes + count + out->coded.size >= out->lossless)
        return lort_outcome_keep_larger(out, LORT_REASON_INTEGERS_LARGER, bytes);
    if (code == LORT_OK && !lort_outcome_has_factors(out))
        code = lort_outcome_room(session, count, 1, out, err);
    if (code == LORT_OK)
        code = lort_outcome_encode(session, f->work.worker, LORT_ARRAY_CODES, slice, LORT_U8,
                                   f->codes, count, out, err);
    if (code == LORT_OK)
        code = keep_blocks(f, out, err);
    if (code)
        return code;
    out->kind = LORT_OUTCOME_CODED;
    out->reason = LORT_REASON_NONE;
    out->step = f->step;
    out->estimate = bytes + out->coded.size;
    out->error2 = lort_fitting_is_weighed(f) ? f->total.error.plain : f->total.error2;
    out->error = f->total.error;
    out->mean2 = lort_fitting_mean2(f);
    out->codes = f->codes;
    out->code_count = count;
    f->codes = NULL; /* the outcome's now */
    return LORT_OK;
}

/* Factors and codes come first, the blocks have the rest. */
static lort_code spend_share(lort_fitting *f, double target, const lort_share *share,
                             uint64_t spent, lort_error *err)
{
    uint64_t codes;
    lort_code code = lort_fitting_codes_bytes(f, &codes, err);
    if (code)
        return code;
    spent += codes;
    return find_step_of_size(f, target, share->bytes > spent ? share->bytes - spent : 0, err);
}

static lort_code fit_slice(lort_fitting *f, uint32_t slice, double target, const lort_share *share,
                           lort_outcome *out, lort_error *err)
{
    lort_code code = lort_fitting_prepare(f, err);
    if (code)
        return code;
    out->has_norm = isfinite(f->norm2);
    out->error = f->total.norm;
    out->error2 = lort_fitting_is_weighed(f) ? f->total.norm.plain : f->norm2;
    /* then norms are those of the whole, and what is left of it is to be coded */
    if (lort_outcome_has_factors(out))
        target *= sqrt((lort_fitting_is_weighed(f) ? out->norm.weighed : out->norm2) / f->judged2);
    else {
        out->norm = out->error;
        out->norm2 = out->error2;
    }
    if (lort_outcome_has_factors(out) && (!(f->norm2 > 0) || (target >= 1 && !share)))
        return LORT_OK; /* the factors do */
    if (!lort_fitting_can_be_coded(f))
        return out->has_norm ? lort_outcome_keep(out, LORT_REASON_ZERO)
                             : lort_slice_keep_nonfinite(f->source, f->work.worker, out, err);
    if (share && share->bytes >= out->lossless)
        return lort_outcome_keep(out, LORT_REASON_SHARE);
    code = share
               ? spend_share(
                     f, target < FIRST_MOST ? target : FIRST_MOST, share,
                     lort_outcome_has_factors(out) ? out->coded.size + LORT_FACTORS_RECORD : 0, err)
               : find_step(f, target, err);
    if (code || (share && lort_outcome_has_factors(out) && !(f->step > 0)))
        return code; /* no room beside the factors */
    /* it cannot all be spent */
    if (share && f->step > 0 && sqrt(f->peak) > LORT_STEPS_MAX * (double)f->step) {
        uint64_t bytes;
        f->step = (float)(sqrt(f->peak) / LORT_STEPS_MAX * 1.0001);
        code = measure_size(f, &bytes, err);
        if (code)
            return code;
    }
    if (!(f->step >= LORT_STEP_LEAST && f->step <= LORT_STEP_MOST) ||
        sqrt(f->peak) > LORT_STEPS_MAX * (double)f->step)
        return lort_outcome_keep(out, LORT_REASON_INTEGERS);
    return accept_step(f, slice, share, out, err);
}

uint64_t lort_fit_integers_bound(int64_t rows, int64_t cols, unsigned workers)
{
    const lort_block_grid grid = lort_block_grid_of(rows, cols);
    const uint64_t both = (uint64_t)rows + (uint64_t)cols;
    return both * (sizeof(double) + 1) +
           2 * workers *
               (sizeof(lort_fitting_sums) + (uint64_t)(grid.high + grid.wide) * sizeof(double)) +
           256;
}

lort_code lort_fit_integers(lort_slice_source *source, uint32_t slice, double target,
                            const lort_share *share, lort_work work, lort_outcome *out,
                            lort_error *err)
{
    lort_fitting f = lort_fitting_of(source, work);
    const uint64_t weights = (uint64_t)f.grid.rows * (uint64_t)f.grid.cols;
    lort_code code = lort_fitting_take(&f, err);
    lort_held_open(&f.held, lort_session_spare_alloc(source->decider->session, weights),
                   (uint64_t)(f.grid.down * f.grid.across));
    if (code == LORT_OK)
        code = fit_slice(&f, slice, target, share, out, err);
    lort_held_close(&f.held);
    lort_fitting_give(&f);
    return code;
}
