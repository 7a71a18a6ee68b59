/* emit: the bytes of the container in order. The pool encodes chunks. The thread of the caller
 * hashes and appends them. */
#include "compress/write/emit.h"
#include "compress/delta/base.h"
#include "compress/plan/estimate.h"
#include "compress/session/figures.h"
#include "compress/session/reasons.h"
#include "compress/session/report.h"
#include "compress/write/emit_parts.h"
#include "compress/write/journal.h"
#include "compress/write/shares.h"
#include "compress/write/start.h"
#include "formats/container/task.h"
#include "loader/store/record.h"
#include <math.h>
#include <string.h>

/* ---- opening ---- */

static lort_code write_record(lort_emitter *emitter, lort_frame_kind kind, lort_buffer *body,
                              uint64_t *bytes, lort_error *err)
{
    lort_code code = lort_buffer_check(body, err);
    if (code == LORT_OK)
        code = lort_record_write(emitter->publish, kind, body,
                                 lort_emitter_session(emitter)->scratch[0].codec,
                                 lort_emitter_alloc(emitter), bytes, err);
    lort_buffer_free(body);
    return code;
}

static lort_code found_begins(const lort_emitter *emitter, const lort_buffer *start, bool *same,
                              lort_error *err)
{
    void *memory;
    *same = false;
    if (lort_publish_found(emitter->publish) < start->size)
        return LORT_OK;
    lort_code code = lort_take(lort_emitter_alloc(emitter), start->size,
                               "the start of the unfinished output", &memory, err);
    if (code)
        return code;
    code = lort_publish_look(emitter->publish, memory, start->size, 0, err);
    *same = code == LORT_OK && memcmp(memory, start->data, start->size) == 0;
    lort_give(lort_emitter_alloc(emitter), memory, start->size);
    return code;
}

static lort_code write_start(lort_emitter *emitter, lort_error *err)
{
    bool same = false;
    lort_buffer start = {.alloc = lort_emitter_alloc(emitter)};
    lort_code code = lort_start_put(emitter->decider, emitter->plan, &start, err);
    if (code == LORT_OK)
        code = found_begins(emitter, &start, &same, err);
    if (code == LORT_OK && same)
        code = lort_publish_adopt(emitter->publish, start.size, err);
    else if (code == LORT_OK)
        code = lort_publish_drop(emitter->publish, err);
    if (code == LORT_OK && !same)
        code = lort_publish_append(emitter->publish, start.data, start.size, err);
    lort_buffer_free(&start);
    return code;
}

static lort_code open_slots(lort_emitter *emitter, lort_error *err)
{
    void *memory;
    lort_code code =
        lort_take_zero(lort_emitter_alloc(emitter), emitter->window * sizeof *emitter->slots,
                       "the commit window", &memory, err);
    if (code)
        return code;
    emitter->slots = memory;
    for (unsigned i = 0; i < emitter->window && code == LORT_OK; i++)
        code = lort_scratch_open(&emitter->slots[i], lort_emitter_alloc(emitter), LORT_CHUNK_TARGET,
                                 err);
    return code;
}

lort_code lort_emit_open(const lort_decider *decider, const lort_work_plan *plan,
                         lort_publish *publish, lort_emitter **out, lort_error *err)
{
    void *memory;
    const lort_alloc *alloc = &decider->session->alloc;
    *out = NULL;
    lort_code code = lort_take_zero(alloc, sizeof(lort_emitter), "the writer", &memory, err);
    if (code)
        return code;
    lort_emitter *emitter = memory;
    *emitter = (lort_emitter){
        .decider = decider, .plan = plan, .publish = publish, .window = plan->window};
    code = lort_take_zero(alloc, plan->count * sizeof *emitter->entries, "the index", &memory, err);
    if (code == LORT_OK) {
        emitter->entries = memory;
        code = lort_take_zero(alloc, plan->count * sizeof *emitter->sources, "source hashes",
                              &memory, err);
    }
    if (code == LORT_OK) {
        emitter->sources = memory;
        code = open_slots(emitter, err);
    }
    if (code == LORT_OK)
        code = lort_hasher_open(alloc, &emitter->model_hash, err);
    if (code == LORT_OK)
        code = lort_hasher_open(alloc, &emitter->parts_hash, err);
    if (code == LORT_OK)
        code = write_start(emitter, err);
    if (code)
        lort_emit_close(emitter);
    else
        *out = emitter;
    return code;
}

/* ---- parts ---- */

static lort_code take_ranks(lort_emitter *emitter, uint32_t slices, lort_error *err)
{
    void *memory;
    lort_code code = lort_take_zero(lort_emitter_alloc(emitter),
                                    (uint64_t)slices * LORT_DRAFT_TERMS * sizeof(uint32_t), "ranks",
                                    &memory, err);
    emitter->part.ranks = memory;
    emitter->part.slices = slices;
    if (code)
        return code;
    code = lort_take_zero(lort_emitter_alloc(emitter), slices * sizeof(int32_t), "exponents",
                          &memory, err);
    emitter->part.exponents = memory;
    if (code)
        return code;
    code =
        lort_take_zero(lort_emitter_alloc(emitter), slices * sizeof(float), "steps", &memory, err);
    emitter->part.steps = memory;
    return code;
}

static void close_part(lort_emitter *emitter)
{
    lort_part_draft *part = &emitter->part;
    lort_give(lort_emitter_alloc(emitter), part->ranks,
              (uint64_t)part->slices * LORT_DRAFT_TERMS * sizeof(uint32_t));
    lort_give(lort_emitter_alloc(emitter), part->exponents, part->slices * sizeof(int32_t));
    lort_give(lort_emitter_alloc(emitter), part->steps, part->slices * sizeof(float));
    lort_hasher_close(part->hasher);
    *part = (lort_part_draft){0};
    emitter->chunk_count = 0;
}

static lort_code begin_part(lort_emitter *emitter, uint64_t extent, uint32_t slices,
                            lort_error *err)
{
    const lort_tensor_plan *planned = &emitter->plan->tensors[extent];
    uint64_t count;
    const lort_extent *extents = lort_model_extents(emitter->decider->model, &count);
    close_part(emitter);
    emitter->part =
        (lort_part_draft){.extent = extent,
                          .planned = planned,
                          .type = planned->tensor ? planned->tensor->type : lort_dtype_get(LORT_U8),
                          .file = extents[extent].file,
                          .offset = extents[extent].offset,
                          .bytes = extents[extent].bytes,
                          .start = lort_publish_size(emitter->publish)};
    lort_code code = take_ranks(emitter, slices, err);
    if (code == LORT_OK)
        code = lort_hasher_open(lort_emitter_alloc(emitter), &emitter->part.hasher, err);
    return code;
}

lort_code lort_emit_begin(lort_emitter *emitter, uint64_t extent, lort_error *err)
{
    const uint32_t slices = lort_tensor_plan_slices(&emitter->plan->tensors[extent]);
    lort_code code = begin_part(emitter, extent, slices, err);
    if (code == LORT_OK && slices > 1)
        code = lort_publish_mark(emitter->publish, err);
    return code;
}

/* Bytes of a record, about: what LoRT needs for a chunk and for a slice (write/shares.c). */
#define CHUNK_RECORD 18
#define SLICE_RECORD 12

/* True if the tensor as a whole is smaller losslessly than in its slices. Chunks and records of
 * many small slices may take more than the slices save. */
static bool is_smaller_whole(const lort_emitter *emitter)
{
    const lort_part_draft *part = &emitter->part;
    if (part->slices <= 1 || part->bytes / part->slices >= LORT_CHUNK_TARGET)
        return false;
    const uint64_t payload = lort_publish_size(emitter->publish) - part->start,
                   records =
                       CHUNK_RECORD * emitter->chunk_count + SLICE_RECORD * (uint64_t)part->slices;
    return part->kept == part->slices || payload + records >= part->lossless;
}

/* Writes the part again, losslessly as a whole. */
static lort_code write_whole(lort_emitter *emitter, lort_error *err)
{
    const lort_part_draft old = emitter->part; /* its arrays are freed below */
    lort_part_draft *part = &emitter->part;
    lort_session *session = lort_emitter_session(emitter);
    lort_code code = lort_publish_rewind(emitter->publish, err);
    if (code == LORT_OK)
        code = begin_part(emitter, old.extent, 1, err);
    if (code)
        return code;
    part->any_raw = true;
    part->kept = part->ranks[0] = 1;
    part->passes = old.passes + 1;
    part->seconds = old.seconds;
    part->reason = old.kept         ? old.reason
                   : old.ternary    ? LORT_REASON_TRITS_LARGER
                   : old.any_blocks ? LORT_REASON_INTEGERS_LARGER
                                    : LORT_REASON_FACTORS_LARGER;
    memcpy(part->detail, old.detail, sizeof part->detail);
    session->done_bytes -= session->done_bytes < part->bytes ? session->done_bytes : part->bytes;
    return lort_emit_raw(emitter, 0, part->offset, part->bytes, err);
}

static void fill_report(const lort_emitter *emitter, lort_tensor_report *report)
{
    const lort_part_draft *part = &emitter->part;
    lort_report *owner = lort_emitter_session(emitter)->report;
    const bool lossy = part->pairs || part->any_blocks;
    report->action = part->any_blocks ? LORT_ACTION_CODED
                     : part->pairs    ? LORT_ACTION_FACTORED
                                      : LORT_ACTION_KEPT;
    report->rank = part->top_rank;
    report->rel_error = lort_part_draft_error(part);
    report->weighted_error = lort_part_draft_weighed_error(part);
    report->proxy_loss = part->planned->covariance && lossy ? part->loss : NAN;
    report->damping = part->damping > 0 ? part->damping : NAN;
    report->rel_error_update = part->planned->candidate ? lort_part_draft_error_update(part) : NAN;
    report->outliers = part->outliers;
    report->rel_error_rest = lort_part_draft_error_rest(part);
    report->worst_row_error = part->worst_row > 0 ? part->worst_row : NAN;
    /* These bytes include the record behind the payload. */
    report->bytes_out = lort_publish_size(emitter->publish) - part->start;
    report->passes = part->passes;
    if (emitter->decider->options->spectra)
        lort_report_spectrum(owner, &part->spectrum, report);
    report->seconds = part->seconds;
    report->reason = part->reason;
    report->reason_text =
        lossy ? lort_reason_partly(owner, part->kept, part->slices, lort_reason_text(part->reason))
              : lort_reason_text(part->reason);
    report->detail = lort_report_text(owner, "%s", part->detail);
    report->slices = part->planned->candidate ? part->slices : report->slices;
}

/* Fills the report of a tensor with the bytes of another one, which is finished. */
static void report_same(const lort_emitter *emitter, const lort_tensor_plan *planned,
                        lort_tensor_report *report)
{
    lort_report *owner = lort_emitter_session(emitter)->report;
    const uint64_t origin = lort_model_extent_tensor(emitter->decider->model, planned->origin);
    lort_report_same(owner, &owner->tensors[origin], report);
}

/* The plan says that the tensor has the bytes of another one. Its hash must say so too: the plan is
 * older than the last look at the files. lort merge compares the hashes of two runs. */
static lort_code check_same(const lort_emitter *emitter, const lort_part *record, lort_error *err)
{
    if (!record->same || record->origin < emitter->plan->first ||
        memcmp(emitter->sources[record->origin].bytes, record->source.bytes,
               sizeof record->source.bytes) == 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_READ,
                     "it had the same bytes as part %llu when LoRT planned, and has others now: "
                     "the input changed; run the command again",
                     (unsigned long long)record->origin);
}

/* No part of a file counts whose bytes are not those that the server promised. Nor does any part
 * behind them, nor does a curve. */
static void distrust_file(lort_emitter *emitter, uint32_t file)
{
    uint64_t count, first = 0;
    const lort_extent *extents = lort_model_extents(emitter->decider->model, &count);
    lort_emitter_session(emitter)->tensors_done = 0;
    for (; extents[first].file != file; first++)
        lort_emitter_session(emitter)->tensors_done += emitter->plan->tensors[first].tensor != NULL;
    lort_publish_cut(emitter->publish, first ? emitter->entries[first - 1].record_offset +
                                                   emitter->entries[first - 1].record_bytes
                                             : 0);
    emitter->distrusted = true;
}

/* Of a model from the network: proves the bytes of the part, and notes how far the proof is. A
 * later run goes on from there. */
static lort_code prove_part(lort_emitter *emitter, lort_error *err)
{
    const lort_part_draft *part = &emitter->part;
    const lort_decider *decider = emitter->decider;
    lort_buffer state = {.alloc = lort_emitter_alloc(emitter)};
    /* A task does not read a file from its first byte to its last. */
    if (!lort_model_is_supplied(decider->model) || emitter->plan->tasks)
        return LORT_OK;
    lort_code code =
        lort_model_prove(decider->model, part->file, part->offset + part->bytes, &state, err);
    if (code == LORT_E_READ)
        distrust_file(emitter, part->file);
    if (code == LORT_OK && state.size)
        code = lort_journal_note(decider->journal, LORT_NOTE_PROOF, part->extent, &state, err);
    lort_buffer_free(&state);
    return code;
}

static void count_part(lort_emitter *emitter, uint64_t extent, uint64_t bytes)
{
    if (lort_tensor_plan_counts(&emitter->plan->tensors[extent]))
        emitter->counted += bytes;
}

static lort_code end_part(lort_emitter *emitter, lort_tensor_report *report, lort_error *err)
{
    lort_part_draft *part = &emitter->part;
    const lort_tensor *tensor = part->planned->tensor;
    lort_term terms[LORT_DRAFT_TERMS];
    int64_t raw_dim = (int64_t)part->bytes;
    double error = lort_part_draft_error(part);
    lort_buffer body = {.alloc = lort_emitter_alloc(emitter)};
    lort_part record = {.number = part->extent,
                        .tensor = tensor != NULL,
                        .name = tensor ? tensor->name : "",
                        .name_bytes = tensor ? tensor->name_bytes : 0,
                        .dtype = part->type->id,
                        .n_dims = tensor ? tensor->n_dims : 1,
                        .dims = tensor ? (int64_t *)(uintptr_t)tensor->dims : &raw_dim,
                        .slices = part->slices,
                        .convolution = part->planned->convolution && part->planned->candidate,
                        .same = part->planned->same,
                        .origin = part->planned->same ? part->planned->origin : part->extent,
                        .source_bytes = part->bytes,
                        .source = lort_hasher_value(part->hasher),
                        .has_error = !isnan(error) && !part->planned->same,
                        .rel_error = isnan(error) ? 0 : error,
                        .reason = part->planned->same ? "" : lort_reason_text(part->reason),
                        .terms = terms,
                        .chunks = emitter->chunks,
                        .chunk_count = emitter->chunk_count,
                        .payload_bytes = lort_publish_size(emitter->publish) - part->start};
    lort_code code = LORT_OK;
    if (part->any_base)
        code = lort_base_describe(lort_emitter_session(emitter)->base, part->planned->base - 1,
                                  &part->base, err);
    lort_part_draft_terms(part, terms, &record.term_count);
    lort_part_put(&record, &body);
    lort_index_entry *entry = &emitter->entries[part->extent];
    entry->record_offset = lort_publish_size(emitter->publish);
    lort_hasher_add(emitter->model_hash, record.source.bytes, sizeof record.source.bytes);
    lort_hasher_add(emitter->parts_hash, body.data, body.size);
    /* A part with a record is never made again, so its input must not have changed. */
    emitter->sources[part->extent] = record.source;
    if (code == LORT_OK)
        code = lort_model_file_unchanged(emitter->decider->model, part->file, err);
    if (code == LORT_OK)
        code = check_same(emitter, &record, err);
    if (code == LORT_OK)
        code = prove_part(emitter, err);
    if (code == LORT_OK)
        code = write_record(emitter, LORT_FRAME_PART, &body, &entry->record_bytes, err);
    else
        lort_buffer_free(&body);
    count_part(emitter, part->extent, lort_publish_size(emitter->publish) - part->start);
    if (report)
        fill_report(emitter, report);
    if (report && part->planned->same)
        report_same(emitter, part->planned, report);
    if (code == LORT_OK && tensor)
        code = lort_publish_checkpoint(emitter->publish, err);
    lort_model_release(emitter->decider->model, part->file, part->offset, part->bytes);
    if (part->planned->base)
        lort_base_release(lort_emitter_session(emitter)->base, part->planned->base - 1);
    return code;
}

lort_code lort_emit_end(lort_emitter *emitter, lort_tensor_report *report, lort_error *err)
{
    lort_code code = is_smaller_whole(emitter) ? write_whole(emitter, err) : LORT_OK;
    return code ? code : end_part(emitter, report, err);
}

static void report_adopted(lort_emitter *emitter, const lort_part *part, uint64_t record_bytes)
{
    const uint64_t tensor = lort_model_extent_tensor(emitter->decider->model, part->number);
    lort_report *owner = lort_emitter_session(emitter)->report;
    const lort_term *raw = NULL;
    uint32_t kept = 0;
    if (tensor == UINT64_MAX)
        return;
    lort_tensor_report *report = &owner->tensors[tensor];
    lort_reading_figures(owner, part, record_bytes, report);
    report->slices = emitter->plan->tensors[part->number].candidate ? part->slices : report->slices;
    if (part->same) {
        report_same(emitter, &emitter->plan->tensors[part->number], report);
        return;
    }
    for (uint32_t t = 0; t < part->term_count; t++)
        raw = part->terms[t].kind == LORT_TERM_RAW ? &part->terms[t] : raw;
    for (uint32_t s = 0; raw && s < part->slices; s++)
        kept += raw->rank[s];
    if (report->action != LORT_ACTION_KEPT)
        report->reason_text = lort_reason_partly(owner, kept, part->slices, report->reason_text);
}

lort_code lort_emit_adopt(lort_emitter *emitter, const lort_part *part, const lort_record *from,
                          lort_error *err)
{
    const uint64_t record_bytes = from->frame_bytes;
    lort_session *session = lort_emitter_session(emitter);
    const lort_tensor_plan *planned = &emitter->plan->tensors[part->number];
    const uint64_t record = lort_publish_size(emitter->publish) + part->payload_bytes;
    if (part->same != planned->same ||
        (part->same && (part->origin != planned->origin ||
                        (part->origin >= emitter->plan->first &&
                         memcmp(emitter->sources[part->origin].bytes, part->source.bytes,
                                sizeof part->source.bytes) != 0))))
        return lort_fail(err, LORT_E_DAMAGED, "part %llu has the bytes of another part than before",
                         (unsigned long long)part->number);
    lort_code code = lort_publish_adopt(emitter->publish, part->payload_bytes + record_bytes, err);
    if (code)
        return code;
    emitter->entries[part->number] = (lort_index_entry){record, record_bytes};
    emitter->sources[part->number] = part->source;
    lort_hasher_add(emitter->model_hash, part->source.bytes, sizeof part->source.bytes);
    lort_hasher_add(emitter->parts_hash, from->body, from->bytes);
    count_part(emitter, part->number, part->payload_bytes + record_bytes);
    report_adopted(emitter, part, record_bytes);
    session->done_bytes += part->source_bytes;
    session->out_bytes = lort_publish_size(emitter->publish);
    return LORT_OK;
}

bool lort_emit_distrusted(const lort_emitter *emitter) { return emitter && emitter->distrusted; }

static lort_code fill_task(const lort_emitter *emitter, lort_task_record *task, lort_error *err)
{
    const lort_decider *decider = emitter->decider;
    const lort_options *options = decider->options;
    const lort_work_plan *plan = emitter->plan;
    *task = (lort_task_record){.task = plan->task,
                               .tasks = plan->tasks,
                               .first = plan->first,
                               .end = plan->end,
                               .extents = plan->count,
                               .parts = lort_hasher_value(emitter->parts_hash),
                               .size_limit = plan->size_limit,
                               .bpw_limit = options->goal == LORT_GOAL_BPW ? options->value : 0,
                               .reserve = plan->reserve,
                               .elements = (uint64_t)lort_plan_elements(plan),
                               .counted = emitter->counted,
                               .fail_above = options->fail_above,
                               .zstd_level = (uint32_t)options->zstd_level};
    if (plan->shares)
        task->shares = lort_shares_hash(plan);
    return lort_key_hash(lort_journal_get_key(decider->journal), lort_emitter_alloc(emitter),
                         &task->key, err);
}

/* Ends the file of a task: the index of its parts, and TASK. */
static lort_code finish_task(lort_emitter *emitter, lort_error *err)
{
    const lort_work_plan *plan = emitter->plan;
    lort_task_record task;
    lort_buffer body = {.alloc = lort_emitter_alloc(emitter)};
    uint64_t bytes;
    lort_code code = fill_task(emitter, &task, err);
    if (code)
        return code;
    const lort_index_record index = {emitter->entries + plan->first, plan->end - plan->first,
                                     task.parts};
    lort_index_record_put(&index, &body);
    code = write_record(emitter, LORT_FRAME_INDEX, &body, &task.index_bytes, err);
    task.file_size = lort_publish_size(emitter->publish) + LORT_TASK_BYTES;
    body = (lort_buffer){.alloc = lort_emitter_alloc(emitter)};
    if (code)
        return code;
    lort_task_record_put(&task, &body);
    return write_record(emitter, LORT_FRAME_TASK, &body, &bytes, err);
}

lort_code lort_emit_finish(lort_emitter *emitter, lort_error *err)
{
    if (emitter->plan->tasks)
        return finish_task(emitter, err);
    lort_buffer body = {.alloc = lort_emitter_alloc(emitter)};
    lort_index_record index = {emitter->entries, emitter->plan->count,
                               lort_hasher_value(emitter->model_hash)};
    lort_footer footer = {.model_offset = LORT_HEADER_BYTES,
                          .index_offset = lort_publish_size(emitter->publish)};
    uint64_t bytes;
    lort_index_record_put(&index, &body);
    lort_code code = write_record(emitter, LORT_FRAME_INDEX, &body, &footer.index_bytes, err);
    if (code)
        return code;
    footer.file_size = lort_publish_size(emitter->publish) + LORT_FOOTER_BYTES;
    lort_footer_put(&footer, &body);
    return write_record(emitter, LORT_FRAME_FOOTER, &body, &bytes, err);
}

void lort_emit_close(lort_emitter *emitter)
{
    if (!emitter)
        return;
    const lort_alloc *alloc = lort_emitter_alloc(emitter);
    close_part(emitter);
    for (unsigned i = 0; emitter->slots && i < emitter->window; i++)
        lort_scratch_close(&emitter->slots[i], alloc);
    lort_give(alloc, emitter->slots, emitter->window * sizeof *emitter->slots);
    lort_give(alloc, emitter->chunks, emitter->chunk_room * sizeof *emitter->chunks);
    lort_give(alloc, emitter->entries, emitter->plan->count * sizeof *emitter->entries);
    if (emitter->sources)
        lort_give(alloc, emitter->sources, emitter->plan->count * sizeof *emitter->sources);
    lort_hasher_close(emitter->model_hash);
    lort_hasher_close(emitter->parts_hash);
    lort_give(alloc, emitter, sizeof *emitter);
}
