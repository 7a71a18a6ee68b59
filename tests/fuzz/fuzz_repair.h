/* Makes a container of a loose one (fuzz_loose.h). Every hash, offset and size is right: those of
 * frames, chunks, sources, extents, files, index and footer. So a mutant comes past the gate,
 * unless it breaks a rule that no hash has to do with. Flags of the input leave repairs out. */
#ifndef LORT_TESTS_FUZZ_REPAIR_H
#define LORT_TESTS_FUZZ_REPAIR_H

#include "formats/types/opaque.h"
#include "formats/types/planes.h"
#include "fuzz_loose.h"
#include "loader/store/codec.h"
#include "loader/store/record.h"

#define REPAIR_BYTES (1u << 17) /* of a part's content, stored or decoded */

/* ---- shapes ---- */

/* The slices that the dims make, or 0. */
static inline uint64_t repair_leading(const lort_part *part)
{
    uint64_t leading = 0;
    if (part->n_dims < 3 || !lort_layout_elements(part->dims, part->n_dims - 2, &leading))
        return 0;
    return leading <= LOOSE_SLICES ? leading : 0;
}

/* Gives every term as many ranks as there are slices, those there are over and over. */
static inline void repair_slices(loose *c, lort_part *part, uint32_t slices)
{
    for (uint32_t i = 0; i < part->term_count; i++) {
        lort_term *t = &part->terms[i];
        uint32_t *const arrays[] = {t->rank, (uint32_t *)(void *)t->exponent,
                                    (uint32_t *)(void *)t->step};
        uint32_t *made[3] = {NULL};
        for (int a = 0; a < 3; a++) {
            if (!arrays[a])
                continue;
            made[a] = loose_take(c, slices * sizeof **made);
            for (uint32_t s = 0; s < slices && part->slices; s++)
                made[a][s] = arrays[a][s % part->slices];
        }
        t->rank = made[0];
        t->exponent = (int32_t *)(void *)made[1];
        t->step = (float *)(void *)made[2];
    }
    part->slices = slices;
}

static inline uint64_t repair_most(const lort_part *part, lort_term_kind kind)
{
    const lort_matrices m = lort_part_matrices(part);
    if (kind == LORT_TERM_OUTLIERS)
        return (uint64_t)m.rows * (uint64_t)m.cols / LORT_OUTLIERS_ONE_IN;
    return kind == LORT_TERM_FACTORS ? (uint64_t)(m.rows < m.cols ? m.rows : m.cols) : 1;
}

/* Ranks no higher than the shape allows. */
static inline void repair_ranks(lort_part *part)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        for (uint32_t s = 0; s < part->slices; s++) {
            const uint64_t most = repair_most(part, part->terms[i].kind);
            if (part->terms[i].rank[s] > most)
                part->terms[i].rank[s] = (uint32_t)most;
        }
}

/* Returns true if the part has a shape that chunks can be made for. */
static inline bool repair_shape(loose *c, loose_part *p)
{
    lort_part *part = &p->part;
    uint64_t elements, bytes;
    if (!part->tensor) {
        part->n_dims = 1;
        part->dims[0] = (int64_t)p->content.left;
        part->dtype = LORT_U8;
    }
    if (!lort_layout_elements(part->dims, part->n_dims, &elements) ||
        !lort_dtype_bytes(lort_dtype_get((uint32_t)part->dtype), elements, &bytes) ||
        elements > LORT_ELEMENTS_MAX)
        return false;
    if (lort_is_opaque((uint32_t)part->dtype)) /* its shape says nothing about its bytes */
        bytes = part->source_bytes;
    if (!(p->flags & LOOSE_SOURCE_STANDS))
        part->source_bytes = bytes;
    const uint64_t leading = part->convolution ? 1 : repair_leading(part);
    if (part->slices == 0 || (part->slices != 1 && part->slices != leading))
        repair_slices(c, part, leading ? (uint32_t)leading : 1);
    repair_ranks(part);
    return part->same || part->term_count > 0;
}

/* Leaves nothing but the shape to a part that is the same as another one, and gives it the shape
 * of that one. */
static inline void repair_same(loose *c, loose_part *p)
{
    lort_part *part = &p->part;
    part->slices = 1;
    part->term_count = 0;
    part->chunk_count = 0;
    part->has_error = part->convolution = false;
    part->reason = "";
    p->content.left = 0;
    if (part->origin >= c->count || p->flags & LOOSE_SOURCE_STANDS)
        return;
    const lort_part *origin = &c->parts[part->origin].part;
    part->dtype = origin->dtype;
    part->n_dims = origin->n_dims;
    part->source_bytes = origin->source_bytes;
    memmove(part->dims, origin->dims, LOOSE_DIMS * sizeof *part->dims);
}

/* ---- chunks ---- */

typedef struct repair_tiles {
    lort_chunk *chunks;
    uint64_t count, decoded;
    bool many; /* more than a small container has */
} repair_tiles;

static inline void repair_add(repair_tiles *t, uint32_t id, uint64_t first, uint64_t count,
                              uint64_t decoded)
{
    if (t->count == LOOSE_CHUNKS || decoded > REPAIR_BYTES - t->decoded) {
        t->many = true;
        return;
    }
    t->chunks[t->count++] =
        (lort_chunk){.array = id, .decoded = (uint32_t)decoded, .first = first, .count = count};
    t->decoded += decoded;
}

/* The decoded bytes of a block: as the table of the input says them, else a few. */
static inline uint64_t repair_block_bytes(const lort_part *part, uint32_t id, uint64_t first)
{
    for (uint64_t i = 0; i < part->chunk_count; i++)
        if (part->chunks[i].array == id && part->chunks[i].first == first)
            return part->chunks[i].decoded;
    return 64;
}

static inline void repair_tile_blocks(const lort_part *part, uint32_t id, repair_tiles *t)
{
    const lort_matrices m = lort_part_matrices(part);
    const lort_block_grid g = lort_block_grid_of(m.rows, m.cols);
    uint64_t first = 0;
    for (int64_t i = 0; i < g.down * g.across && !t->many; i++) {
        const lort_block_place place = lort_block_get(&g, i);
        const uint64_t n = (uint64_t)place.rows * (uint64_t)place.cols;
        repair_add(t, id, first, n,
                   id >> 24 == LORT_ARRAY_TRITS ? n / 5 + (n % 5 != 0)
                                                : repair_block_bytes(part, id, first));
        first += n;
    }
}

static inline void repair_tile_array(const lort_part *part, uint32_t slice, uint32_t array,
                                     bool small, repair_tiles *t)
{
    const uint32_t id = LORT_ARRAY_ID(array, slice);
    const lort_array_info *info = lort_array_get(id);
    const lort_term *term = lort_part_term(part, slice, info->term);
    if (!term)
        return;
    if (array == LORT_ARRAY_BLOCKS || array == LORT_ARRAY_TRITS) {
        repair_tile_blocks(part, id, t);
        return;
    }
    const lort_matrices m = lort_part_matrices(part);
    const lort_dtype_info *type =
        lort_dtype_get((uint32_t)(info->right ? term->right : term->left));
    const uint64_t rows = (uint64_t)m.rows, cols = (uint64_t)m.cols, rank = term->rank[slice];
    uint64_t n = array == LORT_ARRAY_RAW      ? rows * cols
                 : array == LORT_ARRAY_LEFT   ? rows * rank
                 : array == LORT_ARRAY_RIGHT  ? cols * rank
                 : array == LORT_ARRAY_SCALES ? rows
                 : array == LORT_ARRAY_CODES  ? lort_codes_bytes(term->scaled, &m)
                                              : rank;
    const uint64_t step = !type   ? 1
                          : small ? 32 * (uint64_t)type->block_elements
                                  : LORT_CHUNK_TARGET / type->block_bytes * type->block_elements;
    for (uint64_t at = 0, bytes = 0; type && at < n && !t->many; at += step, bytes = 0) {
        lort_dtype_bytes(type, n - at < step ? n - at : step, &bytes);
        repair_add(t, id, at, n - at < step ? n - at : step, bytes);
    }
}

/* Makes the table of chunks that the terms ask for. */
static inline void repair_tile(loose *c, loose_part *p)
{
    repair_tiles t = {.chunks = loose_take(c, LOOSE_CHUNKS * sizeof(lort_chunk))};
    for (uint32_t s = 0; s < p->part.slices && !t.many; s++)
        for (uint32_t a = LORT_ARRAY_RAW; a <= LORT_ARRAY_OUTLIERS && !t.many; a++)
            repair_tile_array(&p->part, s, a, c->how & LOOSE_CHUNKS_SMALL, &t);
    if (t.many)
        return;
    p->part.chunks = t.chunks;
    p->part.chunk_count = t.count;
}

static inline const lort_term *repair_term(const lort_part *part, const lort_chunk *chunk)
{
    const uint32_t slice = chunk->array & (LORT_MAX_SLICES - 1);
    if (chunk->array >> 24 > LORT_ARRAY_OUTLIERS || slice >= part->slices)
        return NULL;
    return lort_part_term(part, slice, lort_array_get(chunk->array)->term);
}

/* Codes the content of one chunk, and appends it to the payload. */
static inline void repair_code(const lort_part *part, lort_chunk *chunk, const uint8_t *content,
                               lort_codec *codec, lort_buffer *payload)
{
    const lort_term *term = repair_term(part, chunk);
    const bool right = term && lort_array_get(chunk->array)->right;
    uint32_t width = !term ? 1 : right ? term->right_width : term->left_width;
    const bool rotate = term && (right ? term->right_rotate : term->left_rotate);
    const uint64_t bound = lort_codec_bound(chunk->decoded);
    uint8_t *planes = malloc(chunk->decoded + 1), *coded = malloc(bound);
    uint64_t stored;
    CHECK(planes && coded);
    if (width < 1 || width > LORT_PLANE_WIDTH_MAX)
        width = 1;
    lort_planes_split(content, planes, chunk->decoded, width,
                      rotate && (width == 2 || width == 4 || width == 8));
    /* As one plane: the search for cuts between planes takes time, and readers do not need it. */
    CHECK(lort_codec_encode_planes(codec, planes, chunk->decoded, 1, coded, bound, &stored, NULL) ==
          LORT_OK);
    chunk->stored = (uint32_t)stored;
    lort_put_bytes(payload, coded, stored);
    free(planes);
    free(coded);
}

/* Makes the payload, the sizes and hashes of the chunks, and the hash of the source. */
static inline void repair_payload(loose_part *p, lort_codec *codec, lort_buffer *payload)
{
    lort_part *part = &p->part;
    uint64_t bytes = 0, at = 0;
    const bool stands = p->flags & LOOSE_PAYLOAD;
    for (uint64_t i = 0; i < part->chunk_count; i++) {
        uint32_t *const size = stands ? &part->chunks[i].stored : &part->chunks[i].decoded;
        if (*size > REPAIR_BYTES - bytes)
            *size = (uint32_t)(REPAIR_BYTES - bytes);
        bytes += *size;
    }
    uint8_t *content = calloc(bytes + 1, 1);
    CHECK(content);
    if (p->content.left)
        memcpy(content, p->content.at, p->content.left < bytes ? p->content.left : bytes);
    for (uint64_t i = 0; i < part->chunk_count; i++) {
        lort_chunk *chunk = &part->chunks[i];
        chunk->offset = payload->size;
        if (stands)
            lort_put_bytes(payload, content + at, chunk->stored);
        else
            repair_code(part, chunk, content + at, codec, payload);
        at += stands ? chunk->stored : chunk->decoded;
        chunk->hash =
            lort_xxh64(payload->data ? payload->data + chunk->offset : content, chunk->stored);
    }
    if (!(p->flags & (LOOSE_HASH_STANDS | LOOSE_BODY_STANDS)) && !stands && !part->same &&
        lort_part_is_raw(part))
        part->source = lort_xxh128(content, bytes);
    part->payload_bytes = payload->size;
    free(content);
}

/* ---- headers made of the tensors ---- */

/* The number of the file that a part is in: as MODEL says it, and never falling. */
static inline uint32_t repair_file(const loose *c, uint32_t part)
{
    uint32_t file = 0;
    for (uint32_t i = 0; i <= part && i < c->model.extent_count; i++)
        if (c->model.extents[i].file > file)
            file = c->model.extents[i].file;
    return c->model.file_count && file >= c->model.file_count ? c->model.file_count - 1 : file;
}

/* Returns the name that the header of a file has for the part: without the folder of the file. */
static inline input repair_name(const loose *c, uint32_t file, const lort_part *part)
{
    const char *path = c->model.files[file].name, *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    const size_t cut = n <= part->name_bytes && memcmp(part->name, path, n) == 0 ? n : 0;
    return (input){(const uint8_t *)part->name + cut, part->name_bytes - cut};
}

static inline void repair_json_name(lort_buffer *out, input name)
{
    lort_put_u8(out, '"');
    for (size_t i = 0; i < name.left; i++) {
        const uint8_t byte = name.at[i];
        if (byte < 0x20 || byte == '"' || byte == '\\')
            lort_put_text(out, "\\u%04x", byte);
        else
            lort_put_u8(out, byte);
    }
    lort_put_u8(out, '"');
}

static inline void repair_safetensors(const loose *c, uint32_t first, uint32_t end,
                                      lort_buffer *out)
{
    uint64_t at = 0;
    const char *comma = "";
    lort_put_u64(out, 0);
    lort_put_text(out, "{");
    for (uint32_t i = first; i < end; i++) {
        const lort_part *part = &c->parts[i].part;
        const lort_dtype_info *type = lort_dtype_get((uint32_t)part->dtype);
        if (!part->tensor || !type)
            continue;
        lort_put_text(out, "%s", comma);
        repair_json_name(out, repair_name(c, repair_file(c, i), part));
        lort_put_text(out, ":{\"dtype\":\"%s\",\"shape\":[", type->name);
        for (uint32_t k = 0; k < part->n_dims; k++)
            lort_put_text(out, "%s%lld", k ? "," : "", (long long)part->dims[k]);
        lort_put_text(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                      (unsigned long long)(at + part->source_bytes));
        at += part->source_bytes;
        comma = ",";
    }
    lort_put_text(out, "}");
    while (out->size % 8)
        lort_put_u8(out, ' ');
    lort_store_u64(out->data, out->size - 8);
}

static inline void repair_gguf(const loose *c, uint32_t first, uint32_t end, lort_buffer *out)
{
    uint64_t at = 0, tensors = 0;
    for (uint32_t i = first; i < end; i++)
        tensors += c->parts[i].part.tensor;
    lort_put_bytes(out, "GGUF\x03\0\0", 8);
    lort_put_u64(out, tensors);
    lort_put_u64(out, 0);
    for (uint32_t i = first; i < end; i++) {
        const lort_part *part = &c->parts[i].part;
        if (part->tensor) {
            const input name = repair_name(c, repair_file(c, i), part);
            lort_put_u64(out, name.left);
            lort_put_bytes(out, name.at, name.left);
            lort_put_u32(out, part->n_dims);
            for (uint32_t k = part->n_dims; k > 0; k--)
                lort_put_u64(out, (uint64_t)part->dims[k - 1]);
            lort_put_u32(out, (uint32_t)part->dtype -
                                  (lort_is_opaque((uint32_t)part->dtype) ? LORT_OPAQUE : 0));
            lort_put_u64(out, at);
        }
        if (i > first)
            at += part->source_bytes;
    }
    while (out->size % 32)
        lort_put_u8(out, 0);
}

/* Makes the first part of each file its header, if it is no tensor. */
static inline void repair_headers(loose *c)
{
    for (uint32_t first = 0, end; first < c->count; first = end) {
        const uint32_t file = repair_file(c, first);
        for (end = first + 1; end < c->count && repair_file(c, end) == file;)
            end++;
        if (c->parts[first].part.tensor || file >= c->model.file_count)
            continue;
        const char *format = c->model.files[file].format;
        lort_buffer header = {.alloc = &lort_alloc_heap};
        if (strcmp(format, "safetensors") == 0)
            repair_safetensors(c, first, end, &header);
        else if (strcmp(format, "gguf") == 0)
            repair_gguf(c, first, end, &header);
        if (header.size) {
            uint8_t *bytes = loose_take(c, header.size);
            memcpy(bytes, header.data, header.size);
            c->parts[first].content = (input){bytes, header.size};
            repair_shape(c, &c->parts[first]);
        }
        lort_buffer_free(&header);
    }
}

/* ---- the file ---- */

static inline void repair_extents(loose *c)
{
    lort_model_record *m = &c->model;
    for (uint32_t i = 0; i < m->file_count; i++)
        m->files[i].size = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        const lort_part *part = &c->parts[i].part;
        m->extents[i] = (lort_extent){
            .file = repair_file(c, i), .tensor = part->tensor, .bytes = part->source_bytes};
        if (m->extents[i].file < m->file_count)
            m->files[m->extents[i].file].size += part->source_bytes;
        if (m->extent_count <= i)
            m->extent_count = i + 1u;
    }
    m->extent_count = c->count;
}

static inline void repair_record(lort_frame_kind kind, lort_buffer *body, lort_codec *codec,
                                 lort_buffer *out)
{
    CHECK(lort_record_put(kind, body->size ? body->data : (const uint8_t *)"", body->size, codec,
                          &lort_alloc_heap, LORT_FRAME_BODY_MAX, out, NULL) == LORT_OK);
    body->size = 0;
}

static inline void repair_start(const loose *c, lort_codec *codec, lort_buffer *out)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_head_put(&(lort_head){.major = LORT_CONTAINER_MAJOR, .required = LORT_FEATURES_REQUIRED},
                  &body);
    repair_record(LORT_FRAME_HEAD, &body, codec, out);
    if (c->how & LOOSE_MODEL_STANDS)
        lort_put_bytes(&body, c->model_body.left ? c->model_body.at : (const uint8_t *)"",
                       c->model_body.left);
    else
        lort_model_record_put(&c->model, &body);
    repair_record(LORT_FRAME_MODEL, &body, codec, out);
    lort_buffer_free(&body);
}

static inline void repair_write_part(loose_part *p, lort_codec *codec, lort_buffer *out)
{
    lort_buffer body = {.alloc = &lort_alloc_heap}, payload = body;
    repair_payload(p, codec, &payload);
    lort_put_bytes(out, payload.size ? payload.data : (const uint8_t *)"", payload.size);
    if (p->flags & LOOSE_BODY_STANDS)
        lort_put_bytes(&body, p->body.left ? p->body.at : (const uint8_t *)"", p->body.left);
    else
        lort_part_put(&p->part, &body);
    lort_buffer_free(&payload);
    repair_record(LORT_FRAME_PART, &body, codec, out);
    lort_buffer_free(&body);
}

static inline void repair_end(const lort_index_record *index, lort_codec *codec, lort_buffer *out)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_footer footer = {.model_offset = LORT_HEADER_BYTES, .index_offset = out->size};
    lort_index_record_put(index, &body);
    repair_record(LORT_FRAME_INDEX, &body, codec, out);
    footer.index_bytes = out->size - footer.index_offset;
    footer.file_size = out->size + LORT_FOOTER_BYTES;
    lort_footer_put(&footer, &body);
    repair_record(LORT_FRAME_FOOTER, &body, codec, out);
    lort_buffer_free(&body);
}

/* Repairs the container, and writes it to *out. */
static inline void repair_write(loose *c, lort_codec *codec, lort_buffer *out)
{
    lort_index_entry entries[LOOSE_PARTS];
    lort_hash128 sources[LOOSE_PARTS];
    bool shaped[LOOSE_PARTS];
    for (uint32_t i = 0; i < c->count; i++) {
        shaped[i] = !(c->parts[i].flags & LOOSE_BODY_STANDS) && repair_shape(c, &c->parts[i]);
        c->parts[i].part.number = i;
        if (c->parts[i].part.same && shaped[i])
            repair_same(c, &c->parts[i]);
    }
    if (c->how & LOOSE_HEADERS)
        repair_headers(c);
    for (uint32_t i = 0; i < c->count; i++)
        if (shaped[i] && !(c->parts[i].flags & LOOSE_CHUNKS_STAND))
            repair_tile(c, &c->parts[i]);
    if (!(c->how & LOOSE_EXTENTS_STAND))
        repair_extents(c);
    repair_start(c, codec, out);
    for (uint32_t i = 0; i < c->count; i++) {
        const uint64_t before = out->size, origin = c->parts[i].part.origin;
        if (c->parts[i].part.same && origin < i && !(c->parts[i].flags & LOOSE_HASH_STANDS))
            c->parts[i].part.source = c->parts[origin].part.source;
        repair_write_part(&c->parts[i], codec, out);
        const uint64_t payload = c->parts[i].part.payload_bytes;
        entries[i] = (lort_index_entry){before + payload, out->size - before - payload};
        sources[i] = c->parts[i].part.source;
    }
    repair_end(&(lort_index_record){.entries = entries,
                                    .count = c->count,
                                    .model = lort_xxh128(sources, c->count * sizeof *sources)},
               codec, out);
}

#endif
