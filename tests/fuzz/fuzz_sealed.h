/* Makes a container of an input. The input gives the bytes between the hashes. Hashes, offsets and
 * the record of the model are right, so that a fuzzer gets past them.
 *
 * Input: runs (fuzz_input.h), two for each part: the body of its PART record, and its payload. A
 * part that lort_part_get refuses is left out. The payload is taken as it stands (literal), or it
 * is the content to which the chunks shall decode. */
#ifndef LORT_TESTS_FUZZ_SEALED_H
#define LORT_TESTS_FUZZ_SEALED_H

#include "formats/types/planes.h"
#include "fuzz_input.h"
#include "loader/store/record.h"

#define SEALED_PARTS 6
#define SEALED_BYTES (1u << 18) /* of a payload, stored or decoded */

typedef struct sealed_part {
    lort_part part;
    uint8_t *content; /* not literal: the decoded chunks, one behind the other */
    uint64_t content_bytes;
    lort_buffer payload;
} sealed_part;

typedef struct sealed {
    lort_arena arena;
    lort_codec *codec;
    sealed_part parts[SEALED_PARTS];
    uint32_t count;
    bool literal;
    bool names_differ;
    const char *format; /* of the file */
    lort_buffer file;
} sealed;

static inline void sealed_planes(const lort_part *part, const lort_chunk *chunk, uint32_t *width,
                                 bool *rotate)
{
    const lort_array_info *array = lort_array_get(chunk->array);
    const lort_term *term = lort_part_term(part, chunk->array & (LORT_MAX_SLICES - 1), array->term);
    *width = array->right ? term->right_width : term->left_width;
    *rotate = array->right ? term->right_rotate : term->left_rotate;
}

/* Codes the content chunk by chunk, and sets the chunks' sizes and offsets. */
static inline void sealed_code(sealed *s, sealed_part *p)
{
    const uint64_t most = SEALED_BYTES + 1024;
    uint8_t *planes = malloc(most), *coded = malloc(lort_codec_bound(most));
    uint64_t at = 0, stored;
    CHECK(planes && coded);
    for (uint64_t i = 0; i < p->part.chunk_count; i++) {
        lort_chunk *chunk = &p->part.chunks[i];
        uint32_t width;
        bool rotate;
        sealed_planes(&p->part, chunk, &width, &rotate);
        lort_planes_split(p->content + at, planes, chunk->decoded, width, rotate);
        CHECK(lort_codec_encode_planes(s->codec, planes, chunk->decoded, width, coded,
                                       lort_codec_bound(most), &stored, NULL) == LORT_OK);
        chunk->stored = (uint32_t)stored;
        chunk->offset = p->payload.size;
        lort_put_bytes(&p->payload, coded, stored);
        at += chunk->decoded;
    }
    if (p->part.term_count == 1 && p->part.terms[0].kind == LORT_TERM_RAW)
        p->part.source = lort_xxh128(p->content, p->content_bytes);
    p->part.payload_bytes = p->payload.size;
    free(planes);
    free(coded);
}

/* Returns n bytes: those of the run, then zeros. */
static inline uint8_t *sealed_filled(const input *run, uint64_t n)
{
    uint8_t *bytes = calloc(n ? n : 1, 1);
    CHECK(bytes);
    if (run->left)
        memcpy(bytes, run->at, run->left < n ? run->left : n);
    return bytes;
}

/* Returns true if it can be a part of a container, and a small one. */
static inline bool sealed_fits(const lort_part *part, uint64_t *decoded)
{
    *decoded = 0;
    for (uint64_t i = 0; i < part->chunk_count; i++)
        *decoded += part->chunks[i].decoded;
    const bool list = part->dtype == LORT_U8 && part->n_dims == 1 && part->source_bytes > 0;
    return *decoded <= SEALED_BYTES && part->payload_bytes <= SEALED_BYTES &&
           part->source_bytes <= INT64_MAX / SEALED_PARTS && (part->tensor || list);
}

static inline void sealed_add(sealed *s, const input *body, const input *payload)
{
    sealed_part *p = &s->parts[s->count];
    *p = (sealed_part){.payload = {.alloc = &lort_alloc_heap}};
    if (lort_part_get(body->at, body->left, &s->arena, &p->part, NULL) ||
        !sealed_fits(&p->part, &p->content_bytes))
        return;
    p->part.number = s->count++;
    p->content = sealed_filled(payload, s->literal ? p->part.payload_bytes : p->content_bytes);
    if (s->literal)
        lort_put_bytes(&p->payload, p->content, p->part.payload_bytes);
    else
        sealed_code(s, p);
    for (uint64_t i = 0; i < p->part.chunk_count; i++)
        p->part.chunks[i].hash =
            lort_xxh64(p->payload.data + p->part.chunks[i].offset, p->part.chunks[i].stored);
    for (uint32_t k = 0; k + 1 < s->count; k++)
        s->names_differ = s->names_differ &&
                          !(p->part.tensor && s->parts[k].part.tensor &&
                            s->parts[k].part.name_bytes == p->part.name_bytes &&
                            memcmp(s->parts[k].part.name, p->part.name, p->part.name_bytes) == 0);
}

static inline void sealed_record(sealed *s, lort_frame_kind kind, lort_buffer *body)
{
    CHECK(lort_record_put(kind, body->data, body->size, s->codec, &lort_alloc_heap,
                          LORT_FRAME_BODY_MAX, &s->file, NULL) == LORT_OK);
    lort_buffer_free(body);
}

static inline void sealed_model(sealed *s)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_extent extents[SEALED_PARTS];
    lort_input_file file = {.name = "m", .role = LORT_ROLE_WEIGHTS, .format = s->format};
    for (uint32_t i = 0; i < s->count; i++) {
        extents[i] = (lort_extent){.tensor = s->parts[i].part.tensor,
                                   .offset = file.size,
                                   .bytes = s->parts[i].part.source_bytes};
        file.size += extents[i].bytes;
    }
    lort_model_record_put(&(lort_model_record){.algorithm = 1,
                                               .producer = "fuzz",
                                               .options = "",
                                               .libraries = "",
                                               .files = &file,
                                               .file_count = 1,
                                               .extents = extents,
                                               .extent_count = s->count},
                          &body);
    sealed_record(s, LORT_FRAME_MODEL, &body);
}

static inline void sealed_write(sealed *s)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_index_entry entries[SEALED_PARTS];
    lort_hash128 hashes[SEALED_PARTS];
    lort_footer footer = {.model_offset = LORT_HEADER_BYTES};
    lort_head_put(&(lort_head){.major = LORT_CONTAINER_MAJOR, .required = LORT_FEATURES_REQUIRED},
                  &body);
    sealed_record(s, LORT_FRAME_HEAD, &body);
    sealed_model(s);
    for (uint32_t i = 0; i < s->count; i++) {
        lort_put_bytes(&s->file, s->parts[i].payload.data, s->parts[i].payload.size);
        entries[i].record_offset = s->file.size;
        lort_part_put(&s->parts[i].part, &body);
        sealed_record(s, LORT_FRAME_PART, &body);
        entries[i].record_bytes = s->file.size - entries[i].record_offset;
        hashes[i] = s->parts[i].part.source;
    }
    footer.index_offset = s->file.size;
    lort_index_record_put(
        &(lort_index_record){.entries = entries,
                             .count = s->count,
                             .model = lort_xxh128(hashes, s->count * sizeof *hashes)},
        &body);
    sealed_record(s, LORT_FRAME_INDEX, &body);
    footer.index_bytes = s->file.size - footer.index_offset;
    footer.file_size = s->file.size + LORT_FOOTER_BYTES;
    lort_footer_put(&footer, &body);
    sealed_record(s, LORT_FRAME_FOOTER, &body);
}

/* Owner of codec: the caller. */
static inline void sealed_make(sealed *s, input in, bool literal, const char *format,
                               lort_codec *codec)
{
    *s = (sealed){.arena = {.alloc = &lort_alloc_heap},
                  .codec = codec,
                  .literal = literal,
                  .names_differ = true,
                  .format = format,
                  .file = {.alloc = &lort_alloc_heap}};
    while (in.left && s->count < SEALED_PARTS) {
        const input body = input_run(&in), payload = input_run(&in);
        sealed_add(s, &body, &payload);
    }
    sealed_write(s);
}

static inline void sealed_free(sealed *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->parts[i].content);
        lort_buffer_free(&s->parts[i].payload);
    }
    lort_buffer_free(&s->file);
    lort_arena_free(&s->arena);
}

#endif
