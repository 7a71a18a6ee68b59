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
static double share_of_type(const lort_tensor_plan *planned, bool high)
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

/* What a sample tells sets the high share. The pieces of the sample are shorter than chunks, so the
 * low share stays that of the type, or less. */
double lort_plan_share(const lort_tensor_plan *planned, bool high)
{
    const double type = share_of_type(planned, high), sampled = planned->lossless_share;
    if (sampled <= 0)
        return type;
    return high ? fmin(1.01, sampled * (planned->lossless_whole ? 1.01 : 1.08) + 0.01)
                : fmin(type, 0.9 * sampled);
}

/* Bits per weight of integers at the relative error of this tensor, whose kind counts: those of a
 * normal distribution. The low bound subtracts what classes and low rank may save. The high bound
 * adds what short blocks may cost. */
static double integer_bits(const lort_options *options, const lort_tensor_plan *planned, bool high)
{
    const double error = lort_goal_target(options, 1, 1).value *
                         lort_kind_scale(lort_goal_place(options, &planned->kind)),
                 bits = error > 0 ? log2(1 / error) : 32;
    return high ? bits + 0.5 : 0.8 * bits - 0.2 > 0 ? 0.8 * bits - 0.2 : 0;
}

#define RECORD_LOW 60 /* bytes of a record and of its place in the index */
#define RECORD_HIGH 400
#define START_LOW 500 /* bytes of all other records */
#define START_HIGH 4000

/* Bytes of an extent that is stored losslessly. */
static lort_span kept_span(const lort_tensor_plan *planned, uint64_t bytes)
{
    return (lort_span){lort_plan_share(planned, false) * (double)bytes,
                       lort_plan_share(planned, true) * (double)bytes};
}

static lort_span ternary_span(const lort_options *options, const lort_tensor_plan *planned)
{
    const lort_target target = lort_goal_ternary_target(
        options, planned->shape.rows, planned->shape.cols, lort_slice_bytes(planned));
    const double sides = (double)planned->shape.slices *
                         (double)(planned->shape.rows + planned->shape.cols),
                 weights = (double)planned->tensor->elements / 8;
    lort_span span = {0.1 * weights, INFINITY};
    if (target.kind != LORT_TARGET_ERROR) /* else the tensor may be kept */
        span.high = 1.62 * weights + 2 * (double)target.max_rank * sides + 2 * sides + 400;
    return span;
}

static lort_span factors_span(const lort_options *options, const lort_tensor_plan *planned)
{
    const int64_t rank =
        lort_goal_target(options, planned->shape.rows, planned->shape.cols).max_rank;
    const double factors = 2.0 * (double)rank * (double)planned->shape.slices *
                           (double)(planned->shape.rows + planned->shape.cols);
    const bool exact = options->goal == LORT_GOAL_RANK;
    return (lort_span){exact ? LORT_FACTOR_LEAST * factors : 0.0, exact ? factors : INFINITY};
}

/* Bytes of a candidate that meets its target, as far as the lossless form is not smaller. */
static lort_span tried_span(const lort_options *options, const lort_tensor_plan *planned)
{
    const double weights = (double)planned->tensor->elements / 8;
    if (lort_goal_ternary(options))
        return ternary_span(options, planned);
    if (!lort_goal_integers(options))
        return factors_span(options, planned);
    return (lort_span){weights * integer_bits(options, planned, false),
                       weights * integer_bits(options, planned, true) + 400};
}

/* The bytes of a candidate at the coarsest error of the curves (compress/slice/curve.h). Components
 * alone may reach it in next to nothing; integers take about a bit. */
static lort_span coarsest_span(const lort_tensor_plan *planned)
{
    const double weights = (double)planned->tensor->elements / 8,
                 sides = (double)planned->shape.slices *
                         (double)(planned->shape.rows + planned->shape.cols);
    return (lort_span){0, 1.5 * weights + sides + 400};
}

/* What the estimate supposes of every candidate. Where the lossless form is smaller, it counts. */
typedef enum supposed {
    SUPPOSED_KEPT,
    SUPPOSED_TRIED,   /* stored as its target asks */
    SUPPOSED_COARSEST /* stored at the coarsest error */
} supposed;

/* The whole output. */
static lort_span sum_spans(const lort_model *model, const lort_options *options,
                           const lort_work_plan *plan, supposed as)
{
    uint64_t count;
    const lort_extent *extents = lort_model_extents(model, &count);
    lort_span sum = {START_LOW, START_HIGH};
    for (uint64_t i = 0; i < count; i++) {
        const lort_tensor_plan *planned = &plan->tensors[i];
        if (planned->same) {
            sum.low += RECORD_LOW;
            sum.high += RECORD_HIGH;
            continue;
        }
        lort_span span = kept_span(planned, extents[i].bytes);
        if (planned->candidate && as != SUPPOSED_KEPT) {
            const lort_span lossy =
                as == SUPPOSED_COARSEST ? coarsest_span(planned) : tried_span(options, planned);
            span.low = fmin(span.low, lossy.low);
            span.high = fmin(span.high, lossy.high);
        }
        sum.low += span.low + RECORD_LOW;
        sum.high += span.high + RECORD_HIGH;
    }
    return sum;
}

/* Bytes that do not count in bits per weight, and the elements of all tensors that do. */
static lort_span others_span(const lort_model *model, const lort_work_plan *plan, double *elements)
{
    uint64_t count;
    const lort_extent *extents = lort_model_extents(model, &count);
    lort_span sum = {0, START_HIGH};
    *elements = 0;
    for (uint64_t i = 0; i < count; i++) {
        const lort_tensor_plan *planned = &plan->tensors[i];
        if (lort_tensor_plan_counts(planned))
            *elements += (double)planned->tensor->elements;
        if (lort_tensor_plan_counts(planned) || planned->same)
            continue;
        const lort_span span = kept_span(planned, extents[i].bytes);
        sum.low += span.low;
        sum.high += span.high + RECORD_HIGH;
    }
    return sum;
}

/* The output that --size or --bpw asks for. */
static lort_span target_span(const lort_model *model, const lort_options *options,
                             const lort_work_plan *plan)
{
    double elements;
    const lort_span others = others_span(model, plan, &elements);
    const double bytes = options->value * elements / 8, size = lort_plan_size(options, model);
    return options->goal == LORT_GOAL_BPW
               ? (lort_span){0.97 * bytes + others.low, bytes + others.high}
               : (lort_span){0.97 * size, size};
}

double lort_plan_elements(const lort_work_plan *plan)
{
    double elements = 0;
    for (uint64_t i = 0; i < plan->count; i++)
        if (lort_tensor_plan_counts(&plan->tensors[i]))
            elements += (double)plan->tensors[i].tensor->elements;
    return elements;
}

void lort_estimate_output(const lort_model *model, const lort_options *options,
                          lort_work_plan *plan)
{
    const bool sized = lort_goal_sized(options);
    lort_span out = sum_spans(model, options, plan, sized ? SUPPOSED_KEPT : SUPPOSED_TRIED);
    if (sized) { /* the lossless form is all that compress writes, however large the target is */
        const lort_span target = target_span(model, options, plan);
        out.low = fmin(out.low, target.low);
        out.high = fmin(out.high, target.high);
    }
    plan->out_low = (uint64_t)out.low;
    plan->out_high = (uint64_t)out.high;
}

bool lort_estimate_reach(const lort_model *model, const lort_options *options,
                         const lort_work_plan *plan, lort_span *smallest)
{
    double elements;
    const lort_span target = target_span(model, options, plan),
                    others = others_span(model, plan, &elements);
    *smallest = sum_spans(model, options, plan, SUPPOSED_COARSEST);
    const bool reached = target.high >= smallest->high;
    if (options->goal == LORT_GOAL_BPW && elements > 0) {
        smallest->low = 8 * fmax(smallest->low - others.high, 0) / elements;
        smallest->high = 8 * fmax(smallest->high - others.low, 0) / elements;
    }
    return reached;
}
