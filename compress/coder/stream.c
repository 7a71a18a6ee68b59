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

typedef struct reader {
    const uint32_t *slots;
    const float *values;
    scales scales;
    uint8_t low[LORT_CONTEXTS];
    uint32_t used, with_low;
    const uint8_t *words, *words_end, *escape, *escape_end, *bits;
    uint64_t bit, bit_end;
    lort_u32s states;
} reader;

/* Finds k and values of a column in which some k have low bits or an escape. Reads up to LORT_SLACK
 * bytes behind the low bits; the caller checks the end after the column. Returns false if an escape
 * is missing. */
LORT_INLINE bool read_rare(reader *r, const lort_lane_group *group, lort_i32s context,
                           lort_i32s symbol, lort_i32s *k, lort_f32s *value)
{
#define LOW(l) r->low[context[l]]
    const lort_i32s low = LORT_EACH(LOW);
    lort_i32s bits = {0};
    for (unsigned l = 0; l < group->lanes; l++) {
        bits[l] = (int32_t)(lort_load_u32(r->bits + r->bit / 8) >> r->bit % 8);
        r->bit += (uint64_t)low[l];
    }
    *k = *k << low | (bits & ((((lort_i32s){0} + 1) << low) - 1));
    if (lort_any((symbol == LORT_ESCAPE) & group->active))
        for (unsigned l = 0; l < group->lanes; l++) {
            if (symbol[l] != LORT_ESCAPE)
                continue;
            if (!(r->used >> context[l] & 1) || r->escape == r->escape_end)
                return false;
            (*k)[l] = (int16_t)lort_load_u16(r->escape);
            r->escape += 2;
        }
    *value = values_of(&r->scales, context, *k);
    return true;
}

/* Returns the next word for each lane with -1 in `takes`. The lanes take words one after the other,
 * since any lane may take the next one. */
LORT_INLINE lort_u32s take_words(const uint8_t **words, lort_u32s takes)
{
    uint32_t word[LORT_LANES];
    const uint8_t *at = *words;
    LORT_UNROLL for (unsigned l = 0; l < LORT_LANES; l++)
    {
        word[l] = lort_load_u16(at);
        at += 2 & takes[l];
    }
    *words = at;
#define WORD(l) word[l]
    const lort_u32s all = LORT_EACH(WORD);
    return all & takes;
}

/* Reads one column. The states of the trellis give the contexts. Contexts and the coder's states
 * give the symbols. Symbols give the next states. Returns false if a lane has no symbol. */
LORT_INLINE bool read_column(reader *r, const lort_lane_group *group, int32_t col_code,
                             lort_u32s *states, lort_u32s *trellis, const uint8_t **words,
                             float *out)
{
    const lort_u32s quantiser = LORT_TRELLIS_QUANTISER(*trellis),
                    context = 2 * (lort_u32s)lort_group_classes(group, col_code) + quantiser;
    const lort_u32s at = context << LORT_RANS_BITS | (*states & (LORT_RANS_TOTAL - 1));
#define SLOT(l) r->slots[at[l]]
    const lort_u32s slot = LORT_EACH(SLOT), symbol = slot & (LORT_SYMBOLS - 1);
    const lort_u32s x =
        (slot >> 19) * (*states >> LORT_RANS_BITS) + (slot >> 7 & (LORT_RANS_TOTAL - 1));
    const lort_u32s takes = (lort_u32s)(x < LORT_RANS_LOW) & (lort_u32s)group->active;
    *states = (x << (16 & takes)) | take_words(words, takes);
    const lort_u32s place = context * LORT_SYMBOLS + symbol;
#define READ(l) r->values[place[l]]
    lort_f32s value = LORT_EACH(READ);
    lort_i32s k = (lort_i32s)(symbol >> 1 ^ (0 - (symbol & 1)));
    const lort_i32s is_rare =
        ((symbol == LORT_ESCAPE) | -(lort_i32s)(((lort_u32s){0} + r->with_low) >> context & 1)) &
        group->active;
    if (lort_any(is_rare) &&
        !read_rare(r, group, (lort_i32s)context, (lort_i32s)symbol, &k, &value))
        return false;
    memcpy(out, &value, sizeof value);
    *trellis = LORT_TRELLIS_NEXT(*trellis, (lort_u32s)k);
    return true;
}

/* Reads one group. Returns false if words or low bits have ended, or if a lane has no symbol. */
static LORT_VECTORS_GIVING(bool, read_group,
                           (reader * r, const lort_block *block, int64_t row, float *out),
                           (r, block, row, out))
{
    const lort_lane_group group = lort_group_at(block, row);
    const int64_t cols = block->cols;
    const uint8_t *words = r->words;
    lort_u32s states = r->states, trellis = {0};
    float tile[LORT_TILE * LORT_LANES];
    for (int64_t c = 0; c < cols; c++) {
        if (!read_column(r, &group, block->col_codes[c], &states, &trellis, &words,
                         tile + c % LORT_TILE * LORT_LANES) ||
            words > r->words_end || r->bit > r->bit_end)
            return false;
        if (c % LORT_TILE == LORT_TILE - 1 || c == cols - 1)
            lort_from_lanes(tile, group.lanes, c % LORT_TILE + 1, cols,
                            out + c / LORT_TILE * LORT_TILE);
    }
    r->words = words;
    for (unsigned l = 0; l < group.lanes; l++)
        r->states[l] = states[l];
    return true;
}

/* All slots of a context without a table are escapes. read_rare refuses those. */
static lort_code make_slots(const lort_tables *tables, uint32_t *slots, lort_error *err)
{
    uint16_t frequency[LORT_SYMBOLS];
    for (unsigned s = 0; s < LORT_CONTEXTS; s++, slots += LORT_RANS_TOTAL) {
        if (tables->used >> s & 1) {
            if (!lort_shape_frequencies(&tables->shape[s], frequency))
                return lort_fail(
                    err, LORT_E_DAMAGED,
                    "context %u of a block: its table leaves no frequency for symbol 0", s);
            lort_rans_slots(frequency, slots);
            continue;
        }
        for (uint32_t i = 0; i < LORT_RANS_TOTAL; i++)
            slots[i] = LORT_RANS_TOTAL << 19 | i << 7 | LORT_ESCAPE;
    }
    return LORT_OK;
}

static lort_code check_end(const reader *r, lort_error *err)
{
    bool low = true;
    for (unsigned l = 0; l < LORT_LANES; l++)
        low = low && r->states[l] == LORT_RANS_LOW;
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
    uint32_t *slots = tables_room;
    float *values = (float *)(void *)(slots + (size_t)LORT_CONTEXTS * LORT_RANS_TOTAL);
    reader r = {.slots = slots,
                .values = values,
                .scales = make_scales(&tables->levels, step),
                .used = tables->used,
                .words = stream->words,
                .words_end = stream->words + 2 * stream->word_count,
                .escape = stream->escapes,
                .escape_end = stream->escapes + 2 * stream->escape_count,
                .bits = stream->low,
                .bit_end = 8 * stream->low_bytes};
    memcpy(&r.states, stream->states, sizeof r.states);
    for (unsigned s = 0; s < LORT_CONTEXTS; s++) {
        r.low[s] = tables->used >> s & 1 ? tables->shape[s].low : 0;
        r.with_low |= (uint32_t)(r.low[s] > 0) << s;
    }
    lort_code code = make_slots(tables, slots, err);
    if (code)
        return code;
    make_values(&r.scales, values);
    for (int64_t row = 0; row < block->rows; row += LORT_LANES)
        if (!read_group(&r, block, row, out + row * block->cols))
            return lort_fail(
                err, LORT_E_DAMAGED,
                "rows from %lld on of a block: words, low bits or escapes are missing, or a "
                "context has no table",
                (long long)row);
    return check_end(&r, err);
}
