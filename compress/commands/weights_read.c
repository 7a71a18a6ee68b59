/* weights_read: fills a program's buffer with rows of a tensor, with several workers.
 *
 *     model                          pieces of the mapped file
 *     kept part                      its chunks
 *     factored or coded part         slice after slice: bands of rows, as restore decodes them,
 *                                    or the chunks of a slice that is kept in its own type
 *
 * Each item of work is a range of elements, and goes to its place in the buffer. So the bytes do
 * not depend on the workers. */
#include "compress/commands/weights_parts.h"
#include "compress/files/rows.h"
#include "compress/session/host.h"
#include "formats/container/part.h"
#include <string.h>

typedef unsigned long long ull;

/* One call. Elements are those of the tensor: [at, end) of them are wanted. */
typedef struct reader {
    lort_weights *weights;
    lort_entry entry;
    const lort_dtype_info *own, *type; /* of the tensor as it is stored; of the buffer */
    bool same;                         /* no value changes its type: bytes are copied */
    uint64_t at, end;
    uint8_t *buffer; /* of element `at` */
    unsigned threads;
    /* of the run at work */
    lort_pool *pool;
    lort_row_decoder decoder;
    uint64_t first;  /* elements before the slice at work */
    uint64_t piece;  /* elements of an item; of a slice: of a band */
    uint64_t chunk0; /* first chunk at work */
} reader;

/* ---- running ---- */

/* Takes the values of all workers, and runs the items. */
static lort_code run_items(reader *r, int64_t items, lort_work_fn *work, lort_error *err)
{
    lort_weights *w = r->weights;
    const unsigned workers = lort_weights_workers(w, r->threads, items);
    const uint64_t values = workers * r->decoder.room * sizeof(float),
                   caches = workers * sizeof(lort_chunk_cache);
    void *memory;
    lort_code code = lort_take(w->alloc, values + caches, "rows to read", &memory, err);
    if (code)
        return code;
    memset((uint8_t *)memory + values, 0, caches);
    r->decoder.session = &w->session;
    r->decoder.values = memory;
    r->decoder.caches = (lort_chunk_cache *)(void *)((uint8_t *)memory + values);
    code = lort_pool_each(workers > 1 ? w->session.pool : NULL, items, work, r, err);
    lort_give(w->alloc, memory, values + caches);
    return code;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Bytes of whole blocks of a type. */
static uint64_t bytes_of(const lort_dtype_info *type, uint64_t elements)
{
    return elements / type->block_elements * type->block_bytes;
}

static uint8_t *place_of(const reader *r, uint64_t element)
{
    return r->buffer + bytes_of(r->type, element - r->at);
}

/* Rounds values of a kept tensor. */
static lort_code put_values(const reader *r, const float *values, uint64_t element, uint64_t n,
                            lort_error *err)
{
    lort_code code = lort_rows_check_range(r->type->id, false, values, n, err);
    if (code == LORT_OK)
        lort_dtype_encoder(r->type->id)(values, place_of(r, element), n);
    return code;
}

/* ---- a model ---- */

static lort_code copy_view(const reader *r, uint64_t at, uint64_t n, const lort_scratch *scratch,
                           lort_error *err)
{
    const lort_tensor *tensor = r->entry.tensor;
    const uint8_t *view;
    lort_code code =
        lort_model_view(r->entry.input->model, tensor->file, tensor->offset + bytes_of(r->own, at),
                        bytes_of(r->own, n), scratch->bytes, &view, err);
    if (code == LORT_OK)
        memcpy(place_of(r, at), view, (size_t)bytes_of(r->own, n));
    return code;
}

static lort_code model_item(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    const reader *r = ctx;
    const uint64_t at = r->at + (uint64_t)item * r->piece, n = least(r->end - at, r->piece);
    const lort_scratch *scratch = &r->weights->session.scratch[worker];
    float *values = r->decoder.values + worker * r->decoder.room;
    (void)slot;
    if (r->same)
        return copy_view(r, at, n, scratch, err);
    lort_code code = lort_entry_elements(&r->entry, at, n, scratch, values, err);
    return code ? code : put_values(r, values, at, n, err);
}

static lort_code read_model(reader *r, lort_error *err)
{
    const uint64_t block = r->own->block_elements,
                   bytes = least(r->weights->session.scratch->size, LORT_CHUNK_TARGET);
    r->piece = most(bytes / r->own->block_bytes * block, block);
    r->decoder.room = r->same ? 0 : r->piece;
    lort_code code =
        run_items(r, (int64_t)((r->end - r->at + r->piece - 1) / r->piece), model_item, err);
    return code ? code : lort_entry_unchanged(&r->entry, err);
}

/* ---- chunks of kept slices ---- */

/* Elements of a part in front of a chunk of raw bytes. */
static uint64_t chunk_place(const lort_part *part, uint64_t number)
{
    const lort_matrices shape = lort_part_matrices(part);
    const lort_chunk *chunk = &part->chunks[number];
    return (chunk->array & (LORT_MAX_SLICES - 1)) * ((uint64_t)shape.rows * (uint64_t)shape.cols) +
           chunk->first;
}

/* Converts elements [low, high) of the chunk in the scratch, which begins with element `begin`. */
static lort_code convert_chunk(const reader *r, const uint8_t *bytes, uint64_t begin, uint64_t low,
                               uint64_t high, float *values, lort_error *err)
{
    lort_code code = LORT_OK;
    while (low < high && code == LORT_OK) {
        const uint64_t n = least(high - low, r->decoder.room);
        r->own->decode(bytes + bytes_of(r->own, low - begin), values, n);
        code = put_values(r, values, low, n, err);
        low += n;
    }
    return code;
}

static lort_code chunk_item(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    const reader *r = ctx;
    const lort_part *part = r->entry.part;
    const lort_scratch *scratch = &r->weights->session.scratch[worker];
    const uint64_t number = r->chunk0 + (uint64_t)item, begin = chunk_place(part, number),
                   end = begin + part->chunks[number].count, low = most(begin, r->at),
                   high = least(end, r->end);
    const bool whole = r->same && low == begin && high == end &&
                       part->chunks[number].decoded == bytes_of(r->own, end - begin);
    (void)slot;
    if (low >= high)
        return LORT_OK;
    lort_code code =
        lort_archive_chunk(r->entry.input->archive, part, number, scratch->codec, scratch->planes,
                           whole ? place_of(r, low) : scratch->bytes, err);
    if (code || whole)
        return code;
    if (!r->same)
        return convert_chunk(r, scratch->bytes, begin, low, high,
                             r->decoder.values + worker * r->decoder.room, err);
    memcpy(place_of(r, low), scratch->bytes + bytes_of(r->own, low - begin),
           (size_t)bytes_of(r->own, high - low));
    return LORT_OK;
}

/* The first of the chunks [low, high) that ends behind an element. They ascend. */
static uint64_t chunk_behind(const lort_part *part, uint64_t low, uint64_t high, uint64_t element)
{
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (chunk_place(part, middle) + part->chunks[middle].count <= element)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Reads raw chunks [first, first + count) of the part, as far as they are wanted. */
static lort_code read_chunks(reader *r, uint64_t first, uint64_t count, lort_error *err)
{
    const lort_part *part = r->entry.part;
    const uint64_t block = r->own->block_elements, end = first + count;
    r->chunk0 = chunk_behind(part, first, end, r->at);
    uint64_t last = r->chunk0;
    if (r->chunk0 < end)
        last = least(end, chunk_behind(part, r->chunk0, end, r->end - 1) + 1);
    r->decoder.room = r->same ? 0 : most((LORT_CHUNK_TARGET / sizeof(float)) / block, 1) * block;
    r->weights->cache.valid = false; /* the chunks use its buffer */
    return run_items(r, (int64_t)(last - r->chunk0), chunk_item, err);
}

static lort_code check_source(const reader *r, lort_error *err)
{
    const lort_part *part = r->entry.part;
    lort_hasher *hasher;
    if (!r->same || r->at > 0 || bytes_of(r->own, r->end) != part->source_bytes)
        return LORT_OK;
    lort_code code = lort_hasher_open(r->weights->alloc, &hasher, err);
    if (code)
        return code;
    lort_hasher_add(hasher, r->buffer, part->source_bytes);
    code = lort_reading_check_hash(part, hasher, err);
    lort_hasher_close(hasher);
    return code;
}

/* ---- slices of a part that is not kept ---- */

static lort_code band_item(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const reader *r = ctx;
    const lort_cell_grid *grid = &r->decoder.grid;
    const uint64_t size = (uint64_t)grid->rows * (uint64_t)grid->cols,
                   begin = r->at > r->first ? r->at - r->first : 0,
                   end = least(size, r->end - r->first), band = begin / r->piece + (uint64_t)item,
                   at = most(begin, band * r->piece);
    (void)slot;
    return lort_rows_decode(&r->decoder, at, least(end, (band + 1) * r->piece), worker,
                            place_of(r, r->first + at), err);
}

/* Reads bands of the open slice. */
static lort_code read_bands(reader *r, lort_error *err)
{
    const lort_slice *slice = &r->weights->slice;
    const lort_matrices shape = slice->shape;
    const uint64_t size = (uint64_t)shape.rows * (uint64_t)shape.cols,
                   begin = r->at > r->first ? r->at - r->first : 0,
                   end = least(size, r->end - r->first);
    r->decoder.slice = slice;
    r->decoder.type = r->type;
    r->decoder.grid = lort_cell_grid_of(shape.rows, shape.cols);
    r->decoder.room = lort_rows_room(&r->decoder.grid);
    r->piece = (uint64_t)lort_rows_band(shape, r->type) * (uint64_t)shape.cols;
    r->weights->cache.valid = false;
    return run_items(r, (int64_t)((end - 1) / r->piece - begin / r->piece + 1), band_item, err);
}

static lort_code read_slice(reader *r, uint32_t number, lort_error *err)
{
    const lort_part *part = r->entry.part;
    lort_code code = lort_weights_open_slice(r->weights, part, number, err);
    if (code)
        return code;
    r->same = r->type->id == part->dtype && r->weights->slice.term[LORT_TERM_RAW];
    if (!r->same)
        return read_bands(r, err);
    uint64_t first, count;
    lort_part_array(part, LORT_ARRAY_RAW, number, &first, &count);
    return read_chunks(r, first, count, err);
}

/* Slices without chunks are zeros, any number of them at once. */
static lort_code read_slices(reader *r, lort_error *err)
{
    const lort_part *part = r->entry.part;
    const lort_matrices shape = lort_part_matrices(part);
    const uint64_t size = (uint64_t)shape.rows * (uint64_t)shape.cols;
    lort_code code = LORT_OK;
    for (uint64_t at = r->at; at < r->end && code == LORT_OK;) {
        const uint32_t slice = (uint32_t)(at / size), stored = lort_part_stored(part, slice);
        const uint64_t stop = least(r->end, (stored > slice ? stored : slice + UINT64_C(1)) * size);
        r->first = slice * size;
        if (stored > slice)
            memset(place_of(r, at), 0, (size_t)bytes_of(r->type, stop - at));
        else
            code = read_slice(r, slice, err);
        at = stop;
    }
    return code;
}

/* ---- the call ---- */

static bool is_raw(const reader *r) { return !r->entry.part || lort_part_is_raw(r->entry.part); }

static lort_code read_all(reader *r, lort_error *err)
{
    if (!r->entry.part)
        return read_model(r, err);
    if (!is_raw(r))
        return read_slices(r, err);
    lort_code code = read_chunks(r, 0, r->entry.part->chunk_count, err);
    return code ? code : check_source(r, err);
}

/* True if a tensor can only be read whole: its rows are not whole blocks, or it has none. */
static bool whole_only(const lort_tensor *tensor)
{
    return tensor->type->kind == LORT_KIND_OPAQUE ||
           lort_weights_shape(tensor).cols % (int64_t)tensor->type->block_elements;
}

static lort_code choose_type(reader *r, lort_read_type type, lort_error *err)
{
    static const lort_dtype types[] = {
        [LORT_READ_F32] = LORT_F32, [LORT_READ_F16] = LORT_F16, [LORT_READ_BF16] = LORT_BF16};
    if (type != LORT_READ_OWN && (unsigned)type >= sizeof types / sizeof *types)
        return lort_fail(err, LORT_E_USAGE, "read type %d: allowed are F32, F16, BF16 and OWN",
                         (int)type);
    r->own = is_raw(r) ? r->entry.tensor->type : lort_weights_own_type(&r->entry);
    r->type = type == LORT_READ_OWN ? r->own : lort_dtype_get(types[type]);
    r->same = r->type->id == r->own->id;
    if (!r->same && (!lort_entry_decodes(&r->entry) || whole_only(r->entry.tensor)))
        return lort_fail(err, LORT_E_USAGE, "%s has no decoder; read it as OWN, whole",
                         r->entry.tensor->type->name);
    return LORT_OK;
}

/* A tensor that can only be read whole counts as one row. */
static lort_code choose_whole(reader *r, int64_t first_row, int64_t row_count, uint64_t *bytes,
                              lort_error *err)
{
    const lort_tensor *tensor = r->entry.tensor;
    if (first_row != 0 || row_count != LORT_ROWS_ALL)
        return lort_fail(err, LORT_E_USAGE,
                         "%s has no rows of whole blocks; read all rows (LORT_ROWS_ALL)",
                         tensor->type->name);
    *bytes = tensor->bytes;
    r->end = tensor->bytes / tensor->type->block_bytes * tensor->type->block_elements;
    return LORT_OK;
}

static lort_code choose_rows(reader *r, int64_t first_row, int64_t row_count, uint64_t buffer_bytes,
                             lort_error *err)
{
    const lort_matrices shape = lort_weights_shape(r->entry.tensor);
    uint64_t bytes = 0;
    lort_code code;
    if (r->entry.tensor->bytes && whole_only(r->entry.tensor)) {
        code = choose_whole(r, first_row, row_count, &bytes, err);
    } else {
        code = lort_weights_check_rows(r->entry.tensor, first_row, &row_count, err);
        r->at = code ? 0 : (uint64_t)first_row * (uint64_t)shape.cols;
        r->end = code ? 0 : r->at + (uint64_t)row_count * (uint64_t)shape.cols;
        bytes = bytes_of(r->type, r->end - r->at);
    }
    if (code == LORT_OK && buffer_bytes < bytes)
        code = lort_fail(err, LORT_E_USAGE, "a buffer of %llu bytes: the rows take %llu",
                         (ull)buffer_bytes, (ull)bytes);
    return code;
}

/* Where several workers take too much, one does the work again. */
static lort_code read_within(reader *r, lort_error *err)
{
    lort_weights *w = r->weights;
    lort_host_enter(&w->host);
    lort_weights_drop_band(w);
    lort_code code = read_all(r, err);
    if (code == LORT_E_MEMORY && lort_weights_drop_workers(w)) {
        r->threads = 1;
        code = read_all(r, err);
    }
    if (code == LORT_OK)
        code = lort_base_unchanged(w->base, err);
    if (r->at == 0 && r->end == r->entry.tensor->elements)
        lort_entry_release(&r->entry);
    lort_host_leave(&w->host);
    return code;
}

lort_code lort_weights_read(lort_weights *w, const char *name, lort_read_type type,
                            int64_t first_row, int64_t row_count, void *buffer,
                            uint64_t buffer_bytes, unsigned threads, lort_error *err)
{
    reader r = {.weights = w, .buffer = buffer, .threads = threads};
    lort_error unused;
    uint64_t number;
    err = err ? err : &unused; /* so that the code goes up */
    lort_code code = lort_weights_find(w, name, &number, err);
    if (code == LORT_OK)
        code = lort_weights_entry(w, number, &r.entry, err);
    if (code)
        return code;
    code = choose_type(&r, type, err);
    if (code == LORT_OK)
        code = choose_rows(&r, first_row, row_count, buffer_bytes, err);
    if (code == LORT_OK && r.at < r.end)
        code = read_within(&r, err);
    return lort_weights_name_error(&r.entry, code, err);
}
