/* record: writes bodies of container frames and reads them back. It compresses bodies where that
 * helps, and cuts long bodies into pieces. */
#ifndef LORT_LOADER_STORE_RECORD_H
#define LORT_LOADER_STORE_RECORD_H

#include "formats/container/container.h"
#include "loader/store/codec.h"
#include "loader/store/publish.h"

/* Appends the frames of `body` to the output. Compresses MODEL, PART and INDEX if that is smaller.
 * *frame_bytes: number of bytes appended. */
lort_code lort_record_write(lort_publish *publish, lort_frame_kind kind, const lort_buffer *body,
                            lort_codec *codec, const lort_alloc *alloc, uint64_t *frame_bytes,
                            lort_error *err);

/* Like lort_record_write, into memory: appends the frames of `body` to `out`. */
lort_code lort_record_append(lort_frame_kind kind, const lort_buffer *body, lort_codec *codec,
                             const lort_alloc *alloc, lort_buffer *out, lort_error *err);

/* Like lort_record_append, of plain bytes, in pieces of at most piece_bytes (1 ..
 * LORT_FRAME_BODY_MAX). */
lort_code lort_record_put(lort_frame_kind kind, const uint8_t *body, uint64_t bytes,
                          lort_codec *codec, const lort_alloc *alloc, uint64_t piece_bytes,
                          lort_buffer *out, lort_error *err);

/* The place that records come from. view gives n bytes at offset. They stay valid until the next
 * view with the same scratch. */
typedef struct lort_record_source {
    lort_code (*view)(void *ctx, uint64_t offset, uint64_t n, lort_buffer *scratch,
                      const uint8_t **out, lort_error *err);
    void *ctx;
    const lort_alloc *alloc;
    lort_codec *codec;
} lort_record_source;

/* A record after reading: its body is whole and decoded. The caller frees it with lort_record_free,
 * also after a failure. */
typedef struct lort_record {
    const uint8_t *body;
    uint64_t bytes;
    uint64_t frame_bytes; /* of all its frames */
    lort_buffer scratch, whole;
} lort_record;

/* Reads the record of `kind` at offset. The record must end at `end` or before. Memory: at most the
 * length of the file, or lort_frame_decoded_max for a compressed body. On failure:
 * LORT_E_DAMAGED. */
lort_code lort_record_read(const lort_record_source *source, lort_frame_kind kind, uint64_t offset,
                           uint64_t end, lort_record *out, lort_error *err);
void lort_record_free(lort_record *record); /* accepts zeroed */

#endif
