/* pipeline: order, admission and commit. The bytes of a job come from decide and emit; nothing here can change them. */
#include "compress/write/pipeline.h"
#include "compress/session/report.h"
#include "compress/write/resume.h"
#include "loader/os/os.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define RATIO_NOTE_AFTER 12 /* matrices, then the run says what to expect */

typedef struct job {
    uint64_t extent;
    uint32_t slice;
    bool first, last; /* of its part */
} job;

typedef struct pipeline {
    const lort_decider *decider;
    const lort_work_plan *plan;
    lort_emitter *emitter;
    job *jobs;
    uint64_t count;
    lort_outcome *outcomes; /* [window] */
    unsigned window;
    bool ahead;      /* what comes next is read ahead: the model is not in memory */
    lort_pool *team; /* who works on one matrix: all, or nobody but whose job it is (NULL) */
    uint64_t done;   /* extents that an earlier run finished */
    uint64_t matrices, matrices_kept;
    double error_sum;
    uint64_t error_count;
} pipeline;

static lort_session *session_of(const pipeline *p) { return p->decider->session; }

static lort_code list_jobs(pipeline *p, lort_error *err)
{
    void *memory;
    p->count = 0;
    for (uint64_t i = p->done; i < p->plan->count; i++)
        p->count += lort_tensor_plan_slices(&p->plan->steps[i]);
    lort_code code = lort_take(&session_of(p)->alloc, p->count * sizeof *p->jobs, "the list of jobs", &memory, err);
    if (code)
        return code;
    p->jobs = memory;
    uint64_t at = 0;
    for (uint64_t i = p->done; i < p->plan->count; i++) {
        uint32_t slices = lort_tensor_plan_slices(&p->plan->steps[i]);
        for (uint32_t s = 0; s < slices; s++)
            p->jobs[at++] = (job){i, s, s == 0, s + 1 == slices};
    }
    return LORT_OK;
}

static lort_tensor_report *report_of(const pipeline *p, uint64_t extent)
{
    uint64_t tensor = lort_model_extent_tensor(p->decider->model, extent);
    return tensor == UINT64_MAX ? NULL : &session_of(p)->report->tensors[tensor];
}

static void name_error(const pipeline *p, uint64_t extent, lort_error *err)
{
    const lort_tensor *tensor = p->plan->steps[extent].tensor;
    char name[200];
    if (tensor)
        lort_error_prefix(err, "tensor %s", lort_escape(name, sizeof name, tensor->name, tensor->name_bytes));
}

/* ---- commit ---- */

static void note_ratio(pipeline *p)
{
    lort_session *session = session_of(p);
    char text[300], size[32];
    double ratio = (double)session->out_bytes / (double)session->done_bytes;
    snprintf(text, sizeof text, "after %d matrices: %llu of them kept losslessly so far; at this rate the output will be about %s (%.2f of the input)",
             RATIO_NOTE_AFTER, (unsigned long long)p->matrices_kept, lort_size_text((uint64_t)(ratio * (double)session->total_bytes), size, sizeof size), ratio);
    lort_session_say(session, LORT_EVENT_NOTE, NULL, text);
}

static lort_code check_quality(pipeline *p, const lort_tensor_report *report, lort_error *err)
{
    double limit = p->decider->options->fail_above;
    if (limit < 0 || !(report->rel_error > limit))
        return LORT_OK;
    return lort_fail(err, LORT_E_NUMERIC, "%s: relative error %.6g is above --fail-above %g; nothing was published", report->name, report->rel_error, limit);
}

static void warn_fault(lort_session *session, const lort_tensor_report *report)
{
    if (lort_reason_is_fault(report->reason))
        lort_session_warn(session, "%s: %s%s%s", report->name, report->reason, *report->detail ? ", " : "", report->detail);
}

static lort_code account(pipeline *p, const lort_tensor_report *report, lort_error *err)
{
    lort_session *session = session_of(p);
    session->tensors_done++;
    if (report->action[0] != 'k' && !isnan(report->rel_error)) {
        p->error_sum += report->rel_error;
        p->error_count++;
        session->worst_error = fmax(report->rel_error, isnan(session->worst_error) ? 0 : session->worst_error);
    }
    p->matrices += report->n_dims > 1;
    p->matrices_kept += report->n_dims > 1 && report->action[0] == 'k';
    return check_quality(p, report, err);
}

static lort_code finish_part(pipeline *p, uint64_t extent, lort_error *err)
{
    lort_session *session = session_of(p);
    lort_tensor_report *report = report_of(p, extent);
    lort_code code = lort_emit_end(p->emitter, report, err);
    if (code || !report)
        return code;
    warn_fault(session, report);
    code = lort_resume_note(p->decider, extent, report, err);
    if (code == LORT_OK)
        code = account(p, report, err);
    lort_session_sample(session);
    lort_session_say(session, LORT_EVENT_TENSOR, report, NULL);
    if (p->matrices == RATIO_NOTE_AFTER && report->n_dims > 1)
        note_ratio(p);
    return code;
}

/* What an earlier run finished counts like what this one does. */
static lort_code account_done(pipeline *p, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < p->done && code == LORT_OK; i++)
        if (report_of(p, i))
            code = account(p, report_of(p, i), err);
    return code;
}

static void prefetch_job(const pipeline *p, uint64_t item)
{
    if (item >= p->count)
        return;
    const job *j = &p->jobs[item];
    const lort_range range = lort_slice_range(p->decider, &p->plan->steps[j->extent], j->extent, j->slice);
    lort_model_prefetch(p->decider->model, range.file, range.offset, range.bytes);
}

static lort_code commit_job(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    pipeline *p = ctx;
    const job *j = &p->jobs[item];
    lort_code code = lort_session_check_stop(session_of(p), err);
    if (code == LORT_OK && j->first)
        code = lort_emit_begin(p->emitter, j->extent, err);
    if (code == LORT_OK)
        code = lort_emit_slice(p->emitter, j->slice, &p->outcomes[slot], err);
    if (p->outcomes[slot].kept.count) /* each is too small to be seen when it goes */
        lort_session_sample(session_of(p));
    lort_outcome_free(&p->outcomes[slot], &session_of(p)->alloc);
    if (code == LORT_E_READ || code == LORT_E_MEMORY)
        name_error(p, j->extent, err);
    if (code == LORT_OK && j->last)
        code = finish_part(p, j->extent, err);
    if (p->ahead) /* the one after those in work */
        prefetch_job(p, (uint64_t)item + 1 + p->window);
    return code;
}

/* ---- work ---- */

static lort_code decide_job(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    pipeline *p = ctx;
    const job *j = &p->jobs[item];
    const lort_tensor_plan *step = &p->plan->steps[j->extent];
    lort_code code = lort_decide(p->decider, step, j->slice, worker, p->team, &p->outcomes[slot], err);
    if (code)
        name_error(p, j->extent, err);
    return code;
}

/* What is kept is read once, in order, and all workers code its chunks: where all of it is, there is nothing to gain from a copy in memory. */
static lort_code run_jobs(pipeline *p, lort_error *err)
{
    lort_session *session = session_of(p);
    lort_code code = LORT_OK;
    p->ahead = p->plan->mode == LORT_MODE_STREAM || p->plan->candidates == 0 || p->count == 0;
    for (unsigned i = 0; p->ahead && i < p->window; i++) /* in order: the second is not to take the disk from the first */
        prefetch_job(p, i);
    if (!p->ahead)
        code = lort_model_load(p->decider->model, &session->alloc, session->pool, err);
    return code ? code : lort_pool_run(session->pool, (int64_t)p->count, p->window, decide_job, commit_job, p, err);
}

static void sum_weighted(lort_report *report)
{
    double sum = 0;
    uint64_t count = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *tensor = &report->tensors[i];
        if (tensor->action[0] == 'k' || isnan(tensor->weighted_error))
            continue;
        sum += tensor->weighted_error;
        count++;
        report->weighted_worst = fmax(tensor->weighted_error, isnan(report->weighted_worst) ? 0 : report->weighted_worst);
    }
    report->weighted_mean = count ? sum / (double)count : NAN;
}

lort_code lort_pipeline_run(const lort_decider *decider, const lort_work_plan *plan, uint64_t done, lort_emitter *emitter, lort_error *err)
{
    pipeline p = {.decider = decider, .plan = plan, .emitter = emitter, .done = done, .window = plan->mode == LORT_MODE_FULL ? plan->window : plan->abreast,
                  .team = plan->team ? decider->session->pool : NULL};
    lort_session *session = decider->session;
    const lort_alloc *alloc = &session->alloc;
    void *memory;
    lort_code code = list_jobs(&p, err);
    if (code)
        return code;
    code = lort_take_zero(alloc, p.window * sizeof *p.outcomes, "the outcomes", &memory, err);
    p.outcomes = memory;
    if (code == LORT_OK)
        code = account_done(&p, err);
    if (code == LORT_OK)
        code = run_jobs(&p, err);
    for (unsigned i = 0; p.outcomes && i < p.window; i++)
        lort_outcome_free(&p.outcomes[i], alloc);
    lort_give(alloc, p.outcomes, p.window * sizeof *p.outcomes);
    lort_give(alloc, p.jobs, p.count * sizeof *p.jobs);
    session->report->worst_error = session->worst_error;
    sum_weighted(session->report);
    session->report->mean_error = p.error_count ? p.error_sum / (double)p.error_count : NAN;
    return code;
}

/* ---- plan --sample ---- */

typedef struct sample_sum {
    double in, out, high, seconds;
} sample_sum;

static lort_code sample_one(pipeline *p, uint64_t extent, sample_sum *sum, lort_error *err)
{
    const lort_tensor_plan *step = &p->plan->steps[extent];
    lort_tensor_report *report = report_of(p, extent);
    lort_outcome outcome = {0};
    lort_code code = lort_decide(p->decider, step, 0, 0, session_of(p)->pool, &outcome, err);
    if (code) {
        name_error(p, extent, err);
        return code;
    }
    uint64_t bytes = outcome.quantised ? outcome.estimate : outcome.factored ? outcome.coded.size : outcome.lossless;
    const bool lossy = outcome.factored || outcome.quantised;
    report->action = outcome.quantised ? "residual" : outcome.factored ? "factor" : "keep";
    report->reason = outcome.reason;
    report->detail = lort_report_text(session_of(p)->report, "%s", outcome.detail);
    report->rank = outcome.rank;
    report->rel_error = lossy ? sqrt(outcome.error2 / outcome.norm2) : 0.0;
    report->weighted_error = !step->importance ? NAN : lossy ? sqrt(outcome.error.weighed / outcome.norm.weighed) : 0.0;
    report->bytes_out = bytes * lort_tensor_plan_slices(step);
    report->seconds = outcome.seconds * lort_tensor_plan_slices(step);
    sum->in += (double)step->tensor->bytes;
    sum->out += (double)report->bytes_out;
    sum->seconds += report->seconds;
    lort_outcome_free(&outcome, &session_of(p)->alloc);
    session_of(p)->done_bytes += session_of(p)->total_bytes / session_of(p)->tensors_total;
    session_of(p)->tensors_done++;
    lort_session_say(session_of(p), LORT_EVENT_TENSOR, report, NULL);
    return lort_session_check_stop(session_of(p), err);
}

/* The candidates' share of the interval shrinks to what the sample came to, plus or minus a quarter when it was not all of them. */
static void narrow(pipeline *p, lort_work_plan *plan, const sample_sum *sum, uint64_t sampled)
{
    double candidates_in = 0, others_low = 0, others_high = 0;
    uint64_t count;
    const lort_extent *extents = lort_model_extents(p->decider->model, &count);
    for (uint64_t i = 0; i < plan->count; i++) {
        const lort_tensor_plan *step = &plan->steps[i];
        if (step->factor) {
            candidates_in += (double)step->tensor->bytes;
            continue;
        }
        others_low += lort_plan_share(step, false) * (double)extents[i].bytes;
        others_high += lort_plan_share(step, true) * (double)extents[i].bytes;
    }
    double estimate = sum->in > 0 ? sum->out / sum->in * candidates_in : 0, slack = sampled < plan->candidates ? 0.25 : 0.01;
    if (!plan->shares) { /* else the size is the target */
        plan->out_low = (uint64_t)(others_low + estimate * (1 - slack));
        plan->out_high = (uint64_t)(others_high + estimate * (1 + slack)) + 200 * plan->count + 4000;
    }
    session_of(p)->report->output_low = plan->out_low;
    session_of(p)->report->output_high = plan->out_high;
    session_of(p)->report->sample_seconds = sum->seconds;
    session_of(p)->report->estimated_seconds = sum->in > 0 ? sum->seconds * candidates_in / sum->in : 0;
}

lort_code lort_pipeline_sample(const lort_decider *decider, lort_work_plan *plan, int64_t sample, lort_error *err)
{
    pipeline p = {.decider = decider, .plan = plan};
    sample_sum sum = {0};
    uint64_t wanted = (uint64_t)sample < plan->candidates ? (uint64_t)sample : plan->candidates, seen = 0, done = 0;
    lort_code code = LORT_OK;
    decider->session->tensors_total = wanted;
    for (uint64_t i = 0; i < plan->count && done < wanted && code == LORT_OK; i++) {
        if (!plan->steps[i].factor)
            continue;
        if (seen++ == done * plan->candidates / wanted) {
            code = sample_one(&p, i, &sum, err);
            done++;
        }
    }
    if (code == LORT_OK && wanted)
        narrow(&p, plan, &sum, wanted);
    return code;
}

lort_code lort_pipeline_list(const lort_decider *decider, const lort_work_plan *plan, lort_error *err)
{
    const lort_index *index = lort_model_index(decider->model);
    lort_report *report = decider->session->report;
    lort_code code = lort_report_tensors(report, index->count, err);
    if (code)
        return code;
    for (uint64_t i = 0; i < plan->count; i++) {
        uint64_t number = lort_model_extent_tensor(decider->model, i);
        if (number == UINT64_MAX)
            continue;
        const lort_tensor *tensor = &index->tensors[number];
        const char *file = lort_model_get_file(decider->model, tensor->file)->name;
        lort_tensor_report *entry = &report->tensors[number];
        entry->name = lort_report_escape(report, tensor->name, tensor->name_bytes);
        entry->n_dims = tensor->n_dims;
        entry->shape = lort_report_shape(report, tensor->dims, tensor->n_dims);
        entry->dtype = tensor->type->name;
        entry->bytes_in = tensor->bytes;
        entry->offset = tensor->offset;
        entry->file = lort_report_escape(report, file, strlen(file));
        entry->slices = plan->steps[i].shape.slices;
        entry->action = !plan->steps[i].factor ? "keep" : lort_plan_integers(decider->options) ? "residual" : "factor";
        entry->reason = plan->steps[i].reason;
    }
    return lort_report_check(report, err);
}
