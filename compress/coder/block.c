/* block: see block.h. A body is a head, low bits, escapes and words, in this order. Each of the
 * four that is not empty becomes one zstd frame of the chunk. zstd gains mainly on the head. */
#include "compress/coder/block.h"
#include "compress/coder/packed.h"
#include "formats/base/bytes.h"
#include <string.h>

#define PIECES 6

/* ---- space ---- */

static uint64_t body_bytes(int64_t weights)
{
    return LORT_BLOCK_HEAD_MAX + LORT_STREAM_ROOM(weights) + LORT_SLACK;
}

uint64_t lort_block_coded_bound(const lort_block_need *need)
{
    /* 4096: the headers of four frames, and the bound of the head's own frame */
    return need->weights ? lort_codec_bound(body_bytes(need->weights)) + 4096 : 0;
}

/* Sizes of the pieces of a space, each rounded up to a multiple of 64 bytes. Their order is
 * weights, decoded, scratch, tables, body, coded. */
static void sizes_of(const lort_block_need *need, uint64_t sizes[PIECES])
{
    const uint64_t n = (uint64_t)need->weights;
    const bool write = need->write;
    sizes[0] = 4 * n;
    sizes[1] = write ? 4 * n : 0;
    sizes[2] = write ? lort_quantise_scratch(need->weights, need->cols) : 0;
    sizes[3] = LORT_STREAM_TABLES;
    sizes[4] = body_bytes(need->weights);
    sizes[5] = write ? lort_block_coded_bound(need) : 0;
    for (unsigned i = 0; i < PIECES; i++)
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
    uint64_t sizes[PIECES], sum = 0;
    if (need->weights == 0)
        return 0;
    sizes_of(need, sizes);
    for (unsigned i = 0; i < PIECES; i++)
        sum += sizes[i];
    return sum;
}

lort_code lort_block_space_open(lort_block_space *space, const lort_alloc *alloc,
                                const lort_block_need *need, lort_error *err)
{
    uint64_t sizes[PIECES], size = lort_block_space_bytes(need);
    void *memory;
    *space = (lort_block_space){0};
    if (size == 0)
        return LORT_OK;
    lort_code code = lort_take(alloc, size, "a block of quantised weights", &memory, err);
    if (code)
        return code;
    sizes_of(need, sizes);
    uint8_t *at[PIECES] = {memory};
    for (unsigned i = 1; i < PIECES; i++)
        at[i] = at[i - 1] + sizes[i - 1];
    *space = (lort_block_space){.weights = (float *)(void *)at[0],
                                .decoded = (float *)(void *)at[1],
                                .scratch = at[2],
                                .tables = at[3],
                                .body = at[4],
                                .coded = at[5],
                                .coded_size = sizes[5],
                                .size = size,
                                .memory = memory};
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
    uint64_t coded, body; /* bytes written so far: of frames, and of the body in them */
} writer;

static lort_code put_frame(writer *w, const uint8_t *bytes, uint64_t n, lort_error *err)
{
    uint64_t stored;
    if (n == 0)
        return LORT_OK;
    lort_code code = lort_codec_encode_symbols(w->codec, bytes, n, w->space->coded + w->coded,
                                               w->space->coded_size - w->coded, &stored, err);
    w->coded += code ? 0 : stored;
    w->body += n;
    return code;
}

/* Writes codes of frequencies as differences of differences. The codes lie nearly on a parabola, so
 * these differences are small. */
static uint8_t *put_shape(const lort_shape *shape, uint8_t *at)
{
    uint8_t last = 0, slope = 0;
    *at++ = shape->low;
    *at++ = shape->pairs;
    *at++ = shape->escape;
    for (unsigned p = 0; p < shape->pairs; p++) {
        const uint8_t difference = (uint8_t)(shape->code[p] - last);
        *at++ = (uint8_t)(difference - slope);
        slope = p ? difference : 0;
        last = shape->code[p];
    }
    return at;
}

static uint64_t put_head(const lort_block *block, const lort_tables *tables,
                         const lort_stream *stream, uint8_t *head)
{
    uint8_t *at = head;
    lort_store_u32(at, (uint32_t)block->base);
    lort_store_u32(at + 4, block->shift);
    lort_store_u32(at + 8, tables->used);
    lort_store_u32(at + 12, (uint32_t)stream->low_bytes);
    lort_store_u32(at + 16, (uint32_t)stream->escape_count);
    at += 20;
    for (unsigned l = 0; l < LORT_LANES && l < (uint64_t)block->rows; l++, at += 4)
        lort_store_u32(at, stream->states[l]);
    for (unsigned s = 0; s < LORT_CONTEXTS; s++) {
        if (!(tables->used >> s & 1))
            continue;
        lort_store_u16(at, tables->levels.one[s]);
        lort_store_u16(at + 2, tables->levels.gain[s]);
        at = put_shape(&tables->shape[s], at + 4);
    }
    return (uint64_t)(at - head);
}

static void quantise(const lort_block *block, float step, lort_block_space *space,
                     lort_integers *out)
{
    *out = (lort_integers){.coded = NULL};
    if (block->feedback)
        lort_integers_fed_back(block, space->weights, step, space->scratch, space->decoded, out);
    else
        lort_integers_of_block(block, space->weights, step, space->scratch, out);
    space->loss = out->loss;
    if (block->show)
        lort_stream_values(block, step, out, space->decoded);
}

double lort_block_measure(const lort_block *block, float step, lort_block_space *space)
{
    lort_integers q;
    quantise(block, step, space, &q);
    return q.error2;
}

lort_code lort_block_encode(const lort_block *block, float step, lort_codec *codec,
                            lort_block_space *space, lort_block_coded *out, lort_error *err)
{
    lort_integers q;
    lort_tables tables;
    lort_stream stream;
    double error2;
    uint8_t head[LORT_BLOCK_HEAD_MAX];
    writer w = {.codec = codec, .space = space};
    quantise(block, step, space, &q);
    lort_stream_write(block, space->weights, step, &q, space->tables, space->body, &tables, &stream,
                      &error2);
    lort_code code = put_frame(&w, head, put_head(block, &tables, &stream, head), err);
    code = code ? code : put_frame(&w, stream.low, stream.low_bytes, err);
    code = code ? code : put_frame(&w, stream.escapes, 2 * stream.escape_count, err);
    code = code ? code : put_frame(&w, stream.words, 2 * stream.word_count, err);
    if (code == LORT_OK)
        *out = (lort_block_coded){w.coded, w.body, error2, q.error2};
    return code;
}

/* ---- reading ---- */

static lort_code get_shape(lort_cursor *c, unsigned context, lort_shape *shape)
{
    uint8_t last = 0, slope = 0;
    shape->low = lort_get_u8(c, "low bits of a context");
    shape->pairs = lort_get_u8(c, "pairs of a context");
    shape->escape = lort_get_u8(c, "code of the escape");
    if (c->code == LORT_OK && (shape->low > LORT_LOW_MOST || shape->pairs < 1 ||
                               shape->pairs > LORT_PAIRS || shape->escape > LORT_CODE_MOST))
        return lort_cursor_fail(c,
                                "context %u: %u low bits (allowed 0 to %d), %u pairs (allowed 1 to "
                                "%d), escape code %u (allowed 0 to %d)",
                                context, shape->low, LORT_LOW_MOST, shape->pairs, LORT_PAIRS,
                                shape->escape, LORT_CODE_MOST);
    for (unsigned p = 0; p < shape->pairs && c->code == LORT_OK; p++) {
        const uint8_t difference = (uint8_t)(lort_get_u8(c, "code of a frequency") + slope);
        shape->code[p] = (uint8_t)(last + difference);
        slope = p ? difference : 0;
        last = shape->code[p];
        if (c->code == LORT_OK && (last > LORT_CODE_MOST || (p == 0 && last == 0)))
            return lort_cursor_fail(c,
                                    "context %u, pair %u: code of a frequency out of range (found "
                                    "%u, allowed %d to %d)",
                                    context, p, last, p == 0, LORT_CODE_MOST);
    }
    return c->code;
}

static lort_code get_head(lort_cursor *c, lort_block *block, lort_tables *tables,
                          lort_stream *stream)
{
    block->base = (int32_t)lort_get_u32(c, "base of the classes");
    const uint32_t shift = lort_get_u32(c, "width of a class");
    tables->used = lort_get_u32(c, "contexts");
    stream->low_bytes = lort_get_u32(c, "bytes of low bits");
    stream->escape_count = lort_get_u32(c, "escapes");
    if (c->code == LORT_OK && (shift > 7 || block->base < -1024 || block->base > 1024))
        return lort_cursor_fail(
            c, "classes out of range: base %d (allowed -1024 to 1024), shift %u (allowed 0 to 7)",
            block->base, shift);
    block->shift = (uint8_t)shift;
    for (unsigned l = 0; l < LORT_LANES; l++) {
        const uint32_t state =
            l < (uint64_t)block->rows ? lort_get_u32(c, "a state") : LORT_RANS_LOW;
        if (c->code == LORT_OK && (state < LORT_RANS_LOW || state >> 31))
            return lort_cursor_fail(
                c, "lane %u: state of the coder out of range (found %u, allowed %u to %u)", l,
                state, LORT_RANS_LOW, (UINT32_C(1) << 31) - 1);
        stream->states[l] = state;
    }
    for (unsigned s = 0; s < LORT_CONTEXTS && c->code == LORT_OK; s++)
        if (tables->used >> s & 1) {
            tables->levels.one[s] = lort_get_u16(c, "level of one");
            tables->levels.gain[s] = lort_get_u16(c, "gain of a context");
            get_shape(c, s, &tables->shape[s]);
        }
    return c->code;
}

static lort_code decode_streams(lort_block *block, float step, uint64_t bytes,
                                lort_block_space *space, lort_error *err)
{
    lort_cursor c = lort_cursor_make(space->body, bytes, bytes, LORT_E_DAMAGED, err);
    lort_tables tables = {0};
    lort_stream stream = {0};
    lort_code code = get_head(&c, block, &tables, &stream);
    if (code)
        return code;
    stream.low = lort_get_bytes(&c, stream.low_bytes, "low bits");
    stream.escapes = lort_get_bytes(&c, 2 * stream.escape_count, "escapes");
    stream.word_count = (bytes - c.at) / 2;
    stream.words = lort_get_bytes(&c, 2 * stream.word_count, "words");
    if (c.code == LORT_OK && c.at != bytes)
        return lort_fail(err, LORT_E_DAMAGED, "a block ends with half a word");
    return c.code ? c.code
                  : lort_stream_read(block, &tables, &stream, step, space->tables, space->weights,
                                     err);
}

static lort_code decode_packed(lort_block *block, float step, uint64_t bytes,
                               lort_block_space *space, lort_error *err)
{
    return lort_packed_decode(block, step, space->body, bytes, space->weights, err);
}

/* The codings of a block, told apart by the u32 at byte 4 of the body. Today's coding has the shift
 * of the classes there, 0 to 7. The packed coding has the shift in the low half, and in the high
 * half a bit for each stream in use: one at least. */
static const struct {
    uint32_t most; /* largest u32 at byte 4 */
    lort_code (*decode)(lort_block *block, float step, uint64_t bytes, lort_block_space *space,
                        lort_error *err);
} codings[] = {{UINT16_MAX, decode_streams}, {UINT32_MAX, decode_packed}};

lort_code lort_block_decode(lort_block *block, float step, uint64_t bytes, lort_block_space *space,
                            lort_error *err)
{
    const uint32_t mark = bytes < 8 ? 0 : lort_load_u32(space->body + 4);
    unsigned i = 0;
    while (mark > codings[i].most)
        i++;
    return codings[i].decode(block, step, bytes, space, err);
}
