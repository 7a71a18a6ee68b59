/* quantise: finds how one slice is coded by integers: codes of its rows and columns, and the largest step whose error meets the target. Three kinds of passes
 * over the slice, all by blocks and in block order: energies; errors of a sixteenth of the rows, until the step is nearly right; errors of all. */
#include "compress/slice/decide_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SAMPLE_PART 16      /* of the rows of each block */
#define SAMPLE_ROUNDS 4
#define FULL_ROUNDS 8
#define CLOSE_FEW 0.9995    /* of the target is close enough, for slices of up to FEW_WEIGHTS, where another pass costs little; */
#define CLOSE_MANY 0.996    /* for larger ones, whose samples are good */
#define FEW_WEIGHTS (1 << 22)
#define ESTIMATE_ROWS 64    /* of the first block, encoded to see what it all will come to */
#define SMALL_ERROR 0.7
#define SIZE_ROUNDS 12
#define CURVE_ROUNDS 3
#define FIRST_MOST 0.5      /* of what factors leave: where the search for a size starts at most */
#define SIZE_SLACK 0.002    /* of a share: what may stay unused */
#define SLOPE_LEAST 0.02    /* bits of a weight to an octave of the step: less is not believed */
#define STEP_LEAST 0x1p-100f /* so that no product of a reader is subnormal, */
#define STEP_MOST 0x1p100f   /* and none is infinite */

typedef struct block_sums {
    double norm2, error2, peak; /* peak: largest square */
    double measured2;           /* of coded blocks, as lort_block_measure has it: so that holding blocks changes no decision */
    lort_weighed norm, error;   /* with importances: of unscaled columns */
    int64_t weights;            /* that were measured */
    uint64_t stored;            /* bytes of coded blocks */
    double *rows, *cols;        /* [high], [wide]: energies */
} block_sums;

typedef struct fitting {
    lort_slice_source *source;
    lort_pool *pool;
    unsigned worker; /* who works where there is no pool */
    lort_block_grid grid;
    double *row_energy, *col_energy; /* [rows], [cols] */
    uint8_t *codes;                  /* [rows + cols], and [cols] of scales where columns are scaled */
    uint64_t code_count;
    block_sums *slots, total;        /* [window] */
    unsigned window;
    double norm2, peak; /* of scaled columns, as they are coded */
    double judged2;     /* what errors are relative to: norm2, or with importances the weighed norm */
    int64_t part; /* one row in so many is measured */
    float step;
    float sized; /* the step whose size and error are in total (and blocks in kept); 0: none */
    lort_kept kept;
} fitting;

static const lort_alloc *alloc_of(const fitting *f) { return &f->source->decider->session->alloc; }

static lort_block_space *space_of(const fitting *f, unsigned *worker)
{
    *worker = f->pool ? *worker : f->worker;
    return &f->source->decider->session->scratch[*worker].block;
}

static bool is_weighed(const fitting *f) { return f->source->weighting.on; }

/* Differences, or where b is NULL the weights themselves. */
static lort_weighed weigh(const fitting *f, const lort_block_place *place, int64_t rows, const float *a, const float *b)
{
    return lort_weighed_sum(&f->source->weighting, f->source->scales, place->col, a, b, rows, place->cols);
}

/* ---- energies ---- */

static lort_code sum_energies(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    fitting *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    lort_block_space *space = space_of(f, &worker);
    block_sums *s = &f->slots[slot];
    lort_code code = lort_slice_block(f->source, worker, &place, place.rows, space->weights, space->decoded, err);
    if (code)
        return code;
    lort_energies(space->weights, place.rows, place.cols, s->rows, s->cols, &s->peak);
    if (is_weighed(f))
        s->norm = weigh(f, &place, place.rows, space->weights, NULL);
    return LORT_OK;
}

static lort_code add_energies(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    fitting *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    const block_sums *s = &f->slots[slot];
    for (int64_t r = 0; r < place.rows; r++) {
        f->row_energy[place.row + r] += s->rows[r];
        f->total.norm2 += s->rows[r];
    }
    for (int64_t c = 0; c < place.cols; c++)
        f->col_energy[place.col + c] += s->cols[c];
    f->total.peak = s->peak > f->total.peak ? s->peak : f->total.peak;
    lort_weighed_add(&f->total.norm, &s->norm);
    return lort_session_check_stop(f->source->decider->session, err);
}

static double mean_square(const fitting *f) { return f->norm2 / (double)f->grid.rows / (double)f->grid.cols; }

static void find_codes(fitting *f)
{
    const double mean = mean_square(f);
    for (int64_t r = 0; r < f->grid.rows; r++)
        f->codes[r] = lort_scale_code(f->row_energy[r] / mean, f->grid.cols);
    for (int64_t c = 0; c < f->grid.cols; c++)
        f->codes[f->grid.rows + c] = lort_scale_code(f->col_energy[c] / mean, f->grid.rows);
}

/* ---- errors ---- */

static lort_block block_of(const lort_slice_source *source, const lort_block_place *place, int64_t rows, const uint8_t *codes, double mean2)
{
    lort_block block = lort_block_at(place, rows, codes, source->step->shape.rows);
    block.mean2 = mean2;
    block.show = source->weighting.on;
    lort_block_classes(&block);
    return block;
}

/* Whole lanes; with factors to take off, whole steps of their decoder. */
static int64_t sample_rows(const fitting *f, const lort_block_place *place)
{
    const int64_t unit = f->source->factors ? LORT_DECODE_ROWS : LORT_LANES, some = (place->rows / f->part + unit - 1) / unit * unit;
    return some < place->rows && f->part > 1 ? some : place->rows;
}

static lort_code measure_block(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    fitting *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    const int64_t rows = sample_rows(f, &place);
    lort_block_space *space = space_of(f, &worker);
    block_sums *s = &f->slots[slot];
    lort_code code = lort_slice_block(f->source, worker, &place, rows, space->weights, space->decoded, err);
    if (code)
        return code;
    const lort_block block = block_of(f->source, &place, rows, f->codes, mean_square(f));
    s->weights = rows * place.cols;
    s->error2 = lort_block_measure(&block, f->step, space);
    if (is_weighed(f)) {
        s->error = weigh(f, &place, rows, space->weights, space->decoded);
        s->error2 = s->error.weighed;
    }
    return LORT_OK;
}

static lort_code add_error(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    fitting *f = ctx;
    (void)item;
    f->total.weights += f->slots[slot].weights;
    f->total.error2 += f->slots[slot].error2;
    lort_weighed_add(&f->total.error, &f->slots[slot].error);
    return lort_session_check_stop(f->source->decider->session, err);
}

/* Relative error, by one row in `part`: errors depend on the step far more than on the weights, so that each stands for as many weights, whatever its norm. */
static lort_code measure(fitting *f, int64_t part, double *error, lort_error *err)
{
    f->part = part;
    f->source->passes += part == 1;
    f->sized = 0;
    f->total.weights = 0;
    f->total.error2 = 0;
    f->total.error = (lort_weighed){0, 0};
    lort_code code = lort_pool_run(f->pool, f->grid.down * f->grid.across, f->window, measure_block, add_error, f, err);
    const double share = (double)f->total.weights / (double)f->grid.rows / (double)f->grid.cols;
    *error = code ? 0 : sqrt(f->total.error2 / share / f->judged2);
    return code;
}

static double rms(const fitting *f) { return sqrt(mean_square(f)); }

/* A little below the target, for the f32 rounding of what is measured in the end. */
static double close_enough(const fitting *f) { return f->grid.rows * f->grid.cols <= FEW_WEIGHTS ? CLOSE_FEW : CLOSE_MANY; }
static bool close_to(const fitting *f, double value, double target) { return value >= target * close_enough(f) && value <= target * 0.999999; }

/* What the next step is to reach: the middle of what is close enough. */
static double aim(const fitting *f) { return (1 + close_enough(f)) / 2; }

/* By how much the step is to change. The error grows about as the step does; but near 1, where most weights are zeros, it hardly does, and what falls instead is the share of
 * the energy that is still coded, steeply. */
static float change_of_step(double error, double wanted)
{
    if (wanted < SMALL_ERROR)
        return (float)(wanted / error);
    const double coded = 1 - error * error, change = coded > 0 ? sqrt(sqrt(sqrt(coded / (1 - wanted * wanted)))) : 0;
    return change < 0.5 ? 0.5f : change > 2 ? 2.0f : (float)change;
}

static lort_code find_on_sample(fitting *f, double target, lort_error *err)
{
    double error = 0;
    lort_code code = LORT_OK;
    f->step = (float)(2 * target * rms(f));
    for (int i = 0; i < SAMPLE_ROUNDS && code == LORT_OK && !close_to(f, error, target); i++) {
        code = measure(f, SAMPLE_PART, &error, err);
        f->step *= error > 0 ? change_of_step(error, target * aim(f)) : 2.0f;
    }
    return code;
}

/* ---- sizes ---- */

lort_code lort_quantise_encode(lort_slice_source *source, unsigned worker, const lort_block_place *place, const uint8_t *codes, double mean2, float step,
                               lort_block_coded *out, lort_error *err)
{
    lort_scratch *scratch = &source->decider->session->scratch[worker];
    lort_code code = lort_slice_block(source, worker, place, place->rows, scratch->block.weights, scratch->block.decoded, err);
    if (code)
        return code;
    const lort_block block = block_of(source, place, place->rows, codes, mean2);
    return lort_block_encode(&block, step, scratch->codec, &scratch->block, out, err);
}

static lort_code size_block(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    fitting *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    lort_block_space *space = space_of(f, &worker);
    lort_block_coded coded = {0};
    lort_code code = lort_quantise_encode(f->source, worker, &place, f->codes, mean_square(f), f->step, &coded, err);
    block_sums *s = &f->slots[slot];
    *s = (block_sums){.stored = coded.stored, .error2 = coded.error2, .measured2 = coded.measured2, .rows = s->rows, .cols = s->cols};
    if (code == LORT_OK && is_weighed(f)) {
        s->error = weigh(f, &place, place.rows, space->weights, space->decoded);
        s->error2 = s->measured2 = s->error.weighed;
    }
    if (code == LORT_OK)
        lort_kept_put(&f->kept, (uint64_t)item, &coded, &s->error, space->coded);
    return code;
}

static lort_code add_size(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    fitting *f = ctx;
    (void)item;
    f->total.stored += f->slots[slot].stored;
    f->total.error2 += f->slots[slot].error2;
    f->total.measured2 += f->slots[slot].measured2;
    lort_weighed_add(&f->total.error, &f->slots[slot].error);
    return lort_session_check_stop(f->source->decider->session, err);
}

/* Bytes of all blocks at the step; at the same step again they are known. */
static lort_code measure_size(fitting *f, uint64_t *bytes, lort_error *err)
{
    lort_code code = LORT_OK;
    if (f->sized != f->step) {
        f->total.stored = 0;
        f->total.error2 = f->total.measured2 = 0;
        f->total.error = (lort_weighed){0, 0};
        f->source->passes++;
        code = lort_pool_run(f->pool, f->grid.down * f->grid.across, f->window, size_block, add_size, f, err);
        f->sized = code ? 0 : f->step;
    }
    *bytes = f->total.stored;
    return code;
}

/* Error of all weights. Large slices, whose first step mostly is the last one, are coded at once where the blocks can be held. */
static lort_code measure_all(fitting *f, double *error, double *error2, lort_error *err)
{
    uint64_t bytes;
    if (!f->kept.alloc || f->grid.rows * f->grid.cols <= FEW_WEIGHTS) {
        lort_code code = measure(f, 1, error, err);
        *error2 = f->total.error2;
        return code;
    }
    lort_code code = measure_size(f, &bytes, err);
    *error2 = f->total.measured2;
    *error = code ? 0 : sqrt(f->total.measured2 / f->judged2);
    return code;
}

/* Of few weights the error does not even grow steadily: the largest step that met the target counts, not the last one tried. */
static lort_code find_step(fitting *f, double target, lort_error *err)
{
    double error = 0, all2, error2 = 0;
    lort_weighed weighed = {0, 0};
    float best = 0;
    lort_code code = find_on_sample(f, target, err);
    for (int i = 0; i < (best > 0 ? FULL_ROUNDS : 2 * FULL_ROUNDS) && code == LORT_OK && !close_to(f, error, target); i++) {
        f->step *= i >= FULL_ROUNDS ? 0.8f : error > 0 ? change_of_step(error, target * (aim(f) - i * 0.0005)) : 1.0f; /* at last just any that meets it */
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

/* A search for the step of a size: the largest size that fits, the steps around it, and how many bits of a weight an octave of the step is worth: one at high
 * rates, less where most weights are zero. */
typedef struct size_search {
    float fits, over, best;
    uint64_t largest;
    double bits, moved, slope; /* too many bits at the last step; octaves it was moved by, 0: unknown */
} size_search;

static float next_step(size_search *s, float step, double bits)
{
    const double seen = s->moved != 0 ? (s->bits - bits) / s->moved : s->slope; /* 0 / 0 is never taken */
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

static lort_code find_step_of_size(fitting *f, double error, uint64_t most, lort_error *err)
{
    const double weights = (double)f->grid.rows * (double)f->grid.cols, wanted = (double)most * (1 - SIZE_SLACK / 2);
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

static lort_code estimate(fitting *f, uint64_t *bytes, lort_error *err)
{
    lort_block_place place = lort_block_get(&f->grid, 0);
    lort_block_coded coded;
    place.rows = place.rows < ESTIMATE_ROWS ? place.rows : ESTIMATE_ROWS;
    lort_code code = lort_quantise_encode(f->source, f->worker, &place, f->codes, mean_square(f), f->step, &coded, err);
    *bytes = code ? 0 : (uint64_t)((double)coded.stored * (double)f->grid.rows * (double)f->grid.cols / (double)(place.rows * place.cols));
    return code;
}

/* The blocks as they will be written, if they can be held until then. */
static lort_code keep_blocks(fitting *f, lort_outcome *out, lort_error *err)
{
    const block_sums total = f->total;
    uint64_t bytes;
    if (!f->kept.alloc)
        return LORT_OK;
    lort_code code = measure_size(f, &bytes, err);
    f->total = total;
    if (code == LORT_OK && lort_kept_whole(&f->kept)) {
        out->kept = f->kept;
        f->kept = (lort_kept){0};
    }
    return code;
}

static lort_code accept(fitting *f, uint32_t slice, const lort_share *share, lort_outcome *out, lort_error *err)
{
    lort_session *session = f->source->decider->session;
    const uint64_t count = f->code_count;
    uint64_t bytes;
    lort_code code = f->source->exact ? measure_size(f, &bytes, err) : estimate(f, &bytes, err);
    if (code == LORT_OK && !share && bytes + count + out->coded.size >= out->lossless) /* a share was less than that */
        return lort_outcome_keep_larger(out, "integers not smaller than the lossless form", bytes);
    if (code == LORT_OK && !out->factored)
        code = lort_outcome_room(session, count, 1, out, err);
    if (code == LORT_OK)
        code = lort_outcome_encode(session, f->worker, LORT_ARRAY_CODES, slice, LORT_U8, f->codes, count, out, err);
    if (code == LORT_OK)
        code = keep_blocks(f, out, err);
    if (code)
        return code;
    out->quantised = true;
    out->reason = "";
    out->step = f->step;
    out->estimate = bytes + out->coded.size;
    out->error2 = is_weighed(f) ? f->total.error.plain : f->total.error2;
    out->error = f->total.error;
    out->mean2 = mean_square(f);
    out->codes = f->codes;
    out->code_count = count;
    f->codes = NULL; /* the outcome's now */
    return LORT_OK;
}

static bool can_be_coded(const fitting *f) { return isfinite(f->norm2) && f->norm2 > 0; }

/* Energies, and codes where they can be. */
static lort_code prepare(fitting *f, lort_error *err)
{
    const lort_tensor_plan *step = f->source->step;
    uint8_t *scales = step->scaled ? f->codes + f->grid.rows + f->grid.cols : NULL;
    if (scales)
        lort_weighting_codes(&f->source->weighting, &step->shape, scales);
    f->source->scales = scales;
    f->source->passes++;
    lort_code code = lort_pool_run(f->pool, f->grid.down * f->grid.across, f->window, sum_energies, add_energies, f, err);
    f->norm2 = f->total.norm2;
    f->peak = f->total.peak;
    f->judged2 = is_weighed(f) ? f->total.norm.weighed : f->norm2;
    if (code == LORT_OK && can_be_coded(f))
        find_codes(f);
    return code;
}

/* Bytes of the codes as they will be written. */
static lort_code measure_codes(const fitting *f, uint64_t *bytes, lort_error *err)
{
    lort_scratch *scratch = &f->source->decider->session->scratch[f->worker];
    *bytes = 0;
    for (uint64_t at = 0, n, stored; at < f->code_count; at += n, *bytes += stored) {
        n = f->code_count - at < LORT_CHUNK_TARGET ? f->code_count - at : LORT_CHUNK_TARGET;
        lort_code code = lort_codec_encode(scratch->codec, f->codes + at, n, scratch->coded, scratch->coded_size, &stored, err);
        if (code)
            return code;
    }
    return LORT_OK;
}

/* Factors and codes come first, the blocks have the rest. */
static lort_code spend(fitting *f, double target, const lort_share *share, uint64_t spent, lort_error *err)
{
    uint64_t codes;
    lort_code code = measure_codes(f, &codes, err);
    if (code)
        return code;
    spent += codes;
    return find_step_of_size(f, target, share->bytes > spent ? share->bytes - spent : 0, err);
}

static lort_code fit(fitting *f, uint32_t slice, double target, const lort_share *share, lort_outcome *out, lort_error *err)
{
    lort_code code = prepare(f, err);
    if (code)
        return code;
    out->has_norm = isfinite(f->norm2);
    out->error = f->total.norm;
    out->error2 = is_weighed(f) ? f->total.norm.plain : f->norm2;
    if (out->factored) /* then norms are those of the whole, and what is left of it is to be coded */
        target *= sqrt((is_weighed(f) ? out->norm.weighed : out->norm2) / f->judged2);
    else {
        out->norm = out->error;
        out->norm2 = out->error2;
    }
    if (out->factored && (!(f->norm2 > 0) || (target >= 1 && !share)))
        return LORT_OK; /* the factors do */
    if (!can_be_coded(f))
        return out->has_norm ? lort_outcome_keep(out, "all zero") : lort_slice_keep_nonfinite(f->source, f->worker, out, err);
    if (share && share->bytes >= out->lossless)
        return lort_outcome_keep(out, "its share holds the lossless form");
    code = share ? spend(f, target < FIRST_MOST ? target : FIRST_MOST, share, out->factored ? out->coded.size + LORT_FACTORS_RECORD : 0, err) : find_step(f, target, err);
    if (code || (share && out->factored && !(f->step > 0)))
        return code; /* no room beside the factors */
    if (share && f->step > 0 && sqrt(f->peak) > LORT_STEPS_MAX * (double)f->step) { /* it cannot all be spent */
        uint64_t bytes;
        f->step = (float)(sqrt(f->peak) / LORT_STEPS_MAX * 1.0001);
        code = measure_size(f, &bytes, err);
        if (code)
            return code;
    }
    if (!(f->step >= STEP_LEAST && f->step <= STEP_MOST) || sqrt(f->peak) > LORT_STEPS_MAX * (double)f->step)
        return lort_outcome_keep(out, "target out of reach of integers");
    return accept(f, slice, share, out, err);
}

/* ---- curves ---- */

/* Far from where steps may not be, since the block's is not the slice's. */
static bool step_is_safe(float step) { return step >= 16 * STEP_LEAST && step <= STEP_MOST / 16; }

/* Bits of one block at one error of the whole; the step found for the error before is a good start. */
static lort_code curve_point(fitting *f, const lort_block *block, lort_block_space *space, double target, double *bits, lort_error *err)
{
    const double weights = (double)(block->rows * block->cols);
    lort_block_coded coded;
    double norm2 = 0, error2;
    for (int64_t i = 0; i < block->rows * block->cols; i++)
        norm2 += (double)space->weights[i] * space->weights[i];
    for (int i = 0; i < CURVE_ROUNDS; i++) {
        error2 = lort_block_measure(block, f->step, space);
        if (error2 > 0)
            f->step *= (float)(target / sqrt(error2 / norm2));
    }
    lort_code code = lort_block_encode(block, f->step, f->source->decider->session->scratch[f->worker].codec, space, &coded, err);
    *bits = code ? 0 : 8 * (double)coded.stored / weights;
    return code;
}

/* Points [first, end) of what is coded, from this error of it on. */
static lort_code draw_blocks(fitting *f, double error, unsigned first, unsigned end, lort_curve *curve, lort_error *err)
{
    lort_block_space *space = &f->source->decider->session->scratch[f->worker].block;
    const lort_block_place place = lort_block_get(&f->grid, f->grid.down / 2 * f->grid.across + f->grid.across / 2);
    const lort_block block = block_of(f->source, &place, place.rows, f->codes, mean_square(f));
    lort_code code = lort_slice_block(f->source, f->worker, &place, place.rows, space->weights, space->decoded, err);
    f->step = 0;
    for (unsigned i = first; i < end && code == LORT_OK; i++, error /= 2) {
        double bits = 0;
        curve->only[i] = error >= 1;
        if (curve->only[i])
            continue;
        f->step = f->step > 0 ? f->step / 2 : (float)(2 * error * rms(f));
        if (step_is_safe(f->step))
            code = curve_point(f, &block, space, error, &bits, err);
        curve->bits[i] += step_is_safe(f->step) ? bits : LORT_CURVE_OUT_OF_REACH;
    }
    return code;
}

/* Points [first, end). */
static lort_code draw(fitting *f, const lort_outcome *factors, unsigned first, unsigned end, lort_curve *curve, lort_error *err)
{
    const double fixed = factors ? 8 * (double)factors->coded.size / (double)curve->weights : 0;
    uint64_t codes;
    for (unsigned i = first; i < end; i++) {
        curve->bits[i] = fixed;
        curve->rank_bytes[i] = factors ? (double)factors->coded.size / (double)factors->rank : 0;
    }
    lort_code code = prepare(f, err);
    curve->raw = code == LORT_OK && !can_be_coded(f) && !factors;
    if (code || !can_be_coded(f))
        return code;
    code = measure_codes(f, &codes, err);
    if (code)
        return code;
    curve->codes = codes > curve->codes ? codes : curve->codes;
    const double whole2 = factors ? is_weighed(f) ? factors->norm.weighed : factors->norm2 : f->judged2;
    return draw_blocks(f, sqrt(whole2 / f->judged2) / (2u << first), first, end, curve, err);
}

static lort_code take_all(fitting *f, lort_error *err)
{
    const uint64_t rows = (uint64_t)f->grid.rows, cols = (uint64_t)f->grid.cols, each = (uint64_t)(f->grid.high + f->grid.wide) * sizeof(double);
    void *memory;
    lort_code code = lort_take_zero(alloc_of(f), (rows + cols) * sizeof(double), "energies", &memory, err);
    f->row_energy = memory;
    if (code)
        return code;
    f->col_energy = f->row_energy + rows;
    code = lort_take(alloc_of(f), f->code_count, "codes", &memory, err);
    f->codes = memory;
    if (code == LORT_OK)
        code = lort_take(alloc_of(f), f->window * (sizeof *f->slots + each), "partial sums", &memory, err);
    if (code)
        return code;
    f->slots = memory;
    double *at = (double *)(void *)(f->slots + f->window);
    for (unsigned i = 0; i < f->window; i++, at += f->grid.high + f->grid.wide)
        f->slots[i] = (block_sums){.rows = at, .cols = at + f->grid.high};
    return LORT_OK;
}

static void give_all(fitting *f)
{
    const uint64_t rows = (uint64_t)f->grid.rows, cols = (uint64_t)f->grid.cols;
    f->source->scales = NULL; /* in what goes now, or is the outcome's */
    lort_give(alloc_of(f), f->slots, f->window * (sizeof *f->slots + (uint64_t)(f->grid.high + f->grid.wide) * sizeof(double)));
    lort_give(alloc_of(f), f->codes, f->code_count);
    lort_give(alloc_of(f), f->row_energy, (rows + cols) * sizeof(double));
}

uint64_t lort_quantise_bound(int64_t rows, int64_t cols, unsigned workers)
{
    const lort_block_grid grid = lort_block_grid_of(rows, cols);
    const uint64_t both = (uint64_t)rows + (uint64_t)cols;
    return both * (sizeof(double) + 1) + 2 * workers * (sizeof(block_sums) + (uint64_t)(grid.high + grid.wide) * sizeof(double)) + 256;
}

static fitting start(lort_slice_source *source, unsigned worker, lort_pool *pool)
{
    const lort_matrices *shape = &source->step->shape;
    return (fitting){.source = source, .pool = pool, .code_count = lort_codes_bytes(source->step->scaled, shape), .worker = worker, .grid = lort_block_grid_of(shape->rows, shape->cols),
                     .window = lort_pool_window(pool)};
}

lort_code lort_quantise_slice(lort_slice_source *source, uint32_t slice, double target, const lort_share *share, unsigned worker, lort_pool *pool,
                              lort_outcome *out, lort_error *err)
{
    fitting f = start(source, worker, pool);
    const uint64_t weights = (uint64_t)f.grid.rows * (uint64_t)f.grid.cols;
    lort_code code = take_all(&f, err);
    lort_kept_open(&f.kept, lort_session_spare_alloc(source->decider->session, weights), (uint64_t)(f.grid.down * f.grid.across));
    if (code == LORT_OK)
        code = fit(&f, slice, target, share, out, err);
    lort_kept_close(&f.kept);
    give_all(&f);
    return code;
}

lort_code lort_curve_start(lort_slice_source *source, unsigned worker, lort_pool *pool, lort_curve *curve, lort_error *err)
{
    const lort_matrices *shape = &source->step->shape;
    *curve = (lort_curve){.weights = (uint64_t)shape->rows * (uint64_t)shape->cols, .codes = lort_codes_bytes(source->step->scaled, shape) / 2 + 64};
    return lort_slice_raw_size(source, worker, pool, UINT64_MAX, &curve->lossless, err);
}

lort_code lort_quantise_curve(lort_slice_source *source, unsigned first, unsigned end, unsigned worker, lort_pool *pool, lort_curve *curve, lort_error *err)
{
    fitting f = start(source, worker, pool);
    lort_code code = take_all(&f, err);
    if (code == LORT_OK)
        code = draw(&f, source->factors, first, end, curve, err);
    give_all(&f);
    return code;
}
