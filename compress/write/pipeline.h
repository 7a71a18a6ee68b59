/* pipeline: the order of work. The pool decides jobs ahead of the commit. The thread of the caller
 * commits them in input order. So the output cannot depend on timing.
 *
 *   full     | decide(i + 1) ... decide(i + window), each by one worker or by all
 *            | commit(i): any free worker encodes chunks
 *   stream   | decide(i) by all workers, or two jobs at once
 *            | commit(i) by all workers; the bytes of a later job are read ahead
 *
 * The room write owns the order of work and the output: jobs, shares, container, journal and
 * resume. It must not change what a slice became. */
#ifndef LORT_COMPRESS_WRITE_PIPELINE_H
#define LORT_COMPRESS_WRITE_PIPELINE_H

#include "compress/write/emit.h"

/* Decides and writes the extents of the plan from `done` on. Fills the report of their tensors, and
 * the worst and mean errors over all tensors. The extents before `done` are in the report already.
 */
lort_code lort_pipeline_run(const lort_decider *decider, const lort_work_plan *plan, uint64_t done,
                            lort_emitter *emitter, lort_error *err);
/* Makes one report entry per tensor, in index order, with the figures of the header. Call it before
 * the plan, which counts the memory of the report. */
lort_code lort_pipeline_list(const lort_decider *decider, lort_error *err);
/* Adds what the plan says of each tensor. */
void lort_pipeline_planned(const lort_decider *decider, const lort_work_plan *plan);

#endif
