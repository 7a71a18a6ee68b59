/* pair: see pair.h. */
#include "compress/delta/pair.h"
#include "formats/container/part.h"
#include <string.h>

/* The scratch of a worker. The fine-tune uses that of the session. */
struct lort_pair_worker {
    lort_scratch scratch; /* of the base; its codec is that of the session */
    lort_chunk_cache tuned_cache, base_cache;
    float *other; /* [tile_floats]: the base, while the fine-tune is in dst */
    float *cell;  /* [CELL_FLOATS]: of a container */
};
/* A tile of a container is copied from cells of this shape: whole blocks of every type. */
#define CELL_ROWS 64
#define CELL_COLS 1024
#define CELL_FLOATS ((uint64_t)CELL_ROWS * CELL_COLS)

const char *lort_match_text(lort_match match)
{
    static const char *const texts[] = {[LORT_MATCH_SAME] = "equal types and shapes",
                                        [LORT_MATCH_TYPE] = "another type",
                                        [LORT_MATCH_ROWS] = "more rows",
                                        [LORT_MATCH_SHAPE] = "another shape",
                                        [LORT_MATCH_NEW] = "not in the base",
                                        [LORT_MATCH_GONE] = "not in the fine-tune"};
    return texts[match];
}

/* ---- matching ---- */

/* Compares shapes, of which the first dimension may have grown. */
static lort_match match_shapes(const lort_tensor *tuned, const lort_tensor *base)
{
    if (tuned->n_dims != base->n_dims)
        return LORT_MATCH_SHAPE;
    for (uint32_t i = 1; i < base->n_dims; i++)
        if (tuned->dims[i] != base->dims[i])
            return LORT_MATCH_SHAPE;
    if (base->n_dims == 0 || tuned->dims[0] == base->dims[0])
        return tuned->type->id == base->type->id ? LORT_MATCH_SAME : LORT_MATCH_TYPE;
    return tuned->dims[0] > base->dims[0] && base->n_dims == 2 ? LORT_MATCH_ROWS : LORT_MATCH_SHAPE;
}

static bool is_convolution(const lort_entry *entry)
{
    return entry->part && entry->part->convolution && entry->tensor->elements;
}

static lort_matrices common_shape(const lort_pair_tensor *t)
{
    const lort_tensor *base = t->base.tensor;
    if (t->match > LORT_MATCH_ROWS)
        return (lort_matrices){0, 0, 0};
    return is_convolution(&t->tuned) || is_convolution(&t->base)
               ? lort_dims_convolution(base->dims, base->n_dims)
               : lort_tensor_matrices(base);
}

static void match_tuned(lort_pair *pair)
{
    for (uint64_t i = 0; i < pair->tuned.index->count; i++) {
        lort_pair_tensor *t = &pair->tensors[pair->count++];
        t->tuned = lort_input_entry(&pair->tuned, i);
        const lort_tensor *tensor = t->tuned.tensor;
        t->match = lort_input_find(&pair->base, tensor->name, tensor->name_bytes, &t->base)
                       ? match_shapes(tensor, t->base.tensor)
                       : LORT_MATCH_NEW;
        t->shape = common_shape(t);
    }
}

static void match_base(lort_pair *pair)
{
    lort_entry found;
    for (uint64_t i = 0; i < pair->base.index->count; i++) {
        const lort_entry base = lort_input_entry(&pair->base, i);
        if (!lort_input_find(&pair->tuned, base.tensor->name, base.tensor->name_bytes, &found))
            pair->tensors[pair->count++] =
                (lort_pair_tensor){.base = base, .match = LORT_MATCH_GONE};
    }
}

static lort_code open_side(lort_pair *pair, const char *path, const lort_model_options *options,
                           lort_input *out, lort_error *err)
{
    lort_session *session = pair->session;
    lort_code code = lort_input_open_as(path, options, &session->alloc, lort_session_warn_text,
                                        lort_session_stops, session, out, err);
    if (code == LORT_OK && out->model)
        lort_model_stop_when(out->model, lort_session_stops, session);
    return lort_session_name_limit(session, path, code, err);
}

lort_code lort_pair_open(lort_pair *pair, lort_session *session, const char *tuned,
                         const char *base, const lort_model_options *options, lort_error *err)
{
    void *memory;
    *pair = (lort_pair){.session = session, .arena.alloc = &session->alloc};
    lort_code code = open_side(pair, tuned, options, &pair->tuned, err);
    if (code == LORT_OK)
        code = open_side(pair, base, options, &pair->base, err);
    if (code == LORT_OK)
        code = lort_arena_take(&pair->arena,
                               (pair->tuned.index->count + pair->base.index->count + 1) *
                                   sizeof *pair->tensors,
                               &memory, err);
    if (code)
        return code;
    pair->tensors = memory;
    match_tuned(pair);
    match_base(pair);
    return LORT_OK;
}

lort_code lort_pair_unchanged(const lort_pair *pair, lort_error *err)
{
    const lort_code code = lort_input_unchanged(&pair->tuned, err);
    return code ? code : lort_input_unchanged(&pair->base, err);
}

bool lort_pair_decodes(const lort_pair_tensor *tensor)
{
    return tensor->match <= LORT_MATCH_ROWS && lort_entry_decodes(&tensor->tuned) &&
           lort_entry_decodes(&tensor->base);
}

/* ---- workers ---- */

static uint64_t chunk_of(const lort_input *input)
{
    return input->archive ? lort_archive_chunk_max(input->archive) : LORT_CHUNK_TARGET;
}

void lort_pair_needs(const lort_pair *pair, uint64_t *chunk_bytes, lort_block_need *blocks)
{
    const uint64_t tuned = chunk_of(&pair->tuned), base = chunk_of(&pair->base);
    *chunk_bytes = tuned > base ? tuned : base;
    if (pair->tuned.archive)
        lort_archive_block_need(pair->tuned.archive, blocks);
    if (pair->base.archive)
        lort_archive_block_need(pair->base.archive, blocks);
}

static bool has_container(const lort_pair *pair)
{
    return pair->tuned.archive || pair->base.archive;
}

static uint64_t buffer_bytes(const lort_pair *pair, uint64_t tile_floats)
{
    return sizeof(float) * (tile_floats + (has_container(pair) ? CELL_FLOATS : 0));
}

uint64_t lort_pair_cost(const lort_pair *pair, unsigned threads, uint64_t tile_floats)
{
    uint64_t chunk, bytes = sizeof(lort_pair_worker) + buffer_bytes(pair, tile_floats);
    lort_block_need blocks = {0};
    lort_pair_needs(pair, &chunk, &blocks);
    if (pair->base.archive)
        bytes += lort_block_space_bytes(&blocks) + 2 * chunk + lort_codec_bound(chunk);
    return threads * bytes;
}

uint64_t lort_pair_slice_cost(const lort_pair_tensor *tensor)
{
    return (tensor->tuned.part ? lort_part_memory(tensor->tuned.part) : 0) +
           (tensor->base.part ? lort_part_memory(tensor->base.part) : 0);
}

static lort_code open_worker(lort_pair *pair, lort_pair_worker *w, const lort_scratch *own,
                             lort_error *err)
{
    const lort_alloc *alloc = &pair->session->alloc;
    uint64_t chunk;
    lort_block_need blocks = {0};
    void *memory;
    lort_code code =
        lort_take(alloc, buffer_bytes(pair, pair->tile_floats), "tiles of a pair", &memory, err);
    if (code)
        return code;
    w->other = memory;
    w->cell = w->other + pair->tile_floats;
    if (!pair->base.archive)
        return LORT_OK;
    lort_pair_needs(pair, &chunk, &blocks);
    code = lort_scratch_open_read(&w->scratch, alloc, own->size, err);
    w->scratch.codec = own->codec;
    return code ? code : lort_block_space_open(&w->scratch.block, alloc, &blocks, err);
}

lort_code lort_pair_start(lort_pair *pair, uint64_t tile_floats, lort_error *err)
{
    lort_session *session = pair->session;
    void *memory;
    pair->tile_floats = tile_floats;
    pair->worker_count = session->threads;
    lort_code code =
        lort_arena_take(&pair->arena, session->threads * sizeof *pair->workers, &memory, err);
    pair->workers = code ? NULL : memory;
    for (unsigned i = 0; i < pair->worker_count && code == LORT_OK; i++)
        code = open_worker(pair, &pair->workers[i], &session->scratch[i], err);
    return code;
}

static void close_workers(lort_pair *pair)
{
    const lort_alloc *alloc = &pair->session->alloc;
    for (unsigned i = 0; pair->workers && i < pair->worker_count; i++) {
        lort_pair_worker *w = &pair->workers[i];
        w->scratch.codec = NULL;
        if (pair->base.archive)
            lort_scratch_close(&w->scratch, alloc);
        lort_give(alloc, w->other, buffer_bytes(pair, pair->tile_floats));
    }
    pair->workers = NULL;
}

void lort_pair_close(lort_pair *pair)
{
    if (!pair->session)
        return;
    lort_slice_close(&pair->tuned_slice);
    lort_slice_close(&pair->base_slice);
    close_workers(pair);
    lort_arena_free(&pair->arena);
    lort_input_close(&pair->tuned);
    lort_input_close(&pair->base);
    *pair = (lort_pair){0};
}

/* ---- reading ---- */

static void forget_chunks(lort_pair *pair)
{
    for (unsigned i = 0; i < pair->worker_count; i++)
        pair->workers[i].tuned_cache.valid = pair->workers[i].base_cache.valid = false;
}

static lort_code open_slice(lort_pair *pair, const lort_entry *entry, int64_t slice,
                            lort_scratch *scratch, lort_slice *out, lort_error *err)
{
    lort_slice_close(out);
    if (!entry->part)
        return LORT_OK;
    const uint32_t number = entry->part->slices > 1 ? (uint32_t)slice : 0;
    return lort_slice_open(entry->input->archive, entry->part, number, scratch,
                           &pair->session->alloc, out, err);
}

lort_code lort_pair_slice(lort_pair *pair, const lort_pair_tensor *tensor, int64_t slice,
                          lort_error *err)
{
    pair->now = tensor;
    pair->slice = slice;
    forget_chunks(pair);
    lort_code code = open_slice(pair, &tensor->tuned, slice, &pair->session->scratch[0],
                                &pair->tuned_slice, err);
    if (code == LORT_OK)
        code = open_slice(pair, &tensor->base, slice, &pair->workers[0].scratch, &pair->base_slice,
                          err);
    return code;
}

void lort_pair_release(lort_pair *pair)
{
    lort_slice_close(&pair->tuned_slice);
    lort_slice_close(&pair->base_slice);
    if (pair->now && pair->now->tuned.tensor)
        lort_entry_release(&pair->now->tuned);
    if (pair->now && pair->now->base.tensor)
        lort_entry_release(&pair->now->base);
    pair->now = NULL;
}

/* One side of the open slice, as a worker reads it. */
typedef struct side {
    const lort_entry *entry;
    const lort_slice *slice;
    lort_scratch *scratch;
    lort_chunk_cache *cache;
    int64_t before; /* rows in front of the slice */
    int64_t cols;
    float *cell;
} side;

static side side_of(lort_pair *pair, bool tuned, unsigned worker)
{
    lort_pair_worker *w = &pair->workers[worker];
    lort_scratch *own = &pair->session->scratch[worker];
    const lort_entry *entry = tuned ? &pair->now->tuned : &pair->now->base;
    return (side){
        .entry = entry,
        .slice = tuned ? &pair->tuned_slice : &pair->base_slice,
        .scratch = tuned || !pair->base.archive ? own : &w->scratch,
        .cache = tuned ? &w->tuned_cache : &w->base_cache,
        .before = entry->part && entry->part->slices > 1 ? 0 : pair->slice * pair->now->shape.rows,
        .cols = pair->now->shape.cols,
        .cell = w->cell};
}

static lort_code model_tile(const side *s, const lort_cells *at, float *dst, lort_error *err)
{
    const int64_t wide = at->c1 - at->c0, rows = wide == s->cols ? at->r1 - at->r0 : 1;
    lort_code code = LORT_OK;
    for (int64_t r = at->r0; r < at->r1 && code == LORT_OK; r += rows, dst += rows * wide)
        code = lort_entry_elements(s->entry,
                                   (uint64_t)(s->before + r) * (uint64_t)s->cols + (uint64_t)at->c0,
                                   (uint64_t)(rows * wide), s->scratch, dst, err);
    return code ? code : lort_entry_check(s->entry, err);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Decodes the cell at (r, c), and copies what of it lies in the tile. */
static lort_code copy_cell(const side *s, const lort_cells *at, int64_t r, int64_t c, float *dst,
                           lort_error *err)
{
    const lort_cells cell = {r, least(r + CELL_ROWS, s->slice->shape.rows), c,
                             least(c + CELL_COLS, s->cols)};
    const int64_t r0 = most(r, at->r0 + s->before), r1 = least(cell.r1, at->r1 + s->before),
                  c0 = most(c, at->c0), c1 = least(cell.c1, at->c1);
    lort_code code = lort_slice_cells(s->slice, &cell, s->scratch, s->cache, s->cell, err);
    for (int64_t i = r0; i < r1 && code == LORT_OK; i++)
        memcpy(dst + (i - s->before - at->r0) * (at->c1 - at->c0) + c0 - at->c0,
               s->cell + (i - r) * (cell.c1 - c) + c0 - c, (size_t)(c1 - c0) * sizeof *dst);
    return code;
}

static lort_code container_tile(const side *s, const lort_cells *at, float *dst, lort_error *err)
{
    const int64_t first = (at->r0 + s->before) / CELL_ROWS * CELL_ROWS,
                  left = at->c0 / CELL_COLS * CELL_COLS;
    lort_code code = LORT_OK;
    for (int64_t r = first; r < at->r1 + s->before && code == LORT_OK; r += CELL_ROWS)
        for (int64_t c = left; c < at->c1 && code == LORT_OK; c += CELL_COLS)
            code = copy_cell(s, at, r, c, dst, err);
    return code;
}

static lort_code read_side(lort_pair *pair, bool tuned, unsigned worker, const lort_cells *at,
                           float *dst, lort_error *err)
{
    const side s = side_of(pair, tuned, worker);
    return (s.entry->part ? container_tile : model_tile)(&s, at, dst, err);
}

lort_code lort_pair_tile(lort_pair *pair, lort_pair_what what, unsigned worker, int64_t r0,
                         int64_t r1, int64_t c0, int64_t c1, float *dst, lort_error *err)
{
    const lort_cells at = {r0, r1, c0, c1};
    const float *other = pair->workers[worker].other;
    const int64_t n = (r1 - r0) * (c1 - c0);
    lort_code code = read_side(pair, what != LORT_PAIR_BASE, worker, &at, dst, err);
    if (code || what != LORT_PAIR_DIFFERENCE)
        return code;
    code = read_side(pair, false, worker, &at, pair->workers[worker].other, err);
    for (int64_t i = 0; i < n && code == LORT_OK; i++)
        dst[i] -= other[i];
    return code;
}

/* ---- equal bytes ---- */

static lort_code hash_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    (void)err;
    lort_hasher_add(ctx, bytes, n);
    return LORT_OK;
}

static lort_code hash_side(lort_pair *pair, const lort_entry *entry, lort_scratch *scratch,
                           lort_hash128 *out, lort_error *err)
{
    lort_hasher *hasher = NULL;
    lort_code code = lort_hasher_open(&pair->session->alloc, &hasher, err);
    if (code == LORT_OK)
        code = lort_entry_bytes(entry, scratch, hash_bytes, hasher, err);
    if (code == LORT_OK)
        code = lort_entry_check(entry, err);
    if (code == LORT_OK)
        *out = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    return code;
}

static bool has_bytes(const lort_entry *entry)
{
    return !entry->part || lort_part_is_raw(entry->part);
}

lort_code lort_pair_equal(lort_pair *pair, const lort_pair_tensor *tensor, bool *equal,
                          lort_error *err)
{
    lort_hash128 tuned, base;
    *equal = false;
    if (tensor->match != LORT_MATCH_SAME || !has_bytes(&tensor->tuned) || !has_bytes(&tensor->base))
        return LORT_OK;
    forget_chunks(pair);
    lort_scratch *own = &pair->session->scratch[0];
    lort_code code = hash_side(pair, &tensor->tuned, own, &tuned, err);
    if (code == LORT_OK)
        code = hash_side(pair, &tensor->base, own, &base, err);
    *equal = code == LORT_OK && memcmp(&tuned, &base, sizeof tuned) == 0;
    return code;
}
