/* estimate: see estimate.h. */
#include "compress/plan/estimate.h"
#include "compress/goal/goal.h"
#include "compress/slice/slice.h"
#include <math.h>

double lort_plan_size(const lort_options *options, const lort_model *model)
{
    return options->size_bytes ? (double)options->size_bytes
                               : options->value / 100 * (double)lort_model_bytes(model);
}

/* The figures say how large the lossless form of each type usually is (docs/NUMERICS.md,
 * "Lossless"). */
double lort_plan_share(const lort_tensor_plan *planned, bool high)
{
    const lort_dtype_info *type = planned->tensor ? planned->tensor->type : NULL;
    static const struct {
        lort_dtype type;
        double low, high;
    } shares[] = {{LORT_BF16, 0.60, 0.72},
                  {LORT_F16, 0.75, 0.90},
                  {LORT_F32, 0.30, 0.88},
                  {LORT_F64, 0.30, 0.95}};
    for (unsigned i = 0; i < sizeof shares / sizeof *shares; i++)
        if (type && shares[i].type == type->id)
            return high ? shares[i].high : shares[i].low;
    return high ? 1.01 : type && type->kind == LORT_KIND_BLOCK ? 0.90 : 0.20;
}

/* Bits per weight of integers at a relative error: those of a normal distribution. The low bound
 * subtracts what classes and low rank may save. The high bound adds what short blocks may cost. */
static double integer_bits(const lort_options *options, bool high)
{
    if (options->goal == LORT_GOAL_BPW)
        return options->value * (high ? 1 : 0.99);
    const double error = lort_goal_target(options, 1, 1).value,
                 bits = error > 0 ? log2(1 / error) : 32;
    return high ? bits + 0.5 : 0.8 * bits - 0.2 > 0 ? 0.8 * bits - 0.2 : 0;
}

void lort_estimate_output(const lort_model *model, const lort_options *options,
                          lort_work_plan *plan)
{
    uint64_t count;
    const lort_extent *extents = lort_model_extents(model, &count);
    double low = 2000, high = 4000;
    for (uint64_t i = 0; i < count; i++) {
        const lort_tensor_plan *planned = &plan->tensors[i];
        if (planned->same) {
            low += 60;
            high += 400;
            continue;
        }
        double kept_low = lort_plan_share(planned, false) * (double)extents[i].bytes,
               kept_high = lort_plan_share(planned, true) * (double)extents[i].bytes;
        if (planned->candidate && lort_goal_integers(options)) {
            const double weights = (double)planned->tensor->elements / 8;
            kept_low = fmin(kept_low, weights * integer_bits(options, false));
            kept_high = fmin(kept_high, weights * integer_bits(options, true) + 400);
        } else if (planned->candidate && lort_goal_ternary(options)) {
            const lort_target target = lort_goal_ternary_target(
                options, planned->shape.rows, planned->shape.cols, lort_slice_bytes(planned));
            const double sides = (double)planned->shape.slices *
                                 (double)(planned->shape.rows + planned->shape.cols),
                         weights = (double)planned->tensor->elements / 8;
            kept_low = fmin(kept_low, 0.1 * weights);
            if (target.kind != LORT_TARGET_ERROR) /* else the tensor may be kept */
                kept_high = fmin(kept_high, 1.62 * weights + 2 * (double)target.max_rank * sides +
                                                2 * sides + 400);
        } else if (planned->candidate) {
            int64_t rank =
                lort_goal_target(options, planned->shape.rows, planned->shape.cols).max_rank;
            double factors = 2.0 * (double)rank * (double)planned->shape.slices *
                             (double)(planned->shape.rows + planned->shape.cols);
            bool exact = options->goal == LORT_GOAL_RANK;
            kept_low = fmin(kept_low, exact ? LORT_FACTOR_LEAST * factors : 0.0);
            kept_high = exact ? fmin(kept_high, factors) : kept_high;
        }
        low += kept_low + 60;
        high += kept_high + 400;
    }
    plan->out_low = (uint64_t)low;
    plan->out_high = (uint64_t)high;
    if (options->goal == LORT_GOAL_SIZE) {
        plan->out_low = (uint64_t)(0.98 * lort_plan_size(options, model));
        plan->out_high = (uint64_t)lort_plan_size(options, model);
    }
}
