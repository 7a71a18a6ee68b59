/* frame: the skippable frames of a .lort file, and the two bodies of fixed size, HEAD and FOOTER.
 * container.h has a picture of a frame; docs/FORMAT.md has the layouts. Pure. A frame that passes
 * lort_frame_get is bit for bit what a writer wrote. The decoders of bodies check what it means. */
#include "formats/base/bytes.h"
#include "formats/container/container.h"
#include <string.h>

#define MAGIC 0x184D2A50u
#define FLAG_COMPRESSED 1u

static const char head_mark[8] = "LORT\r\n\x1a\n";
static const char footer_mark[8] = "LORTEND";

uint64_t lort_frame_decoded_max(uint64_t stored)
{
    uint64_t most = LORT_FRAME_BODY_MAX / LORT_FRAME_RATIO_MAX;
    if (stored >= most)
        return LORT_FRAME_BODY_MAX;
    uint64_t ratio = LORT_FRAME_FREE_BYTES + stored * LORT_FRAME_RATIO_MAX;
    return ratio < LORT_FRAME_BODY_MAX ? ratio : LORT_FRAME_BODY_MAX;
}

void lort_frame_put(const lort_frame *frame, lort_buffer *out)
{
    uint64_t start = out->size;
    lort_put_u32(out, MAGIC + (uint32_t)frame->kind);
    lort_put_u32(out, (uint32_t)(LORT_FRAME_HEADER - 8 + frame->body_bytes + LORT_FRAME_TRAILER));
    lort_put_u32(out, frame->compressed ? FLAG_COMPRESSED : 0);
    lort_put_u32(out, frame->piece);
    lort_put_u32(out, frame->pieces);
    lort_put_u32(out, 0);
    lort_put_u64(out, frame->decoded);
    lort_put_bytes(out, frame->body, frame->body_bytes);
    if (lort_buffer_check(out, NULL) == LORT_OK)
        lort_put_u64(out, lort_xxh64(out->data + start, out->size - start));
}

/* The rules between the fields of a frame whose hash is right. */
static lort_code frame_rules(const lort_frame *f, uint32_t flags, uint32_t zero, lort_error *err)
{
    bool fixed =
        f->kind == LORT_FRAME_HEAD || f->kind == LORT_FRAME_FOOTER || f->kind == LORT_FRAME_TASK;
    if (flags > FLAG_COMPRESSED || zero != 0)
        return lort_fail(
            err, LORT_E_DAMAGED,
            "frame flags are %#x and the reserved field is %#x (allowed: flags 0 and 1, field 0)",
            flags, zero);
    if (f->pieces == 0 || f->pieces > LORT_FRAME_PIECES_MAX || f->piece >= f->pieces)
        return lort_fail(err, LORT_E_DAMAGED,
                         "frame is piece %u of %u (allowed: 1 to %u pieces, counted from 0)",
                         f->piece, f->pieces, LORT_FRAME_PIECES_MAX);
    if ((fixed || f->compressed) && f->pieces != 1)
        return lort_fail(
            err, LORT_E_DAMAGED,
            "frame is in %u pieces (allowed: 1, for a head, a footer or a compressed body)",
            f->pieces);
    if (fixed && f->compressed)
        return lort_fail(err, LORT_E_DAMAGED,
                         "the head or footer is compressed (allowed: uncompressed only)");
    if (f->compressed && f->decoded > lort_frame_decoded_max(f->body_bytes))
        return lort_fail(err, LORT_E_DAMAGED,
                         "a frame body of %llu bytes claims %llu decoded bytes (at most %llu)",
                         (unsigned long long)f->body_bytes, (unsigned long long)f->decoded,
                         (unsigned long long)lort_frame_decoded_max(f->body_bytes));
    if (!f->compressed &&
        (f->pieces == 1 ? f->decoded != f->body_bytes : f->body_bytes > f->decoded))
        return lort_fail(err, LORT_E_DAMAGED, "frame holds %llu bytes, but its header says %llu",
                         (unsigned long long)f->body_bytes, (unsigned long long)f->decoded);
    if (f->body_bytes == 0 && (f->pieces > 1 || f->compressed))
        return lort_fail(err, LORT_E_DAMAGED,
                         "the body of a compressed frame, or of one of several pieces, is empty");
    return LORT_OK;
}

lort_code lort_frame_bytes(const uint8_t *data, uint64_t available, uint64_t *frame_bytes,
                           lort_error *err)
{
    *frame_bytes = 0;
    if (available < 8)
        return lort_fail(err, LORT_E_DAMAGED, "incomplete: %llu bytes where a frame should begin",
                         (unsigned long long)available);
    uint32_t magic = lort_load_u32(data), size = lort_load_u32(data + 4);
    if (magic - MAGIC > (uint32_t)LORT_FRAME_CURVES)
        return lort_fail(err, LORT_E_DAMAGED, "no LoRT frame: magic %#010x (allowed: %#x to %#x)",
                         magic, MAGIC, MAGIC + (uint32_t)LORT_FRAME_CURVES);
    uint64_t least = LORT_FRAME_HEADER - 8 + LORT_FRAME_TRAILER;
    if (size < least || size > least + LORT_FRAME_BODY_MAX)
        return lort_fail(err, LORT_E_DAMAGED, "frame size %u (allowed: %llu to %llu)", size,
                         (unsigned long long)least,
                         (unsigned long long)(least + LORT_FRAME_BODY_MAX));
    if (size > available - 8)
        return lort_fail(err, LORT_E_DAMAGED,
                         "incomplete: the frame has %llu bytes, but %llu are left",
                         (unsigned long long)size + 8, (unsigned long long)available);
    *frame_bytes = (uint64_t)size + 8;
    return LORT_OK;
}

lort_code lort_frame_get(const uint8_t *data, uint64_t available, lort_frame *out, lort_error *err)
{
    memset(out, 0, sizeof *out);
    uint64_t bytes;
    lort_code code = lort_frame_bytes(data, available, &bytes, err);
    if (code)
        return code;
    uint64_t hashed = bytes - LORT_FRAME_TRAILER;
    if (lort_xxh64(data, hashed) != lort_load_u64(data + hashed))
        return lort_fail(err, LORT_E_DAMAGED, "the hash of a frame of %llu bytes does not match",
                         (unsigned long long)bytes);
    lort_frame f = {
        .kind = (lort_frame_kind)(lort_load_u32(data) - MAGIC),
        .compressed = lort_load_u32(data + 8) == FLAG_COMPRESSED,
        .piece = lort_load_u32(data + 12),
        .pieces = lort_load_u32(data + 16),
        .decoded = lort_load_u64(data + 24),
        .body = data + LORT_FRAME_HEADER,
        .body_bytes = hashed - LORT_FRAME_HEADER,
        .frame_bytes = bytes,
    };
    code = frame_rules(&f, lort_load_u32(data + 8), lort_load_u32(data + 20), err);
    if (code == LORT_OK)
        *out = f;
    return code;
}

void lort_head_put(const lort_head *head, lort_buffer *out)
{
    lort_put_bytes(out, head_mark, sizeof head_mark);
    lort_put_u16(out, head->major);
    lort_put_u16(out, head->minor);
    lort_put_u32(out, 0);
    lort_put_u64(out, head->required);
    lort_put_u64(out, head->optional);
}

lort_code lort_head_get(const uint8_t *body, uint64_t bytes, lort_head *out, lort_error *err)
{
    memset(out, 0, sizeof *out);
    if (bytes != LORT_HEAD_BODY || memcmp(body, head_mark, sizeof head_mark) != 0)
        return lort_fail(err, LORT_E_DAMAGED, "the head of %llu bytes is not that of a .lort file",
                         (unsigned long long)bytes);
    lort_head h = {
        .major = lort_load_u16(body + 8),
        .minor = lort_load_u16(body + 10),
        .required = lort_load_u64(body + 16),
        .optional = lort_load_u64(body + 24),
    };
    if (h.major != LORT_CONTAINER_MAJOR)
        return lort_fail(err, LORT_E_INPUT,
                         "container version %u.%u is not supported (this LoRT reads version %d); "
                         "use another LoRT",
                         h.major, h.minor, LORT_CONTAINER_MAJOR);
    if (h.required & ~LORT_FEATURES_REQUIRED)
        return lort_fail(err, LORT_E_INPUT,
                         "container version %u.%u has features %#llx that this LoRT does not know; "
                         "it needs a newer LoRT",
                         h.major, h.minor,
                         (unsigned long long)(h.required & ~LORT_FEATURES_REQUIRED));
    if (lort_load_u32(body + 12) != 0)
        return lort_fail(err, LORT_E_DAMAGED, "the reserved field of the head is %#x (allowed: 0)",
                         lort_load_u32(body + 12));
    *out = h;
    return LORT_OK;
}

void lort_footer_put(const lort_footer *footer, lort_buffer *out)
{
    lort_put_bytes(out, footer_mark, sizeof footer_mark);
    lort_put_u64(out, footer->model_offset);
    lort_put_u64(out, footer->index_offset);
    lort_put_u64(out, footer->index_bytes);
    lort_put_u64(out, footer->file_size);
}

lort_code lort_footer_get(const uint8_t *body, uint64_t bytes, lort_footer *out, lort_error *err)
{
    memset(out, 0, sizeof *out);
    if (bytes != LORT_FOOTER_BODY || memcmp(body, footer_mark, sizeof footer_mark) != 0)
        return lort_fail(err, LORT_E_DAMAGED,
                         "the footer of %llu bytes is not that of a .lort file",
                         (unsigned long long)bytes);
    lort_footer f = {
        .model_offset = lort_load_u64(body + 8),
        .index_offset = lort_load_u64(body + 16),
        .index_bytes = lort_load_u64(body + 24),
        .file_size = lort_load_u64(body + 32),
    };
    uint64_t end;
    if (f.model_offset != LORT_HEADER_BYTES || f.index_offset < LORT_HEADER_BYTES ||
        !lort_add_u64(f.index_offset, f.index_bytes, &end) ||
        !lort_add_u64(end, LORT_FOOTER_BYTES, &end) || end != f.file_size)
        return lort_fail(
            err, LORT_E_DAMAGED,
            "footer places the model at %llu, the index at %llu + %llu in a file of %llu bytes",
            (unsigned long long)f.model_offset, (unsigned long long)f.index_offset,
            (unsigned long long)f.index_bytes, (unsigned long long)f.file_size);
    *out = f;
    return LORT_OK;
}
