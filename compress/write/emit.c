/* emit: the container's bytes in order. Chunks are encoded by the pool, hashed and appended by the
 * caller's thread. */
#include "compress/write/emit.h"
#include "compress/session/figures.h"
#include "compress/session/reasons.h"
#include "compress/session/report.h"
#include "compress/slice/chunk.h"
#include "compress/slice/fit_integers.h"
#include "compress/slice/fit_trits.h"
#include "compress/write/part.h"
#include "compress/write/start.h"
#include "loader/store/record.h"
#include <math.h>
#include <string.h>

#define PROGRESS_CHUNKS 64

struct lort_emitter {
    const lort_decider *decider;
    const lort_work_plan *plan;
    lort_publish *publish;
    lort_scratch *slots; /* [window] */
    unsigned window;
    lort_part_draft part;
    lort_chunk *chunks; /* of the part, grown as needed */
    uint64_t chunk_count, chunk_room;
    lort_index_entry *entries;
    lort_hasher *model_hash;
};

static lort_session *session_of(const lort_emitter *emitter) { return emitter->decider->session; }
static const lort_alloc *alloc_of(const lort_emitter *emitter)
{
    return &emitter->decider->session->alloc;
}

/* ---- opening ---- */

static lort_code write_record(lort_emitter *emitter, lort_frame_kind kind, lort_buffer *body,
                              uint64_t *bytes, lort_error *err)
{
    lort_code code = lort_buffer_check(body, err);
    if (code == LORT_OK)
        code =
            lort_record_write(emitter->publish, kind, body, session_of(emitter)->scratch[0].codec,
                              alloc_of(emitter), bytes, err);
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
    lort_code code = lort_take(alloc_of(emitter), start->size, "the start of the unfinished output",
                               &memory, err);
    if (code)
        return code;
    code = lort_publish_look(emitter->publish, memory, start->size, 0, err);
    *same = code == LORT_OK && memcmp(memory, start->data, start->size) == 0;
    lort_give(alloc_of(emitter), memory, start->size);
    return code;
}

static lort_code write_start(lort_emitter *emitter, lort_error *err)
{
    bool same = false;
    lort_buffer start = {.alloc = alloc_of(emitter)};
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
    lort_code code = lort_take_zero(alloc_of(emitter), emitter->window * sizeof *emitter->slots,
                                    "the commit window", &memory, err);
    if (code)
        return code;
    emitter->slots = memory;
    for (unsigned i = 0; i < emitter->window && code == LORT_OK; i++)
        code = lort_scratch_open(&emitter->slots[i], alloc_of(emitter), LORT_CHUNK_TARGET, err);
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
        code = open_slots(emitter, err);
    }
    if (code == LORT_OK)
        code = lort_hasher_open(alloc, &emitter->model_hash, err);
    if (code == LORT_OK)
        code = write_start(emitter, err);
    if (code)
        lort_emit_close(emitter);
    else
        *out = emitter;
    return code;
}

/* ---- chunks ---- */

static lort_code add_chunk(lort_emitter *emitter, const lort_chunk *chunk, const void *coded,
                           lort_error *err)
{
    if (emitter->chunk_count == emitter->chunk_room) {
        uint64_t room = emitter->chunk_room ? 2 * emitter->chunk_room : 64;
        void *memory;
        lort_code code =
            lort_take(alloc_of(emitter), room * sizeof *chunk, "chunk descriptions", &memory, err);
        if (code)
            return code;
        if (emitter->chunk_count)
            memcpy(memory, emitter->chunks, emitter->chunk_count * sizeof *chunk);
        lort_give(alloc_of(emitter), emitter->chunks, emitter->chunk_room * sizeof *chunk);
        emitter->chunks = memory;
        emitter->chunk_room = room;
    }
    lort_chunk *added = &emitter->chunks[emitter->chunk_count++];
    *added = *chunk;
    added->offset = lort_publish_size(emitter->publish) - emitter->part.start;
    return lort_publish_append(emitter->publish, coded, chunk->stored, err);
}

static void say_progress(lort_emitter *emitter, uint64_t bytes)
{
    lort_session *session = session_of(emitter);
    session->done_bytes += bytes;
    session->out_bytes = lort_publish_size(emitter->publish);
    if (emitter->chunk_count % PROGRESS_CHUNKS || !emitter->part.planned->tensor)
        return;
    char name[200];
    lort_tensor_report shown = {.name = lort_escape(name, sizeof name,
                                                    emitter->part.planned->tensor->name,
                                                    emitter->part.planned->tensor->name_bytes)};
    lort_session_say(session, LORT_EVENT_PROGRESS, &shown, NULL);
}

/* A run of bytes of the input that is stored losslessly as one array. */
typedef struct raw_run {
    lort_emitter *emitter;
    uint32_t slice;
    uint64_t offset, bytes; /* in the file */
    struct raw_slot {
        const uint8_t *src;
        uint64_t bytes, stored, hash;
    } * slots; /* [window] */
} raw_run;

static lort_code encode_raw(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    raw_run *run = ctx;
    lort_emitter *emitter = run->emitter;
    struct raw_slot *state = &run->slots[slot];
    uint64_t chunk = lort_chunk_bytes(emitter->part.type), at = (uint64_t)item * chunk;
    state->bytes = run->bytes - at < chunk ? run->bytes - at : chunk;
    lort_code code = lort_model_view(emitter->decider->model, emitter->part.file, run->offset + at,
                                     state->bytes, emitter->slots[slot].bytes, &state->src, err);
    if (code == LORT_OK)
        code = lort_chunk_encode(session_of(emitter)->scratch[worker].codec, &emitter->slots[slot],
                                 emitter->part.type, state->src, state->bytes, &state->stored, err);
    if (code == LORT_OK)
        state->hash = lort_xxh64(emitter->slots[slot].coded, state->stored);
    return code;
}

static lort_code commit_raw(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    raw_run *run = ctx;
    lort_emitter *emitter = run->emitter;
    const lort_dtype_info *type = emitter->part.type;
    struct raw_slot *state = &run->slots[slot];
    const uint8_t *coded = emitter->slots[slot].coded;
    lort_chunk chunk = {.array = LORT_ARRAY_ID(LORT_ARRAY_RAW, run->slice),
                        .stored = (uint32_t)state->stored,
                        .decoded = (uint32_t)state->bytes,
                        .first = (uint64_t)item * lort_chunk_elements(type),
                        .count = state->bytes / type->block_bytes * type->block_elements,
                        .hash = state->hash};
    lort_code code = lort_session_check_stop(session_of(emitter), err);
    if (code)
        return code;
    lort_hasher_add(emitter->part.hasher, state->src, state->bytes);
    code = add_chunk(emitter, &chunk, coded, err);
    say_progress(emitter, state->bytes);
    return code;
}

static lort_code emit_raw(lort_emitter *emitter, uint32_t slice, uint64_t offset, uint64_t bytes,
                          lort_error *err)
{
    raw_run run = {.emitter = emitter, .slice = slice, .offset = offset, .bytes = bytes};
    uint64_t chunk = lort_chunk_bytes(emitter->part.type);
    void *memory;
    lort_code code = lort_take(alloc_of(emitter), emitter->window * sizeof *run.slots,
                               "the commit window", &memory, err);
    if (code)
        return code;
    run.slots = memory;
    code = lort_pool_run(session_of(emitter)->pool, (int64_t)((bytes + chunk - 1) / chunk),
                         emitter->window, encode_raw, commit_raw, &run, err);
    lort_give(alloc_of(emitter), run.slots, emitter->window * sizeof *run.slots);
    return code;
}

/* ---- quantised blocks ---- */

typedef struct block_run {
    lort_emitter *emitter;
    const lort_outcome *outcome;
    uint32_t slice;
    lort_slice_source source;
    lort_block_grid grid;
    /* [window] */
    struct block_slot {
        lort_block_coded coded;
        lort_weighed error;
        uint64_t weights;
        void *bytes;
    } * slots;
    uint64_t done; /* weights */
    double error2;
    lort_weighed error;
} block_run;

static lort_code encode_block(void *ctx, int64_t item, unsigned worker, unsigned slot,
                              lort_error *err)
{
    block_run *run = ctx;
    const lort_outcome *outcome = run->outcome;
    struct block_slot *state = &run->slots[slot];
    lort_scratch *scratch = &session_of(run->emitter)->scratch[worker];
    const lort_block_place place = lort_block_get(&run->grid, item);
    state->weights = (uint64_t)place.rows * (uint64_t)place.cols;
    lort_code code =
        outcome->kind == LORT_OUTCOME_TERNARY
            ? lort_trits_encode(&run->source, worker, &place, outcome->scales, &state->coded, err)
            : lort_integers_encode(&run->source, worker, &place, outcome->codes, outcome->mean2,
                                   outcome->step, &state->coded, err);
    if (code == LORT_OK && run->source.weighting.on)
        state->error = lort_weighed_sum(&run->source.weighting, run->source.scales, place.col,
                                        scratch->block.weights, scratch->block.decoded, place.rows,
                                        place.cols);
    if (code == LORT_OK)
        code = lort_take(alloc_of(run->emitter), state->coded.stored, "a coded block",
                         &state->bytes, err);
    if (code == LORT_OK)
        memcpy(state->bytes, scratch->block.coded, (size_t)state->coded.stored);
    return code;
}

/* One block behind the others. */
static lort_code append_block(block_run *run, const struct block_slot *state, lort_error *err)
{
    lort_emitter *emitter = run->emitter;
    lort_chunk chunk = {.array = LORT_ARRAY_ID(run->outcome->kind == LORT_OUTCOME_TERNARY
                                                   ? LORT_ARRAY_TRITS
                                                   : LORT_ARRAY_BLOCKS,
                                               run->slice),
                        .stored = (uint32_t)state->coded.stored,
                        .decoded = (uint32_t)state->coded.decoded,
                        .first = run->done,
                        .count = state->weights,
                        .hash = lort_xxh64(state->bytes, state->coded.stored)};
    lort_code code = lort_session_check_stop(session_of(emitter), err);
    if (code == LORT_OK)
        code = add_chunk(emitter, &chunk, state->bytes, err);
    run->done += state->weights;
    run->error2 += state->coded.error2;
    lort_weighed_add(&run->error, &state->error);
    say_progress(emitter, state->weights / emitter->part.type->block_elements *
                              emitter->part.type->block_bytes);
    return code;
}

static lort_code commit_block(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    block_run *run = ctx;
    struct block_slot *state = &run->slots[slot];
    (void)item;
    lort_code code = append_block(run, state, err);
    lort_give(alloc_of(run->emitter), state->bytes, state->coded.stored);
    state->bytes = NULL;
    return code;
}

/* Those that were held since they were measured. */
static lort_code append_kept(block_run *run, const lort_held *kept, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < kept->count && code == LORT_OK; i++) {
        const lort_block_place place = lort_block_get(&run->grid, (int64_t)i);
        const struct block_slot state = {kept->blocks[i].coded, kept->blocks[i].error,
                                         (uint64_t)place.rows * (uint64_t)place.cols,
                                         kept->blocks[i].bytes};
        code = append_block(run, &state, err);
    }
    return code;
}

static lort_code run_blocks(block_run *run, lort_error *err)
{
    lort_emitter *emitter = run->emitter;
    void *memory;
    if (run->outcome->held.count)
        return append_kept(run, &run->outcome->held, err);
    lort_code code = lort_take_zero(alloc_of(emitter), emitter->window * sizeof *run->slots,
                                    "the commit window", &memory, err);
    if (code)
        return code;
    run->slots = memory;
    code = lort_pool_run(session_of(emitter)->pool, run->grid.down * run->grid.across,
                         emitter->window, encode_block, commit_block, run, err);
    for (unsigned i = 0; i < emitter->window; i++)
        if (run->slots[i].bytes)
            lort_give(alloc_of(emitter), run->slots[i].bytes, run->slots[i].coded.stored);
    lort_give(alloc_of(emitter), run->slots, emitter->window * sizeof *run->slots);
    return code;
}

/* The source bytes of a factored slice are hashed too: they say what the slice was made from. */
static lort_code hash_source(lort_emitter *emitter, uint64_t offset, uint64_t bytes,
                             lort_error *err)
{
    lort_scratch *scratch = &emitter->slots[0];
    return lort_model_hash(emitter->decider->model, emitter->part.file, offset, bytes,
                           scratch->bytes, scratch->size, emitter->part.hasher, err);
}

/* ---- parts ---- */

static lort_code take_ranks(lort_emitter *emitter, uint32_t slices, lort_error *err)
{
    void *memory;
    lort_code code = lort_take_zero(alloc_of(emitter),
                                    (uint64_t)slices * (LORT_FACTOR_TERMS + 2) * sizeof(uint32_t),
                                    "ranks", &memory, err);
    emitter->part.ranks = memory;
    emitter->part.slices = slices;
    if (code)
        return code;
    code = lort_take_zero(alloc_of(emitter), slices * sizeof(int32_t), "exponents", &memory, err);
    emitter->part.exponents = memory;
    if (code)
        return code;
    code = lort_take_zero(alloc_of(emitter), slices * sizeof(float), "steps", &memory, err);
    emitter->part.steps = memory;
    return code;
}

static void close_part(lort_emitter *emitter)
{
    lort_part_draft *part = &emitter->part;
    lort_give(alloc_of(emitter), part->ranks,
              (uint64_t)part->slices * (LORT_FACTOR_TERMS + 2) * sizeof(uint32_t));
    lort_give(alloc_of(emitter), part->exponents, part->slices * sizeof(int32_t));
    lort_give(alloc_of(emitter), part->steps, part->slices * sizeof(float));
    lort_hasher_close(part->hasher);
    *part = (lort_part_draft){0};
    emitter->chunk_count = 0;
}

lort_code lort_emit_begin(lort_emitter *emitter, uint64_t extent, lort_error *err)
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
    lort_code code = take_ranks(emitter, lort_tensor_plan_slices(planned), err);
    if (code == LORT_OK)
        code = lort_hasher_open(alloc_of(emitter), &emitter->part.hasher, err);
    return code;
}

static lort_code emit_coded(lort_emitter *emitter, const lort_outcome *outcome, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < outcome->chunk_count && code == LORT_OK; i++)
        code = add_chunk(emitter, &outcome->chunks[i],
                         outcome->coded.data + outcome->chunks[i].offset, err);
    return code;
}

static lort_code emit_integers(lort_emitter *emitter, uint32_t slice, const lort_outcome *outcome,
                               uint64_t offset, uint64_t bytes, lort_error *err)
{
    lort_part_draft *part = &emitter->part;
    const lort_tensor_plan *planned = part->planned;
    block_run run = {.emitter = emitter,
                     .outcome = outcome,
                     .slice = slice,
                     .grid = lort_block_grid_of(planned->shape.rows, planned->shape.cols),
                     .source = lort_slice_source_of(emitter->decider, planned, slice)};
    run.source.factors = lort_outcome_has_factors(outcome) ? &outcome->product : NULL;
    run.source.scales =
        planned->scaled ? outcome->codes + planned->shape.rows + planned->shape.cols : NULL;
    if (lort_outcome_has_factors(outcome))
        lort_part_draft_factors(part, slice, outcome);
    part->any_blocks = true;
    part->ternary = outcome->kind == LORT_OUTCOME_TERNARY;
    part->ranks[part->slices + slice] = 1;
    part->steps[slice] = outcome->step;
    lort_code code = hash_source(emitter, offset, bytes, err);
    if (code == LORT_OK)
        code = emit_coded(emitter, outcome, err);
    if (code == LORT_OK)
        code = run_blocks(&run, err);
    part->error2 += run.source.weighting.on ? run.error.plain : run.error2;
    lort_weighed_add(&part->error, &run.error);
    return code;
}

static lort_code emit_factors(lort_emitter *emitter, uint32_t slice, const lort_outcome *outcome,
                              uint64_t offset, uint64_t bytes, lort_error *err)
{
    lort_part_draft *part = &emitter->part;
    lort_part_draft_factors(part, slice, outcome);
    lort_code code = hash_source(emitter, offset, bytes, err);
    if (code == LORT_OK)
        code = emit_coded(emitter, outcome, err);
    part->error2 += outcome->error2;
    lort_weighed_add(&part->error, &outcome->error);
    session_of(emitter)->done_bytes += bytes;
    session_of(emitter)->out_bytes = lort_publish_size(emitter->publish);
    return code;
}

lort_code lort_emit_slice(lort_emitter *emitter, uint32_t slice, const lort_outcome *outcome,
                          lort_error *err)
{
    lort_part_draft *part = &emitter->part;
    uint64_t bytes = part->planned->candidate ? lort_slice_bytes(part->planned) : part->bytes;
    uint64_t offset = part->offset + slice * bytes;
    part->seconds += outcome->seconds;
    part->norm2 += outcome->norm2;
    lort_weighed_add(&part->norm, &outcome->norm);
    part->undefined |= part->planned->candidate && !outcome->has_norm;
    /* once more to be hashed or stored, and again if its blocks are coded now */
    const uint32_t passes =
        outcome->passes + 1 + (lort_outcome_has_blocks(outcome) && outcome->held.count == 0);
    part->passes = passes > part->passes ? passes : part->passes;
    if (lort_outcome_has_blocks(outcome))
        return emit_integers(emitter, slice, outcome, offset, bytes, err);
    if (outcome->kind == LORT_OUTCOME_FACTORED)
        return emit_factors(emitter, slice, outcome, offset, bytes, err);
    part->any_raw = true;
    part->ranks[slice] = 1;
    if (part->kept++ == 0) {
        part->reason = outcome->reason;
        memcpy(part->detail, outcome->detail, sizeof part->detail);
    }
    return emit_raw(emitter, slice, offset, bytes, err);
}

static void fill_report(const lort_emitter *emitter, lort_tensor_report *report)
{
    const lort_part_draft *part = &emitter->part;
    lort_report *owner = session_of(emitter)->report;
    const bool lossy = part->pairs || part->any_blocks;
    report->action = part->any_blocks ? LORT_ACTION_CODED
                     : part->pairs    ? LORT_ACTION_FACTORED
                                      : LORT_ACTION_KEPT;
    report->rank = part->top_rank;
    report->rel_error = lort_part_draft_error(part);
    report->weighted_error = lort_part_draft_weighed_error(part);
    /* the record behind the payload included */
    report->bytes_out = lort_publish_size(emitter->publish) - part->start;
    report->passes = part->passes;
    report->seconds = part->seconds;
    report->reason = part->reason;
    report->reason_text =
        lossy ? lort_reason_partly(owner, part->kept, part->slices, lort_reason_text(part->reason))
              : lort_reason_text(part->reason);
    report->detail = lort_report_text(owner, "%s", part->detail);
}

lort_code lort_emit_end(lort_emitter *emitter, lort_tensor_report *report, lort_error *err)
{
    lort_part_draft *part = &emitter->part;
    const lort_tensor *tensor = part->planned->tensor;
    lort_term terms[LORT_FACTOR_TERMS + 2];
    int64_t raw_dim = (int64_t)part->bytes;
    double error = lort_part_draft_error(part);
    lort_buffer body = {.alloc = alloc_of(emitter)};
    lort_part record = {.number = part->extent,
                        .tensor = tensor != NULL,
                        .name = tensor ? tensor->name : "",
                        .name_bytes = tensor ? tensor->name_bytes : 0,
                        .dtype = part->type->id,
                        .n_dims = tensor ? tensor->n_dims : 1,
                        .dims = tensor ? (int64_t *)(uintptr_t)tensor->dims : &raw_dim,
                        .slices = part->slices,
                        .source_bytes = part->bytes,
                        .source = lort_hasher_value(part->hasher),
                        .has_error = !isnan(error),
                        .rel_error = isnan(error) ? 0 : error,
                        .reason = lort_reason_text(part->reason),
                        .terms = terms,
                        .chunks = emitter->chunks,
                        .chunk_count = emitter->chunk_count,
                        .payload_bytes = lort_publish_size(emitter->publish) - part->start};
    lort_part_draft_terms(part, terms, &record.term_count);
    lort_part_put(&record, &body);
    lort_index_entry *entry = &emitter->entries[part->extent];
    entry->record_offset = lort_publish_size(emitter->publish);
    lort_hasher_add(emitter->model_hash, record.source.bytes, sizeof record.source.bytes);
    /* a part with a record is never made again */
    lort_code code = lort_model_file_unchanged(emitter->decider->model, part->file, err);
    if (code == LORT_OK)
        code = write_record(emitter, LORT_FRAME_PART, &body, &entry->record_bytes, err);
    else
        lort_buffer_free(&body);
    if (report)
        fill_report(emitter, report);
    if (code == LORT_OK && tensor)
        code = lort_publish_checkpoint(emitter->publish, err);
    lort_model_release(emitter->decider->model, part->file, part->offset, part->bytes);
    return code;
}

static void report_adopted(lort_emitter *emitter, const lort_part *part, uint64_t record_bytes)
{
    const uint64_t tensor = lort_model_extent_tensor(emitter->decider->model, part->number);
    lort_report *owner = session_of(emitter)->report;
    const lort_term *raw = NULL;
    uint32_t kept = 0;
    if (tensor == UINT64_MAX)
        return;
    lort_tensor_report *report = &owner->tensors[tensor];
    lort_reading_figures(owner, part, record_bytes, report);
    for (uint32_t t = 0; t < part->term_count; t++)
        raw = part->terms[t].kind == LORT_TERM_RAW ? &part->terms[t] : raw;
    for (uint32_t s = 0; raw && s < part->slices; s++)
        kept += raw->rank[s];
    if (report->action != LORT_ACTION_KEPT)
        report->reason_text = lort_reason_partly(owner, kept, part->slices, report->reason_text);
}

lort_code lort_emit_adopt(lort_emitter *emitter, const lort_part *part, uint64_t record_bytes,
                          lort_error *err)
{
    lort_session *session = session_of(emitter);
    const uint64_t record = lort_publish_size(emitter->publish) + part->payload_bytes;
    lort_code code = lort_publish_adopt(emitter->publish, part->payload_bytes + record_bytes, err);
    if (code)
        return code;
    emitter->entries[part->number] = (lort_index_entry){record, record_bytes};
    lort_hasher_add(emitter->model_hash, part->source.bytes, sizeof part->source.bytes);
    report_adopted(emitter, part, record_bytes);
    session->done_bytes += part->source_bytes;
    session->out_bytes = lort_publish_size(emitter->publish);
    return LORT_OK;
}

lort_code lort_emit_finish(lort_emitter *emitter, lort_error *err)
{
    lort_buffer body = {.alloc = alloc_of(emitter)};
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
    const lort_alloc *alloc = alloc_of(emitter);
    close_part(emitter);
    for (unsigned i = 0; emitter->slots && i < emitter->window; i++)
        lort_scratch_close(&emitter->slots[i], alloc);
    lort_give(alloc, emitter->slots, emitter->window * sizeof *emitter->slots);
    lort_give(alloc, emitter->chunks, emitter->chunk_room * sizeof *emitter->chunks);
    lort_give(alloc, emitter->entries, emitter->plan->count * sizeof *emitter->entries);
    lort_hasher_close(emitter->model_hash);
    lort_give(alloc, emitter, sizeof *emitter);
}
