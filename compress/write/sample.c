/* sample: see sample.h. */
#include "compress/write/sample.h"
#include "compress/plan/estimate.h"
#include "compress/session/report.h"
#include "compress/slice/decide.h"
#include "compress/write/jobs.h"
#include <math.h>

typedef struct sample_sum {
    double in, out, high, seconds;
} sample_sum;

static uint64_t sample_size(const lort_work_plan *plan, int64_t sample)
{
    return (uint64_t)sample < plan->candidates ? (uint64_t)sample : plan->candidates;
}

/* One slice of a tensor is decided, as for writing. */
static uint64_t cost_of(const lort_decider *decider, const lort_work_plan *plan, uint64_t extent)
{
    return lort_job_cost(decider, plan, &(lort_job){.extent = extent}, LORT_PHASE_WRITING);
}

static lort_code sample_one(const lort_decider *decider, const lort_work_plan *plan,
                            uint64_t extent, sample_sum *sum, lort_error *err)
{
    const lort_tensor_plan *planned = &plan->tensors[extent];
    lort_session *session = decider->session;
    lort_tensor_report *report = lort_job_report(decider, extent);
    lort_outcome outcome = {0};
    lort_session_work_on(session, report);
    lort_code code = lort_decide(decider, planned, 0, (lort_work){session->pool, 0}, &outcome, err);
    if (code) {
        lort_job_name_error(plan, extent, err);
        return code;
    }
    const bool coded = lort_outcome_has_blocks(&outcome), lossy = outcome.kind != LORT_OUTCOME_KEPT;
    const uint64_t bytes = coded ? outcome.estimate : lossy ? outcome.coded.size : outcome.lossless;
    report->action = coded ? LORT_ACTION_CODED : lossy ? LORT_ACTION_FACTORED : LORT_ACTION_KEPT;
    report->reason = outcome.reason;
    report->reason_text = lort_reason_text(outcome.reason);
    report->detail = lort_report_text(session->report, "%s", outcome.detail);
    report->rank = outcome.product.rank;
    report->rel_error = lossy ? sqrt(outcome.error2 / outcome.norm2) : 0.0;
    report->weighted_error = !lort_tensor_plan_weighed(planned) ? NAN
                             : lossy ? sqrt(outcome.error.weighed / outcome.norm.weighed)
                                     : 0.0;
    report->bytes_out = bytes * lort_tensor_plan_slices(planned);
    report->seconds = outcome.seconds * lort_tensor_plan_slices(planned);
    sum->in += (double)planned->tensor->bytes;
    sum->out += (double)report->bytes_out;
    sum->seconds += report->seconds;
    lort_outcome_free(&outcome, &session->alloc);
    session->done_bytes += planned->tensor->bytes;
    session->tensors_done++;
    lort_session_did(session, cost_of(decider, plan, extent), planned->tensor->bytes, 1);
    lort_session_say(session, LORT_EVENT_TENSOR, report, NULL);
    return lort_session_check_stop(session, err);
}

static double shares_bytes(const lort_work_plan *plan)
{
    double bytes = 0;
    for (uint64_t i = 0; i < plan->share_count; i++)
        bytes += (double)plan->shares[i].bytes;
    return bytes;
}

static double within(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

/* A sample only narrows what the headers told. */
static void narrow_to(lort_work_plan *plan, double low, double high)
{
    const double first = (double)plan->out_low, last = (double)plan->out_high;
    plan->out_low = (uint64_t)within(low, first, last);
    plan->out_high = (uint64_t)within(high, first, last);
}

/* Replaces the estimate of the candidates by what the sample measured. The margin is 1 % if the
 * sample has all candidates, else 25 %. */
static void narrow_interval(const lort_decider *decider, lort_work_plan *plan,
                            const sample_sum *sum, uint64_t sampled)
{
    lort_report *report = decider->session->report;
    double candidates_in = 0, others_low = 0, others_high = 0;
    uint64_t count;
    const lort_extent *extents = lort_model_extents(decider->model, &count);
    for (uint64_t i = 0; i < plan->count; i++) {
        const lort_tensor_plan *planned = &plan->tensors[i];
        if (planned->candidate) {
            candidates_in += (double)planned->tensor->bytes;
            continue;
        }
        if (planned->same)
            continue;
        others_low += lort_plan_share(planned, false) * (double)extents[i].bytes;
        others_high += lort_plan_share(planned, true) * (double)extents[i].bytes;
    }
    double estimate = sum->in > 0 ? sum->out / sum->in * candidates_in : 0,
           slack = sampled < plan->candidates ? 0.25 : 0.01;
    if (plan->shares) { /* the target gives every candidate its bytes */
        estimate = shares_bytes(plan);
        slack = 0.01;
    }
    narrow_to(plan, others_low + estimate * (1 - slack),
              others_high + estimate * (1 + slack) + 400 * (double)plan->count + 4000);
    report->output_low = plan->out_low;
    report->output_high = plan->out_high;
    report->sample_seconds = sum->seconds;
    report->estimated_seconds = sum->in > 0 ? sum->seconds * candidates_in / sum->in : 0;
}

/* True if the candidate that was seen after `seen` others is in the sample: they are evenly spaced.
 * done: how many are before it. */
static bool is_sampled(const lort_work_plan *plan, uint64_t seen, uint64_t done, uint64_t wanted)
{
    return done < wanted && seen == done * plan->candidates / wanted;
}

/* Tells the meter and those who watch what the sample takes. */
static void expect_sample(const lort_decider *decider, const lort_work_plan *plan, uint64_t wanted)
{
    lort_session *session = decider->session;
    uint64_t seen = 0, done = 0, cost = 0, bytes = 0;
    for (uint64_t i = 0; i < plan->count; i++)
        if (plan->tensors[i].candidate && is_sampled(plan, seen++, done, wanted)) {
            cost += cost_of(decider, plan, i);
            bytes += plan->tensors[i].tensor->bytes;
            done++;
        }
    lort_meter_expect(&session->meter, LORT_PHASE_SAMPLING, cost, bytes, wanted);
}

void lort_sample_expect(const lort_decider *decider, const lort_work_plan *plan, int64_t sample)
{
    expect_sample(decider, plan, sample_size(plan, sample));
}

lort_code lort_sample(const lort_decider *decider, lort_work_plan *plan, int64_t sample,
                      lort_error *err)
{
    sample_sum sum = {0};
    uint64_t wanted = sample_size(plan, sample), seen = 0, done = 0;
    lort_code code = LORT_OK;
    expect_sample(decider, plan, wanted);
    decider->session->tensors_total = wanted;
    decider->session->total_bytes = decider->session->meter.phases[LORT_PHASE_SAMPLING].bytes;
    lort_session_enter(decider->session, LORT_PHASE_SAMPLING);
    for (uint64_t i = 0; i < plan->count && code == LORT_OK; i++)
        if (plan->tensors[i].candidate && is_sampled(plan, seen++, done, wanted)) {
            code = sample_one(decider, plan, i, &sum, err);
            done++;
        }
    if (code == LORT_OK && wanted)
        narrow_interval(decider, plan, &sum, wanted);
    return code;
}
