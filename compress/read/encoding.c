/* encoding: see encoding.h. The table `encodings` has the order in which the terms are summed. */
#include "compress/read/encoding.h"
#include "compress/coder/trits.h"
#include "compress/coder/weighting.h"
#include "compress/factor/cells.h"
#include "formats/base/bytes.h"
#include "formats/container/part.h"
#include <string.h>

/* ---- raw: elements of the tensor's own type ---- */

static uint64_t raw_memory(const lort_part *part, const lort_term *term, uint32_t slice)
{
    (void)part;
    (void)term;
    (void)slice;
    return 0;
}

/* The gate checks only that a slice has whole blocks of the type. Reading needs whole blocks in
 * every row. */
static lort_code raw_open(lort_slice *slice, lort_scratch *scratch, lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(slice->term[LORT_TERM_RAW]->left);
    (void)scratch;
    if (slice->shape.cols % type->block_elements)
        return lort_fail(err, LORT_E_DAMAGED, "rows of %lld elements are not whole blocks of %s",
                         (long long)slice->shape.cols, type->name);
    return LORT_OK;
}

static lort_code load_chunk(const lort_slice *slice, uint64_t chunk, lort_scratch *scratch,
                            lort_chunk_cache *cache, lort_error *err)
{
    if (cache->valid && cache->part == slice->part && cache->chunk == chunk)
        return LORT_OK;
    cache->valid = false;
    lort_code code = lort_archive_chunk(slice->archive, slice->part, chunk, scratch->codec,
                                        scratch->planes, scratch->bytes, err);
    *cache = (lort_chunk_cache){slice->part, chunk, code == LORT_OK};
    return code;
}

/* The chunk of [first, first + count) that holds an element. The chunks of an array ascend. */
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

lort_code lort_slice_elements(const lort_slice *slice, uint64_t at, uint64_t end,
                              lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                              lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(slice->term[LORT_TERM_RAW]->left);
    uint64_t first, count;
    lort_part_array(slice->part, LORT_ARRAY_RAW, slice->slice, &first, &count);
    while (at < end) {
        uint64_t number = find_chunk(slice->part, first, count, at);
        const lort_chunk *chunk = &slice->part->chunks[number];
        uint64_t stop = chunk->first + chunk->count < end ? chunk->first + chunk->count : end;
        lort_code code = load_chunk(slice, number, scratch, cache, err);
        if (code)
            return code;
        type->decode(scratch->bytes +
                         (at - chunk->first) / type->block_elements * type->block_bytes,
                     dst, stop - at);
        dst += stop - at;
        at = stop;
    }
    return LORT_OK;
}

static lort_code raw_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch,
                           lort_chunk_cache *cache, float *dst, lort_error *err)
{
    uint64_t cols = (uint64_t)slice->shape.cols, c0 = (uint64_t)cells->c0, c1 = (uint64_t)cells->c1;
    if (c1 - c0 == cols)
        return lort_slice_elements(slice, (uint64_t)cells->r0 * cols, (uint64_t)cells->r1 * cols,
                                   scratch, cache, dst, err);
    lort_code code = LORT_OK;
    for (uint64_t r = (uint64_t)cells->r0; r < (uint64_t)cells->r1 && code == LORT_OK;
         r++, dst += c1 - c0)
        code = lort_slice_elements(slice, r * cols + c0, r * cols + c1, scratch, cache, dst, err);
    return code;
}

/* ---- factors ---- */

static uint64_t rank_of(const lort_slice *slice)
{
    return slice->term[LORT_TERM_FACTORS]->rank[slice->slice];
}
static uint64_t left_bytes(const lort_slice *slice)
{
    return (uint64_t)slice->shape.rows * rank_of(slice) * sizeof(float);
}
static uint64_t right_bytes(const lort_slice *slice)
{
    return (uint64_t)slice->shape.cols * rank_of(slice) * sizeof(float);
}

static uint64_t factors_memory(const lort_part *part, const lort_term *term, uint32_t slice)
{
    const lort_matrices shape = lort_part_matrices(part);
    return (uint64_t)(shape.rows + shape.cols) * term->rank[slice] * sizeof(float);
}

/* Loads an array whose elements need no decoding, of so many bytes each. */
static lort_code load_bytes(const lort_slice *slice, lort_array array, uint64_t each,
                            lort_scratch *scratch, uint8_t *dst, lort_error *err)
{
    uint64_t first, count;
    lort_part_array(slice->part, array, slice->slice, &first, &count);
    for (uint64_t i = first; i < first + count; i++) {
        const lort_chunk *chunk = &slice->part->chunks[i];
        lort_code code = lort_archive_chunk(slice->archive, slice->part, i, scratch->codec,
                                            scratch->planes, scratch->bytes, err);
        if (code)
            return code;
        memcpy(dst + chunk->first * each, scratch->bytes, (size_t)(chunk->count * each));
    }
    return LORT_OK;
}

static lort_code load_array(const lort_slice *slice, lort_array array, lort_dtype dtype,
                            lort_scratch *scratch, float *dst, lort_error *err)
{
    const lort_dtype_info *type = lort_dtype_get(dtype);
    uint64_t first, count;
    lort_part_array(slice->part, array, slice->slice, &first, &count);
    for (uint64_t i = first; i < first + count; i++) {
        const lort_chunk *chunk = &slice->part->chunks[i];
        lort_code code = lort_archive_chunk(slice->archive, slice->part, i, scratch->codec,
                                            scratch->planes, scratch->bytes, err);
        if (code)
            return code;
        type->decode(scratch->bytes, dst + chunk->first, chunk->count);
        if (lort_find_nonfinite(dst + chunk->first, chunk->count) < chunk->count)
            return lort_fail(err, LORT_E_DAMAGED, "%s holds NaN or Inf",
                             array == LORT_ARRAY_SCALES     ? "a scale"
                             : array == LORT_ARRAY_OUTLIERS ? "an outlier"
                                                            : "a factor");
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
    const lort_term *term = slice->term[LORT_TERM_FACTORS];
    code = load_array(slice, LORT_ARRAY_LEFT, term->left, scratch, slice->left, err);
    return code ? code
                : load_array(slice, LORT_ARRAY_RIGHT, term->right, scratch, slice->right, err);
}

static lort_code factors_cells(const lort_slice *slice, const lort_cells *cells,
                               lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                               lort_error *err)
{
    (void)scratch;
    (void)cache;
    (void)err;
    const lort_term *term = slice->term[LORT_TERM_FACTORS];
    const lort_product product = {term->rank[slice->slice], term->exponent[slice->slice],
                                  slice->left, slice->right};
    lort_product_cells(&product, slice->shape.cols, cells->r0, cells->r1, cells->c0, cells->c1, dst,
                       cells->c1 - cells->c0);
    return LORT_OK;
}

/* ---- integers of a trellis ---- */

static lort_scales scales_of(const lort_slice *slice)
{
    return lort_scales_in(slice->codes, slice->term[LORT_TERM_INTEGERS]->scaled, &slice->shape);
}

/* codes NULL: nothing is scaled. */
static lort_code check_codes(const uint8_t *codes, int64_t count, int least, int most,
                             const char *what, lort_error *err)
{
    for (int64_t i = 0; codes && i < count; i++)
        if (codes[i] < least || codes[i] > most)
            return lort_fail(err, LORT_E_DAMAGED,
                             "the scale of %s %lld has code %u (allowed %d to %d)", what,
                             (long long)i, codes[i], least, most);
    return LORT_OK;
}

static lort_code check_scales(const lort_slice *slice, lort_error *err)
{
    const lort_scales scales = scales_of(slice);
    lort_code code = check_codes(scales.cols, slice->shape.cols, LORT_SCALE_LEAST, LORT_SCALE_MOST,
                                 "column", err);
    return code ? code
                : check_codes(scales.rows, slice->shape.rows, LORT_ROW_SCALE_LEAST,
                              LORT_ROW_SCALE_MOST, "row", err);
}

static uint64_t integers_memory(const lort_part *part, const lort_term *term, uint32_t slice)
{
    const lort_matrices shape = lort_part_matrices(part);
    (void)slice;
    return lort_codes_bytes(term->scaled, &shape);
}

static lort_code integers_open(lort_slice *slice, lort_scratch *scratch, lort_error *err)
{
    void *memory;
    lort_code code = lort_take(
        slice->alloc, lort_codes_bytes(slice->term[LORT_TERM_INTEGERS]->scaled, &slice->shape),
        "codes of rows and columns", &memory, err);
    if (code)
        return code;
    slice->codes = memory;
    code = load_bytes(slice, LORT_ARRAY_CODES, 1, scratch, slice->codes, err);
    return code ? code : check_scales(slice, err);
}

static lort_code decode_integers(const lort_slice *slice, const lort_block_place *place,
                                 uint64_t bytes, lort_scratch *scratch, lort_error *err)
{
    lort_block block = lort_block_at(place, place->rows, slice->codes, slice->shape.rows);
    const lort_scales scales = scales_of(slice);
    lort_code code = lort_block_decode(&block, slice->term[LORT_TERM_INTEGERS]->step[slice->slice],
                                       bytes, &scratch->block, err);
    if (code == LORT_OK)
        lort_unscale_block(scratch->block.weights, place, place->rows, &scales);
    return code;
}

/* ---- trits ---- */

static uint64_t scales_bytes(const lort_part *part)
{
    return (uint64_t)lort_part_matrices(part).rows * sizeof(float);
}

static uint64_t ternary_memory(const lort_part *part, const lort_term *term, uint32_t slice)
{
    (void)term;
    (void)slice;
    return scales_bytes(part);
}

static lort_code ternary_open(lort_slice *slice, lort_scratch *scratch, lort_error *err)
{
    void *memory;
    lort_code code =
        lort_take(slice->alloc, scales_bytes(slice->part), "scales of rows", &memory, err);
    if (code)
        return code;
    slice->scales = memory;
    code = load_array(slice, LORT_ARRAY_SCALES, slice->term[LORT_TERM_TERNARY]->left, scratch,
                      slice->scales, err);
    for (int64_t r = 0; r < slice->shape.rows && code == LORT_OK; r++)
        if (!(slice->scales[r] >= 0))
            code =
                lort_fail(err, LORT_E_DAMAGED, "the scale of row %lld is negative", (long long)r);
    return code;
}

static lort_code decode_trits(const lort_slice *slice, const lort_block_place *place,
                              lort_scratch *scratch, lort_error *err)
{
    return lort_trits_unpack(scratch->block.body, place->rows, place->cols,
                             slice->scales + place->row, scratch->block.weights, err);
}

/* ---- blocks of integers or trits ---- */

lort_code lort_slice_load(const lort_slice *slice, int64_t number, lort_scratch *scratch,
                          lort_chunk_cache *cache, lort_error *err)
{
    const lort_block_grid grid = lort_block_grid_of(slice->shape.rows, slice->shape.cols);
    const lort_block_place place = lort_block_get(&grid, number);
    const bool trits = slice->term[LORT_TERM_TERNARY] != NULL;
    uint64_t first, count;
    lort_part_array(slice->part, trits ? LORT_ARRAY_TRITS : LORT_ARRAY_BLOCKS, slice->slice, &first,
                    &count);
    const uint64_t chunk = first + (uint64_t)number;
    if (cache->valid && cache->part == slice->part && cache->chunk == chunk)
        return LORT_OK;
    cache->valid = false;
    lort_code code = lort_archive_chunk(slice->archive, slice->part, chunk, scratch->codec, NULL,
                                        scratch->block.body, err);
    if (code == LORT_OK)
        code = trits ? decode_trits(slice, &place, scratch, err)
                     : decode_integers(slice, &place, slice->part->chunks[chunk].decoded, scratch,
                                       err);
    *cache = (lort_chunk_cache){slice->part, chunk, code == LORT_OK};
    return code;
}

/* Adds the weights of a block that lie in the cells. */
static void add_block(const lort_block_place *place, const lort_cells *cells, const float *weights,
                      float *dst)
{
    const int64_t r0 = place->row > cells->r0 ? place->row : cells->r0,
                  r1 = place->row + place->rows < cells->r1 ? place->row + place->rows : cells->r1;
    const int64_t c0 = place->col > cells->c0 ? place->col : cells->c0,
                  c1 = place->col + place->cols < cells->c1 ? place->col + place->cols : cells->c1;
    for (int64_t r = r0; r < r1; r++) {
        const float *from = weights + (r - place->row) * place->cols + (c0 - place->col);
        float *to = dst + (r - cells->r0) * (cells->c1 - cells->c0) + (c0 - cells->c0);
        for (int64_t c = 0; c < c1 - c0; c++)
            to[c] += from[c];
    }
}

static lort_code block_cells(const lort_slice *slice, const lort_cells *cells,
                             lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                             lort_error *err)
{
    const lort_block_grid grid = lort_block_grid_of(slice->shape.rows, slice->shape.cols);
    lort_code code = LORT_OK;
    for (int64_t down = cells->r0 / grid.high; down * grid.high < cells->r1; down++)
        for (int64_t across = cells->c0 / grid.wide;
             across * grid.wide < cells->c1 && code == LORT_OK; across++) {
            const lort_block_place place = lort_block_get(&grid, down * grid.across + across);
            code = lort_slice_load(slice, down * grid.across + across, scratch, cache, err);
            if (code == LORT_OK)
                add_block(&place, cells, scratch->block.weights, dst);
        }
    return code;
}

/* ---- outliers ---- */

static uint64_t outliers_memory(const lort_part *part, const lort_term *term, uint32_t slice)
{
    (void)part;
    return term->rank[slice] * LORT_OUTLIER_BYTES;
}

static lort_code check_places(const lort_slice *slice, uint64_t count, lort_error *err)
{
    const uint64_t elements = (uint64_t)slice->shape.rows * (uint64_t)slice->shape.cols;
    uint64_t next = 0;
    for (uint64_t i = 0; i < count; next = slice->places[i++] + 1)
        if (slice->places[i] < next || slice->places[i] >= elements)
            return lort_fail(err, LORT_E_DAMAGED,
                             "outlier %llu is at element %llu (allowed: %llu to %llu)",
                             (unsigned long long)i, (unsigned long long)slice->places[i],
                             (unsigned long long)next, (unsigned long long)elements - 1);
    return LORT_OK;
}

static lort_code outliers_open(lort_slice *slice, lort_scratch *scratch, lort_error *err)
{
    const uint32_t count = slice->term[LORT_TERM_OUTLIERS]->rank[slice->slice];
    void *memory;
    lort_code code = lort_take(slice->alloc, count * LORT_OUTLIER_BYTES, "outliers", &memory, err);
    if (code)
        return code;
    slice->places = memory;
    slice->outliers = (float *)(void *)(slice->places + count);
    code = load_bytes(slice, LORT_ARRAY_PLACES, sizeof *slice->places, scratch,
                      (uint8_t *)slice->places, err);
    if (code == LORT_OK)
        code = check_places(slice, count, err);
    return code ? code
                : load_array(slice, LORT_ARRAY_OUTLIERS, LORT_F32, scratch, slice->outliers, err);
}

/* A search in each row of a cell bounds the work, however many outliers a row has outside the
 * cell. */
static lort_code outliers_cells(const lort_slice *slice, const lort_cells *cells,
                                lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                                lort_error *err)
{
    const uint64_t count = slice->term[LORT_TERM_OUTLIERS]->rank[slice->slice],
                   wide = (uint64_t)(cells->c1 - cells->c0);
    (void)scratch;
    (void)cache;
    (void)err;
    for (int64_t r = cells->r0; r < cells->r1; r++, dst += wide) {
        const uint64_t start = (uint64_t)r * (uint64_t)slice->shape.cols + (uint64_t)cells->c0;
        for (uint64_t i = lort_outliers_from(slice->places, count, start);
             i < count && slice->places[i] < start + wide; i++)
            dst[slice->places[i] - start] = slice->outliers[i];
    }
    return LORT_OK;
}

/* ---- base ---- */

static lort_code base_open(lort_slice *slice, lort_scratch *scratch, lort_error *err)
{
    (void)slice;
    (void)scratch;
    (void)err;
    return LORT_OK;
}

/* Adds elements [first, first + n) of the base's tensor to dst. */
static lort_code add_base(const lort_slice *slice, uint64_t first, uint64_t n, float *dst,
                          lort_error *err)
{
    enum { RUN = 1024 };
    const lort_dtype_info *type = slice->part->type;
    uint8_t bytes[RUN * sizeof(float)]; /* F32, F16 or BF16: the gate checked it */
    float values[RUN];
    for (uint64_t at = 0; at < n; at += RUN) {
        const uint64_t some = n - at < RUN ? n - at : RUN;
        lort_code code =
            lort_archive_base_bytes(slice->archive, slice->part, (first + at) * type->block_bytes,
                                    some * type->block_bytes, bytes, err);
        if (code)
            return code;
        type->decode(bytes, values, some);
        for (uint64_t i = 0; i < some; i++)
            dst[at + i] += values[i];
    }
    return LORT_OK;
}

/* The chunks of a raw slice have the base in them already. */
static lort_code base_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch,
                            lort_chunk_cache *cache, float *dst, lort_error *err)
{
    const uint64_t cols = (uint64_t)slice->shape.cols, wide = (uint64_t)(cells->c1 - cells->c0),
                   start = slice->slice * (uint64_t)slice->shape.rows * cols;
    lort_code code = LORT_OK;
    (void)scratch;
    (void)cache;
    for (int64_t r = cells->r0; r < cells->r1 && code == LORT_OK && !slice->term[LORT_TERM_RAW];
         r++, dst += wide)
        code = add_base(slice, start + (uint64_t)r * cols + (uint64_t)cells->c0, wide, dst, err);
    return code;
}

static const lort_encoding encodings[] = {
    {LORT_TERM_RAW, "raw", raw_memory, raw_open, raw_cells},
    {LORT_TERM_FACTORS, "factors", factors_memory, factors_open, factors_cells},
    {LORT_TERM_INTEGERS, "integers", integers_memory, integers_open, block_cells},
    {LORT_TERM_TERNARY, "trits", ternary_memory, ternary_open, block_cells},
    {LORT_TERM_OUTLIERS, "outliers", outliers_memory, outliers_open, outliers_cells},
    {LORT_TERM_BASE, "base", raw_memory, base_open, base_cells},
};
#define ENCODINGS (sizeof encodings / sizeof *encodings)

const lort_encoding *lort_encoding_get(lort_term_kind kind)
{
    for (unsigned i = 0; i < ENCODINGS; i++)
        if (encodings[i].kind == kind)
            return &encodings[i];
    return NULL;
}

/* ---- cells ---- */

lort_cell_grid lort_cell_grid_of(int64_t rows, int64_t cols)
{
    return lort_block_grid_of(rows, cols);
}

lort_cells lort_cell_get(const lort_cell_grid *grid, int64_t number)
{
    const lort_block_place place = lort_block_get(grid, number);
    return (lort_cells){place.row, place.row + place.rows, place.col, place.col + place.cols};
}

uint64_t lort_cell_count(const lort_cells *cells)
{
    return (uint64_t)(cells->r1 - cells->r0) * (uint64_t)(cells->c1 - cells->c0);
}

/* ---- slices ---- */

lort_code lort_slice_open(const lort_archive *archive, const lort_part *part, uint32_t slice,
                          lort_scratch *scratch, const lort_alloc *alloc, lort_slice *out,
                          lort_error *err)
{
    *out = (lort_slice){.archive = archive,
                        .part = part,
                        .alloc = alloc,
                        .slice = slice,
                        .shape = lort_part_matrices(part)};
    lort_code code = LORT_OK;
    for (unsigned i = 0; i < ENCODINGS && code == LORT_OK; i++) {
        const lort_term *term = lort_part_term(part, slice, encodings[i].kind);
        out->term[encodings[i].kind] = term;
        code = term ? encodings[i].open(out, scratch, err) : LORT_OK;
    }
    if (code)
        lort_slice_close(out);
    return code;
}

/* RAW and FACTORS set dst; INTEGERS and TERNARY add to it. So dst begins as zero if neither RAW nor
 * FACTORS is there. */
lort_code lort_slice_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch,
                           lort_chunk_cache *cache, float *dst, lort_error *err)
{
    lort_code code = LORT_OK;
    if (!slice->term[LORT_TERM_RAW] && !slice->term[LORT_TERM_FACTORS])
        memset(dst, 0, (size_t)(lort_cell_count(cells) * sizeof *dst));
    for (unsigned i = 0; i < ENCODINGS && code == LORT_OK; i++)
        if (slice->term[encodings[i].kind])
            code = encodings[i].cells(slice, cells, scratch, cache, dst, err);
    return code;
}

void lort_slice_close(lort_slice *slice)
{
    if (slice->left)
        lort_give(slice->alloc, slice->left, left_bytes(slice));
    if (slice->right)
        lort_give(slice->alloc, slice->right, right_bytes(slice));
    if (slice->codes)
        lort_give(slice->alloc, slice->codes,
                  lort_codes_bytes(slice->term[LORT_TERM_INTEGERS]->scaled, &slice->shape));
    if (slice->scales)
        lort_give(slice->alloc, slice->scales, scales_bytes(slice->part));
    if (slice->places)
        lort_give(slice->alloc, slice->places,
                  slice->term[LORT_TERM_OUTLIERS]->rank[slice->slice] * LORT_OUTLIER_BYTES);
    *slice = (lort_slice){0};
}

uint64_t lort_slice_memory(const lort_part *part, uint32_t slice)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < ENCODINGS; i++) {
        const lort_term *term = lort_part_term(part, slice, encodings[i].kind);
        bytes += term ? encodings[i].memory(part, term, slice) : 0;
    }
    return bytes;
}

uint64_t lort_part_memory(const lort_part *part)
{
    uint64_t most = 0;
    if (lort_part_is_raw(part))
        return 0;
    for (uint32_t s = lort_part_stored(part, 0); s < part->slices;
         s = lort_part_stored(part, s + 1)) {
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
        for (uint64_t c = 0; c < part->chunk_count && !part->same;
             c++) { /* blocks are decoded to lort_block_space */
            const bool block = lort_array_get(part->chunks[c].array)->frames;
            const uint64_t bytes = block ? part->chunks[c].stored : part->chunks[c].decoded;
            most = bytes > most ? bytes : most;
        }
    }
    return most;
}

void lort_archive_block_need(const lort_archive *archive, lort_block_need *need)
{
    for (uint64_t i = 0; i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        const lort_matrices shape = lort_part_matrices(part);
        if (lort_part_has_blocks(part))
            lort_block_need_add(need, shape.rows, shape.cols);
    }
}

bool lort_slice_has_blocks(const lort_slice *slice)
{
    for (uint32_t kind = 0; kind < LORT_TERM_KINDS; kind++)
        if (slice->term[kind] && lort_term_get(kind)->blocks)
            return true;
    return false;
}
