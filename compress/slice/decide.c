/* decide: how LoRT decides one slice. Nothing here writes.
 *
 *   lossless size on at most 8 chunks -> break-even rank of the factors; then by the goal:
 *
 *   integers   components that pay, then integers of the residual; also integers alone;
 *              the better of both
 *   trits      scales and factors in turn (fit_trits.c)
 *   factors    break-even rank too small: kept; else factor, encode, compare with the lossless size
 */
#include "compress/slice/decide.h"
#include "compress/goal/goal.h"
#include "compress/goal/kinds.h"
#include "compress/math/random.h"
#include "compress/slice/chunk.h"
#include "compress/slice/fit_integers.h"
#include "compress/slice/fit_trits.h"
#include "compress/slice/outliers.h"
#include "compress/slice/weigh.h"
#include "loader/os/os.h"
#include <math.h>
#include <stdio.h>

/* Factors the slice. With an importance matrix LoRT factors the matrix with weighed columns. */
static lort_code run_factor(lort_slice_source *source, const lort_target *target, lort_pool *pool,
                            lort_factors *factors, lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    lort_matrix_source matrix = lort_slice_matrix(source);
    const uint64_t bytes = (uint64_t)matrix.cols * sizeof(float);
    void *scales = NULL;
    lort_code code = source->weighting.importance
                         ? lort_take(alloc, bytes, "scales of columns", &scales, err)
                         : LORT_OK;
    if (code)
        return code;
    if (scales)
        lort_weighting_scales(&source->weighting, matrix.cols, scales);
    matrix.scale = scales;
    code = lort_factor(&matrix, target, pool, alloc, factors, err);
    source->passes += (uint32_t)factors->passes;
    lort_slice_note_spectrum(source, factors);
    lort_give(alloc, scales, bytes);
    return code;
}

/* ---- factors alone ---- */

/* Measures the norm of a slice that is kept unread. The norm of the tensor counts this slice
 * too. */
static lort_code measure_norm(lort_slice_source *source, unsigned worker, float *row,
                              lort_outcome *out, lort_error *err)
{
    double sum = 0;
    int64_t cols = source->planned->shape.cols;
    source->passes++;
    for (int64_t r = 0; r < source->planned->shape.rows; r++) {
        const float *values;
        int64_t ld;
        lort_code code = lort_slice_read(source, worker, r, r + 1, 0, cols, row, &values, &ld, err);
        if (code)
            return code;
        for (int64_t c = 0; c < cols; c++)
            sum += (double)values[c] * values[c];
    }
    out->norm2 = sum;
    out->has_norm = isfinite(sum);
    return LORT_OK;
}

static lort_code keep_unseen(lort_slice_source *source, unsigned worker, lort_reason reason,
                             lort_outcome *out, lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    uint64_t bytes = (uint64_t)source->planned->shape.cols * sizeof(float);
    void *row;
    lort_outcome_keep(out, reason);
    /* A tensor of one slice has error 0 whatever its norm is. A weighed slice has its norm
     * already. */
    if (source->planned->shape.slices == 1 || source->weighting.on)
        return LORT_OK;
    lort_code code = lort_take(alloc, bytes, "one row", &row, err);
    if (code)
        return code;
    code = measure_norm(source, worker, row, out, err);
    lort_give(alloc, row, bytes);
    return code;
}

/* Encodes the factors. Accepts them if they are smaller than the lossless form, else keeps the
 * slice. */
static lort_code accept_factors(const lort_decider *decider, unsigned worker, uint32_t slice,
                                const lort_factors *factors, lort_outcome *out, lort_error *err)
{
    lort_code code =
        lort_outcome_encode_factors(decider->session, worker, slice, factors, out, err);
    if (code)
        return code;
    if (out->coded.size + LORT_FACTORS_RECORD >= out->lossless) {
        const uint64_t coded = out->coded.size;
        lort_outcome_drop_factors(out, &decider->session->alloc);
        return lort_outcome_keep_larger(out, LORT_REASON_FACTORS_LARGER, coded);
    }
    out->reason = LORT_REASON_NONE;
    lort_outcome_note_factors(factors, out);
    return LORT_OK;
}

/* Measures the errors of the stored factors. lort_factor knows them for scaled columns only. */
static lort_code weigh_factors(lort_slice_source *source, const lort_factors *factors,
                               const lort_target *target, lort_work work, lort_outcome *out,
                               lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    lort_code code = lort_outcome_copy_factors(alloc, factors, out, err);
    source->factors = &out->product;
    if (code == LORT_OK)
        code = lort_slice_weigh(source, work, out, &out->error, err);
    source->factors = NULL;
    lort_give(alloc, out->product.left, out->left_bytes);
    lort_give(alloc, out->product.right, out->right_bytes);
    out->product.left = out->product.right = NULL;
    out->error2 = out->error.plain;
    if (code == LORT_OK && target->kind == LORT_TARGET_ERROR &&
        out->error.weighed > target->value * target->value * out->norm.weighed) {
        out->reason = LORT_REASON_LOW_RANK;
        lort_outcome_drop_factors(out, alloc);
    }
    return code;
}

static lort_code factor_slice(const lort_decider *decider, lort_slice_source *source,
                              const lort_target *target, uint32_t slice, lort_work work,
                              lort_outcome *out, lort_error *err)
{
    const lort_alloc *alloc = &decider->session->alloc;
    lort_factors factors = {0};
    lort_code code = run_factor(source, target, work.pool, &factors, err);
    if (code == LORT_OK)
        code = lort_model_check(decider->model, source->planned->tensor->file, err);
    if (code == LORT_OK)
        lort_outcome_judge(&factors, target, source->weighting.on, out);
    if (code == LORT_OK && factors.verdict == LORT_FACTORED)
        code = accept_factors(decider, work.worker, slice, &factors, out, err);
    if (code == LORT_OK && lort_outcome_has_factors(out) &&
        (source->weighting.on || source->planned->base))
        code = weigh_factors(source, &factors, target, work, out, err);
    lort_factors_free(&factors, alloc);
    return code;
}

/* ---- integers, and components beside them ---- */

/* Takes the components that save more bits of the integers at this error than they cost
 * (docs/NUMERICS.md, "Components beside integers"). Most weights have no such components. */
static lort_code take_components(lort_slice_source *source, uint32_t slice, uint64_t key,
                                 double error, lort_work work, lort_outcome *out, lort_error *err)
{
    const lort_matrices *shape = &source->planned->shape;
    const lort_share *share = source->share;
    lort_target gain = lort_goal_gain(source->decider->options, shape->rows, shape->cols);
    /* Not weighed: components that stand out by importance alone are coded by the scales of the
     * columns already (docs/NUMERICS.md, "Importance"). */
    lort_matrix_source matrix = lort_slice_matrix(source);
    gain.key = key;
    gain.aim = error;
    /* Energy below the target error costs integers nothing, so components for this energy do not
     * pay. */
    gain.floor = error * error;
    /* With a share LoRT takes the components of half its error, which is a quarter of the energy.
     * The share may have room for more components where integers would have too little of it. */
    if (share)
        gain.floor /= 4;
    /* Components are those of unscaled rows, so they spend their bytes on a few long rows. */
    if (gain.value >= 1 || gain.max_rank == 0 || source->planned->scaled & LORT_SCALING_ROWS)
        return LORT_OK;
    lort_code code = lort_outcome_factor(source, &matrix, slice, &gain, work, out, err);
    const uint64_t room =
        share && share->bytes > LORT_FACTORS_RECORD ? share->bytes - LORT_FACTORS_RECORD : 0;
    /* Give up components until the rest fits into the room. */
    while (code == LORT_OK && lort_outcome_has_factors(out) && share && out->coded.size > room) {
        const int64_t fits =
            (int64_t)((double)out->product.rank * (double)room / (double)out->coded.size);
        gain.max_rank = fits < out->product.rank ? fits : out->product.rank - 1;
        lort_outcome_drop_factors(out, &source->decider->session->alloc);
        code = gain.max_rank > 0
                   ? lort_outcome_factor(source, &matrix, slice, &gain, work, out, err)
                   : LORT_OK;
    }
    return code;
}

/* Codes the residual (the slice itself, if there are no factors) as integers. */
static lort_code take_integers(lort_slice_source *source, uint32_t slice, double error,
                               lort_work work, lort_outcome *out, lort_error *err)
{
    const lort_share *share = source->share;
    source->factors = lort_outcome_has_factors(out) ? &out->product : NULL;
    lort_code code = lort_fit_integers(source, slice, error, share, work, out, err);
    if (code == LORT_OK && out->reason) /* The slice is kept after all. */
        lort_outcome_drop_factors(out, &source->decider->session->alloc);
    return code;
}

static uint64_t size_of(const lort_outcome *out)
{
    return lort_outcome_has_blocks(out)    ? out->estimate
           : lort_outcome_has_factors(out) ? out->coded.size
                                           : out->lossless;
}

/* True if a is better: smaller at equal error, or with a share more exact at equal size. a has
 * components, b has none. */
static bool is_better(const lort_outcome *a, const lort_outcome *b, const lort_share *share,
                      bool weighed)
{
    if (!lort_outcome_has_factors(a))
        return false;
    if (!share)
        return size_of(a) < size_of(b);
    /* The slice b is kept whole: it is better if its share has room for it. */
    if (b->kind == LORT_OUTCOME_KEPT)
        return b->lossless > share->bytes;
    return weighed ? a->error.weighed < b->error.weighed : a->error2 < b->error2;
}

/* Decides between integers with components and integers alone by measuring both. The rule that
 * chose the components knows only the variance of the whole slice. Classes of rows and columns may
 * use this variance better. */
static lort_code decide_integers(lort_slice_source *source, uint32_t slice, uint64_t key,
                                 double error, lort_work work, lort_outcome *out, lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    const lort_share *share = source->share;
    lort_outcome alone = {.lossless = out->lossless};
    lort_code code = take_components(source, slice, key, error, work, out, err);
    const bool both = code == LORT_OK && lort_outcome_has_factors(out);
    source->exact = both;
    if (code == LORT_OK)
        code = take_integers(source, slice, error, work, out, err);
    if (code == LORT_OK && both)
        code = take_integers(source, slice, error, work, &alone, err);
    if (code == LORT_OK && both && !is_better(out, &alone, share, source->weighting.on)) {
        const lort_outcome swap = *out;
        *out = alone;
        alone = swap;
    }
    /* Blocks are too small to be sampled one by one when they are freed. So sample the memory
     * now. */
    if (alone.held.count)
        lort_session_sample(source->decider->session);
    lort_outcome_free(&alone, alloc);
    return code ? code
                : lort_model_check(source->decider->model, source->planned->tensor->file, err);
}

/* The relative error of a point of a curve. */
static double error_of_point(unsigned point) { return 1.0 / (2u << point); }

/* Returns the first point at which these factors leave at least the allowed error. From there to
 * `end` integers still code the residual. Never more than end - 1; 0 without factors. */
static unsigned first_point(const lort_outcome *factors, unsigned end)
{
    unsigned first = 0;
    while (lort_outcome_has_factors(factors) && first + 1 < end &&
           error_of_point(first) * error_of_point(first) * factors->norm2 > factors->error2)
        first++;
    return first;
}

/* Takes the smaller of both ways at each point, as the decision will. */
static void take_smaller(lort_curve *curve, const lort_curve *alone, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        if (alone->bits[i] < curve->bits[i]) {
            curve->bits[i] = alone->bits[i];
            curve->only[i] = false;
            curve->rank_bytes[i] = 0;
        }
}

/* Goes from the finest error to the coarsest. Where no components pay at one error, none pay at a
 * larger one. So LoRT looks once at a matrix without components. */
static lort_code find_points(lort_slice_source *source, uint32_t slice, lort_work work,
                             lort_curve *curve, lort_error *err)
{
    const lort_decider *decider = source->decider;
    const lort_tensor *tensor = source->planned->tensor;
    const uint64_t key = lort_matrix_key(decider->options->seed,
                                         lort_name_hash(tensor->name, tensor->name_bytes), slice);
    unsigned first;
    lort_code code = LORT_OK;
    for (unsigned end = LORT_CURVE_POINTS; end > 0 && code == LORT_OK && !curve->raw; end = first) {
        lort_outcome out = {0};
        code = take_components(source, slice, key, error_of_point(end - 1), work, &out, err);
        first = first_point(&out, end);
        source->factors = lort_outcome_has_factors(&out) ? &out.product : NULL;
        if (code == LORT_OK)
            code = lort_curve_points(source, lort_outcome_has_factors(&out) ? &out : NULL, first,
                                     end, work, curve, err);
        if (code == LORT_OK && lort_outcome_has_factors(&out)) {
            lort_curve alone = *curve;
            source->factors = NULL;
            code = lort_curve_points(source, NULL, first, end, work, &alone, err);
            take_smaller(curve, &alone, first, end);
        }
        lort_outcome_free(&out, &decider->session->alloc);
    }
    for (unsigned i = 1; i < LORT_CURVE_POINTS; i++)
        curve->bits[i] = fmax(curve->bits[i], curve->bits[i - 1]);
    return code;
}

lort_code lort_decide_curve(const lort_decider *decider, const lort_tensor_plan *planned,
                            uint32_t slice, lort_work work, lort_curve *curve, lort_error *err)
{
    lort_slice_source source = lort_slice_source_of(decider, planned, slice);
    lort_outliers outliers = {0};
    lort_factored factored;
    lort_code code = lort_slice_take_factored(&source, slice, &factored, err);
    if (code == LORT_OK)
        code = lort_curve_start(&source, work, curve, err);
    if (code == LORT_OK)
        code = lort_outliers_find(&source, work, &outliers, err);
    source.outliers = outliers.count ? &outliers : NULL;
    curve->raw = outliers.crowded && !(planned->scaled & LORT_SCALING_ROWS);
    if (code == LORT_OK && !curve->raw)
        code = find_points(&source, slice, work, curve, err);
    curve->codes += outliers.stored;
    lort_factored_free(&factored);
    lort_outliers_free(&outliers, &decider->session->alloc);
    return code;
}

/* Decides a slice that is stored as trits, with factors beside them. */
static lort_code decide_ternary(lort_slice_source *source, uint32_t slice, uint64_t key,
                                lort_work work, lort_outcome *out, lort_error *err)
{
    lort_code code = lort_fit_trits(source, slice, key, work, out, err);
    if (code == LORT_OK && out->reason)
        lort_outcome_drop_factors(out, &source->decider->session->alloc);
    return code ? code
                : lort_model_check(source->decider->model, source->planned->tensor->file, err);
}

/* Decides a slice whose form is factors alone. */
static lort_code decide_factors(lort_slice_source *source, uint32_t slice, lort_target *target,
                                lort_work work, lort_outcome *out, lort_error *err)
{
    const lort_matrices *shape = &source->planned->shape;
    lort_code code =
        source->weighting.on ? lort_slice_weigh(source, work, out, NULL, err) : LORT_OK;
    if (code)
        return code;
    const int64_t even = lort_goal_break_even(shape->rows, shape->cols, out->lossless);
    if (even < 1 || (target->kind == LORT_TARGET_RANK && target->rank > even)) {
        code = keep_unseen(source, work.worker, LORT_REASON_BREAK_EVEN, out, err);
        snprintf(out->detail, sizeof out->detail, "factors pay up to rank %lld", (long long)even);
        return code;
    }
    target->max_rank = target->max_rank < even ? target->max_rank : even;
    return factor_slice(source->decider, source, target, slice, work, out, err);
}

static lort_code decide_rest(lort_slice_source *source, uint32_t slice, lort_target *target,
                             lort_work work, lort_outcome *out, lort_error *err)
{
    const lort_options *options = source->decider->options;
    if (lort_goal_integers(options)) {
        const double error =
            source->share
                ? source->share->error
                : target->value * lort_kind_scale(lort_goal_place(options, &source->planned->kind));
        return decide_integers(source, slice, target->key, error, work, out, err);
    }
    return lort_goal_ternary(options) ? decide_ternary(source, slice, target->key, work, out, err)
                                      : decide_factors(source, slice, target, work, out, err);
}

/* Takes the outliers out of the slice, decides the rest, and puts them beside it. A slice that is
 * kept has them in its raw bytes. */
static lort_code decide_slice(lort_slice_source *source, uint32_t slice, lort_target *target,
                              lort_work work, lort_outcome *out, lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    const lort_share *given = source->planned->shares ? &source->planned->shares[slice] : NULL;
    lort_outliers outliers;
    lort_code code = lort_outliers_find(source, work, &outliers, err);
    if (code)
        return code;
    lort_share share = given ? *given : (lort_share){0};
    share.bytes -= outliers.stored < share.bytes ? outliers.stored : share.bytes;
    const uint64_t stored = outliers.stored < out->lossless ? outliers.stored : out->lossless;
    out->lossless -= stored; /* what the rest may take */
    source->share = given ? &share : NULL;
    source->outliers = outliers.count ? &outliers : NULL;
    code = outliers.crowded && !(source->planned->scaled & LORT_SCALING_ROWS)
               ? keep_unseen(source, work.worker, LORT_REASON_OUTLIERS, out, err)
               : decide_rest(source, slice, target, work, out, err);
    source->share = NULL;
    source->outliers = NULL;
    out->lossless += stored;
    if (code == LORT_OK && out->kind != LORT_OUTCOME_KEPT)
        code =
            lort_outliers_encode(&outliers, source->decider->session, work.worker, slice, out, err);
    if (code || out->kind == LORT_OUTCOME_KEPT) {
        out->norm2 += outliers.energy;
        lort_outliers_free(&outliers, alloc);
    } else
        out->outliers = outliers;
    return code;
}

/* A lossy difference that does not pay is kept as a lossless one, for a reason of its own. */
static void name_difference(const lort_tensor_plan *planned, lort_outcome *out)
{
    static const lort_reason reasons[] = {LORT_REASON_LOW_RANK, LORT_REASON_INTEGERS,
                                          LORT_REASON_BREAK_EVEN, LORT_REASON_FACTORS_LARGER,
                                          LORT_REASON_INTEGERS_LARGER};
    for (unsigned i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (planned->base && out->kind == LORT_OUTCOME_KEPT && out->reason == reasons[i])
            out->reason = LORT_REASON_DIFFERENCE;
}

lort_code lort_decide(const lort_decider *decider, const lort_tensor_plan *planned, uint32_t slice,
                      lort_work work, lort_outcome *out, lort_error *err)
{
    uint64_t start = lort_os_clock_ns();
    *out = (lort_outcome){.reason = planned->reason};
    if (!planned->candidate)
        return LORT_OK;
    lort_slice_source source = lort_slice_source_of(decider, planned, slice);
    lort_target target =
        lort_goal_target(decider->options, planned->shape.rows, planned->shape.cols);
    lort_code code = lort_slice_raw_size(&source, work, LORT_SAMPLE_CHUNKS, &out->lossless, err);
    if (code)
        return code;
    target.key =
        lort_matrix_key(decider->options->seed,
                        lort_name_hash(planned->tensor->name, planned->tensor->name_bytes), slice);
    lort_factored factored;
    code = lort_slice_take_factored(&source, slice, &factored, err);
    if (code == LORT_OK)
        code = decide_slice(&source, slice, &target, work, out, err);
    out->input_mean = factored.mean;
    out->damping = factored.damping;
    lort_factored_free(&factored);
    name_difference(planned, out);
    out->passes = source.passes;
    out->spectrum = source.spectrum;
    out->seconds = (double)(lort_os_clock_ns() - start) * 1e-9;
    if (code)
        lort_outcome_free(out, &decider->session->alloc);
    return code;
}
