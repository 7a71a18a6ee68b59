/* rans: entropy coding of symbols 0..127 under a static table per context. Pure arithmetic.
 *
 * With f the frequency and s the start of a symbol, the writer turns a state x into
 *
 *   (x / f) * 4096 + x mod f + s
 *
 * If x is too large, it gives its low 16 bits away first, as one word.
 *
 * This is the range variant of asymmetric numeral systems (Duda, arXiv 1311.2540). LORT_LANES
 * states share one run of 16-bit words (Giesen, arXiv 1402.3392). Source: docs/FORMAT.md,
 * "Blocks of integers". */
#ifndef LORT_COMPRESS_CODER_RANS_H
#define LORT_COMPRESS_CODER_RANS_H

#include "compress/coder/trellis.h"
#include <stdbool.h>

#define LORT_RANS_BITS 12                      /* 11 bits cost 0.07 % more (docs/NUMERICS.md) */
#define LORT_RANS_TOTAL (1u << LORT_RANS_BITS) /* sum of the frequencies of a table */
/* Between two symbols a state is at least this and less than 2^31. */
#define LORT_RANS_LOW (1u << 15)
#define LORT_SYMBOLS 128
#define LORT_ESCAPE 127    /* the symbol of a k that stands among the escapes */
#define LORT_PAIRS 63      /* most pairs of a table */
#define LORT_CODE_MOST 128 /* largest code of a frequency */

/* How a table stores its frequencies: in eighths of an octave, one code for each pair of symbols. A
 * pair is a number and its mirror image. */
typedef struct lort_shape {
    /* Bits of k beside its symbol. With 0, symbol 0 stands alone and the pairs are 1 2, 3 4, ...
     * Otherwise the pairs are 0 1, 2 3, ... */
    uint8_t low;
    uint8_t pairs;            /* 1..LORT_PAIRS */
    uint8_t escape;           /* code of LORT_ESCAPE; 0: it never occurs */
    uint8_t code[LORT_PAIRS]; /* 0: the pair never occurs; code[0] is above 0 */
} lort_shape;

static inline unsigned lort_pair_of(const lort_shape *shape, unsigned symbol)
{
    return (symbol + (shape->low == 0)) / 2;
}

/* Finds the shape nearest to the counts `seen` [LORT_SYMBOLS], and its frequencies [LORT_SYMBOLS].
 * The caller sets shape->low. Some count of a symbol of the pairs or of the escape must be above 0.
 */
void lort_shape_fit(const uint32_t *seen, lort_shape *shape, uint16_t *frequency);
/* Computes [LORT_SYMBOLS] frequencies with the sum LORT_RANS_TOTAL. Returns false if the shape has
 * no such frequencies. */
bool lort_shape_frequencies(const lort_shape *shape, uint16_t *frequency);

typedef struct lort_rans_code { /* of one symbol of one context */
    uint32_t reciprocal, limit; /* limit: a state from here on first gives a word away */
    uint16_t frequency, start;
    uint8_t shift;
} lort_rans_code;

/* Computes the codes [LORT_SYMBOLS] of a writer from frequencies [LORT_SYMBOLS]. */
void lort_rans_codes(const uint16_t *frequency, lort_rans_code *codes);
/* Codes tokens [cols][LORT_LANES], of which the first `lanes` of a column count. A token is context
 * * LORT_SYMBOLS + symbol. Each lane has its own state in `states`. Works from the last token back,
 * and writes words from `end` down. Returns the first word. */
uint16_t *lort_rans_encode(const lort_rans_code *codes, const uint16_t *tokens, int64_t cols,
                           unsigned lanes, uint32_t *states, uint16_t *end);

/* Fills slots [LORT_RANS_TOTAL] of a reader: frequency << 19 | (slot - start) << 7 | symbol. */
void lort_rans_slots(const uint16_t *frequency, uint32_t *slots);

#endif
