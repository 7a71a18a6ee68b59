/* jobs: see jobs.h. */
#include "compress/write/jobs.h"
#include "formats/base/text.h"

lort_code lort_jobs_list(const lort_decider *decider, const lort_work_plan *plan, uint64_t from,
                         lort_job **jobs, uint64_t *count, lort_error *err)
{
    void *memory;
    uint64_t at = 0;
    *count = 0;
    for (uint64_t i = from; i < plan->count; i++)
        *count += lort_tensor_plan_slices(&plan->tensors[i]);
    lort_code code = lort_take(&decider->session->alloc, *count * sizeof **jobs, "the list of jobs",
                               &memory, err);
    *jobs = code ? NULL : memory;
    for (uint64_t i = from; i < plan->count && code == LORT_OK; i++) {
        const uint32_t slices = lort_tensor_plan_slices(&plan->tensors[i]);
        for (uint32_t s = 0; s < slices; s++)
            (*jobs)[at++] = (lort_job){i, s, s == 0, s + 1 == slices};
    }
    return code;
}

void lort_jobs_give(const lort_decider *decider, lort_job *jobs, uint64_t count)
{
    lort_give(&decider->session->alloc, jobs, count * sizeof *jobs);
}

lort_range lort_job_range(const lort_decider *decider, const lort_work_plan *plan,
                          const lort_job *job)
{
    return lort_slice_range(decider, &plan->tensors[job->extent], job->extent, job->slice);
}

lort_tensor_report *lort_job_report(const lort_decider *decider, uint64_t extent)
{
    const uint64_t tensor = lort_model_extent_tensor(decider->model, extent);
    return tensor == UINT64_MAX ? NULL : &decider->session->report->tensors[tensor];
}

void lort_job_name_error(const lort_work_plan *plan, uint64_t extent, lort_error *err)
{
    const lort_tensor *tensor = plan->tensors[extent].tensor;
    char name[200];
    if (tensor)
        lort_error_prefix(err, "tensor %s",
                          lort_escape(name, sizeof name, tensor->name, tensor->name_bytes));
    if (tensor)
        lort_error_tensor(err, tensor->name, tensor->name_bytes);
}
