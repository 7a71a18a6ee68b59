/* run: what one task does beyond the work of every run: its run of extents, its files, and whether
 * an earlier run finished them. */
#ifndef LORT_COMPRESS_JOIN_RUN_H
#define LORT_COMPRESS_JOIN_RUN_H

#include "compress/plan/plan.h"
#include "compress/slice/slice.h"
#include "compress/task/files.h"
#include "loader/store/publish.h"

/* Sets the run of the plan and the figures of the session, if the options name a task. Sets the
 * reserve in any case. On failure: LORT_E_MEMORY. */
lort_code lort_task_cut(const lort_decider *decider, lort_work_plan *plan, lort_error *err);
/* Puts the file of the task in place of *output; file: room for its path. Notes the output in the
 * decider. On failure: LORT_E_EXISTS if the output itself is there, unless --force is given. */
lort_code lort_task_output(lort_decider *decider, const lort_work_plan *plan, const char **output,
                           char file[LORT_TASK_NAME], lort_error *err);
/* Sets *done if the file of the task is whole and has what this run would write. Warns of a file
 * that is not so: this run makes it again. Call it when the shares are known. */
lort_code lort_task_find(const lort_decider *decider, const lort_work_plan *plan, bool *done,
                         lort_error *err);
/* Measures the curves of the run, and writes the file of curves into the partial output. *done:
 * there is a file already, which is whole and of this run. */
lort_code lort_task_measure(const lort_decider *decider, lort_work_plan *plan,
                            lort_publish *publish, bool *done, lort_error *err);
/* Leaves in the report the tensors of the run only. */
void lort_task_report(const lort_decider *decider, const lort_work_plan *plan);

#endif
