/* pipeline: the order of work. Jobs (one per slice of a tensor that is tried, one per other part)
 * are decided by the pool ahead of the commit point, and committed in input order by the caller's
 * thread: the output cannot depend on timing.
 *
 *   full:   decide(job i+1 .. i+window) on one worker each | commit(job i): chunks encoded by
 * whoever is free stream: decide(job i) on all workers, then commit(job i); the next tensor is
 * being prefetched */
#ifndef LORT_COMPRESS_WRITE_PIPELINE_H
#define LORT_COMPRESS_WRITE_PIPELINE_H

#include "compress/write/emit.h"

/* Decides and writes everything from extent `done` on; fills the report's tensors, which has those
 * before. */
lort_code lort_pipeline_run(const lort_decider *decider, const lort_work_plan *plan, uint64_t done,
                            lort_emitter *emitter, lort_error *err);
/* One report entry per tensor, in index order, with what the header says. */
lort_code lort_pipeline_list(const lort_decider *decider, const lort_work_plan *plan,
                             lort_error *err);

#endif
