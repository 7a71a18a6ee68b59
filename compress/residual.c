/* See residual.h. Rows go through the trellis LORT_LANES at a time; k, class and state then walk row by row, as a reader will. */
#include "compress/residual.h"
#include "formats/bytes.h"
#include <math.h>
#include <string.h>

/* ---- classes ---- */

uint8_t lort_scale_code(double energy, int64_t count)
{
    int exponent;
    if (!(energy > 0) || count <= 0)
        return 0;
    double m = frexp(energy / (double)count, &exponent); /* 4 log2 sqrt(e) = 2 log2 e */
    int code = 128 + 2 * exponent + (m < 0.59460355750136054 ? -2 : m < 0.84089641525371454 ? -1 : 0); /* 2^-0.75, 2^-0.25 */
    return (uint8_t)(code < 1 ? 1 : code > 255 ? 255 : code);
}

lort_block lort_block_at(const lort_block_place *place, int64_t rows, const uint8_t *codes, int64_t slice_rows)
{
    return (lort_block){.rows = rows, .cols = place->cols, .row_codes = codes + place->row, .col_codes = codes + slice_rows + place->col};
}

/* Mean of the codes of what has energy, in sixteenths of a code. */
static int64_t mean_code(const uint8_t *codes, int64_t count)
{
    int64_t sum = 0, used = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += codes[i];
        used += codes[i] != 0;
    }
    return used ? 16 * sum / used : 0;
}

/* A table per stream costs about 50 bytes: fewer, wider classes where there are few weights. */
void lort_block_classes(lort_block *block)
{
    const int64_t weights = block->rows * block->cols;
    const int64_t mean = mean_code(block->row_codes, block->rows) + mean_code(block->col_codes, block->cols);
    block->shift = weights >= 1 << 18 ? 0 : weights >= 1 << 16 ? 1 : weights >= 1 << 14 ? 2 : 3;
    block->base = (int32_t)((mean + 8) / 16) - (LORT_CLASSES / 2 << block->shift);
}

/* ---- writing ---- */

/* 2^(-code / 2) of a quarter-octave code: 1 / variance, exactly the same everywhere. */
static float inverse_variance(uint8_t code)
{
    const int halves = code ? 128 - code : 0;
    return ldexpf(halves & 1 ? 1.4142135f : 1.0f, (halves - (halves & 1)) / 2);
}

/* class * 2 by the sum of a row's code and a column's: what of a stream's number does not depend on the quantiser. */
typedef struct class_table {
    uint8_t of[512];
} class_table;

static class_table make_classes(const lort_block *block)
{
    class_table table;
    for (int32_t sum = 0; sum < 512; sum++)
        table.of[sum] = (uint8_t)(2 * lort_block_class(block, sum));
    return table;
}

/* x: [cols][LORT_LANES], rows beyond the block repeat its last. */
static void load_lanes(const lort_block *block, const float *weights, int64_t row, float scale, float *x)
{
    for (int64_t l = 0; l < LORT_LANES; l++) {
        const float *from = weights + (row + l < block->rows ? row + l : block->rows - 1) * block->cols;
        for (int64_t c = 0; c < block->cols; c++)
            x[c * LORT_LANES + l] = from[c] * scale;
    }
}

static void limit(float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = x[i] > LORT_STEPS_MAX ? LORT_STEPS_MAX : x[i] < -LORT_STEPS_MAX ? -LORT_STEPS_MAX : x[i];
}

typedef struct scratch_view {
    float *x, *col;
    uint8_t *choice;
    int16_t *lanes, *coded; /* coded: [rows][cols], 2 k + quantiser */
} scratch_view;

static scratch_view view_scratch(void *scratch, int64_t weights, int64_t cols)
{
    scratch_view v = {.x = scratch};
    v.col = v.x + cols * LORT_LANES;
    v.lanes = (int16_t *)(v.col + cols);
    v.coded = v.lanes + cols * LORT_LANES;
    v.choice = (uint8_t *)(v.coded + weights);
    return v;
}

uint64_t lort_quantise_scratch(int64_t weights, int64_t cols)
{
    return (uint64_t)cols * (LORT_LANES * (sizeof(float) + sizeof(int16_t) + 1) + sizeof(float)) + (uint64_t)weights * sizeof(int16_t);
}

static void run_trellis(const lort_block *block, const float *weights, float step, scratch_view *v)
{
    /* lambda / (2 ln 2 s^2), s^2 in steps^2: a row's share and a column's; the codes have 1.0 at 128. */
    const float factor = LORT_RESIDUAL_LAMBDA * 0.72134752f * step * step;
    float row[LORT_LANES];
    for (int64_t c = 0; c < block->cols; c++)
        v->col[c] = inverse_variance(block->col_codes[c]);
    for (int64_t r = 0; r < block->rows; r += LORT_LANES) {
        for (int64_t l = 0; l < LORT_LANES; l++)
            row[l] = r + l < block->rows ? factor * inverse_variance(block->row_codes[r + l]) : 0;
        load_lanes(block, weights, r, 1.0f / step, v->x);
        limit(v->x, block->cols * LORT_LANES);
        lort_trellis_encode(v->x, row, v->col, block->cols, LORT_RESIDUAL_LAMBDA, v->choice, v->lanes);
        for (int64_t l = 0; l < LORT_LANES && r + l < block->rows; l++)
            for (int64_t c = 0; c < block->cols; c++)
                v->coded[(r + l) * block->cols + c] = v->lanes[c * LORT_LANES + l];
    }
}

/* Sums over what of a stream has |k| != 1 (even places) and |k| = 1 (odd places), where n is +-1 or +-2. */
typedef struct sums {
    double cross[2 * LORT_STREAMS];   /* weight * n */
    int64_t square[2 * LORT_STREAMS]; /* n^2 */
    uint32_t count[2 * LORT_STREAMS];
    double energy; /* weight^2, of all */
} sums;

#define RUN 256 /* weights whose products are made in one loop, for the compiler to vectorise */

static void sum_run(const uint8_t *classes, const uint8_t *codes, const float *weights, const int16_t *coded, int64_t count, sums *all)
{
    uint8_t place[RUN];
    double product[RUN], energy[RUN]; /* what find_levels takes off one another may be 10^8 times the error */
    int32_t square[RUN];
    for (int64_t i = 0; i < count; i++) {
        const int32_t q = coded[i] & 1, k = coded[i] >> 1, n = 2 * k - q * ((k > 0) - (k < 0));
        place[i] = (uint8_t)(2 * q + (k == 1) + (k == -1));
        product[i] = (double)weights[i] * n;
        energy[i] = (double)weights[i] * weights[i];
        square[i] = n * n;
    }
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const unsigned s = 2u * classes[codes[i]] + place[i];
        all->cross[s] += product[i];
        all->square[s] += square[i];
        all->count[s]++;
        sum += energy[i];
    }
    all->energy += sum;
}

static void sum_streams(const lort_block *block, const float *weights, const int16_t *coded, sums *all)
{
    const class_table table = make_classes(block);
    for (int64_t r = 0; r < block->rows; r++)
        for (int64_t c = 0; c < block->cols; c += RUN) {
            const int64_t at = r * block->cols + c, count = block->cols - c < RUN ? block->cols - c : RUN;
            sum_run(table.of + block->row_codes[r], block->col_codes + c, weights + at, coded + at, count, all);
        }
}

static void place_ks(const lort_block *block, const int16_t *coded, lort_quantised *out)
{
    const class_table table = make_classes(block);
    int16_t *at[LORT_STREAMS];
    at[0] = out->k;
    for (unsigned s = 1; s < LORT_STREAMS; s++)
        at[s] = at[s - 1] + out->count[s - 1];
    for (int64_t r = 0; r < block->rows; r++) {
        const uint8_t *classes = table.of + block->row_codes[r];
        for (int64_t c = 0; c < block->cols; c++, coded++)
            *at[classes[block->col_codes[c]] + (*coded & 1)]++ = (int16_t)(*coded >> 1);
    }
}

static uint16_t fixed(double value, double unit)
{
    const double scaled = floor(value / unit + 0.5);
    return (uint16_t)(scaled < 0 ? 0 : scaled > UINT16_MAX ? UINT16_MAX : scaled);
}

/* Centroids, and the error they leave: the sum of w^2 - 2 w v + v^2 with v = level * n. */
static void find_levels(const sums *all, double step, lort_quantised *out)
{
    out->error2 = all->energy;
    for (unsigned s = 0; s < LORT_STREAMS; s++) {
        const unsigned many = 2 * s, ones = 2 * s + 1, size = s & 1 ? 1 : 2; /* |n| where |k| = 1 */
        out->count[s] = all->count[many] + all->count[ones];
        out->levels.gain[s] = fixed(all->square[many] ? all->cross[many] / (double)all->square[many] / step : 0, 1.0 / 32768);
        out->levels.one[s] = fixed(all->square[ones] ? size * all->cross[ones] / (double)all->square[ones] / step : 0, 1.0 / 4096);
        const double gain = out->levels.gain[s] * step / 32768, one = out->levels.one[s] * step / 4096 / size;
        out->error2 += gain * (gain * (double)all->square[many] - 2 * all->cross[many]) + one * (one * (double)all->square[ones] - 2 * all->cross[ones]);
    }
    out->error2 = out->error2 > 0 ? out->error2 : 0;
}

void lort_quantise(const lort_block *block, const float *weights, float step, void *scratch, lort_quantised *out)
{
    scratch_view view = view_scratch(scratch, block->rows * block->cols, block->cols);
    sums all = {.energy = 0};
    run_trellis(block, weights, step, &view);
    sum_streams(block, weights, view.coded, &all);
    find_levels(&all, step, out);
    if (out->k)
        place_ks(block, view.coded, out);
}

/* ---- reading ---- */

static lort_code check_counts(const lort_block *block, const uint32_t *count, lort_error *err)
{
    uint64_t sum = 0;
    for (unsigned s = 0; s < LORT_STREAMS; s++)
        sum += count[s];
    if (sum != (uint64_t)block->rows * (uint64_t)block->cols)
        return lort_fail(err, LORT_E_DAMAGED, "the streams hold %llu weights, the block has %lld", (unsigned long long)sum,
                         (long long)(block->rows * block->cols));
    return LORT_OK;
}

lort_code lort_dequantise(const lort_block *block, const int16_t *k, const uint32_t *count, const lort_levels *levels, float step, float *out,
                          lort_error *err)
{
    const int16_t *at[LORT_STREAMS], *end[LORT_STREAMS];
    float one[LORT_STREAMS], gain[LORT_STREAMS];
    lort_code code = check_counts(block, count, err);
    for (unsigned s = 0; s < LORT_STREAMS && code == LORT_OK; s++) {
        at[s] = s ? end[s - 1] : k;
        end[s] = at[s] + count[s];
        one[s] = (float)levels->one[s] / 4096.0f * step;
        gain[s] = (float)levels->gain[s] / 32768.0f * step;
    }
    const class_table table = make_classes(block);
    for (int64_t r = 0; r < block->rows && code == LORT_OK; r++) {
        const uint8_t *classes = table.of + block->row_codes[r];
        unsigned state = 0;
        for (int64_t c = 0; c < block->cols; c++) {
            const unsigned q = lort_trellis_quantiser(state), s = classes[block->col_codes[c]] + q;
            if (at[s] == end[s])
                return lort_fail(err, LORT_E_DAMAGED, "stream %u has too few weights", s);
            const int32_t v = *at[s]++;
            *out++ = v == 1 ? one[s] : v == -1 ? -one[s] : (float)lort_trellis_value(q, v) * gain[s];
            state = lort_trellis_next(state, v);
        }
    }
    return code;
}

/* ---- streams as bytes ---- */

/* Symbols: 0, 1, -1, 2, -2, ... as 0, 1, 2, 3, 4, ...; the last of an alphabet is the escape. */
static const struct {
    unsigned each, size, low; /* ks of a byte, symbols of the alphabet, low bits of a k apart */
} groups[LORT_GROUPS + 1] = {{0, 0, 0}, {1, 255, 0}, {2, 15, 0}, {3, 6, 0}, {4, 4, 0}, {5, 3, 0}, {1, 255, 2}};

static unsigned symbol_of(int32_t k) { return k > 0 ? 2u * (unsigned)k - 1 : 2u * (unsigned)-k; }
static int32_t k_of(unsigned symbol) { return symbol & 1 ? (int32_t)(symbol + 1) / 2 : -(int32_t)(symbol / 2); }

uint64_t lort_pack_symbols(uint64_t count, unsigned group) { return (count + groups[group].each - 1) / groups[group].each; }

static uint64_t low_bytes(uint64_t count, unsigned group) { return (count * groups[group].low + 7) / 8; }

uint64_t lort_pack_bytes(uint64_t count, unsigned group, uint64_t escapes)
{
    return lort_pack_symbols(count, group) + low_bytes(count, group) + 2 * escapes;
}

/* `each` ks to a byte; inlined with constants, one loop per group. Escapes are only counted. */
static inline __attribute__((always_inline)) uint64_t pack(const int16_t *k, uint64_t count, unsigned each, unsigned size, uint8_t *bytes)
{
    uint64_t escapes = 0, i = 0;
    for (; i + each <= count; i += each) {
        unsigned byte = 0;
        for (unsigned j = each; j-- > 0;) {
            const unsigned symbol = symbol_of(k[i + j]);
            escapes += symbol >= size - 1;
            byte = byte * size + (symbol >= size - 1 ? size - 1 : symbol);
        }
        *bytes++ = (uint8_t)byte;
    }
    for (unsigned unit = 1, byte = 0; i < count; i++, unit *= size) {
        const unsigned symbol = symbol_of(k[i]);
        escapes += symbol >= size - 1;
        byte += (symbol >= size - 1 ? size - 1 : symbol) * unit;
        *bytes = (uint8_t)byte;
    }
    return escapes;
}

static uint64_t pack_split(const int16_t *k, uint64_t count, uint8_t *bytes, uint8_t *bits)
{
    uint64_t escapes = 0;
    memset(bits, 0, (size_t)low_bytes(count, LORT_GROUP_SPLIT));
    for (uint64_t i = 0; i < count; i++) {
        const unsigned symbol = symbol_of(k[i] >> 2), escape = symbol >= 254;
        escapes += escape;
        bits[i / 4] |= (uint8_t)((escape ? 0 : k[i] & 3) << 2 * (i % 4));
        bytes[i] = (uint8_t)(escape ? 254 : symbol);
    }
    return escapes;
}

static void put_escapes(const int16_t *k, uint64_t count, unsigned group, uint8_t *escapes)
{
    const unsigned last = groups[group].size - 1;
    for (uint64_t i = 0; i < count; i++)
        if (symbol_of(k[i] >> groups[group].low) >= last) {
            lort_store_u16(escapes, (uint16_t)k[i]);
            escapes += 2;
        }
}

static uint64_t pack_group(const int16_t *k, uint64_t count, unsigned group, uint8_t *bytes)
{
    switch (group) {
    case 1:
        return pack(k, count, 1, 255, bytes);
    case 2:
        return pack(k, count, 2, 15, bytes);
    case 3:
        return pack(k, count, 3, 6, bytes);
    case 4:
        return pack(k, count, 4, 4, bytes);
    case 5:
        return pack(k, count, 5, 3, bytes);
    default:
        return pack_split(k, count, bytes, bytes + lort_pack_symbols(count, group));
    }
}

uint64_t lort_pack(const int16_t *k, uint64_t count, unsigned group, uint8_t *bytes)
{
    const uint64_t escapes = pack_group(k, count, group, bytes);
    if (escapes)
        put_escapes(k, count, group, bytes + lort_pack_bytes(count, group, 0));
    return escapes;
}

lort_code lort_unpack(const uint8_t *bytes, uint64_t count, unsigned group, uint64_t escapes, int16_t *k, lort_error *err)
{
    const unsigned each = groups[group].each, size = groups[group].size, low = groups[group].low;
    const uint8_t *bits = bytes + lort_pack_symbols(count, group), *escape = bits + low_bytes(count, group), *end = escape + 2 * escapes;
    if (group == 1 && escapes == 0 && !memchr(bytes, 254, (size_t)count) && !memchr(bytes, 255, (size_t)count)) {
        for (uint64_t i = 0; i < count; i++)
            k[i] = (int16_t)k_of(bytes[i]);
        return LORT_OK;
    }
    for (uint64_t i = 0; i < count;) {
        unsigned byte = *bytes++;
        for (unsigned j = 0; j < each && i < count; j++, i++, byte /= size) {
            const unsigned symbol = byte % size;
            if (symbol < size - 1) {
                k[i] = (int16_t)(low ? k_of(symbol) * 4 + (bits[i / 4] >> 2 * (i % 4) & 3) : k_of(symbol));
            } else if (escape < end) {
                k[i] = (int16_t)lort_load_u16(escape);
                escape += 2;
            } else {
                return lort_fail(err, LORT_E_DAMAGED, "a stream has more escapes than the %llu it brings", (unsigned long long)escapes);
            }
        }
        if (byte)
            return lort_fail(err, LORT_E_DAMAGED, "a byte of a stream is none of its alphabet's");
    }
    return escape == end ? LORT_OK : lort_fail(err, LORT_E_DAMAGED, "a stream has fewer escapes than the %llu it brings", (unsigned long long)escapes);
}
