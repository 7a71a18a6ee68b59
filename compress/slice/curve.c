/* curve: see curve.h. Each point takes a few quick measurements to find the step, then one encoding
 * of the block. */
#include "compress/slice/curve.h"
#include "compress/slice/chunk.h"
#include "compress/slice/fitting.h"
#include <math.h>

/* Measurements of the block for each point. */
#define CURVE_ROUNDS 3

/* True if the step is at least a factor of 16 inside the allowed range. The margin is needed
 * because the step of one block is not that of the slice. */
static bool step_is_safe(const lort_fitting *f)
{
    return f->step >= 16 * lort_fitting_step_least(f) && f->step <= lort_fitting_step_most(f) / 16;
}

/* Finds the step at which the block has the relative error `target`. Then encodes the block and
 * gives its bits per weight. The first guess is in f->step: half the step of the point before is a
 * good one. */
static lort_code curve_point(lort_fitting *f, const lort_block *block, lort_block_space *space,
                             double target, double *bits, lort_error *err)
{
    const double weights = (double)(block->rows * block->cols);
    lort_block_coded coded;
    double norm2 = 0, error2;
    lort_code code;
    for (int64_t i = 0; i < block->rows * block->cols; i++)
        norm2 += (double)space->weights[i] * space->weights[i];
    for (int i = 0; i < CURVE_ROUNDS; i++) {
        error2 = lort_block_measure(block, f->step, space);
        if (error2 > 0)
            f->step *= (float)(target / sqrt(error2 / norm2));
        code = lort_session_check_stop(f->source->decider->session, err);
        if (code)
            return code;
        lort_session_tick(f->source->decider->session, (uint64_t)weights * LORT_TICKS_MEASURE);
    }
    lort_session_tick(f->source->decider->session, (uint64_t)weights * LORT_TICKS_ENCODE);
    code = lort_block_encode(block, f->step,
                             f->source->decider->session->scratch[f->work.worker].codec, space,
                             &coded, err);
    *bits = code ? 0 : 8 * (double)coded.stored / weights;
    return code;
}

/* Adds the bits of the points [first, end). `error` belongs to point `first` and is relative to the
 * weights that the integers code. Each point halves it. */
static lort_code measure_block_points(lort_fitting *f, double error, unsigned first, unsigned end,
                                      lort_curve *curve, lort_error *err)
{
    lort_block_space *space = &f->source->decider->session->scratch[f->work.worker].block;
    const lort_block_place place =
        lort_block_get(&f->grid, f->grid.down / 2 * f->grid.across + f->grid.across / 2);
    const lort_block block =
        lort_fitting_block(f->source, &place, place.rows, f->codes, lort_fitting_mean2(f));
    lort_code code = lort_slice_block(f->source, f->work.worker, &place, place.rows, space->weights,
                                      space->decoded, err);
    f->step = 0;
    for (unsigned i = first; i < end && code == LORT_OK; i++, error /= 2) {
        double bits = 0;
        curve->only[i] = error >= 1;
        if (curve->only[i])
            continue;
        f->step = f->step > 0 ? f->step / 2 : (float)(2 * error * lort_fitting_rms(f));
        if (step_is_safe(f))
            code = curve_point(f, &block, space, error, &bits, err);
        curve->bits[i] += step_is_safe(f) ? bits : LORT_CURVE_OUT_OF_REACH;
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
