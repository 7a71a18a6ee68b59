/* resume: see resume.h. Nothing is mapped: LoRT reads the file through a window of one chunk. */
#include "compress/write/resume.h"
#include "compress/delta/base.h"
#include "formats/base/bytes.h"
#include "formats/container/base.h"
#include "loader/store/record.h"
#include <stdio.h>
#include <string.h>

/* Bytes of the window: tried one after the other until a whole frame is in it. */
#define WINDOW_LEAST (64u << 10)
#define WINDOW_USUAL (LORT_CHUNK_TARGET + (64u << 10))
#define WINDOW_MOST (2 * (uint64_t)LORT_CHUNK_MAX) /* a longer frame is not from LoRT */

typedef struct unfinished {
    const lort_decider *decider;
    const lort_work_plan *plan;
    lort_publish *publish;
    lort_emitter *emitter;
    lort_model_record model; /* only its extents are set: parts must match them */
    lort_buffer window;
    bool compare;   /* with the source too */
    uint64_t bytes; /* of the input, taken over so far */
} unfinished;

/* The view function of a lort_record_source. */
static lort_code view_found(void *ctx, uint64_t offset, uint64_t n, lort_buffer *scratch,
                            const uint8_t **out, lort_error *err)
{
    unfinished *u = ctx;
    const uint64_t found = lort_publish_found(u->publish);
    *out = NULL;
    if (offset > found || n > found - offset)
        return lort_fail(err, LORT_E_DAMAGED,
                         "the partial output ends early (found %llu bytes, needed %llu at %llu)",
                         (unsigned long long)found, (unsigned long long)n,
                         (unsigned long long)offset);
    scratch->size = 0;
    lort_put_zeros(scratch, n ? n : 1);
    lort_code code = lort_buffer_check(scratch, err);
    if (code == LORT_OK)
        code = lort_publish_look(u->publish, scratch->data, n, offset, err);
    *out = scratch->data;
    return code;
}

/* Finds the bytes of the zstd frame at `at`; 0: there is no whole frame. */
static lort_code frame_at(unfinished *u, uint64_t at, uint64_t *bytes, lort_error *err)
{
    const uint64_t left = lort_publish_found(u->publish) - at;
    *bytes = 0;
    for (uint64_t n = WINDOW_LEAST; *bytes == 0; n = n < WINDOW_USUAL ? WINDOW_USUAL : 4 * n) {
        const uint8_t *data;
        const uint64_t seen = n < left ? n : left;
        lort_code code = view_found(u, at, seen, &u->window, &data, err);
        if (code)
            return code;
        *bytes = lort_codec_frame_bytes(data, seen);
        if (seen == left || n >= WINDOW_MOST)
            break;
    }
    return LORT_OK;
}

/* Finds where the record behind the payload at `at` begins. LORT_E_DAMAGED: there is no record. */
static lort_code find_record(unfinished *u, uint64_t at, uint64_t *record, lort_error *err)
{
    const uint8_t mark[4] = {0x50 + LORT_FRAME_PART, 0x2A, 0x4D, 0x18};
    const uint8_t *data;
    for (uint64_t bytes;; at += bytes) {
        lort_code code = view_found(u, at, sizeof mark, &u->window, &data, err);
        *record = at;
        if (code || memcmp(data, mark, sizeof mark) == 0)
            return code;
        code = frame_at(u, at, &bytes, err);
        if (code || bytes == 0)
            return code
                       ? code
                       : lort_fail(err, LORT_E_DAMAGED, "there is no whole zstd frame at byte %llu",
                                   (unsigned long long)at);
    }
}

static lort_code check_chunks(unfinished *u, const lort_part *part, uint64_t start, lort_error *err)
{
    for (uint64_t i = 0; i < part->chunk_count; i++) {
        const uint8_t *data;
        lort_code code = view_found(u, start + part->chunks[i].offset, part->chunks[i].stored,
                                    &u->window, &data, err);
        if (code)
            return code;
        if (lort_xxh64(data, part->chunks[i].stored) != part->chunks[i].hash)
            return lort_fail(err, LORT_E_DAMAGED, "chunk %llu is damaged", (unsigned long long)i);
    }
    return lort_session_check_stop(u->decider->session, err);
}

static lort_code hash_source(unfinished *u, const lort_extent *extent, lort_hasher *hasher,
                             lort_error *err)
{
    lort_scratch *scratch = &u->decider->session->scratch[0];
    lort_model *model = u->decider->model;
    lort_code code = lort_model_hash(model, extent->file, extent->offset, extent->bytes,
                                     scratch->bytes, scratch->size, hasher, err);
    if (code)
        return code;
    lort_model_release(model, extent->file, extent->offset, extent->bytes);
    return lort_model_check(model, extent->file, err);
}

/* Compares the source of a part with the hash in its record. If they differ, --resume makes this an
 * error. Without --resume LoRT makes this part and all behind it again. */
static lort_code check_source(unfinished *u, const lort_part *part, lort_error *err)
{
    const lort_extent *extent = &u->model.extents[part->number];
    char name[200];
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(&u->decider->session->alloc, &hasher, err);
    if (code == LORT_OK)
        code = hash_source(u, extent, hasher, err);
    const lort_hash128 hash = code ? (lort_hash128){{0}} : lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    if (code || memcmp(hash.bytes, part->source.bytes, sizeof hash.bytes) == 0)
        return code;
    lort_escape(name, sizeof name, part->name, part->name_bytes);
    return lort_fail(
        err, u->decider->options->resume ? LORT_E_READ : LORT_E_DAMAGED,
        "%s%s in %s changed since %s was begun; restore the input, or leave --resume out "
        "to start again",
        part->tensor ? "tensor " : "a header or side bytes", name,
        lort_model_get_file(u->decider->model, extent->file)->name,
        lort_publish_partial(u->publish));
}

/* Compares the tensor of the base with the hash in the record of a part. */
static lort_code check_base(unfinished *u, const lort_part *part, lort_error *err)
{
    const lort_tensor_plan *planned = &u->plan->tensors[part->number];
    const lort_term *term = lort_part_base(part);
    lort_base_tensor now;
    if (!term && !planned->base)
        return LORT_OK;
    lort_code code = LORT_OK;
    if (planned->base)
        code = lort_base_describe(u->decider->session->base, planned->base - 1, &now, err);
    if (code || (term && planned->base &&
                 memcmp(term->base.hash.bytes, now.hash.bytes, sizeof now.hash.bytes) == 0))
        return code;
    return lort_fail(err, u->decider->options->resume ? LORT_E_READ : LORT_E_DAMAGED,
                     "a tensor of the base changed since %s was begun; restore the base, or leave "
                     "--resume out to start again",
                     lort_publish_partial(u->publish));
}

/* Takes over the part behind those already taken over. LORT_E_DAMAGED ends the search. */
static lort_code adopt_part(unfinished *u, const lort_record_source *source, uint64_t number,
                            lort_error *err)
{
    lort_arena arena = {.alloc = &u->decider->session->alloc};
    lort_record record = {0};
    lort_part part;
    const uint64_t start = lort_publish_size(u->publish);
    uint64_t at;
    lort_code code = find_record(u, start, &at, err);
    if (code == LORT_OK)
        code = lort_record_read(source, LORT_FRAME_PART, at, lort_publish_found(u->publish),
                                &record, err);
    if (code == LORT_OK)
        code = lort_part_get(record.body, record.bytes, &arena, &part, err);
    if (code == LORT_OK)
        code = lort_part_matches(&part, &u->model, err);
    if (code == LORT_OK && (part.number != number || part.payload_bytes != at - start))
        code = lort_fail(err, LORT_E_DAMAGED, "wrong part (found number %llu, expected %llu)",
                         (unsigned long long)part.number, (unsigned long long)number);
    if (code == LORT_OK)
        code = check_chunks(u, &part, start, err);
    if (code == LORT_OK && u->compare)
        code = check_source(u, &part, err);
    if (code == LORT_OK && u->compare)
        code = check_base(u, &part, err);
    if (code == LORT_OK)
        code = lort_emit_adopt(u->emitter, &part, &record, err);
    u->bytes += code ? 0 : part.source_bytes;
    lort_record_free(&record);
    lort_arena_free(&arena);
    return code;
}

static lort_code adopt_parts(unfinished *u, uint64_t *done, lort_error *err)
{
    const lort_record_source source = {view_found, u, &u->decider->session->alloc,
                                       u->decider->session->scratch[0].codec};
    lort_error end = {0};
    lort_code code = LORT_OK;
    for (*done = u->plan->first; *done < u->plan->end && code == LORT_OK &&
                                 lort_publish_found(u->publish) > lort_publish_size(u->publish);
         *done += code == LORT_OK)
        code = adopt_part(u, &source, *done, &end);
    if (code && code != LORT_E_DAMAGED && code != LORT_E_INPUT) {
        if (err)
            *err = end;
        return code;
    }
    return LORT_OK;
}

/* Body of a FIGURES note: errors and seconds as doubles, passes as u64. */
#define FIGURES_BYTES 64

lort_code lort_resume_note(const lort_decider *decider, uint64_t extent,
                           const lort_tensor_report *report, lort_error *err)
{
    lort_buffer body = {.alloc = &decider->session->alloc};
    const double values[7] = {report->weighted_error,   report->seconds,
                              report->rel_error_rest,   report->worst_row_error,
                              report->rel_error_update, report->proxy_loss,
                              report->damping};
    lort_put_bytes(&body, values, sizeof values);
    lort_put_u64(&body, (uint64_t)report->passes);
    lort_code code = lort_journal_note(decider->journal, LORT_NOTE_FIGURES, extent, &body, err);
    lort_buffer_free(&body);
    return code;
}

typedef struct figures_of {
    const lort_decider *decider;
    uint64_t done;
} figures_of;

static lort_code read_figures(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                              lort_error *err)
{
    const figures_of *f = ctx;
    const uint64_t tensor =
        number < f->done ? lort_model_extent_tensor(f->decider->model, number) : UINT64_MAX;
    (void)err;
    if (tensor == UINT64_MAX || bytes != FIGURES_BYTES)
        return LORT_OK;
    lort_tensor_report *report = &f->decider->session->report->tensors[tensor];
    double values[7];
    memcpy(values, body, sizeof values);
    report->weighted_error = values[0];
    report->seconds = values[1];
    report->rel_error_rest = values[2];
    report->worst_row_error = values[3];
    report->rel_error_update = values[4];
    report->proxy_loss = values[5];
    report->damping = values[6];
    report->passes = (int64_t)lort_load_u64(body + sizeof values);
    return LORT_OK;
}

/* ---- proofs of a model from the network ---- */

/* How far an earlier run proved the file of the first part that is left. */
typedef struct proof_of {
    lort_model *model;
    const lort_extent *extents;
    uint64_t done, end; /* end: of the finished bytes of the file */
} proof_of;

static lort_code read_proof(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                            lort_error *err)
{
    const proof_of *p = ctx;
    (void)err;
    if (number < p->done && p->extents[number].file == p->extents[p->done].file)
        lort_model_proved(p->model, p->extents[number].file, p->end, body, bytes);
    return LORT_OK;
}

/* A file whose last part is finished was proved before. */
static lort_code take_proofs(const lort_decider *decider, uint64_t done, lort_error *err)
{
    uint64_t count;
    const lort_extent *extents = lort_model_extents(decider->model, &count);
    proof_of p = {.model = decider->model, .extents = extents, .done = done};
    for (uint64_t i = 0; i < done; i++) {
        const lort_extent *e = &extents[i];
        if (i + 1 == count || extents[i + 1].file != e->file)
            lort_model_proved(decider->model, e->file, e->offset + e->bytes, NULL, 0);
    }
    if (done == 0 || done == count || extents[done - 1].file != extents[done].file)
        return LORT_OK;
    p.end = extents[done].offset;
    return lort_journal_each(decider->journal, LORT_NOTE_PROOF, read_proof, &p, err);
}

static void say_resumed(const unfinished *u, uint64_t found)
{
    lort_session *session = u->decider->session;
    char text[400], size[32];
    snprintf(
        text, sizeof text, "resuming %.200s: %llu of %llu tensors are finished, %s of the input",
        lort_publish_partial(u->publish), (unsigned long long)session->report->resumed_tensors,
        (unsigned long long)session->tensors_total, lort_size_text(u->bytes, size, sizeof size));
    if (found)
        lort_session_say(session, LORT_EVENT_NOTE, NULL, text);
    else if (u->decider->options->resume)
        lort_session_say(session, LORT_EVENT_NOTE, NULL,
                         "nothing to resume: started from the beginning");
}

lort_code lort_resume(const lort_decider *decider, const lort_work_plan *plan,
                      lort_publish *publish, lort_emitter *emitter, uint64_t *done, lort_error *err)
{
    const uint64_t found = lort_publish_found(publish);
    unfinished u = {.decider = decider,
                    .plan = plan,
                    .publish = publish,
                    .emitter = emitter,
                    .window.alloc = &decider->session->alloc,
                    .compare = lort_journal_get_state(decider->journal) == LORT_JOURNAL_TOUCHED};
    /* not written to */
    u.model.extents =
        (lort_extent *)(uintptr_t)lort_model_extents(decider->model, &u.model.extent_count);
    figures_of figures = {.decider = decider};
    lort_code code = adopt_parts(&u, done, err);
    if (code == LORT_E_READ)
        lort_journal_revert(decider->journal);
    lort_buffer_free(&u.window);
    figures.done = *done;
    if (code == LORT_OK)
        code = lort_journal_each(decider->journal, LORT_NOTE_FIGURES, read_figures, &figures, err);
    if (code == LORT_OK && lort_model_is_supplied(decider->model) && plan->tasks == 0)
        code = take_proofs(decider, *done, err);
    if (code == LORT_OK)
        code = lort_publish_drop(publish, err);
    for (uint64_t i = plan->first; i < *done; i++)
        decider->session->report->resumed_tensors += plan->tensors[i].tensor != NULL;
    if (code == LORT_OK && decider->session->report->resumed_tensors)
        code = lort_publish_checkpoint(publish, err);
    if (code == LORT_OK)
        code = lort_journal_settle(decider->journal, err);
    if (code == LORT_OK)
        say_resumed(&u, found);
    return code;
}
