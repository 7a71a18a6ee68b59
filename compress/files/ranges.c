/* ranges: see ranges.h.
 *
 *              range
 *            |----------------|
 *     | block | block | block | block |      chunks, or bands of rows
 *      ^ in the cache                ^ goes into the cache, since the range ends inside it
 */
#include "compress/files/ranges.h"
#include "compress/files/rows.h"
#include "compress/read/finite.h"
#include "formats/container/part.h"
#include <string.h>

static const lort_alloc *alloc_of(const lort_ranges *r)
{
    return &r->layout->reading->session.alloc;
}

/* ---- the block in the cache ---- */

static void drop_block(lort_ranges *r)
{
    lort_give(alloc_of(r), r->block.bytes, r->block.room);
    r->block = (lort_range_block){0};
}

/* Takes room for blocks of `bytes` bytes. */
static lort_code open_block(lort_ranges *r, uint64_t bytes, lort_error *err)
{
    void *memory;
    if (r->block.room >= bytes)
        return LORT_OK;
    drop_block(r);
    lort_code code = lort_take(alloc_of(r), bytes, "a decoded block", &memory, err);
    if (code == LORT_OK)
        r->block = (lort_range_block){.bytes = memory, .room = bytes};
    return code;
}

/* Copies what the cache has of [at, at + n). Returns how many bytes. */
static uint64_t from_block(const lort_ranges *r, const lort_part *part, uint64_t at, uint8_t *dst,
                           uint64_t n)
{
    const lort_range_block *b = &r->block;
    if (b->part != part || at < b->at || at - b->at >= b->count)
        return 0;
    const uint64_t left = b->count - (at - b->at), some = left < n ? left : n;
    memcpy(dst, b->bytes + (at - b->at), (size_t)some);
    return some;
}

/* ---- a run of blocks ---- */

typedef struct run {
    lort_ranges *ranges;
    const lort_part *part;
    uint64_t at;         /* of the next block in the part */
    uint64_t start, end; /* the range */
    uint8_t *dst;        /* [end - start] */
} run;

/* A lort_sink_fn: takes the next block. */
static lort_code take_block(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    run *u = ctx;
    const uint64_t from = u->at > u->start ? u->at : u->start,
                   to = u->at + n < u->end ? u->at + n : u->end;
    if (from < to)
        memcpy(u->dst + (from - u->start), (const uint8_t *)bytes + (from - u->at),
               (size_t)(to - from));
    if (from > u->at || to < u->at + n) { /* not all of it: the next range may want the rest */
        lort_code code = open_block(u->ranges, n, err);
        if (code)
            return code;
        memcpy(u->ranges->block.bytes, bytes, (size_t)n);
        u->ranges->block.part = u->part;
        u->ranges->block.at = u->at;
        u->ranges->block.count = n;
    }
    u->at += n;
    return LORT_OK;
}

/* ---- chunks of a kept part or slice ---- */

/* Finds the chunk that holds byte `at` of a part, from the chunk that was found last. first: a
 * chunk that begins at first_at, before `at`. */
static void find_chunk(lort_ranges *r, const lort_part *part, uint64_t first, uint64_t first_at,
                       uint64_t at)
{
    if (r->found != part || (r->chunk_at > at && at - first_at < r->chunk_at - at)) {
        r->chunk = first;
        r->chunk_at = first_at;
    }
    r->found = part;
    while (r->chunk_at > at)
        r->chunk_at -= part->chunks[--r->chunk].decoded;
    while (r->chunk_at + part->chunks[r->chunk].decoded <= at)
        r->chunk_at += part->chunks[r->chunk++].decoded;
}

/* Reads [at, at + n) from chunks [first, first + count), the first of which begins at first_at. */
static lort_code read_chunks(lort_ranges *r, const lort_part *part, uint64_t first, uint64_t count,
                             uint64_t first_at, uint64_t at, uint8_t *dst, uint64_t n,
                             lort_error *err)
{
    find_chunk(r, part, first, first_at, at);
    run u = {r, part, r->chunk_at, at, at + n, dst};
    const uint64_t from = r->chunk;
    uint64_t to = from;
    for (uint64_t end = u.at; end < u.end && to < first + count; to++)
        end += part->chunks[to].decoded;
    return lort_reading_chunks(r->layout->reading, part, from, to - from, take_block, &u, err);
}

/* ---- slices ---- */

static void close_slice(lort_ranges *r)
{
    if (r->slice.part)
        drop_block(r); /* bands may be large */
    lort_slice_close(&r->slice);
}

/* Opens a slice, which stays open until another one is needed. */
static lort_code open_slice(lort_ranges *r, const lort_part *part, uint32_t number, lort_error *err)
{
    lort_reading *reading = r->layout->reading;
    if (r->slice.part == part && r->slice.slice == number)
        return LORT_OK;
    close_slice(r);
    lort_scratch *scratch = &reading->session.scratch[0];
    lort_code code =
        lort_slice_open(reading->archive, part, number, scratch, alloc_of(r), &r->slice, err);
    if (code == LORT_OK)
        code = lort_slice_check_finite(&r->slice, scratch, alloc_of(r), err);
    if (code)
        lort_slice_close(&r->slice);
    return code;
}

/* Bytes of a band of rows. The last band of a slice may have fewer. */
static uint64_t band_bytes(lort_matrices shape, const lort_dtype_info *type)
{
    return (uint64_t)lort_rows_band(shape, type) * (uint64_t)shape.cols * type->block_bytes;
}

/* Reads [at, at + n) of a part, inside one stored slice that begins at slice_at. */
static lort_code read_slice(lort_ranges *r, const lort_part *part, uint32_t number,
                            uint64_t slice_at, uint64_t at, uint8_t *dst, uint64_t n,
                            lort_error *err)
{
    const lort_dtype_info *type = lort_layout_type(r->layout, part);
    lort_code code = open_slice(r, part, number, err);
    if (code)
        return code;
    if (type->id == part->dtype && r->slice.term[LORT_TERM_RAW]) {
        uint64_t first, count;
        lort_part_array(part, LORT_ARRAY_RAW, number, &first, &count);
        r->found = NULL; /* chunks of other arrays may lie between slices */
        return read_chunks(r, part, first, count, slice_at, at, dst, n, err);
    }
    const uint64_t band = band_bytes(r->slice.shape, type), from = (at - slice_at) / band,
                   to = (at + n - slice_at + band - 1) / band;
    run u = {r, part, slice_at + from * band, at, at + n, dst};
    return lort_rows_give(r->layout->reading, &r->slice, type, (int64_t)from, (int64_t)(to - from),
                          take_block, &u, err);
}

/* Reads the start of [at, at + n), up to the end of a slice. Slices without chunks are zeros, any
 * number of them at once. *done: how many bytes. */
static lort_code read_slices(lort_ranges *r, const lort_part *part, uint64_t at, uint8_t *dst,
                             uint64_t n, uint64_t *done, lort_error *err)
{
    const uint64_t per = lort_layout_part_bytes(r->layout, part) / part->slices;
    const uint32_t slice = (uint32_t)(at / per), stored = lort_part_stored(part, slice);
    const uint64_t border = stored > slice ? stored * per : (slice + 1) * per;
    *done = border - at < n ? border - at : n;
    if (stored == slice)
        return read_slice(r, part, slice, slice * per, at, dst, *done, err);
    memset(dst, 0, (size_t)*done);
    return LORT_OK;
}

/* ---- the hash of the source ---- */

/* Notes the bytes of a range of a part that is kept whole, and checks them at its end. */
static lort_code note_bytes(lort_ranges *r, const lort_part *part, uint64_t at, const uint8_t *dst,
                            uint64_t n, lort_error *err)
{
    lort_code code = LORT_OK;
    const bool follows = at == 0 || (r->ordered == part && r->ordered_at == at);
    if (at == 0 || !follows) {
        lort_hasher_close(r->hasher);
        r->hasher = NULL;
        r->ordered = NULL;
    }
    if (at == 0)
        code = lort_hasher_open(alloc_of(r), &r->hasher, err);
    if (code || !follows)
        return code;
    lort_hasher_add(r->hasher, dst, n);
    r->ordered = part;
    r->ordered_at = at + n;
    return r->ordered_at == part->source_bytes ? lort_reading_check_hash(part, r->hasher, err)
                                               : LORT_OK;
}

/* ---- the whole ---- */

static lort_code read_part(lort_ranges *r, const lort_part *part, uint64_t at, uint8_t *dst,
                           uint64_t n, lort_error *err)
{
    lort_code code = LORT_OK;
    const bool raw = lort_part_is_raw(part);
    const uint64_t start = at;
    for (uint64_t end = at + n, done; at < end && code == LORT_OK; at += done) {
        uint8_t *to = dst + (at - start);
        done = from_block(r, part, at, to, end - at);
        if (done > 0)
            continue;
        done = end - at;
        code = raw ? read_chunks(r, part, 0, part->chunk_count, 0, at, to, done, err)
                   : read_slices(r, part, at, to, end - at, &done, err);
    }
    if (code == LORT_OK && raw)
        code = note_bytes(r, part, start, dst, n, err);
    if (code)
        r->block.part = r->ordered = NULL;
    return code;
}

lort_code lort_ranges_read(lort_ranges *r, const lort_part *part, uint64_t at, void *dst,
                           uint64_t n, lort_error *err)
{
    if (n == 0)
        return LORT_OK;
    if (r->slice.part && r->slice.part != part)
        close_slice(r);
    lort_code code = read_part(r, part, at, dst, n, err);
    if (code == LORT_OK && at + n == lort_layout_part_bytes(r->layout, part))
        lort_archive_release(r->layout->reading->archive, part);
    return code ? lort_reading_name_error(part, err) : LORT_OK;
}

uint64_t lort_ranges_cost(const lort_archive *archive) { return lort_archive_chunk_max(archive); }

uint64_t lort_ranges_part_cost(const lort_layout *layout, const lort_part *part)
{
    return band_bytes(lort_part_matrices(part), lort_layout_type(layout, part));
}

void lort_ranges_close(lort_ranges *r)
{
    if (!r->layout)
        return;
    lort_slice_close(&r->slice);
    drop_block(r);
    lort_hasher_close(r->hasher);
    *r = (lort_ranges){0};
}
