/* packed: see packed.h. A body is a head and up to 16 streams:
 *
 *   class    = (row code + column code - base) / 2^shift, limited to 0..7
 *   stream   = 2 * class + quantiser of the trellis
 *   trellis  = 8 states; a row starts in state 0
 *
 * A stream holds its integers in row-major order, several symbols to a byte, then low bits, then
 * escapes. LoRT takes an integer from its stream when its element comes, so it needs no memory. */
#include "compress/coder/packed.h"
#include "formats/base/bytes.h"
#include <stdbool.h>

#define CLASSES 8
#define STREAMS (2 * CLASSES)
#define GROUPS 6

/* How a stream packs its integers: symbols of a byte, size of the alphabet, low bits of an integer
 * beside its symbol. The last symbol of an alphabet is the escape. By group number; 0 is none. */
static const struct {
    uint8_t each, size, low;
} groups[GROUPS + 1] = {{0, 0, 0}, {1, 255, 0}, {2, 15, 0}, {3, 6, 0},
                        {4, 4, 0}, {5, 3, 0},   {1, 255, 2}};

typedef struct packed_stream {
    const uint8_t *bytes, *bits, *escapes;
    uint32_t count, escape_count; /* integers and escapes that the stream has */
    uint32_t at, escape_at;       /* integers and escapes taken */
    uint32_t group, byte;         /* byte: the symbols of the current byte that are left */
    float one, gain;              /* of |k| = 1, and of a step beyond */
} packed_stream;

/* ---- the head ---- */

static uint64_t symbol_bytes(const packed_stream *s)
{
    return (s->count + groups[s->group].each - 1) / groups[s->group].each;
}
static uint64_t low_bytes(const packed_stream *s)
{
    return ((uint64_t)s->count * groups[s->group].low + 7) / 8;
}

static lort_code get_stream_head(lort_cursor *c, unsigned number, float step, packed_stream *s)
{
    const uint32_t count = lort_get_u32(c, "integers of a stream");
    s->count = count & 0xFFFFFF;
    s->group = count >> 24;
    s->escape_count = lort_get_u32(c, "escapes of a stream");
    s->one = (float)lort_get_u16(c, "level of one") / 4096.0f * step;
    s->gain = (float)lort_get_u16(c, "gain of a stream") / 32768.0f * step;
    if (c->code == LORT_OK &&
        (s->count == 0 || s->group < 1 || s->group > GROUPS || s->escape_count > s->count))
        return lort_cursor_fail(c,
                                "stream %u: %u integers (allowed 1 or more), group %u (allowed 1 "
                                "to %d), %u escapes (allowed 0 to %u)",
                                number, s->count, s->group, GROUPS, s->escape_count, s->count);
    return c->code;
}

static lort_code get_head(lort_cursor *c, lort_block *block, float step, packed_stream *streams)
{
    const uint64_t weights = (uint64_t)block->rows * (uint64_t)block->cols;
    uint64_t sum = 0;
    block->base = (int32_t)lort_get_u32(c, "base of the classes");
    const unsigned shift = lort_get_u16(c, "width of a class"), used = lort_get_u16(c, "streams");
    if (c->code == LORT_OK && (shift > 7 || block->base < -1024 || block->base > 1024))
        return lort_cursor_fail(
            c, "classes out of range: base %d (allowed -1024 to 1024), shift %u (allowed 0 to 7)",
            block->base, shift);
    block->shift = (uint8_t)shift;
    for (unsigned s = 0; s < STREAMS && c->code == LORT_OK; s++)
        if (used >> s & 1 && get_stream_head(c, s, step, &streams[s]) == LORT_OK)
            sum += streams[s].count;
    if (c->code == LORT_OK && sum != weights)
        return lort_cursor_fail(c, "the streams of a block hold %llu integers (allowed %llu)",
                                (unsigned long long)sum, (unsigned long long)weights);
    return c->code;
}

static lort_code find_streams(lort_cursor *c, packed_stream *streams)
{
    for (unsigned i = 0; i < STREAMS && c->code == LORT_OK; i++) {
        packed_stream *s = &streams[i];
        if (s->count == 0)
            continue;
        s->bytes = lort_get_bytes(c, symbol_bytes(s), "symbols of a stream");
        s->bits = lort_get_bytes(c, low_bytes(s), "low bits of a stream");
        s->escapes = lort_get_bytes(c, 2 * (uint64_t)s->escape_count, "escapes of a stream");
    }
    return c->code;
}

/* ---- integers ---- */

/* The next symbol; false: the byte is none of its alphabet. */
static bool next_symbol(packed_stream *s, unsigned *symbol)
{
    const unsigned each = groups[s->group].each, size = groups[s->group].size;
    const unsigned place = s->at % each;
    s->byte = place == 0 ? *s->bytes++ : s->byte;
    *symbol = s->byte % size;
    s->byte /= size;
    s->at++;
    return s->byte == 0 || (place + 1 < each && s->at < s->count);
}

/* Takes the next integer of a stream. Returns NULL, or why there is none. */
static const char *next_integer(packed_stream *s, int32_t *k)
{
    unsigned symbol;
    const uint32_t i = s->at;
    if (i == s->count)
        return "too few integers";
    if (!next_symbol(s, &symbol))
        return "a byte that its alphabet does not have";
    if (symbol + 1 < groups[s->group].size) {
        *k = symbol & 1 ? (int32_t)(symbol + 1) / 2 : -(int32_t)(symbol / 2);
        if (groups[s->group].low)
            *k = *k * 4 + (s->bits[i / 4] >> 2 * (i % 4) & 3);
        return NULL;
    }
    if (s->escape_at == s->escape_count)
        return "too few escapes";
    *k = (int16_t)lort_load_u16(s->escapes + 2 * (uint64_t)s->escape_at++);
    return NULL;
}

static float value_of(const packed_stream *s, unsigned quantiser, int32_t k)
{
    if (k == 1 || k == -1)
        return k == 1 ? s->one : 0.0f - s->one;
    return (float)lort_trellis_value(quantiser, k) * s->gain + 0.0f; /* -0 becomes +0 */
}

static unsigned class_of(const lort_block *block, int32_t codes)
{
    const int32_t class = codes < block->base ? 0 : (codes - block->base) >> block->shift;
    return class < CLASSES ? (unsigned)class : CLASSES - 1;
}

static lort_code walk_rows(const lort_block *block, packed_stream *streams, float *out,
                           lort_error *err)
{
    for (int64_t r = 0; r < block->rows; r++) {
        unsigned state = 0; /* of the trellis of 8 states */
        for (int64_t c = 0; c < block->cols; c++) {
            const unsigned quantiser = state >> 1 & 1;
            const unsigned class = class_of(block, block->row_codes[r] + block->col_codes[c]);
            packed_stream *s = &streams[2 * class + quantiser];
            int32_t k;
            const char *fault = next_integer(s, &k);
            if (fault)
                return lort_fail(err, LORT_E_DAMAGED, "stream %u of a block: %s",
                                 2 * class + quantiser, fault);
            *out++ = value_of(s, quantiser, k);
            state = (state << 1 | (((unsigned)k ^ state ^ state >> 2) & 1)) & 7;
        }
    }
    return LORT_OK;
}

lort_code lort_packed_decode(lort_block *block, float step, const uint8_t *body, uint64_t bytes,
                             float *out, lort_error *err)
{
    lort_cursor c = lort_cursor_make(body, bytes, bytes, LORT_E_DAMAGED, err);
    packed_stream streams[STREAMS] = {0};
    lort_code code = get_head(&c, block, step, streams);
    code = code ? code : find_streams(&c, streams);
    if (code)
        return code;
    if (c.at != bytes)
        return lort_fail(err, LORT_E_DAMAGED, "%llu bytes behind the last stream of a block",
                         (unsigned long long)(bytes - c.at));
    code = walk_rows(block, streams, out, err);
    for (unsigned s = 0; s < STREAMS && code == LORT_OK; s++)
        if (streams[s].escape_at != streams[s].escape_count)
            code = lort_fail(err, LORT_E_DAMAGED, "stream %u of a block has %u escapes too many", s,
                             streams[s].escape_count - streams[s].escape_at);
    return code;
}
