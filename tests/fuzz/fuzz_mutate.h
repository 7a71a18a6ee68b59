/* Mutates an input of fuzz_loose.h as a container: one field, one part, one name, or the bytes of
 * one run. libFuzzer calls it; a program without libFuzzer never does. */
#ifndef LORT_TESTS_FUZZ_MUTATE_H
#define LORT_TESTS_FUZZ_MUTATE_H

#include "fuzz_loose.h"

#define MUTATE_ROOM 4096 /* bytes that a run may grow by */

/* libFuzzer's own mutations of bytes. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

typedef struct mutation {
    loose *c;
    uint64_t state;
} mutation;

static inline uint32_t mutate_random(mutation *m, uint64_t below)
{
    m->state = m->state * 6364136223846793005u + 1442695040888963407u;
    return below ? (uint32_t)((m->state >> 33) % below) : 0;
}

static inline loose_part *mutate_part(mutation *m)
{
    return m->c->count ? &m->c->parts[mutate_random(m, m->c->count)] : NULL;
}

/* A number near the old one, or one at which something may break. */
static inline uint64_t mutate_number(mutation *m, uint64_t old)
{
    static const uint64_t edges[] = {
        0,          1,          2,          3,          4,          5,          7,
        8,          16,         31,         32,         33,         63,         64,
        65,         127,        128,        129,        255,        256,        257,
        4095,       4096,       65535,      65536,      1u << 20,   1u << 24,   INT32_MAX,
        1u << 31,   UINT32_MAX, 1ull << 32, 1ull << 40, 1ull << 59, 1ull << 60, INT64_MAX,
        1ull << 63, UINT64_MAX};
    switch (mutate_random(m, 6)) {
    case 0:
        return old + 1;
    case 1:
        return old - 1;
    case 2:
        return old * 2;
    case 3:
        return old / 2;
    case 4:
        return old ^ 1ull << mutate_random(m, 64);
    default:
        return edges[mutate_random(m, sizeof edges / sizeof *edges)];
    }
}

static inline lort_dtype mutate_type(mutation *m)
{
    static const uint8_t types[] = {LORT_F32,  LORT_F16, LORT_BF16,   LORT_Q8_0, LORT_Q4_0,
                                    LORT_U8,   LORT_F64, LORT_I8,     LORT_I64,  LORT_Q4_K,
                                    LORT_BOOL, LORT_F4,  LORT_F8_E4M3};
    return (lort_dtype)types[mutate_random(m, sizeof types)];
}

/* Names that could lead out of the output directory, or onto what stands there. */
static inline const char *mutate_name(mutation *m)
{
    static const char *const names[] = {"../secret",
                                        "secret",
                                        "/tmp/lort-fuzz-nowhere",
                                        "..",
                                        ".",
                                        "",
                                        "new",
                                        ".new.lort-partial",
                                        ".new.lort-lock",
                                        "sub/inner",
                                        "unet/model.safetensors",
                                        "unet",
                                        "a/../../secret",
                                        "a//b",
                                        "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q",
                                        "unet/CON",
                                        "../../secret",
                                        "..\\secret",
                                        "link",
                                        "a",
                                        "a:b",
                                        "b.weight",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "config.json",
                                        "m.gguf",
                                        "CON",
                                        "a\xe2\x80\xae",
                                        "\xff\xfe",
                                        "a\nb",
                                        "model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors"};
    return names[mutate_random(m, sizeof names / sizeof *names)];
}

/* Changes bytes of a run as libFuzzer does. */
static inline void mutate_run(mutation *m, input *run)
{
    const size_t room = run->left + MUTATE_ROOM < UINT16_MAX ? run->left + MUTATE_ROOM : UINT16_MAX;
    uint8_t *bytes = loose_take(m->c, room);
    if (run->left)
        memcpy(bytes, run->at, run->left);
    if (LLVMFuzzerMutate)
        *run = (input){bytes, LLVMFuzzerMutate(bytes, run->left, room)};
}

/* ---- one part ---- */

static inline void mutate_content(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (p)
        mutate_run(m, &p->content);
}

static inline void mutate_body(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (!p)
        return;
    p->flags |= LOOSE_BODY_STANDS;
    mutate_run(m, &p->body);
}

static inline void mutate_flags(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (p)
        p->flags ^= (uint8_t)(1u << mutate_random(m, 5));
}

static inline void mutate_dim(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (!p || !p->part.n_dims)
        return;
    int64_t *dims = p->part.dims;
    const uint32_t i = mutate_random(m, p->part.n_dims), k = mutate_random(m, p->part.n_dims);
    const int64_t old = dims[i];
    switch (mutate_random(m, 3)) {
    case 0: /* another order */
        dims[i] = dims[k];
        dims[k] = old;
        break;
    case 1: /* another shape of as many elements */
        if (i != k && old % 2 == 0 && dims[k] < INT64_MAX / 2 && dims[k] > INT64_MIN / 2) {
            dims[i] = old / 2;
            dims[k] *= 2;
        }
        break;
    default:
        dims[i] = (int64_t)mutate_number(m, (uint64_t)old);
    }
}

static inline void mutate_dim_count(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (!p)
        return;
    if (mutate_random(m, 2) && p->part.n_dims) {
        p->part.n_dims--;
    } else if (p->part.n_dims < LOOSE_DIMS) {
        p->part.dims[p->part.n_dims++] = mutate_random(m, 4);
    }
}

static inline void mutate_fixed(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (!p)
        return;
    lort_part *part = &p->part;
    switch (mutate_random(m, 10)) {
    case 0:
        part->dtype = mutate_type(m);
        break;
    case 7: /* a type that LoRT does not know */
        part->dtype = (lort_dtype)(LORT_OPAQUE + mutate_random(m, 50));
        p->flags |= LOOSE_SOURCE_STANDS;
        break;
    case 8:
        part->convolution = !part->convolution;
        break;
    case 9:
        part->same = !part->same;
        part->origin = mutate_random(m, m->c->count);
        break;
    case 1:
        part->tensor = !part->tensor;
        break;
    case 2:
        part->source_bytes = mutate_number(m, part->source_bytes);
        p->flags |= LOOSE_SOURCE_STANDS;
        break;
    case 3:
        part->has_error = !part->has_error;
        break;
    case 4: {
        const uint64_t bits = (uint64_t)mutate_random(m, 0x8000) << 48;
        memcpy(&part->rel_error, &bits, sizeof bits);
        break;
    }
    case 5:
        part->source.bytes[mutate_random(m, 16)] ^= 1;
        p->flags |= LOOSE_HASH_STANDS;
        break;
    default: /* one slice, or as many as the leading dims say */
        if (part->slices > 1)
            part->slices = 1;
    }
}

static inline void mutate_term(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (!p || !p->part.term_count || !p->part.slices)
        return;
    lort_term *t = &p->part.terms[mutate_random(m, p->part.term_count)];
    const uint32_t slice = mutate_random(m, p->part.slices);
    uint32_t bits;
    switch (mutate_random(m, 8)) {
    case 0:
        t->left = mutate_type(m);
        break;
    case 1:
        t->right = mutate_type(m);
        break;
    case 2:
        t->left_width = (uint16_t)mutate_number(m, t->left_width);
        break;
    case 3:
        t->right_rotate = !t->right_rotate;
        break;
    case 4:
        if (t->exponent)
            t->exponent[slice] = (int32_t)mutate_random(m, 9000) - 4500;
        break;
    case 5:
        if (t->step) {
            bits = mutate_random(m, UINT32_MAX);
            memcpy(&t->step[slice], &bits, sizeof bits);
        }
        break;
    case 6:
        t->scaled ^= 1 + (unsigned)mutate_random(m, 3);
        break;
    default:
        t->rank[slice] = (uint32_t)mutate_number(m, t->rank[slice]);
    }
}

static inline void mutate_chunk(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (!p || !p->part.chunk_count)
        return;
    lort_chunk *chunk = &p->part.chunks[mutate_random(m, p->part.chunk_count)];
    p->flags |= LOOSE_CHUNKS_STAND;
    switch (mutate_random(m, 4)) {
    case 0:
        chunk->decoded = (uint32_t)mutate_number(m, chunk->decoded);
        break;
    case 1:
        chunk->count = mutate_number(m, chunk->count);
        break;
    case 2:
        chunk->first = mutate_number(m, chunk->first);
        break;
    default:
        chunk->array ^= 1u << mutate_random(m, 27);
    }
}

static inline void mutate_part_name(mutation *m)
{
    loose_part *p = mutate_part(m);
    if (!p)
        return;
    p->part.name = mutate_name(m);
    p->part.name_bytes = (uint32_t)strlen(p->part.name);
}

/* ---- parts among themselves ---- */

/* Swaps two parts, or one thing of theirs. */
static inline void mutate_swap(mutation *m)
{
    loose_part *a = mutate_part(m), *b = mutate_part(m);
    if (!a || a == b)
        return;
    const loose_part old = *a;
    switch (mutate_random(m, 4)) {
    case 0:
        *a = *b;
        *b = old;
        break;
    case 1:
        a->part.name = b->part.name;
        a->part.name_bytes = b->part.name_bytes;
        b->part.name = old.part.name;
        b->part.name_bytes = old.part.name_bytes;
        break;
    case 2:
        a->content = b->content;
        b->content = old.content;
        break;
    default:
        a->part.dtype = b->part.dtype;
        b->part.dtype = old.part.dtype;
    }
}

static inline void mutate_drop(mutation *m)
{
    loose *c = m->c;
    if (!c->count)
        return;
    const uint32_t i = mutate_random(m, c->count);
    memmove(&c->parts[i], &c->parts[i + 1], (c->count - i - 1) * sizeof *c->parts);
    c->count--;
}

static inline void mutate_double(mutation *m)
{
    loose *c = m->c;
    if (!c->count || c->count == LOOSE_PARTS)
        return;
    const uint32_t i = mutate_random(m, c->count), k = mutate_random(m, c->count + 1);
    const loose_part copy = c->parts[i];
    memmove(&c->parts[k + 1], &c->parts[k], (c->count - k) * sizeof *c->parts);
    c->parts[k] = copy;
    c->count++;
    if (mutate_random(m, 2))
        mutate_part_name(m);
}

/* ---- the model ---- */

static inline void mutate_model(mutation *m)
{
    lort_model_record *r = &m->c->model;
    lort_input_file *file = r->file_count ? &r->files[mutate_random(m, r->file_count)] : NULL;
    lort_extent *extent = r->extent_count ? &r->extents[mutate_random(m, r->extent_count)] : NULL;
    static const char *const formats[] = {"gguf", "safetensors", "json", "bytes", ""};
    switch (mutate_random(m, 7)) {
    case 0:
        r->directory = !r->directory;
        break;
    case 1:
        if (extent)
            extent->file = mutate_random(m, r->file_count + 1);
        break;
    case 2:
        if (extent) {
            extent->bytes = mutate_number(m, extent->bytes);
            m->c->how |= LOOSE_EXTENTS_STAND;
        }
        break;
    case 3:
        if (file)
            file->role = (lort_role)mutate_random(m, 4);
        break;
    case 4:
        if (file)
            file->format = formats[mutate_random(m, 5)];
        break;
    case 5: /* one file more or fewer */
        if (mutate_random(m, 2) && r->file_count < LOOSE_FILES)
            r->files[r->file_count++] =
                (lort_input_file){.name = mutate_name(m), .format = formats[mutate_random(m, 5)]};
        else
            r->file_count -= r->file_count > 0;
        break;
    default:
        if (file)
            file->name = mutate_name(m);
    }
}

static inline void mutate_model_bytes(mutation *m)
{
    m->c->how |= LOOSE_MODEL_STANDS;
    mutate_run(m, &m->c->model_body);
}

static inline void mutate_how(mutation *m)
{
    m->c->how ^= (uint8_t)(1u << mutate_random(m, 4));
    m->c->which = (uint8_t)mutate_random(m, 256);
}

static inline void mutate_one(mutation *m)
{
    static void (*const kinds[])(mutation *) = {
        mutate_content, mutate_content, mutate_content, mutate_content,    mutate_content,
        mutate_content, mutate_dim,     mutate_dim,     mutate_dim_count,  mutate_fixed,
        mutate_fixed,   mutate_fixed,   mutate_term,    mutate_term,       mutate_swap,
        mutate_swap,    mutate_drop,    mutate_double,  mutate_part_name,  mutate_part_name,
        mutate_model,   mutate_model,   mutate_model,   mutate_how,        mutate_how,
        mutate_flags,   mutate_chunk,   mutate_body,    mutate_model_bytes};
    kinds[mutate_random(m, sizeof kinds / sizeof *kinds)](m);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    loose c;
    lort_buffer out = {.alloc = &lort_alloc_heap};
    loose_get(&c, data, size);
    mutation m = {&c, seed};
    mutate_random(&m, 2);
    const uint32_t times = mutate_random(&m, 4) ? 1 : 2; /* libFuzzer itself comes back */
    for (uint32_t i = 0; i < times; i++)
        mutate_one(&m);
    loose_put(&c, &out);
    const size_t made = out.size <= max_size ? (size_t)out.size : 0;
    if (made)
        memcpy(data, out.data, made);
    lort_buffer_free(&out);
    loose_free(&c);
    return made ? made : LLVMFuzzerMutate(data, size, max_size);
}

#endif
