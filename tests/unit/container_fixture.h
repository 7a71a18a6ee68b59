/* container_fixture: a small container with every kind of part, built through the writers. It has
 * three files in a directory:
 *
 *     part 0   raw header
 *     part 1   F16 [5, 8]: raw in 3 chunks
 *     part 2   F32 [2, 6, 5]: factors, ranks 2 (F16, F16) and 1 (BF16, F16)
 *     part 3   BF16 [3, 4, 4]: slice 0 raw, 1 factors, 2 zero
 *     part 4   Q8_0 [2, 32]: raw
 *     part 5   raw tail
 *     part 6   raw side file
 *     part 7   F32 [3, 4, 5]: slice 0 integers, 1 factors and integers, 2 raw
 *     part 8   F32 [3, 4, 5]: slice 0 trits, 1 factors and trits, 2 zero
 */
#ifndef LORT_TESTS_CONTAINER_FIXTURE_H
#define LORT_TESTS_CONTAINER_FIXTURE_H

#include "compress/coder/block.h"
#include "compress/coder/trits.h"
#include "formats/container/container.h"
#include "formats/types/half.h"
#include "formats/types/planes.h"
#include "loader/store/codec.h"
#include "loader/store/record.h"
#include <stdlib.h>
#include <string.h>

#define FIXTURE_PARTS 9u
#define FIXTURE_FILES 3u
#define FIXTURE_CHUNKS 16u

typedef struct fixture_part {
    lort_part part;
    int64_t dims[3];
    lort_term terms[3];
    uint32_t rank[3][3];
    int32_t exponent[3];
    float step[3];
    lort_chunk chunks[FIXTURE_CHUNKS];
    uint8_t payload[4096];
} fixture_part;

typedef struct fixture {
    fixture_part parts[FIXTURE_PARTS];
    lort_input_file files[FIXTURE_FILES];
    lort_extent extents[FIXTURE_PARTS];
    lort_model_record model;
    uint8_t source[FIXTURE_PARTS][512];
    lort_index_entry entries[FIXTURE_PARTS];
    lort_index_record index;
    lort_footer footer;
    lort_buffer file; /* the whole container */
} fixture;

static inline void fixture_chunk(fixture_part *p, lort_codec *codec, uint32_t id,
                                 const lort_term *term, uint64_t first, const void *elements,
                                 uint64_t count)
{
    const bool right = id >> 24 == LORT_ARRAY_RIGHT || id >> 24 == LORT_ARRAY_TRITS;
    const lort_dtype_info *type = lort_dtype_get((uint32_t)(right ? term->right : term->left));
    uint8_t split[4096];
    uint64_t bytes = 0, stored = 0;
    lort_dtype_bytes(type, count, &bytes);
    lort_planes_split(elements, split, bytes, right ? term->right_width : term->left_width,
                      right ? term->right_rotate : term->left_rotate);
    uint8_t *dst = p->payload + p->part.payload_bytes;
    if (lort_codec_encode(codec, split, bytes, dst, sizeof p->payload - p->part.payload_bytes,
                          &stored, NULL))
        abort();
    p->chunks[p->part.chunk_count++] = (lort_chunk){.array = id,
                                                    .stored = (uint32_t)stored,
                                                    .decoded = (uint32_t)bytes,
                                                    .offset = p->part.payload_bytes,
                                                    .first = first,
                                                    .count = count,
                                                    .hash = lort_xxh64(dst, stored)};
    p->part.payload_bytes += stored;
}

static inline lort_term *fixture_term(fixture_part *p, lort_term_kind kind, lort_dtype left,
                                      lort_dtype right)
{
    const lort_dtype_info *l = lort_dtype_get((uint32_t)left), *r = lort_dtype_get((uint32_t)right);
    uint32_t i = p->part.term_count++;
    p->terms[i] = (lort_term){.kind = kind,
                              .left = left,
                              .right = right,
                              .left_width = (uint16_t)l->plane_width,
                              .right_width = (uint16_t)r->plane_width,
                              .left_rotate = l->rotate,
                              .right_rotate = r->rotate,
                              .rank = p->rank[i],
                              .exponent = kind == LORT_TERM_FACTORS ? p->exponent : NULL,
                              .step = kind == LORT_TERM_INTEGERS ? p->step : NULL};
    return &p->terms[i];
}

static inline fixture_part *fixture_begin(fixture *f, uint32_t number, const char *name,
                                          lort_dtype dtype, uint32_t n_dims, int64_t d0, int64_t d1,
                                          int64_t d2, uint32_t slices)
{
    fixture_part *p = &f->parts[number];
    uint64_t elements =
                 (uint64_t)d0 * (n_dims > 1 ? (uint64_t)d1 : 1) * (n_dims > 2 ? (uint64_t)d2 : 1),
             bytes = 0;
    p->dims[0] = d0;
    p->dims[1] = d1;
    p->dims[2] = d2;
    lort_dtype_bytes(lort_dtype_get((uint32_t)dtype), elements, &bytes);
    for (uint64_t i = 0; i < bytes; i++)
        f->source[number][i] = (uint8_t)(17 * i + 31 * number + i * i / 7);
    p->part = (lort_part){.number = number,
                          .tensor = name != NULL,
                          .name = name ? name : "",
                          .name_bytes = name ? (uint32_t)strlen(name) : 0,
                          .dtype = dtype,
                          .n_dims = n_dims,
                          .dims = p->dims,
                          .slices = slices,
                          .source_bytes = bytes,
                          .source = lort_xxh128(f->source[number], bytes),
                          .reason = "",
                          .terms = p->terms,
                          .chunks = p->chunks};
    return p;
}

static inline void fixture_raw(fixture *f, lort_codec *codec, uint32_t number, const char *name,
                               lort_dtype dtype, int64_t d0, int64_t d1, uint64_t step)
{
    fixture_part *p = fixture_begin(f, number, name, dtype, name ? 2 : 1, d0, d1, 0, 1);
    const lort_term *t = fixture_term(p, LORT_TERM_RAW, dtype, dtype);
    const lort_dtype_info *type = lort_dtype_get((uint32_t)dtype);
    uint64_t elements = p->part.source_bytes / type->block_bytes * type->block_elements;
    p->rank[0][0] = 1;
    p->part.reason = name ? "small" : "";
    for (uint64_t at = 0; at < elements; at += step)
        fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_RAW, 0), t, at,
                      f->source[number] + at / type->block_elements * type->block_bytes,
                      elements - at < step ? elements - at : step);
}

static inline void fixture_factors(fixture_part *p, lort_codec *codec, uint32_t slice,
                                   const lort_term *t, uint64_t rows, uint64_t cols)
{
    float values[64];
    uint8_t bytes[128];
    uint64_t rank = t->rank[slice];
    for (uint64_t i = 0; i < rows * rank; i++)
        values[i] = 0.25f * (float)((int)(i * 7 % 11) - 5);
    lort_dtype_encoder(t->left)(values, bytes, rows * rank);
    fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_LEFT, slice), t, 0, bytes, rows * rank);
    for (uint64_t i = 0; i < rank * cols; i++)
        values[i] = 0.5f * (float)((int)(i * 5 % 7) - 3);
    lort_dtype_encoder(t->right)(values, bytes, rank * cols);
    fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_RIGHT, slice), t, 0, bytes, rank * cols);
}

/* Adds a slice of one block: the numbers of fixture_value, as integers times the step of the
 * slice. */
static inline float fixture_value(uint32_t slice, int64_t i)
{
    return (float)((i * 37 + slice * 11) % 23 - 11) * 0.3f;
}

static inline void fixture_integers(fixture_part *p, lort_codec *codec, uint32_t slice,
                                    const lort_term *t, int64_t rows, int64_t cols)
{
    uint8_t codes[64];
    lort_block block = {
        .rows = rows, .cols = cols, .row_codes = codes, .col_codes = codes + rows, .mean2 = 4};
    lort_block_need need = {.write = true};
    lort_block_space space;
    lort_block_coded coded;
    lort_block_need_add(&need, rows, cols);
    if (lort_block_space_open(&space, &lort_alloc_heap, &need, NULL))
        abort();
    for (int64_t i = 0; i < rows + cols; i++)
        codes[i] = (uint8_t)(i < rows ? 130 + i : 127 + i % 3);
    for (int64_t i = 0; i < rows * cols; i++)
        space.weights[i] = fixture_value(slice, i);
    fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_CODES, slice), t, 0, codes,
                  (uint64_t)(rows + cols));
    lort_block_classes(&block);
    if (lort_block_encode(&block, t->step[slice], codec, &space, &coded, NULL))
        abort();
    memcpy(p->payload + p->part.payload_bytes, space.coded, coded.stored);
    p->chunks[p->part.chunk_count++] =
        (lort_chunk){.array = LORT_ARRAY_ID(LORT_ARRAY_BLOCKS, slice),
                     .stored = (uint32_t)coded.stored,
                     .decoded = (uint32_t)coded.decoded,
                     .offset = p->part.payload_bytes,
                     .count = (uint64_t)(rows * cols),
                     .hash = lort_xxh64(space.coded, coded.stored)};
    p->part.payload_bytes += coded.stored;
    lort_block_space_close(&space, &lort_alloc_heap);
}

static inline void fixture_residual(fixture *f, lort_codec *codec)
{
    fixture_part *p = fixture_begin(f, 7, "residual.weight", LORT_F32, 3, 3, 4, 5, 3);
    const lort_term *integers = fixture_term(p, LORT_TERM_INTEGERS, LORT_U8, LORT_U8);
    const lort_term *factors = fixture_term(p, LORT_TERM_FACTORS, LORT_BF16, LORT_F16);
    const lort_term *raw = fixture_term(p, LORT_TERM_RAW, LORT_F32, LORT_F32);
    p->rank[0][0] = p->rank[0][1] = p->rank[2][2] = 1;
    p->rank[1][1] = 2;
    p->step[0] = 0.25f;
    p->step[1] = 0.125f;
    p->part.has_error = true;
    p->part.rel_error = 0.01;
    fixture_integers(p, codec, 0, integers, 4, 5);
    fixture_factors(p, codec, 1, factors, 4, 5);
    fixture_integers(p, codec, 1, integers, 4, 5);
    fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_RAW, 2), raw, 0, f->source[7] + 2 * 80, 20);
}

/* Adds the trits of the values of fixture_value, with a scale of 3 in every row. */
static inline void fixture_trits(fixture_part *p, lort_codec *codec, uint32_t slice,
                                 const lort_term *t, int64_t rows, int64_t cols)
{
    float scales[16], weights[64], decoded[64];
    uint8_t stored[32], digits[72], bytes[16];
    const uint64_t count = (uint64_t)(rows * cols);
    for (int64_t r = 0; r < rows; r++)
        scales[r] = 3;
    for (int64_t i = 0; i < rows * cols; i++)
        weights[i] = fixture_value(slice, i);
    lort_store_bf16(scales, stored, (uint64_t)rows);
    fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_SCALES, slice), t, 0, stored, (uint64_t)rows);
    lort_trits_pack(weights, rows, cols, scales, digits, bytes, decoded);
    fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_TRITS, slice), t, 0, bytes,
                  lort_trits_bytes(count));
    p->chunks[p->part.chunk_count - 1].count = count; /* counted in trits */
}

static inline void fixture_ternary(fixture *f, lort_codec *codec)
{
    fixture_part *p = fixture_begin(f, 8, "ternary.weight", LORT_F32, 3, 3, 4, 5, 3);
    const lort_term *trits = fixture_term(p, LORT_TERM_TERNARY, LORT_BF16, LORT_U8);
    const lort_term *factors = fixture_term(p, LORT_TERM_FACTORS, LORT_BF16, LORT_F16);
    p->rank[0][0] = p->rank[0][1] = 1;
    p->rank[1][1] = 2;
    p->part.has_error = true;
    p->part.rel_error = 0.4;
    fixture_trits(p, codec, 0, trits, 4, 5);
    fixture_factors(p, codec, 1, factors, 4, 5);
    fixture_trits(p, codec, 1, trits, 4, 5);
}

static inline void fixture_parts(fixture *f, lort_codec *codec)
{
    fixture_raw(f, codec, 0, NULL, LORT_U8, 100, 0, 60);
    fixture_raw(f, codec, 1, "norm.weight", LORT_F16, 5, 8, 16);
    fixture_part *p = fixture_begin(f, 2, "experts.weight", LORT_F32, 3, 2, 6, 5, 2);
    const lort_term *a = fixture_term(p, LORT_TERM_FACTORS, LORT_F16, LORT_F16);
    const lort_term *b = fixture_term(p, LORT_TERM_FACTORS, LORT_BF16, LORT_F16);
    p->rank[0][0] = 2;
    p->rank[1][1] = 1;
    p->exponent[0] = -3;
    p->exponent[1] = 2;
    p->part.has_error = true;
    p->part.rel_error = 0.25;
    fixture_factors(p, codec, 0, a, 6, 5);
    fixture_factors(p, codec, 1, b, 6, 5);
    p = fixture_begin(f, 3, "mixed.weight", LORT_BF16, 3, 3, 4, 4, 3);
    a = fixture_term(p, LORT_TERM_FACTORS, LORT_BF16, LORT_BF16);
    b = fixture_term(p, LORT_TERM_RAW, LORT_BF16, LORT_BF16);
    p->rank[1][0] = 1;
    p->rank[0][1] = 1;
    fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_RAW, 0), b, 0, f->source[3], 16);
    fixture_factors(p, codec, 1, a, 4, 4);
    fixture_raw(f, codec, 4, "blocks.weight", LORT_Q8_0, 2, 32, 64);
    fixture_raw(f, codec, 5, NULL, LORT_U8, 9, 0, 9);
    fixture_raw(f, codec, 6, NULL, LORT_U8, 33, 0, 33);
    fixture_residual(f, codec);
    fixture_ternary(f, codec);
}

static inline void fixture_model(fixture *f)
{
    f->files[0] = (lort_input_file){
        .name = "model.safetensors", .role = LORT_ROLE_WEIGHTS, .format = "safetensors"};
    f->files[1] =
        (lort_input_file){.name = "config.json", .role = LORT_ROLE_SIDE, .format = "bytes"};
    f->files[2] = (lort_input_file){
        .name = "more.safetensors", .role = LORT_ROLE_WEIGHTS, .format = "safetensors"};
    for (uint32_t i = 0; i < FIXTURE_PARTS; i++) {
        const lort_part *part = &f->parts[i].part;
        uint32_t file = i < 6 ? 0 : i == 6 ? 1 : 2;
        f->extents[i] = (lort_extent){.file = file,
                                      .tensor = part->tensor,
                                      .offset = f->files[file].size,
                                      .bytes = part->source_bytes};
        f->files[file].size += part->source_bytes;
    }
    f->model = (lort_model_record){.algorithm = 1,
                                   .seed = 42,
                                   .directory = true,
                                   .producer = "lort test",
                                   .options = "rank=2 min-dim=1",
                                   .libraries = "none",
                                   .files = f->files,
                                   .file_count = FIXTURE_FILES,
                                   .extents = f->extents,
                                   .extent_count = FIXTURE_PARTS};
}

static inline void fixture_record(fixture *f, lort_frame_kind kind, lort_buffer *body,
                                  lort_codec *codec)
{
    if (lort_record_put(kind, body->data, body->size, codec, &lort_alloc_heap, LORT_FRAME_BODY_MAX,
                        &f->file, NULL))
        abort();
    lort_buffer_free(body);
}

/* Builds the container in f->file. fixture_free gives it back. */
static inline void fixture_build(fixture *f)
{
    lort_codec *codec;
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_hash128 hashes[FIXTURE_PARTS];
    memset(f, 0, sizeof *f);
    f->file.alloc = &lort_alloc_heap;
    if (lort_codec_open(1, &codec, NULL))
        abort();
    fixture_parts(f, codec);
    fixture_model(f);
    lort_head_put(&(lort_head){.major = LORT_CONTAINER_MAJOR, .minor = LORT_CONTAINER_MINOR},
                  &body);
    fixture_record(f, LORT_FRAME_HEAD, &body, codec);
    f->footer.model_offset = f->file.size;
    lort_model_record_put(&f->model, &body);
    fixture_record(f, LORT_FRAME_MODEL, &body, codec);
    for (uint32_t i = 0; i < FIXTURE_PARTS; i++) {
        const lort_part *part = &f->parts[i].part;
        lort_put_bytes(&f->file, f->parts[i].payload, part->payload_bytes);
        f->entries[i].record_offset = f->file.size;
        lort_part_put(part, &body);
        fixture_record(f, LORT_FRAME_PART, &body, codec);
        f->entries[i].record_bytes = f->file.size - f->entries[i].record_offset;
        hashes[i] = part->source;
    }
    f->index = (lort_index_record){
        .entries = f->entries, .count = FIXTURE_PARTS, .model = lort_xxh128(hashes, sizeof hashes)};
    f->footer.index_offset = f->file.size;
    lort_index_record_put(&f->index, &body);
    fixture_record(f, LORT_FRAME_INDEX, &body, codec);
    f->footer.index_bytes = f->file.size - f->footer.index_offset;
    f->footer.file_size = f->file.size + LORT_FOOTER_BYTES;
    lort_footer_put(&f->footer, &body);
    fixture_record(f, LORT_FRAME_FOOTER, &body, codec);
    lort_codec_close(codec);
}

static inline void fixture_free(fixture *f) { lort_buffer_free(&f->file); }

#endif
