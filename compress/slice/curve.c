/* curve: see curve.h. Most slices follow the laws of fine steps:
 *
 *   bits(target) = bits(error) + log2(error / target)     one bit halves the error
 *   step(target) = step(error) * target / error
 *
 * There two encodings of the block give all points. A slice that does not follow them has every
 * point measured: some quick measurements to find the step, then one encoding. docs/NUMERICS.md,
 * "Curves of sizes", has the figures. */
#include "compress/slice/curve.h"
#include "compress/slice/chunk.h"
#include "compress/slice/fitting.h"
#include "compress/slice/rounded.h"
#include <math.h>

/* Bits that a point may be off the law, for each halving of the error. */
#define REGULAR 0.05
/* Errors up to this may follow the law, and larger ones do not. */
#define LAWFUL_ERROR 0.5
/* Measurements for the step of a point that does not follow the law. */
#define POINT_ROUNDS 3

/* True if the step is at least a factor of 16 inside the allowed range. The margin is needed
 * because the step of one block is not that of the slice. */
static bool step_is_safe(const lort_fitting *f)
{
    return f->step >= 16 * lort_fitting_step_least(f) && f->step <= lort_fitting_step_most(f) / 16;
}

/* The middle block of a slice while its curve is measured. */
typedef struct curve_block {
    lort_block_place place;
    lort_block block;
    lort_block_space *space;
    double norm2, weights; /* sum of squares, and number, of its weights */
} curve_block;

static double sum_of_squares(const float *weights, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)weights[i] * weights[i];
    return sum;
}

/* Moves the step from the error that it gave to the error `target`. Returns the factor between the
 * errors; 1 if the step gave no error. */
static double move_step(lort_fitting *f, const curve_block *b, double error2, double target)
{
    const double off = error2 > 0 ? sqrt(error2 / b->norm2) / target : 1;
    f->step /= (float)off;
    return off;
}

/* The squared error of the block that was quantised just now. measured2: that error in the units of
 * scaled rows and columns. With feedback the error of the outputs counts. */
static lort_code error_of_block(const lort_fitting *f, const curve_block *b, double measured2,
                                double *error2, lort_error *err)
{
    lort_weighed sums;
    *error2 = measured2;
    if (!b->block.feedback)
        return LORT_OK;
    lort_code code = lort_slice_coded_errors(f->source, f->work.worker, &b->place, b->block.rows,
                                             b->space, &sums, err);
    *error2 = code ? 0 : sums.weighed;
    return code;
}

/* Brings the step nearer to the one of the relative error `target`, by measurements. */
static lort_code near_step(lort_fitting *f, const curve_block *b, double target, int rounds,
                           lort_error *err)
{
    lort_session *session = f->source->decider->session;
    lort_code code = LORT_OK;
    for (int i = 0; i < rounds && code == LORT_OK; i++) {
        double error2;
        code = error_of_block(f, b, lort_block_measure(&b->block, f->step, b->space), &error2, err);
        if (code)
            return code;
        move_step(f, b, error2, target);
        lort_session_tick(session, (uint64_t)b->weights * LORT_TICKS_MEASURE);
        code = lort_session_check_stop(session, err);
    }
    return code;
}

/* Encodes the block near the relative error `target`, and gives the bits per weight. octaves: the
 * error over the target, as a power of two. Afterwards f->step is that of the target. */
static lort_code encode_point(lort_fitting *f, const curve_block *b, double target, double *bits,
                              double *octaves, lort_error *err)
{
    lort_session *session = f->source->decider->session;
    lort_block_coded coded;
    double error2;
    lort_code code = lort_block_encode(&b->block, f->step, session->scratch[f->work.worker].codec,
                                       b->space, &coded, err);
    if (code)
        return code;
    lort_session_tick(session, (uint64_t)b->weights * LORT_TICKS_ENCODE);
    *bits = 8 * (double)coded.stored / b->weights;
    code = error_of_block(f, b, coded.measured2, &error2, err);
    if (code)
        return code;
    *octaves = log2(move_step(f, b, error2, target));
    return lort_session_check_stop(session, err);
}

static curve_block middle_block(lort_fitting *f)
{
    const lort_block_place place =
        lort_block_get(&f->grid, f->grid.down / 2 * f->grid.across + f->grid.across / 2);
    return (curve_block){
        .place = place,
        .block = lort_fitting_block(f->source, &place, place.rows, f->codes, lort_fitting_mean2(f)),
        .space = &f->source->decider->session->scratch[f->work.worker].block,
        .weights = (double)(place.rows * place.cols)};
}

/* The points [first, end) of a block. */
typedef struct curve_walk {
    curve_block block;
    double error; /* of point `first`, relative to the weights that the integers code */
    unsigned first, end;
    unsigned last; /* the point that f->step belongs to; `end`: none yet */
    double bits[LORT_CURVE_POINTS];
    bool only[LORT_CURVE_POINTS];
} curve_walk;

/* Measures one point, after `rounds` measurements for its step. lawful: the first law moves its
 * bits from the error that was found to that of the point. */
static lort_code measure_point(lort_fitting *f, curve_walk *w, unsigned i, int rounds, bool lawful,
                               lort_error *err)
{
    const double error = ldexp(w->error, (int)w->first - (int)i);
    double octaves = 0;
    w->only[i] = error >= 1;
    w->bits[i] = 0;
    if (w->only[i])
        return LORT_OK;
    f->step = w->last < w->end ? ldexpf(f->step, (int)w->last - (int)i)
                               : (float)(2 * error * lort_fitting_rms(f));
    w->last = i;
    lort_code code = step_is_safe(f) ? near_step(f, &w->block, error, rounds, err) : LORT_OK;
    w->bits[i] = LORT_CURVE_OUT_OF_REACH;
    if (code == LORT_OK && step_is_safe(f))
        code = encode_point(f, &w->block, error, &w->bits[i], &octaves, err);
    w->bits[i] += lawful ? octaves : 0;
    return code;
}

/* The first point that may follow the laws: its error is small enough. */
static unsigned first_lawful(const curve_walk *w)
{
    unsigned i = w->first;
    while (i < w->end && ldexp(w->error, (int)w->first - (int)i) > LAWFUL_ERROR)
        i++;
    return i;
}

/* Measures the points `from` and `from` + 2. *regular: they are two bits apart, as their errors are
 * by two halvings. */
static lort_code measure_few(lort_fitting *f, curve_walk *w, unsigned from, bool *regular,
                             lort_error *err)
{
    *regular = from + 2 < w->end;
    if (!*regular)
        return LORT_OK;
    lort_code code = measure_point(f, w, from, 1, true, err);
    if (code == LORT_OK)
        code = measure_point(f, w, from + 2, 0, true, err);
    *regular = fabs(w->bits[from + 2] - w->bits[from] - 2) <= 2 * REGULAR;
    return code;
}

/* Puts the other points between those and behind them. */
static void fill_points(curve_walk *w, unsigned from)
{
    w->bits[from + 1] = (w->bits[from] + w->bits[from + 2]) / 2;
    for (unsigned i = from + 3; i < w->end; i++)
        w->bits[i] = w->bits[i - 1] + 1;
}

static lort_code measure_block(lort_fitting *f, curve_walk *w, lort_error *err)
{
    const unsigned from = first_lawful(w);
    bool regular;
    lort_code code = measure_few(f, w, from, &regular, err);
    if (code == LORT_OK && regular)
        fill_points(w, from);
    w->last = w->end;
    for (unsigned i = w->first; i < (regular ? from : w->end) && code == LORT_OK; i++)
        code = measure_point(f, w, i, POINT_ROUNDS, false, err);
    return code;
}

/* Adds the bits of the points [first, end). `error` belongs to point `first`. */
static lort_code measure_block_points(lort_fitting *f, double error, unsigned first, unsigned end,
                                      lort_curve *curve, lort_error *err)
{
    curve_walk w = {
        .block = middle_block(f), .error = error, .first = first, .end = end, .last = end};
    const lort_block_place *place = &w.block.place;
    lort_block_space *space = w.block.space;
    lort_code code = lort_slice_block(f->source, f->work.worker, place, place->rows, space->weights,
                                      space->decoded, err);
    if (code)
        return code;
    w.block.norm2 = w.block.block.feedback /* the error is in the weights' own units */
                        ? lort_fitting_weigh(f, place, space->weights).plain
                        : sum_of_squares(space->weights, place->rows * place->cols);
    code = measure_block(f, &w, err);
    for (unsigned i = first; i < end; i++) {
        curve->bits[i] += w.bits[i];
        curve->only[i] = w.only[i];
    }
    return code;
}

/* Fills the points [first, end): the bytes of the factors, then those of the block. Errors of the
 * curve are relative to the whole slice. So this function converts them to errors of the
 * residual. */
static lort_code measure_points(lort_fitting *f, const lort_outcome *factors, unsigned first,
                                unsigned end, lort_curve *curve, lort_error *err)
{
    const double fixed = factors ? 8 * (double)factors->coded.size / (double)curve->weights : 0;
    uint64_t codes;
    for (unsigned i = first; i < end; i++) {
        curve->bits[i] = fixed;
        curve->rank_bytes[i] =
            factors ? (double)factors->coded.size / (double)factors->product.rank : 0;
    }
    lort_code code = lort_fitting_prepare(f, err);
    curve->raw = code == LORT_OK && !lort_fitting_can_be_coded(f) && !factors;
    if (code || !lort_fitting_can_be_coded(f))
        return code;
    code = lort_fitting_codes_bytes(f, &codes, err);
    if (code)
        return code;
    curve->codes = codes > curve->codes ? codes : curve->codes;
    const double whole2 =
        factors ? lort_fitting_is_weighed(f) ? factors->norm.weighed : factors->norm2 : f->judged2;
    return measure_block_points(f, sqrt(whole2 / f->judged2) / (2u << first), first, end, curve,
                                err);
}

lort_code lort_curve_start(lort_slice_source *source, lort_work work, lort_curve *curve,
                           lort_error *err)
{
    const lort_matrices *shape = &source->planned->shape;
    *curve = (lort_curve){.weights = (uint64_t)shape->rows * (uint64_t)shape->cols,
                          .codes = lort_codes_bytes(source->planned->scaled, shape) / 2 + 64};
    return lort_slice_raw_size(source, work, UINT64_MAX, &curve->lossless, err);
}

lort_code lort_curve_points(lort_slice_source *source, const lort_outcome *factors, unsigned first,
                            unsigned end, lort_work work, lort_curve *curve, lort_error *err)
{
    lort_fitting f = lort_fitting_of(source, work);
    lort_code code = lort_fitting_take(&f, err);
    if (code == LORT_OK)
        code = measure_points(&f, factors, first, end, curve, err);
    lort_fitting_give(&f);
    return code;
}
