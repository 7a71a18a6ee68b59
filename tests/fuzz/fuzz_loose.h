/* A container in loose form: its records are structs that need not keep any rule. An input is read
 * into it, and it is written as an input again, so that a mutator can change one field.
 *
 * Input: u8 how, u8 which, run (the body of MODEL), and then for each part u8 flags, run (the body
 * of PART), run (its content: the bytes to which its chunks decode, or its payload). Runs are those
 * of fuzz_input.h. Missing bytes read as 0. */
#ifndef LORT_TESTS_FUZZ_LOOSE_H
#define LORT_TESTS_FUZZ_LOOSE_H

#include "formats/base/bytes.h"
#include "formats/container/part.h"
#include "formats/types/layout.h"
#include "fuzz_input.h"

#define LOOSE_PARTS 24
#define LOOSE_FILES 8
#define LOOSE_DIMS (LORT_MAX_DIMS + 1)
#define LOOSE_SLICES 4096
#define LOOSE_CHUNKS 4096

/* Bits of `how`. */
enum loose_how {
    LOOSE_HEADERS = 1,       /* the headers are made of the tensors */
    LOOSE_EXTENTS_STAND = 2, /* extents and sizes of files stand as MODEL says them */
    LOOSE_CHUNKS_SMALL = 4,  /* chunks have 32 elements each, else as many as they can have */
    LOOSE_MODEL_STANDS = 8   /* the body of MODEL stands as it is */
};

/* Bits of a part's flags: each leaves one repair out. */
enum loose_flags {
    LOOSE_BODY_STANDS = 1,   /* the body of PART, byte for byte */
    LOOSE_PAYLOAD = 2,       /* the content is the payload, and not what the chunks decode to */
    LOOSE_CHUNKS_STAND = 4,  /* the table of chunks */
    LOOSE_SOURCE_STANDS = 8, /* the bytes of the source */
    LOOSE_HASH_STANDS = 16   /* the hash of the source */
};

typedef struct loose_part {
    uint8_t flags;
    input body, content;
    lort_part part; /* the body as a struct */
} loose_part;

typedef struct loose {
    lort_arena arena;
    uint8_t how, which;
    input model_body;
    lort_model_record model;
    loose_part parts[LOOSE_PARTS];
    uint32_t count;
} loose;

static inline uint32_t input_u32(input *in)
{
    const uint16_t low = input_u16(in);
    return low | (uint32_t)input_u16(in) << 16;
}

static inline uint64_t input_u64(input *in)
{
    const uint32_t low = input_u32(in);
    return low | (uint64_t)input_u32(in) << 32;
}

static inline void *loose_take(loose *c, uint64_t bytes)
{
    void *memory;
    CHECK(lort_arena_take(&c->arena, bytes ? bytes : 1, &memory, NULL) == LORT_OK);
    return memory;
}

/* Returns a text of n bytes, fewer if the input ends. A NUL ends it. */
static inline const char *loose_text(loose *c, input *in, uint64_t n)
{
    const char *text;
    const size_t all = n < in->left ? (size_t)n : in->left;
    const uint8_t *bytes = input_bytes(in, all), *nul = all ? memchr(bytes, 0, all) : NULL;
    CHECK(lort_arena_text(&c->arena, all ? (const char *)bytes : "",
                          nul ? (size_t)(nul - bytes) : all, &text, NULL) == LORT_OK);
    return text;
}

/* ---- MODEL ---- */

static inline void loose_get_model(loose *c)
{
    input in = c->model_body;
    lort_model_record *m = &c->model;
    m->algorithm = input_u32(&in);
    m->directory = input_u32(&in) & 1;
    m->seed = input_u64(&in);
    m->extent_count = input_u64(&in) % (LOOSE_PARTS + 1);
    m->file_count = input_u32(&in) % (LOOSE_FILES + 1);
    input_u32(&in);
    const char **texts[] = {&m->producer, &m->options, &m->libraries};
    for (int i = 0; i < 3; i++)
        *texts[i] = loose_text(c, &in, input_u32(&in));
    m->files = loose_take(c, LOOSE_FILES * sizeof *m->files);
    m->extents = loose_take(c, LOOSE_PARTS * sizeof *m->extents);
    for (uint32_t i = 0; i < m->file_count; i++) {
        m->files[i].size = input_u64(&in);
        m->files[i].role = (lort_role)(input_u32(&in) % 4);
        m->files[i].name = loose_text(c, &in, input_u32(&in));
        m->files[i].format = loose_text(c, &in, input_u32(&in));
    }
    for (uint64_t i = 0; i < m->extent_count; i++) {
        m->extents[i].file = input_u32(&in);
        m->extents[i].tensor = input_u32(&in) & 1;
        m->extents[i].bytes = input_u64(&in);
    }
}

/* ---- PART ---- */

static inline void loose_get_term(loose *c, input *in, const lort_part *part, lort_term *t)
{
    t->kind = (lort_term_kind)(input_u32(in) % LORT_TERM_KINDS);
    const uint32_t flags = input_u32(in);
    if (!lort_term_get((uint32_t)t->kind))
        t->kind = LORT_TERM_RAW;
    t->left_rotate = flags & 1;
    t->right_rotate = flags & 2;
    t->scaled = flags >> 2 & 3;
    t->left = (lort_dtype)input_u32(in);
    t->right = (lort_dtype)input_u32(in);
    t->left_width = input_u16(in);
    t->right_width = input_u16(in);
    const lort_term_info *info = lort_term_get((uint32_t)t->kind);
    t->rank = loose_take(c, part->slices * sizeof *t->rank);
    t->exponent = info->exponents ? loose_take(c, part->slices * sizeof *t->exponent) : NULL;
    t->step = info->steps ? loose_take(c, part->slices * sizeof *t->step) : NULL;
    for (uint32_t i = 0; i < part->slices; i++)
        t->rank[i] = input_u32(in);
    for (uint32_t i = 0; i < part->slices && (t->exponent || t->step); i++) {
        const uint32_t bits = input_u32(in);
        memcpy(t->exponent ? (void *)&t->exponent[i] : (void *)&t->step[i], &bits, sizeof bits);
    }
}

static inline void loose_get_chunk(input *in, lort_chunk *chunk)
{
    chunk->array = input_u32(in);
    chunk->stored = input_u32(in);
    chunk->decoded = input_u32(in);
    input_u32(in);
    chunk->offset = input_u64(in);
    chunk->first = input_u64(in);
    chunk->count = input_u64(in);
    chunk->hash = input_u64(in);
}

static inline void loose_get_fixed(input *in, lort_part *part, uint32_t *name, uint32_t *reason)
{
    part->number = input_u64(in);
    const uint32_t flags = input_u32(in);
    part->tensor = flags & 1;
    part->has_error = flags & 2;
    part->convolution = flags & 4;
    part->same = flags & 8;
    part->dtype = (lort_dtype)input_u32(in);
    part->n_dims = input_u32(in) % (LOOSE_DIMS + 1);
    part->slices = input_u32(in) % (LOOSE_SLICES + 1);
    part->source_bytes = input_u64(in);
    for (size_t i = 0; i < sizeof part->source.bytes; i++)
        part->source.bytes[i] = input_u8(in);
    const uint64_t error = input_u64(in);
    memcpy(&part->rel_error, &error, sizeof error);
    part->payload_bytes = input_u64(in);
    part->chunk_count = input_u64(in) % (LOOSE_CHUNKS + 1);
    part->term_count = input_u32(in) % (LORT_TERMS_MAX + 2);
    *name = input_u32(in);
    *reason = input_u32(in);
    input_u32(in);
}

static inline void loose_get_part(loose *c, loose_part *p)
{
    input in = p->body;
    lort_part *part = &p->part;
    uint32_t name, reason;
    loose_get_fixed(&in, part, &name, &reason);
    part->name_bytes = name < in.left ? name : (uint32_t)in.left;
    CHECK(lort_arena_text(&c->arena, in.left ? (const char *)in.at : "", part->name_bytes,
                          &part->name, NULL) == LORT_OK);
    input_bytes(&in, part->name_bytes);
    part->reason = loose_text(c, &in, reason);
    part->dims = loose_take(c, LOOSE_DIMS * sizeof *part->dims);
    part->terms = loose_take(c, (LORT_TERMS_MAX + 1) * sizeof *part->terms);
    part->chunks = loose_take(c, part->chunk_count * sizeof *part->chunks);
    for (uint32_t i = 0; i < part->n_dims; i++)
        part->dims[i] = (int64_t)input_u64(&in);
    part->origin = part->same ? input_u64(&in) : part->number;
    for (uint32_t i = 0; i < part->term_count; i++)
        loose_get_term(c, &in, part, &part->terms[i]);
    for (uint64_t i = 0; i < part->chunk_count; i++)
        loose_get_chunk(&in, &part->chunks[i]);
    if (!lort_dtype_get((uint32_t)part->dtype))
        p->flags |= LOOSE_BODY_STANDS;
}

/* ---- the whole ---- */

static inline void loose_get(loose *c, const uint8_t *data, size_t size)
{
    input in = {data, size};
    *c = (loose){.arena = {.alloc = &lort_alloc_heap}};
    c->how = input_u8(&in);
    c->which = input_u8(&in);
    c->model_body = input_run(&in);
    loose_get_model(c);
    while (in.left && c->count < LOOSE_PARTS) {
        loose_part *p = &c->parts[c->count++];
        p->flags = input_u8(&in);
        p->body = input_run(&in);
        p->content = input_run(&in);
        loose_get_part(c, p);
    }
}

static inline void loose_free(loose *c) { lort_arena_free(&c->arena); }

static inline void loose_put_run(lort_buffer *out, const void *bytes, uint64_t n)
{
    const uint16_t most = (uint16_t)(n < UINT16_MAX ? n : UINT16_MAX);
    lort_put_u16(out, most);
    lort_put_bytes(out, most ? bytes : "", most);
}

/* Writes the input that reads as this container. */
static inline void loose_put(const loose *c, lort_buffer *out)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_put_u8(out, c->how);
    lort_put_u8(out, c->which);
    if (c->how & LOOSE_MODEL_STANDS)
        lort_put_bytes(&body, c->model_body.left ? c->model_body.at : (const uint8_t *)"",
                       c->model_body.left);
    else
        lort_model_record_put(&c->model, &body);
    loose_put_run(out, body.data, body.size);
    for (uint32_t i = 0; i < c->count; i++) {
        const loose_part *p = &c->parts[i];
        body.size = 0;
        if (p->flags & LOOSE_BODY_STANDS)
            lort_put_bytes(&body, p->body.left ? p->body.at : (const uint8_t *)"", p->body.left);
        else
            lort_part_put(&p->part, &body);
        lort_put_u8(out, p->flags);
        loose_put_run(out, body.data, body.size);
        loose_put_run(out, p->content.at, p->content.left);
    }
    lort_buffer_free(&body);
}

#endif
