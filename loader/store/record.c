/* record: puts bodies (formats/container) into frames of a file and takes them out. It owns
 * compression and pieces. It knows nothing of what a body says. */
#include "loader/store/record.h"
#include "formats/base/bytes.h"

/* ---- writing ---- */

/* Compresses into *packed. *use: true if that is what to store. */
static lort_code pack_body(lort_frame_kind kind, const uint8_t *body, uint64_t bytes,
                           lort_codec *codec, const lort_alloc *alloc, lort_buffer *packed,
                           bool *use, lort_error *err)
{
    *use = false;
    if (kind == LORT_FRAME_HEAD || kind == LORT_FRAME_FOOTER || kind == LORT_FRAME_TASK ||
        bytes == 0 || bytes > LORT_FRAME_BODY_MAX)
        return LORT_OK;
    void *memory;
    uint64_t capacity = lort_codec_bound(bytes), stored;
    lort_code code = lort_take(alloc, capacity, "a record", &memory, err);
    if (code)
        return code;
    *packed = (lort_buffer){.alloc = alloc, .data = memory, .capacity = capacity};
    code = lort_codec_encode(codec, body, bytes, packed->data, capacity, &stored, err);
    packed->size = stored;
    *use = code == LORT_OK && stored < bytes && bytes <= lort_frame_decoded_max(stored);
    return code;
}

lort_code lort_record_put(lort_frame_kind kind, const uint8_t *body, uint64_t bytes,
                          lort_codec *codec, const lort_alloc *alloc, uint64_t piece_bytes,
                          lort_buffer *out, lort_error *err)
{
    bool compressed;
    lort_buffer packed = {.alloc = alloc};
    lort_code code = pack_body(kind, body, bytes, codec, alloc, &packed, &compressed, err);
    if (code)
        goto done;
    const uint8_t *data = compressed ? packed.data : body;
    uint64_t size = compressed ? packed.size : bytes;
    uint64_t pieces = compressed || size == 0 ? 1 : (size - 1) / piece_bytes + 1;
    if (pieces > LORT_FRAME_PIECES_MAX) {
        code = lort_fail(err, LORT_E_INTERNAL, "a record of %llu bytes needs %llu pieces, too many",
                         (unsigned long long)size, (unsigned long long)pieces);
        goto done;
    }
    for (uint64_t i = 0; i < pieces; i++) {
        uint64_t at = i * piece_bytes, left = size - at;
        lort_frame_put(
            &(lort_frame){.kind = kind,
                          .compressed = compressed,
                          .piece = (uint32_t)i,
                          .pieces = (uint32_t)pieces,
                          .decoded = bytes,
                          .body = data + at,
                          .body_bytes = pieces == 1 || left < piece_bytes ? left : piece_bytes},
            out);
    }
    code = lort_buffer_check(out, err);
done:
    lort_buffer_free(&packed);
    return code;
}

lort_code lort_record_append(lort_frame_kind kind, const lort_buffer *body, lort_codec *codec,
                             const lort_alloc *alloc, lort_buffer *out, lort_error *err)
{
    static const uint8_t nothing[1];
    lort_code code = lort_buffer_check(body, err);
    return code ? code
                : lort_record_put(kind, body->data ? body->data : nothing, body->size, codec, alloc,
                                  LORT_FRAME_BODY_MAX, out, err);
}

lort_code lort_record_write(lort_publish *publish, lort_frame_kind kind, const lort_buffer *body,
                            lort_codec *codec, const lort_alloc *alloc, uint64_t *frame_bytes,
                            lort_error *err)
{
    lort_buffer frames = {.alloc = alloc};
    *frame_bytes = 0;
    lort_code code = lort_record_append(kind, body, codec, alloc, &frames, err);
    if (code == LORT_OK)
        code = lort_publish_append(publish, frames.data, frames.size, err);
    if (code == LORT_OK)
        *frame_bytes = frames.size;
    lort_buffer_free(&frames);
    return code;
}

/* ---- reading ---- */

static lort_code read_frame(const lort_record_source *source, uint64_t offset, uint64_t end,
                            lort_buffer *scratch, lort_frame *frame, lort_error *err)
{
    const uint8_t *data;
    uint64_t bytes, left = end - offset;
    lort_code code = source->view(source->ctx, offset, left < 8 ? left : 8, scratch, &data, err);
    if (code)
        return code;
    uint8_t start[8] = {0};
    memcpy(start, data, left < 8 ? (size_t)left : 8);
    if (left < 8)
        return lort_frame_get(start, left, frame, err); /* the message says what is missing */
    code = lort_frame_bytes(start, left, &bytes, err);
    if (code == LORT_OK)
        code = source->view(source->ctx, offset, bytes, scratch, &data, err);
    return code ? code : lort_frame_get(data, bytes, frame, err);
}

static lort_code unpack_body(const lort_record_source *source, const lort_frame *frame,
                             lort_record *out, lort_error *err)
{
    void *memory;
    lort_code code = lort_take(source->alloc, frame->decoded, "a record", &memory, err);
    if (code)
        return code;
    out->whole = (lort_buffer){.alloc = source->alloc, .data = memory, .capacity = frame->decoded};
    code = lort_codec_decode(source->codec, frame->body, frame->body_bytes, memory, frame->decoded,
                             err);
    out->whole.size = frame->decoded;
    return code;
}

/* Gathers all pieces of a record in out->whole. first: its first frame. */
static lort_code gather_pieces(const lort_record_source *source, lort_frame first, uint64_t offset,
                               uint64_t end, lort_record *out, lort_error *err)
{
    lort_frame frame = first;
    if (first.decoded > end - offset)
        return lort_fail(err, LORT_E_DAMAGED,
                         "the record says it has %llu bytes, but only %llu are left",
                         (unsigned long long)first.decoded, (unsigned long long)(end - offset));
    out->whole.alloc = source->alloc;
    for (uint32_t piece = 0;; piece++) {
        if (frame.kind != first.kind || frame.compressed || frame.piece != piece ||
            frame.pieces != first.pieces || frame.decoded != first.decoded ||
            frame.body_bytes > first.decoded - out->whole.size)
            return lort_fail(err, LORT_E_DAMAGED,
                             "pieces of the record do not fit together at piece %u", piece);
        lort_put_bytes(&out->whole, frame.body, frame.body_bytes);
        out->frame_bytes += frame.frame_bytes;
        if (piece + 1 == first.pieces)
            break;
        lort_code code =
            read_frame(source, offset + out->frame_bytes, end, &out->scratch, &frame, err);
        if (code)
            return code;
    }
    if (out->whole.size != first.decoded && out->whole.error.code == LORT_OK)
        return lort_fail(err, LORT_E_DAMAGED,
                         "the pieces of the record have %llu bytes (expected %llu)",
                         (unsigned long long)out->whole.size, (unsigned long long)first.decoded);
    return lort_buffer_check(&out->whole, err);
}

lort_code lort_record_read(const lort_record_source *source, lort_frame_kind kind, uint64_t offset,
                           uint64_t end, lort_record *out, lort_error *err)
{
    lort_frame frame;
    memset(out, 0, sizeof *out);
    out->scratch.alloc = out->whole.alloc = source->alloc;
    lort_code code = read_frame(source, offset, end, &out->scratch, &frame, err);
    if (code)
        return code;
    if (frame.kind != kind)
        return lort_fail(err, LORT_E_DAMAGED, "frame of kind %d where kind %d is expected",
                         frame.kind, kind);
    if (frame.pieces > 1) {
        code = gather_pieces(source, frame, offset, end, out, err);
    } else {
        out->frame_bytes = frame.frame_bytes;
        code = frame.compressed ? unpack_body(source, &frame, out, err) : LORT_OK;
    }
    if (code)
        return code;
    bool direct = frame.pieces == 1 && !frame.compressed;
    out->body = direct ? frame.body : out->whole.data;
    out->bytes = direct ? frame.body_bytes : out->whole.size;
    return LORT_OK;
}

void lort_record_free(lort_record *record)
{
    if (record->scratch.alloc)
        lort_buffer_free(&record->scratch);
    if (record->whole.alloc)
        lort_buffer_free(&record->whole);
    memset(record, 0, sizeof *record);
}
