/* notes: see notes.h. Notes come in the order of the pieces. Those of a run that resumed follow
 * older ones of the same numbers, so a note counts where its bytes are those of the file. */
#include "compress/quantize/notes.h"
#include "compress/quantize/source.h"
#include "compress/session/report.h"
#include "formats/base/bytes.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NOTE_BYTES = 8 + 16 + 16 + 4 * 8 };

static void put_real(lort_buffer *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    lort_put_u64(out, bits);
}

static double get_real(const uint8_t *at)
{
    const uint64_t bits = lort_load_u64(at);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

lort_code lort_notes_put(lort_quantizer *q, uint64_t number, const lort_piece_note *note,
                         lort_error *err)
{
    lort_buffer body = {.alloc = &lort_session_of(q)->alloc};
    if (!q->journal)
        return LORT_OK;
    lort_put_u64(&body, note->bytes);
    lort_put_bytes(&body, note->out.bytes, sizeof note->out.bytes);
    lort_put_bytes(&body, note->source.bytes, sizeof note->source.bytes);
    put_real(&body, note->sums.x2);
    put_real(&body, note->sums.e2);
    put_real(&body, note->sums.wx2);
    put_real(&body, note->sums.we2);
    const lort_code code = lort_journal_note(q->journal, LORT_NOTE_PIECE, number, &body, err);
    lort_buffer_free(&body);
    return code;
}

static bool get_note(const uint8_t *body, uint64_t bytes, lort_piece_note *out)
{
    if (bytes != NOTE_BYTES)
        return false;
    out->bytes = lort_load_u64(body);
    memcpy(out->out.bytes, body + 8, 16);
    memcpy(out->source.bytes, body + 24, 16);
    out->sums = (lort_error_sums){get_real(body + 40), get_real(body + 48), get_real(body + 56),
                                  get_real(body + 64)};
    return true;
}

/* ---- taking over ---- */

/* Where the search stands: piece `number` comes next, at byte `at`. */
typedef struct adoption {
    lort_quantizer *q;
    lort_hasher *hasher;
    uint8_t *buffer; /* of a scratch */
    uint64_t size;   /* of the buffer */
    bool compare;    /* the source may have changed */
    uint64_t number, at;
    uint64_t tensor; /* of the piece; count: behind all */
} adoption;

/* The piece that comes next: its place in the file, and of a tensor its stretch. */
typedef struct place {
    uint64_t offset, bytes, run;
    lort_stretch stretch;
    bool copied;
} place;

static place next_place(const adoption *a)
{
    const lort_quantizer *q = a->q;
    if (a->number == 0)
        return (place){.bytes = q->files[0].header.size, .copied = true};
    const lort_target_tensor *t = &q->tensors[a->tensor];
    if (lort_target_copied(t))
        return (place){.offset = t->offset, .bytes = t->bytes_out, .copied = true};
    const uint64_t pieces = lort_run_pieces(&t->entry), in_tensor = a->number - t->first_piece;
    place p = {.run = in_tensor / pieces};
    p.stretch = lort_run_piece(&t->entry, p.run, in_tensor % pieces);
    p.bytes = lort_stretch_bytes(t, p.stretch);
    p.offset = t->offset + p.stretch.first / t->type->block_elements * t->type->block_bytes;
    return p;
}

/* Hashes n found bytes at `at`. */
static lort_code hash_found(const adoption *a, uint64_t at, uint64_t n, lort_hash128 *out,
                            lort_error *err)
{
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(&lort_session_of(a->q)->alloc, &hasher, err);
    for (uint64_t some; n && code == LORT_OK; n -= some, at += some) {
        some = n < a->size ? n : a->size;
        code = lort_publish_look(a->q->publish, a->buffer, some, at, err);
        if (code == LORT_OK)
            code = lort_session_check_stop(lort_session_of(a->q), err);
        lort_hasher_add(hasher, a->buffer, some);
    }
    if (code == LORT_OK)
        *out = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    return code;
}

/* True if the found bytes between two pieces are zeros. */
static lort_code look_at_zeros(const adoption *a, uint64_t from, uint64_t to, bool *zero,
                               lort_error *err)
{
    lort_code code = LORT_OK;
    *zero = true;
    for (uint64_t some; from < to && code == LORT_OK && *zero; from += some) {
        some = to - from < a->size ? to - from : a->size;
        code = lort_publish_look(a->q->publish, a->buffer, some, from, err);
        for (uint64_t i = 0; i < some && code == LORT_OK; i++)
            *zero &= a->buffer[i] == 0;
    }
    return code;
}

static lort_code hash_source_bytes(void *hasher, const void *bytes, uint64_t n, lort_error *err)
{
    (void)err;
    lort_hasher_add(hasher, bytes, n);
    return LORT_OK;
}

/* Hashes the source of a piece as it is now. */
static lort_code hash_source(const adoption *a, const place *p, lort_hash128 *out, lort_error *err)
{
    lort_quantizer *q = a->q;
    const lort_target_tensor *t = &q->tensors[a->tensor];
    lort_hasher *hasher = NULL;
    lort_code code = LORT_OK;
    if (!p->copied) {
        code = lort_run_read(q, t, p->stretch, 0, err);
        if (code == LORT_OK)
            *out = lort_xxh128(q->workers[0].values, p->stretch.count * sizeof(float));
        return code;
    }
    code = lort_hasher_open(&lort_session_of(q)->alloc, &hasher, err);
    if (code == LORT_OK)
        code = lort_entry_bytes(&t->entry, &lort_session_of(q)->scratch[0], hash_source_bytes,
                                hasher, err);
    if (code == LORT_OK)
        *out = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    return code;
}

static bool equal(const lort_hash128 *a, const lort_hash128 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* The source of a finished piece is another now. --resume makes this an error. Without --resume
 * LoRT makes this piece and all behind it again. */
static lort_code refuse_changed(const adoption *a, lort_error *err)
{
    char name[200];
    const lort_tensor *tensor = a->q->tensors[a->tensor].entry.tensor;
    if (!a->q->options->resume)
        return LORT_OK;
    return lort_fail(err, LORT_E_READ,
                     "tensor '%s' in %s changed since %s was begun; restore the input, or leave "
                     "--resume out to start again",
                     lort_escape(name, sizeof name, tensor->name, tensor->name_bytes),
                     lort_model_get_file(a->q->input.model, tensor->file)->name,
                     lort_publish_partial(a->q->publish));
}

/* True if the found bytes, and where in doubt the source, are those of the note. */
static lort_code check_piece(const adoption *a, const place *p, const lort_piece_note *note,
                             bool *good, lort_error *err)
{
    lort_hash128 hash = {{0}};
    *good = note->bytes == p->bytes && p->offset + p->bytes <= lort_publish_found(a->q->publish) &&
            p->offset >= a->at;
    if (!*good)
        return LORT_OK;
    lort_code code = look_at_zeros(a, a->at, p->offset, good, err);
    if (code == LORT_OK && *good)
        code = hash_found(a, p->offset, p->bytes, &hash, err);
    *good = *good && equal(&hash, &note->out);
    if (code == LORT_OK && *good && a->number == 0) { /* other weights give other types */
        const lort_buffer *header = &a->q->files[0].header;
        hash = lort_xxh128(header->data, header->size);
        *good = equal(&hash, &note->out);
    }
    /* Reading checks a container against hashes that the key has. */
    if (code == LORT_OK && *good && a->compare && a->number && a->q->input.model) {
        code = hash_source(a, p, &hash, err);
        *good = equal(&hash, &note->source);
        if (code == LORT_OK && !*good)
            code = refuse_changed(a, err);
    }
    return code;
}

static void next_piece(adoption *a)
{
    const lort_quantizer *q = a->q;
    a->number++;
    while (a->tensor < q->count && a->number >= q->tensors[a->tensor].first_piece +
                                                    lort_target_pieces(&q->tensors[a->tensor]))
        a->tensor++;
}

static lort_code take_note(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                           lort_error *err)
{
    adoption *a = ctx;
    lort_piece_note note;
    bool good;
    if (number != a->number || a->tensor == a->q->count || !get_note(body, bytes, &note))
        return LORT_OK;
    const place p = next_place(a);
    lort_code code = check_piece(a, &p, &note, &good, err);
    if (code || !good)
        return code;
    code = lort_publish_adopt(a->q->publish, p.offset + p.bytes - a->at, err);
    a->at = p.offset + p.bytes;
    if (a->number)
        lort_sums_add(&a->q->tensors[a->tensor].sums, &note.sums);
    next_piece(a);
    return code;
}

static void say_resumed(lort_quantizer *q, uint64_t found)
{
    lort_session *session = lort_session_of(q);
    const uint64_t tensors = session->report->resumed_tensors;
    char text[400], size[32];
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < tensors; i++)
        bytes += q->tensors[i].entry.tensor->bytes;
    snprintf(text, sizeof text,
             "resuming %.200s: %llu of %llu tensors are finished, %s of the input",
             lort_publish_partial(q->publish), (unsigned long long)tensors,
             (unsigned long long)q->count, lort_size_text(bytes, size, sizeof size));
    if (found)
        lort_session_say(session, LORT_EVENT_NOTE, NULL, text);
    else if (q->options->resume)
        lort_session_say(session, LORT_EVENT_NOTE, NULL,
                         "nothing to resume: started from the beginning");
}

lort_code lort_notes_adopt(lort_quantizer *q, uint64_t *done, lort_error *err)
{
    const uint64_t found = lort_publish_found(q->publish);
    const lort_scratch *scratch = &lort_session_of(q)->scratch[0];
    adoption a = {.q = q,
                  .buffer = scratch->planes,
                  .size = scratch->size,
                  .compare = lort_journal_get_state(q->journal) == LORT_JOURNAL_TOUCHED};
    lort_code code = lort_journal_each(q->journal, LORT_NOTE_PIECE, take_note, &a, err);
    if (code == LORT_E_READ)
        lort_journal_revert(q->journal);
    if (code == LORT_OK)
        code = lort_publish_drop(q->publish, err);
    if (code == LORT_OK)
        code = lort_journal_settle(q->journal, err);
    *done = a.number;
    for (uint64_t i = 0; i < a.tensor && a.number; i++)
        lort_session_of(q)->report->resumed_tensors++;
    if (code == LORT_OK)
        say_resumed(q, found);
    return code;
}

/* ---- tensors with NaN or Inf ---- */

/* The number of a note that makes all earlier ones void: they may be of other weights. */
#define KEPT_NONE UINT64_MAX

lort_code lort_notes_put_kept(lort_quantizer *q, lort_error *err)
{
    const lort_buffer none = {.alloc = &lort_session_of(q)->alloc};
    lort_code code = lort_journal_note(q->journal, LORT_NOTE_KEEP, KEPT_NONE, &none, err);
    for (uint64_t i = 0; i < q->count && code == LORT_OK; i++)
        if (q->tensors[i].not_finite)
            code = lort_journal_note(q->journal, LORT_NOTE_KEEP, i, &none, err);
    return code;
}

static lort_code take_kept(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                           lort_error *err)
{
    lort_quantizer *q = ctx;
    (void)body, (void)bytes, (void)err;
    for (uint64_t i = 0; i < q->count && number == KEPT_NONE; i++)
        if (q->tensors[i].noted_not_finite)
            q->tensors[i].not_finite = q->tensors[i].noted_not_finite = false;
    if (number < q->count && !q->tensors[number].not_finite)
        q->tensors[number].not_finite = q->tensors[number].noted_not_finite = true;
    return LORT_OK;
}

/* Other weights may have no NaN: then the tensors are found anew. */
lort_code lort_notes_take_kept(lort_quantizer *q, lort_error *err)
{
    if (lort_journal_get_state(q->journal) != LORT_JOURNAL_SAME)
        return LORT_OK;
    return lort_journal_each(q->journal, LORT_NOTE_KEEP, take_kept, q, err);
}

/* ---- the report ---- */

static double relative(double e2, double x2) { return x2 > 0 ? sqrt(e2 / x2) : e2 > 0 ? NAN : 0; }

void lort_notes_report(lort_quantizer *q, uint64_t number)
{
    const lort_target_tensor *t = &q->tensors[number];
    lort_tensor_report *entry = &lort_session_of(q)->report->tensors[number];
    const bool exact = lort_target_copied(t);
    entry->rel_error = exact ? 0 : relative(t->sums.e2, t->sums.x2);
    entry->weighted_error = !t->importance ? NAN : exact ? 0 : relative(t->sums.we2, t->sums.wx2);
    if (!exact && !(entry->rel_error <= lort_session_of(q)->worst_error))
        lort_session_of(q)->worst_error = entry->rel_error;
}
