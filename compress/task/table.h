/* table: the runs of all tasks, as lort plan reports them. */
#ifndef LORT_COMPRESS_TASK_TABLE_H
#define LORT_COMPRESS_TASK_TABLE_H

#include "compress/plan/plan.h"
#include "compress/slice/slice.h"

/* Puts the runs of all tasks of the options, and slowest over mean, into the report. tasks 0: does
 * nothing. Call it between the halves of lort_plan_make. On failure: LORT_E_MEMORY.
 */
lort_code lort_task_table(const lort_decider *decider, lort_work_plan *plan, lort_error *err);

#endif
