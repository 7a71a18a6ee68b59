/* shares: one error for all slices, in 64ths of an octave.
 *
 *   error(p)      2^(-1 - p / 64)                          p: the place, common to all slices
 *   own(s, p)     p + 8 lort_goal_place(s), within 0 ... FINEST
 *   bytes(s, p)   weights bits(own) / 8 + codes + record of factors, at most the lossless size
 *   room          target - kept bytes - records - reserve
 *   p             the largest place with   sum over s of bytes(s, p) <= room
 *   share(s)      bytes(s, p) * room / sum, at most the lossless size
 *
 * bits() is the curve of the slice: a line between two measured points. The error falls as p
 * rises. */
#include "compress/write/shares.h"
#include "compress/goal/goal.h"
#include "compress/goal/kinds.h"
#include "compress/plan/estimate.h"
#include "compress/slice/chunk.h"
#include "compress/slice/decide.h"
#include "compress/write/jobs.h"
#include "compress/write/journal.h"
#include "compress/write/start.h"
#include "formats/base/bytes.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FINE 64                                 /* places in an octave of error */
#define FINEST (FINE * (LORT_CURVE_POINTS - 1)) /* the last point of the curves */
/* At the place FIRST all kinds are at point 0, at the place LAST all are at the last point. */
#define FIRST (-4 * FINE)
#define LAST (FINEST + 4 * FINE)
#define FINE_DOWN 0.98922801319397548 /* 2^(-1/64) */
/* Components need not be of equal size: a share has so much of one component to spare. */
#define SPARE 0.04
#define INDEX_BYTES 140 /* bytes of the index, about */
#define ENTRY_BYTES 5   /* bytes of the index for each extent, about */

/* The figures of one job. */
typedef struct finding {
    lort_job job;
    bool read;           /* taken from the journal */
    lort_hash128 source; /* of a candidate: of the bytes that the curve is of */
    lort_curve curve;
    uint64_t kept; /* bytes of a job that is no candidate */
} finding;

typedef struct reading {
    const lort_decider *decider;
    lort_work_plan *plan;
    lort_pool *team;
    finding *findings; /* [count] */
    uint64_t count;
    bool touched; /* curves of the journal may be of other weights */
} reading;

/* ---- notes of the journal ---- */

#define CURVE_BYTES (sizeof(lort_hash128) + 8 * (5 + 2 * LORT_CURVE_POINTS) + LORT_CURVE_POINTS)

static lort_code note_job(const reading *r, uint64_t number, lort_error *err)
{
    const finding *j = &r->findings[number];
    const uint64_t whole[] = {j->kept, j->curve.raw, j->curve.weights, j->curve.codes,
                              j->curve.lossless};
    lort_buffer body = {.alloc = &r->decider->session->alloc};
    lort_put_bytes(&body, j->source.bytes, sizeof j->source.bytes);
    for (unsigned i = 0; i < sizeof whole / sizeof *whole; i++)
        lort_put_u64(&body, whole[i]);
    lort_put_bytes(&body, j->curve.bits, sizeof j->curve.bits);
    lort_put_bytes(&body, j->curve.rank_bytes, sizeof j->curve.rank_bytes);
    for (unsigned i = 0; i < LORT_CURVE_POINTS; i++)
        lort_put_u8(&body, j->curve.only[i]);
    lort_code code = lort_journal_note(r->decider->journal, LORT_NOTE_CURVE, number, &body, err);
    lort_buffer_free(&body);
    return code;
}

#define NOTED_MOST 1e18                  /* bytes */
#define RESERVE_MOST (UINT64_C(1) << 32) /* bytes; above every reserve that an attempt needs */

/* True if these can be the bytes of a component. only: there is nothing but components. */
static bool can_be_component(double bytes, bool only)
{
    return bytes == 0 ? !only : bytes >= 1 && bytes <= NOTED_MOST;
}

/* The journal is a file that anybody may have changed. LoRT ignores figures that no reading can
 * give. */
static bool is_sound(const reading *r, const finding *j)
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

static lort_code take_note(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                           lort_error *err)
{
    reading *r = ctx;
    uint64_t whole[5];
    (void)err;
    if (number >= r->count || bytes != CURVE_BYTES)
        return LORT_OK;
    finding *j = &r->findings[number];
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
        j->curve.only[i] = body[CURVE_BYTES - sizeof j->source - LORT_CURVE_POINTS + i];
    j->read = is_sound(r, j);
    if (!j->read) {
        j->curve = (lort_curve){0};
        j->kept = 0;
    }
    return LORT_OK;
}

/* Takes over the curves of an earlier run. If files were touched since, read_job compares the
 * weights. */
static lort_code take_notes(reading *r, lort_error *err)
{
    r->touched = lort_journal_get_state(r->decider->journal) == LORT_JOURNAL_TOUCHED;
    return lort_journal_each(r->decider->journal, LORT_NOTE_CURVE, take_note, r, err);
}

/* Takes over the reserve: the number of a SHARES note. An earlier run may have missed the size
 * without it. */
static lort_code take_reserve(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                              lort_error *err)
{
    reading *r = ctx;
    (void)body;
    (void)bytes;
    (void)err;
    r->plan->reserve = number < RESERVE_MOST ? number : r->plan->reserve;
    return LORT_OK;
}

typedef struct shares_found {
    lort_hash128 now;
    bool any; /* an earlier run noted its shares */
} shares_found;

static lort_code check_shares(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                              lort_error *err)
{
    shares_found *found = ctx;
    (void)number;
    found->any = true;
    if (bytes == sizeof found->now && memcmp(body, found->now.bytes, bytes) == 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_READ,
                     "the input changed since the unfinished output was begun: its tensors have "
                     "other shares of the size now; restore the input, or leave --resume out to "
                     "start again");
}

/* Notes the hash of the shares. Finished tensors were made within their shares, so an earlier run's
 * hash must be equal. */
static lort_code note_shares(const reading *r, lort_error *err)
{
    lort_journal *journal = r->decider->journal;
    shares_found found = {
        .now = lort_xxh128(r->plan->shares, r->plan->share_count * sizeof *r->plan->shares)};
    lort_buffer body = {.alloc = &r->decider->session->alloc};
    lort_code code = lort_journal_each(journal, LORT_NOTE_SHARES, check_shares, &found, err);
    if (code == LORT_E_READ && !r->decider->options->resume)
        code = lort_journal_drop(journal, "the tensors have other shares of the size now", err);
    else if (code == LORT_E_READ)
        lort_journal_revert(journal);
    else if (code == LORT_OK && r->touched && !found.any && lort_journal_has_work(journal))
        code = lort_journal_drop(
            journal, "the journal does not tell the shares of the finished tensors", err);
    lort_put_bytes(&body, found.now.bytes, sizeof found.now.bytes);
    if (code == LORT_OK)
        code = lort_journal_note(journal, LORT_NOTE_SHARES, r->plan->reserve, &body, err);
    lort_buffer_free(&body);
    return code;
}

/* ---- the first reading ---- */

static lort_range range_of(const reading *r, uint64_t i)
{
    return lort_job_range(r->decider, r->plan, &r->findings[i].job);
}

static lort_code measure_job(reading *r, uint64_t item, unsigned worker, lort_error *err)
{
    finding *j = &r->findings[item];
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
static lort_code hash_job(reading *r, uint64_t item, unsigned worker, lort_error *err)
{
    finding *j = &r->findings[item];
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
    reading *r = ctx;
    (void)slot;
    finding *j = &r->findings[item];
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

static lort_code list_findings(reading *r, lort_error *err)
{
    lort_job *jobs;
    void *memory = NULL;
    lort_code code = lort_jobs_list(r->decider, r->plan, 0, &jobs, &r->count, err);
    if (code == LORT_OK)
        code = lort_take_zero(&r->decider->session->alloc, r->count * sizeof *r->findings,
                              "the list of shares", &memory, err);
    r->findings = memory;
    for (uint64_t i = 0; code == LORT_OK && i < r->count; i++)
        r->findings[i].job = jobs[i];
    lort_jobs_give(r->decider, jobs, r->count);
    return code;
}

/* Tells the meter of this reading. Curves of an earlier run cost nothing. */
static void expect_reading(const reading *r)
{
    uint64_t cost = 0, bytes[2] = {0}, tensors[2] = {0};
    lort_meter *meter = &r->decider->session->meter;
    for (uint64_t i = 0; i < r->count; i++) {
        const lort_job *job = &r->findings[i].job;
        const bool before = r->findings[i].read && !r->touched;
        cost += before ? 0 : lort_job_cost(r->decider, r->plan, job, LORT_PHASE_MEASURING);
        bytes[before] += range_of(r, i).bytes;
        tensors[before] += job->last && r->plan->tensors[job->extent].tensor;
    }
    lort_meter_expect(meter, LORT_PHASE_MEASURING, cost, bytes[0], tensors[0]);
    lort_meter_before(meter, LORT_PHASE_MEASURING, bytes[1], tensors[1]);
}

static lort_code read_all(reading *r, lort_error *err)
{
    lort_session *session = r->decider->session;
    const bool full = r->plan->mode == LORT_MODE_FULL;
    expect_reading(r);
    lort_code code = full ? lort_jobs_load(r->decider, err) : LORT_OK;
    lort_session_enter(session, LORT_PHASE_MEASURING);
    if (code || full)
        return code ? code : lort_pool_each(session->pool, (int64_t)r->count, read_job, r, err);
    for (uint64_t i = 0; i < r->count && code == LORT_OK; i++) {
        if (i + 1 < r->count && (r->touched || !r->findings[i + 1].read)) {
            const lort_range next = range_of(r, i + 1);
            lort_model_prefetch(r->decider->model, next.file, next.offset, next.bytes);
        }
        code = read_job(r, (int64_t)i, 0, 0, err);
        const lort_range done = range_of(r, i);
        lort_model_release(r->decider->model, done.file, done.offset, done.bytes);
    }
    return code;
}

/* ---- one error for all ---- */

/* The own place of a slice for a common place. */
static int place_of(const reading *r, const finding *j, int place)
{
    place += FINE / LORT_KIND_FINE *
             lort_goal_place(r->decider->options, &r->plan->tensors[j->job.extent].kind);
    return place < 0 ? 0 : place < FINEST ? place : FINEST;
}

/* Bytes that the record needs for factors at this place. */
static double record_of_factors(const lort_curve *curve, int place)
{
    const int point = place / FINE;
    return curve->rank_bytes[point] > 0 || (place % FINE && curve->rank_bytes[point + 1] > 0)
               ? LORT_FACTORS_RECORD
               : 0;
}

/* Bytes of a slice at the error 2^(-1 - place / FINE), at most the lossless size. */
static double bytes_at(const lort_curve *curve, int place)
{
    const int whole = place / FINE, rest = place % FINE;
    double bits = curve->bits[whole];
    if (rest)
        bits += (curve->bits[whole + 1] - bits) * rest / FINE;
    const double bytes =
        bits * (double)curve->weights / 8 + (double)curve->codes + record_of_factors(curve, place);
    return curve->raw || bytes > (double)curve->lossless ? (double)curve->lossless : bytes;
}

static double sum_at(const reading *r, int place)
{
    double sum = 0;
    for (uint64_t i = 0; i < r->count; i++)
        if (r->plan->tensors[r->findings[i].job.extent].candidate)
            sum += bytes_at(&r->findings[i].curve, place_of(r, &r->findings[i], place));
    return sum;
}

/* Estimates the bytes of a record a little from above. The figures are from experience: names and
 * shapes compress, hashes and sizes of chunks do not. */
static double record_bytes(const reading *r, uint64_t extent)
{
    const lort_tensor_plan *planned = &r->plan->tensors[extent];
    uint64_t count;
    const double raw =
        1 + (double)lort_model_extents(r->decider->model, &count)[extent].bytes / LORT_CHUNK_TARGET;
    if (!planned->tensor)
        return 130 + 18 * raw;
    if (planned->same)
        return 140 + 0.8 * planned->tensor->name_bytes;
    if (!planned->candidate)
        return 158 + 0.8 * planned->tensor->name_bytes + 18 * raw;
    const lort_block_grid grid = lort_block_grid_of(planned->shape.rows, planned->shape.cols);
    const double blocks = 1 + (double)(grid.down * grid.across),
                 slices = (double)planned->shape.slices;
    return 158 + 1.2 * planned->tensor->name_bytes +
           slices * (18 * (blocks > raw / slices ? blocks : raw / slices) + 12) - 12;
}

typedef struct fixed_bytes {
    double tensors, others, elements;
} fixed_bytes;

/* Sums the bytes of kept parts and of records. `tensors` has those that count in bits per weight.
 * frames: bytes of HEAD, MODEL and footer. */
static fixed_bytes sum_fixed(const reading *r, uint64_t frames)
{
    fixed_bytes f = {.others = INDEX_BYTES + (double)frames};
    for (uint64_t i = 0; i < r->count; i++) {
        const lort_tensor_plan *planned = &r->plan->tensors[r->findings[i].job.extent];
        *(lort_tensor_plan_counts(planned) ? &f.tensors : &f.others) += (double)r->findings[i].kept;
    }
    for (uint64_t i = 0; i < r->plan->count; i++) {
        const lort_tensor_plan *planned = &r->plan->tensors[i];
        const bool counts = lort_tensor_plan_counts(planned);
        *(counts ? &f.tensors : &f.others) += record_bytes(r, i);
        f.others += ENTRY_BYTES;
        f.elements += counts ? (double)planned->tensor->elements : 0;
    }
    return f;
}

/* The bytes that all tensors may have, records included. */
static double target_bytes(const reading *r, const fixed_bytes *fixed)
{
    const lort_options *options = r->decider->options;
    if (options->goal == LORT_GOAL_BPW)
        return options->value * fixed->elements / 8;
    const double size = lort_plan_size(options, r->decider->model);
    r->plan->size_limit = (uint64_t)size;
    return size - fixed->others;
}

#define NAMED_TRIES 8 /* for a size whose own digits change the size; the second always did */

/* The least size that would be accepted. The MODEL record names the target, so its bytes depend on
 * the digits of the size. rest: all bytes but those of HEAD, MODEL and footer. */
static lort_code least_size(const reading *r, double rest, uint64_t *size, lort_error *err)
{
    lort_options options = *r->decider->options;
    lort_decider decider = *r->decider;
    decider.options = &options;
    options.size_bytes = *size = (uint64_t)ceil(rest);
    for (int i = 0; i < NAMED_TRIES; i++) {
        uint64_t frames;
        lort_code code = lort_start_frame_bytes(&decider, r->plan, &frames, err);
        if (code)
            return code;
        if (rest + (double)frames <= (double)*size)
            return LORT_OK;
        options.size_bytes = *size = (uint64_t)ceil(rest + (double)frames);
    }
    return LORT_OK;
}

/* The least number of four digits that is not below the value. */
static double four_digits_up(double value)
{
    const double unit = value > 0 ? pow(10, floor(log10(value)) - 3) : 1;
    return ceil(value / unit) * unit;
}

/* Records are estimated. The named target has so much room that a further attempt, which leaves
 * unused what the first one missed, finds room as well. */
#define NAMED_SPARE 32      /* bytes */
#define NAMED_SPARE_EACH 16 /* bytes for each extent; a model of 25 tensors needed 9 */

/* Names the least target that is accepted. least: bytes of the candidates and of what the shares
 * leave unused. */
static lort_code refuse_size(const reading *r, const fixed_bytes *fixed, uint64_t frames,
                             double least, lort_error *err)
{
    char more[160] = "";
    uint64_t size;
    least += NAMED_SPARE + NAMED_SPARE_EACH * (double)r->plan->count;
    if (r->plan->quantised)
        snprintf(more, sizeof more,
                 "; already quantised: %llu of the tensors; start from the F16 original, or "
                 "--include NAME",
                 (unsigned long long)r->plan->quantised);
    if (r->decider->options->goal == LORT_GOAL_BPW)
        return lort_fail(err, LORT_E_NUMERIC,
                         "%.4g bits per weight cannot be reached: the smallest is %.4g%s",
                         r->decider->options->value,
                         four_digits_up(8 * (least + fixed->tensors) / fixed->elements), more);
    const lort_code code =
        least_size(r, least + fixed->tensors + fixed->others - (double)frames, &size, err);
    return code
               ? code
               : lort_fail(err, LORT_E_NUMERIC,
                           "%llu bytes cannot be reached: the smallest size is %llu%s",
                           (unsigned long long)r->plan->size_limit, (unsigned long long)size, more);
}

static double error_at(int place)
{
    double error = 0.5;
    for (int i = 0; i < place; i++)
        error *= FINE_DOWN;
    return error;
}

/* The share of a slice. Where components alone meet the error, a share is of whole components. The
 * rest of the bytes goes to the next slice. */
static lort_share share_of(const reading *r, const finding *j, int place, double scale,
                           double *rest)
{
    const lort_curve *curve = &j->curve;
    const int own = place_of(r, j, place);
    const double each = curve->rank_bytes[own / FINE], record = record_of_factors(curve, own);
    double bytes = scale * bytes_at(curve, own) + *rest;
    *rest = 0;
    if (!curve->raw && curve->only[own / FINE] && bytes - record >= (1 + SPARE) * each) {
        const double whole =
            record + each * (SPARE + (double)(int64_t)((bytes - record) / each - SPARE));
        *rest = bytes - whole;
        bytes = whole;
    }
    return (lort_share){
        error_at(own),
        (uint64_t)(bytes < (double)curve->lossless ? bytes : (double)curve->lossless)};
}

static lort_code give_shares(const reading *r, int place, double scale, lort_error *err)
{
    lort_work_plan *plan = r->plan;
    void *memory;
    lort_code code = lort_take_zero(&r->decider->session->alloc, r->count * sizeof *plan->shares,
                                    "shares", &memory, err);
    if (code)
        return code;
    plan->shares = memory;
    plan->share_count = r->count;
    double rest = 0;
    for (uint64_t i = 0; i < r->count; i++) {
        lort_tensor_plan *planned = &plan->tensors[r->findings[i].job.extent];
        if (!planned->candidate)
            continue;
        if (r->findings[i].job.slice == 0)
            planned->shares = &plan->shares[i];
        plan->shares[i] = share_of(r, &r->findings[i], place, scale, &rest);
    }
    return LORT_OK;
}

static lort_code share_out(const reading *r, lort_error *err)
{
    uint64_t frames;
    lort_code code = lort_start_frame_bytes(r->decider, r->plan, &frames, err);
    if (code)
        return code;
    const fixed_bytes fixed = sum_fixed(r, frames);
    const double target = target_bytes(r, &fixed),
                 room = target - fixed.tensors - (double)r->plan->reserve;
    if (sum_at(r, FIRST) > room)
        return refuse_size(r, &fixed, frames, sum_at(r, FIRST) + (double)r->plan->reserve, err);
    int low = FIRST, high = LAST; /* the error falls as the place rises */
    while (low < high) {
        const int middle = low + (high - low + 1) / 2;
        if (sum_at(r, middle) <= room)
            low = middle;
        else
            high = middle - 1;
    }
    return give_shares(r, low, room / sum_at(r, low), err);
}

lort_code lort_shares_give(const lort_decider *decider, lort_work_plan *plan, lort_error *err)
{
    reading r = {
        .decider = decider, .plan = plan, .team = plan->team ? decider->session->pool : NULL};
    lort_code code = list_findings(&r, err);
    if (code == LORT_OK)
        code = take_notes(&r, err);
    if (code == LORT_OK)
        code = lort_journal_each(decider->journal, LORT_NOTE_SHARES, take_reserve, &r, err);
    if (code == LORT_OK)
        code = read_all(&r, err);
    if (code == LORT_OK)
        code = share_out(&r, err);
    if (code == LORT_OK)
        code = note_shares(&r, err);
    lort_give(&decider->session->alloc, r.findings, r.count * sizeof *r.findings);
    return code;
}
