/* rans: see rans.h. LoRT computes tables in integers only, so every machine makes the same tables.
 */
#include "compress/coder/rans.h"
#include <string.h>

/* ---- shapes ---- */

/* 2^(i / 8) in units of 2^-12 */
static const uint32_t eighths[8] = {4096, 4467, 4871, 5312, 5793, 6317, 6889, 7512};

static uint64_t weight_of(unsigned code)
{
    return code ? (uint64_t)eighths[(code - 1) % 8] << (code - 1) / 8 : 0;
}

/* Returns the code whose weight is nearest to seen / most of the largest weight. */
static uint8_t code_of(uint64_t seen, uint64_t most)
{
    const uint64_t wanted = weight_of(LORT_CODE_MOST) * seen / most;
    unsigned code = 1;
    if (seen == 0)
        return 0;
    while (code < LORT_CODE_MOST && weight_of(code) + weight_of(code + 1) < 2 * wanted)
        code++;
    return (uint8_t)code;
}

static unsigned width_of(const lort_shape *shape, unsigned pair)
{
    return shape->low == 0 && pair == 0 ? 1 : 2;
}

/* Scales the weights to LORT_RANS_TOTAL, rounded down, but at least 1 each. Symbol 0 gets the rest,
 * or gives what is too much. */
bool lort_shape_frequencies(const lort_shape *shape, uint16_t *frequency)
{
    uint64_t sum = weight_of(shape->escape);
    int64_t left = LORT_RANS_TOTAL;
    uint32_t scaled[LORT_PAIRS + 1];
    for (unsigned p = 0; p < shape->pairs; p++)
        sum += weight_of(shape->code[p]) * width_of(shape, p);
    for (unsigned p = 0; p <= shape->pairs; p++) {
        const uint64_t weight = weight_of(p < shape->pairs ? shape->code[p] : shape->escape);
        scaled[p] = (uint32_t)(weight * LORT_RANS_TOTAL / sum);
        scaled[p] += weight && scaled[p] == 0;
        left -= scaled[p] * (int64_t)(p < shape->pairs ? width_of(shape, p) : 1);
    }
    if (scaled[0] + left < 1)
        return false;
    memset(frequency, 0, LORT_SYMBOLS * sizeof *frequency);
    for (unsigned s = 0; s < LORT_ESCAPE && lort_pair_of(shape, s) < shape->pairs; s++)
        frequency[s] = (uint16_t)scaled[lort_pair_of(shape, s)];
    frequency[0] = (uint16_t)(scaled[0] + left);
    frequency[LORT_ESCAPE] = (uint16_t)scaled[shape->pairs];
    return true;
}

/* Both symbols of a pair get the pair's frequency. The loop ends: let r pairs be rare, and let
 * symbol 0 be as frequent as any other. Then symbol 0 keeps at least 4096 / (125 - r) - r > 0. */
void lort_shape_fit(const uint32_t *seen, lort_shape *shape, uint16_t *frequency)
{
    uint64_t twice[LORT_PAIRS] = {0}, escape = 2 * (uint64_t)seen[LORT_ESCAPE], most = escape;
    shape->pairs = 1;
    for (unsigned s = 0; s < LORT_ESCAPE; s++) {
        const unsigned pair = lort_pair_of(shape, s);
        if (seen[s] == 0)
            continue;
        twice[pair] += shape->low == 0 && s == 0 ? 2 * (uint64_t)seen[s] : seen[s];
        shape->pairs = (uint8_t)(pair + 1);
    }
    for (unsigned p = 0; p < shape->pairs; p++)
        most = twice[p] > most ? twice[p] : most;
    for (unsigned p = 0; p < shape->pairs; p++)
        shape->code[p] = code_of(twice[p], most);
    shape->code[0] += shape->code[0] == 0;
    shape->escape = code_of(escape, most);
    while (!lort_shape_frequencies(shape, frequency))
        shape->code[0]++; /* symbol 0 pays for the rare symbols */
}

/* ---- writing ---- */

/* x / frequency = x * reciprocal >> (32 + shift) for all x < 2^31. Source: Alverson, "Integer
 * division using reciprocals", 1991. */
void lort_rans_codes(const uint16_t *frequency, lort_rans_code *codes)
{
    uint32_t start = 0;
    for (unsigned s = 0; s < LORT_SYMBOLS; s++) {
        const uint32_t f = frequency[s];
        unsigned shift = 0;
        while (1u << shift < f)
            shift++;
        codes[s] = (lort_rans_code){.frequency = (uint16_t)f,
                                    .start = (uint16_t)start,
                                    .limit = f << (31 - LORT_RANS_BITS)};
        if (f > 1) {
            codes[s].shift = (uint8_t)(shift - 1);
            codes[s].reciprocal = (uint32_t)(((UINT64_C(1) << (shift + 31)) + f - 1) / f);
        }
        start += f;
    }
}

static inline uint32_t divide_by_frequency(uint32_t x, const lort_rans_code *code)
{
    return code->frequency == 1 ? x
                                : (uint32_t)((uint64_t)x * code->reciprocal >> 32 >> code->shift);
}

uint16_t *lort_rans_encode(const lort_rans_code *codes, const uint16_t *tokens, int64_t cols,
                           unsigned lanes, uint32_t *states, uint16_t *end)
{
    for (int64_t c = cols; c-- > 0;)
        for (unsigned lane = lanes; lane-- > 0;) {
            const lort_rans_code *code = &codes[tokens[c * LORT_LANES + lane]];
            uint32_t x = states[lane];
            const uint32_t give = x >= code->limit;
            end[-1] = (uint16_t)x;
            end -= give;
            x >>= 16 * give;
            const uint32_t quotient = divide_by_frequency(x, code);
            states[lane] =
                (quotient << LORT_RANS_BITS) + (x - quotient * code->frequency) + code->start;
        }
    return end;
}

/* ---- reading ---- */

void lort_rans_slots(const uint16_t *frequency, uint32_t *slots)
{
    for (uint32_t s = 0; s < LORT_SYMBOLS; s++)
        for (uint32_t i = 0; i < frequency[s]; i++)
            *slots++ = (uint32_t)frequency[s] << 19 | i << 7 | s;
}
