/* pipeline: see pipeline.h. The bytes of a job come from decide and emit. Nothing here can change
 * them. */
#include "compress/write/pipeline.h"
#include "compress/goal/goal.h"
#include "compress/session/figures.h"
#include "compress/session/reasons.h"
#include "compress/session/report.h"
#include "compress/slice/decide.h"
#include "compress/write/jobs.h"
#include "compress/write/resume.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* After so many matrices and such a part of the bytes a note tells the size to expect. */
#define RATIO_NOTE_AFTER 12
#define RATIO_NOTE_SHARE 0.1

typedef struct pipeline {
    const lort_decider *decider;
    const lort_work_plan *plan;
    lort_emitter *emitter;
    lort_job *jobs;
    uint64_t count;
    lort_outcome *outcomes; /* [window] */
    unsigned window;
    bool ahead;      /* read later jobs ahead: the model is not in memory */
    lort_pool *team; /* helps with one matrix; NULL: only the worker of the job */
    uint64_t asked;  /* jobs that are read ahead, of a model from the network */
    uint64_t done;   /* extents that an earlier run finished */
    uint64_t matrices, matrices_kept;
    bool noted; /* the size to expect */
    double error_sum;
    uint64_t error_count;
} pipeline;

static lort_session *session_of(const pipeline *p) { return p->decider->session; }

/* ---- commit ---- */

/* Matrices tell of other matrices by their bytes. Kept tensors of several types do not, and under
 * --size and --bpw the target is the size. */
static bool forecasts(const pipeline *p)
{
    const lort_session *session = session_of(p);
    const lort_options *options = p->decider->options;
    return !p->noted && p->matrices >= RATIO_NOTE_AFTER && options->goal != LORT_GOAL_LOSSLESS &&
           !lort_goal_sized(options) &&
           (double)session->done_bytes >= RATIO_NOTE_SHARE * (double)session->total_bytes;
}

static void note_ratio(pipeline *p)
{
    lort_session *session = session_of(p);
    p->noted = true;
    char text[300], size[32];
    double ratio = (double)session->out_bytes / (double)session->done_bytes;
    snprintf(
        text, sizeof text,
        "after %llu matrices: %llu of them kept losslessly so far; at this rate the output will "
        "be about %s (%.2f of the input)",
        (unsigned long long)p->matrices, (unsigned long long)p->matrices_kept,
        lort_size_text((uint64_t)(ratio * (double)session->total_bytes), size, sizeof size), ratio);
    lort_session_say(session, LORT_EVENT_NOTE, NULL, text);
}

static lort_code check_quality(pipeline *p, const lort_tensor_report *report, lort_error *err)
{
    const bool weighed = !isnan(report->proxy_loss); /* by a covariance */
    const double limit = p->decider->options->fail_above,
                 error = weighed ? report->weighted_error : report->rel_error;
    if (limit < 0 || !(error > limit))
        return LORT_OK;
    if (p->plan->tasks) {
        lort_session_warn(
            session_of(p),
            "%s: relative error %.6g is above --fail-above %g: lort merge will refuse",
            report->name, report->rel_error, limit);
        return LORT_OK;
    }
    lort_fail(err, LORT_E_NUMERIC,
              "%s: %s error %.6g is above --fail-above %g; nothing was published", report->name,
              weighed ? "weighted" : "relative", error, limit);
    if (err) /* the name is escaped already */
        snprintf(err->tensor, sizeof err->tensor, "%s", report->name);
    return LORT_E_NUMERIC;
}

static void warn_fault(lort_session *session, const lort_tensor_report *report)
{
    if (lort_reason_is_fault(report->reason))
        lort_session_warn(session, "%s: %s%s%s", report->name, report->reason_text,
                          *report->detail ? ", " : "", report->detail);
}

static lort_code count_tensor(pipeline *p, const lort_tensor_report *report, lort_error *err)
{
    lort_session *session = session_of(p);
    session->tensors_done++;
    if (report->action != LORT_ACTION_KEPT && !isnan(report->rel_error)) {
        p->error_sum += report->rel_error;
        p->error_count++;
        session->worst_error =
            fmax(report->rel_error, isnan(session->worst_error) ? 0 : session->worst_error);
    }
    p->matrices += report->n_dims > 1;
    p->matrices_kept += report->n_dims > 1 && report->action == LORT_ACTION_KEPT;
    return check_quality(p, report, err);
}

static lort_code finish_part(pipeline *p, uint64_t extent, lort_error *err)
{
    lort_session *session = session_of(p);
    lort_tensor_report *report = lort_job_report(p->decider, extent);
    lort_code code = lort_emit_end(p->emitter, report, err);
    if (code || !report)
        return code;
    warn_fault(session, report);
    code = lort_resume_note(p->decider, extent, report, err);
    if (code == LORT_OK)
        code = count_tensor(p, report, err);
    lort_session_sample(session);
    lort_session_say(session, LORT_EVENT_TENSOR, report, NULL);
    if (report->n_dims > 1 && forecasts(p))
        note_ratio(p);
    return code;
}

/* Counts the tensors that an earlier run finished like those of this run. */
static lort_code account_done(pipeline *p, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = p->plan->first; i < p->done && code == LORT_OK; i++)
        if (lort_job_report(p->decider, i))
            code = count_tensor(p, lort_job_report(p->decider, i), err);
    return code;
}

static void prefetch_job(const pipeline *p, uint64_t item)
{
    if (item >= p->count)
        return;
    const lort_range range = lort_job_range(p->decider, p->plan, &p->jobs[item]);
    lort_model_prefetch(p->decider->model, range.file, range.offset, range.bytes);
}

/* Asks for what follows the jobs in work. A disk reads on behind a small range by itself. A network
 * must be asked, so early that all connections have work. */
static void prefetch_next(pipeline *p, uint64_t item)
{
    uint64_t bytes = 0;
    if (!lort_model_is_supplied(p->decider->model)) {
        prefetch_job(p, item);
        return;
    }
    for (uint64_t i = item; i < p->count && bytes < LORT_AHEAD_MOST; i++) {
        bytes += lort_job_range(p->decider, p->plan, &p->jobs[i]).bytes;
        if (i >= p->asked)
            prefetch_job(p, i);
        p->asked = i >= p->asked ? i + 1 : p->asked;
    }
}

/* Large slices leave one by one: a stack of experts may be larger than the spool of a model from
 * the network. A stack of small slices may be written again as a whole (write/emit.c). */
static lort_code release_slice(const pipeline *p, const lort_job *j, lort_error *err)
{
    const lort_range range = lort_job_range(p->decider, p->plan, j);
    lort_model *model = p->decider->model;
    if (!lort_model_is_supplied(model) || range.bytes < LORT_CHUNK_TARGET)
        return LORT_OK;
    lort_code code = LORT_OK;
    if (p->plan->tasks == 0)
        code = lort_model_prove(model, range.file, range.offset + range.bytes, NULL, err);
    lort_model_release(model, range.file, range.offset, range.bytes);
    return code;
}

static lort_code commit_job(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    pipeline *p = ctx;
    const lort_job *j = &p->jobs[item];
    lort_code code = lort_session_check_stop(session_of(p), err);
    if (code == LORT_OK && j->first)
        code = lort_emit_begin(p->emitter, j->extent, err);
    if (code == LORT_OK)
        code = lort_emit_slice(p->emitter, j->slice, &p->outcomes[slot], err);
    /* A held block is too small to be sampled when it is freed. So sample the memory now. */
    if (p->outcomes[slot].held.count)
        lort_session_sample(session_of(p));
    lort_outcome_free(&p->outcomes[slot], &session_of(p)->alloc);
    if (code == LORT_E_READ || code == LORT_E_MEMORY)
        lort_job_name_error(p->plan, j->extent, err);
    if (code == LORT_OK)
        lort_job_did(p->decider, p->plan, j);
    if (code == LORT_OK && j->last)
        code = finish_part(p, j->extent, err);
    else if (code == LORT_OK)
        code = release_slice(p, j, err);
    /* The job after those in work. */
    if (p->ahead)
        prefetch_next(p, (uint64_t)item + 1 + p->window);
    return code;
}

/* ---- work ---- */

static lort_code decide_job(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    pipeline *p = ctx;
    const lort_job *j = &p->jobs[item];
    const lort_tensor_plan *planned = &p->plan->tensors[j->extent];
    lort_session_work_on(session_of(p), lort_job_report(p->decider, j->extent));
    lort_code code = lort_decide(p->decider, planned, j->slice, (lort_work){p->team, worker},
                                 &p->outcomes[slot], err);
    if (code)
        lort_job_name_error(p->plan, j->extent, err);
    return code;
}

/* Runs all jobs. LoRT reads a kept tensor once and in order, and all workers encode its chunks. If
 * all tensors are kept, a copy of the model in memory would gain nothing. */
static lort_code run_jobs(pipeline *p, lort_error *err)
{
    lort_session *session = session_of(p);
    lort_code code = LORT_OK;
    p->ahead = p->plan->mode == LORT_MODE_STREAM || p->count == 0 ||
               (p->plan->candidates == 0 && !lort_model_is_supplied(p->decider->model));
    lort_model_need_from(p->decider->model, p->done);
    /* In order, so that a later job does not take the disk from an earlier one. */
    for (unsigned i = 0; p->ahead && i < p->window; i++)
        prefetch_job(p, i);
    if (!p->ahead)
        code = lort_jobs_load(p->decider, p->plan, err);
    lort_session_enter(session, LORT_PHASE_WRITING);
    return code ? code
                : lort_pool_run(session->pool, (int64_t)p->count, p->window, decide_job, commit_job,
                                p, err);
}

lort_code lort_pipeline_run(const lort_decider *decider, const lort_work_plan *plan, uint64_t done,
                            lort_emitter *emitter, lort_error *err)
{
    pipeline p = {.decider = decider,
                  .plan = plan,
                  .emitter = emitter,
                  .done = done,
                  .window = plan->mode == LORT_MODE_FULL ? plan->window : plan->abreast,
                  .team = plan->team ? decider->session->pool : NULL};
    lort_session *session = decider->session;
    const lort_alloc *alloc = &session->alloc;
    void *memory;
    lort_code code = lort_jobs_list(decider, plan, done, plan->end, &p.jobs, &p.count, err);
    if (code)
        return code;
    code = lort_take_zero(alloc, p.window * sizeof *p.outcomes, "the outcomes", &memory, err);
    p.outcomes = memory;
    if (code == LORT_OK)
        code = account_done(&p, err);
    lort_jobs_expect(decider, plan, p.jobs, p.count, LORT_PHASE_WRITING);
    if (code == LORT_OK)
        code = run_jobs(&p, err);
    for (unsigned i = 0; p.outcomes && i < p.window; i++)
        lort_outcome_free(&p.outcomes[i], alloc);
    lort_give(alloc, p.outcomes, p.window * sizeof *p.outcomes);
    lort_jobs_give(decider, p.jobs, p.count);
    session->report->worst_error = session->worst_error;
    lort_report_weighted(session->report);
    session->report->mean_error = p.error_count ? p.error_sum / (double)p.error_count : NAN;
    return code;
}

lort_code lort_pipeline_list(const lort_decider *decider, lort_error *err)
{
    const lort_index *index = lort_model_index(decider->model);
    lort_report *report = decider->session->report;
    lort_code code = lort_report_tensors(report, index->count, err);
    for (uint64_t i = 0; code == LORT_OK && i < index->count; i++) {
        const lort_tensor *tensor = &index->tensors[i];
        lort_tensor_report *entry = &report->tensors[i];
        lort_report_tensor(report, tensor, entry);
        entry->offset = tensor->offset;
        entry->file =
            lort_report_file(report, i, lort_model_get_file(decider->model, tensor->file)->name,
                             i && tensor->file == index->tensors[i - 1].file);
    }
    return code ? code : lort_report_check(report, err);
}

void lort_pipeline_planned(const lort_decider *decider, const lort_work_plan *plan)
{
    for (uint64_t i = 0; i < plan->count; i++) {
        lort_tensor_report *entry = lort_job_report(decider, i);
        if (!entry)
            continue;
        entry->action = !plan->tensors[i].candidate            ? LORT_ACTION_KEPT
                        : lort_goal_integers(decider->options) ? LORT_ACTION_CODED
                                                               : LORT_ACTION_FACTORED;
        entry->reason = plan->tensors[i].reason;
        entry->reason_text = lort_reason_text(entry->reason);
        if (plan->tensors[i].candidate)
            entry->slices = plan->tensors[i].shape.slices;
        if (plan->tensors[i].same)
            lort_report_same(decider->session->report,
                             lort_job_report(decider, plan->tensors[i].origin), entry);
    }
}
