/* goal: see goal.h. */
#include "compress/goal/goal.h"
#include "compress/goal/kinds.h"
#include <math.h>

bool lort_goal_integers(const lort_options *options)
{
    static const bool automatic[] = {[LORT_GOAL_DEFAULT] = true,
                                     [LORT_GOAL_ERROR] = true,
                                     [LORT_GOAL_BPW] = true,
                                     [LORT_GOAL_SIZE] = true};
    if (options->residual != LORT_RESIDUAL_AUTO)
        return options->residual == LORT_RESIDUAL_INT;
    return (unsigned)options->goal < sizeof automatic / sizeof *automatic &&
           automatic[options->goal];
}

bool lort_goal_sized(const lort_options *options)
{
    return options->goal == LORT_GOAL_BPW || options->goal == LORT_GOAL_SIZE;
}

bool lort_goal_ternary(const lort_options *options)
{
    return options->residual == LORT_RESIDUAL_TERNARY;
}

int lort_goal_place(const lort_options *options, const lort_kind_info *kind)
{
    return lort_goal_sized(options) ? kind->size : kind->error;
}

int64_t lort_goal_break_even(int64_t rows, int64_t cols, uint64_t lossless_bytes)
{
    double per_rank = 2.0 * LORT_FACTOR_SHRINK * ((double)rows + (double)cols);
    double rank = floor((double)lossless_bytes / per_rank);
    return rank < 1e15 ? (int64_t)rank : (int64_t)1e15;
}

lort_target lort_goal_target(const lort_options *options, int64_t rows, int64_t cols)
{
    int64_t side = rows < cols ? rows : cols;
    lort_target target = {.kind = LORT_TARGET_ERROR, .value = 0.05, .max_rank = options->max_rank};
    if (options->goal == LORT_GOAL_RANK)
        target = (lort_target){
            .kind = LORT_TARGET_RANK, .rank = options->rank, .max_rank = options->rank};
    else if (options->goal == LORT_GOAL_ENERGY)
        target = (lort_target){
            .kind = LORT_TARGET_ENERGY, .value = options->value, .max_rank = options->max_rank};
    else if (options->goal == LORT_GOAL_ERROR)
        target.value = options->value;
    target.max_rank = target.max_rank < side ? target.max_rank : side;
    target.rank = target.rank < target.max_rank ? target.rank : target.max_rank;
    return target;
}

lort_target lort_goal_gain(const lort_options *options, int64_t rows, int64_t cols)
{
    const double m = (double)rows, n = (double)cols;
    int64_t most = rows < cols ? rows : cols;
    most = most < LORT_GAIN_RANK ? most : LORT_GAIN_RANK;
    most = most < options->max_rank ? most : options->max_rank;
    most = rows > LORT_GAIN_SIDE || cols > LORT_GAIN_SIDE ? 0 : most;
    /* 1.386 = 2 ln 2: docs/NUMERICS.md, "Components beside integers", has the formula. */
    return (lort_target){.kind = LORT_TARGET_GAIN,
                         .value = 1.386 * LORT_FACTOR_BITS * (m + n) / (m * n),
                         .max_rank = most};
}

lort_target lort_goal_ternary_target(const lort_options *options, int64_t rows, int64_t cols,
                                     uint64_t lossless)
{
    const int64_t even = lort_goal_break_even(rows, cols, lossless);
    lort_target target = options->goal == LORT_GOAL_DEFAULT ? lort_goal_gain(options, rows, cols)
                                                            : lort_goal_target(options, rows, cols);
    if (target.kind == LORT_TARGET_ENERGY) {
        target.kind = LORT_TARGET_ERROR;
        target.value = sqrt(1 - target.value);
    }
    target.max_rank = target.max_rank < even ? target.max_rank : even;
    target.rank = target.rank < target.max_rank ? target.rank : target.max_rank;
    return target;
}

static void put_globs(lort_buffer *out, const char *label, const char **patterns, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        lort_put_text(out, " %s=%s", label, patterns[i]);
}

static void put_size(const lort_options *options, lort_buffer *out)
{
    if (options->size_bytes)
        lort_put_text(out, "size=%llu", (unsigned long long)options->size_bytes);
    else
        lort_put_text(out, "size=%.9g%%", options->value);
    lort_put_text(out, " max-rank=%lld", (long long)options->max_rank);
}

void lort_goal_text(const lort_options *options, lort_buffer *out)
{
    if (options->goal == LORT_GOAL_LOSSLESS)
        lort_put_text(out, "lossless");
    else if (options->goal == LORT_GOAL_BPW)
        lort_put_text(out, "bpw=%.9g max-rank=%lld", options->value, (long long)options->max_rank);
    else if (options->goal == LORT_GOAL_SIZE)
        put_size(options, out);
    else if (options->goal == LORT_GOAL_RANK)
        lort_put_text(out, "rank=%lld", (long long)options->rank);
    else
        lort_put_text(out, "%s=%.9g max-rank=%lld",
                      options->goal == LORT_GOAL_ENERGY ? "energy" : "max-error",
                      options->goal == LORT_GOAL_DEFAULT ? 0.05 : options->value,
                      (long long)options->max_rank);
    if (lort_goal_integers(options))
        lort_put_text(out, " residual=int");
    if (lort_goal_ternary(options))
        lort_put_text(out, " residual=ternary");
    lort_put_text(out, " min-dim=%lld seed=%llu zstd-level=%d", (long long)options->min_dim,
                  (unsigned long long)options->seed, options->zstd_level);
    put_globs(out, "include", options->include, options->include_count);
    put_globs(out, "exclude", options->exclude, options->exclude_count);
}
