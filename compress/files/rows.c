/* rows: see rows.h.
 *
 *        0 .. wide ..              cols
 *     +--------+--------+-----+
 *     | cell   |  cell  |     | rows: whole cells                one slot
 *     +--------+--------+-----+
 *
 * Workers decode bands: some rows of the slice, as wide as the matrix. A worker decodes a band cell
 * by cell to f32 and converts each cell to the output type, in the bytes of a slot. Then the band
 * goes to the sink, in order. */
#include "compress/files/rows.h"
#include "formats/container/part.h"
#include <math.h>
#include <string.h>

#define BLOCK_BYTES (LORT_CELL_VALUES * sizeof(float)) /* of a band; holds a cell of any type */
#define WINDOW_BYTES (64ull << 20)                     /* of all slots; a larger slot is alone */

typedef struct row_run {
    lort_row_decoder decoder;
    lort_sink_fn *sink;
    void *ctx;
    int64_t first;     /* band */
    int64_t band_rows; /* rows of a band */
    uint64_t row_bytes, slot_bytes;
    uint8_t *bytes; /* [window][slot_bytes] */
} row_run;

/* The bands of one slice and the memory they take, by shape and type only. */
typedef struct row_plan {
    lort_cell_grid grid;
    int64_t band_rows;
    unsigned window;
    uint64_t row_bytes, slot_bytes, values, caches, total;
} row_plan;

/* A band has whole cells and about BLOCK_BYTES. */
int64_t lort_rows_band(lort_matrices shape, const lort_dtype_info *type)
{
    const lort_cell_grid grid = lort_cell_grid_of(shape.rows, shape.cols);
    const uint64_t row_bytes = (uint64_t)shape.cols * type->block_bytes;
    int64_t fits = (int64_t)(BLOCK_BYTES / (row_bytes ? row_bytes : 1)) / LORT_BLOCK_ROW_UNIT *
                   LORT_BLOCK_ROW_UNIT;
    fits = fits < LORT_BLOCK_ROW_UNIT ? LORT_BLOCK_ROW_UNIT : fits > grid.high ? grid.high : fits;
    return fits < shape.rows ? fits : shape.rows;
}

/* As many bands are in work as the window allows, and fewer for very wide matrices. */
static row_plan plan_rows(lort_matrices shape, const lort_dtype_info *type, unsigned threads,
                          unsigned window)
{
    row_plan plan = {.grid = lort_cell_grid_of(shape.rows, shape.cols),
                     .band_rows = lort_rows_band(shape, type),
                     .row_bytes = (uint64_t)shape.cols * type->block_bytes};
    plan.slot_bytes = (uint64_t)plan.band_rows * plan.row_bytes;
    /* one worker decodes and commits by turns */
    uint64_t slots = threads == 1 ? 1 : WINDOW_BYTES / (plan.slot_bytes + 1);
    plan.window = slots < 1 ? 1 : slots < window ? (unsigned)slots : window;
    plan.values = threads * LORT_CELL_VALUES * sizeof(float);
    plan.caches = threads * sizeof(lort_chunk_cache);
    plan.total = plan.values + plan.caches + plan.window * plan.slot_bytes;
    return plan;
}

const lort_dtype_info *lort_rows_own_type(const lort_part *part)
{
    if (lort_part_is_raw(part))
        return part->type;
    if (part->type->id == LORT_F64)
        return lort_dtype_get(LORT_F32);
    return lort_dtype_encoder(part->type->id) ? part->type : lort_dtype_get(LORT_F16);
}

/* `first` is the smallest value that becomes Inf: half a unit in the last place above the largest
 * number of the type. */
lort_code lort_rows_check_range(lort_dtype type, bool product, const float *values, uint64_t n,
                                lort_error *err)
{
    static const struct {
        lort_dtype type;
        float first;
        const char *advice;
    } limits[] = {{LORT_F16, 65520.0f, ": use --dtype BF16 or F32"},
                  {LORT_BF16, 0x1.ffp127f, ": use --dtype F32"},
                  {LORT_F32, INFINITY, ""}};
    unsigned k = 0;
    while (limits[k].type != type)
        k++;
    for (uint64_t i = 0; i < n; i++)
        if (!(fabsf(values[i]) < limits[k].first) && (product || isfinite(values[i])))
            return lort_fail(err, LORT_E_NUMERIC, "value %g does not fit %s%s", (double)values[i],
                             lort_dtype_get(type)->name, limits[k].advice);
    return LORT_OK;
}

uint64_t lort_rows_room(const lort_cell_grid *grid)
{
    const int64_t high = grid->high < grid->rows ? grid->high : grid->rows,
                  wide = grid->wide < grid->cols ? grid->wide : grid->cols;
    return (uint64_t)high * (uint64_t)wide;
}

/* Ends the work on n values: asks whether to stop. */
static lort_code did_values(const lort_row_decoder *d, uint64_t n, lort_error *err)
{
    lort_session_tick(d->session, LORT_TICKS_DECODE * n);
    return lort_session_check_stop(d->session, err);
}

/* Decodes one cell, and converts its elements in [at, end). dst: of element `at`. */
static lort_code decode_cell(const lort_row_decoder *d, const lort_cells *cells, uint64_t at,
                             uint64_t end, unsigned worker, uint8_t *dst, lort_error *err)
{
    const float *values = d->values + worker * d->room;
    const uint64_t wide = (uint64_t)(cells->c1 - cells->c0), cols = (uint64_t)d->grid.cols;
    lort_code code = lort_slice_cells(d->slice, cells, &d->session->scratch[worker],
                                      &d->caches[worker], d->values + worker * d->room, err);
    for (int64_t row = cells->r0; row < cells->r1 && code == LORT_OK; row++, values += wide) {
        const uint64_t begin = (uint64_t)row * cols + (uint64_t)cells->c0,
                       low = begin < at ? at : begin,
                       high = begin + wide < end ? begin + wide : end;
        if (low >= high)
            continue;
        code = lort_rows_check_range(d->type->id, d->slice->left != NULL, values + (low - begin),
                                     high - low, err);
        if (code == LORT_OK)
            lort_dtype_encoder(d->type->id)(values + (low - begin),
                                            dst + (low - at) * d->type->block_bytes, high - low);
    }
    return code ? code : did_values(d, lort_cell_count(cells), err);
}

/* Decodes a kept slice in the order of its elements. Chunks of a wide matrix may hold a part of a
 * row. Cells would decode such a chunk again for every cell of the row. */
static lort_code decode_raw(const lort_row_decoder *d, uint64_t at, uint64_t end, unsigned worker,
                            uint8_t *dst, lort_error *err)
{
    float *values = d->values + worker * d->room;
    const uint64_t block = d->slice->part->type->block_elements, most = d->room / block * block;
    lort_code code = LORT_OK;
    while (at < end && code == LORT_OK) {
        const uint64_t n = end - at < most ? end - at : most;
        code = lort_slice_elements(d->slice, at, at + n, &d->session->scratch[worker],
                                   &d->caches[worker], values, err);
        if (code == LORT_OK)
            code = lort_rows_check_range(d->type->id, false, values, n, err);
        if (code == LORT_OK)
            lort_dtype_encoder(d->type->id)(values, dst, n);
        if (code == LORT_OK)
            code = did_values(d, n, err);
        dst += n * d->type->block_bytes;
        at += n;
    }
    return code;
}

lort_code lort_rows_decode(const lort_row_decoder *d, uint64_t at, uint64_t end, unsigned worker,
                           uint8_t *dst, lort_error *err)
{
    const lort_cell_grid *grid = &d->grid;
    const int64_t cols = grid->cols, last = ((int64_t)end + cols - 1) / cols,
                  below =
                      (last + LORT_BLOCK_ROW_UNIT - 1) / LORT_BLOCK_ROW_UNIT * LORT_BLOCK_ROW_UNIT;
    lort_cells cells = {.r0 = (int64_t)at / cols / LORT_BLOCK_ROW_UNIT * LORT_BLOCK_ROW_UNIT,
                        .r1 = below < grid->rows ? below : grid->rows};
    lort_code code = LORT_OK;
    if (d->slice->term[LORT_TERM_RAW])
        return decode_raw(d, at, end, worker, dst, err);
    for (; cells.c0 < cols && code == LORT_OK; cells.c0 = cells.c1) {
        cells.c1 = cols - cells.c0 < grid->wide ? cols : cells.c0 + grid->wide;
        code = decode_cell(d, &cells, at, end, worker, dst, err);
    }
    return code;
}

static int64_t band_start(const row_run *run, int64_t item)
{
    return (run->first + item) * run->band_rows;
}

static int64_t band_end(const row_run *run, int64_t item)
{
    const int64_t start = band_start(run, item), rows = run->decoder.grid.rows;
    return rows - start < run->band_rows ? rows : start + run->band_rows;
}

static lort_code decode_rows(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    const row_run *run = ctx;
    const int64_t cols = run->decoder.grid.cols;
    return lort_rows_decode(&run->decoder, (uint64_t)(band_start(run, item) * cols),
                            (uint64_t)(band_end(run, item) * cols), worker,
                            run->bytes + slot * run->slot_bytes, err);
}

static lort_code give_rows(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    row_run *run = ctx;
    const uint64_t rows = (uint64_t)(band_end(run, item) - band_start(run, item));
    lort_code code = lort_session_check_stop(run->decoder.session, err);
    return code ? code
                : run->sink(run->ctx, run->bytes + slot * run->slot_bytes, rows * run->row_bytes,
                            err);
}

uint64_t lort_rows_bytes(lort_matrices shape, const lort_dtype_info *type, unsigned threads)
{
    return plan_rows(shape, type, threads, 2 * threads).total;
}

lort_code lort_rows_give(lort_reading *reading, const lort_slice *slice,
                         const lort_dtype_info *type, int64_t first, int64_t count,
                         lort_sink_fn *sink, void *ctx, lort_error *err)
{
    lort_session *session = &reading->session;
    row_plan plan = plan_rows(slice->shape, type, session->threads, reading->window);
    row_run run = {.decoder = {.session = session,
                               .slice = slice,
                               .type = type,
                               .grid = plan.grid,
                               .room = LORT_CELL_VALUES},
                   .sink = sink,
                   .ctx = ctx,
                   .first = first,
                   .band_rows = plan.band_rows,
                   .row_bytes = plan.row_bytes,
                   .slot_bytes = plan.slot_bytes};
    void *memory;
    if (plan.slot_bytes == 0)
        return LORT_OK;
    lort_code code = lort_take(&session->alloc, plan.total, "rows to write", &memory, err);
    if (code)
        return code;
    run.decoder.values = memory;
    run.decoder.caches = (lort_chunk_cache *)(void *)((uint8_t *)memory + plan.values);
    run.bytes = (uint8_t *)memory + plan.values + plan.caches;
    memset(run.decoder.caches, 0, plan.caches);
    code = lort_pool_run(session->pool, count, plan.window, decode_rows, give_rows, &run, err);
    lort_give(&session->alloc, memory, plan.total);
    return code;
}

lort_code lort_rows_give_all(lort_reading *reading, const lort_slice *slice,
                             const lort_dtype_info *type, lort_sink_fn *sink, void *ctx,
                             lort_error *err)
{
    const int64_t rows = slice->shape.rows, band = lort_rows_band(slice->shape, type);
    return band ? lort_rows_give(reading, slice, type, 0, (rows + band - 1) / band, sink, ctx, err)
                : LORT_OK;
}
