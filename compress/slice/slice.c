/* slice: see slice.h. */
#include "compress/slice/slice.h"
#include "compress/delta/base.h"
#include <string.h>

uint64_t lort_slice_bytes(const lort_tensor_plan *planned)
{
    return planned->shape.slices ? planned->tensor->bytes / (uint64_t)planned->shape.slices : 0;
}

lort_range lort_slice_range(const lort_decider *decider, const lort_tensor_plan *planned,
                            uint64_t extent, uint32_t slice)
{
    uint64_t count;
    const lort_extent *at = &lort_model_extents(decider->model, &count)[extent];
    const uint64_t bytes = planned->candidate ? lort_slice_bytes(planned) : at->bytes;
    return (lort_range){at->file, at->offset + slice * bytes, bytes};
}

static uint64_t bytes_of(const lort_dtype_info *type, int64_t elements)
{
    return (uint64_t)elements / type->block_elements * type->block_bytes;
}

lort_slice_source lort_slice_source_of(const lort_decider *decider, const lort_tensor_plan *planned,
                                       uint32_t slice)
{
    lort_slice_source source = {.decider = decider,
                                .planned = planned,
                                .base = planned->tensor->offset + slice * lort_slice_bytes(planned),
                                .row_bytes = bytes_of(planned->tensor->type, planned->shape.cols),
                                .unmapped = lort_model_unmapped(decider->model),
                                .weighting =
                                    lort_weighting_of(planned->importance, &planned->shape, slice)};
    source.weighting.on = lort_tensor_plan_weighed(planned);
    return source;
}

const lort_feedback *lort_slice_feedback(const lort_slice_source *source,
                                         const lort_block_place *place)
{
    const lort_matrices *shape = &source->planned->shape;
    if (!source->factored || !source->factored->blocks)
        return NULL;
    return &source->factored
                ->blocks[place->col / lort_block_grid_of(shape->rows, shape->cols).wide];
}

lort_code lort_slice_take_factored(lort_slice_source *source, uint32_t slice,
                                   lort_factored *factored, lort_error *err)
{
    const lort_tensor_plan *planned = source->planned;
    *factored = (lort_factored){0};
    if (!planned->covariance)
        return LORT_OK;
    source->factored = factored;
    return lort_factored_load(source->decider->session->covariance, planned->covariance,
                              &planned->shape, slice, factored, err);
}

/* Decodes the elements [skip, skip + n) of the type's blocks at `bytes`. A tile may cut a block
 * anywhere. */
static void decode_span(const lort_dtype_info *type, const uint8_t *bytes, uint64_t skip,
                        uint64_t n, float *dst)
{
    float edge[LORT_BLOCK_ELEMENTS_MAX];
    const uint64_t block = type->block_elements, first = skip ? block - skip : 0,
                   head = first < n ? first : n, whole = (n - head) / block * block;
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
/* Parts of rows lie far apart, each in another page, and the processor does not foresee them. So
 * LoRT asks for them 16 rows ahead (docs/NUMERICS.md, "Where the time goes"). */
#define ROWS_AHEAD 16

static void expect_rows(const uint8_t *bytes, uint64_t n)
{
    for (uint64_t at = 0; at < n; at += 64)
        __builtin_prefetch(bytes + at);
}

/* Reads rows [r0, r1) of a tile that is narrower than the matrix. */
static lort_code read_parts(const lort_slice_source *source, unsigned worker, int64_t r0,
                            int64_t r1, int64_t c0, int64_t c1, float *dst, lort_error *err)
{
    const lort_tensor *tensor = source->planned->tensor;
    const uint64_t block = tensor->type->block_elements, skip = (uint64_t)c0 % block,
                   n = (uint64_t)(c1 - c0);
    const uint64_t first = bytes_of(tensor->type, c0),
                   bytes = (skip + n + block - 1) / block * tensor->type->block_bytes;
    for (int64_t r = r0; r < r1; r++, dst += n) {
        const uint8_t *view;
        lort_code code =
            lort_model_view(source->decider->model, tensor->file,
                            source->base + (uint64_t)r * source->row_bytes + first, bytes,
                            source->decider->session->scratch[worker].bytes, &view, err);
        if (code)
            return code;
        if (!source->unmapped && r + ROWS_AHEAD < r1)
            expect_rows(view + ROWS_AHEAD * source->row_bytes, bytes);
        decode_span(tensor->type, view, skip, n, dst);
    }
    return LORT_OK;
}

/* Reads whole rows, as many at once as have room. */
static lort_code read_rows(const lort_slice_source *source, unsigned worker, int64_t r0, int64_t r1,
                           float *dst, lort_error *err)
{
    const lort_tensor *tensor = source->planned->tensor;
    const lort_scratch *scratch = &source->decider->session->scratch[worker];
    const int64_t most = source->unmapped ? (int64_t)(scratch->size / source->row_bytes) : r1 - r0,
                  cols = source->planned->shape.cols;
    for (int64_t r = r0, rows; r < r1; r += rows) {
        const uint8_t *bytes;
        rows = r1 - r < most ? r1 - r : most;
        lort_code code = lort_model_view(
            source->decider->model, tensor->file, source->base + (uint64_t)r * source->row_bytes,
            (uint64_t)rows * source->row_bytes, scratch->bytes, &bytes, err);
        if (code)
            return code;
        tensor->type->decode(bytes, dst + (r - r0) * cols, (uint64_t)(rows * cols));
    }
    return LORT_OK;
}

/* True if the values are f32 and lie aligned in memory: they need no copy. */
static bool is_ready(const lort_slice_source *source, int64_t r0, int64_t c0, const float **out)
{
    const lort_tensor *tensor = source->planned->tensor;
    const uint8_t *bytes;
    if (source->unmapped || tensor->type->id != LORT_F32 || source->row_bytes % sizeof(float))
        return false;
    (void)lort_model_view(source->decider->model, tensor->file,
                          source->base + (uint64_t)r0 * source->row_bytes +
                              bytes_of(tensor->type, c0),
                          0, NULL, &bytes, NULL);
    *out = (const float *)(const void *)bytes;
    return (uintptr_t)bytes % sizeof(float) == 0;
}

void lort_outliers_free(lort_outliers *outliers, const lort_alloc *alloc)
{
    lort_give(alloc, outliers->places, outliers->room * LORT_OUTLIER_BYTES);
    *outliers = (lort_outliers){0};
}

/* Puts zeros in place of the outliers of a tile. */
static void blank_outliers(const lort_outliers *outliers, uint64_t cols, uint64_t r0, uint64_t r1,
                           uint64_t c0, uint64_t c1, float *tile)
{
    for (uint64_t r = r0; r < r1; r++)
        for (uint64_t i = lort_outliers_from(outliers->places, outliers->count, r * cols + c0);
             i < outliers->count && outliers->places[i] < r * cols + c1; i++)
            tile[(r - r0) * (c1 - c0) + outliers->places[i] - r * cols - c0] = 0;
}

/* Makes a tile the difference to the base. */
static lort_code take_base(const lort_slice_source *source, int64_t r0, int64_t r1, int64_t c0,
                           int64_t c1, float *tile, lort_error *err)
{
    const lort_tensor_plan *planned = source->planned;
    const uint64_t cols = (uint64_t)planned->shape.cols,
                   start = (source->base - planned->tensor->offset) /
                           planned->tensor->type->block_bytes;
    const bool whole = c1 - c0 == planned->shape.cols;
    const int64_t step = whole ? r1 - r0 : 1;
    lort_code code = LORT_OK;
    for (int64_t r = r0; r < r1 && code == LORT_OK; r += step, tile += c1 - c0)
        code = lort_base_subtract(source->decider->session->base, planned->base - 1,
                                  start + (uint64_t)r * cols + (uint64_t)c0,
                                  (uint64_t)(step * (c1 - c0)), tile, err);
    return code;
}

static lort_code read_copy(const lort_slice_source *source, unsigned worker, int64_t r0, int64_t r1,
                           int64_t c0, int64_t c1, float *dst, lort_error *err)
{
    lort_code code = c1 - c0 == source->planned->shape.cols
                         ? read_rows(source, worker, r0, r1, dst, err)
                         : read_parts(source, worker, r0, r1, c0, c1, dst, err);
    if (code == LORT_OK && source->planned->base)
        code = take_base(source, r0, r1, c0, c1, dst, err);
    if (code == LORT_OK && source->outliers)
        blank_outliers(source->outliers, (uint64_t)source->planned->shape.cols, (uint64_t)r0,
                       (uint64_t)r1, (uint64_t)c0, (uint64_t)c1, dst);
    return code;
}

lort_code lort_slice_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                          int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err)
{
    const lort_slice_source *source = ctx;
    /* A slice may take hours, so every read asks whether to stop. */
    lort_code code = lort_session_check_stop(source->decider->session, err);
    if (code)
        return code;
    lort_session_tick(source->decider->session,
                      LORT_TICKS_READ * (uint64_t)((r1 - r0) * (c1 - c0)));
    *ld = source->planned->shape.cols;
    if (!source->outliers && !source->planned->base && is_ready(source, r0, c0, out))
        return LORT_OK;
    *out = dst;
    *ld = c1 - c0;
    return read_copy(source, worker, r0, r1, c0, c1, dst, err);
}

/* Subtracts the product of the factors as a reader will add it. */
static void take_off(const lort_slice_source *source, const lort_block_place *place, int64_t rows,
                     float *dst, float *spare)
{
    lort_product_cells(source->factors, source->planned->shape.cols, place->row, place->row + rows,
                       place->col, place->col + place->cols, spare, place->cols);
    for (int64_t i = 0; i < rows * place->cols; i++)
        dst[i] -= spare[i];
}

lort_code lort_slice_block(lort_slice_source *source, unsigned worker,
                           const lort_block_place *place, int64_t rows, float *dst, float *spare,
                           lort_error *err)
{
    const float *values;
    int64_t ld;
    lort_code code = lort_slice_read(source, worker, place->row, place->row + rows, place->col,
                                     place->col + place->cols, dst, &values, &ld, err);
    if (code)
        return code;
    for (int64_t r = 0; values != dst && r < rows; r++)
        memcpy(dst + r * place->cols, values + r * ld, (size_t)place->cols * sizeof *dst);
    if (source->factors)
        take_off(source, place, rows, dst, spare);
    lort_scale_block(dst, place, rows, &source->scales);
    return LORT_OK;
}

void lort_slice_row_sums(const lort_slice_source *source, const lort_block_place *place,
                         const float *weights, const float *decoded, int64_t stride,
                         lort_row_sum *sums)
{
    lort_block_place row = *place;
    row.rows = 1;
    for (int64_t r = 0; r < place->rows; r++, row.row++) {
        const float *a = weights + r * place->cols, *b = decoded + r * place->cols;
        sums[r * stride] = (lort_row_sum){
            lort_weighed_sum(&source->weighting, &source->scales, &row, 1, a, NULL).plain,
            lort_weighed_sum(&source->weighting, &source->scales, &row, 1, a, b).plain};
    }
}

lort_matrix_source lort_slice_matrix(lort_slice_source *source)
{
    const lort_dtype_info *type = source->planned->tensor->type;
    return (lort_matrix_source){source->planned->shape.rows,
                                source->planned->shape.cols,
                                lort_dtype_element_bytes(type),
                                lort_slice_read,
                                source,
                                NULL};
}

void lort_slice_note_spectrum(lort_slice_source *source, const lort_factors *factors)
{
    if (factors->spectrum.count > source->spectrum.count)
        source->spectrum = factors->spectrum;
}
