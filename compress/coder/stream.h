/* stream: the integers of a block to tables, words of the entropy coder, low bits and escapes, and
 * back. Pure arithmetic.
 *
 *   k = (number of the symbol) * 2^low + low bits       or an escape: k as 16 bits
 *
 * Source: docs/FORMAT.md, "Blocks of integers". */
#ifndef LORT_COMPRESS_CODER_STREAM_H
#define LORT_COMPRESS_CODER_STREAM_H

#include "compress/coder/integers.h"
#include "compress/coder/rans.h"

#define LORT_LOW_MOST 12 /* most low bits of one k */

typedef struct lort_stream { /* a coded block without its tables */
    /* low: bits one behind the other, from bit 0 of a byte on. escapes: each k that has no symbol,
     * two bytes each. */
    const uint8_t *low, *escapes;
    uint64_t low_bytes, escape_count;
    const uint8_t *words; /* two bytes each */
    uint64_t word_count;
    uint32_t states[LORT_LANES];
} lort_stream;

typedef struct lort_tables {
    uint32_t used; /* bit s: context s has weights */
    lort_shape shape[LORT_CONTEXTS];
    lort_levels levels;
} lort_tables;

/* Bytes for tables. A writer has frequencies, codes and values; a reader has slots and values, and
 * needs more. */
#define LORT_STREAM_TABLES                                                                         \
    (LORT_CONTEXTS * (LORT_RANS_TOTAL * sizeof(uint32_t) + LORT_SYMBOLS * sizeof(float)))

/* Bytes for the words, low bits and escapes of this many weights. */
#define LORT_STREAM_ROOM(weights) (4 * (uint64_t)(weights) + 256)
/* Computes the values that a reader will get, out [rows][cols]. */
void lort_stream_values(const lort_block *block, float step, const lort_integers *q, float *out);
/* Entropy-codes the output of lort_integers_of_block, and overwrites q->coded. weights:
 * [rows][cols]. tables_room: LORT_STREAM_TABLES bytes. room: LORT_STREAM_ROOM bytes; `out` points
 * into it. error2: sum of (weight - decoded)^2 over the f32 values that a reader gets. */
void lort_stream_write(const lort_block *block, const float *weights, float step,
                       const lort_integers *q, void *tables_room, uint8_t *room,
                       lort_tables *tables, lort_stream *out, double *error2);

/* More than the bytes of one column, 32 of words or 28 for low bits: a reader takes a column before
 * it checks the ends. */
#define LORT_SLACK 48
/* Decodes a block to out [rows][cols]. tables_room: LORT_STREAM_TABLES bytes. LORT_SLACK bytes must
 * be readable behind the low bits, the escapes and the words. Believes nothing else of the stream.
 * On failure: LORT_E_DAMAGED. */
lort_code lort_stream_read(const lort_block *block, const lort_tables *tables,
                           const lort_stream *stream, float step, void *tables_room, float *out,
                           lort_error *err);

#endif
