/* The body of a block: a head, then each stream that is not empty: its symbols, its low bits (group LORT_GROUP_SPLIT), its escapes. As a chunk the head is
 * a zstd frame, the symbols of each stream are one, and what else a stream has is one. */
#include "compress/block.h"
#include "formats/bytes.h"
#include <string.h>

#define HEAD_ROOM (LORT_BLOCK_HEAD_MAX + 64) /* of the head's frame: zstd's bound for a head of LORT_BLOCK_HEAD_MAX bytes at most */
#define HEAD_FIXED 8
#define HEAD_STREAM 12
#define TRIAL_WEIGHTS 8192u /* of a stream, on which the ways to pack it are compared */
#define ESCAPES_FEW 50       /* one in so many may be escaped before a way to pack is not even tried */

/* ---- space ---- */

static uint64_t body_bytes(int64_t weights) { return LORT_BLOCK_HEAD_MAX + 4 * (uint64_t)weights; }

uint64_t lort_block_coded_bound(const lort_block_need *need)
{
    return need->weights ? lort_codec_bound(body_bytes(need->weights)) + 4096 : 0; /* 4096: heads of some 33 frames */
}

/* The parts of a space in order: weights, decoded, scratch, k, body, coded; each a multiple of 64. */
static void sizes_of(const lort_block_need *need, uint64_t sizes[6])
{
    const uint64_t n = (uint64_t)need->weights;
    const bool write = need->write;
    sizes[0] = 4 * n;
    sizes[1] = write ? 4 * n : 0;
    sizes[2] = write ? lort_quantise_scratch(need->weights, need->cols) : 0;
    sizes[3] = 2 * n;
    sizes[4] = body_bytes(need->weights);
    sizes[5] = write ? lort_block_coded_bound(need) : 0;
    for (unsigned i = 0; i < 6; i++)
        sizes[i] = (sizes[i] + 63) / 64 * 64;
}

void lort_block_need_add(lort_block_need *need, int64_t rows, int64_t cols)
{
    const lort_block_grid grid = lort_block_grid_of(rows, cols);
    need->weights = grid.high * grid.wide > need->weights ? grid.high * grid.wide : need->weights;
    need->cols = grid.wide > need->cols ? grid.wide : need->cols;
}

uint64_t lort_block_space_bytes(const lort_block_need *need)
{
    uint64_t sizes[6], sum = 0;
    if (need->weights == 0)
        return 0;
    sizes_of(need, sizes);
    for (unsigned i = 0; i < 6; i++)
        sum += sizes[i];
    return sum;
}

lort_code lort_block_space_open(lort_block_space *space, const lort_alloc *alloc, const lort_block_need *need, lort_error *err)
{
    uint64_t sizes[6], size = lort_block_space_bytes(need);
    void *memory;
    *space = (lort_block_space){0};
    if (size == 0)
        return LORT_OK;
    lort_code code = lort_take(alloc, size, "a block of quantised weights", &memory, err);
    if (code)
        return code;
    sizes_of(need, sizes);
    uint8_t *at[6] = {memory};
    for (unsigned i = 1; i < 6; i++)
        at[i] = at[i - 1] + sizes[i - 1];
    *space = (lort_block_space){.weights = (float *)(void *)at[0], .decoded = (float *)(void *)at[1], .scratch = at[2], .k = (int16_t *)(void *)at[3],
                                .body = at[4], .coded = at[5], .coded_size = sizes[5], .size = size, .memory = memory};
    return LORT_OK;
}

void lort_block_space_close(lort_block_space *space, const lort_alloc *alloc)
{
    lort_give(alloc, space->memory, space->size);
    *space = (lort_block_space){0};
}

/* ---- writing ---- */

typedef struct writer {
    lort_codec *codec;
    lort_block_space *space;
    uint64_t body, coded; /* bytes so far */
    uint8_t group[LORT_STREAMS];
    uint32_t escapes[LORT_STREAMS];
} writer;

static lort_code put_frame(writer *w, const uint8_t *bytes, uint64_t n, lort_error *err)
{
    uint64_t stored;
    if (n == 0)
        return LORT_OK;
    lort_code code = lort_codec_encode_symbols(w->codec, bytes, n, w->space->coded + w->coded, w->space->coded_size - w->coded, &stored, err);
    w->coded += stored;
    return code;
}

/* Groups that may suit a stream by the mean of |k|, in sixteenths: the two whose symbols come to about 4 to 6 bits a byte. */
static const struct {
    uint32_t below;
    uint8_t first, second;
} suited[] = {{2, 5, 4}, {6, 4, 3}, {14, 3, 2}, {40, 2, 1}, {200, 1, 1}, {UINT32_MAX, 1, LORT_GROUP_SPLIT}};

static uint32_t mean_magnitude(const int16_t *k, uint64_t n)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += (uint64_t)(k[i] < 0 ? -k[i] : k[i]);
    return (uint32_t)(16 * sum / n);
}

/* Bytes of the beginning of a stream in a group; UINT64_MAX with too many escapes. The room behind what is written so far is free. */
static lort_code try_group(writer *w, const int16_t *k, uint64_t n, unsigned group, uint64_t *bytes, lort_error *err)
{
    uint8_t *body = w->space->body + w->body;
    const uint64_t escapes = lort_pack(k, n, group, body), symbols = lort_pack_symbols(n, group);
    uint64_t stored;
    *bytes = UINT64_MAX;
    if (escapes * ESCAPES_FEW > n && group > 1)
        return LORT_OK;
    lort_code code = lort_codec_encode_symbols(w->codec, body, symbols, w->space->coded + w->coded, w->space->coded_size - w->coded, &stored, err);
    *bytes = stored + lort_pack_bytes(n, group, escapes) - symbols;
    return code;
}

static lort_code choose_group(writer *w, const int16_t *k, uint64_t count, uint8_t *group, lort_error *err)
{
    const uint64_t n = count < TRIAL_WEIGHTS ? count : TRIAL_WEIGHTS;
    const uint32_t mean = mean_magnitude(k, n);
    unsigned row = 0;
    while (mean >= suited[row].below && suited[row].below != UINT32_MAX)
        row++;
    uint64_t first, second;
    *group = suited[row].first;
    if (suited[row].second == *group)
        return LORT_OK;
    lort_code code = try_group(w, k, n, suited[row].first, &first, err);
    if (code == LORT_OK)
        code = try_group(w, k, n, suited[row].second, &second, err);
    if (code)
        return code;
    *group = second < first ? suited[row].second : first == UINT64_MAX ? 1 : suited[row].first;
    return LORT_OK;
}

static lort_code put_stream(writer *w, unsigned s, const int16_t *k, uint64_t count, lort_error *err)
{
    lort_code code = choose_group(w, k, count, &w->group[s], err);
    if (code)
        return code;
    uint8_t *bytes = w->space->body + w->body;
    const uint64_t escapes = lort_pack(k, count, w->group[s], bytes), symbols = lort_pack_symbols(count, w->group[s]);
    const uint64_t all = lort_pack_bytes(count, w->group[s], escapes);
    w->escapes[s] = (uint32_t)escapes;
    w->body += all;
    code = put_frame(w, bytes, symbols, err);
    return code ? code : put_frame(w, bytes + symbols, all - symbols, err);
}

static uint64_t put_head(const lort_block *block, const lort_quantised *q, const writer *w, uint8_t *head)
{
    uint8_t *at = head + HEAD_FIXED;
    unsigned mask = 0;
    for (unsigned s = 0; s < LORT_STREAMS; s++) {
        if (q->count[s] == 0)
            continue;
        mask |= 1u << s;
        lort_store_u32(at, q->count[s] | (uint32_t)w->group[s] << 24);
        lort_store_u32(at + 4, w->escapes[s]);
        lort_store_u16(at + 8, q->levels.one[s]);
        lort_store_u16(at + 10, q->levels.gain[s]);
        at += HEAD_STREAM;
    }
    lort_store_u32(head, (uint32_t)block->base);
    lort_store_u16(head + 4, block->shift);
    lort_store_u16(head + 6, (uint16_t)mask);
    return (uint64_t)(at - head);
}

static double squared_difference(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum;
}

double lort_block_measure(const lort_block *block, float step, lort_block_space *space)
{
    lort_quantised q = {0};
    lort_quantise(block, space->weights, step, space->scratch, &q);
    return q.error2;
}

lort_code lort_block_encode(const lort_block *block, float step, lort_codec *codec, lort_block_space *space, lort_block_coded *out, lort_error *err)
{
    lort_quantised q = {.k = space->k};
    writer w = {.codec = codec, .space = space, .body = LORT_BLOCK_HEAD_MAX};
    uint8_t head[LORT_BLOCK_HEAD_MAX];
    lort_quantise(block, space->weights, step, space->scratch, &q);
    const int16_t *k = q.k;
    lort_code code = LORT_OK;
    w.coded = HEAD_ROOM; /* the head's frame goes before, once the streams are known */
    for (unsigned s = 0; s < LORT_STREAMS && code == LORT_OK; k += q.count[s], s++)
        if (q.count[s])
            code = put_stream(&w, s, k, q.count[s], err);
    if (code)
        return code;
    const uint64_t head_bytes = put_head(block, &q, &w, head), streams = w.coded - HEAD_ROOM;
    uint64_t head_stored;
    code = lort_codec_encode_symbols(codec, head, head_bytes, space->coded, HEAD_ROOM, &head_stored, err);
    if (code == LORT_OK)
        code = lort_dequantise(block, q.k, q.count, &q.levels, step, space->decoded, err);
    if (code)
        return code;
    memmove(space->coded + head_stored, space->coded + HEAD_ROOM, (size_t)streams);
    *out = (lort_block_coded){head_stored + streams, head_bytes + w.body - LORT_BLOCK_HEAD_MAX,
                              squared_difference(space->weights, space->decoded, block->rows * block->cols)};
    return LORT_OK;
}

/* ---- reading ---- */

typedef struct stream_head {
    uint32_t count, group, escapes;
} stream_head;

static lort_code get_head(lort_cursor *c, lort_block *block, stream_head *streams, lort_levels *levels)
{
    block->base = (int32_t)lort_get_u32(c, "base of the classes");
    const unsigned shift = lort_get_u16(c, "width of a class"), mask = lort_get_u16(c, "streams");
    if (c->code == LORT_OK && (shift > 7 || block->base < -1024 || block->base > 1024))
        return lort_cursor_fail(c, "classes from %d, of 2^%u", block->base, shift);
    block->shift = (uint8_t)shift;
    for (unsigned s = 0; s < LORT_STREAMS; s++) {
        if (!(mask >> s & 1))
            continue;
        const uint32_t count = lort_get_u32(c, "weights of a stream");
        streams[s] = (stream_head){count & 0xFFFFFF, count >> 24, lort_get_u32(c, "escapes of a stream")};
        levels->one[s] = lort_get_u16(c, "level of one");
        levels->gain[s] = lort_get_u16(c, "gain of a stream");
        if (c->code == LORT_OK && (streams[s].count == 0 || streams[s].group < 1 || streams[s].group > LORT_GROUPS || streams[s].escapes > streams[s].count))
            return lort_cursor_fail(c, "stream %u of %u weights, group %u, %u escapes", s, streams[s].count, streams[s].group, streams[s].escapes);
    }
    return c->code;
}

lort_code lort_block_decode(lort_block *block, float step, uint64_t bytes, lort_block_space *space, lort_error *err)
{
    lort_cursor c = lort_cursor_make(space->body, bytes, bytes, LORT_E_DAMAGED, err);
    const uint64_t weights = (uint64_t)block->rows * (uint64_t)block->cols;
    stream_head streams[LORT_STREAMS] = {0};
    uint32_t count[LORT_STREAMS] = {0};
    lort_levels levels = {0};
    uint64_t done = 0;
    lort_code code = get_head(&c, block, streams, &levels);
    for (unsigned s = 0; s < LORT_STREAMS && code == LORT_OK; s++) {
        const stream_head *h = &streams[s];
        count[s] = h->count;
        if (h->count == 0)
            continue;
        if (h->count > weights - done)
            return lort_fail(err, LORT_E_DAMAGED, "the streams hold more than the %llu weights of the block", (unsigned long long)weights);
        const uint8_t *packed = lort_get_bytes(&c, lort_pack_bytes(h->count, h->group, h->escapes), "a stream");
        code = packed ? lort_unpack(packed, h->count, h->group, h->escapes, space->k + done, err) : c.code;
        done += h->count;
    }
    if (code == LORT_OK && c.at != bytes)
        code = lort_fail(err, LORT_E_DAMAGED, "%llu bytes behind the last stream of a block", (unsigned long long)(bytes - c.at));
    return code ? code : lort_dequantise(block, space->k, count, &levels, step, space->weights, err);
}
