/* jobs: see jobs.h. */
#include "compress/write/jobs.h"
#include "compress/goal/goal.h"
#include "compress/read/named.h"
#include "formats/base/text.h"

lort_code lort_jobs_list(const lort_decider *decider, const lort_work_plan *plan, uint64_t from,
                         uint64_t end, lort_job **jobs, uint64_t *count, lort_error *err)
{
    void *memory;
    uint64_t at = 0;
    *count = 0;
    for (uint64_t i = from; i < end; i++)
        *count += lort_tensor_plan_slices(&plan->tensors[i]);
    lort_code code = lort_take(&decider->session->alloc, *count * sizeof **jobs, "the list of jobs",
                               &memory, err);
    *jobs = code ? NULL : memory;
    for (uint64_t i = from; i < end && code == LORT_OK; i++) {
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

/* Nanoseconds of a core, from runs of `--bpw 2` to `6`, `--max-error` and `--lossless` on models of
 * tests/bench/real_model.py. Only their ratios count. block: of each weight of the one block that
 * the curve is measured on; the step is searched on about as many. */
typedef struct job_costs {
    unsigned weight, block, byte; /* of a candidate; of what is kept */
} job_costs;

static job_costs costs_of(const lort_options *options, lort_phase phase)
{
    if (phase == LORT_PHASE_MEASURING)
        return (job_costs){8, 60, 0};
    if (lort_goal_sized(options))
        return (job_costs){42, 25, 2};
    return lort_goal_integers(options) ? (job_costs){100, 25, 2} : (job_costs){10, 0, 2};
}

/* In stream mode one worker measures the block of a curve, while the others wait. */
static uint64_t block_workers(const lort_work_plan *plan, lort_phase phase)
{
    return phase == LORT_PHASE_MEASURING && plan->mode == LORT_MODE_STREAM ? plan->threads : 1;
}

uint64_t lort_job_cost(const lort_decider *decider, const lort_work_plan *plan, const lort_job *job,
                       lort_phase phase)
{
    const lort_tensor_plan *planned = &plan->tensors[job->extent];
    const job_costs costs = costs_of(decider->options, phase);
    if (!planned->candidate)
        return costs.byte * lort_job_range(decider, plan, job).bytes + 1;
    const lort_block_grid grid = lort_block_grid_of(planned->shape.rows, planned->shape.cols);
    return costs.weight * (uint64_t)planned->shape.rows * (uint64_t)planned->shape.cols +
           costs.block * block_workers(plan, phase) * (uint64_t)(grid.high * grid.wide);
}

void lort_jobs_expect(const lort_decider *decider, const lort_work_plan *plan, const lort_job *jobs,
                      uint64_t count, lort_phase phase)
{
    uint64_t cost = 0, bytes = 0, tensors = 0;
    for (uint64_t i = 0; i < count; i++) {
        cost += lort_job_cost(decider, plan, &jobs[i], phase);
        bytes += lort_job_range(decider, plan, &jobs[i]).bytes;
        tensors += jobs[i].last && plan->tensors[jobs[i].extent].tensor;
    }
    lort_meter_expect(&decider->session->meter, phase, cost, bytes, tensors);
}

lort_code lort_jobs_expect_writing(const lort_decider *decider, const lort_work_plan *plan,
                                   lort_error *err)
{
    lort_job *jobs;
    uint64_t count;
    lort_code code = lort_jobs_list(decider, plan, plan->first, plan->end, &jobs, &count, err);
    if (code)
        return code;
    lort_jobs_expect(decider, plan, jobs, count, LORT_PHASE_WRITING);
    lort_jobs_give(decider, jobs, count);
    return LORT_OK;
}

/* The largest piece of the model that stays until LoRT has finished it. */
static uint64_t largest_piece(const lort_decider *decider, const lort_work_plan *plan)
{
    uint64_t most = 0, count;
    const lort_extent *extents = lort_model_extents(decider->model, &count);
    for (uint64_t i = plan->first; i < plan->end; i++) {
        const lort_tensor_plan *planned = &plan->tensors[i];
        const uint64_t slice = planned->candidate ? lort_slice_bytes(planned) : 0,
                       bytes = slice >= LORT_CHUNK_TARGET ? slice : extents[i].bytes;
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Bytes of the input that the work is for. */
static uint64_t work_bytes(const lort_decider *decider, const lort_work_plan *plan)
{
    uint64_t bytes = 0, count;
    const lort_extent *extents = lort_model_extents(decider->model, &count);
    for (uint64_t i = plan->first; i < plan->end; i++)
        bytes += extents[i].bytes;
    return bytes;
}

lort_code lort_jobs_begin(const lort_decider *decider, const lort_work_plan *plan, lort_error *err)
{
    const bool full = plan->mode == LORT_MODE_FULL;
    lort_report *report = decider->session->report;
    /* A task reads its run once in each of its two calls. */
    const unsigned readings = lort_goal_sized(decider->options) && !full &&
                                      !decider->session->spool_keep && plan->tasks == 0
                                  ? 2
                                  : 1;
    if (!lort_model_is_supplied(decider->model))
        return LORT_OK;
    lort_code code =
        lort_model_begin(decider->model, plan->abreast * largest_piece(decider, plan), full, err);
    lort_named_cost(decider->model, report);
    report->fetch_plan_bytes = readings * work_bytes(decider, plan);
    return code;
}

/* A byte costs one nanosecond, whether it comes from the page cache or from a disk. */
lort_code lort_jobs_load(const lort_decider *decider, const lort_work_plan *plan, lort_error *err)
{
    lort_session *session = decider->session;
    const uint64_t bytes = work_bytes(decider, plan);
    if (session->meter.phases[LORT_PHASE_LOADING].done_cost)
        return lort_model_load(decider->model, &session->alloc, session->pool, err);
    lort_meter_expect(&session->meter, LORT_PHASE_LOADING, bytes, bytes, 0);
    lort_session_enter(session, LORT_PHASE_LOADING);
    lort_code code = lort_model_load(decider->model, &session->alloc, session->pool, err);
    lort_session_did(session, bytes, bytes, 0);
    return code;
}

void lort_job_did(const lort_decider *decider, const lort_work_plan *plan, const lort_job *job)
{
    lort_session *session = decider->session;
    lort_session_did(session, lort_job_cost(decider, plan, job, session->meter.now),
                     lort_job_range(decider, plan, job).bytes,
                     job->last && plan->tensors[job->extent].tensor);
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
