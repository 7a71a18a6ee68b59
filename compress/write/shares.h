/* shares: turns a target size into a share of bytes for each slice. This is the first of two
 * readings of the model. */
#ifndef LORT_COMPRESS_WRITE_SHARES_H
#define LORT_COMPRESS_WRITE_SHARES_H

#include "compress/plan/plan.h"
#include "compress/slice/decide.h"

/* Gives every slice of a candidate its share. Measures the curve of each slice, and the lossless
 * size of all else. Then finds the one relative error at which the whole output just fits the
 * target (--bpw or --size).
 *
 * Shares depend on the first reading alone, never on the outcome of another slice. So order and
 * threads do not matter. In full mode this loads the model. Sets plan->shares and plan->size_limit.
 * The curves go into the journal. A task takes the curves from the files of all tasks instead
 * (compress/task/curves.h).
 *
 * On failure LORT_E_NUMERIC means that the target cannot be met; the message has the smallest size
 * that can. LORT_E_READ means that --resume was given and the shares differ from those of the
 * earlier run. */
lort_code lort_shares_give(const lort_decider *decider, lort_work_plan *plan, lort_error *err);
/* The first reading of the run of a task. Appends its findings (findings.h) to *curves: those of
 * jobs [*first, *first + *count). */
lort_code lort_shares_measure(const lort_decider *decider, lort_work_plan *plan,
                              lort_buffer *curves, uint64_t *first, uint64_t *count,
                              lort_error *err);
/* The hash of the shares of a plan that has them. */
lort_hash128 lort_shares_hash(const lort_work_plan *plan);

#endif
