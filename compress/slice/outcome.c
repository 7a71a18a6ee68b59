/* outcome: see outcome.h. */
#include "compress/slice/outcome.h"
#include "compress/slice/chunk.h"
#include "compress/slice/weigh.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static lort_code add_chunk(lort_session *session, const lort_chunk *chunk, lort_outcome *out,
                           lort_error *err)
{
    if (out->chunk_count == out->chunk_room) {
        const uint64_t room = 2 * out->chunk_room + 4;
        void *memory;
        lort_code code =
            lort_take(&session->alloc, room * sizeof *chunk, "chunk descriptions", &memory, err);
        if (code)
            return code;
        if (out->chunk_count)
            memcpy(memory, out->chunks, out->chunk_count * sizeof *chunk);
        lort_give(&session->alloc, out->chunks, out->chunk_room * sizeof *chunk);
        out->chunks = memory;
        out->chunk_room = room;
    }
    out->chunks[out->chunk_count++] = *chunk;
    return LORT_OK;
}

lort_code lort_outcome_encode(lort_session *session, unsigned worker, lort_array array,
                              uint32_t slice, lort_dtype dtype, const uint8_t *bytes, uint64_t size,
                              lort_outcome *out, lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(dtype);
    lort_scratch *scratch = &session->scratch[worker];
    uint64_t blocks = size / type->block_bytes,
             per = lort_chunk_elements(type) / type->block_elements;
    for (uint64_t first = 0; first < blocks; first += per) {
        uint64_t count = blocks - first < per ? blocks - first : per, stored;
        lort_code code =
            lort_chunk_encode(scratch->codec, scratch, type, bytes + first * type->block_bytes,
                              count * type->block_bytes, &stored, err);
        const lort_chunk chunk = {.array = LORT_ARRAY_ID(array, slice),
                                  .stored = (uint32_t)stored,
                                  .decoded = (uint32_t)(count * type->block_bytes),
                                  .offset = out->coded.size,
                                  .first = first * type->block_elements,
                                  .count = count * type->block_elements,
                                  .hash = code ? 0 : lort_xxh64(scratch->coded, stored)};
        if (code == LORT_OK)
            code = add_chunk(session, &chunk, out, err);
        if (code)
            return code;
        lort_put_bytes(&out->coded, scratch->coded, stored);
    }
    return lort_buffer_check(&out->coded, err);
}

lort_code lort_outcome_room(lort_session *session, uint64_t bytes, unsigned arrays,
                            lort_outcome *out, lort_error *err)
{
    void *memory;
    out->chunk_room = bytes / LORT_CHUNK_TARGET + 2 * arrays;
    lort_code code = lort_take(&session->alloc, out->chunk_room * sizeof(lort_chunk),
                               "chunk descriptions", &memory, err);
    out->chunks = memory;
    out->coded.alloc = &session->alloc;
    return code;
}

lort_code lort_outcome_encode_factors(lort_session *session, unsigned worker, uint32_t slice,
                                      const lort_factors *factors, lort_outcome *out,
                                      lort_error *err)
{
    /* Codes or scales may follow the factors. They are not larger. */
    const uint64_t bytes = factors->left_bytes + factors->right_bytes;
    lort_code code = lort_outcome_room(session, 2 * bytes, 4, out, err);
    if (code == LORT_OK)
        code = lort_outcome_encode(session, worker, LORT_ARRAY_LEFT, slice, factors->left_type,
                                   factors->left, factors->left_bytes, out, err);
    if (code == LORT_OK)
        code = lort_outcome_encode(session, worker, LORT_ARRAY_RIGHT, slice, factors->right_type,
                                   factors->right, factors->right_bytes, out, err);
    return code;
}

void lort_outcome_free(lort_outcome *outcome, const lort_alloc *alloc)
{
    lort_give(alloc, outcome->chunks, outcome->chunk_room * sizeof(lort_chunk));
    lort_give(alloc, outcome->codes, outcome->code_count);
    lort_give(alloc, outcome->scales, outcome->scale_bytes);
    lort_held_close(&outcome->held);
    lort_outliers_free(&outcome->outliers, alloc);
    lort_give(alloc, outcome->product.left, outcome->left_bytes);
    lort_give(alloc, outcome->product.right, outcome->right_bytes);
    if (outcome->coded.alloc)
        lort_buffer_free(&outcome->coded);
    *outcome = (lort_outcome){0};
}

lort_code lort_outcome_keep(lort_outcome *out, lort_reason reason)
{
    out->kind = LORT_OUTCOME_KEPT;
    out->reason = reason;
    return LORT_OK;
}

lort_code lort_outcome_keep_larger(lort_outcome *out, lort_reason reason, uint64_t bytes)
{
    snprintf(out->detail, sizeof out->detail, "%llu against %llu bytes", (unsigned long long)bytes,
             (unsigned long long)out->lossless);
    return lort_outcome_keep(out, reason);
}
static void say_place(lort_outcome *out, int64_t row, int64_t col)
{
    snprintf(out->detail, sizeof out->detail, "first at row %lld, column %lld", (long long)row,
             (long long)col);
}

lort_code lort_slice_keep_nonfinite(lort_slice_source *source, unsigned worker, lort_outcome *out,
                                    lort_error *err)
{
    const lort_matrices *shape = &source->planned->shape;
    const lort_block_grid grid = lort_block_grid_of(shape->rows, shape->cols);
    lort_block_space *space = &source->decider->session->scratch[worker].block;
    int64_t row = INT64_MAX, col = 0;
    lort_code code = LORT_OK;
    for (int64_t i = 0; i < grid.down * grid.across && code == LORT_OK; i++) {
        const lort_block_place place = lort_block_get(&grid, i);
        if (place.row > row) /* so are all blocks that follow */
            break;
        code = lort_slice_block(source, worker, &place, place.rows, space->weights, space->decoded,
                                err);
        const uint64_t count = (uint64_t)(place.rows * place.cols),
                       at = code ? count : lort_find_nonfinite(space->weights, count);
        const int64_t r = place.row + (int64_t)at / place.cols,
                      c = place.col + (int64_t)at % place.cols;
        if (at < count && (r < row || (r == row && c < col))) {
            row = r;
            col = c;
        }
    }
    if (row < INT64_MAX)
        say_place(out, row, col);
    return code ? code : lort_outcome_keep(out, LORT_REASON_NOT_FINITE);
}

/* value * 2^(2 exponent). Two calls of ldexp stay exact where 2 * exponent would leave the range of
 * int. */
static double in_weight_units(double value, int32_t exponent)
{
    return ldexp(ldexp(value, exponent), exponent);
}

void lort_outcome_drop_factors(lort_outcome *out, const lort_alloc *alloc)
{
    lort_outcome kept = {.reason = out->reason,
                         .has_norm = out->has_norm,
                         .norm2 = out->norm2,
                         .norm = out->norm,
                         .lossless = out->lossless};
    memcpy(kept.detail, out->detail, sizeof kept.detail);
    lort_outcome_free(out, alloc);
    *out = kept;
}

void lort_outcome_note_factors(const lort_factors *factors, lort_outcome *out)
{
    out->kind = LORT_OUTCOME_FACTORED;
    out->product.rank = factors->rank;
    out->product.exponent = factors->exponent;
    out->left = factors->left_type;
    out->right = factors->right_type;
    out->error2 = in_weight_units(factors->error2, factors->exponent);
}

static lort_code copy_values(const lort_alloc *alloc, lort_dtype dtype, const uint8_t *bytes,
                             uint64_t size, float **values, uint64_t *taken, lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(dtype);
    const uint64_t count = size / type->block_bytes * type->block_elements;
    void *memory;
    lort_code code = lort_take(alloc, count * sizeof(float), "factors", &memory, err);
    if (code)
        return code;
    type->decode(bytes, memory, count);
    *values = memory;
    *taken = count * sizeof(float);
    return LORT_OK;
}

lort_code lort_outcome_copy_factors(const lort_alloc *alloc, const lort_factors *factors,
                                    lort_outcome *out, lort_error *err)
{
    lort_code code = copy_values(alloc, factors->left_type, factors->left, factors->left_bytes,
                                 &out->product.left, &out->left_bytes, err);
    return code ? code
                : copy_values(alloc, factors->right_type, factors->right, factors->right_bytes,
                              &out->product.right, &out->right_bytes, err);
}

lort_code lort_outcome_factor(lort_slice_source *source, const lort_matrix_source *matrix,
                              uint32_t slice, const lort_target *target, lort_work work,
                              lort_outcome *out, lort_error *err)
{
    lort_session *session = source->decider->session;
    lort_factors factors = {0};
    lort_code code = lort_factor(matrix, target, work.pool, &session->alloc, &factors, err);
    source->passes += (uint32_t)factors.passes;
    lort_slice_note_spectrum(source, &factors);
    if (code == LORT_OK && factors.verdict == LORT_FACTORED) {
        code = lort_outcome_encode_factors(session, work.worker, slice, &factors, out, err);
        if (code == LORT_OK)
            code = lort_outcome_copy_factors(&session->alloc, &factors, out, err);
        lort_outcome_note_factors(&factors, out);
        out->norm2 = in_weight_units(factors.norm2, factors.exponent);
        if (code == LORT_OK && source->weighting.on)
            code = lort_slice_weigh(source, work, out, NULL, err);
    }
    lort_factors_free(&factors, &session->alloc);
    return code;
}

void lort_outcome_judge(const lort_factors *factors, const lort_target *target, bool weighed,
                        lort_outcome *out)
{
    if (!weighed) /* else the norm is of scaled columns */
        out->norm2 = in_weight_units(factors->norm2, factors->exponent);
    out->error2 = 0;
    out->has_norm = factors->verdict != LORT_NONFINITE;
    switch (factors->verdict) {
    case LORT_FACTORED:
        break;
    case LORT_ZERO:
        lort_outcome_keep(out, LORT_REASON_ZERO);
        break;
    case LORT_NONFINITE:
        lort_outcome_keep(out, LORT_REASON_NOT_FINITE);
        say_place(out, factors->bad_row, factors->bad_col);
        break;
    case LORT_OUT_OF_REACH:
        lort_outcome_keep(out, LORT_REASON_LOW_RANK);
        snprintf(out->detail, sizeof out->detail, "rank %lld captures at most %.3f of the energy",
                 (long long)target->max_rank, factors->best_energy);
        break;
    case LORT_NOT_CONVERGED:
        lort_outcome_keep(out, LORT_REASON_NOT_CONVERGED);
        break;
    }
}
