/* jobs: the units of work in input order. A job is one slice of a candidate, or the whole of any
 * other extent. */
#ifndef LORT_COMPRESS_WRITE_JOBS_H
#define LORT_COMPRESS_WRITE_JOBS_H

#include "compress/plan/plan.h"
#include "compress/slice/slice.h"

typedef struct lort_job {
    uint64_t extent;
    uint32_t slice;
    bool first, last; /* of its extent */
} lort_job;

/* Lists the jobs of the extents [from, end). Free with lort_jobs_give, which accepts NULL. */
lort_code lort_jobs_list(const lort_decider *decider, const lort_work_plan *plan, uint64_t from,
                         uint64_t end, lort_job **jobs, uint64_t *count, lort_error *err);
void lort_jobs_give(const lort_decider *decider, lort_job *jobs, uint64_t count);
/* The bytes of the input that a job is for. */
lort_range lort_job_range(const lort_decider *decider, const lort_work_plan *plan,
                          const lort_job *job);
/* What the work on a job is expected to cost in a phase: MEASURING or WRITING. The unit is that of
 * lort_session_tick. */
uint64_t lort_job_cost(const lort_decider *decider, const lort_work_plan *plan, const lort_job *job,
                       lort_phase phase);
/* Tells the meter what the jobs [from, count) will cost in a phase. */
void lort_jobs_expect(const lort_decider *decider, const lort_work_plan *plan, const lort_job *jobs,
                      uint64_t count, lort_phase phase);
/* The same for all extents, before LoRT knows which of them an earlier run finished. */
lort_code lort_jobs_expect_writing(const lort_decider *decider, const lort_work_plan *plan,
                                   lort_error *err);
/* Tells the model how much of it will be in work at a time. On failure: LORT_E_WRITE if the spool
 * of a model from the network has no room. */
lort_code lort_jobs_begin(const lort_decider *decider, const lort_work_plan *plan, lort_error *err);
/* Loads the model into memory in full mode, with a phase of its own. Does nothing the second time.
 */
lort_code lort_jobs_load(const lort_decider *decider, const lort_work_plan *plan, lort_error *err);
/* Tells the meter that a job is done. */
void lort_job_did(const lort_decider *decider, const lort_work_plan *plan, const lort_job *job);
/* The report of the extent's tensor. NULL for raw bytes. */
lort_tensor_report *lort_job_report(const lort_decider *decider, uint64_t extent);
/* Puts "tensor NAME: " in front of an error message, if the extent is a tensor. */
void lort_job_name_error(const lort_work_plan *plan, uint64_t extent, lort_error *err);

#endif
