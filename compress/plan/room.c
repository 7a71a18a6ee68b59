/* room: which mode, and how many threads, fit into memory. T is the number of threads.
 *
 *   common     base + budget used + session (scratch, libraries) of T + commit window of 2 T
 *              + the largest factor of a covariance
 *   full       common + all files + workspaces of the T largest slices
 *              + outcomes of the 2 T largest slices
 *   stream     common + abreast * (workspace + outcome) of the largest slice
 *
 *   mode       full if full(T) <= 80 % of available, else stream; --mode forces one
 *   threads    T falls, down to 1, until the cost of the mode is within the limit
 *   then       full: all workers on each slice, if that fits too
 *              stream: two slices abreast, if memory and page cache have room
 *   spare      the rest of the limit, for held blocks
 *
 * Every figure is a bound that a piece of work keeps (lort_factor_bound, lort_fit_integers_bound,
 * lort_fit_trits_bound). */
#include "compress/plan/room.h"
#include "compress/goal/goal.h"
#include "compress/session/report.h"
#include "compress/slice/chunk.h"
#include "compress/slice/fit_integers.h"
#include "compress/slice/fit_trits.h"
#include "compress/slice/outliers.h"

/* Bytes of one outcome in trits: f32 factors, encoded factors and scales. The encoded bytes count
 * three times, since their buffer grows by doubling. */
static uint64_t ternary_outcome(const lort_options *options, const lort_tensor_plan *planned)
{
    const lort_target target = lort_goal_ternary_target(
        options, planned->shape.rows, planned->shape.cols, lort_slice_bytes(planned));
    const uint64_t rows = (uint64_t)planned->shape.rows,
                   factors = (uint64_t)target.max_rank * (rows + (uint64_t)planned->shape.cols);
    return 4 * factors + 3 * lort_codec_bound(2 * factors + 2 * rows) + 4 * rows +
           LORT_CHUNK_TARGET;
}

/* The first factorisation is for the target. Later ones are for the rank that the first gave. */
static uint64_t ternary_workspace(const lort_options *options, const lort_tensor_plan *planned,
                                  unsigned workers)
{
    const int64_t rows = planned->shape.rows, cols = planned->shape.cols;
    const uint32_t element = lort_dtype_element_bytes(planned->tensor->type);
    const lort_target target = lort_goal_ternary_target(
        options, planned->shape.rows, planned->shape.cols, lort_slice_bytes(planned));
    const lort_target later = {
        .kind = LORT_TARGET_RANK, .rank = target.max_rank, .max_rank = target.max_rank};
    const uint64_t bound = lort_fit_trits_bound(rows, cols, workers),
                   first = lort_factor_bound(rows, cols, element, &target, workers);
    const uint64_t then = lort_factor_bound(rows, cols, element, &later, workers);
    if (target.max_rank == 0)
        return bound;
    return bound + ternary_outcome(options, planned) + (first > then ? first : then);
}

/* Bytes that weighing adds: scales as codes and as floats, sums of the window. */
static uint64_t weighing_bytes(const lort_tensor_plan *planned, unsigned workers)
{
    return lort_tensor_plan_weighed(planned) ? 8 * (uint64_t)planned->shape.cols + 256 * workers
                                             : 0;
}

/* V of a slice. */
static uint64_t covariance_bytes(const lort_tensor_plan *planned)
{
    return planned->covariance ? lort_factored_bytes(planned->covariance, &planned->shape) : 0;
}

static uint64_t integers_workspace(const lort_options *options, const lort_tensor_plan *planned,
                                   unsigned workers)
{
    lort_target gain = lort_goal_gain(options, planned->shape.rows, planned->shape.cols);
    const uint64_t fit = lort_fit_integers_bound(planned->shape.rows, planned->shape.cols, workers);
    if (gain.max_rank == 0)
        return fit;
    const uint64_t factor =
        lort_factor_bound(planned->shape.rows, planned->shape.cols,
                          lort_dtype_element_bytes(planned->tensor->type), &gain, workers);
    return fit > factor ? fit : factor;
}

/* Of the search for its form, once its outliers are found. */
static uint64_t rest_workspace(const lort_options *options, const lort_tensor_plan *planned,
                               unsigned workers)
{
    if (lort_goal_integers(options))
        return integers_workspace(options, planned, workers) + weighing_bytes(planned, workers) +
               covariance_bytes(planned);
    if (lort_goal_ternary(options))
        return ternary_workspace(options, planned, workers);
    lort_target target = lort_goal_target(options, planned->shape.rows, planned->shape.cols);
    int64_t even =
        lort_goal_break_even(planned->shape.rows, planned->shape.cols, lort_slice_bytes(planned));
    target.max_rank = even < target.max_rank ? (even > 1 ? even : 1) : target.max_rank;
    target.rank = target.rank < target.max_rank ? target.rank : target.max_rank;
    return lort_factor_bound(planned->shape.rows, planned->shape.cols,
                             lort_dtype_element_bytes(planned->tensor->type), &target, workers) +
           weighing_bytes(planned, workers);
}

/* The bound of one slice's work with `workers` workers. */
static uint64_t slice_workspace(const lort_options *options, const lort_tensor_plan *planned,
                                unsigned workers)
{
    const uint64_t rest = rest_workspace(options, planned, workers),
                   outliers = lort_outliers_bound(workers);
    return rest > outliers ? rest : outliers;
}

void lort_room_pending(const lort_options *options, lort_tensor_plan *planned)
{
    int64_t rank = lort_goal_target(options, planned->shape.rows, planned->shape.cols).max_rank;
    const uint64_t sides = (uint64_t)(planned->shape.rows + planned->shape.cols);
    planned->pending = lort_codec_bound(2 * (uint64_t)rank * sides) + LORT_CHUNK_TARGET;
    planned->pending += weighing_bytes(planned, 1);
    /* Two outcomes exist until one is chosen. Each has codes, and factors both encoded and as
     * f32. */
    if (lort_goal_integers(options))
        planned->pending =
            2 * (sides + lort_codec_bound(sides) + LORT_CHUNK_TARGET) +
            2 * weighing_bytes(planned, 1) +
            6 *
                (uint64_t)lort_goal_gain(options, planned->shape.rows, planned->shape.cols)
                    .max_rank *
                sides;
    /* Both outcomes may hold blocks, at a byte a weight. */
    planned->holds = lort_goal_integers(options)
                         ? 2 * (uint64_t)planned->shape.rows * (uint64_t)planned->shape.cols
                         : 0;
    if (lort_goal_ternary(options))
        planned->pending = ternary_outcome(options, planned);
    planned->pending += lort_outliers_most(&planned->shape);
    if (planned->kind.by_row) {
        const lort_block_grid grid = lort_block_grid_of(planned->shape.rows, planned->shape.cols);
        planned->pending += (uint64_t)(grid.rows * grid.across) * sizeof(lort_row_sum);
    }
}

/* The sum of the `n` largest values of a field over all tensors. n is small, since each tensor
 * takes n comparisons. */
static uint64_t sum_of_largest(const lort_work_plan *plan, unsigned n, size_t field)
{
    enum { MOST = 512 };
    uint64_t top[MOST] = {0}, sum = 0;
    n = n < MOST ? n : MOST;
    for (uint64_t i = plan->first; i < plan->end; i++) {
        uint64_t value = *(const uint64_t *)((const char *)&plan->tensors[i] + field);
        for (unsigned j = 0; j < n && value; j++)
            if (value > top[j]) {
                uint64_t swap = top[j];
                top[j] = value;
                value = swap;
            }
    }
    for (unsigned j = 0; j < n; j++)
        sum += top[j];
    return sum;
}

/* Bytes of the commit window. */
static uint64_t window_cost(unsigned window, const lort_block_need *blocks)
{
    return window * (2 * (uint64_t)LORT_CHUNK_TARGET + lort_codec_bound(LORT_CHUNK_TARGET) +
                     lort_block_coded_bound(blocks));
}

/* Of the slice that is written while workers decide others. Blocks that no memory held are coded
 * again, and need their covariance again. */
static uint64_t written_covariance(const lort_work_plan *plan)
{
    uint64_t most = 0;
    for (uint64_t i = 0; i < plan->count; i++) {
        const uint64_t bytes = covariance_bytes(&plan->tensors[i]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static uint64_t common_cost(const lort_session *session, const lort_options *options,
                            const lort_work_plan *plan, unsigned threads)
{
    return session->base_anon + lort_budget_used(session->budget) +
           lort_session_cost(session, threads, options->zstd_level, LORT_CHUNK_TARGET,
                             &plan->blocks) +
           window_cost(2 * threads, &plan->blocks) + lort_chunk_against_cost(session, threads) +
           written_covariance(plan);
}

static void set_workspaces(const lort_options *options, lort_work_plan *plan, unsigned workers)
{
    for (uint64_t i = plan->first; i < plan->end; i++)
        plan->tensors[i].workspace =
            plan->tensors[i].candidate ? slice_workspace(options, &plan->tensors[i], workers) : 0;
}

/* The cost of full mode. As many slices are in work as there are threads, each by one worker or
 * (team) by all. */
static uint64_t full_cost(const lort_session *session, const lort_model *model,
                          const lort_options *options, lort_work_plan *plan, unsigned threads,
                          bool team)
{
    set_workspaces(options, plan, team ? threads : 1);
    return common_cost(session, options, plan, threads) + lort_model_load_bytes(model) +
           sum_of_largest(plan, threads, offsetof(lort_tensor_plan, workspace)) +
           sum_of_largest(plan, 2 * threads, offsetof(lort_tensor_plan, pending));
}

/* The cost of stream mode: `abreast` slices in work, all workers on each. *which names the largest
 * tensor. */
static uint64_t stream_cost(const lort_session *session, const lort_options *options,
                            lort_work_plan *plan, unsigned threads, unsigned abreast,
                            const lort_tensor **which)
{
    uint64_t most = 0;
    *which = NULL;
    set_workspaces(options, plan, threads);
    for (uint64_t i = plan->first; i < plan->end; i++) {
        const lort_tensor_plan *planned = &plan->tensors[i];
        uint64_t bytes = planned->candidate ? planned->workspace + planned->pending : 0;
        if (bytes > most) {
            most = bytes;
            *which = planned->tensor;
        }
    }
    return common_cost(session, options, plan, threads) + abreast * most;
}

uint64_t lort_room_run_bytes(const lort_session *session, const lort_options *options,
                             lort_work_plan *plan, uint64_t first, uint64_t end)
{
    const uint64_t whole_first = plan->first, whole_end = plan->end;
    const lort_tensor *which;
    plan->first = first;
    plan->end = end;
    const uint64_t bytes = stream_cost(session, options, plan, session->threads, 1, &which),
                   least = lort_session_peak(session);
    plan->first = whole_first;
    plan->end = whole_end;
    return bytes < least ? least : bytes;
}

static uint64_t largest_slice(const lort_work_plan *plan)
{
    uint64_t most = 0;
    for (uint64_t i = plan->first; i < plan->end; i++)
        if (plan->tensors[i].candidate && lort_slice_bytes(&plan->tensors[i]) > most)
            most = lort_slice_bytes(&plan->tensors[i]);
    return most;
}

/* Gives the rest of the limit to held blocks. It counts only slices whose blocks fit. LoRT codes
 * the blocks of larger slices again (lort_session_spare_alloc). */
static void hold_blocks(lort_work_plan *plan)
{
    const uint64_t left = plan->limit - plan->peak;
    for (uint64_t i = plan->first; i < plan->end; i++)
        plan->tensors[i].holds = plan->tensors[i].holds / 2 <= left ? plan->tensors[i].holds : 0;
    const uint64_t most =
        sum_of_largest(plan, plan->mode == LORT_MODE_FULL ? 2 * plan->threads : plan->abreast,
                       offsetof(lort_tensor_plan, holds));
    plan->spare = left < most ? left : most;
    plan->peak += plan->spare;
}

/* Takes as many threads as fit. Then lets all of them work on each slice, if that fits too. */
static void fit_full(const lort_session *session, const lort_model *model,
                     const lort_options *options, lort_work_plan *plan)
{
    plan->peak = full_cost(session, model, options, plan, plan->threads, false);
    while (plan->peak > plan->limit && plan->threads > 1)
        plan->peak = full_cost(session, model, options, plan, --plan->threads, false);
    const uint64_t together = full_cost(session, model, options, plan, plan->threads, true);
    plan->team = together <= plan->limit;
    plan->peak = plan->team ? together : plan->peak;
    plan->abreast = plan->threads;
}

/* Takes as many threads as fit with one slice in work. Then takes two slices if both fit: one keeps
 * all workers busy while the other solves its eigenproblem.
 *
 * Two slices must also fit into the page cache together. Else each pass of one slice would drop
 * pages of the other, and LoRT would read the disk again. */
static void fit_stream(const lort_session *session, const lort_options *options,
                       lort_work_plan *plan)
{
    const lort_tensor *which;
    plan->team = true;
    plan->abreast = 1;
    plan->peak = stream_cost(session, options, plan, plan->threads, 1, &which);
    while (plan->peak > plan->limit && plan->threads > 1)
        plan->peak = stream_cost(session, options, plan, --plan->threads, 1, &which);
    const uint64_t both = stream_cost(session, options, plan, plan->threads, 2, &which);
    if (plan->threads == 1 || both > plan->limit ||
        both + 2 * largest_slice(plan) > session->memory.available)
        return;
    plan->abreast = 2;
    plan->peak = both;
}

lort_mode lort_room_mode(lort_session *session, lort_mode asked, uint64_t need)
{
    char need_text[32], available[32];
    lort_report *report = session->report;
    const char *source = session->memory.sources[session->memory.binding].name;
    const bool fits = (double)need <= LORT_MEMORY_SHARE * (double)session->memory.available;
    lort_size_text(need, need_text, sizeof need_text);
    lort_size_text(session->memory.available, available, sizeof available);
    report->mode = asked != LORT_MODE_AUTO ? asked : fits ? LORT_MODE_FULL : LORT_MODE_STREAM;
    report->mode_reason = lort_report_text(report, "%sneed %s %s 80 %% of %s available (%s)",
                                           asked == LORT_MODE_AUTO ? "" : "asked for; ", need_text,
                                           fits ? "<=" : ">", available, source);
    return report->mode;
}

lort_code lort_room_refuse_full(uint64_t need, uint64_t limit, lort_error *err)
{
    char need_text[32], limit_text[32];
    return lort_fail(err, LORT_E_MEMORY,
                     "not enough memory for --mode full: it needs %s, the budget is %s; "
                     "--mode stream would fit",
                     lort_size_text(need, need_text, sizeof need_text),
                     lort_size_text(limit, limit_text, sizeof limit_text));
}

lort_code lort_room_fit(lort_session *session, lort_mode asked, uint64_t memory_bytes,
                        lort_room_cost_fn *cost, void *ctx, lort_mode *mode, unsigned *threads,
                        lort_error *err)
{
    lort_report *report = session->report;
    const lort_tensor *which = NULL;
    const uint64_t limit = lort_session_limit(session, memory_bytes),
                   need = cost(ctx, LORT_MODE_FULL, session->threads, &which);
    *threads = session->threads;
    *mode = lort_room_mode(session, asked, need);
    uint64_t peak = cost(ctx, *mode, *threads, &which);
    while (peak > limit && *threads > 1)
        peak = cost(ctx, *mode, --*threads, &which);
    report->need_bytes = need;
    report->planned_peak_bytes = peak;
    report->budget_bytes = limit;
    if (peak <= limit) {
        lort_budget_limit(session->budget, limit);
        return LORT_OK;
    }
    uint64_t smallest = cost(ctx, LORT_MODE_STREAM, 1, &which);
    if (smallest < lort_session_peak(session))
        smallest = lort_session_peak(session);
    if (*mode == LORT_MODE_FULL && smallest <= limit)
        return lort_room_refuse_full(need, limit, err);
    return lort_session_refuse(which ? which->name : NULL, which ? which->name_bytes : 0, smallest,
                               limit, err);
}

lort_code lort_room_choose(lort_session *session, const lort_model *model,
                           const lort_options *options, lort_work_plan *plan, lort_error *err)
{
    const lort_tensor *which;
    plan->need = full_cost(session, model, options, plan, session->threads, false);
    plan->mode = lort_room_mode(session, options->mode, plan->need);
    plan->threads = session->threads;
    if (plan->mode == LORT_MODE_FULL)
        fit_full(session, model, options, plan);
    else
        fit_stream(session, options, plan);
    if (plan->peak <= plan->limit) {
        hold_blocks(plan);
        return LORT_OK;
    }
    uint64_t smallest = stream_cost(session, options, plan, 1, 1, &which);
    if (smallest < lort_session_peak(session))
        smallest = lort_session_peak(session);
    if (plan->mode == LORT_MODE_FULL && smallest <= plan->limit)
        return lort_room_refuse_full(plan->need, plan->limit, err);
    return lort_session_refuse(which ? which->name : NULL, which ? which->name_bytes : 0, smallest,
                               plan->limit, err);
}
