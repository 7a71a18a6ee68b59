/* gguf_write: writes a GGUF header for its tensors in other types. Types, offsets and
 * general.file_type have fixed widths. So the new header is a copy of the old one with these fields
 * patched. Version, order and padding stay. */
#include "formats/base/text.h"
#include "formats/inputs/gguf.h"
#include "formats/types/layout.h"
#include "formats/types/opaque.h"
#include <inttypes.h>

bool lort_gguf_bytes_as(const lort_tensor *t, const lort_dtype_info *type, uint64_t *bytes)
{
    const uint64_t row = t->n_dims ? (uint64_t)t->dims[t->n_dims - 1] : 1;
    *bytes = t->bytes;
    if (t->type->kind == LORT_KIND_OPAQUE)
        return type->id == t->type->id;
    return type->in_gguf && type->kind != LORT_KIND_OPAQUE && row % type->block_elements == 0 &&
           lort_dtype_bytes(type, t->elements, bytes);
}

/* Gives the tensors new places: contiguous in index order, each padded to the alignment. The last
 * tensor is padded too, as ggml does. Padding behind an opaque tensor would be read as its bytes.
 */
static lort_code place_tensors(const lort_header *h, const lort_dtype_info *const *types,
                               uint64_t *offsets, uint64_t *file_size, lort_error *err)
{
    char shown[LORT_SHOWN_NAME];
    uint64_t at = 0;
    for (uint64_t i = 0; i < h->index.count; i++) {
        const lort_tensor *t = &h->index.tensors[i];
        uint64_t bytes, end = 0;
        offsets[i] = h->header_bytes + at;
        if (!lort_gguf_bytes_as(t, types[i], &bytes) || !lort_add_u64(at, bytes, &end) ||
            !lort_align_up(end, h->alignment, &at) || at > UINT64_MAX - h->header_bytes)
            return lort_fail(
                err, LORT_E_USAGE, "tensor '%s' cannot be written to a GGUF file as %s",
                lort_escape(shown, sizeof shown, t->name, t->name_bytes), types[i]->name);
        if (i + 1 == h->index.count && t->type->kind == LORT_KIND_OPAQUE)
            at = end;
    }
    *file_size = h->header_bytes + at;
    return LORT_OK;
}

/* Puts into *out the general.file_type of the type that most elements now have. Returns false if
 * types did not change or none fits. */
static bool new_file_type(const lort_header *h, const lort_dtype_info *const *types, uint32_t *out)
{
    static const struct {
        lort_dtype type;
        uint32_t file_type;
    } known[] = {{LORT_F32, 0}, {LORT_F16, 1}, {LORT_BF16, 32}};
    double most[3] = {0}, others = 0;
    bool changed = false;
    for (uint64_t i = 0; i < h->index.count; i++) {
        unsigned k = 0;
        while (k < 3 && known[k].type != types[i]->id)
            k++;
        *(k < 3 ? &most[k] : &others) += (double)h->index.tensors[i].elements;
        changed |= types[i]->id != h->index.tensors[i].type->id;
    }
    unsigned best = 0;
    for (unsigned k = 1; k < 3; k++)
        best = most[k] > most[best] ? k : best;
    *out = known[best].file_type;
    return changed && most[best] > others;
}

/* Walks past the metadata, and sets general.file_type if file_type is not NULL. */
static lort_code patch_kv(lort_gguf_reader *r, uint8_t *copy, const uint32_t *file_type)
{
    static const char key[] = "general.file_type";
    for (uint64_t i = 0; i < r->kv_count; i++) {
        lort_kv kv;
        if (lort_gguf_read_kv(r, &kv))
            return r->cursor.code;
        bool is_it = kv.key_bytes == sizeof key - 1 && memcmp(kv.key, key, sizeof key - 1) == 0;
        if (file_type && is_it && kv.kind == LORT_KV_U64 && strcmp(kv.type, "uint32") == 0)
            lort_store_u32(copy + r->cursor.at - 4, *file_type);
    }
    return LORT_OK;
}

static lort_code patch_infos(lort_gguf_reader *r, uint8_t *copy, const lort_header *h,
                             const lort_dtype_info *const *types, const uint64_t *offsets)
{
    for (uint64_t k = 0; k < r->tensor_count; k++) {
        lort_gguf_info info;
        if (lort_gguf_read_info(r, &info))
            return r->cursor.code;
        const lort_tensor *t = lort_index_find(&h->index, info.name, info.name_bytes);
        if (!t)
            return lort_cursor_fail(&r->cursor, "the header changed while it was read");
        uint64_t i = (uint64_t)(t - h->index.tensors);
        lort_store_u32(copy + info.type_at, lort_ggml_id(types[i]));
        lort_store_u64(copy + info.type_at + 4, offsets[i] - h->header_bytes);
    }
    return LORT_OK;
}

/* The walk reads the copy that it patches, which no other process can change. */
static lort_code patch_header(uint8_t *copy, const lort_header *h,
                              const lort_dtype_info *const *types, const uint64_t *offsets,
                              lort_error *err)
{
    lort_error local;
    lort_gguf_reader r = {.cursor = lort_cursor_make(copy, h->header_bytes, h->header_bytes,
                                                     LORT_E_INPUT, err ? err : &local)};
    uint32_t file_type;
    bool set = new_file_type(h, types, &file_type);
    lort_code code = lort_gguf_read_head(&r);
    if (!code)
        code = patch_kv(&r, copy, set ? &file_type : NULL);
    return code ? code : patch_infos(&r, copy, h, types, offsets);
}

lort_code lort_gguf_rewrite(const lort_header *header, const uint8_t *data,
                            const lort_dtype_info *const *types, lort_buffer *out,
                            uint64_t *offsets, uint64_t *file_size, lort_error *err)
{
    uint64_t first = out->size;
    *file_size = 0;
    lort_code code = place_tensors(header, types, offsets, file_size, err);
    if (code)
        return code;
    lort_put_bytes(out, data, header->header_bytes);
    code = lort_buffer_check(out, err);
    if (!code)
        code = patch_header(out->data + first, header, types, offsets, err);
    if (code)
        *file_size = 0;
    return code;
}
