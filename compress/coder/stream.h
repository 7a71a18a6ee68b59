/* stream: the integers of a block <-> what is stored of them: tables, words of the entropy coder,
 * low bits, escapes. Pure arithmetic. docs/FORMAT.md, "Quantised blocks". */
#ifndef LORT_COMPRESS_CODER_STREAM_H
#define LORT_COMPRESS_CODER_STREAM_H

#include "compress/coder/integers.h"
#include "compress/coder/rans.h"

#define LORT_LOW_MOST 12 /* low bits of a k */

typedef struct lort_stream { /* all of a block but the tables */
    /* low bits of one k behind those of another, from bit 0 of a byte on; ks that have no symbol,
     * two bytes each */
    const uint8_t *low, *escapes;
    uint64_t low_bytes, escape_count;
    const uint8_t *words; /* two bytes each */
    uint64_t word_count;
    uint32_t states[LORT_LANES];
} lort_stream;

typedef struct lort_tables {
    uint32_t used; /* bit of each context that has weights */
    lort_shape shape[LORT_CONTEXTS];
    lort_levels levels;
} lort_tables;

/* Bytes of tables: frequencies, codes and values of a writer; slots and values of a reader, which
 * are more. */
#define LORT_STREAM_TABLES                                                                         \
    (LORT_CONTEXTS * (LORT_RANS_TOTAL * sizeof(uint32_t) + LORT_SYMBOLS * sizeof(float)))

/* Bytes that words, low bits and escapes of so many weights can take. */
#define LORT_STREAM_ROOM(weights) (4 * (uint64_t)(weights) + 256)
/* The values a reader will get, [rows][cols]. */
void lort_stream_values(const lort_block *block, float step, const lort_integers *q, float *out);
/* Entropy-codes what lort_integers_of_block made; q->coded is used up. room: LORT_STREAM_ROOM; out
 * points into it. error2: sum of (weight - decoded)^2, of the floats a reader gets. tables_room:
 * LORT_STREAM_TABLES. */
void lort_stream_write(const lort_block *block, const float *weights, float step,
                       const lort_integers *q, void *tables_room, uint8_t *room,
                       lort_tables *tables, lort_stream *out, double *error2);

#define LORT_SLACK 48
/* Weights of a block: [rows][cols]. Nothing is believed but that LORT_SLACK bytes behind each of
 * its runs may be read: LORT_E_DAMAGED. tables_room: LORT_STREAM_TABLES. */
lort_code lort_stream_read(const lort_block *block, const lort_tables *tables,
                           const lort_stream *stream, float step, void *tables_room, float *out,
                           lort_error *err);

#endif
