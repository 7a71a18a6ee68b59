/* stream: see stream.h. */
#include "compress/coder/stream.h"
#include "compress/coder/lanes.h"
#include "formats/base/bytes.h"
#include <string.h>

/* ---- values ---- */

/* Turns k = 0 -1 1 -2 2 ... into symbols 0 1 2 3 4 ...; unfold_symbol turns them back. */
LORT_INLINE lort_i32s fold_symbol(lort_i32s k) { return (k >> 31) ^ (k << 1); }
static inline int32_t unfold_symbol(uint32_t symbol)
{
    return (int32_t)(symbol >> 1) ^ -(int32_t)(symbol & 1);
}

typedef struct scales { /* levels in units of the weights */
    float one[LORT_CONTEXTS], gain[LORT_CONTEXTS];
} scales;

static scales make_scales(const lort_levels *levels, float step)
{
    scales out;
    for (unsigned s = 0; s < LORT_CONTEXTS; s++) {
        out.one[s] = (float)levels->one[s] / 4096.0f * step;
        out.gain[s] = (float)levels->gain[s] / 32768.0f * step;
    }
    return out;
}

static inline float value_of(const scales *of, unsigned context, int32_t k)
{
    return k == 1    ? of->one[context]
           : k == -1 ? -of->one[context]
                     : (float)lort_trellis_value(context & 1, k) * of->gain[context];
}

/* Fills the values by context and symbol, for contexts without low bits. */
static void make_values(const scales *of, float *values)
{
    for (unsigned s = 0; s < LORT_CONTEXTS; s++)
        for (unsigned symbol = 0; symbol < LORT_SYMBOLS; symbol++)
            values[s * LORT_SYMBOLS + symbol] = value_of(of, s, unfold_symbol(symbol));
}

/* Returns the values of one column. */
LORT_INLINE lort_f32s values_of(const scales *of, lort_i32s context, lort_i32s k)
{
#define ONE(l) of->one[context[l]]
#define GAIN(l) of->gain[context[l]]
    const lort_f32s one = LORT_EACH(ONE), gain = LORT_EACH(GAIN);
    const lort_i32s negative = k < 0, n = 2 * k + (context & 1) * ((k > 0) - negative),
                    single = (k == 1) | (k == -1);
    const lort_i32s level = (lort_i32s)one ^ (negative & INT32_MIN),
                    many = (lort_i32s)(__builtin_convertvector(n, lort_f32s) * gain);
    return (lort_f32s)((single & level) | (~single & many));
}

static LORT_VECTORS(values_of_group,
                    (const scales *of, const lort_block *block, int64_t row, const int16_t *coded,
                     float *out),
                    (of, block, row, coded, out))
{
    const lort_lane_group group = lort_group_at(block, row);
    float tile[LORT_TILE * LORT_LANES];
    for (int64_t c = 0; c < block->cols; c++, coded += LORT_LANES) {
        const lort_i32s v = lort_load_coded(coded),
                        context = 2 * lort_group_classes(&group, block->col_codes[c]) + (v & 1);
        const lort_f32s value = values_of(of, context, v >> 1);
        memcpy(tile + c % LORT_TILE * LORT_LANES, &value, sizeof value);
        if (c % LORT_TILE == LORT_TILE - 1 || c == block->cols - 1)
            lort_from_lanes(tile, group.lanes, c % LORT_TILE + 1, block->cols,
                            out + c / LORT_TILE * LORT_TILE);
    }
}

void lort_stream_values(const lort_block *block, float step, const lort_integers *q, float *out)
{
    const scales levels = make_scales(&q->levels, step);
    for (int64_t r = 0; r < block->rows; r += LORT_LANES)
        values_of_group(&levels, block, r, q->coded + r * block->cols, out + r * block->cols);
}

/* ---- writing ---- */

#define SYMBOLS_USED (2 * LORT_PAIRS - 1) /* of a writer; it escapes symbols from here on */

typedef struct writer {
    const uint8_t *low_of; /* [context] */
    uint32_t with_low;     /* bit s: context s has low bits */
    scales scales;
    float *values;
    uint32_t *seen;        /* [context][symbol] */
    uint8_t *low, *escape; /* the next place to write to */
    uint64_t bits;         /* low bits that have no byte yet */
    unsigned bit_count;
    lort_f64s error2;
} writer;

LORT_INLINE void put_low(writer *w, uint32_t value, unsigned bits)
{
    w->bits |= (uint64_t)value << w->bit_count;
    w->bit_count += bits;
    if (w->bit_count >= 32) {
        lort_store_u32(w->low, (uint32_t)w->bits);
        w->low += 4;
        w->bit_count -= 32;
        w->bits >>= 32;
    }
}

static void put_last_low(writer *w)
{
    for (; w->bit_count > 0; w->bit_count -= w->bit_count < 8 ? w->bit_count : 8, w->bits >>= 8)
        *w->low++ = (uint8_t)w->bits;
}

static uint32_t put_escape(writer *w, int32_t k)
{
    lort_store_u16(w->escape, (uint16_t)k);
    w->escape += 2;
    return LORT_ESCAPE;
}

/* Finds symbols and values of a column in which some k have low bits or an escape. */
LORT_INLINE void write_rare(writer *w, lort_i32s context, lort_i32s k, unsigned lanes,
                            lort_i32s *symbol, lort_f32s *value)
{
#define LOW_OF(l) w->low_of[context[l]]
    const lort_i32s low = LORT_EACH(LOW_OF), high = k >> low,
                    bits = k & ((((lort_i32s){0} + 1) << low) - 1);
    *symbol = fold_symbol(high);
    *value = values_of(&w->scales, context, k);
    for (unsigned l = 0; l < lanes; l++) {
        const bool escape = (*symbol)[l] >= SYMBOLS_USED;
        put_low(w, escape ? 0 : (uint32_t)bits[l], (unsigned)low[l]);
        if (escape)
            (*symbol)[l] = (int32_t)put_escape(w, k[l]);
    }
}

/* Turns the k of one column into tokens, and counts them. */
LORT_INLINE void write_column(writer *w, const lort_lane_group *group, int32_t col_code,
                              const float *weights, int16_t *coded, unsigned lanes)
{
    lort_f32s weight;
    memcpy(&weight, weights, sizeof weight);
    const lort_i32s v = lort_load_coded(coded), k = v >> 1,
                    context = 2 * lort_group_classes(group, col_code) + (v & 1);
    lort_i32s symbol = fold_symbol(k);
    const lort_i32s is_rare =
        ((symbol >= SYMBOLS_USED) | -(((lort_i32s){0} + (int32_t)w->with_low) >> context & 1)) &
        group->active;
    const lort_i32s place = context * LORT_SYMBOLS + (symbol & (LORT_SYMBOLS - 1));
#define WRITTEN(l) w->values[place[l]]
    lort_f32s value = LORT_EACH(WRITTEN);
    if (lort_any(is_rare))
        write_rare(w, context, k, lanes, &symbol, &value);
    const lort_i32s token = context * LORT_SYMBOLS + symbol;
    const lort_i16s tokens = __builtin_convertvector(token, lort_i16s);
    memcpy(coded, &tokens, sizeof tokens);
    for (unsigned l = 0; l < lanes; l++)
        w->seen[token[l]]++;
    const lort_f64s difference =
        __builtin_convertvector(weight, lort_f64s) - __builtin_convertvector(value, lort_f64s);
    w->error2 += lanes == LORT_LANES
                     ? difference * difference
                     : difference * difference * -__builtin_convertvector(group->active, lort_f64s);
}

static LORT_VECTORS(write_group,
                    (writer * w, const lort_block *block, int64_t row, const float *weights,
                     int16_t *coded),
                    (w, block, row, weights, coded))
{
    const lort_lane_group group = lort_group_at(block, row);
    float tile[LORT_TILE * LORT_LANES];
    for (int64_t c = 0; c < block->cols; c++, coded += LORT_LANES) {
        const float *column = tile + c % LORT_TILE * LORT_LANES;
        if (c % LORT_TILE == 0)
            lort_to_lanes(weights + c, block->cols, group.lanes,
                          block->cols - c < LORT_TILE ? block->cols - c : LORT_TILE, tile);
        if (group.lanes == LORT_LANES)
            write_column(w, &group, block->col_codes[c], column, coded, LORT_LANES);
        else
            write_column(w, &group, block->col_codes[c], column, coded, group.lanes);
    }
}

static void make_codes(const lort_integers *q, const uint32_t *seen, lort_rans_code *codes,
                       lort_tables *tables)
{
    uint16_t frequency[LORT_SYMBOLS];
    tables->used = 0;
    tables->levels = q->levels;
    for (unsigned s = 0; s < LORT_CONTEXTS; s++) {
        if (q->count[s] == 0)
            continue;
        tables->used |= UINT32_C(1) << s;
        tables->shape[s].low = q->low[s];
        lort_shape_fit(seen + s * LORT_SYMBOLS, &tables->shape[s], frequency);
        lort_rans_codes(frequency, codes + s * LORT_SYMBOLS);
    }
}

/* Codes the groups from the last one to the first, as rANS needs it. */
static uint16_t *put_words(const lort_block *block, const lort_rans_code *codes,
                           const uint16_t *tokens, uint32_t *states, uint16_t *end)
{
    const int64_t last = block->rows % LORT_LANES, whole = block->rows - last;
    for (unsigned l = 0; l < LORT_LANES; l++)
        states[l] = LORT_RANS_LOW;
    end = lort_rans_encode(codes, tokens + whole * block->cols, block->cols, (unsigned)last, states,
                           end);
    return lort_rans_encode(codes, tokens, whole / LORT_LANES * block->cols, LORT_LANES, states,
                            end);
}

void lort_stream_write(const lort_block *block, const float *weights, float step,
                       const lort_integers *q, void *tables_room, uint8_t *room,
                       lort_tables *tables, lort_stream *out, double *error2)
{
    const uint64_t n = (uint64_t)block->rows * (uint64_t)block->cols;
    lort_rans_code *codes = tables_room;
    uint16_t *end = (uint16_t *)(void *)(room + LORT_STREAM_ROOM(n) / 2 * 2);
    uint8_t *escapes = room + n / 2 * 3 + 64;
    writer w = {
        .low_of = q->low, .scales = make_scales(&q->levels, step), .low = room, .escape = escapes};
    w.values = (float *)(void *)(codes + LORT_CONTEXTS * LORT_SYMBOLS);
    w.seen = (uint32_t *)(void *)(w.values + LORT_CONTEXTS * LORT_SYMBOLS);
    memset(w.seen, 0, LORT_CONTEXTS * LORT_SYMBOLS * sizeof *w.seen);
    for (unsigned s = 0; s < LORT_CONTEXTS; s++)
        w.with_low |= (uint32_t)(q->low[s] > 0) << s;
    make_values(&w.scales, w.values);
    for (int64_t r = 0; r < block->rows; r += LORT_LANES)
        write_group(&w, block, r, weights + r * block->cols, q->coded + r * block->cols);
    put_last_low(&w);
    *out = (lort_stream){.low = room,
                         .escapes = escapes,
                         .low_bytes = (uint64_t)(w.low - room),
                         .escape_count = (uint64_t)(w.escape - escapes) / 2};
    make_codes(q, w.seen, codes, tables);
    uint16_t *words = put_words(block, codes, (const uint16_t *)q->coded, out->states, end);
    out->words = (const uint8_t *)words;
    out->word_count = (uint64_t)(end - words);
    *error2 = 0;
    for (unsigned l = 0; l < LORT_LANES; l++)
        *error2 += w.error2[l];
}

/* ---- reading ---- */

typedef struct entry { /* of a context and a symbol */
    uint16_t frequency, start;
    float value;
} entry;

#define RARE 128 /* added to symbols of k that have low bits, and to the escape */

/* A row of `next` is 2 state + quantiser. Indices come with what is added to them shifted into
 * place, so that a lane needs few instructions. */
typedef struct reader_tables {
    uint8_t symbols[LORT_CONTEXTS * LORT_RANS_TOTAL]; /* [context][slot]: the symbol, and RARE */
    entry entries[LORT_CONTEXTS * 2 * RARE];          /* [context][symbol and RARE] */
    uint16_t next[2 * LORT_STATES * 2 * RARE];        /* [row][symbol and RARE]: row * 2 * RARE */
} reader_tables;
_Static_assert(sizeof(reader_tables) <= LORT_STREAM_TABLES, "the tables fit their room");

typedef struct lane { /* a row of a block */
    uint32_t state;
    uint16_t trellis; /* row of `next` * 2 * RARE */
    uint8_t symbol;   /* the last one */
} lane;

typedef struct reader {
    const reader_tables *tables;
    scales scales;
    uint8_t low[LORT_CONTEXTS];
    uint32_t used;
    const uint8_t *words, *words_end, *escape, *escape_end, *bits;
    uint64_t bit, bit_end;
    lane lanes[LORT_LANES];
} reader;

static uint16_t trellis_after(uint16_t trellis, int32_t k)
{
    const unsigned state = lort_trellis_next(trellis / (2 * RARE) / 2, k);
    return (uint16_t)((2 * state + lort_trellis_quantiser(state)) * 2 * RARE);
}

/* Finds value and next state of a lane with a rare symbol. Reads up to LORT_SLACK bytes behind the
 * low bits; the caller checks the end after the column. Returns false if an escape is missing. */
static bool read_rare(reader *r, lane *row, uint32_t shifted, float *out)
{
    const unsigned context = (shifted + (row->trellis & 2 * RARE)) / (2 * RARE),
                   low = r->low[context];
    const uint32_t bits = lort_load_u32(r->bits + r->bit / 8) >> r->bit % 8,
                   high = (uint32_t)unfold_symbol(row->symbol & (RARE - 1)) << low;
    int32_t k = (int32_t)(high | (bits & ((UINT32_C(1) << low) - 1)));
    r->bit += low;
    if (row->symbol == (LORT_ESCAPE | RARE)) {
        if (!(r->used >> context & 1) || r->escape == r->escape_end)
            return false;
        k = (int16_t)lort_load_u16(r->escape);
        r->escape += 2;
    }
    *out = value_of(&r->scales, context, k);
    row->trellis = trellis_after(row->trellis, k);
    return true;
}

/* Finds what a column lacks after take_symbol. */
static __attribute__((noinline)) bool read_rares(reader *r, const uint32_t *contexts,
                                                 unsigned lanes, float *out)
{
    for (unsigned l = 0; l < lanes; l++)
        if (r->lanes[l].symbol & RARE && !read_rare(r, &r->lanes[l], contexts[l], &out[l]))
            return false;
    return r->bit <= r->bit_end;
}

/* Takes one symbol from a lane. A lane with a rare symbol keeps its state of the trellis. */
LORT_INLINE uint32_t take_symbol(const reader_tables *t, lane *row, uint64_t shifted,
                                 const uint8_t *words, uint64_t *word, float *out)
{
    const uint32_t state = row->state, slot = state & (LORT_RANS_TOTAL - 1);
    const uint64_t trellis = row->trellis, context = shifted + (trellis & 2 * RARE),
                   symbol = t->symbols[context * (LORT_RANS_TOTAL / (2 * RARE)) | slot];
    const entry *e = &t->entries[context + symbol];
    const uint32_t x = e->frequency * (state >> LORT_RANS_BITS) + slot - e->start;
    uint32_t low = x << 16 | lort_load_u16(words + 2 * *word);
    LORT_KEEP(low); /* else gcc makes a branch, and nobody can foresee it */
    row->state = x < LORT_RANS_LOW ? low : x;
    *word += x < LORT_RANS_LOW;
    row->symbol = (uint8_t)symbol;
    row->trellis = t->next[trellis + symbol];
    *out = e->value;
    return (uint32_t)symbol;
}

/* Reads a column. The lanes take words one after the other, since any lane may take the next one.
 * contexts: of quantiser 0, * 2 * RARE. Returns false if words or low bits have ended, or if a lane
 * has no symbol. */
LORT_INLINE bool read_column(reader *r, const uint32_t *contexts, unsigned lanes, float *out)
{
    const reader_tables *tables = r->tables;
    const uint8_t *words = r->words;
    uint64_t word = 0;
    uint32_t any = 0;
#define TAKE(l) any |= take_symbol(tables, &r->lanes[l], contexts[l], words, &word, &out[l])
    if (lanes == LORT_LANES) {
        LORT_UNROLL for (unsigned l = 0; l < LORT_LANES; l++) TAKE(l);
    } else {
        for (unsigned l = 0; l < lanes; l++)
            TAKE(l);
    }
    r->words = words + 2 * word;
    return r->words <= r->words_end && (!(any & RARE) || read_rares(r, contexts, lanes, out));
}

/* Reads up to LORT_TILE columns of a group. */
LORT_INLINE bool read_tile(reader *r, const lort_lane_group *group, const uint8_t *col_codes,
                           int64_t cols, float *out)
{
    uint32_t contexts[LORT_TILE][LORT_LANES];
    for (int64_t c = 0; c < cols; c++) {
        const lort_i32s shifted = lort_group_classes(group, col_codes[c]) * (2 * 2 * RARE);
        memcpy(contexts[c], &shifted, sizeof shifted);
    }
    for (int64_t c = 0; c < cols; c++, out += LORT_LANES)
        if (!(group->lanes == LORT_LANES ? read_column(r, contexts[c], LORT_LANES, out)
                                         : read_column(r, contexts[c], group->lanes, out)))
            return false;
    return true;
}

/* Reads one group. */
static LORT_VECTORS_GIVING(bool, read_group,
                           (reader * r, const lort_block *block, int64_t row, float *out),
                           (r, block, row, out))
{
    const lort_lane_group group = lort_group_at(block, row);
    float tile[LORT_TILE * LORT_LANES];
    for (unsigned l = 0; l < LORT_LANES; l++)
        r->lanes[l].trellis = 0;
    for (int64_t c = 0; c < block->cols; c += LORT_TILE) {
        const int64_t cols = block->cols - c < LORT_TILE ? block->cols - c : LORT_TILE;
        if (!read_tile(r, &group, block->col_codes + c, cols, tile))
            return false;
        lort_from_lanes(tile, group.lanes, cols, block->cols, out + c);
    }
    return true;
}

/* All slots of a context without a table are escapes. read_rare refuses those. */
static lort_code make_symbols(const lort_tables *tables, reader_tables *t, lort_error *err)
{
    uint16_t frequency[LORT_SYMBOLS];
    uint8_t *slots = t->symbols;
    entry *entries = t->entries;
    for (unsigned s = 0; s < LORT_CONTEXTS; s++, slots += LORT_RANS_TOTAL, entries += 2 * RARE) {
        const unsigned rare = tables->shape[s].low ? RARE : 0;
        if (!(tables->used >> s & 1)) {
            memset(slots, LORT_ESCAPE | RARE, LORT_RANS_TOTAL);
            entries[LORT_ESCAPE | RARE] = (entry){.frequency = LORT_RANS_TOTAL};
            continue;
        }
        if (!lort_shape_frequencies(&tables->shape[s], frequency))
            return lort_fail(err, LORT_E_DAMAGED,
                             "context %u of a block: its table leaves no frequency for symbol 0",
                             s);
        unsigned start = 0;
        for (unsigned i = 0; i < LORT_SYMBOLS; start += frequency[i++]) {
            const unsigned symbol = i | (i == LORT_ESCAPE ? RARE : rare);
            memset(slots + start, (int)symbol, frequency[i]);
            entries[symbol].frequency = frequency[i];
            entries[symbol].start = (uint16_t)start;
        }
    }
    return LORT_OK;
}

/* Fills what is known without a block's frequencies. */
static void make_steps(const scales *of, reader_tables *t)
{
    for (unsigned s = 0; s < LORT_CONTEXTS; s++)
        for (unsigned symbol = 0; symbol < RARE; symbol++)
            t->entries[s * (2 * RARE) + symbol].value = value_of(of, s, unfold_symbol(symbol));
    for (unsigned at = 0; at < 2 * LORT_STATES * 2 * RARE; at += 2 * RARE) {
        const uint16_t row = (uint16_t)at,
                       after[2] = {trellis_after(row, 0), trellis_after(row, 1)};
        for (unsigned symbol = 0; symbol < RARE; symbol++) {
            t->next[at + symbol] = after[(symbol ^ symbol >> 1) & 1]; /* the lowest bit of k */
            t->next[at + RARE + symbol] = row;
        }
    }
}

static lort_code check_end(const reader *r, lort_error *err)
{
    bool low = true;
    for (unsigned l = 0; l < LORT_LANES; l++)
        low = low && r->lanes[l].state == LORT_RANS_LOW;
    if (!low || r->words != r->words_end)
        return lort_fail(err, LORT_E_DAMAGED,
                         "a block does not end with its last weight: it has words left or a wrong "
                         "state of the coder");
    if (r->escape != r->escape_end)
        return lort_fail(err, LORT_E_DAMAGED, "a block has more escapes than its weights use");
    if (r->bit_end - r->bit >= 8)
        return lort_fail(err, LORT_E_DAMAGED, "a block has more low bits than its weights use");
    return LORT_OK;
}

lort_code lort_stream_read(const lort_block *block, const lort_tables *tables,
                           const lort_stream *stream, float step, void *tables_room, float *out,
                           lort_error *err)
{
    reader_tables *t = tables_room;
    reader r = {.tables = t,
                .scales = make_scales(&tables->levels, step),
                .used = tables->used,
                .words = stream->words,
                .words_end = stream->words + 2 * stream->word_count,
                .escape = stream->escapes,
                .escape_end = stream->escapes + 2 * stream->escape_count,
                .bits = stream->low,
                .bit_end = 8 * stream->low_bytes};
    for (unsigned l = 0; l < LORT_LANES; l++)
        r.lanes[l].state = stream->states[l];
    for (unsigned s = 0; s < LORT_CONTEXTS; s++)
        r.low[s] = tables->used >> s & 1 ? tables->shape[s].low : 0;
    lort_code code = make_symbols(tables, t, err);
    if (code)
        return code;
    make_steps(&r.scales, t);
    for (int64_t row = 0; row < block->rows; row += LORT_LANES)
        if (!read_group(&r, block, row, out + row * block->cols))
            return lort_fail(
                err, LORT_E_DAMAGED,
                "rows from %lld on of a block: words, low bits or escapes are missing, or a "
                "context has no table",
                (long long)row);
    return check_end(&r, err);
}
