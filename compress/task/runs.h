/* runs: cuts the extents of a model into one contiguous run for each task, by planned cost.
 *
 *   extents   |  0  | 1 |     2     | 3 |4|    5    |
 *   shares    |   task 0    |   task 1    |  task 2  |     equal parts of the whole cost
 *   runs      |  0    1   |      2    3   4  |   5   |     where the middle of an extent lies
 *
 * All tasks of a model and its options cut alike: the cut depends on headers and on the plan, never
 * on a time or a machine.
 *
 * The room task owns what tasks share: runs, names of their files, their records. It must not read
 * a weight or choose what a tensor becomes. */
#ifndef LORT_COMPRESS_TASK_RUNS_H
#define LORT_COMPRESS_TASK_RUNS_H

#include "compress/lort.h"
#include "compress/plan/plan.h"

typedef struct lort_run {
    uint64_t first, end; /* extents [first, end); both equal: the run is empty */
    uint64_t cost;       /* planned, in units that only compare */
    uint64_t bytes;      /* of the input */
} lort_run;

/* The planned cost of one extent: its bytes times a whole number for what becomes of it. */
uint64_t lort_run_cost(const lort_options *options, const lort_tensor_plan *planned,
                       uint64_t bytes);
/* Cuts the extents of a plan into runs that tile [0, plan->count).
 *
 * extents: [plan->count], of the model (lort_model_extents). tasks: from 1 to LORT_TASKS_MOST.
 * runs: [tasks], filled. An extent belongs to the task in whose share of the cost its middle lies.
 * The rule is in docs/ARCHITECTURE.md, "Tasks". */
void lort_runs_cut(const lort_options *options, const lort_work_plan *plan,
                   const lort_extent *extents, uint32_t tasks, lort_run *runs);

#endif
