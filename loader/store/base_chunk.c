/* base_chunk: see base_chunk.h. */
#include "loader/store/base_chunk.h"
#include "formats/container/base.h"
#include "formats/container/difference.h"

lort_code lort_base_missing(lort_error *err)
{
    return lort_fail(err, LORT_E_USAGE,
                     "the container holds differences to a base model: give that model with "
                     "--base (lort inspect shows its files)");
}

/* The place of a raw chunk in its tensor, in bytes. */
static uint64_t place_of(const lort_part *part, const lort_chunk *chunk)
{
    const uint64_t slice = chunk->array & (LORT_MAX_SLICES - 1);
    return slice * (part->source_bytes / part->slices) +
           chunk->first / part->type->block_elements * part->type->block_bytes;
}

static lort_code apply(const lort_base_reader *reader, const lort_part *part,
                       const lort_chunk *chunk, const uint8_t *body, uint64_t body_bytes,
                       const lort_alloc *alloc, uint8_t *dst, lort_error *err)
{
    void *space;
    if (reader->absent) {
        memset(dst, 0, chunk->decoded);
        return LORT_OK;
    }
    if (!reader->read)
        return lort_base_missing(err);
    lort_code code = reader->read(reader->ctx, part, &lort_part_base(part)->base,
                                  place_of(part, chunk), chunk->decoded, dst, err);
    if (code || body_bytes == 0)
        return code;
    code = lort_take(alloc, sizeof(lort_difference_space), "reading differences", &space, err);
    if (code)
        return code;
    code = lort_difference_decode(part->type, body, body_bytes, dst, chunk->decoded, space, err);
    lort_give(alloc, space, sizeof(lort_difference_space));
    return code;
}

lort_code lort_base_chunk(const lort_base_reader *reader, const lort_part *part,
                          const lort_chunk *chunk, const uint8_t *stored, lort_codec *codec,
                          const lort_alloc *alloc, uint8_t *scratch, uint8_t *dst, bool *done,
                          lort_error *err)
{
    uint64_t bytes;
    lort_code code = lort_codec_content(stored, chunk->stored, &bytes, err);
    *done = code == LORT_OK && bytes != chunk->decoded;
    if (!*done)
        return code;
    if (bytes > chunk->decoded)
        return lort_fail(err, LORT_E_DAMAGED,
                         "a chunk of differences decodes to %llu bytes (at most %u)",
                         (unsigned long long)bytes, chunk->decoded);
    code = lort_codec_decode(codec, stored, chunk->stored, scratch, bytes, err);
    return code ? code : apply(reader, part, chunk, scratch, bytes, alloc, dst, err);
}
