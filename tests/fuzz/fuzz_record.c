/* Fuzz target: records. Frames are read from a source that is not mapped. No crash, and memory is
 * in proportion to the file (lort_frame_decoded_max). An accepted record is the body that was
 * written. Put into frames again, with pieces of any size, it reads the same. A shorter file does
 * not.
 *
 * Input: kind, size of pieces, and frames, whose hashes are made right; or a body. */
#include "formats/base/bytes.h"
#include "fuzz_header.h"
#include "fuzz_input.h"
#include "loader/store/record.h"

typedef struct file {
    const uint8_t *bytes;
    uint64_t size;
} file;

static lort_codec *codec;

static lort_code view(void *ctx, uint64_t offset, uint64_t n, lort_buffer *scratch,
                      const uint8_t **out, lort_error *err)
{
    const file *f = ctx;
    /* lort_record_read stays within the given end */
    CHECK(offset <= f->size && n <= f->size - offset);
    scratch->size = 0;
    lort_put_bytes(scratch, f->bytes + offset, n);
    lort_put_u8(scratch, 0);
    *out = scratch->data;
    return lort_buffer_check(scratch, err);
}

/* Sets the hashes of the frames that follow each other from the start. */
static void seal(uint8_t *bytes, uint64_t size)
{
    uint64_t n;
    for (uint64_t at = 0; lort_frame_bytes(bytes + at, size - at, &n, NULL) == LORT_OK; at += n)
        lort_store_u64(bytes + at + n - LORT_FRAME_TRAILER,
                       lort_xxh64(bytes + at, n - LORT_FRAME_TRAILER));
}

static lort_code read_record(const uint8_t *bytes, uint64_t size, lort_frame_kind kind,
                             const lort_alloc *alloc, lort_record *out, lort_error *err)
{
    file f = {bytes, size};
    const lort_record_source source = {view, &f, alloc, codec};
    return lort_record_read(&source, kind, 0, size, out, err);
}

static void write_and_read(const uint8_t *body, uint64_t bytes, lort_frame_kind kind,
                           uint64_t piece)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_record again;
    const bool fixed = kind == LORT_FRAME_HEAD || kind == LORT_FRAME_FOOTER;
    piece = fixed || bytes / piece >= LORT_FRAME_PIECES_MAX ? bytes + 1 : piece;
    CHECK(lort_record_put(kind, body, bytes, codec, &lort_alloc_heap, piece, &out, NULL) ==
          LORT_OK);
    CHECK(read_record(out.data, out.size, kind, &lort_alloc_heap, &again, NULL) == LORT_OK);
    CHECK(again.bytes == bytes && again.frame_bytes == out.size &&
          (bytes == 0 || memcmp(again.body, body, bytes) == 0));
    lort_record_free(&again);
    CHECK(read_record(out.data, out.size - 1, kind, &lort_alloc_heap, &again, NULL) ==
          LORT_E_DAMAGED);
    lort_record_free(&again);
    lort_buffer_free(&out);
}

/* Checks frames of the kind that was asked for. If they are not compressed, their bodies lie one
 * behind the other. */
static void check_frames(const uint8_t *bytes, lort_frame_kind kind, const lort_record *record)
{
    uint64_t at = 0, body = 0;
    for (lort_frame frame; at < record->frame_bytes; at += frame.frame_bytes) {
        CHECK(lort_frame_get(bytes + at, record->frame_bytes - at, &frame, NULL) == LORT_OK &&
              frame.kind == kind && frame.decoded == record->bytes);
        if (frame.compressed)
            continue;
        CHECK(frame.body_bytes <= record->bytes - body &&
              memcmp(record->body + body, frame.body, frame.body_bytes) == 0);
        body += frame.body_bytes;
        CHECK(at + frame.frame_bytes < record->frame_bytes || body == record->bytes);
    }
}

static void read_frames(const input *in, lort_frame_kind kind, uint64_t piece)
{
    allocations l = {0};
    const lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_error err = {0};
    lort_record record;
    uint8_t *bytes = exact_copy(in->at, in->left, 0);
    seal(bytes, in->left);
    const lort_code code = read_record(bytes, in->left, kind, &alloc, &record, &err);
    CHECK(code == LORT_OK || (code == LORT_E_DAMAGED && err.message[0]));
    CHECK(l.peak <= 8 * (uint64_t)in->left + 4096 + lort_frame_decoded_max(in->left));
    if (code == LORT_OK) {
        CHECK(record.frame_bytes <= in->left);
        check_frames(bytes, kind, &record);
        write_and_read(record.body, record.bytes, kind, piece);
    }
    lort_record_free(&record);
    CHECK(l.out == 0 && l.blocks == 0);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const unsigned how = input_u8(&in);
    const lort_frame_kind kind = (lort_frame_kind)((how >> 1) % (LORT_FRAME_FOOTER + 1));
    const uint64_t piece = (uint64_t)input_u16(&in) + 1;
    if (!codec)
        CHECK(lort_codec_open(1, &codec, NULL) == LORT_OK);
    if (how & 1)
        read_frames(&in, kind, piece);
    else
        write_and_read(in.at, in.left, kind, piece);
    return 0;
}
