/* measure: see measure.h. The error of a type is measured by encoding and decoding, as for the
 * output. An item of work is one piece in one type. Pieces of a container are decoded once, so
 * there an item is one piece in all types. */
#include "compress/quantize/measure.h"
#include "compress/quantize/pieces.h"
#include "formats/base/bytes.h"
#include "formats/container/part.h"
#include <math.h>
#include <string.h>

#define SAMPLE_LEAST 4 /* pieces */

lort_type_list lort_candidates(const lort_type_list *wanted, const lort_target_tensor *t)
{
    const uint64_t row = (uint64_t)t->shape.cols;
    const lort_dtype_info *own = t->entry.tensor->type;
    lort_type_list list = {.types = {own}, .count = own->in_gguf && own->decode ? 1 : 0};
    for (uint32_t i = 0; i < wanted->count && list.count < LORT_TYPES_MOST; i++) {
        const lort_dtype_info *fit = lort_fit_type(wanted->types[i], row);
        bool known = false;
        for (uint32_t k = 0; k < list.count; k++)
            known |= list.types[k]->id == fit->id;
        if (!known)
            list.types[list.count++] = fit;
    }
    return list;
}

/* ---- the sample ---- */

typedef struct type_sums {
    lort_error_sums sums[LORT_TYPES_MOST];
} type_sums;

typedef struct sampling {
    lort_quantizer *q;
    lort_target_tensor *t;
    lort_type_list types;
    uint64_t run, first, total, wanted; /* pieces of the tensor; first: of this run */
    uint64_t begin;                     /* number of the first sampled piece of this run */
    uint32_t split;                     /* items of a piece: its types, or 1 */
    type_sums *slots;                   /* [window] */
    type_sums all;
} sampling;

static uint64_t sampled(uint64_t total)
{
    const uint64_t share = (total + LORT_SAMPLE_ONE_IN - 1) / LORT_SAMPLE_ONE_IN;
    return total < SAMPLE_LEAST ? total : share < SAMPLE_LEAST ? SAMPLE_LEAST : share;
}

/* Piece number k of the sample: they are evenly spaced. */
static uint64_t piece_of(const sampling *s, uint64_t k) { return k * s->total / s->wanted; }

static bool is_exact(const sampling *s, uint32_t type)
{
    return s->types.types[type]->id == s->t->entry.tensor->type->id;
}

static lort_code measure_item(void *ctx, int64_t item, unsigned worker, unsigned slot,
                              lort_error *err)
{
    sampling *s = ctx;
    lort_quantizer *q = s->q;
    const uint64_t piece = piece_of(s, s->begin + (uint64_t)item / s->split) - s->first;
    const lort_stretch stretch = lort_run_piece(&s->t->entry, s->run, piece);
    const uint32_t only = (uint32_t)((uint64_t)item % s->split);
    lort_code code = lort_session_check_stop(lort_session_of(q), err);
    if (code == LORT_OK)
        code = lort_run_read(q, s->t, stretch, worker, err);
    if (code)
        return code;
    const lort_quantize_worker *w = &q->workers[worker];
    if (lort_find_nonfinite(w->values, stretch.count) < stretch.count)
        return lort_fail(err, LORT_E_NUMERIC, "NaN or Inf");
    s->slots[slot] = (type_sums){0};
    for (uint32_t i = s->split > 1 ? only : 0; i < s->types.count; i++) {
        if (!is_exact(s, i))
            lort_stretch_encode(w, s->t, s->types.types[i], stretch, NULL, &s->slots[slot].sums[i]);
        if (s->split > 1)
            break;
    }
    lort_session_tick(lort_session_of(q), stretch.count * (s->split > 1 ? 1 : s->types.count));
    return LORT_OK;
}

static lort_code add_item(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    sampling *s = ctx;
    (void)item, (void)err;
    for (uint32_t i = 0; i < s->types.count; i++)
        lort_sums_add(&s->all.sums[i], &s->slots[slot].sums[i]);
    return LORT_OK;
}

static lort_code sample_run(sampling *s, lort_error *err)
{
    lort_quantizer *q = s->q;
    const uint64_t end = s->first + lort_run_pieces(&s->t->entry);
    uint64_t last = s->begin;
    while (last < s->wanted && piece_of(s, last) < end)
        last++;
    if (last == s->begin)
        return LORT_OK;
    lort_code code = lort_run_open(q, s->t, s->run, err);
    if (code == LORT_OK)
        code = lort_pool_run(lort_session_of(q)->pool, (int64_t)((last - s->begin) * s->split),
                             q->window, measure_item, add_item, s, err);
    lort_run_close(q);
    s->begin = last;
    return code;
}

/* The relative error squared of a type. With importance it is the plain error times the weighted
 * error: the divergence goes with neither, but with the mean of both (docs/NUMERICS.md). */
static double error_of(const sampling *s, uint32_t type)
{
    const lort_error_sums *sums = &s->all.sums[type];
    const double plain = sums->x2 > 0 ? sums->e2 / sums->x2 : 0;
    if (is_exact(s, type))
        return 0;
    return s->t->importance && sums->wx2 > 0 ? sqrt(plain * sums->we2 / sums->wx2) : plain;
}

static lort_code sample_tensor(sampling *s, lort_error *err)
{
    const uint64_t runs = lort_source_runs(&s->t->entry), pieces = lort_run_pieces(&s->t->entry);
    lort_code code = LORT_OK;
    s->total = runs * pieces;
    s->wanted = sampled(s->total);
    for (s->run = 0; s->run < runs && code == LORT_OK; s->run++, s->first += pieces)
        code = sample_run(s, err);
    if (code == LORT_E_NUMERIC && (!s->t->entry.part || lort_part_is_raw(s->t->entry.part))) {
        s->t->not_finite = true;
        return LORT_OK;
    }
    for (uint32_t i = 0; i < s->types.count && code == LORT_OK; i++)
        s->t->errors[i] = error_of(s, i);
    return code;
}

/* ---- notes ---- */

static lort_code note_errors(const sampling *s, lort_error *err)
{
    lort_buffer body = {.alloc = &lort_session_of(s->q)->alloc};
    if (!s->q->journal || s->t->not_finite)
        return LORT_OK;
    for (uint32_t i = 0; i < s->types.count; i++) {
        uint64_t bits;
        memcpy(&bits, &s->t->errors[i], sizeof bits);
        lort_put_u64(&body, bits);
    }
    const lort_code code = lort_journal_note(s->q->journal, LORT_NOTE_CURVE,
                                             (uint64_t)(s->t - s->q->tensors), &body, err);
    lort_buffer_free(&body);
    return code;
}

/* The journal is a file that anybody may have changed. LoRT ignores errors that no measuring can
 * give. */
static lort_code take_errors(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                             lort_error *err)
{
    lort_quantizer *q = ctx;
    (void)err;
    if (number >= q->count || bytes % 8 || bytes > 8 * LORT_TYPES_MOST)
        return LORT_OK;
    lort_target_tensor *t = &q->tensors[number];
    t->measured = (uint32_t)(bytes / 8);
    for (uint32_t i = 0; i < t->measured; i++) {
        const uint64_t bits = lort_load_u64(body + 8 * i);
        memcpy(&t->errors[i], &bits, sizeof bits);
        if (!(t->errors[i] >= 0 && t->errors[i] < HUGE_VAL))
            t->measured = 0;
    }
    return LORT_OK;
}

/* ---- all tensors ---- */

static bool is_open(const lort_target_tensor *t) { return !t->fixed && !t->not_finite; }

static uint64_t cost_of(const lort_target_tensor *t, uint32_t types)
{
    const uint64_t total = lort_source_runs(&t->entry) * lort_run_pieces(&t->entry);
    return total ? t->entry.tensor->elements / total * sampled(total) * types : 0;
}

static void expect(lort_quantizer *q, const lort_type_list *wanted)
{
    uint64_t cost = 0, bytes = 0, tensors = 0;
    for (uint64_t i = 0; i < q->count; i++) {
        const lort_target_tensor *t = &q->tensors[i];
        if (!is_open(t) || t->measured)
            continue;
        cost += cost_of(t, lort_candidates(wanted, t).count);
        bytes += t->entry.tensor->bytes;
        tensors++;
    }
    lort_meter_expect(&lort_session_of(q)->meter, LORT_PHASE_MEASURING, cost, bytes, tensors);
}

static lort_code measure_tensor(lort_quantizer *q, const lort_type_list *wanted,
                                lort_target_tensor *t, type_sums *slots, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    sampling s = {.q = q, .t = t, .types = lort_candidates(wanted, t), .slots = slots};
    if (t->measured == s.types.count)
        return LORT_OK;
    s.split = t->entry.part ? 1 : s.types.count;
    lort_session_work_on(session, &session->report->tensors[t - q->tensors]);
    lort_code code = sample_tensor(&s, err);
    if (code == LORT_OK)
        code = note_errors(&s, err);
    t->measured = code ? 0 : s.types.count;
    lort_entry_release(&t->entry);
    lort_session_did(session, cost_of(t, s.types.count), t->entry.tensor->bytes, 1);
    return code;
}

lort_code lort_measure(lort_quantizer *q, const lort_type_list *wanted, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    void *slots;
    lort_code code = LORT_OK;
    /* Of other weights the errors may be others. */
    if (lort_journal_get_state(q->journal) == LORT_JOURNAL_SAME)
        code = lort_journal_each(q->journal, LORT_NOTE_CURVE, take_errors, q, err);
    if (code == LORT_OK)
        code = lort_take(&session->alloc, q->window * sizeof(type_sums), "sums", &slots, err);
    if (code)
        return code;
    expect(q, wanted);
    lort_session_enter(session, LORT_PHASE_MEASURING);
    for (uint64_t i = 0; i < q->count && code == LORT_OK; i++)
        if (is_open(&q->tensors[i]))
            code = measure_tensor(q, wanted, &q->tensors[i], slots, err);
    lort_give(&session->alloc, slots, q->window * sizeof(type_sums));
    return code;
}
