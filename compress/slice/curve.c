/* curve: see curve.h. A measured point takes one encoding of the block. The first one takes a
 * measurement before, since its step is not known.
 *
 *   bits(target) = bits(error) + log2(error / target)     one bit halves the error
 *   step(target) = step(error) * target / error
 *
 * These are the laws of fine steps. A step is found only nearly, and the first law makes up for it.
 * Where three points in a row follow it, LoRT measures every second point only. docs/NUMERICS.md,
 * "Curves of sizes", has the figures. */
#include "compress/slice/curve.h"
#include "compress/slice/chunk.h"
#include "compress/slice/fitting.h"
#include <math.h>

/* Bits that a point may be off the law, for each halving of the error. */
#define REGULAR 0.06

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

/* Guesses the step of the first point by one measurement. */
static void guess_step(lort_fitting *f, const curve_block *b, double target)
{
    f->step = (float)(2 * target * lort_fitting_rms(f));
    if (!step_is_safe(f))
        return;
    move_step(f, b, lort_block_measure(&b->block, f->step, b->space), target);
    lort_session_tick(f->source->decider->session, (uint64_t)b->weights * LORT_TICKS_MEASURE);
}

/* Encodes the block near the relative error `target`, and gives the bits per weight at the target.
 * f->step is a guess, and becomes the step of the target. */
static lort_code curve_point(lort_fitting *f, const curve_block *b, double target, double *bits,
                             lort_error *err)
{
    lort_session *session = f->source->decider->session;
    lort_block_coded coded;
    lort_code code = lort_session_check_stop(session, err);
    if (code == LORT_OK)
        code = lort_block_encode(&b->block, f->step, session->scratch[f->work.worker].codec,
                                 b->space, &coded, err);
    if (code)
        return code;
    lort_session_tick(session, (uint64_t)b->weights * LORT_TICKS_ENCODE);
    *bits = 8 * (double)coded.stored / b->weights;
    *bits = fmax(0, *bits + log2(move_step(f, b, coded.measured2, target)));
    return LORT_OK;
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

/* Measures the points [first, end) of the block that it needs to know all of them. `error` belongs
 * to point `first`. Fills bits and curve->only. */
static lort_code measure_block(lort_fitting *f, const curve_block *b, double error, unsigned first,
                               unsigned end, double *bits, bool *only, lort_error *err)
{
    unsigned regular = 0, last = end; /* points in a row that follow the law; the last measured */
    lort_code code = LORT_OK;
    f->step = 0;
    for (unsigned i = first; i < end && code == LORT_OK; i++, error /= 2) {
        only[i] = error >= 1;
        bits[i] = 0;
        if (only[i])
            continue;
        if (f->step > 0)
            f->step /= 2;
        else
            guess_step(f, b, error);
        if (!step_is_safe(f)) {
            bits[i] = LORT_CURVE_OUT_OF_REACH;
            continue;
        }
        if (regular >= 2 && last + 1 == i) { /* between two points, or behind the last */
            bits[i] = bits[i - 1] + 1;
            continue;
        }
        code = curve_point(f, b, error, &bits[i], err);
        const double halvings = last < end ? i - last : 0;
        const bool follows =
            halvings > 0 && fabs(bits[i] - bits[last] - halvings) <= REGULAR * halvings;
        regular = follows ? regular + 1 : 0;
        if (halvings == 2)
            bits[i - 1] = (bits[last] + bits[i]) / 2;
        last = i;
    }
    return code;
}

/* Adds the bits of the points [first, end). `error` belongs to point `first` and is relative to the
 * weights that the integers code. Each point halves it. */
static lort_code measure_block_points(lort_fitting *f, double error, unsigned first, unsigned end,
                                      lort_curve *curve, lort_error *err)
{
    double bits[LORT_CURVE_POINTS] = {0};
    curve_block b = middle_block(f);
    lort_code code = lort_slice_block(f->source, f->work.worker, &b.place, b.place.rows,
                                      b.space->weights, b.space->decoded, err);
    if (code)
        return code;
    b.norm2 = sum_of_squares(b.space->weights, b.place.rows * b.place.cols);
    code = measure_block(f, &b, error, first, end, bits, curve->only, err);
    for (unsigned i = first; i < end; i++)
        curve->bits[i] += bits[i];
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
