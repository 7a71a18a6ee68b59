/* fit_integers: finds the codes and the step of a slice.
 *
 *   W - A B  ~  step k          k: integers, A B: factors (if any)
 *
 *   error     the largest step with   CLOSE target <= error(step) < target
 *             error(step) = ||W - A B - step k|| / ||W||, weighed if there is an importance matrix
 *   size      a step with   (1 - SIZE_SLACK) room <= size(step) <= room
 *             room = bytes of the share less factors and codes
 *
 * Three kinds of passes read the slice, block by block and in block order:
 *
 *   energies of all rows and columns         -> codes
 *   errors of a sixteenth of the rows        -> a step that is nearly right
 *   errors (or sizes) of all rows            -> the step
 *
 * docs/NUMERICS.md ("Targets") has the figures. */
#include "compress/slice/fit_integers.h"
#include "compress/slice/fitting.h"
#include <math.h>

#define SAMPLE_ONE_IN 16 /* one row in so many of each block */
/* Rounds of the searches: on the sample, on all rows, and (SIZE_ROUNDS) for a size. */
#define SAMPLE_ROUNDS 4
#define FULL_ROUNDS 8
/* An error is close enough to the target from this part of the target on. Slices of up to
 * FEW_WEIGHTS use the first figure, since another pass costs them little. Larger slices use the
 * second, since their samples are good (0.4 % in docs/NUMERICS.md, "Targets"). */
#define CLOSE_FEW 0.9995
#define CLOSE_MANY 0.996
#define FEW_WEIGHTS (1 << 22)
#define ESTIMATE_ROWS 64 /* of the first block: encoded to estimate the size of the slice */
/* Errors below this grow about like the step (change_of_step). */
#define SMALL_ERROR 0.7
/* Steps are as good as equal up to this ratio. */
#define NARROW 1.0005f
#define SIZE_ROUNDS 12
/* The error of the residual to begin with where rounding leaves too much beside factors. */
#define MOST_BESIDE 0.9
/* The search for a size starts at this error of the residual, or below. */
#define FIRST_MOST 0.5
/* So much of a share may stay unused (0.2 % in docs/NUMERICS.md, "Targets"). */
#define SIZE_SLACK 0.002
/* The search does not believe a smaller slope, in bits of a weight per octave of the step. */
#define SLOPE_LEAST 0.02

/* ---- errors ---- */

/* Rows of a block that are measured: whole lanes. */
static int64_t sample_rows(const lort_fitting *f, const lort_block_place *place)
{
    const int64_t some = (place->rows / f->one_in + LORT_LANES - 1) / LORT_LANES * LORT_LANES;
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
    lort_session_tick(f->source->decider->session, (uint64_t)s->weights * LORT_TICKS_MEASURE);
    s->scaled2 = s->error2 = lort_block_measure(&block, f->step, space);
    if (lort_fitting_is_weighed(f)) {
        code = lort_fitting_coded_errors(f, worker, &place, rows, &s->error, err);
        s->error2 = s->error.weighed;
    }
    return code;
}

static lort_code add_error(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    lort_fitting *f = ctx;
    (void)item;
    f->total.weights += f->slots[slot].weights;
    f->total.error2 += f->slots[slot].error2;
    f->total.scaled2 += f->slots[slot].scaled2;
    lort_weighed_add(&f->total.error, &f->slots[slot].error);
    return lort_session_check_stop(f->source->decider->session, err);
}

/* The relative error of `measured`, a part of all weights. Where rows are scaled, each row counts
 * by its own norm as well, and the larger figure counts. A few rows may hold most of the norm, and
 * a sample may have none of them. So a sample of scaled rows counts by their own norms alone. */
static double relative_error(const lort_fitting *f, double error2, double scaled2, double measured)
{
    const double whole = sqrt(error2 / measured / f->judged2);
    if (!f->source->scales.rows || f->source->weighting.on)
        return whole;
    const double rows = sqrt(scaled2 / measured / f->norm2);
    return measured < 1 || rows > whole ? rows : whole;
}

/* Measures the relative error on one row in `one_in`. The error of a weight depends mainly on the
 * step. So LoRT scales the sample by the number of weights, not by their energy. */
static lort_code measure_error(lort_fitting *f, int64_t one_in, double *error, lort_error *err)
{
    f->one_in = one_in;
    f->source->passes += one_in == 1;
    f->sized = 0;
    f->total.weights = 0;
    f->total.error2 = f->total.scaled2 = 0;
    f->total.error = (lort_weighed){0, 0};
    lort_code code = lort_pool_run(f->work.pool, f->grid.down * f->grid.across, f->window,
                                   measure_block, add_error, f, err);
    const double measured = (double)f->total.weights / (double)f->grid.rows / (double)f->grid.cols;
    *error = code ? 0 : relative_error(f, f->total.error2, f->total.scaled2, measured);
    return code;
}

/* Below 1, since the last measurement of an error rounds to f32. */
static double close_enough(const lort_fitting *f)
{
    return f->grid.rows * f->grid.cols <= FEW_WEIGHTS ? CLOSE_FEW : CLOSE_MANY;
}
static bool close_to(const lort_fitting *f, double value, double target)
{
    return value >= target * close_enough(f) && value <= target * 0.999999;
}

/* The error that the next step aims at: the middle of the errors that are close enough. */
static double error_to_aim_at(const lort_fitting *f) { return (1 + close_enough(f)) / 2; }

/* Returns the factor by which to change the step. The error grows about like the step. But near 1
 * most weights are zeros, and the error hardly changes with the step. There the coded share of the
 * energy, 1 - error^2, falls steeply as the step grows. So the factor is the eighth root of the
 * ratio of these shares. */
static float change_of_step(double error, double wanted)
{
    if (wanted < SMALL_ERROR)
        return (float)(wanted / error);
    const double coded = 1 - error * error,
                 change = coded > 0 ? sqrt(sqrt(sqrt(coded / (1 - wanted * wanted)))) : 0;
    return change < 0.5 ? 0.5f : change > 2 ? 2.0f : (float)change;
}

/* A search for the step of an error. `under` is the last step whose error met the target, `over`
 * the last whose error did not; 0: none yet. */
typedef struct error_search {
    float under, over;
    double under_error, over_error;
} error_search;

/* The step after one that gave `error`; `aim` is the error that it should give. Between two steps
 * on both sides of the target LoRT interpolates, and stays off both ends. */
static float next_step_of_error(error_search *s, float step, double error, double target,
                                double aim)
{
    *(error <= target ? &s->under : &s->over) = step;
    *(error <= target ? &s->under_error : &s->over_error) = error;
    if (!(s->under > 0 && s->over > s->under))
        return step * change_of_step(error, aim);
    const double part = (aim - s->under_error) / (s->over_error - s->under_error);
    const double inside = fmin(fmax(part, 0.05), 0.95);
    return s->under + (s->over - s->under) * (float)inside;
}

/* True if no step between the two is worth another pass. Errors of close steps do not grow
 * steadily, so that a search may find none that is close enough. */
static bool is_narrow(const error_search *s) { return s->over > 0 && s->over <= s->under * NARROW; }

static lort_code find_on_sample(lort_fitting *f, double target, lort_error *err)
{
    double error = 0;
    error_search search = {0};
    lort_code code = LORT_OK;
    f->step = (float)(2 * target * lort_fitting_rms(f));
    for (int i = 0; i < SAMPLE_ROUNDS && code == LORT_OK && !close_to(f, error, target); i++) {
        code = measure_error(f, SAMPLE_ONE_IN, &error, err);
        f->step = error > 0 ? next_step_of_error(&search, f->step, error, target,
                                                 target * error_to_aim_at(f))
                            : f->step * 2;
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
    lort_session_tick(source->decider->session,
                      (uint64_t)(place->rows * place->cols) * LORT_TICKS_ENCODE);
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
                             .scaled2 = coded.measured2,
                             .rows = s->rows,
                             .cols = s->cols};
    if (code == LORT_OK && lort_fitting_is_weighed(f)) {
        code = lort_fitting_coded_errors(f, worker, &place, place.rows, &s->error, err);
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
    f->total.scaled2 += f->slots[slot].scaled2;
    lort_weighed_add(&f->total.error, &f->slots[slot].error);
    return lort_session_check_stop(f->source->decider->session, err);
}

/* Measures the bytes of all blocks at the step. If f->sized is this step, the bytes are known
 * already. */
static lort_code measure_size(lort_fitting *f, uint64_t *bytes, lort_error *err)
{
    lort_code code = LORT_OK;
    if (f->sized != f->step) {
        f->total.stored = 0;
        f->total.error2 = f->total.measured2 = f->total.scaled2 = 0;
        f->total.error = (lort_weighed){0, 0};
        f->source->passes++;
        code = lort_pool_run(f->work.pool, f->grid.down * f->grid.across, f->window, size_block,
                             add_size, f, err);
        f->sized = code ? 0 : f->step;
    }
    *bytes = f->total.stored;
    return code;
}

/* Measures the error of all weights. Large slices are encoded at once where their blocks can be
 * held: their first step is mostly the last one. */
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
    *error = code ? 0 : relative_error(f, f->total.measured2, f->total.scaled2, 1);
    return code;
}

/* Finds the largest step that meets the target. The error of few weights does not grow steadily
 * with the step. So the largest step that met the target counts, not the last one tried. */
static lort_code find_step(lort_fitting *f, double target, lort_error *err)
{
    double error = 0, all2, error2 = 0;
    lort_weighed weighed = {0, 0};
    error_search search = {0};
    float best = 0;
    lort_code code = find_on_sample(f, target, err);
    for (int i = 0; i < (best > 0 ? FULL_ROUNDS : 2 * FULL_ROUNDS) && code == LORT_OK &&
                    !close_to(f, error, target) && !(best > 0 && is_narrow(&search));
         i++) {
        /* In the end any step that meets the target will do. */
        if (i >= FULL_ROUNDS)
            f->step *= 0.8f;
        else if (error > 0)
            f->step =
                next_step_of_error(&search, f->step, error, target,
                                   target * (error_to_aim_at(f) - (best > 0 ? 0 : i * 0.0005)));
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

/* 2^x for |x| <= 1, by its power series. It needs no libm, so every machine takes the same
 * steps. */
static double power_of_two(double x)
{
    double term = 1, sum = 1;
    for (int i = 1; i < 12; i++) {
        term *= x * 0.69314718055994531 / i;
        sum += term;
    }
    return sum;
}

/* A search for the step of a size. `fits` is the last step that fits, `over` the last that does
 * not. `best` is the step of `largest`, the largest size that fits. `slope` is how many bits of a
 * weight an octave of the step changes. The slope is 1 at high rates, and less where most weights
 * are zero. */
typedef struct size_search {
    float fits, over, best;
    uint64_t largest;
    /* Bits per weight above the wanted size at the last step. Octaves from there to the next step;
     * 0: unknown. */
    double bits, moved, slope;
} size_search;

static float next_step(size_search *s, float step, double bits)
{
    /* 0 / 0 cannot occur: `moved` is tested first. */
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

/* ---- the slice ---- */

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

/* Holds the blocks as they will be written, if memory allows. */
static lort_code hold_blocks(lort_fitting *f, lort_outcome *out, lort_error *err)
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
    /* With a share fit_slice has compared the sizes already: the share is below the lossless
     * size. */
    if (code == LORT_OK && !share && bytes + count + out->coded.size >= out->lossless)
        return lort_outcome_keep_larger(out, LORT_REASON_INTEGERS_LARGER, bytes);
    if (code == LORT_OK && !lort_outcome_has_factors(out))
        code = lort_outcome_room(session, count, 1, out, err);
    if (code == LORT_OK)
        code = lort_outcome_encode(session, f->work.worker, LORT_ARRAY_CODES, slice, LORT_U8,
                                   f->codes, count, out, err);
    if (code == LORT_OK)
        code = hold_blocks(f, out, err);
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
    f->codes = NULL; /* the outcome owns them now */
    return LORT_OK;
}

/* Finds the step of a share. Factors and codes take their bytes first, the blocks get the rest. */
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

/* True if the factors alone meet the target. Beside a base the error of the rounded sum counts,
 * which may be more or less than what the factors leave. target: of what they leave. */
static bool factors_suffice(const lort_fitting *f, double target, double allowed2,
                            const lort_share *share, const lort_outcome *out)
{
    if (!lort_outcome_has_factors(out) || (share && f->norm2 > 0))
        return false;
    if (f->source->factored && f->norm2 > 0) /* the factors' own weighed error is not known */
        return false;
    if (!f->source->planned->base || !(f->norm2 > 0))
        return !(f->norm2 > 0) || target >= 1;
    return (f->source->weighting.on ? out->error.weighed : out->error.plain) <= allowed2;
}

static lort_code fit_slice(lort_fitting *f, uint32_t slice, double target, const lort_share *share,
                           lort_outcome *out, lort_error *err)
{
    lort_code code = lort_fitting_prepare(f, err);
    if (code)
        return code;
    out->has_norm = isfinite(f->norm2);
    /* What the factors leave, if there are any. */
    const bool rounded = f->source->planned->base && lort_outcome_has_factors(out);
    out->error = rounded ? f->total.error : f->total.norm;
    out->error2 = lort_fitting_is_weighed(f) ? out->error.plain : f->norm2;
    const double allowed2 =
        target * target * (f->source->weighting.on ? out->norm.weighed : out->norm2);
    /* With factors the norms of `out` are those of the whole slice. So the target becomes relative
     * to the residual. */
    if (lort_outcome_has_factors(out))
        target *= sqrt((f->source->weighting.on ? out->norm.weighed : out->norm2) / f->judged2);
    else {
        out->norm = out->error;
        out->norm2 = out->error2;
    }
    if (factors_suffice(f, target, allowed2, share, out))
        return LORT_OK;
    target = (rounded || f->source->factored) && target >= 1 ? MOST_BESIDE : target;
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
        return code; /* the factors leave no room */
    /* The step may not be smaller: the integers would be too large. So part of the share stays
     * unused. */
    if (share && f->step > 0 && sqrt(f->peak) > LORT_STEPS_MAX * (double)f->step) {
        uint64_t bytes;
        f->step = (float)(sqrt(f->peak) / LORT_STEPS_MAX * 1.0001);
        code = measure_size(f, &bytes, err);
        if (code)
            return code;
    }
    if (!(f->step >= lort_fitting_step_least(f) && f->step <= lort_fitting_step_most(f)) ||
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
    /* Errors of rows are measured when blocks are encoded, so LoRT holds no blocks of such slices.
     */
    lort_held_open(&f.held,
                   source->planned->kind.by_row
                       ? NULL
                       : lort_session_spare_alloc(source->decider->session, weights),
                   (uint64_t)(f.grid.down * f.grid.across));
    if (code == LORT_OK)
        code = fit_slice(&f, slice, target, share, out, err);
    lort_held_close(&f.held);
    lort_fitting_give(&f);
    return code;
}
