/* restore_rows: see restore_rows.h.
 *
 *        0 .. wide ..              cols
 *     +--------+--------+-----+
 *     | cell   |  cell  |     | rows: whole cells                one slot
 *     +--------+--------+-----+
 *
 * Workers decode bands: some rows of the slice, as wide as the matrix. A worker decodes a band cell
 * by cell to f32 and converts each cell to the output type, in the bytes of a slot. Then the band
 * is appended to the output, in order. */
#include "compress/commands/restore_rows.h"
#include "compress/factor/cells.h"
#include <math.h>
#include <string.h>

#define BLOCK_BYTES (LORT_CELL_VALUES * sizeof(float)) /* of a band; holds a cell of any type */
#define WINDOW_BYTES (64ull << 20)                     /* of all slots; a larger slot is alone */

typedef struct row_run {
    lort_reading *reading;
    lort_publish *publish;
    const lort_slice *slice;
    const lort_dtype_info *type;
    lort_cell_grid grid;
    int64_t band_rows; /* rows of a band */
    uint64_t row_bytes, slot_bytes;
    float *values;            /* [threads][LORT_CELL_VALUES] */
    lort_chunk_cache *caches; /* [threads] */
    uint8_t *bytes;           /* [window][slot_bytes] */
} row_run;

/* The bands of one slice and the memory they take, by shape and type only. */
typedef struct row_plan {
    lort_cell_grid grid;
    int64_t band_rows;
    unsigned window;
    uint64_t row_bytes, slot_bytes, values, caches, total;
} row_plan;

/* A band has whole cells and about BLOCK_BYTES. As many bands are in work as the window allows, and
 * fewer for very wide matrices. */
static row_plan plan_rows(lort_matrices shape, const lort_dtype_info *type, unsigned threads,
                          unsigned window)
{
    row_plan plan = {.grid = lort_cell_grid_of(shape.rows, shape.cols),
                     .row_bytes = (uint64_t)shape.cols * type->block_bytes};
    int64_t fits = (int64_t)(BLOCK_BYTES / (plan.row_bytes ? plan.row_bytes : 1)) /
                   LORT_DECODE_ROWS * LORT_DECODE_ROWS;
    fits = fits < LORT_DECODE_ROWS ? LORT_DECODE_ROWS
           : fits > plan.grid.high ? plan.grid.high
                                   : fits;
    plan.band_rows = fits < shape.rows ? fits : shape.rows;
    plan.slot_bytes = (uint64_t)plan.band_rows * plan.row_bytes;
    /* one worker decodes and commits by turns */
    uint64_t slots = threads == 1 ? 1 : WINDOW_BYTES / (plan.slot_bytes + 1);
    plan.window = slots < 1 ? 1 : slots < window ? (unsigned)slots : window;
    plan.values = threads * LORT_CELL_VALUES * sizeof(float);
    plan.caches = threads * sizeof(lort_chunk_cache);
    plan.total = plan.values + plan.caches + plan.window * plan.slot_bytes;
    return plan;
}

/* Refuses values that would become Inf in the output type. `first` is the smallest such value: half
 * a unit in the last place above the largest number of the type. product: factors are involved, so
 * NaN and Inf cannot be values of the source and are refused too. */
static lort_code check_range(lort_dtype type, bool product, const float *values, uint64_t n,
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

static lort_code decode_cell(const row_run *run, lort_cells cells, unsigned worker, uint8_t *block,
                             int64_t first, lort_error *err)
{
    float *values = run->values + (uint64_t)worker * LORT_CELL_VALUES;
    uint64_t wide = (uint64_t)(cells.c1 - cells.c0);
    lort_code code = lort_slice_cells(run->slice, &cells, &run->reading->session.scratch[worker],
                                      &run->caches[worker], values, err);
    if (code == LORT_OK)
        code = check_range(run->type->id, run->slice->left != NULL, values, lort_cell_count(&cells),
                           err);
    if (code)
        return code;
    for (int64_t row = cells.r0; row < cells.r1; row++)
        lort_dtype_encoder(run->type->id)(values + (uint64_t)(row - cells.r0) * wide,
                                          block + (uint64_t)(row - first) * run->row_bytes +
                                              (uint64_t)cells.c0 * run->type->block_bytes,
                                          wide);
    return LORT_OK;
}

static int64_t block_end(const row_run *run, int64_t item)
{
    return run->grid.rows - item * run->band_rows < run->band_rows ? run->grid.rows
                                                                   : (item + 1) * run->band_rows;
}

/* Decodes a band of a kept slice in the order of its elements. Chunks of a wide matrix may hold a
 * part of a row. Cells would decode such a chunk again for every cell of the row. */
static lort_code decode_raw(const row_run *run, lort_cells band, unsigned worker, uint8_t *dst,
                            lort_error *err)
{
    float *values = run->values + (uint64_t)worker * LORT_CELL_VALUES;
    const uint64_t cols = (uint64_t)run->grid.cols, end = (uint64_t)band.r1 * cols;
    lort_code code = LORT_OK;
    for (uint64_t at = (uint64_t)band.r0 * cols; at < end && code == LORT_OK;) {
        const uint64_t n = end - at < LORT_CELL_VALUES ? end - at : LORT_CELL_VALUES;
        code = lort_slice_elements(run->slice, at, at + n, &run->reading->session.scratch[worker],
                                   &run->caches[worker], values, err);
        if (code == LORT_OK)
            code = check_range(run->type->id, false, values, n, err);
        if (code == LORT_OK)
            code = lort_session_check_stop(&run->reading->session, err);
        if (code == LORT_OK)
            lort_dtype_encoder(run->type->id)(values, dst, n);
        lort_session_tick(&run->reading->session, LORT_TICKS_DECODE * n);
        dst += n * run->type->block_bytes;
        at += n;
    }
    return code;
}

static lort_code decode_rows(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    row_run *run = ctx;
    const lort_cell_grid *grid = &run->grid;
    lort_cells cells = {.r0 = item * run->band_rows, .r1 = block_end(run, item)};
    lort_code code = LORT_OK;
    if (run->slice->term[LORT_TERM_RAW])
        return decode_raw(run, cells, worker, run->bytes + slot * run->slot_bytes, err);
    for (; cells.c0 < grid->cols && code == LORT_OK; cells.c0 = cells.c1) {
        cells.c1 = grid->cols - cells.c0 < grid->wide ? grid->cols : cells.c0 + grid->wide;
        code = decode_cell(run, cells, worker, run->bytes + slot * run->slot_bytes, cells.r0, err);
        lort_session_tick(&run->reading->session, LORT_TICKS_DECODE * lort_cell_count(&cells));
        if (code == LORT_OK)
            code = lort_session_check_stop(&run->reading->session, err);
    }
    return code;
}

static lort_code append_rows(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    row_run *run = ctx;
    uint64_t rows = (uint64_t)(block_end(run, item) - item * run->band_rows);
    lort_code code = lort_session_check_stop(&run->reading->session, err);
    return code ? code
                : lort_publish_append(run->publish, run->bytes + slot * run->slot_bytes,
                                      rows * run->row_bytes, err);
}

uint64_t lort_restore_rows_bytes(lort_matrices shape, const lort_dtype_info *type, unsigned threads)
{
    return plan_rows(shape, type, threads, 2 * threads).total;
}

lort_code lort_restore_rows(lort_reading *reading, lort_publish *publish, const lort_slice *slice,
                            const lort_dtype_info *type, lort_error *err)
{
    lort_session *session = &reading->session;
    row_plan plan = plan_rows(slice->shape, type, session->threads, reading->window);
    row_run run = {.reading = reading,
                   .publish = publish,
                   .slice = slice,
                   .type = type,
                   .grid = plan.grid,
                   .band_rows = plan.band_rows,
                   .row_bytes = plan.row_bytes,
                   .slot_bytes = plan.slot_bytes};
    void *memory;
    if (plan.slot_bytes == 0)
        return LORT_OK;
    lort_code code = lort_take(&session->alloc, plan.total, "rows to write", &memory, err);
    if (code)
        return code;
    run.values = memory;
    run.caches = (lort_chunk_cache *)(void *)((uint8_t *)memory + plan.values);
    run.bytes = (uint8_t *)memory + plan.values + plan.caches;
    memset(run.caches, 0, plan.caches);
    code = lort_pool_run(session->pool, (plan.grid.rows + plan.band_rows - 1) / plan.band_rows,
                         plan.window, decode_rows, append_rows, &run, err);
    lort_give(&session->alloc, memory, plan.total);
    return code;
}
