/* container_put: structs to bodies of MODEL, PART and INDEX. It writes what it is given: only the
 * decoders check a record. A writer that wants a check decodes its own record. Layouts:
 * docs/FORMAT.md. */
#include "formats/container/container.h"
#include <string.h>

static void put_string(lort_buffer *out, const char *text)
{
    uint64_t n = text ? strlen(text) : 0;
    lort_put_u32(out, (uint32_t)n);
    lort_put_bytes(out, text, n);
}

void lort_model_record_put(const lort_model_record *model, lort_buffer *out)
{
    lort_put_u32(out, model->algorithm);
    lort_put_u32(out, (model->directory ? 1u : 0u) | (model->base_count ? 2u : 0u));
    lort_put_u64(out, model->seed);
    lort_put_u64(out, model->extent_count);
    lort_put_u32(out, model->file_count);
    lort_put_u32(out, 0);
    put_string(out, model->producer);
    put_string(out, model->options);
    put_string(out, model->libraries);
    for (uint32_t i = 0; i < model->file_count; i++) {
        const lort_input_file *file = &model->files[i];
        lort_put_u64(out, file->size);
        lort_put_u32(out, (uint32_t)file->role);
        put_string(out, file->name);
        put_string(out, file->format);
    }
    for (uint64_t i = 0; i < model->extent_count; i++) {
        const lort_extent *extent = &model->extents[i];
        lort_put_u32(out, extent->file);
        lort_put_u32(out, extent->tensor ? 1 : 0);
        lort_put_u64(out, extent->bytes);
    }
    if (model->base_count)
        lort_base_files_put(model, out);
    lort_put_u32(out, 0); /* extension */
}

static void put_term(const lort_term *term, uint32_t slices, lort_buffer *out)
{
    const lort_term_info *info = lort_term_get((uint32_t)term->kind);
    const bool both = info->two_sided;
    bool rotate = both ? term->right_rotate : term->left_rotate;
    lort_put_u32(out, (uint32_t)term->kind);
    lort_put_u32(out, (term->left_rotate ? 1u : 0u) | (rotate ? 2u : 0u) | term->scaled << 2);
    lort_put_u32(out, (uint32_t)term->left);
    lort_put_u32(out, (uint32_t)(both ? term->right : term->left));
    lort_put_u16(out, term->left_width);
    lort_put_u16(out, both ? term->right_width : term->left_width);
    for (uint32_t i = 0; i < slices; i++)
        lort_put_u32(out, term->rank[i]);
    for (uint32_t i = 0; i < slices && info->exponents; i++)
        lort_put_u32(out, (uint32_t)term->exponent[i]);
    for (uint32_t i = 0; i < slices && info->steps; i++) {
        uint32_t bits;
        memcpy(&bits, &term->step[i], sizeof bits);
        lort_put_u32(out, bits);
    }
    if (info->base)
        lort_base_tensor_put(&term->base, out);
}

static void put_chunk(const lort_chunk *chunk, lort_buffer *out)
{
    lort_put_u32(out, chunk->array);
    lort_put_u32(out, chunk->stored);
    lort_put_u32(out, chunk->decoded);
    lort_put_u32(out, 0);
    lort_put_u64(out, chunk->offset);
    lort_put_u64(out, chunk->first);
    lort_put_u64(out, chunk->count);
    lort_put_u64(out, chunk->hash);
}

void lort_part_put(const lort_part *part, lort_buffer *out)
{
    uint64_t error_bits;
    double rel_error = part->has_error ? part->rel_error : 0;
    uint32_t reason_bytes = part->reason ? (uint32_t)strlen(part->reason) : 0;
    memcpy(&error_bits, &rel_error, sizeof error_bits);
    lort_put_u64(out, part->number);
    lort_put_u32(out, (part->tensor ? 1u : 0u) | (part->has_error ? 2u : 0u) |
                          (part->convolution ? 4u : 0u) | (part->same ? 8u : 0u));
    lort_put_u32(out, (uint32_t)part->dtype);
    lort_put_u32(out, part->n_dims);
    lort_put_u32(out, part->slices);
    lort_put_u64(out, part->source_bytes);
    lort_put_bytes(out, part->source.bytes, sizeof part->source.bytes);
    lort_put_u64(out, error_bits);
    lort_put_u64(out, part->payload_bytes);
    lort_put_u64(out, part->chunk_count);
    lort_put_u32(out, part->term_count);
    lort_put_u32(out, part->name_bytes);
    lort_put_u32(out, reason_bytes);
    lort_put_u32(out, 0);
    lort_put_bytes(out, part->name, part->name_bytes);
    lort_put_bytes(out, part->reason, reason_bytes);
    for (uint32_t i = 0; i < part->n_dims; i++)
        lort_put_u64(out, (uint64_t)part->dims[i]);
    if (part->same)
        lort_put_u64(out, part->origin);
    for (uint32_t i = 0; i < part->term_count; i++)
        put_term(&part->terms[i], part->slices, out);
    for (uint64_t i = 0; i < part->chunk_count; i++)
        put_chunk(&part->chunks[i], out);
    lort_put_u32(out, 0); /* extension */
}

void lort_index_record_put(const lort_index_record *index, lort_buffer *out)
{
    lort_put_u64(out, index->count);
    lort_put_bytes(out, index->model.bytes, sizeof index->model.bytes);
    for (uint64_t i = 0; i < index->count; i++) {
        lort_put_u64(out, index->entries[i].record_offset);
        lort_put_u64(out, index->entries[i].record_bytes);
    }
}
