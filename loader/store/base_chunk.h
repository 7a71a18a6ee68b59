/* base_chunk: a chunk of a raw array that is coded as the difference to a tensor of the base. */
#ifndef LORT_LOADER_STORE_BASE_CHUNK_H
#define LORT_LOADER_STORE_BASE_CHUNK_H

#include "formats/container/container.h"
#include "loader/store/codec.h"

/* Where the bytes of a base come from. A zeroed one: there is no base, and a chunk that needs one
 * fails with LORT_E_USAGE. */
typedef struct lort_base_reader {
    /* Puts bytes [offset, offset + n) of the base's tensor into dst, and zeros behind its end.
     * Checks the hash of the tensor. Threads: any number at a time. On failure: LORT_E_INPUT if it
     * is another tensor; LORT_E_READ and others. */
    lort_code (*read)(void *ctx, const lort_part *part, const lort_base_tensor *base,
                      uint64_t offset, uint64_t n, uint8_t *dst, lort_error *err);
    void *ctx;
    bool absent; /* check frames only: a chunk that needs the base gives zeros */
} lort_base_reader;

/* LORT_E_USAGE: the base is needed and not there. */
lort_code lort_base_missing(lort_error *err);
/* Decodes the stored bytes of a raw chunk of a part that has a base. *done false: the chunk is
 * stored as without a base, and nothing is decoded. scratch, dst: chunk->decoded bytes. */
lort_code lort_base_chunk(const lort_base_reader *reader, const lort_part *part,
                          const lort_chunk *chunk, const uint8_t *stored, lort_codec *codec,
                          const lort_alloc *alloc, uint8_t *scratch, uint8_t *dst, bool *done,
                          lort_error *err);

#endif
