/* pieces: see pieces.h. Workers read, encode and measure pieces. The thread of the caller appends
 * them in order, each with a note in the journal.
 *
 *   worker   values f32 -> 4096 at a time: encode -> slot, decode, sums of errors
 *   commit   slot -> output; note: number, hashes, sums
 */
#include "compress/quantize/pieces.h"
#include "compress/quantize/notes.h"
#include "formats/container/part.h"
#include "formats/types/encode.h"
#include "formats/types/vectors.h"
#include <math.h>
#include <string.h>

enum { LANES = 8 };

/* Adds n errors in lanes, whose sums do not depend on the processor. w: NULL: all weights are 1. */
LORT_INLINE void add_errors(const float *restrict x, const float *restrict y,
                            const float *restrict w, uint64_t n, double *restrict x2,
                            double *restrict e2)
{
    for (uint64_t i = 0; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            const double weight = w ? (double)w[i + l] : 1, value = (double)x[i + l],
                         error = value - (double)y[i + l];
            x2[l] += weight * value * value;
            e2[l] += weight * error * error;
        }
    for (uint64_t i = n / LANES * LANES; i < n; i++) {
        const double weight = w ? (double)w[i] : 1, value = (double)x[i],
                     error = value - (double)y[i];
        x2[0] += weight * value * value;
        e2[0] += weight * error * error;
    }
}

static LORT_VECTORS(add_plain, (const float *x, const float *y, uint64_t n, double *x2, double *e2),
                    (x, y, n, x2, e2))
{
    add_errors(x, y, NULL, n, x2, e2);
}

static LORT_VECTORS(add_weighed,
                    (const float *x, const float *y, const float *w, uint64_t n, double *x2,
                     double *e2),
                    (x, y, w, n, x2, e2))
{
    add_errors(x, y, w, n, x2, e2);
}

static double sum_of(const double *lanes)
{
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* weights: NULL: all 1. */
static void measure_errors(const float *x, const float *y, const float *weights, uint64_t n,
                           double *x2, double *e2)
{
    double x_lanes[LANES] = {0}, e_lanes[LANES] = {0};
    if (weights)
        add_weighed(x, y, weights, n, x_lanes, e_lanes);
    else
        add_plain(x, y, n, x_lanes, e_lanes);
    *x2 += sum_of(x_lanes);
    *e2 += sum_of(e_lanes);
}

static void encode_values(const lort_dtype_info *type, const float *x, const float *importance,
                          uint64_t n, uint8_t *out)
{
    lort_quantise_fn *quantise = lort_dtype_quantiser(type->id);
    if (quantise)
        quantise(x, importance, n, out);
    else
        lort_dtype_encoder(type->id)(x, out, n);
}

void lort_stretch_encode(const lort_quantize_worker *w, const lort_target_tensor *t,
                         const lort_dtype_info *type, lort_stretch stretch, uint8_t *out,
                         lort_error_sums *sums)
{
    for (uint64_t at = 0, n; at < stretch.count; at += n) {
        n = stretch.count - at < LORT_ENCODE_ELEMENTS ? stretch.count - at : LORT_ENCODE_ELEMENTS;
        const lort_stretch some = {stretch.first + at, n};
        const float *x = w->values + at,
                    *importance = lort_stretch_importance(t, some, w->importance);
        uint8_t *to = out ? out + at / type->block_elements * type->block_bytes : w->coded;
        encode_values(type, x, importance, n, to);
        type->decode(to, w->decoded, n);
        measure_errors(x, w->decoded, NULL, n, &sums->x2, &sums->e2);
        if (importance)
            measure_errors(x, w->decoded, importance, n, &sums->wx2, &sums->we2);
    }
}

/* ---- the pieces of a tensor ---- */

typedef struct tensor_run {
    lort_quantizer *q;
    lort_target_tensor *t;
    uint64_t run, first;    /* the number of its first piece in the file */
    uint64_t skip;          /* pieces of the run that are finished */
    lort_piece_note *notes; /* [window] */
} tensor_run;

static uint8_t *slot_of(const lort_quantizer *q, unsigned slot)
{
    return q->slots + (uint64_t)slot * sizeof(float) * q->piece_elements;
}

static lort_stretch stretch_of(const tensor_run *run, int64_t item)
{
    return lort_run_piece(&run->t->entry, run->run, run->skip + (uint64_t)item);
}

/* The index of the first value that is NaN or Inf, or would become Inf in the type, or n. */
static uint64_t find_unheld(const float *values, uint64_t n, lort_dtype type)
{
    const float first = type == LORT_F16 ? 65520.0f : type == LORT_BF16 ? 0x1.ffp127f : INFINITY;
    uint64_t i = 0;
    if (type != LORT_F16 && type != LORT_BF16)
        return lort_find_nonfinite(values, n);
    while (i < n && fabsf(values[i]) < first) /* false for NaN */
        i++;
    return i;
}

static lort_code check_values(const lort_target_tensor *t, const float *values,
                              lort_stretch stretch, lort_error *err)
{
    char name[200];
    const lort_tensor *tensor = t->entry.tensor;
    const uint64_t bad = find_unheld(values, stretch.count, t->type->id);
    if (bad == stretch.count)
        return LORT_OK;
    return lort_fail(err, LORT_E_NUMERIC, "tensor '%s': %s cannot hold element %llu, which is %g",
                     lort_escape(name, sizeof name, tensor->name, tensor->name_bytes),
                     t->type->name, (unsigned long long)(stretch.first + bad), (double)values[bad]);
}

static lort_code encode_piece(void *ctx, int64_t item, unsigned worker, unsigned slot,
                              lort_error *err)
{
    tensor_run *run = ctx;
    lort_quantizer *q = run->q;
    const lort_quantize_worker *w = &q->workers[worker];
    const lort_stretch stretch = stretch_of(run, item);
    lort_piece_note *note = &run->notes[slot];
    lort_code code = lort_session_check_stop(lort_session_of(q), err);
    if (code == LORT_OK)
        code = lort_run_read(q, run->t, stretch, worker, err);
    if (code == LORT_OK)
        code = check_values(run->t, w->values, stretch, err);
    if (code)
        return code;
    *note = (lort_piece_note){.bytes = lort_stretch_bytes(run->t, stretch)};
    lort_stretch_encode(w, run->t, run->t->type, stretch, slot_of(q, slot), &note->sums);
    note->source = lort_xxh128(w->values, stretch.count * sizeof *w->values);
    note->out = lort_xxh128(slot_of(q, slot), note->bytes);
    lort_session_tick(lort_session_of(q), stretch.count);
    return LORT_OK;
}

/* Stream mode: the pages of a piece are not needed again. */
static void release_piece(const tensor_run *run, lort_stretch stretch)
{
    const lort_tensor *tensor = run->t->entry.tensor;
    const uint64_t elements = tensor->type->block_elements, bytes = tensor->type->block_bytes;
    if (run->q->input.model && run->q->mode == LORT_MODE_STREAM)
        lort_model_release(run->q->input.model, tensor->file,
                           tensor->offset + stretch.first / elements * bytes,
                           stretch.count / elements * bytes);
}

static lort_code append_piece(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    tensor_run *run = ctx;
    lort_quantizer *q = run->q;
    const lort_piece_note *note = &run->notes[slot];
    lort_code code = lort_publish_append(q->publish, slot_of(q, slot), note->bytes, err);
    if (code == LORT_OK)
        code = lort_notes_put(q, run->first + run->skip + (uint64_t)item, note, err);
    lort_sums_add(&run->t->sums, &note->sums);
    release_piece(run, stretch_of(run, item));
    return code;
}

/* Asks for the bytes behind a tensor while workers are at it. */
static void read_ahead(lort_quantizer *q, const lort_target_tensor *t)
{
    const lort_tensor *tensor = t->entry.tensor;
    if (q->input.model && q->mode == LORT_MODE_STREAM)
        lort_model_prefetch(q->input.model, tensor->file, tensor->offset, tensor->bytes);
}

static lort_code write_run(tensor_run *run, lort_error *err)
{
    lort_quantizer *q = run->q;
    const uint64_t pieces = lort_run_pieces(&run->t->entry);
    if (run->skip >= pieces)
        return LORT_OK;
    lort_code code = lort_run_open(q, run->t, run->run, err);
    if (code == LORT_OK)
        code = lort_pool_run(lort_session_of(q)->pool, (int64_t)(pieces - run->skip), q->window,
                             encode_piece, append_piece, run, err);
    lort_run_close(q);
    return code;
}

/* ---- tensors that are copied ---- */

typedef struct copying {
    lort_quantizer *q;
    lort_hasher *hasher;
} copying;

static lort_code copy_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    copying *c = ctx;
    lort_code code = lort_session_check_stop(lort_session_of(c->q), err);
    lort_hasher_add(c->hasher, bytes, n);
    lort_session_tick(lort_session_of(c->q), n);
    return code ? code : lort_publish_append(c->q->publish, bytes, n, err);
}

static lort_code copy_tensor(lort_quantizer *q, lort_target_tensor *t, lort_error *err)
{
    copying c = {.q = q};
    lort_code code = lort_hasher_open(&lort_session_of(q)->alloc, &c.hasher, err);
    if (code == LORT_OK)
        code = lort_entry_bytes(&t->entry, &lort_session_of(q)->scratch[0], copy_bytes, &c, err);
    if (code == LORT_OK)
        code = lort_entry_check(&t->entry, err);
    if (code == LORT_OK) {
        const lort_hash128 hash = lort_hasher_value(c.hasher);
        const lort_piece_note note = {.bytes = t->bytes_out, .out = hash, .source = hash};
        code = lort_notes_put(q, t->first_piece, &note, err);
    }
    lort_hasher_close(c.hasher);
    return code;
}

/* ---- the file ---- */

/* done: pieces of the file that are finished. */
static lort_code write_encoded(lort_quantizer *q, lort_target_tensor *t, uint64_t done,
                               lort_error *err)
{
    const uint64_t pieces = lort_run_pieces(&t->entry);
    lort_session *session = lort_session_of(q);
    void *notes;
    lort_code code =
        lort_take(&session->alloc, q->window * sizeof(lort_piece_note), "notes", &notes, err);
    if (code)
        return code;
    for (uint64_t r = 0; r < lort_source_runs(&t->entry) && code == LORT_OK; r++) {
        tensor_run run = {
            .q = q, .t = t, .run = r, .first = t->first_piece + r * pieces, .notes = notes};
        run.skip = done > run.first ? done - run.first : 0;
        code = write_run(&run, err);
    }
    lort_give(&session->alloc, notes, q->window * sizeof(lort_piece_note));
    return code;
}

static lort_code write_tensor(lort_quantizer *q, uint64_t number, uint64_t done, lort_error *err)
{
    lort_target_tensor *t = &q->tensors[number];
    lort_tensor_report *entry = &lort_session_of(q)->report->tensors[number];
    const double begun = lort_session_seconds(lort_session_of(q));
    lort_code code = LORT_OK;
    lort_session_work_on(lort_session_of(q), entry);
    if (done < t->first_piece + lort_target_pieces(t)) {
        code = lort_publish_pad(q->publish, t->offset, err);
        read_ahead(q, t);
        if (code == LORT_OK)
            code = lort_target_copied(t) ? copy_tensor(q, t, err) : write_encoded(q, t, done, err);
    }
    if (code == LORT_OK)
        code = lort_publish_checkpoint(q->publish, err);
    lort_entry_release(&t->entry);
    entry->seconds = lort_session_seconds(lort_session_of(q)) - begun;
    return code;
}

/* Looks through a tensor for values that its type cannot hold. */
static lort_code scan_piece(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    tensor_run *run = ctx;
    (void)slot;
    const lort_stretch stretch = stretch_of(run, item);
    lort_code code = lort_session_check_stop(lort_session_of(run->q), err);
    if (code == LORT_OK)
        code = lort_run_read(run->q, run->t, stretch, worker, err);
    return code ? code : check_values(run->t, run->q->workers[worker].values, stretch, err);
}

/* Marks all tensors from `number` on with such values, so that one further attempt is enough. */
static lort_code mark_not_finite(lort_quantizer *q, uint64_t number, lort_error *err)
{
    for (; number < q->count; number++) {
        lort_target_tensor *t = &q->tensors[number];
        lort_code code = LORT_OK;
        if (lort_target_copied(t))
            continue;
        for (uint64_t r = 0; r < lort_source_runs(&t->entry) && code == LORT_OK; r++) {
            tensor_run run = {.q = q, .t = t, .run = r};
            code = lort_run_open(q, t, r, err);
            if (code == LORT_OK)
                code = lort_pool_each(lort_session_of(q)->pool, (int64_t)lort_run_pieces(&t->entry),
                                      scan_piece, &run, err);
            lort_run_close(q);
        }
        if (code == LORT_E_NUMERIC) {
            t->not_finite = true;
            t->unheld = t->type;
        }
        if (code && code != LORT_E_NUMERIC)
            return code;
    }
    return LORT_OK;
}

/* NaN or Inf in weights that a container computes are damage; in a source they are a fact. */
static lort_code not_finite(lort_quantizer *q, uint64_t number, lort_error *err)
{
    const lort_part *part = q->tensors[number].entry.part;
    if (part && !lort_part_is_raw(part))
        return LORT_E_NUMERIC;
    const lort_code code = mark_not_finite(q, number, err);
    q->found_not_finite = code == LORT_OK;
    return code ? code : LORT_E_NUMERIC;
}

static lort_code write_header(lort_quantizer *q, const lort_buffer *header, lort_error *err)
{
    const lort_piece_note note = {.bytes = header->size,
                                  .out = lort_xxh128(header->data, header->size)};
    lort_code code = lort_publish_append(q->publish, header->data, header->size, err);
    return code ? code : lort_notes_put(q, 0, &note, err);
}

/* Tells those who watch that a tensor is finished. */
static void tell_tensor(lort_quantizer *q, uint64_t number)
{
    lort_session *session = lort_session_of(q);
    const lort_target_tensor *t = &q->tensors[number];
    lort_notes_report(q, number);
    session->done_bytes += t->entry.tensor->bytes;
    session->out_bytes += t->bytes_out;
    session->tensors_done++;
    lort_session_did(session, lort_target_copied(t) ? t->bytes_out : t->entry.tensor->elements,
                     t->entry.tensor->bytes, 1);
    lort_session_say(session, LORT_EVENT_TENSOR, &session->report->tensors[number], NULL);
}

static lort_code write_file(lort_quantizer *q, const lort_new_file *file, uint64_t done,
                            lort_error *err)
{
    lort_code code = file->name ? lort_publish_file(q->publish, file->name, err) : LORT_OK;
    if (code == LORT_OK && done == 0)
        code = write_header(q, &file->header, err);
    for (uint64_t i = file->first; i < file->first + file->count && code == LORT_OK; i++) {
        code = write_tensor(q, i, done, err);
        if (code == LORT_E_NUMERIC)
            code = not_finite(q, i, err);
        if (code == LORT_OK)
            tell_tensor(q, i);
    }
    return code ? code : lort_publish_pad(q->publish, file->size, err);
}

lort_code lort_pieces_write(lort_quantizer *q, uint64_t done, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t f = 0; f < q->file_count && code == LORT_OK; f++)
        code = write_file(q, &q->files[f], done, err);
    return code;
}
