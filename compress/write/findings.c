/* findings: see findings.h. */
#include "compress/write/findings.h"
#include "compress/slice/chunk.h"
#include "compress/slice/decide.h"
#include "compress/write/journal.h"
#include "formats/base/bytes.h"
#include <string.h>

/* ---- a finding as bytes ---- */

void lort_finding_put(const lort_finding *j, lort_buffer *body)
{
    const uint64_t whole[] = {j->kept, j->curve.raw, j->curve.weights, j->curve.codes,
                              j->curve.lossless};
    lort_put_bytes(body, j->source.bytes, sizeof j->source.bytes);
    for (unsigned i = 0; i < sizeof whole / sizeof *whole; i++)
        lort_put_u64(body, whole[i]);
    lort_put_bytes(body, j->curve.bits, sizeof j->curve.bits);
    lort_put_bytes(body, j->curve.rank_bytes, sizeof j->curve.rank_bytes);
    for (unsigned i = 0; i < LORT_CURVE_POINTS; i++)
        lort_put_u8(body, j->curve.only[i]);
}

static lort_code note_job(const lort_findings *r, uint64_t number, lort_error *err)
{
    lort_buffer body = {.alloc = &r->decider->session->alloc};
    lort_finding_put(&r->items[number], &body);
    lort_code code = lort_journal_note(r->decider->journal, LORT_NOTE_CURVE, number, &body, err);
    lort_buffer_free(&body);
    return code;
}

#define NOTED_MOST 1e18 /* bytes */

/* True if these can be the bytes of a component. only: there is nothing but components. */
static bool can_be_component(double bytes, bool only)
{
    return bytes == 0 ? !only : bytes >= 1 && bytes <= NOTED_MOST;
}

/* The journal is a file that anybody may have changed. LoRT ignores figures that no reading can
 * give. */
static bool is_sound(const lort_findings *r, const lort_finding *j)
{
    const lort_tensor_plan *planned = &r->plan->tensors[j->job.extent];
    const lort_curve *curve = &j->curve;
    bool sound = (double)j->kept <= NOTED_MOST && (double)curve->lossless <= NOTED_MOST &&
                 (double)curve->codes <= NOTED_MOST;
    for (unsigned i = 0; i < LORT_CURVE_POINTS; i++)
        sound &= curve->bits[i] >= 0 && curve->bits[i] <= 1e6 &&
                 can_be_component(curve->rank_bytes[i], curve->only[i]);
    return sound && (!planned->candidate ||
                     (curve->codes > 0 && curve->weights == (uint64_t)planned->shape.rows *
                                                                (uint64_t)planned->shape.cols));
}

lort_code lort_finding_take(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                            lort_error *err)
{
    lort_findings *r = ctx;
    uint64_t whole[5];
    (void)err;
    if (number >= r->count || bytes != LORT_FINDING_BYTES)
        return LORT_OK;
    lort_finding *j = &r->items[number];
    /* A sample tells the size of other tensors. LoRT takes the sample again rather than read all
     * bytes for a hash. */
    if (r->touched && !r->plan->tensors[j->job.extent].candidate)
        return LORT_OK;
    memcpy(j->source.bytes, body, sizeof j->source.bytes);
    body += sizeof j->source.bytes;
    for (unsigned i = 0; i < 5; i++)
        whole[i] = lort_load_u64(body + 8 * i);
    j->kept = whole[0];
    j->curve =
        (lort_curve){.raw = whole[1], .weights = whole[2], .codes = whole[3], .lossless = whole[4]};
    memcpy(j->curve.bits, body + sizeof whole, sizeof j->curve.bits);
    memcpy(j->curve.rank_bytes, body + sizeof whole + sizeof j->curve.bits,
           sizeof j->curve.rank_bytes);
    for (unsigned i = 0; i < LORT_CURVE_POINTS; i++)
        j->curve.only[i] = body[LORT_FINDING_BYTES - sizeof j->source - LORT_CURVE_POINTS + i];
    j->read = is_sound(r, j);
    if (!j->read) {
        j->curve = (lort_curve){0};
        j->kept = 0;
    }
    return LORT_OK;
}

/* ---- the reading ---- */

static lort_range range_of(const lort_findings *r, uint64_t i)
{
    return lort_job_range(r->decider, r->plan, &r->items[i].job);
}

static lort_code measure_job(lort_findings *r, uint64_t item, unsigned worker, lort_error *err)
{
    lort_finding *j = &r->items[item];
    const lort_tensor_plan *planned = &r->plan->tensors[j->job.extent];
    const lort_range range = range_of(r, item);
    const lort_work work = {r->team, worker};
    if (planned->same) /* stored as another tensor */
        return LORT_OK;
    if (!planned->candidate)
        return lort_raw_size(r->decider, work, planned, &range, UINT64_MAX, &j->kept, err);
    return lort_decide_curve(r->decider, planned, j->job.slice, work, &j->curve, err);
}

/* Hashes the weights of a candidate. A curve of other weights counts as not read. LoRT hashes
 * before it measures: if the weights change in between, the next run sees another hash. */
static lort_code hash_job(lort_findings *r, uint64_t item, unsigned worker, lort_error *err)
{
    lort_finding *j = &r->items[item];
    const lort_range range = range_of(r, item);
    const lort_scratch *scratch = &r->decider->session->scratch[worker];
    lort_hasher *hasher;
    if (!r->plan->tensors[j->job.extent].candidate || !r->decider->journal)
        return LORT_OK;
    lort_code code = lort_hasher_open(&r->decider->session->alloc, &hasher, err);
    if (code == LORT_OK)
        code = lort_model_hash(r->decider->model, range.file, range.offset, range.bytes,
                               scratch->bytes, scratch->size, hasher, err);
    const lort_hash128 now = code ? j->source : lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    j->read = j->read && memcmp(now.bytes, j->source.bytes, sizeof now.bytes) == 0;
    j->source = now;
    return code ? code : lort_model_check(r->decider->model, range.file, err);
}

static lort_code read_job(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    lort_findings *r = ctx;
    (void)slot;
    lort_finding *j = &r->items[item];
    lort_code code = lort_session_check_stop(r->decider->session, err);
    if (code || (j->read && !r->touched))
        return code;
    lort_session_work_on(r->decider->session, lort_job_report(r->decider, j->job.extent));
    code = hash_job(r, (uint64_t)item, worker, err);
    if (code == LORT_OK && !j->read)
        code = measure_job(r, (uint64_t)item, worker, err);
    if (code == LORT_OK && !j->read)
        code = note_job(r, (uint64_t)item, err);
    if (code == LORT_OK)
        lort_job_did(r->decider, r->plan, &j->job);
    return code;
}

static lort_code list_jobs(lort_findings *r, lort_error *err)
{
    lort_job *jobs;
    void *memory = NULL;
    lort_code code = lort_jobs_list(r->decider, r->plan, 0, r->plan->count, &jobs, &r->count, err);
    if (code == LORT_OK)
        code = lort_take_zero(&r->decider->session->alloc, r->count * sizeof *r->items,
                              "the list of shares", &memory, err);
    r->items = memory;
    r->first = r->end = 0;
    for (uint64_t i = 0; code == LORT_OK && i < r->count; i++) {
        r->items[i].job = jobs[i];
        r->first += jobs[i].extent < r->plan->first;
        r->end += jobs[i].extent < r->plan->end;
    }
    lort_jobs_give(r->decider, jobs, r->count);
    return code;
}

/* Tells the meter of this reading. Curves of an earlier run cost nothing. */
static void expect_reading(const lort_findings *r)
{
    uint64_t cost = 0, bytes[2] = {0}, tensors[2] = {0};
    lort_meter *meter = &r->decider->session->meter;
    for (uint64_t i = r->first; i < r->end; i++) {
        const lort_job *job = &r->items[i].job;
        const bool before = r->items[i].read && !r->touched;
        cost += before ? 0 : lort_job_cost(r->decider, r->plan, job, LORT_PHASE_MEASURING);
        bytes[before] += range_of(r, i).bytes;
        tensors[before] += job->last && r->plan->tensors[job->extent].tensor;
    }
    lort_meter_expect(meter, LORT_PHASE_MEASURING, cost, bytes[0], tensors[0]);
    lort_meter_before(meter, LORT_PHASE_MEASURING, bytes[1], tensors[1]);
}

static lort_code read_item(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    lort_findings *r = ctx;
    return read_job(r, item + (int64_t)r->first, worker, slot, err);
}

static lort_code read_all(lort_findings *r, lort_error *err)
{
    lort_session *session = r->decider->session;
    const bool full = r->plan->mode == LORT_MODE_FULL && r->first < r->end;
    expect_reading(r);
    lort_code code = full ? lort_jobs_load(r->decider, r->plan, err) : LORT_OK;
    lort_session_enter(session, LORT_PHASE_MEASURING);
    if (code || full)
        return code
                   ? code
                   : lort_pool_each(session->pool, (int64_t)(r->end - r->first), read_item, r, err);
    for (uint64_t i = r->first; i < r->end && code == LORT_OK; i++) {
        if (i + 1 < r->end && (r->touched || !r->items[i + 1].read)) {
            const lort_range next = range_of(r, i + 1);
            lort_model_prefetch(r->decider->model, next.file, next.offset, next.bytes);
        }
        code = read_job(r, (int64_t)i, 0, 0, err);
        const lort_range done = range_of(r, i);
        lort_model_release(r->decider->model, done.file, done.offset, done.bytes);
    }
    return code;
}

/* Takes over the curves of an earlier run. If files were touched since, read_job compares the
 * weights. */
static lort_code take_notes(lort_findings *r, lort_error *err)
{
    r->touched = lort_journal_get_state(r->decider->journal) == LORT_JOURNAL_TOUCHED;
    return lort_journal_each(r->decider->journal, LORT_NOTE_CURVE, lort_finding_take, r, err);
}

lort_code lort_findings_open(const lort_decider *decider, lort_work_plan *plan, lort_findings *out,
                             lort_error *err)
{
    *out = (lort_findings){
        .decider = decider, .plan = plan, .team = plan->team ? decider->session->pool : NULL};
    return list_jobs(out, err);
}

lort_code lort_findings_read(lort_findings *r, lort_error *err)
{
    lort_code code = take_notes(r, err);
    return code ? code : read_all(r, err);
}

lort_code lort_findings_check(lort_findings *r, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = r->first; i < r->end && code == LORT_OK; i++) {
        code = lort_session_check_stop(r->decider->session, err);
        if (code == LORT_OK)
            code = hash_job(r, i, 0, err);
        if (code == LORT_OK && !r->items[i].read) {
            code = lort_fail(err, LORT_E_READ,
                             "it changed since its curve was measured: run all tasks again, first "
                             "with --measure");
            lort_job_name_error(r->plan, r->items[i].job.extent, err);
        }
    }
    return code;
}

void lort_findings_close(lort_findings *r)
{
    lort_give(&r->decider->session->alloc, r->items, r->count * sizeof *r->items);
    *r = (lort_findings){0};
}
