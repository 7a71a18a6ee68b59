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
#include "compress/task/curves.h"
#include "compress/write/findings.h"
#include "compress/write/journal.h"
#include "compress/write/start.h"
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

#define RESERVE_MOST (UINT64_C(1) << 32) /* bytes; above every reserve that an attempt needs */

/* ---- notes of the journal ---- */

/* Takes over the reserve: the number of a SHARES note. An earlier run may have missed the size
 * without it. */
static lort_code take_reserve(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                              lort_error *err)
{
    lort_findings *r = ctx;
    (void)body;
    (void)bytes;
    (void)err;
    r->plan->reserve = number < RESERVE_MOST ? number : r->plan->reserve;
    return LORT_OK;
}

lort_hash128 lort_shares_hash(const lort_work_plan *plan)
{
    return lort_xxh128(plan->shares, plan->share_count * sizeof *plan->shares);
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
static lort_code note_shares(const lort_findings *r, lort_error *err)
{
    lort_journal *journal = r->decider->journal;
    shares_found found = {.now = lort_shares_hash(r->plan)};
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

/* ---- one error for all ---- */

/* The own place of a slice for a common place. */
static int place_of(const lort_findings *r, const lort_finding *j, int place)
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

static double sum_at(const lort_findings *r, int place)
{
    double sum = 0;
    for (uint64_t i = 0; i < r->count; i++)
        if (r->plan->tensors[r->items[i].job.extent].candidate)
            sum += bytes_at(&r->items[i].curve, place_of(r, &r->items[i], place));
    return sum;
}

/* Estimates the bytes of a record a little from above. The figures are from experience: names and
 * shapes compress, hashes and sizes of chunks do not. */
static double record_bytes(const lort_findings *r, uint64_t extent)
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
static fixed_bytes sum_fixed(const lort_findings *r, uint64_t frames)
{
    fixed_bytes f = {.others = INDEX_BYTES + (double)frames};
    for (uint64_t i = 0; i < r->count; i++) {
        const lort_tensor_plan *planned = &r->plan->tensors[r->items[i].job.extent];
        *(lort_tensor_plan_counts(planned) ? &f.tensors : &f.others) += (double)r->items[i].kept;
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
static double target_bytes(const lort_findings *r, const fixed_bytes *fixed)
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
static lort_code least_size(const lort_findings *r, double rest, uint64_t *size, lort_error *err)
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
static lort_code refuse_size(const lort_findings *r, const fixed_bytes *fixed, uint64_t frames,
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
static lort_share share_of(const lort_findings *r, const lort_finding *j, int place, double scale,
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

static lort_code give_shares(const lort_findings *r, int place, double scale, lort_error *err)
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
        lort_tensor_plan *planned = &plan->tensors[r->items[i].job.extent];
        if (!planned->candidate)
            continue;
        if (r->items[i].job.slice == 0)
            planned->shares = &plan->shares[i];
        plan->shares[i] = share_of(r, &r->items[i], place, scale, &rest);
    }
    return LORT_OK;
}

static lort_code share_out(const lort_findings *r, lort_error *err)
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

/* One process measures all, and goes on with the reserve of an earlier run. */
static lort_code find_all(lort_findings *r, lort_error *err)
{
    lort_code code = lort_journal_each(r->decider->journal, LORT_NOTE_SHARES, take_reserve, r, err);
    return code ? code : lort_findings_read(r, err);
}

/* A task takes the curves of all tasks. The hashes of its own run tell whether the weights changed
 * since; they cost a reading, and count where times or identities of files differ. */
static lort_code find_in_files(lort_findings *r, lort_error *err)
{
    const lort_decider *decider = r->decider;
    bool touched = lort_journal_get_state(decider->journal) == LORT_JOURNAL_TOUCHED;
    const lort_curves_from from = {.output = decider->output,
                                   .task = r->plan->task,
                                   .tasks = r->plan->tasks,
                                   .key = lort_journal_get_key(decider->journal),
                                   .alloc = &decider->session->alloc,
                                   .codec = decider->session->scratch[0].codec};
    lort_code code = lort_curves_read(&from, lort_finding_take, r, &touched, err);
    for (uint64_t i = 0; i < r->count && code == LORT_OK; i++)
        if (!r->items[i].read)
            code = lort_fail(err, LORT_E_DAMAGED,
                             "the curve files of %s lack the curve of job %llu, or have a wrong "
                             "one: run all tasks again with --measure",
                             decider->output, (unsigned long long)i);
    return code || !touched ? code : lort_findings_check(r, err);
}

lort_code lort_shares_give(const lort_decider *decider, lort_work_plan *plan, lort_error *err)
{
    lort_findings r;
    lort_code code = lort_findings_open(decider, plan, &r, err);
    if (code == LORT_OK)
        code = plan->tasks ? find_in_files(&r, err) : find_all(&r, err);
    r.touched = lort_journal_get_state(decider->journal) == LORT_JOURNAL_TOUCHED;
    if (code == LORT_OK)
        code = share_out(&r, err);
    if (code == LORT_OK)
        code = note_shares(&r, err);
    lort_findings_close(&r);
    return code;
}

lort_code lort_shares_measure(const lort_decider *decider, lort_work_plan *plan,
                              lort_buffer *curves, uint64_t *first, uint64_t *count,
                              lort_error *err)
{
    lort_findings r;
    lort_code code = lort_findings_open(decider, plan, &r, err);
    if (code == LORT_OK)
        code = lort_findings_read(&r, err);
    for (uint64_t i = r.first; i < r.end && code == LORT_OK; i++)
        lort_finding_put(&r.items[i], curves);
    *first = r.first;
    *count = r.end - r.first;
    lort_findings_close(&r);
    return code ? code : lort_buffer_check(curves, err);
}
