/* rans: entropy coding of symbols 0..127 under a static table per context: the range variant of
 * asymmetric numeral systems (Duda, arXiv 1311.2540), LORT_LANES states side by side on one run of
 * 16-bit words (Giesen, arXiv 1402.3392). Pure arithmetic. docs/FORMAT.md, "Quantised blocks". */
#ifndef LORT_COMPRESS_CODER_RANS_H
#define LORT_COMPRESS_CODER_RANS_H

#include "compress/coder/trellis.h"
#include <stdbool.h>

#define LORT_RANS_BITS 12
#define LORT_RANS_TOTAL (1u << LORT_RANS_BITS) /* of the frequencies of a table */
/* a state is at least this between two symbols, and less than 2^31 */
#define LORT_RANS_LOW (1u << 15)
#define LORT_SYMBOLS 128
#define LORT_ESCAPE 127    /* the symbol that says "in the escapes" */
#define LORT_PAIRS 63      /* most pairs of a table */
#define LORT_CODE_MOST 128 /* of a frequency's code */

/* How frequencies are stored: by pairs of symbols (a number and its mirror image) that share one,
 * in eighths of an octave. */
typedef struct lort_shape {
    /* bits of a k beside its symbol; with 0 symbol 0 stands alone, and the pairs are 1 2, 3 4, ...;
     * else 0 1, 2 3, ... */
    uint8_t low;
    uint8_t pairs;            /* 1..LORT_PAIRS */
    uint8_t escape;           /* code of LORT_ESCAPE; 0: never */
    uint8_t code[LORT_PAIRS]; /* 0: never; code[0] is not */
} lort_shape;

static inline unsigned lort_pair_of(const lort_shape *shape, unsigned symbol)
{
    return (symbol + (shape->low == 0)) / 2;
}

/* The shape nearest to what was seen, [LORT_SYMBOLS], of which there is something: symbols of the
 * pairs, and the escape. And its frequencies; shape->low is the caller's. */
void lort_shape_fit(const uint32_t *seen, lort_shape *shape, uint16_t *frequency);
/* [LORT_SYMBOLS] frequencies, LORT_RANS_TOTAL together. False: the shape has none. */
bool lort_shape_frequencies(const lort_shape *shape, uint16_t *frequency);

typedef struct lort_rans_code { /* of one symbol of one context */
    uint32_t reciprocal, limit; /* limit: states from here on give a word away first */
    uint16_t frequency, start;
    uint8_t shift;
} lort_rans_code;

/* [LORT_SYMBOLS] */
void lort_rans_codes(const uint16_t *frequency, lort_rans_code *codes);
/* tokens: context * LORT_SYMBOLS + symbol, [cols][LORT_LANES], of which the first `lanes` of a
 * column count; each has the state of its lane. Works from the last token back, and writes words
 * from `end` down; returns the first one. */
uint16_t *lort_rans_encode(const lort_rans_code *codes, const uint16_t *tokens, int64_t cols,
                           unsigned lanes, uint32_t *states, uint16_t *end);

/* [LORT_RANS_TOTAL]: frequency << 19 | (slot - start) << 7 | symbol */
void lort_rans_slots(const uint16_t *frequency, uint32_t *slots);

#endif
