/* emit_slice: the chunks of one slice: kept, coded or factored. The pool encodes the chunks. The
 * thread of the caller appends them in order. */
#include "compress/session/session.h"
#include "compress/slice/chunk.h"
#include "compress/slice/fit_integers.h"
#include "compress/slice/fit_trits.h"
#include "compress/slice/rounded.h"
#include "compress/write/emit_parts.h"
#include "formats/base/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- chunks ---- */

static lort_code add_chunk(lort_emitter *emitter, const lort_chunk *chunk, const void *coded,
                           lort_error *err)
{
    if (emitter->chunk_count == emitter->chunk_room) {
        uint64_t room = emitter->chunk_room ? 2 * emitter->chunk_room : 64;
        void *memory;
        lort_code code = lort_take(lort_emitter_alloc(emitter), room * sizeof *chunk,
                                   "chunk descriptions", &memory, err);
        if (code)
            return code;
        if (emitter->chunk_count)
            memcpy(memory, emitter->chunks, emitter->chunk_count * sizeof *chunk);
        lort_give(lort_emitter_alloc(emitter), emitter->chunks,
                  emitter->chunk_room * sizeof *chunk);
        emitter->chunks = memory;
        emitter->chunk_room = room;
    }
    lort_chunk *added = &emitter->chunks[emitter->chunk_count++];
    *added = *chunk;
    added->offset = lort_publish_size(emitter->publish) - emitter->part.start;
    return lort_publish_append(emitter->publish, coded, chunk->stored, err);
}

static void count_bytes(lort_emitter *emitter, uint64_t bytes)
{
    lort_session *session = lort_emitter_session(emitter);
    session->done_bytes += bytes;
    session->out_bytes = lort_publish_size(emitter->publish);
}

/* Bytes of the input that are stored losslessly as one array. */
typedef struct raw_run {
    lort_emitter *emitter;
    uint32_t slice;
    uint64_t offset, bytes; /* in the file */
    struct raw_slot {
        const uint8_t *src;
        uint64_t bytes, stored, hash;
        uint64_t strange; /* the first element of the chunk that is NaN or Inf; or the elements */
    } * slots;            /* [window] */
} raw_run;

/* The other kept tensors are not decoded. A NaN in a scale or a router ruins a whole layer. */
static bool is_looked_through(const lort_part_draft *part)
{
    return part->planned->tensor && part->type->decode &&
           (part->planned->reason == LORT_REASON_COMPANION ||
            part->planned->reason == LORT_REASON_ROUTER);
}

/* The first element of a chunk that is NaN or Inf, or the number of its elements. */
static uint64_t find_strange(const lort_dtype_info *type, const uint8_t *src, uint64_t elements)
{
    float values[LORT_BLOCK_ELEMENTS_MAX];
    for (uint64_t at = 0; at < elements; at += LORT_BLOCK_ELEMENTS_MAX) {
        const uint64_t left = elements - at,
                       n = left < LORT_BLOCK_ELEMENTS_MAX ? left : LORT_BLOCK_ELEMENTS_MAX;
        type->decode(src + at / type->block_elements * type->block_bytes, values, n);
        const uint64_t found = lort_find_nonfinite(values, n);
        if (found < n)
            return at + found;
    }
    return elements;
}

/* Notes the first NaN or Inf of a part that is kept for another reason. */
static void note_strange(lort_part_draft *part, uint64_t element)
{
    const uint64_t cols = (uint64_t)part->planned->shape.cols;
    if (part->reason == LORT_REASON_NOT_FINITE)
        return;
    part->reason = LORT_REASON_NOT_FINITE;
    snprintf(part->detail, sizeof part->detail, "first at row %llu, column %llu",
             (unsigned long long)(element / cols), (unsigned long long)(element % cols));
}

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
        code = lort_chunk_encode_planned(emitter->decider, emitter->part.planned, run->offset + at,
                                         lort_emitter_session(emitter)->scratch[worker].codec,
                                         &emitter->slots[slot], state->src, state->bytes,
                                         &state->stored, err);
    if (code == LORT_OK)
        state->hash = lort_xxh64(emitter->slots[slot].coded, state->stored);
    if (code == LORT_OK && is_looked_through(&emitter->part))
        state->strange = find_strange(emitter->part.type, state->src,
                                      state->bytes / emitter->part.type->block_bytes *
                                          emitter->part.type->block_elements);
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
    lort_code code = lort_session_check_stop(lort_emitter_session(emitter), err);
    if (code)
        return code;
    lort_hasher_add(emitter->part.hasher, state->src, state->bytes);
    if (is_looked_through(&emitter->part) && state->strange < chunk.count)
        note_strange(&emitter->part, chunk.first + state->strange);
    lort_session_tick(lort_emitter_session(emitter), state->bytes);
    code = add_chunk(emitter, &chunk, coded, err);
    count_bytes(emitter, state->bytes);
    return code;
}

lort_code lort_emit_raw(lort_emitter *emitter, uint32_t slice, uint64_t offset, uint64_t bytes,
                        lort_error *err)
{
    raw_run run = {.emitter = emitter, .slice = slice, .offset = offset, .bytes = bytes};
    uint64_t chunk = lort_chunk_bytes(emitter->part.type);
    void *memory;
    lort_code code = lort_take(lort_emitter_alloc(emitter), emitter->window * sizeof *run.slots,
                               "the commit window", &memory, err);
    if (code)
        return code;
    run.slots = memory;
    lort_part_draft_base(&emitter->part, slice);
    code =
        lort_pool_run(lort_emitter_session(emitter)->pool, (int64_t)((bytes + chunk - 1) / chunk),
                      emitter->window, encode_raw, commit_raw, &run, err);
    lort_give(lort_emitter_alloc(emitter), run.slots, emitter->window * sizeof *run.slots);
    return code;
}

/* ---- coded blocks ---- */

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
    lort_row_sum *rows; /* [rows of the slice][grid.across]; NULL: rows do not count */
    uint64_t done;      /* weights written so far */
    double error2;
    lort_weighed error;
} block_run;

static lort_code encode_block(void *ctx, int64_t item, unsigned worker, unsigned slot,
                              lort_error *err)
{
    block_run *run = ctx;
    const lort_outcome *outcome = run->outcome;
    struct block_slot *state = &run->slots[slot];
    lort_scratch *scratch = &lort_emitter_session(run->emitter)->scratch[worker];
    const lort_block_place place = lort_block_get(&run->grid, item);
    state->weights = (uint64_t)place.rows * (uint64_t)place.cols;
    lort_code code =
        outcome->kind == LORT_OUTCOME_TERNARY
            ? lort_trits_encode(&run->source, worker, &place, outcome->scales, &state->coded, err)
            : lort_integers_encode(&run->source, worker, &place, outcome->codes, outcome->mean2,
                                   outcome->step, &state->coded, err);
    if (code == LORT_OK && lort_slice_weighs(&run->source))
        code = lort_slice_coded_errors(&run->source, worker, &place, place.rows, &scratch->block,
                                       &state->error, err);
    if (code == LORT_OK && run->rows)
        lort_slice_row_sums(&run->source, &place, scratch->block.weights, scratch->block.decoded,
                            run->grid.across,
                            run->rows + place.row * run->grid.across + item % run->grid.across);
    if (code == LORT_OK)
        code = lort_take(lort_emitter_alloc(run->emitter), state->coded.stored, "a coded block",
                         &state->bytes, err);
    if (code == LORT_OK)
        memcpy(state->bytes, scratch->block.coded, (size_t)state->coded.stored);
    return code;
}

/* Appends one block. */
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
    lort_code code = lort_session_check_stop(lort_emitter_session(emitter), err);
    if (code == LORT_OK)
        code = add_chunk(emitter, &chunk, state->bytes, err);
    run->done += state->weights;
    run->error2 += state->coded.error2;
    lort_weighed_add(&run->error, &state->error);
    count_bytes(emitter, state->weights / emitter->part.type->block_elements *
                             emitter->part.type->block_bytes);
    return code;
}

static lort_code commit_block(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    block_run *run = ctx;
    struct block_slot *state = &run->slots[slot];
    (void)item;
    lort_code code = append_block(run, state, err);
    lort_give(lort_emitter_alloc(run->emitter), state->bytes, state->coded.stored);
    state->bytes = NULL;
    return code;
}

/* Appends the blocks that are held since LoRT measured them. */
static lort_code append_held(block_run *run, const lort_held *held, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < held->count && code == LORT_OK; i++) {
        const lort_block_place place = lort_block_get(&run->grid, (int64_t)i);
        const struct block_slot state = {held->blocks[i].coded, held->blocks[i].error,
                                         (uint64_t)place.rows * (uint64_t)place.cols,
                                         held->blocks[i].bytes};
        code = append_block(run, &state, err);
    }
    return code;
}

static lort_code run_blocks(block_run *run, lort_error *err)
{
    lort_emitter *emitter = run->emitter;
    void *memory;
    if (run->outcome->held.count)
        return append_held(run, &run->outcome->held, err);
    lort_code code =
        lort_take_zero(lort_emitter_alloc(emitter), emitter->window * sizeof *run->slots,
                       "the commit window", &memory, err);
    if (code)
        return code;
    run->slots = memory;
    code = lort_pool_run(lort_emitter_session(emitter)->pool, run->grid.down * run->grid.across,
                         emitter->window, encode_block, commit_block, run, err);
    for (unsigned i = 0; i < emitter->window; i++)
        if (run->slots[i].bytes)
            lort_give(lort_emitter_alloc(emitter), run->slots[i].bytes, run->slots[i].coded.stored);
    lort_give(lort_emitter_alloc(emitter), run->slots, emitter->window * sizeof *run->slots);
    return code;
}

static double worst_row(const block_run *run)
{
    double worst2 = 0;
    for (int64_t r = 0; r < run->grid.rows; r++) {
        lort_row_sum sum = {0, 0};
        for (int64_t a = 0; a < run->grid.across; a++) {
            sum.norm2 += run->rows[r * run->grid.across + a].norm2;
            sum.error2 += run->rows[r * run->grid.across + a].error2;
        }
        if (sum.norm2 > 0 && sum.error2 / sum.norm2 > worst2)
            worst2 = sum.error2 / sum.norm2;
    }
    return sqrt(worst2);
}

/* Writes the blocks. Where readers use single rows, measures the error of each row too. Beside
 * factors the blocks are a residual, and the norms of the rows are not known. */
static lort_code run_rows(block_run *run, lort_error *err)
{
    const uint64_t bytes =
        (uint64_t)run->grid.rows * (uint64_t)run->grid.across * sizeof *run->rows;
    lort_part_draft *part = &run->emitter->part;
    void *memory;
    if (!part->planned->kind.by_row || run->source.factors)
        return run_blocks(run, err);
    lort_code code =
        lort_take_zero(lort_emitter_alloc(run->emitter), bytes, "errors of rows", &memory, err);
    if (code)
        return code;
    run->rows = memory;
    code = run_blocks(run, err);
    part->worst_row = fmax(part->worst_row, worst_row(run));
    lort_give(lort_emitter_alloc(run->emitter), memory, bytes);
    return code;
}

/* Hashes the source bytes of a slice that is not stored losslessly. The record says by this hash
 * from which bytes the slice was made. */
static lort_code hash_source(lort_emitter *emitter, uint64_t offset, uint64_t bytes,
                             lort_error *err)
{
    lort_scratch *scratch = &emitter->slots[0];
    return lort_model_hash(emitter->decider->model, emitter->part.file, offset, bytes,
                           scratch->bytes, scratch->size, emitter->part.hasher, err);
}

/* Adds up the squares of the weights themselves: the error in a record is relative to them. */
static lort_code sum_source(lort_emitter *emitter, uint64_t offset, uint64_t bytes, lort_error *err)
{
    lort_part_draft *part = &emitter->part;
    const uint64_t each = part->type->block_bytes, most = LORT_BLOCK_ELEMENTS_MAX * each;
    float values[LORT_BLOCK_ELEMENTS_MAX];
    lort_code code = LORT_OK;
    for (uint64_t at = 0; at < bytes && code == LORT_OK; at += most) {
        const uint64_t n = bytes - at < most ? bytes - at : most;
        const uint8_t *src;
        code = lort_model_view(emitter->decider->model, part->file, offset + at, n,
                               emitter->slots[0].bytes, &src, err);
        if (code == LORT_OK)
            part->type->decode(src, values, n / each);
        for (uint64_t i = 0; code == LORT_OK && i < n / each; i++)
            part->source2 += (double)values[i] * values[i];
    }
    return code;
}

/* ---- slices ---- */

/* Appends the arrays of an outcome that stand in front of its blocks, or those behind them. */
static lort_code emit_coded(lort_emitter *emitter, const lort_outcome *outcome, bool behind,
                            lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < outcome->chunk_count && code == LORT_OK; i++)
        if (behind == (outcome->chunks[i].array >= LORT_ARRAY_ID(LORT_ARRAY_PLACES, 0)))
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
    run.source.outliers = outcome->outliers.count ? &outcome->outliers : NULL;
    if (outcome->kind == LORT_OUTCOME_CODED)
        run.source.scales = lort_scales_in(outcome->codes, planned->scaled, &planned->shape);
    if (lort_outcome_has_factors(outcome))
        lort_part_draft_factors(part, slice, outcome);
    part->any_blocks = true;
    part->ternary = outcome->kind == LORT_OUTCOME_TERNARY;
    part->ranks[part->slices + slice] = 1;
    part->steps[slice] = outcome->step;
    lort_part_draft_base(part, slice);
    lort_factored factored = {0};
    lort_code code = hash_source(emitter, offset, bytes, err);
    if (code == LORT_OK && outcome->held.count == 0)
        code = lort_slice_take_factored(&run.source, slice, &factored, err);
    if (code == LORT_OK)
        code = emit_coded(emitter, outcome, false, err);
    if (code == LORT_OK)
        code = run_rows(&run, err);
    lort_factored_free(&factored);
    if (code == LORT_OK)
        code = emit_coded(emitter, outcome, true, err);
    part->error2 += lort_slice_weighs(&run.source) ? run.error.plain : run.error2;
    lort_weighed_add(&part->error, &run.error);
    part->loss += run.error.weighed * outcome->input_mean;
    part->damping = fmax(part->damping, outcome->damping);
    return code;
}

static lort_code emit_factors(lort_emitter *emitter, uint32_t slice, const lort_outcome *outcome,
                              uint64_t offset, uint64_t bytes, lort_error *err)
{
    lort_part_draft *part = &emitter->part;
    lort_part_draft_factors(part, slice, outcome);
    lort_part_draft_base(part, slice);
    lort_code code = hash_source(emitter, offset, bytes, err);
    if (code == LORT_OK)
        code = emit_coded(emitter, outcome, false, err);
    if (code == LORT_OK)
        code = emit_coded(emitter, outcome, true, err);
    part->error2 += outcome->error2;
    lort_weighed_add(&part->error, &outcome->error);
    count_bytes(emitter, bytes);
    return code;
}

lort_code lort_emit_slice(lort_emitter *emitter, uint32_t slice, const lort_outcome *outcome,
                          lort_error *err)
{
    lort_part_draft *part = &emitter->part;
    uint64_t bytes = part->planned->candidate ? lort_slice_bytes(part->planned) : part->bytes;
    uint64_t offset = part->offset + slice * bytes;
    part->seconds += outcome->seconds;
    part->lossless += outcome->lossless;
    part->norm2 += outcome->norm2 + outcome->outliers.energy;
    part->outliers += outcome->outliers.count;
    part->outlier_energy += outcome->outliers.energy;
    part->ranks[2 * (uint64_t)part->slices + slice] = (uint32_t)outcome->outliers.count;
    lort_weighed_add(&part->norm, &outcome->norm);
    part->undefined |= part->planned->candidate && !outcome->has_norm;
    /* One pass more to hash or store the slice, and one more if its blocks are encoded now. */
    const uint32_t passes =
        outcome->passes + 1 + (lort_outcome_has_blocks(outcome) && outcome->held.count == 0);
    part->passes = passes > part->passes ? passes : part->passes;
    if (part->spectrum.count == 0)
        part->spectrum = outcome->spectrum;
    if (part->planned->base && part->planned->candidate && !part->planned->same) {
        lort_code code = sum_source(emitter, offset, bytes, err);
        if (code)
            return code;
    }
    if (part->planned->same) {
        lort_emitter_session(emitter)->done_bytes += bytes;
        return hash_source(emitter, offset, bytes, err);
    }
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
    return lort_emit_raw(emitter, slice, offset, bytes, err);
}
