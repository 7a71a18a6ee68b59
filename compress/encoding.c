/* encoding: stored slices to f32 cells. */
#include "compress/encoding.h"
#include "compress/factor.h"
#include <string.h>

/* ---- raw: elements of the tensor's own type ---- */

static uint64_t raw_memory(const lort_part *part, const lort_term *term, uint32_t slice)
{
    (void)part;
    (void)term;
    (void)slice;
    return 0;
}

static lort_code raw_open(lort_slice *slice, lort_scratch *scratch, lort_error *err)
{
    (void)slice;
    (void)scratch;
    (void)err;
    return LORT_OK;
}

static lort_code load_chunk(const lort_slice *slice, uint64_t chunk, lort_scratch *scratch, lort_chunk_cache *cache, lort_error *err)
{
    if (cache->valid && cache->part == slice->part && cache->chunk == chunk)
        return LORT_OK;
    cache->valid = false;
    lort_code code = lort_archive_chunk(slice->archive, slice->part, chunk, scratch->codec, scratch->planes, scratch->bytes, err);
    *cache = (lort_chunk_cache){slice->part, chunk, code == LORT_OK};
    return code;
}

/* The chunk of [first, first + count) that holds an element: chunks of an array ascend. */
static uint64_t find_chunk(const lort_part *part, uint64_t first, uint64_t count, uint64_t element)
{
    uint64_t low = first, high = first + count - 1;
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (part->chunks[middle].first <= element)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Elements [at, end) of the slice. Blocks and chunks both start at multiples of the block; rows do too. */
static lort_code raw_elements(const lort_slice *slice, uint64_t at, uint64_t end, lort_scratch *scratch, lort_chunk_cache *cache, float *dst, lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(slice->term->left);
    uint64_t first, count;
    lort_part_array(slice->part, LORT_ARRAY_RAW, slice->slice, &first, &count);
    while (at < end) {
        uint64_t number = find_chunk(slice->part, first, count, at);
        const lort_chunk *chunk = &slice->part->chunks[number];
        uint64_t stop = chunk->first + chunk->count < end ? chunk->first + chunk->count : end;
        lort_code code = load_chunk(slice, number, scratch, cache, err);
        if (code)
            return code;
        type->decode(scratch->bytes + (at - chunk->first) / type->block_elements * type->block_bytes, dst, stop - at);
        dst += stop - at;
        at = stop;
    }
    return LORT_OK;
}

static lort_code raw_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch, lort_chunk_cache *cache, float *dst, lort_error *err)
{
    uint64_t cols = (uint64_t)slice->shape.cols, c0 = (uint64_t)cells->c0, c1 = (uint64_t)cells->c1;
    if (c1 - c0 == cols)
        return raw_elements(slice, (uint64_t)cells->r0 * cols, (uint64_t)cells->r1 * cols, scratch, cache, dst, err);
    lort_code code = LORT_OK;
    for (uint64_t r = (uint64_t)cells->r0; r < (uint64_t)cells->r1 && code == LORT_OK; r++, dst += c1 - c0)
        code = raw_elements(slice, r * cols + c0, r * cols + c1, scratch, cache, dst, err);
    return code;
}

/* ---- factors ---- */

static uint64_t left_bytes(const lort_slice *slice) { return (uint64_t)slice->shape.rows * slice->term->rank[slice->slice] * sizeof(float); }
static uint64_t right_bytes(const lort_slice *slice) { return (uint64_t)slice->shape.cols * slice->term->rank[slice->slice] * sizeof(float); }

static uint64_t factors_memory(const lort_part *part, const lort_term *term, uint32_t slice)
{
    lort_slice probe = {.part = part, .term = term, .slice = slice, .shape = lort_part_matrices(part)};
    return left_bytes(&probe) + right_bytes(&probe);
}

static lort_code load_array(const lort_slice *slice, lort_array array, lort_dtype dtype, lort_scratch *scratch, float *dst, lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(dtype);
    uint64_t first, count;
    lort_part_array(slice->part, array, slice->slice, &first, &count);
    for (uint64_t i = first; i < first + count; i++) {
        const lort_chunk *chunk = &slice->part->chunks[i];
        lort_code code = lort_archive_chunk(slice->archive, slice->part, i, scratch->codec, scratch->planes, scratch->bytes, err);
        if (code)
            return code;
        type->decode(scratch->bytes, dst + chunk->first, chunk->count);
        if (lort_find_nonfinite(dst + chunk->first, chunk->count) < chunk->count)
            return lort_fail(err, LORT_E_DAMAGED, "a factor holds NaN or Inf");
    }
    return LORT_OK;
}

static lort_code factors_open(lort_slice *slice, lort_scratch *scratch, lort_error *err)
{
    void *memory;
    lort_code code = lort_take(slice->alloc, left_bytes(slice), "a left factor", &memory, err);
    if (code)
        return code;
    slice->left = memory;
    code = lort_take(slice->alloc, right_bytes(slice), "a right factor", &memory, err);
    if (code)
        return code;
    slice->right = memory;
    code = load_array(slice, LORT_ARRAY_LEFT, slice->term->left, scratch, slice->left, err);
    return code ? code : load_array(slice, LORT_ARRAY_RIGHT, slice->term->right, scratch, slice->right, err);
}

static lort_code factors_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch, lort_chunk_cache *cache, float *dst, lort_error *err)
{
    (void)scratch;
    (void)cache;
    (void)err;
    lort_factors_cells(slice->shape.rows, slice->shape.cols, slice->term->rank[slice->slice], slice->term->exponent[slice->slice], slice->left,
                       slice->right, cells->r0, cells->r1, cells->c0, cells->c1, dst, cells->c1 - cells->c0);
    return LORT_OK;
}

static const lort_encoding encodings[] = {
    {LORT_TERM_RAW, "raw", raw_memory, raw_open, raw_cells},
    {LORT_TERM_FACTORS, "factors", factors_memory, factors_open, factors_cells},
};

const lort_encoding *lort_encoding_get(lort_term_kind kind)
{
    for (unsigned i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if (encodings[i].kind == kind)
            return &encodings[i];
    return NULL;
}

/* ---- cells ---- */

static int64_t pieces(int64_t total, int64_t step) { return total / step + (total % step != 0); }

lort_cell_grid lort_cell_grid_of(int64_t rows, int64_t cols)
{
    lort_cell_grid grid = {.rows = rows, .cols = cols};
    grid.wide = cols < LORT_CELL_COLS ? (cols > 0 ? cols : 1) : LORT_CELL_COLS;
    grid.high = LORT_CELL_VALUES / grid.wide / LORT_DECODE_ROWS * LORT_DECODE_ROWS;
    grid.down = pieces(rows, grid.high);
    grid.across = pieces(cols, grid.wide);
    return grid;
}

lort_cells lort_cell_get(const lort_cell_grid *grid, int64_t number)
{
    int64_t r0 = number / grid->across * grid->high, c0 = number % grid->across * grid->wide;
    return (lort_cells){r0, grid->rows - r0 < grid->high ? grid->rows : r0 + grid->high,
                        c0, grid->cols - c0 < grid->wide ? grid->cols : c0 + grid->wide};
}

uint64_t lort_cell_count(const lort_cells *cells) { return (uint64_t)(cells->r1 - cells->r0) * (uint64_t)(cells->c1 - cells->c0); }

/* ---- slices ---- */

lort_code lort_slice_open(const lort_archive *archive, const lort_part *part, uint32_t slice, lort_scratch *scratch, const lort_alloc *alloc,
                          lort_slice *out, lort_error *err)
{
    *out = (lort_slice){.archive = archive, .part = part, .alloc = alloc, .slice = slice, .shape = lort_part_matrices(part)};
    out->term = lort_part_term(part, slice);
    if (!out->term)
        return LORT_OK;
    out->encoding = lort_encoding_get(out->term->kind); /* the gate let only known kinds through */
    lort_code code = out->encoding->open(out, scratch, err);
    if (code)
        lort_slice_close(out);
    return code;
}

lort_code lort_slice_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                           lort_error *err)
{
    if (slice->encoding)
        return slice->encoding->cells(slice, cells, scratch, cache, dst, err);
    memset(dst, 0, (size_t)(lort_cell_count(cells) * sizeof *dst));
    return LORT_OK;
}

void lort_slice_close(lort_slice *slice)
{
    if (slice->left)
        lort_give(slice->alloc, slice->left, left_bytes(slice));
    if (slice->right)
        lort_give(slice->alloc, slice->right, right_bytes(slice));
    *slice = (lort_slice){0};
}

uint64_t lort_slice_memory(const lort_part *part, uint32_t slice)
{
    const lort_term *term = lort_part_term(part, slice);
    return term ? lort_encoding_get(term->kind)->memory(part, term, slice) : 0;
}

uint64_t lort_part_memory(const lort_part *part)
{
    uint64_t most = 0;
    for (uint32_t s = 0; s < part->slices && !lort_part_is_raw(part); s++) {
        uint64_t bytes = lort_slice_memory(part, s);
        most = bytes > most ? bytes : most;
    }
    return most;
}

uint64_t lort_archive_chunk_max(const lort_archive *archive)
{
    uint64_t most = LORT_CHUNK_TARGET;
    for (uint64_t i = 0; i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        for (uint64_t c = 0; c < part->chunk_count; c++)
            most = part->chunks[c].decoded > most ? part->chunks[c].decoded : most;
    }
    return most;
}

uint64_t lort_part_elements(const lort_part *part)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < part->n_dims; i++)
        n *= (uint64_t)part->dims[i]; /* the gate checked the product */
    return n;
}

bool lort_part_is_raw(const lort_part *part)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        if (part->terms[i].kind != LORT_TERM_RAW)
            return false;
    return true;
}

bool lort_part_decodes(const lort_part *part)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        if (!lort_dtype_get(part->terms[i].left)->decode)
            return false;
    return true;
}
