/* record: bodies of container frames written out and read back: compressed where that helps, cut
 * into pieces where they are long. */
#ifndef LORT_LOADER_STORE_RECORD_H
#define LORT_LOADER_STORE_RECORD_H

#include "formats/container/container.h"
#include "loader/store/codec.h"
#include "loader/store/publish.h"

/* Appends the frames of `body` to the output. MODEL, PART and INDEX are compressed when that is
 * smaller. *frame_bytes: what was appended. */
lort_code lort_record_write(lort_publish *publish, lort_frame_kind kind, const lort_buffer *body,
                            lort_codec *codec, const lort_alloc *alloc, uint64_t *frame_bytes,
                            lort_error *err);

/* The same into memory, in pieces of at most piece_bytes (1 .. LORT_FRAME_BODY_MAX). */
lort_code lort_record_put(lort_frame_kind kind, const uint8_t *body, uint64_t bytes,
                          lort_codec *codec, const lort_alloc *alloc, uint64_t piece_bytes,
                          lort_buffer *out, lort_error *err);

/* Where records are read from: view gives n bytes at offset, which stay valid until the next view
 * of the same scratch. */
typedef struct lort_record_source {
    lort_code (*view)(void *ctx, uint64_t offset, uint64_t n, lort_buffer *scratch,
                      const uint8_t **out, lort_error *err);
    void *ctx;
    const lort_alloc *alloc;
    lort_codec *codec;
} lort_record_source;

/* A record read: its body is whole and decoded. Free with lort_record_free, also after a failure.
 */
typedef struct lort_record {
    const uint8_t *body;
    uint64_t bytes;
    uint64_t frame_bytes; /* all its frames */
    lort_buffer scratch, whole;
} lort_record;

/* Reads the record of `kind` at offset; it must end at `end` or before. Not longer in memory than
 * the file is, or than lort_frame_decoded_max says where it is compressed. LORT_E_DAMAGED. */
lort_code lort_record_read(const lort_record_source *source, lort_frame_kind kind, uint64_t offset,
                           uint64_t end, lort_record *out, lort_error *err);
void lort_record_free(lort_record *record); /* accepts zeroed */

#endif
