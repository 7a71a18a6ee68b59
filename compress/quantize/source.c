/* source: see source.h. */
#include "compress/quantize/source.h"
#include "formats/container/part.h"
#include <string.h>

/* A part of a container as the matrices that its blocks cut. */
static lort_cell_grid grid_of(const lort_entry *entry)
{
    const lort_matrices shape = lort_part_matrices(entry->part);
    return lort_cell_grid_of(shape.rows, shape.cols);
}

uint64_t lort_piece_most(const lort_entry *entry)
{
    if (!entry->part)
        return entry->tensor->elements < LORT_PIECE_ELEMENTS ? entry->tensor->elements
                                                             : LORT_PIECE_ELEMENTS;
    const lort_cell_grid grid = grid_of(entry);
    const int64_t high = grid.high < grid.rows ? grid.high : grid.rows;
    return (uint64_t)high * (uint64_t)grid.cols;
}

uint64_t lort_source_runs(const lort_entry *entry)
{
    return entry->part ? (uint64_t)lort_part_matrices(entry->part).slices : 1;
}

static uint64_t run_elements(const lort_entry *entry)
{
    const uint64_t runs = lort_source_runs(entry);
    return runs ? entry->tensor->elements / runs : 0;
}

uint64_t lort_run_pieces(const lort_entry *entry)
{
    const uint64_t most = lort_piece_most(entry);
    return most ? (run_elements(entry) + most - 1) / most : 0;
}

lort_stretch lort_run_piece(const lort_entry *entry, uint64_t run, uint64_t piece)
{
    const uint64_t elements = run_elements(entry), most = lort_piece_most(entry),
                   first = piece * most;
    return (lort_stretch){run * elements + first,
                          elements - first < most ? elements - first : most};
}

lort_code lort_run_open(lort_quantizer *q, const lort_target_tensor *t, uint64_t run,
                        lort_error *err)
{
    lort_session *session = lort_session_of(q);
    if (!t->entry.part)
        return LORT_OK;
    for (unsigned i = 0; i < session->threads; i++)
        q->workers[i].cache.valid = false;
    return lort_slice_open(q->input.archive, t->entry.part, (uint32_t)run, &session->scratch[0],
                           &session->alloc, &q->slice, err);
}

void lort_run_close(lort_quantizer *q) { lort_slice_close(&q->slice); }

/* Decodes a band of rows cell by cell. */
static lort_code read_rows(lort_quantizer *q, const lort_entry *entry, lort_stretch stretch,
                           unsigned worker, lort_error *err)
{
    lort_quantize_worker *w = &q->workers[worker];
    const lort_cell_grid grid = grid_of(entry);
    const uint64_t cols = (uint64_t)grid.cols;
    const int64_t row = (int64_t)(stretch.first / cols) % grid.rows;
    lort_cells cells = {.r0 = row, .r1 = row + (int64_t)(stretch.count / cols)};
    lort_code code = LORT_OK;
    for (; cells.c0 < grid.cols && code == LORT_OK; cells.c0 = cells.c1) {
        const bool whole = grid.wide >= grid.cols;
        cells.c1 = grid.cols - cells.c0 < grid.wide ? grid.cols : cells.c0 + grid.wide;
        const uint64_t wide = (uint64_t)(cells.c1 - cells.c0);
        code = lort_slice_cells(&q->slice, &cells, &q->reading.session.scratch[worker], &w->cache,
                                whole ? w->values : w->cell, err);
        for (int64_t r = 0; r < cells.r1 - cells.r0 && code == LORT_OK && !whole; r++)
            memcpy(w->values + (uint64_t)r * cols + (uint64_t)cells.c0,
                   w->cell + (uint64_t)r * wide, (size_t)(wide * sizeof(float)));
    }
    return code;
}

lort_code lort_run_read(lort_quantizer *q, const lort_target_tensor *t, lort_stretch stretch,
                        unsigned worker, lort_error *err)
{
    if (t->entry.part)
        return read_rows(q, &t->entry, stretch, worker, err);
    lort_code code =
        lort_entry_elements(&t->entry, stretch.first, stretch.count,
                            &q->reading.session.scratch[worker], q->workers[worker].values, err);
    return code ? code : lort_entry_check(&t->entry, err);
}

const float *lort_stretch_importance(const lort_target_tensor *t, lort_stretch stretch, float *out)
{
    const uint64_t cols = (uint64_t)t->shape.cols, slice = cols * (uint64_t)t->shape.rows;
    if (!t->importance)
        return NULL;
    for (uint64_t at = 0, n; at < stretch.count; at += n) {
        const uint64_t element = stretch.first + at, col = element % cols;
        const float *row =
            lort_importance_row(t->importance, &t->shape, (int64_t)(element / slice));
        n = cols - col < stretch.count - at ? cols - col : stretch.count - at;
        if (!row)
            return NULL;
        memcpy(out + at, row + col, (size_t)(n * sizeof *out));
    }
    return out;
}

/* ---- tensors as pieces of the output ---- */

void lort_sums_add(lort_error_sums *to, const lort_error_sums *from)
{
    to->x2 += from->x2;
    to->e2 += from->e2;
    to->wx2 += from->wx2;
    to->we2 += from->we2;
}

bool lort_target_copied(const lort_target_tensor *t)
{
    return t->type->id == t->entry.tensor->type->id &&
           (!t->entry.part || lort_part_is_raw(t->entry.part));
}

uint64_t lort_target_pieces(const lort_target_tensor *t)
{
    return lort_target_copied(t) ? 1 : lort_source_runs(&t->entry) * lort_run_pieces(&t->entry);
}

uint64_t lort_stretch_bytes(const lort_target_tensor *t, lort_stretch stretch)
{
    return stretch.count / t->type->block_elements * t->type->block_bytes;
}
