/* decide: measures what a slice costs losslessly, factors it where that can pay, and encodes the factors. Writes nothing. */
#include "compress/slice/decide_parts.h"
#include "compress/goal/kinds.h"
#include "compress/math/random.h"
#include "formats/types/planes.h"
#include "loader/os/os.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

lort_range lort_slice_range(const lort_decider *decider, const lort_tensor_plan *step, uint64_t extent, uint32_t slice)
{
    uint64_t count;
    const lort_extent *at = &lort_model_extents(decider->model, &count)[extent];
    const uint64_t bytes = step->factor ? lort_slice_bytes(step) : at->bytes;
    return (lort_range){at->file, at->offset + slice * bytes, bytes};
}

uint64_t lort_chunk_elements(const lort_dtype_info *type)
{
    return (uint64_t)(LORT_CHUNK_TARGET / type->block_bytes) * type->block_elements;
}

uint64_t lort_chunk_bytes(const lort_dtype_info *type) { return lort_chunk_elements(type) / type->block_elements * type->block_bytes; }

lort_code lort_chunk_encode(lort_codec *codec, lort_scratch *buffers, const lort_dtype_info *type, const uint8_t *src, uint64_t bytes,
                            uint64_t *stored, lort_error *err)
{
    if (type->plane_width > 1) {
        lort_planes_split(src, buffers->planes, bytes, type->plane_width, type->rotate);
        src = buffers->planes;
    }
    return lort_codec_encode_planes(codec, src, bytes, type->plane_width, buffers->coded, buffers->coded_size, stored, err);
}

/* ---- the slice as a matrix ---- */

static uint64_t bytes_of(const lort_dtype_info *type, int64_t elements)
{
    return (uint64_t)elements / type->block_elements * type->block_bytes;
}

lort_slice_source lort_slice_source_of(const lort_decider *decider, const lort_tensor_plan *step, uint32_t slice)
{
    return (lort_slice_source){decider, step, step->tensor->offset + slice * lort_slice_bytes(step), bytes_of(step->tensor->type, step->shape.cols),
                               lort_model_unmapped(decider->model), NULL, lort_weighting_of(step->importance, &step->shape, slice), NULL, 0, false};
}

/* Numbers [skip, skip + n) of the blocks at `bytes`, which a tile may cut anywhere. */
static void decode_span(const lort_dtype_info *type, const uint8_t *bytes, uint64_t skip, uint64_t n, float *dst)
{
    float edge[LORT_BLOCK_ELEMENTS_MAX];
    const uint64_t block = type->block_elements, first = skip ? block - skip : 0, head = first < n ? first : n, whole = (n - head) / block * block;
    if (head) {
        type->decode(bytes, edge, block);
        memcpy(dst, edge + skip, (size_t)head * sizeof *dst);
        bytes += type->block_bytes;
    }
    type->decode(bytes, dst + head, whole);
    if (head + whole == n)
        return;
    type->decode(bytes + whole / block * type->block_bytes, edge, block);
    memcpy(dst + head + whole, edge, (size_t)(n - head - whole) * sizeof *dst);
}

/* Parts of rows lie far apart, each in another page: the processor does not foresee them. */
#define ROWS_AHEAD 16
static void expect_rows(const uint8_t *bytes, uint64_t n)
{
    for (uint64_t at = 0; at < n; at += 64)
        __builtin_prefetch(bytes + at);
}

/* Rows [r0, r1) of a tile that is not all of their width. */
static lort_code read_parts(const lort_slice_source *source, unsigned worker, int64_t r0, int64_t r1, int64_t c0, int64_t c1, float *dst, lort_error *err)
{
    const lort_tensor *tensor = source->step->tensor;
    const uint64_t block = tensor->type->block_elements, skip = (uint64_t)c0 % block, n = (uint64_t)(c1 - c0);
    const uint64_t first = bytes_of(tensor->type, c0), bytes = (skip + n + block - 1) / block * tensor->type->block_bytes;
    for (int64_t r = r0; r < r1; r++, dst += n) {
        const uint8_t *view;
        lort_code code = lort_model_view(source->decider->model, tensor->file, source->base + (uint64_t)r * source->row_bytes + first, bytes,
                                         source->decider->session->scratch[worker].bytes, &view, err);
        if (code)
            return code;
        if (!source->unmapped && r + ROWS_AHEAD < r1)
            expect_rows(view + ROWS_AHEAD * source->row_bytes, bytes);
        decode_span(tensor->type, view, skip, n, dst);
    }
    return LORT_OK;
}

/* As many at once as there is room for. */
static lort_code read_rows(const lort_slice_source *source, unsigned worker, int64_t r0, int64_t r1, float *dst, lort_error *err)
{
    const lort_tensor *tensor = source->step->tensor;
    const lort_scratch *scratch = &source->decider->session->scratch[worker];
    const int64_t most = source->unmapped ? (int64_t)(scratch->size / source->row_bytes) : r1 - r0, cols = source->step->shape.cols;
    for (int64_t r = r0, rows; r < r1; r += rows) {
        const uint8_t *bytes;
        rows = r1 - r < most ? r1 - r : most;
        lort_code code = lort_model_view(source->decider->model, tensor->file, source->base + (uint64_t)r * source->row_bytes, (uint64_t)rows * source->row_bytes,
                                         scratch->bytes, &bytes, err);
        if (code)
            return code;
        tensor->type->decode(bytes, dst + (r - r0) * cols, (uint64_t)(rows * cols));
    }
    return LORT_OK;
}

/* f32 that lies aligned in memory needs no copy. */
static bool is_ready(const lort_slice_source *source, int64_t r0, int64_t c0, const float **out)
{
    const lort_tensor *tensor = source->step->tensor;
    const uint8_t *bytes;
    if (source->unmapped || tensor->type->id != LORT_F32 || source->row_bytes % sizeof(float))
        return false;
    (void)lort_model_view(source->decider->model, tensor->file, source->base + (uint64_t)r0 * source->row_bytes + bytes_of(tensor->type, c0), 0, NULL, &bytes, NULL);
    *out = (const float *)(const void *)bytes;
    return (uintptr_t)bytes % sizeof(float) == 0;
}

lort_code lort_slice_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0, int64_t c1, float *dst, const float **out,
                          int64_t *ld, lort_error *err)
{
    const lort_slice_source *source = ctx;
    lort_code code = lort_session_check_stop(source->decider->session, err); /* a slice may take hours */
    if (code)
        return code;
    *ld = source->step->shape.cols;
    if (is_ready(source, r0, c0, out))
        return LORT_OK;
    *out = dst;
    if (c1 - c0 == source->step->shape.cols)
        return read_rows(source, worker, r0, r1, dst, err);
    *ld = c1 - c0;
    return read_parts(source, worker, r0, r1, c0, c1, dst, err);
}

/* Takes the product of the factors off, as a reader will add it. */
static void take_off(const lort_slice_source *source, const lort_block_place *place, int64_t rows, float *dst, float *spare)
{
    const lort_outcome *f = source->factors;
    lort_factors_cells(source->step->shape.rows, source->step->shape.cols, f->rank, f->exponent, f->left_values, f->right_values, place->row,
                       place->row + rows, place->col, place->col + place->cols, spare, place->cols);
    for (int64_t i = 0; i < rows * place->cols; i++)
        dst[i] -= spare[i];
}

lort_code lort_slice_block(lort_slice_source *source, unsigned worker, const lort_block_place *place, int64_t rows, float *dst, float *spare, lort_error *err)
{
    const float *values;
    int64_t ld;
    lort_code code = lort_slice_read(source, worker, place->row, place->row + rows, place->col, place->col + place->cols, dst, &values, &ld, err);
    if (code)
        return code;
    for (int64_t r = 0; values != dst && r < rows; r++)
        memcpy(dst + r * place->cols, values + r * ld, (size_t)place->cols * sizeof *dst);
    if (source->factors)
        take_off(source, place, rows, dst, spare);
    if (source->scales)
        lort_scale_columns(dst, rows, place->cols, source->scales + place->col);
    return LORT_OK;
}

lort_matrix_source lort_slice_matrix(lort_slice_source *source)
{
    const lort_dtype_info *type = source->step->tensor->type;
    return (lort_matrix_source){source->step->shape.rows, source->step->shape.cols, lort_dtype_element_bytes(type), lort_slice_read, source, NULL};
}

/* Factors, of weighed columns where they are weighed. */
static lort_code run_factor(lort_slice_source *source, const lort_target *target, lort_pool *pool, lort_factors *factors, lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    lort_matrix_source matrix = lort_slice_matrix(source);
    const uint64_t bytes = (uint64_t)matrix.cols * sizeof(float);
    void *scales = NULL;
    lort_code code = source->weighting.importance ? lort_take(alloc, bytes, "scales of columns", &scales, err) : LORT_OK;
    if (code)
        return code;
    if (scales)
        lort_weighting_scales(&source->weighting, matrix.cols, scales);
    matrix.scale = scales;
    code = lort_factor(&matrix, target, pool, alloc, factors, err);
    source->passes += (uint32_t)factors->passes;
    lort_give(alloc, scales, bytes);
    return code;
}

/* ---- lossless size ---- */

/* A run of input whose lossless size is measured on evenly spaced chunks. */
typedef struct sampling {
    const lort_decider *decider;
    lort_pool *pool;
    unsigned worker; /* who works where there is no pool */
    const lort_dtype_info *type;
    uint32_t file;
    uint64_t base, total, chunk, chunks, samples;
    _Atomic uint64_t in, out; /* bytes of samples so far: sums of integers, whose order does not matter */
} sampling;

static lort_code sample_chunk(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    sampling *s = ctx;
    lort_scratch *scratch = &s->decider->session->scratch[s->pool ? worker : s->worker];
    const uint64_t at = (s->samples < 2 ? 0 : (uint64_t)item * (s->chunks - 1) / (s->samples - 1)) * s->chunk, n = s->total - at < s->chunk ? s->total - at : s->chunk;
    const uint8_t *src;
    uint64_t stored;
    (void)slot;
    lort_code code = lort_model_view(s->decider->model, s->file, s->base + at, n, scratch->bytes, &src, err);
    if (code == LORT_OK)
        code = lort_chunk_encode(scratch->codec, scratch, s->type, src, n, &stored, err);
    if (code)
        return code;
    s->in += n;
    s->out += stored;
    return LORT_OK;
}

lort_code lort_raw_size(const lort_decider *decider, unsigned worker, lort_pool *pool, const lort_dtype_info *type, const lort_range *range, uint64_t most,
                        uint64_t *bytes, lort_error *err)
{
    sampling s = {.decider = decider, .pool = pool, .worker = worker, .type = type, .file = range->file, .base = range->offset, .total = range->bytes,
                  .chunk = lort_chunk_bytes(type)};
    s.chunks = (s.total + s.chunk - 1) / s.chunk;
    s.samples = s.chunks < most ? s.chunks : most;
    lort_code code = lort_pool_each(pool, (int64_t)s.samples, sample_chunk, &s, err);
    *bytes = code ? 0 : s.in == s.total ? s.out : (uint64_t)((double)s.out / (double)s.in * (double)s.total);
    return code;
}

lort_code lort_slice_raw_size(const lort_slice_source *source, unsigned worker, lort_pool *pool, uint64_t most, uint64_t *bytes, lort_error *err)
{
    const lort_tensor *tensor = source->step->tensor;
    const lort_range range = {tensor->file, source->base, lort_slice_bytes(source->step)};
    return lort_raw_size(source->decider, worker, pool, tensor->type, &range, most, bytes, err);
}

/* ---- encoding of factors ---- */

lort_code lort_outcome_encode(lort_session *session, unsigned worker, lort_array array, uint32_t slice, lort_dtype dtype, const uint8_t *bytes,
                              uint64_t size, lort_outcome *out, lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(dtype);
    lort_scratch *scratch = &session->scratch[worker];
    uint64_t blocks = size / type->block_bytes, per = lort_chunk_elements(type) / type->block_elements;
    for (uint64_t first = 0; first < blocks; first += per) {
        uint64_t count = blocks - first < per ? blocks - first : per, stored;
        lort_code code = lort_chunk_encode(scratch->codec, scratch, type, bytes + first * type->block_bytes, count * type->block_bytes, &stored, err);
        if (code)
            return code;
        out->chunks[out->chunk_count++] = (lort_chunk){.part = LORT_PART_ID(array, slice), .stored = (uint32_t)stored,
                                                       .decoded = (uint32_t)(count * type->block_bytes), .offset = out->coded.size,
                                                       .first = first * type->block_elements, .count = count * type->block_elements, .hash = lort_xxh64(scratch->coded, stored)};
        lort_put_bytes(&out->coded, scratch->coded, stored);
    }
    return lort_buffer_check(&out->coded, err);
}

lort_code lort_outcome_room(lort_session *session, uint64_t bytes, unsigned arrays, lort_outcome *out, lort_error *err)
{
    void *memory;
    out->chunk_room = bytes / LORT_CHUNK_TARGET + 2 * arrays;
    lort_code code = lort_take(&session->alloc, out->chunk_room * sizeof(lort_chunk), "chunk descriptions", &memory, err);
    out->chunks = memory;
    out->coded.alloc = &session->alloc;
    return code;
}

static lort_code encode_factors(lort_session *session, unsigned worker, uint32_t slice, const lort_factors *factors, lort_outcome *out, lort_error *err)
{
    const uint64_t bytes = factors->left_bytes + factors->right_bytes; /* codes or scales, which may follow, are no more */
    lort_code code = lort_outcome_room(session, 2 * bytes, 4, out, err);
    if (code == LORT_OK)
        code = lort_outcome_encode(session, worker, LORT_ARRAY_LEFT, slice, factors->left_type, factors->left, factors->left_bytes, out, err);
    if (code == LORT_OK)
        code = lort_outcome_encode(session, worker, LORT_ARRAY_RIGHT, slice, factors->right_type, factors->right, factors->right_bytes, out, err);
    return code;
}

void lort_outcome_free(lort_outcome *outcome, const lort_alloc *alloc)
{
    lort_give(alloc, outcome->chunks, outcome->chunk_room * sizeof(lort_chunk));
    lort_give(alloc, outcome->codes, outcome->code_count);
    lort_give(alloc, outcome->scales, outcome->scale_bytes);
    lort_kept_close(&outcome->kept);
    lort_give(alloc, outcome->left_values, outcome->left_bytes);
    lort_give(alloc, outcome->right_values, outcome->right_bytes);
    if (outcome->coded.alloc)
        lort_buffer_free(&outcome->coded);
    *outcome = (lort_outcome){.reason = ""};
}

/* ---- the decision ---- */

lort_code lort_outcome_keep(lort_outcome *out, const char *reason)
{
    out->reason = reason;
    return LORT_OK;
}

lort_code lort_outcome_keep_larger(lort_outcome *out, const char *reason, uint64_t bytes)
{
    snprintf(out->detail, sizeof out->detail, "%llu against %llu bytes", (unsigned long long)bytes, (unsigned long long)out->lossless);
    return lort_outcome_keep(out, reason);
}

/* Slices kept unseen still count in the tensor's norm. */
static lort_code measure_norm(lort_slice_source *source, unsigned worker, float *row, lort_outcome *out, lort_error *err)
{
    double sum = 0;
    int64_t cols = source->step->shape.cols;
    source->passes++;
    for (int64_t r = 0; r < source->step->shape.rows; r++) {
        const float *values;
        int64_t ld;
        lort_code code = lort_slice_read(source, worker, r, r + 1, 0, cols, row, &values, &ld, err);
        if (code)
            return code;
        for (int64_t c = 0; c < cols; c++)
            sum += (double)values[c] * values[c];
    }
    out->norm2 = sum;
    out->has_norm = isfinite(sum);
    return LORT_OK;
}

static lort_code keep_unseen(lort_slice_source *source, unsigned worker, const char *reason, lort_outcome *out, lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    uint64_t bytes = (uint64_t)source->step->shape.cols * sizeof(float);
    void *row;
    lort_outcome_keep(out, reason);
    if (source->step->shape.slices == 1 || source->weighting.on) /* kept whole: its error is zero whatever its norm; or known already */
        return LORT_OK;
    lort_code code = lort_take(alloc, bytes, "one row", &row, err);
    if (code)
        return code;
    code = measure_norm(source, worker, row, out, err);
    lort_give(alloc, row, bytes);
    return code;
}

static const char not_numbers[] = "holds NaN or Inf", not_converged[] = "eigenvalues did not converge";

bool lort_reason_is_fault(const char *reason) { return strstr(reason, not_numbers) || strstr(reason, not_converged); }

static void say_place(lort_outcome *out, int64_t row, int64_t col)
{
    snprintf(out->detail, sizeof out->detail, "first at row %lld, column %lld", (long long)row, (long long)col);
}

lort_code lort_slice_keep_nonfinite(lort_slice_source *source, unsigned worker, lort_outcome *out, lort_error *err)
{
    const lort_matrices *shape = &source->step->shape;
    const lort_block_grid grid = lort_block_grid_of(shape->rows, shape->cols);
    lort_block_space *space = &source->decider->session->scratch[worker].block;
    int64_t row = INT64_MAX, col = 0;
    lort_code code = LORT_OK;
    for (int64_t i = 0; i < grid.down * grid.across && code == LORT_OK; i++) {
        const lort_block_place place = lort_block_get(&grid, i);
        if (place.row > row) /* so are all that follow */
            break;
        code = lort_slice_block(source, worker, &place, place.rows, space->weights, space->decoded, err);
        const uint64_t count = (uint64_t)(place.rows * place.cols), at = code ? count : lort_find_nonfinite(space->weights, count);
        const int64_t r = place.row + (int64_t)at / place.cols, c = place.col + (int64_t)at % place.cols;
        if (at < count && (r < row || (r == row && c < col))) {
            row = r;
            col = c;
        }
    }
    if (row < INT64_MAX)
        say_place(out, row, col);
    return code ? code : lort_outcome_keep(out, not_numbers);
}

/* ldexp(x, 2e) in two steps stays exact where one would leave the range of the exponent argument's type. */
static double in_weight_units(double value, int32_t exponent) { return ldexp(ldexp(value, exponent), exponent); }

static void judge(const lort_factors *factors, const lort_target *target, bool weighed, lort_outcome *out)
{
    if (!weighed) /* else factors say what it is of scaled columns */
        out->norm2 = in_weight_units(factors->norm2, factors->exponent);
    out->error2 = 0;
    out->has_norm = factors->verdict != LORT_NONFINITE;
    switch (factors->verdict) {
    case LORT_FACTORED:
        break;
    case LORT_ZERO:
        lort_outcome_keep(out, "all zero");
        break;
    case LORT_NONFINITE:
        lort_outcome_keep(out, not_numbers);
        say_place(out, factors->bad_row, factors->bad_col);
        break;
    case LORT_OUT_OF_REACH:
        lort_outcome_keep(out, "target out of reach of low rank");
        snprintf(out->detail, sizeof out->detail, "rank %lld captures at most %.3f of the energy", (long long)target->max_rank, factors->best_energy);
        break;
    case LORT_NOT_CONVERGED:
        lort_outcome_keep(out, not_converged);
        break;
    }
}

static void drop_factors(lort_outcome *out, const lort_alloc *alloc)
{
    lort_outcome kept = {.reason = out->reason, .has_norm = out->has_norm, .norm2 = out->norm2, .norm = out->norm, .lossless = out->lossless};
    memcpy(kept.detail, out->detail, sizeof kept.detail);
    lort_outcome_free(out, alloc);
    *out = kept;
}

static void note_factors(const lort_factors *factors, lort_outcome *out)
{
    out->factored = true;
    out->rank = factors->rank;
    out->exponent = factors->exponent;
    out->left = factors->left_type;
    out->right = factors->right_type;
    out->error2 = in_weight_units(factors->error2, factors->exponent);
}

/* Factored once they are encoded and smaller than the lossless form. */
static lort_code accept(const lort_decider *decider, unsigned worker, uint32_t slice, const lort_factors *factors, lort_outcome *out, lort_error *err)
{
    lort_code code = encode_factors(decider->session, worker, slice, factors, out, err);
    if (code)
        return code;
    if (out->coded.size >= out->lossless) {
        const uint64_t coded = out->coded.size;
        drop_factors(out, &decider->session->alloc);
        return lort_outcome_keep_larger(out, "factors not smaller than the lossless form", coded);
    }
    out->reason = "";
    note_factors(factors, out);
    return LORT_OK;
}

static lort_code copy_values(const lort_alloc *alloc, lort_dtype dtype, const uint8_t *bytes, uint64_t size, float **values, uint64_t *taken, lort_error *err)
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

/* What a reader will decode. */
static lort_code copy_factors(const lort_alloc *alloc, const lort_factors *factors, lort_outcome *out, lort_error *err)
{
    lort_code code = copy_values(alloc, factors->left_type, factors->left, factors->left_bytes, &out->left_values, &out->left_bytes, err);
    return code ? code : copy_values(alloc, factors->right_type, factors->right, factors->right_bytes, &out->right_values, &out->right_bytes, err);
}

/* The errors of stored factors, which lort_factor knows for scaled columns only. */
static lort_code weigh_factors(lort_slice_source *source, const lort_factors *factors, const lort_target *target, unsigned worker, lort_pool *pool,
                               lort_outcome *out, lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    lort_code code = copy_factors(alloc, factors, out, err);
    source->factors = out;
    if (code == LORT_OK)
        code = lort_slice_weigh(source, worker, pool, out, &out->error, err);
    source->factors = NULL;
    lort_give(alloc, out->left_values, out->left_bytes);
    lort_give(alloc, out->right_values, out->right_bytes);
    out->left_values = out->right_values = NULL;
    out->error2 = out->error.plain;
    if (code == LORT_OK && target->kind == LORT_TARGET_ERROR && out->error.weighed > target->value * target->value * out->norm.weighed) {
        out->reason = "target out of reach of low rank";
        drop_factors(out, alloc);
    }
    return code;
}

static lort_code factor_slice(const lort_decider *decider, lort_slice_source *source, const lort_target *target, uint32_t slice, unsigned worker,
                              lort_pool *pool, lort_outcome *out, lort_error *err)
{
    const lort_alloc *alloc = &decider->session->alloc;
    lort_factors factors = {0};
    lort_code code = run_factor(source, target, pool, &factors, err);
    if (code == LORT_OK)
        code = lort_model_check(decider->model, source->step->tensor->file, err);
    if (code == LORT_OK)
        judge(&factors, target, source->weighting.on, out);
    if (code == LORT_OK && factors.verdict == LORT_FACTORED)
        code = accept(decider, worker, slice, &factors, out, err);
    if (code == LORT_OK && out->factored && source->weighting.on)
        code = weigh_factors(source, &factors, target, worker, pool, out, err);
    lort_factors_free(&factors, alloc);
    return code;
}

/* ---- factors and integers ---- */

/* NULL: the target is an error. */
static const lort_share *share_of(const lort_slice_source *source, uint32_t slice)
{
    return source->step->shares ? &source->step->shares[slice] : NULL;
}

lort_code lort_outcome_factor(lort_slice_source *source, const lort_matrix_source *matrix, uint32_t slice, const lort_target *target, unsigned worker,
                              lort_pool *pool, lort_outcome *out, lort_error *err)
{
    lort_session *session = source->decider->session;
    lort_factors factors = {0};
    lort_code code = lort_factor(matrix, target, pool, &session->alloc, &factors, err);
    source->passes += (uint32_t)factors.passes;
    if (code == LORT_OK && factors.verdict == LORT_FACTORED) {
        code = encode_factors(session, worker, slice, &factors, out, err);
        if (code == LORT_OK)
            code = copy_factors(&session->alloc, &factors, out, err);
        note_factors(&factors, out);
        out->norm2 = in_weight_units(factors.norm2, factors.exponent);
        if (code == LORT_OK && source->weighting.on)
            code = lort_slice_weigh(source, worker, pool, out, NULL, err);
    }
    lort_factors_free(&factors, &session->alloc);
    return code;
}

/* Components that save more bits of integers of this error than they cost (docs/NUMERICS.md); on most weights there are none. */
static lort_code take_components(lort_slice_source *source, uint32_t slice, uint64_t key, double error, unsigned worker, lort_pool *pool, lort_outcome *out,
                                 lort_error *err)
{
    const lort_matrices *shape = &source->step->shape;
    const lort_share *share = share_of(source, slice);
    lort_target gain = lort_plan_gain(source->decider->options, shape->rows, shape->cols);
    lort_matrix_source matrix = lort_slice_matrix(source); /* not weighed: what stands out by importance alone the columns' scales code (docs/NUMERICS.md) */
    gain.key = key;
    gain.aim = error;
    gain.floor = lort_kind_get(source->step->tensor->name)->by_row ? 0 : error * error; /* by rows, what is below it in the mean may be all of some */
    if (share) /* its room may be for more components, where integers would have too little of it */
        gain.floor /= 4;
    if (gain.value >= 1 || gain.max_rank == 0)
        return LORT_OK;
    lort_code code = lort_outcome_factor(source, &matrix, slice, &gain, worker, pool, out, err);
    const uint64_t room = share && share->bytes > LORT_FACTORS_RECORD ? share->bytes - LORT_FACTORS_RECORD : 0;
    while (code == LORT_OK && out->factored && share && out->coded.size > room) { /* as many of them as have room */
        const int64_t fits = (int64_t)((double)out->rank * (double)room / (double)out->coded.size);
        gain.max_rank = fits < out->rank ? fits : out->rank - 1;
        drop_factors(out, &source->decider->session->alloc);
        code = gain.max_rank > 0 ? lort_outcome_factor(source, &matrix, slice, &gain, worker, pool, out, err) : LORT_OK;
    }
    return code;
}

/* Integers of what the factors (if any) leave. */
static lort_code take_integers(lort_slice_source *source, uint32_t slice, double error, unsigned worker, lort_pool *pool, lort_outcome *out, lort_error *err)
{
    const lort_share *share = share_of(source, slice);
    source->factors = out->factored ? out : NULL;
    lort_code code = lort_quantise_slice(source, slice, error, share, worker, pool, out, err);
    if (code == LORT_OK && *out->reason) /* kept after all */
        drop_factors(out, &source->decider->session->alloc);
    return code;
}

static uint64_t size_of(const lort_outcome *out)
{
    return out->quantised ? out->estimate : out->factored ? out->coded.size : out->lossless;
}

/* Smaller at the same error, or with a share better at the same size. b is without components. */
static bool is_better(const lort_outcome *a, const lort_outcome *b, const lort_share *share, bool weighed)
{
    if (!a->factored)
        return false;
    if (!share)
        return size_of(a) < size_of(b);
    if (!b->quantised) /* kept whole, which its share may have room for */
        return b->lossless > share->bytes;
    return weighed ? a->error.weighed < b->error.weighed : a->error2 < b->error2;
}

/* The rule that chose the components knows the variance of the whole only; classes may have made better use of them. So both ways are measured. */
static lort_code decide_integers(lort_slice_source *source, uint32_t slice, uint64_t key, double error, unsigned worker, lort_pool *pool, lort_outcome *out,
                                 lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    const lort_share *share = share_of(source, slice);
    lort_outcome alone = {.reason = "", .lossless = out->lossless};
    lort_code code = take_components(source, slice, key, error, worker, pool, out, err);
    const bool both = code == LORT_OK && out->factored;
    source->exact = both;
    if (code == LORT_OK)
        code = take_integers(source, slice, error, worker, pool, out, err);
    if (code == LORT_OK && both)
        code = take_integers(source, slice, error, worker, pool, &alone, err);
    if (code == LORT_OK && both && !is_better(out, &alone, share, source->weighting.on)) {
        const lort_outcome swap = *out;
        *out = alone;
        alone = swap;
    }
    if (alone.kept.count) /* each block is too small to be seen when it goes */
        lort_session_sample(source->decider->session);
    lort_outcome_free(&alone, alloc);
    return code ? code : lort_model_check(source->decider->model, source->step->tensor->file, err);
}

/* Relative error of a point of curves. */
static double error_of_point(unsigned point) { return 1.0 / (2u << point); }

/* The first point that these factors are right for, as they are for the last before `end`: those where what they leave is still coded. */
static unsigned first_point(const lort_outcome *factors, unsigned end)
{
    unsigned first = 0;
    while (factors->factored && first + 1 < end && error_of_point(first) * error_of_point(first) * factors->norm2 > factors->error2)
        first++;
    return first;
}

/* Both ways, as the slice will be decided. */
static void take_smaller(lort_curve *curve, const lort_curve *alone, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        if (alone->bits[i] < curve->bits[i]) {
            curve->bits[i] = alone->bits[i];
            curve->only[i] = false;
            curve->rank_bytes[i] = 0;
        }
}

/* From the finest error to the coarsest: where there are no components for an error, there are none for a larger one. */
lort_code lort_decide_curve(const lort_decider *decider, const lort_tensor_plan *step, uint32_t slice, unsigned worker, lort_pool *pool, lort_curve *curve,
                            lort_error *err)
{
    const uint64_t key = lort_matrix_key(decider->options->seed, lort_name_hash(step->tensor->name, step->tensor->name_bytes), slice);
    lort_slice_source source = lort_slice_source_of(decider, step, slice);
    unsigned first;
    lort_code code = lort_curve_start(&source, worker, pool, curve, err);
    for (unsigned end = LORT_CURVE_POINTS; end > 0 && code == LORT_OK && !curve->raw; end = first) {
        lort_outcome out = {.reason = ""};
        code = take_components(&source, slice, key, error_of_point(end - 1), worker, pool, &out, err);
        first = first_point(&out, end);
        source.factors = out.factored ? &out : NULL;
        if (code == LORT_OK)
            code = lort_quantise_curve(&source, first, end, worker, pool, curve, err);
        if (code == LORT_OK && out.factored) {
            lort_curve alone = *curve;
            source.factors = NULL;
            code = lort_quantise_curve(&source, first, end, worker, pool, &alone, err);
            take_smaller(curve, &alone, first, end);
        }
        lort_outcome_free(&out, &decider->session->alloc);
    }
    for (unsigned i = 1; i < LORT_CURVE_POINTS; i++)
        curve->bits[i] = fmax(curve->bits[i], curve->bits[i - 1]);
    return code;
}

/* Trits, and factors beside them. */
static lort_code decide_ternary(lort_slice_source *source, uint32_t slice, uint64_t key, unsigned worker, lort_pool *pool, lort_outcome *out, lort_error *err)
{
    lort_code code = lort_ternary_slice(source, slice, key, worker, pool, out, err);
    if (code == LORT_OK && *out->reason)
        drop_factors(out, &source->decider->session->alloc);
    return code ? code : lort_model_check(source->decider->model, source->step->tensor->file, err);
}

static lort_code finish(lort_outcome *out, const lort_slice_source *source, uint64_t start, lort_code code)
{
    out->passes = source->passes;
    out->seconds = (double)(lort_os_clock_ns() - start) * 1e-9;
    if (code)
        lort_outcome_free(out, &source->decider->session->alloc);
    return code;
}

lort_code lort_decide(const lort_decider *decider, const lort_tensor_plan *step, uint32_t slice, unsigned worker, lort_pool *pool, lort_outcome *out, lort_error *err)
{
    uint64_t start = lort_os_clock_ns();
    *out = (lort_outcome){.reason = step->reason};
    if (!step->factor)
        return LORT_OK;
    lort_slice_source source = lort_slice_source_of(decider, step, slice);
    lort_target target = lort_plan_target(decider->options, step->shape.rows, step->shape.cols);
    lort_code code = lort_slice_raw_size(&source, worker, pool, LORT_SAMPLE_CHUNKS, &out->lossless, err);
    if (code)
        return code;
    target.key = lort_matrix_key(decider->options->seed, lort_name_hash(step->tensor->name, step->tensor->name_bytes), slice);
    if (lort_plan_integers(decider->options)) {
        const double error = step->shares ? step->shares[slice].error : target.value * lort_kind_scale(lort_plan_place(decider->options, step->tensor));
        return finish(out, &source, start, decide_integers(&source, slice, target.key, error, worker, pool, out, err));
    }
    if (lort_plan_ternary(decider->options))
        return finish(out, &source, start, decide_ternary(&source, slice, target.key, worker, pool, out, err));
    if (source.weighting.on)
        code = lort_slice_weigh(&source, worker, pool, out, NULL, err);
    if (code)
        return finish(out, &source, start, code);
    int64_t even = lort_break_even_rank(step->shape.rows, step->shape.cols, out->lossless);
    if (even < 1 || (target.kind == LORT_TARGET_RANK && target.rank > even)) {
        code = keep_unseen(&source, worker, "rank past break-even", out, err);
        snprintf(out->detail, sizeof out->detail, "factors pay up to rank %lld", (long long)even);
    } else {
        target.max_rank = target.max_rank < even ? target.max_rank : even;
        code = factor_slice(decider, &source, &target, slice, worker, pool, out, err);
    }
    return finish(out, &source, start, code);
}
