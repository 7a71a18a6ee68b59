/* plan: decides per tensor whether factoring is tried, what memory each step needs, and which mode that leads to.
 * Reads headers only. */
#include "compress/plan/plan.h"
#include "compress/goal/kinds.h"
#include "compress/session/report.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

bool lort_glob(const char *pattern, const char *name)
{
    const char *star = NULL, *retry = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool matches(const char **patterns, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (lort_glob(patterns[i], name))
            return true;
    return false;
}

bool lort_plan_integers(const lort_options *options)
{
    static const bool automatic[] = {[LORT_GOAL_DEFAULT] = true, [LORT_GOAL_ERROR] = true, [LORT_GOAL_BPW] = true, [LORT_GOAL_SIZE] = true};
    if (options->residual != LORT_RESIDUAL_AUTO)
        return options->residual == LORT_RESIDUAL_INT;
    return (unsigned)options->goal < sizeof automatic / sizeof *automatic && automatic[options->goal];
}

bool lort_plan_ternary(const lort_options *options) { return options->residual == LORT_RESIDUAL_TERNARY; }

/* ---- why a tensor is kept before anything is read ---- */

typedef struct rule_input {
    const lort_model *model;
    const lort_options *options;
    const lort_tensor *tensor;
    lort_matrices shape;
} rule_input;

static bool rule_lossless(const rule_input *in) { return in->options->goal == LORT_GOAL_LOSSLESS; }
static bool rule_empty(const rule_input *in) { return in->tensor->elements == 0; }
static bool rule_vector(const rule_input *in) { return in->tensor->n_dims < 2; }
static bool rule_opaque(const rule_input *in) { return in->tensor->type->decode == NULL; }
static bool rule_integer(const rule_input *in) { return in->tensor->type->kind == LORT_KIND_OTHER; }
static bool rule_excluded(const rule_input *in) { return matches(in->options->exclude, in->options->exclude_count, in->tensor->name); }
static bool rule_slices(const rule_input *in) { return in->shape.slices > LORT_MAX_SLICES; }

/* A decoder for F8 weights with separate scales would give wrong numbers silently. */
static bool rule_scaled_f8(const rule_input *in)
{
    static const char *const companions[] = {"_scale_inv", "_scale", ".scale", ".scales"};
    char name[600];
    if (in->tensor->type->kind != LORT_KIND_F8)
        return false;
    for (unsigned i = 0; i < sizeof companions / sizeof *companions; i++) {
        int n = snprintf(name, sizeof name, "%s%s", in->tensor->name, companions[i]);
        if (n > 0 && (size_t)n < sizeof name && lort_index_find(lort_model_index(in->model), name, (uint64_t)n))
            return true;
    }
    return false;
}

static bool rule_small(const rule_input *in)
{
    return in->shape.rows < in->options->min_dim || in->shape.cols < in->options->min_dim;
}

static bool rule_block(const rule_input *in) { return in->tensor->type->kind == LORT_KIND_BLOCK; }

/* Low rank ruins what is looked up row by row; integers treat all rows alike. */
static bool rule_embedding(const rule_input *in) { return !lort_plan_integers(in->options) && lort_kind_get(in->tensor->name)->by_row; }

/* In order; the first that holds is the reason. Those marked are overridden by --include. */
static const struct keep_rule {
    bool (*holds)(const rule_input *in);
    const char *reason;
    bool overridable;
} keep_rules[] = {
    {rule_lossless, "lossless asked for", false},
    {rule_empty, "empty", false},
    {rule_vector, "fewer than two dimensions", false},
    {rule_opaque, "type is kept, never decoded", false},
    {rule_integer, "not a floating-point type", false},
    {rule_scaled_f8, "F8 with scale companion", false},
    {rule_slices, "too many slices", false},
    {rule_excluded, "excluded", false},
    {rule_small, "a side under --min-dim", true},
    {rule_block, "already block-quantised", true},
    {rule_embedding, "embedding or output head", true},
};

static const char *keep_reason(const rule_input *in)
{
    bool included = matches(in->options->include, in->options->include_count, in->tensor->name);
    for (unsigned i = 0; i < sizeof keep_rules / sizeof *keep_rules; i++)
        if (!(included && keep_rules[i].overridable) && keep_rules[i].holds(in))
            return keep_rules[i].reason;
    return "";
}

/* ---- targets and bounds ---- */

double lort_plan_size(const lort_options *options, const lort_model *model)
{
    return options->size_bytes ? (double)options->size_bytes : options->value / 100 * (double)lort_model_bytes(model);
}

int lort_plan_place(const lort_options *options, const lort_tensor *tensor)
{
    const lort_kind_info *kind = lort_kind_get(tensor->name);
    return options->goal == LORT_GOAL_BPW || options->goal == LORT_GOAL_SIZE ? kind->size : kind->error;
}

int64_t lort_break_even_rank(int64_t rows, int64_t cols, uint64_t lossless_bytes)
{
    double per_rank = 2.0 * LORT_FACTOR_SHRINK * ((double)rows + (double)cols);
    double rank = floor((double)lossless_bytes / per_rank);
    return rank < 1e15 ? (int64_t)rank : (int64_t)1e15;
}

lort_target lort_plan_target(const lort_options *options, int64_t rows, int64_t cols)
{
    int64_t side = rows < cols ? rows : cols;
    lort_target target = {.kind = LORT_TARGET_ERROR, .value = 0.05, .max_rank = options->max_rank};
    if (options->goal == LORT_GOAL_RANK)
        target = (lort_target){.kind = LORT_TARGET_RANK, .rank = options->rank, .max_rank = options->rank};
    else if (options->goal == LORT_GOAL_ENERGY)
        target = (lort_target){.kind = LORT_TARGET_ENERGY, .value = options->value, .max_rank = options->max_rank};
    else if (options->goal == LORT_GOAL_ERROR)
        target.value = options->value;
    target.max_rank = target.max_rank < side ? target.max_rank : side;
    target.rank = target.rank < target.max_rank ? target.rank : target.max_rank;
    return target;
}

uint64_t lort_slice_bytes(const lort_tensor_plan *step) { return step->shape.slices ? step->tensor->bytes / (uint64_t)step->shape.slices : 0; }

lort_target lort_plan_gain(const lort_options *options, int64_t rows, int64_t cols)
{
    const double m = (double)rows, n = (double)cols;
    int64_t most = rows < cols ? rows : cols;
    most = most < LORT_GAIN_RANK ? most : LORT_GAIN_RANK;
    most = most < options->max_rank ? most : options->max_rank;
    most = rows > LORT_GAIN_SIDE || cols > LORT_GAIN_SIDE ? 0 : most;
    return (lort_target){.kind = LORT_TARGET_GAIN, .value = 1.386 * LORT_FACTOR_BITS * (m + n) / (m * n), .max_rank = most};
}

lort_target lort_plan_ternary_target(const lort_options *options, const lort_tensor_plan *step, uint64_t lossless)
{
    const int64_t rows = step->shape.rows, cols = step->shape.cols, even = lort_break_even_rank(rows, cols, lossless);
    lort_target target = options->goal == LORT_GOAL_DEFAULT ? lort_plan_gain(options, rows, cols) : lort_plan_target(options, rows, cols);
    if (target.kind == LORT_TARGET_ENERGY) {
        target.kind = LORT_TARGET_ERROR;
        target.value = sqrt(1 - target.value);
    }
    target.max_rank = target.max_rank < even ? target.max_rank : even;
    target.rank = target.rank < target.max_rank ? target.rank : target.max_rank;
    return target;
}

/* One that is held: factors as f32, as coded bytes in a buffer that grows by doubling, and scales. */
static uint64_t ternary_outcome(const lort_options *options, const lort_tensor_plan *step)
{
    const lort_target target = lort_plan_ternary_target(options, step, lort_slice_bytes(step));
    const uint64_t rows = (uint64_t)step->shape.rows, factors = (uint64_t)target.max_rank * (rows + (uint64_t)step->shape.cols);
    return 4 * factors + 3 * lort_codec_bound(2 * factors + 2 * rows) + 4 * rows + LORT_CHUNK_TARGET;
}

/* The first factorisation is by the target, those that follow by the rank it gave. */
static uint64_t ternary_workspace(const lort_options *options, const lort_tensor_plan *step, unsigned workers)
{
    const int64_t rows = step->shape.rows, cols = step->shape.cols;
    const uint32_t element = lort_dtype_element_bytes(step->tensor->type);
    const lort_target target = lort_plan_ternary_target(options, step, lort_slice_bytes(step));
    const lort_target later = {.kind = LORT_TARGET_RANK, .rank = target.max_rank, .max_rank = target.max_rank};
    const uint64_t bound = lort_ternary_bound(rows, cols, workers), first = lort_factor_bound(rows, cols, element, &target, workers);
    const uint64_t then = lort_factor_bound(rows, cols, element, &later, workers);
    if (target.max_rank == 0)
        return bound;
    return bound + ternary_outcome(options, step) + (first > then ? first : then);
}

/* What weighing takes beside the rest: scales as codes and floats, sums of the window. */
static uint64_t weighing_bytes(const lort_tensor_plan *step, unsigned workers)
{
    return step->importance ? 8 * (uint64_t)step->shape.cols + 256 * workers : 0;
}

static uint64_t integers_workspace(const lort_options *options, const lort_tensor_plan *step, unsigned workers)
{
    lort_target gain = lort_plan_gain(options, step->shape.rows, step->shape.cols);
    const uint64_t fit = lort_quantise_bound(step->shape.rows, step->shape.cols, workers);
    if (gain.max_rank == 0)
        return fit;
    const uint64_t factor = lort_factor_bound(step->shape.rows, step->shape.cols, lort_dtype_element_bytes(step->tensor->type), &gain, workers);
    return fit > factor ? fit : factor;
}

/* The workspace bound of one slice with `workers`. */
static uint64_t slice_workspace(const lort_options *options, const lort_tensor_plan *step, unsigned workers)
{
    if (lort_plan_integers(options))
        return integers_workspace(options, step, workers) + weighing_bytes(step, workers);
    if (lort_plan_ternary(options))
        return ternary_workspace(options, step, workers);
    lort_target target = lort_plan_target(options, step->shape.rows, step->shape.cols);
    int64_t even = lort_break_even_rank(step->shape.rows, step->shape.cols, lort_slice_bytes(step));
    target.max_rank = even < target.max_rank ? (even > 1 ? even : 1) : target.max_rank;
    target.rank = target.rank < target.max_rank ? target.rank : target.max_rank;
    return lort_factor_bound(step->shape.rows, step->shape.cols, lort_dtype_element_bytes(step->tensor->type), &target, workers) + weighing_bytes(step, workers);
}

static void plan_weights(const lort_session *session, const lort_options *options, lort_tensor_plan *step)
{
    if (!session->imatrix)
        return;
    step->importance = lort_imatrix_find(session->imatrix, step->tensor->name, step->tensor->name_bytes);
    for (int64_t s = 0; step->importance && s < step->shape.slices && !step->scaled && lort_plan_integers(options); s++) {
        const lort_weighting weighting = lort_weighting_of(step->importance, &step->shape, s);
        step->scaled = lort_weighting_pays(&weighting, &step->shape);
    }
}

static void plan_step(const lort_session *session, const lort_model *model, const lort_options *options, uint64_t extent, lort_tensor_plan *step)
{
    uint64_t tensor = lort_model_extent_tensor(model, extent);
    *step = (lort_tensor_plan){.reason = ""};
    if (tensor == UINT64_MAX)
        return;
    step->tensor = &lort_model_index(model)->tensors[tensor];
    step->shape = lort_tensor_matrices(step->tensor);
    rule_input in = {model, options, step->tensor, step->shape};
    step->reason = keep_reason(&in);
    step->factor = step->reason[0] == '\0';
    if (!step->factor)
        return;
    plan_weights(session, options, step);
    int64_t rank = lort_plan_target(options, step->shape.rows, step->shape.cols).max_rank;
    const uint64_t sides = (uint64_t)(step->shape.rows + step->shape.cols);
    step->pending = lort_codec_bound(2 * (uint64_t)rank * sides) + LORT_CHUNK_TARGET;
    step->pending += weighing_bytes(step, 1);
    if (lort_plan_integers(options)) /* two outcomes are held until one is chosen: codes, and factors encoded and as f32 */
        step->pending = 2 * (sides + lort_codec_bound(sides) + LORT_CHUNK_TARGET) + 2 * weighing_bytes(step, 1) +
                        6 * (uint64_t)lort_plan_gain(options, step->shape.rows, step->shape.cols).max_rank * sides;
    step->holds = lort_plan_integers(options) ? 2 * (uint64_t)step->shape.rows * (uint64_t)step->shape.cols : 0; /* both outcomes, a byte a weight */
    if (lort_plan_ternary(options))
        step->pending = ternary_outcome(options, step);
}

/* ---- memory and mode ---- */

/* The sum of the `n` largest values of a field over the candidates (n is small). */
static uint64_t sum_of_largest(const lort_work_plan *plan, unsigned n, size_t field)
{
    enum { MOST = 512 };
    uint64_t top[MOST] = {0}, sum = 0;
    n = n < MOST ? n : MOST;
    for (uint64_t i = 0; i < plan->count; i++) {
        uint64_t value = *(const uint64_t *)((const char *)&plan->steps[i] + field);
        for (unsigned k = 0; k < n && value; k++)
            if (value > top[k]) {
                uint64_t swap = top[k];
                top[k] = value;
                value = swap;
            }
    }
    for (unsigned k = 0; k < n; k++)
        sum += top[k];
    return sum;
}

/* Bytes beyond the base: scratch and libraries of the workers, slots of the commit window. */
static uint64_t window_cost(unsigned window, const lort_block_need *blocks)
{
    return window * (2 * (uint64_t)LORT_CHUNK_TARGET + lort_codec_bound(LORT_CHUNK_TARGET) + lort_block_coded_bound(blocks));
}

static uint64_t common_cost(const lort_session *session, const lort_options *options, const lort_work_plan *plan, unsigned threads)
{
    return session->base_anon + lort_budget_used(session->budget) +
           lort_session_cost(threads, options->zstd_level, LORT_CHUNK_TARGET, &plan->blocks) + window_cost(2 * threads, &plan->blocks);
}

static void set_workspaces(const lort_options *options, lort_work_plan *plan, unsigned workers)
{
    for (uint64_t i = 0; i < plan->count; i++)
        plan->steps[i].workspace = plan->steps[i].factor ? slice_workspace(options, &plan->steps[i], workers) : 0;
}

/* As many slices in work as there are threads, each by one worker or by all. */
static uint64_t full_cost(const lort_session *session, const lort_model *model, const lort_options *options, lort_work_plan *plan, unsigned threads, bool team)
{
    set_workspaces(options, plan, team ? threads : 1);
    return common_cost(session, options, plan, threads) + lort_model_load_bytes(model) +
           sum_of_largest(plan, threads, offsetof(lort_tensor_plan, workspace)) + sum_of_largest(plan, 2 * threads, offsetof(lort_tensor_plan, pending));
}

/* So many of the largest slices, with all workers on each; *which names the largest of all. */
static uint64_t stream_cost(const lort_session *session, const lort_options *options, lort_work_plan *plan, unsigned threads, unsigned abreast, const lort_tensor **which)
{
    uint64_t most = 0;
    *which = NULL;
    set_workspaces(options, plan, threads);
    for (uint64_t i = 0; i < plan->count; i++) {
        const lort_tensor_plan *step = &plan->steps[i];
        uint64_t bytes = step->factor ? step->workspace + step->pending : 0;
        if (bytes > most) {
            most = bytes;
            *which = step->tensor;
        }
    }
    return common_cost(session, options, plan, threads) + abreast * most;
}

static uint64_t largest_slice(const lort_work_plan *plan)
{
    uint64_t most = 0;
    for (uint64_t i = 0; i < plan->count; i++)
        if (plan->steps[i].factor && lort_slice_bytes(&plan->steps[i]) > most)
            most = lort_slice_bytes(&plan->steps[i]);
    return most;
}

/* What is left goes to coded blocks, of slices that fit in it (lort_session_spare_alloc); those of larger ones are coded again. */
static void hold_blocks(lort_work_plan *plan)
{
    const uint64_t left = plan->limit - plan->peak;
    for (uint64_t i = 0; i < plan->count; i++)
        plan->steps[i].holds = plan->steps[i].holds / 2 <= left ? plan->steps[i].holds : 0;
    const uint64_t most = sum_of_largest(plan, plan->mode == LORT_MODE_FULL ? 2 * plan->threads : plan->abreast, offsetof(lort_tensor_plan, holds));
    plan->spare = left < most ? left : most;
    plan->peak += plan->spare;
}

/* As many threads as fit; then, if that fits too, all of them for each slice. */
static void fit_full(const lort_session *session, const lort_model *model, const lort_options *options, lort_work_plan *plan)
{
    plan->peak = full_cost(session, model, options, plan, plan->threads, false);
    while (plan->peak > plan->limit && plan->threads > 1)
        plan->peak = full_cost(session, model, options, plan, --plan->threads, false);
    const uint64_t together = full_cost(session, model, options, plan, plan->threads, true);
    plan->team = together <= plan->limit;
    plan->peak = plan->team ? together : plan->peak;
    plan->abreast = plan->threads;
}

/* The same, one slice at a time; then two, so that one has work for all while the other is at its eigenproblem. Not where the page cache would then lose one's
 * pages to the other's: each pass would read the disk again. */
static void fit_stream(const lort_session *session, const lort_options *options, lort_work_plan *plan)
{
    const lort_tensor *which;
    plan->team = true;
    plan->abreast = 1;
    plan->peak = stream_cost(session, options, plan, plan->threads, 1, &which);
    while (plan->peak > plan->limit && plan->threads > 1)
        plan->peak = stream_cost(session, options, plan, --plan->threads, 1, &which);
    const uint64_t both = stream_cost(session, options, plan, plan->threads, 2, &which);
    if (plan->threads == 1 || both > plan->limit || both + 2 * largest_slice(plan) > session->memory.available)
        return;
    plan->abreast = 2;
    plan->peak = both;
}

static lort_code choose_mode(lort_session *session, const lort_model *model, const lort_options *options, lort_work_plan *plan, lort_error *err)
{
    char need[32], available[32];
    const lort_tensor *which;
    lort_report *report = session->report;
    const char *source = session->memory.sources[session->memory.binding].name;
    plan->need = full_cost(session, model, options, plan, session->threads, false);
    bool fits = (double)plan->need <= LORT_MEMORY_SHARE * (double)session->memory.available;
    plan->mode = options->mode == LORT_MODE_AUTO ? (fits ? LORT_MODE_FULL : LORT_MODE_STREAM) : options->mode;
    plan->threads = session->threads;
    if (plan->mode == LORT_MODE_FULL)
        fit_full(session, model, options, plan);
    else
        fit_stream(session, options, plan);
    lort_size_text(plan->need, need, sizeof need);
    lort_size_text(session->memory.available, available, sizeof available);
    report->mode = plan->mode == LORT_MODE_FULL ? "full" : "stream";
    report->mode_reason = lort_report_text(report, "%sneed %s %s 80 %% of %s available (%s)", options->mode == LORT_MODE_AUTO ? "" : "asked for; ",
                                           need, fits ? "<=" : ">", available, source);
    if (plan->peak <= plan->limit) {
        hold_blocks(plan);
        return LORT_OK;
    }
    uint64_t smallest = stream_cost(session, options, plan, 1, 1, &which);
    if (plan->mode == LORT_MODE_FULL && smallest <= plan->limit)
        return lort_fail(err, LORT_E_MEMORY, "not enough memory for --mode full: it needs %s; --mode stream would fit", need);
    return lort_session_refuse(which ? which->name : NULL, which ? which->name_bytes : 0, smallest, plan->limit, err);
}

/* Output bounds before any weight is read: what the lossless form of each type usually comes to (docs/NUMERICS.md). */
double lort_plan_share(const lort_tensor_plan *step, bool high)
{
    const lort_dtype_info *type = step->tensor ? step->tensor->type : NULL;
    static const struct { lort_dtype type; double low, high; } shares[] = {
        {LORT_BF16, 0.60, 0.72}, {LORT_F16, 0.75, 0.90}, {LORT_F32, 0.30, 0.88}, {LORT_F64, 0.30, 0.95}};
    for (unsigned i = 0; i < sizeof shares / sizeof *shares; i++)
        if (type && shares[i].type == type->id)
            return high ? shares[i].high : shares[i].low;
    return high ? 1.01 : type && type->kind == LORT_KIND_BLOCK ? 0.90 : 0.20;
}

/* Bits per weight of integers at a relative error: that of a normal distribution, less what classes and low rank may save, or more for short blocks. */
static double integer_bits(const lort_options *options, bool high)
{
    if (options->goal == LORT_GOAL_BPW)
        return options->value * (high ? 1 : 0.99);
    const double error = lort_plan_target(options, 1, 1).value, bits = error > 0 ? log2(1 / error) : 32;
    return high ? bits + 0.5 : 0.8 * bits - 0.2 > 0 ? 0.8 * bits - 0.2 : 0;
}

static void estimate_output(const lort_model *model, const lort_options *options, lort_work_plan *plan)
{
    uint64_t count;
    const lort_extent *extents = lort_model_extents(model, &count);
    double low = 2000, high = 4000;
    for (uint64_t i = 0; i < count; i++) {
        const lort_tensor_plan *step = &plan->steps[i];
        double kept_low = lort_plan_share(step, false) * (double)extents[i].bytes, kept_high = lort_plan_share(step, true) * (double)extents[i].bytes;
        if (step->factor && lort_plan_integers(options)) {
            const double weights = (double)step->tensor->elements / 8;
            kept_low = fmin(kept_low, weights * integer_bits(options, false));
            kept_high = fmin(kept_high, weights * integer_bits(options, true) + 400);
        } else if (step->factor && lort_plan_ternary(options)) {
            const lort_target target = lort_plan_ternary_target(options, step, lort_slice_bytes(step));
            const double sides = (double)step->shape.slices * (double)(step->shape.rows + step->shape.cols), weights = (double)step->tensor->elements / 8;
            kept_low = fmin(kept_low, 0.1 * weights);
            if (target.kind != LORT_TARGET_ERROR) /* else it may be kept */
                kept_high = fmin(kept_high, 1.62 * weights + 2 * (double)target.max_rank * sides + 2 * sides + 400);
        } else if (step->factor) {
            int64_t rank = lort_plan_target(options, step->shape.rows, step->shape.cols).max_rank;
            double factors = 2.0 * (double)rank * (double)step->shape.slices * (double)(step->shape.rows + step->shape.cols);
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

lort_code lort_plan_make(lort_session *session, const lort_model *model, const lort_options *options, lort_work_plan *plan, lort_error *err)
{
    void *memory;
    *plan = (lort_work_plan){0};
    lort_model_extents(model, &plan->count);
    lort_code code = lort_take_zero(&session->alloc, plan->count * sizeof *plan->steps, "the plan", &memory, err);
    if (code)
        return code;
    plan->steps = memory;
    plan->blocks.write = true;
    for (uint64_t i = 0; i < plan->count; i++) {
        plan_step(session, model, options, i, &plan->steps[i]);
        plan->candidates += plan->steps[i].factor;
        if (plan->steps[i].factor && (lort_plan_integers(options) || lort_plan_ternary(options) || plan->steps[i].importance))
            lort_block_need_add(&plan->blocks, plan->steps[i].shape.rows, plan->steps[i].shape.cols);
    }
    plan->limit = lort_session_limit(session, options->memory_bytes);
    estimate_output(model, options, plan);
    code = choose_mode(session, model, options, plan, err);
    plan->window = 2 * plan->threads;
    session->report->need_bytes = plan->need;
    session->report->planned_peak_bytes = plan->peak;
    session->report->budget_bytes = plan->limit;
    session->report->output_low = plan->out_low;
    session->report->output_high = plan->out_high;
    session->report->threads = plan->threads;
    if (code)
        lort_plan_free(plan, &session->alloc);
    return code;
}

void lort_plan_free(lort_work_plan *plan, const lort_alloc *alloc)
{
    lort_give(alloc, plan->steps, plan->count * sizeof *plan->steps);
    lort_give(alloc, plan->shares, plan->share_count * sizeof *plan->shares);
    *plan = (lort_work_plan){0};
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

void lort_plan_importance_text(const lort_work_plan *plan, lort_buffer *out)
{
    for (unsigned i = 0; plan->weighed && i < sizeof plan->importance.bytes; i++)
        lort_put_text(out, "%s%02x", i ? "" : " imatrix=", plan->importance.bytes[i]);
}

void lort_plan_options_text(const lort_options *options, lort_buffer *out)
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
        lort_put_text(out, "%s=%.9g max-rank=%lld", options->goal == LORT_GOAL_ENERGY ? "energy" : "max-error",
                      options->goal == LORT_GOAL_DEFAULT ? 0.05 : options->value, (long long)options->max_rank);
    if (lort_plan_integers(options))
        lort_put_text(out, " residual=int");
    if (lort_plan_ternary(options))
        lort_put_text(out, " residual=ternary");
    lort_put_text(out, " min-dim=%lld seed=%llu zstd-level=%d", (long long)options->min_dim, (unsigned long long)options->seed, options->zstd_level);
    put_globs(out, "include", options->include, options->include_count);
    put_globs(out, "exclude", options->exclude, options->exclude_count);
}
