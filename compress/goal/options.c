/* options: the options of compress: which of them go together. */
#include "compress/goal/goal.h"
#include "formats/base/text.h"

lort_code lort_parse_size(const char *text, uint64_t *bytes, lort_error *err)
{
    return lort_size_parse(text, bytes, err);
}
const char *lort_print_size(uint64_t bytes, char *out, uint64_t cap)
{
    return lort_size_text(bytes, out, (size_t)cap);
}

static lort_code check_task(const lort_options *options, lort_error *err)
{
    if (options->tasks > LORT_TASKS_MOST || (options->tasks && options->task >= options->tasks))
        return lort_fail(err, LORT_E_USAGE, "task %u of %u: must be below the second, at most %u",
                         options->task, options->tasks, LORT_TASKS_MOST);
    if (options->measure && options->tasks == 0)
        return lort_fail(err, LORT_E_USAGE, "measure goes with a task only");
    if (options->measure && !lort_goal_sized(options))
        return lort_fail(err, LORT_E_USAGE,
                         "measure goes with size and bpw only: other targets need no curves");
    if (options->reserve && !lort_goal_sized(options))
        return lort_fail(err, LORT_E_USAGE, "reserve goes with size and bpw only");
    return LORT_OK;
}

lort_code lort_goal_check(const lort_options *options, lort_error *err)
{
    const bool ternary = lort_goal_ternary(options);
    if (options->goal == LORT_GOAL_RANK && options->rank < (ternary ? 0 : 1))
        return lort_fail(err, LORT_E_USAGE,
                         "rank %lld: at least 1 is allowed, or 0 with residual ternary",
                         (long long)options->rank);
    if (options->goal == LORT_GOAL_ENERGY && !(options->value > 0 && options->value <= 1))
        return lort_fail(err, LORT_E_USAGE, "energy %g: must be above 0 and at most 1",
                         options->value);
    if (options->goal == LORT_GOAL_ERROR && !(options->value >= 0 && options->value < 1))
        return lort_fail(err, LORT_E_USAGE, "max-error %g: must be at least 0 and below 1",
                         options->value);
    const bool sized = lort_goal_sized(options);
    const bool fits =
        sized || options->goal == LORT_GOAL_DEFAULT || options->goal == LORT_GOAL_ERROR;
    if (options->residual == LORT_RESIDUAL_INT && !fits)
        return lort_fail(err, LORT_E_USAGE,
                         "residual int goes with a largest error or a size, not with a rank, an "
                         "energy or lossless");
    if (ternary && (sized || options->goal == LORT_GOAL_LOSSLESS))
        return lort_fail(err, LORT_E_USAGE,
                         "residual ternary goes with a rank, an energy or a largest error, not "
                         "with a size or lossless");
    if (options->residual == LORT_RESIDUAL_NONE && sized)
        return lort_fail(err, LORT_E_USAGE, "residual none cannot meet a size");
    if (sized && !(options->goal == LORT_GOAL_SIZE && options->size_bytes) &&
        !(options->value > 0 && options->value <= 100))
        return lort_fail(err, LORT_E_USAGE,
                         "size or bits per weight %g: must be above 0 and at most 100",
                         options->value);
    if (options->imatrix && options->goal == LORT_GOAL_LOSSLESS)
        return lort_fail(
            err, LORT_E_USAGE,
            "an importance matrix does not go with lossless: there are no errors to weigh");
    if (options->imatrix && ternary)
        return lort_fail(
            err, LORT_E_USAGE,
            "an importance matrix does not go with residual ternary: LoRT fits trits by "
            "plain errors only");
    if (options->covariance && !lort_goal_integers(options))
        return lort_fail(err, LORT_E_USAGE,
                         "a covariance file goes with integers: with a largest error, bits per "
                         "weight or a size, and without residual none or ternary");
    if (options->covariance && (options->imatrix || options->base))
        return lort_fail(err, LORT_E_USAGE,
                         "a covariance file does not go with an importance matrix or a base: leave "
                         "one of them out");
    if (options->base && ternary)
        return lort_fail(err, LORT_E_USAGE,
                         "residual ternary does not go with a base: use integers or factors");
    if (options->max_rank < (lort_goal_integers(options) || ternary ? 0 : 1) ||
        options->min_dim < 1)
        return lort_fail(
            err, LORT_E_USAGE,
            "max-rank and min-dim: must be at least 1 (max-rank may be 0 with integers or "
            "residual ternary)");
    return check_task(options, err);
}
