/* jobs: the units of work, in input order: one per slice of a tensor that is tried, one per other
 * part. */
#ifndef LORT_COMPRESS_WRITE_JOBS_H
#define LORT_COMPRESS_WRITE_JOBS_H

#include "compress/plan/plan.h"
#include "compress/slice/slice.h"

typedef struct lort_job {
    uint64_t extent;
    uint32_t slice;
    bool first, last; /* of its part */
} lort_job;

/* The jobs of all extents from `from` on; give() takes them back, and accepts NULL. */
lort_code lort_jobs_list(const lort_decider *decider, const lort_work_plan *plan, uint64_t from,
                         lort_job **jobs, uint64_t *count, lort_error *err);
void lort_jobs_give(const lort_decider *decider, lort_job *jobs, uint64_t count);
/* Where the bytes of a job lie. */
lort_range lort_job_range(const lort_decider *decider, const lort_work_plan *plan,
                          const lort_job *job);
/* The report of the extent's tensor; NULL for raw bytes. */
lort_tensor_report *lort_job_report(const lort_decider *decider, uint64_t extent);
/* Puts "tensor NAME: " before the message of a failure. */
void lort_job_name_error(const lort_work_plan *plan, uint64_t extent, lort_error *err);

#endif
