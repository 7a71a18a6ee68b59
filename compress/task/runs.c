/* runs: see runs.h. Sums saturate: files may claim more bytes than 64 bits of cost can hold. */
#include "compress/task/runs.h"
#include "compress/goal/goal.h"

/* Costs of a byte of the input. From the times of compress/write/jobs.c for BF16: 2 ns for a kept
 * byte, 5 for a factored one, 21 to 50 for a coded one. A tensor with the bytes of another one is
 * read and hashed only. */
enum { COST_SAME = 1, COST_KEPT = 2, COST_FACTORED = 6, COST_CODED = 40 };

static uint64_t cost_of_byte(const lort_options *options, const lort_tensor_plan *planned)
{
    if (planned->same)
        return COST_SAME;
    if (!planned->candidate)
        return COST_KEPT;
    return lort_goal_integers(options) || lort_goal_ternary(options) ? COST_CODED : COST_FACTORED;
}

uint64_t lort_run_cost(const lort_options *options, const lort_tensor_plan *planned, uint64_t bytes)
{
    const uint64_t each = cost_of_byte(options, planned);
    return bytes > UINT64_MAX / each ? UINT64_MAX : bytes * each;
}

static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

/* Where the share of task `task` begins. The product with the rest cannot overflow: both factors
 * are at most LORT_TASKS_MOST. */
static uint64_t share_start(uint64_t total, uint32_t task, uint32_t tasks)
{
    return total / tasks * task + total % tasks * task / tasks;
}

void lort_runs_cut(const lort_options *options, const lort_work_plan *plan,
                   const lort_extent *extents, uint32_t tasks, lort_run *runs)
{
    uint64_t total = 0, before = 0;
    uint32_t task = 0;
    for (uint64_t i = 0; i < plan->count; i++)
        total = add(total, lort_run_cost(options, &plan->tensors[i], extents[i].bytes));
    for (uint32_t t = 0; t < tasks; t++)
        runs[t] = (lort_run){0};
    for (uint64_t i = 0; i < plan->count; i++) {
        const uint64_t cost = lort_run_cost(options, &plan->tensors[i], extents[i].bytes),
                       middle = add(before, cost / 2);
        while (task + 1 < tasks && middle >= share_start(total, task + 1, tasks)) {
            runs[task].end = i;
            runs[++task].first = i;
        }
        runs[task].cost = add(runs[task].cost, cost);
        runs[task].bytes += extents[i].bytes;
        before = add(before, cost);
    }
    for (; task < tasks; task++) {
        runs[task].end = plan->count;
        if (task + 1 < tasks)
            runs[task + 1].first = plan->count;
    }
}
