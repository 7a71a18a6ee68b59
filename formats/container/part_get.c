/* part_get: bodies of PART to structs, part of the gate for hostile bytes (container_get.c). It
 * checks every field and the rules between fields.
 *
 *     body      88 bytes of fixed fields, name, reason, dims, terms, chunks, extension
 *     terms     each slice: RAW, or FACTORS + (INTEGERS or TERNARY), each of them optional, and
 *               OUTLIERS beside them
 *     chunks    slice 0: RAW | LEFT RIGHT (CODES BLOCKS | SCALES TRITS) PLACES OUTLIERS, ...
 *               each array tiled by its chunks in order, the payload tiled by all chunks
 */
#include "formats/base/bytes.h"
#include "formats/container/base.h"
#include "formats/container/body.h"
#include "formats/container/container.h"
#include "formats/container/part.h"
#include "formats/types/layout.h"
#include "formats/types/opaque.h"
#include <string.h>

typedef unsigned long long ull;

static lort_code get_dims(lort_cursor *c, lort_arena *arena, lort_part *p, lort_error *err)
{
    void *memory;
    if (p->n_dims > LORT_MAX_DIMS)
        return lort_cursor_fail(c, "the part has %u dimensions (at most %d)", p->n_dims,
                                LORT_MAX_DIMS);
    lort_code code = lort_arena_take(arena, p->n_dims * sizeof *p->dims, &memory, err);
    if (code)
        return code;
    p->dims = memory;
    for (uint32_t i = 0; i < p->n_dims; i++) {
        uint64_t dim = lort_get_u64(c, "dimension");
        if (dim > INT64_MAX)
            return lort_cursor_fail(c, "dimension is %llu (allowed: less than 2^63)", (ull)dim);
        p->dims[i] = (int64_t)dim;
    }
    return c->code;
}

/* The dims of an opaque tensor do not say how many bytes it has, but whether it has any. */
static lort_code check_opaque(lort_cursor *c, const lort_part *p)
{
    uint64_t elements;
    if (!p->tensor || p->slices != 1 || p->source_bytes > LORT_ELEMENTS_MAX ||
        !lort_layout_elements(p->dims, p->n_dims, &elements) ||
        (elements == 0) != (p->source_bytes == 0))
        return lort_cursor_fail(c,
                                "%s with %u dimensions, %u slices and %llu bytes is no tensor of "
                                "an opaque type",
                                p->tensor ? "a tensor" : "a raw part", p->n_dims, p->slices,
                                (ull)p->source_bytes);
    return LORT_OK;
}

/* Checks that shape, element type, slices and byte count agree. */
static lort_code check_shape(lort_cursor *c, const lort_part *p, const lort_dtype_info *type)
{
    uint64_t elements, leading = 0, bytes;
    if (type->kind == LORT_KIND_OPAQUE)
        return check_opaque(c, p);
    if (!lort_layout_elements(p->dims, p->n_dims, &elements) ||
        !lort_dtype_bytes(type, elements, &bytes) || bytes != p->source_bytes)
        return lort_cursor_fail(c, "%u dimensions of %s do not make %llu bytes", p->n_dims,
                                type->name, (ull)p->source_bytes);
    if (elements > LORT_ELEMENTS_MAX)
        return lort_cursor_fail(c, "the part has %llu elements (at most %llu)", (ull)elements,
                                (ull)LORT_ELEMENTS_MAX);
    if (p->slices == 0 || p->slices > LORT_MAX_SLICES)
        return lort_cursor_fail(c, "the part has %u slices (allowed: 1 to %u)", p->slices,
                                LORT_MAX_SLICES);
    if (p->convolution && (p->slices != 1 || p->n_dims < 3 || type->block_elements != 1))
        return lort_cursor_fail(c,
                                "a convolution has %u slices, %u dimensions and the type %s "
                                "(allowed: 1 slice, at least 3 dimensions, no type of blocks)",
                                p->slices, p->n_dims, type->name);
    if (p->slices == 1)
        return LORT_OK;
    if (p->n_dims < 3 || !lort_layout_elements(p->dims, p->n_dims - 2, &leading) ||
        leading != p->slices || !lort_dtype_bytes(type, elements / p->slices, &bytes))
        return lort_cursor_fail(
            c, "the part has %u slices, which is not the product of its leading dimensions",
            p->slices);
    return LORT_OK;
}

static bool factor_type(uint32_t id)
{
    return id == LORT_F32 || id == LORT_F16 || id == LORT_BF16 || id == LORT_Q8_0;
}

static bool plane_ok(uint32_t width, bool rotate)
{
    return width >= 1 && width <= LORT_PLANE_WIDTH_MAX &&
           (!rotate || width == 2 || width == 4 || width == 8);
}

/* Checks the types of a term. RAW stores elements of the part's type, INTEGERS stores CODES as
 * bytes; for both the right-hand fields repeat the left-hand ones. TERNARY stores SCALES as BF16
 * and TRITS as bytes. */
static lort_code check_term(lort_cursor *c, const lort_part *p, const lort_dtype_info *type,
                            const lort_term *t)
{
    const bool own = t->kind == LORT_TERM_RAW || t->kind == LORT_TERM_BASE;
    const lort_dtype only = own ? p->dtype : LORT_U8;
    if (!plane_ok(t->left_width, t->left_rotate) || !plane_ok(t->right_width, t->right_rotate))
        return lort_cursor_fail(
            c, "plane widths are %u and %u (allowed: 1 to %u; 2, 4 or 8 if rotated)", t->left_width,
            t->right_width, LORT_PLANE_WIDTH_MAX);
    bool repeats = t->left == only && t->right == only && t->right_width == t->left_width &&
                   t->right_rotate == t->left_rotate;
    bool fits =
        t->kind == LORT_TERM_FACTORS ? factor_type(t->left) && factor_type(t->right) : repeats;
    if (t->kind == LORT_TERM_TERNARY)
        fits = t->left == LORT_BF16 && t->right == LORT_U8 && t->right_width == 1;
    if (t->kind == LORT_TERM_OUTLIERS)
        fits = t->left == LORT_F32 && t->right == LORT_U64;
    if (!own)
        fits &= p->tensor && type->decode;
    if (t->kind == LORT_TERM_BASE)
        fits &= p->tensor;
    if (t->kind == LORT_TERM_INTEGERS || t->kind == LORT_TERM_BASE)
        fits &= t->left_width == 1;
    if (!fits)
        return lort_cursor_fail(c, "%s of type %d and %d for a part of type %s",
                                lort_term_get((uint32_t)t->kind)->name, t->left, t->right,
                                type->name);
    return LORT_OK;
}

/* The next u32 [slices] of a term, where they lie in the body; NULL: the body is too short. */
static const uint8_t *get_values(lort_cursor *c, const lort_part *p, const char *what)
{
    return lort_get_bytes(c, (uint64_t)p->slices * sizeof(uint32_t), what);
}

static uint32_t value_at(const uint8_t *values, uint32_t slice)
{
    return lort_load_u32(values + (uint64_t)slice * sizeof(uint32_t));
}

static lort_code get_exponents(lort_cursor *c, const lort_part *p, lort_term *t)
{
    const uint8_t *values = get_values(c, p, "exponent");
    for (uint32_t i = 0; values && i < p->slices; i++) {
        t->exponent[i] = (int32_t)value_at(values, i);
        if (t->exponent[i] > LORT_EXPONENT_MAX || t->exponent[i] < -LORT_EXPONENT_MAX)
            return lort_cursor_fail(c, "exponent is %d for slice %u (allowed: -%d to %d)",
                                    t->exponent[i], i, LORT_EXPONENT_MAX, LORT_EXPONENT_MAX);
    }
    return c->code;
}

/* Steps are 2^-100 to 2^100, so that decoded values stay normal numbers. Scales of rows take 32
 * octaves of this range. */
static lort_code get_steps(lort_cursor *c, const lort_part *p, lort_term *t)
{
    const uint8_t *values = get_values(c, p, "step");
    const int most = t->scaled & LORT_SCALING_ROWS ? LORT_ROW_STEP_OCTAVES : LORT_STEP_OCTAVES;
    const float largest = lort_step_most(t->scaled), smallest = 1 / largest;
    for (uint32_t i = 0; values && i < p->slices; i++) {
        uint32_t bits = value_at(values, i);
        memcpy(&t->step[i], &bits, sizeof bits);
        if (t->rank[i] ? !(t->step[i] >= smallest && t->step[i] <= largest) : bits != 0)
            return lort_cursor_fail(c,
                                    "step is %g for slice %u (allowed: 2^-%d to 2^%d, or 0 if "
                                    "the slice is not in the term)",
                                    (double)t->step[i], i, most, most);
    }
    return c->code;
}

static uint64_t largest_rank(lort_term_kind kind, const lort_matrices *m)
{
    if (kind == LORT_TERM_FACTORS)
        return (uint64_t)(m->rows < m->cols ? m->rows : m->cols);
    return kind == LORT_TERM_OUTLIERS ? (uint64_t)m->rows * (uint64_t)m->cols / LORT_OUTLIERS_ONE_IN
                                      : 1;
}

static lort_code get_term_arrays(lort_cursor *c, lort_arena *arena, const lort_part *p,
                                 lort_term *t, lort_error *err)
{
    void *memory;
    lort_matrices m = lort_part_matrices(p);
    const lort_term_info *info = lort_term_get((uint32_t)t->kind);
    const unsigned arrays = info->exponents || info->steps ? 2 : 1;
    const uint64_t max = largest_rank(t->kind, &m);
    lort_code code =
        lort_body_count_fits(c, (uint64_t)p->slices * arrays, 4, "ranks and exponents");
    if (code == LORT_OK)
        code = lort_arena_take(arena, (uint64_t)p->slices * arrays * 4, &memory, err);
    if (code)
        return code;
    t->rank = memory;
    t->exponent = info->exponents ? (int32_t *)memory + p->slices : NULL;
    t->step = info->steps ? (float *)memory + p->slices : NULL;
    const uint8_t *ranks = get_values(c, p, "rank");
    for (uint32_t i = 0; ranks && i < p->slices; i++) {
        t->rank[i] = value_at(ranks, i);
        if (t->rank[i] > max)
            return lort_cursor_fail(c, "rank is %u for slice %u (at most %llu)", t->rank[i], i,
                                    (ull)max);
    }
    if (info->base && c->code == LORT_OK)
        return lort_base_tensor_get(c, arena, &t->base, err);
    return t->exponent ? get_exponents(c, p, t) : t->step ? get_steps(c, p, t) : c->code;
}

static lort_code get_term(lort_cursor *c, lort_arena *arena, const lort_part *p,
                          const lort_dtype_info *type, lort_term *t, lort_error *err)
{
    uint32_t kind = lort_get_u32(c, "term kind");
    uint32_t flags = lort_get_u32(c, "term flags");
    uint32_t left = lort_get_u32(c, "left type"), right = lort_get_u32(c, "right type");
    t->left_width = lort_get_u16(c, "left plane width");
    t->right_width = lort_get_u16(c, "right plane width");
    if (c->code)
        return c->code;
    if (!lort_term_get(kind))
        return lort_fail(err, LORT_E_INPUT,
                         "a term is of the unknown kind %u; it needs a newer LoRT", kind);
    if (flags > 15 || (flags > 3 && kind != LORT_TERM_INTEGERS))
        return lort_cursor_fail(
            c, "flags are %#x for a term of kind %u (allowed: 0 to 3; 4 to 15 for integers only)",
            flags, kind);
    if (!lort_dtype_get(left) || !lort_dtype_get(right))
        return lort_cursor_fail(c, "a term has element types %u and %u, which are not both known",
                                left, right);
    t->kind = (lort_term_kind)kind;
    t->left = (lort_dtype)left;
    t->right = (lort_dtype)right;
    t->left_rotate = flags & 1;
    t->right_rotate = flags & 2;
    t->scaled = flags >> 2;
    lort_code code = check_term(c, p, type, t);
    return code ? code : get_term_arrays(c, arena, p, t, err);
}

static bool same_term(const lort_term *a, const lort_term *b)
{
    return a->kind == b->kind && a->left == b->left && a->right == b->right;
}

/* A part may have millions of slices that are in no term. Their ranks are looked at in runs, so
 * that such a slice costs no more than the bytes of its record. */
#define SLICES_AT_ONCE 4096u

/* Sets any[i] to 0 if slice base + i is in no term. */
static void mark_slices(const lort_part *p, uint32_t base, uint32_t n, uint32_t *any)
{
    memset(any, 0, n * sizeof *any);
    for (uint32_t t = 0; t < p->term_count; t++) {
        const uint32_t *rank = p->terms[t].rank + base;
        for (uint32_t i = 0; i < n; i++)
            any[i] |= rank[i];
    }
}

/* Checks that a slice is raw, or the sum of factors and integers or trits. lossless: all terms are
 * RAW, and the slice must be in one. */
static lort_code check_sum(lort_cursor *c, const lort_part *p, uint32_t slice, bool lossless)
{
    unsigned in[LORT_TERM_KINDS] = {0};
    for (uint32_t i = 0; i < p->term_count; i++)
        in[p->terms[i].kind] += p->terms[i].rank[slice] != 0;
    const unsigned whole = in[LORT_TERM_INTEGERS] + in[LORT_TERM_TERNARY],
                   sum = in[LORT_TERM_FACTORS] + whole;
    if (in[LORT_TERM_FACTORS] > 1 || whole > 1 || (in[LORT_TERM_RAW] && sum) ||
        (in[LORT_TERM_RAW] + sum == 0 && lossless) || (in[LORT_TERM_OUTLIERS] && !sum) ||
        in[LORT_TERM_BASE] > 1 || (in[LORT_TERM_BASE] && !in[LORT_TERM_RAW] && !sum) ||
        (in[LORT_TERM_BASE] && sum && !lort_dtype_encoder(p->dtype)))
        return lort_cursor_fail(
            c, "slice %u is in %u terms, which is too few or not a combination that is allowed",
            slice, in[LORT_TERM_RAW] + sum);
    return LORT_OK;
}

static lort_code check_slices(lort_cursor *c, const lort_part *p)
{
    bool lossless = true;
    uint32_t any[SLICES_AT_ONCE];
    for (uint32_t i = 0; i < p->term_count; i++) {
        lossless &= p->terms[i].kind == LORT_TERM_RAW || p->terms[i].kind == LORT_TERM_BASE;
        for (uint32_t k = 0; k < i; k++)
            if (same_term(&p->terms[i], &p->terms[k]))
                return lort_cursor_fail(c, "terms %u and %u are alike", k, i);
    }
    for (uint32_t base = 0; base < p->slices; base += SLICES_AT_ONCE) {
        const uint32_t n = p->slices - base < SLICES_AT_ONCE ? p->slices - base : SLICES_AT_ONCE;
        mark_slices(p, base, n, any);
        for (uint32_t i = 0; i < n; i++)
            if ((any[i] || lossless) && check_sum(c, p, base + i, lossless))
                return c->code;
    }
    if (lossless && p->rel_error != 0)
        return lort_cursor_fail(c, "the error of a lossless part is %g (allowed: 0)", p->rel_error);
    return LORT_OK;
}

static lort_code get_terms(lort_cursor *c, lort_arena *arena, lort_part *p,
                           const lort_dtype_info *type, lort_error *err)
{
    void *memory;
    if (p->term_count < 1 || p->term_count > LORT_TERMS_MAX)
        return lort_cursor_fail(c, "the part has %u terms (allowed: 1 to %u)", p->term_count,
                                LORT_TERMS_MAX);
    lort_code code = lort_arena_take(arena, p->term_count * sizeof *p->terms, &memory, err);
    if (code)
        return code;
    p->terms = memory;
    for (uint32_t i = 0; i < p->term_count && code == LORT_OK; i++)
        code = get_term(c, arena, p, type, &p->terms[i], err);
    return code ? code : check_slices(c, p);
}

static lort_code get_chunk(lort_cursor *c, lort_chunk *chunk)
{
    chunk->array = lort_get_u32(c, "chunk's array");
    chunk->stored = lort_get_u32(c, "chunk's stored size");
    chunk->decoded = lort_get_u32(c, "chunk's decoded size");
    uint32_t zero = lort_get_u32(c, "reserved field");
    chunk->offset = lort_get_u64(c, "chunk's offset");
    chunk->first = lort_get_u64(c, "chunk's first element");
    chunk->count = lort_get_u64(c, "chunk's element count");
    chunk->hash = lort_get_u64(c, "chunk's hash");
    if (c->code == LORT_OK && zero != 0)
        return lort_cursor_fail(c, "the reserved field of a chunk is %#x (allowed: 0)", zero);
    return c->code;
}

/* The progress of the check of a part's chunks: the next chunk, and its place in the payload. */
typedef struct tiling {
    uint64_t chunk, payload;
} tiling;

/* Checks that the chunks of one array tile its elements. */
static lort_code check_array(lort_cursor *c, const lort_part *p, tiling *at, uint32_t id,
                             lort_dtype dtype, uint64_t elements)
{
    const lort_dtype_info *type = lort_dtype_get((uint32_t)dtype);
    for (uint64_t done = 0; done < elements; at->chunk++) {
        uint64_t bytes;
        const lort_chunk *chunk = &p->chunks[at->chunk];
        if (at->chunk == p->chunk_count || chunk->array != id || chunk->first != done ||
            chunk->count == 0 || chunk->count > elements - done)
            return lort_cursor_fail(
                c, "chunk %llu does not continue array %#x at element %llu of %llu", (ull)at->chunk,
                id, (ull)done, (ull)elements);
        if (!lort_dtype_bytes(type, chunk->count, &bytes) || bytes != chunk->decoded ||
            bytes > LORT_CHUNK_MAX)
            return lort_cursor_fail(
                c, "chunk %llu has %llu elements of %s, but claims %u decoded bytes",
                (ull)at->chunk, (ull)chunk->count, type->name, chunk->decoded);
        if (chunk->stored == 0 || chunk->stored > bytes + bytes / 128 + 1024 ||
            chunk->offset != at->payload)
            return lort_cursor_fail(c, "chunk %llu is stored in %u bytes at %llu of the payload",
                                    (ull)at->chunk, chunk->stored, (ull)chunk->offset);
        done += chunk->count;
        at->payload += chunk->stored;
    }
    return LORT_OK;
}

/* Checks that each chunk of BLOCKS or TRITS is one block of the grid. A body of BLOCKS has a head,
 * at most a symbol per weight, low bits and escapes. TRITS are five to a byte. */
static lort_code check_blocks(lort_cursor *c, const lort_part *p, const lort_matrices *m,
                              lort_array array, uint32_t slice, tiling *at)
{
    const lort_block_grid g = lort_block_grid_of(m->rows, m->cols);
    uint64_t first = 0;
    for (int64_t i = 0; i < g.down * g.across; i++, at->chunk++) {
        const lort_chunk *chunk = &p->chunks[at->chunk];
        const lort_block_place place = lort_block_get(&g, i);
        const uint64_t count = (uint64_t)place.rows * (uint64_t)place.cols;
        if (at->chunk == p->chunk_count || chunk->array != LORT_ARRAY_ID(array, slice) ||
            chunk->first != first || chunk->count != count)
            return lort_cursor_fail(c, "chunk %llu is not block %lld of slice %u", (ull)at->chunk,
                                    (long long)i, slice);
        const bool fits = array == LORT_ARRAY_TRITS
                              ? chunk->decoded == count / 5 + (count % 5 != 0)
                              : chunk->decoded <= LORT_BLOCK_HEAD_MAX + 4 * count;
        if (!fits || chunk->stored == 0 ||
            chunk->stored > chunk->decoded + chunk->decoded / 128 + 1024 ||
            chunk->offset != at->payload)
            return lort_cursor_fail(c,
                                    "chunk %llu of %llu weights is stored in %u bytes at %llu of "
                                    "the payload, and decodes to %u",
                                    (ull)at->chunk, (ull)count, chunk->stored, (ull)chunk->offset,
                                    chunk->decoded);
        first += count;
        at->payload += chunk->stored;
    }
    return LORT_OK;
}

static lort_code check_outliers(lort_cursor *c, const lort_part *p, uint64_t count, uint32_t slice,
                                tiling *at)
{
    lort_code code =
        check_array(c, p, at, LORT_ARRAY_ID(LORT_ARRAY_PLACES, slice), LORT_U64, count);
    return code ? code
                : check_array(c, p, at, LORT_ARRAY_ID(LORT_ARRAY_OUTLIERS, slice), LORT_F32, count);
}

static lort_code check_slice(lort_cursor *c, const lort_part *p, const lort_matrices *m,
                             uint32_t slice, tiling *at)
{
    const lort_term *raw = lort_part_term(p, slice, LORT_TERM_RAW),
                    *factors = lort_part_term(p, slice, LORT_TERM_FACTORS);
    const uint64_t rows = (uint64_t)m->rows, cols = (uint64_t)m->cols;
    lort_code code = LORT_OK;
    if (raw)
        return check_array(c, p, at, LORT_ARRAY_ID(LORT_ARRAY_RAW, slice), raw->left, rows * cols);
    if (factors)
        code = check_array(c, p, at, LORT_ARRAY_ID(LORT_ARRAY_LEFT, slice), factors->left,
                           rows * factors->rank[slice]);
    if (factors && code == LORT_OK)
        code = check_array(c, p, at, LORT_ARRAY_ID(LORT_ARRAY_RIGHT, slice), factors->right,
                           factors->rank[slice] * cols);
    const lort_term *trits = lort_part_term(p, slice, LORT_TERM_TERNARY),
                    *integers = lort_part_term(p, slice, LORT_TERM_INTEGERS),
                    *outliers = lort_part_term(p, slice, LORT_TERM_OUTLIERS);
    if (trits && code == LORT_OK)
        code = check_array(c, p, at, LORT_ARRAY_ID(LORT_ARRAY_SCALES, slice), LORT_BF16, rows);
    if (integers && code == LORT_OK)
        code = check_array(c, p, at, LORT_ARRAY_ID(LORT_ARRAY_CODES, slice), LORT_U8,
                           lort_codes_bytes(integers->scaled, m));
    if ((trits || integers) && code == LORT_OK)
        code = check_blocks(c, p, m, trits ? LORT_ARRAY_TRITS : LORT_ARRAY_BLOCKS, slice, at);
    return code || !outliers ? code : check_outliers(c, p, outliers->rank[slice], slice, at);
}

/* A slice that is in no term has no array. */
static lort_code check_arrays(lort_cursor *c, const lort_part *p, const lort_matrices *m,
                              tiling *at)
{
    uint32_t any[SLICES_AT_ONCE];
    lort_code code = LORT_OK;
    for (uint32_t base = 0; base < p->slices; base += SLICES_AT_ONCE) {
        const uint32_t n = p->slices - base < SLICES_AT_ONCE ? p->slices - base : SLICES_AT_ONCE;
        mark_slices(p, base, n, any);
        for (uint32_t i = 0; i < n && code == LORT_OK; i++)
            code = any[i] ? check_slice(c, p, m, base + i, at) : LORT_OK;
        if (code)
            return code;
    }
    return LORT_OK;
}

static lort_code get_chunks(lort_cursor *c, lort_arena *arena, lort_part *p, lort_error *err)
{
    void *memory;
    tiling at = {0, 0};
    lort_matrices m = lort_part_matrices(p);
    lort_code code = lort_body_count_fits(c, p->chunk_count, LORT_CHUNK_ENTRY, "chunks");
    if (code == LORT_OK)
        code = lort_arena_take(arena, p->chunk_count * sizeof *p->chunks, &memory, err);
    if (code)
        return code;
    p->chunks = memory;
    for (uint64_t i = 0; i < p->chunk_count && code == LORT_OK; i++)
        code = get_chunk(c, &p->chunks[i]);
    if (code == LORT_OK)
        code = check_arrays(c, p, &m, &at);
    if (code)
        return code;
    if (at.chunk != p->chunk_count || at.payload != p->payload_bytes)
        return lort_cursor_fail(c, "arrays take %llu of %llu chunks and %llu of %llu payload bytes",
                                (ull)at.chunk, (ull)p->chunk_count, (ull)at.payload,
                                (ull)p->payload_bytes);
    return LORT_OK;
}

/* Reads the 88 bytes before the name, the name and the reason. The name may be any bytes that a
 * weight file allows. */
static lort_code get_fixed(lort_cursor *c, lort_arena *arena, lort_part *p, lort_error *err)
{
    p->number = lort_get_u64(c, "part number");
    uint32_t flags = lort_get_u32(c, "part flags"), dtype = lort_get_u32(c, "element type");
    p->n_dims = lort_get_u32(c, "dimension count");
    p->slices = lort_get_u32(c, "slice count");
    p->source_bytes = lort_get_u64(c, "source size");
    const uint8_t *hash = lort_get_bytes(c, sizeof p->source.bytes, "source hash");
    uint64_t error_bits = lort_get_u64(c, "relative error");
    p->payload_bytes = lort_get_u64(c, "payload size");
    p->chunk_count = lort_get_u64(c, "chunk count");
    p->term_count = lort_get_u32(c, "term count");
    p->name_bytes = lort_get_u32(c, "name size");
    uint32_t reason_bytes = lort_get_u32(c, "reason size"),
             zero = lort_get_u32(c, "reserved field");
    const uint8_t *name = lort_get_bytes(c, p->name_bytes, "name");
    if (c->code)
        return c->code;
    memcpy(p->source.bytes, hash, sizeof p->source.bytes);
    memcpy(&p->rel_error, &error_bits, sizeof p->rel_error);
    p->tensor = flags & 1;
    p->has_error = flags & 2;
    p->convolution = flags & 4;
    p->same = flags & 8;
    p->origin = p->number;
    p->dtype = (lort_dtype)dtype;
    /* Only a tensor may be a convolution or the same as another one. The latter has no error, and
     * is no convolution: it has all of that from the other one. */
    if (flags > 9 || (flags & 12 && !p->tensor) || (p->same && flags != 9) || zero != 0)
        return lort_cursor_fail(c,
                                "part flags are %#x and the reserved field is %#x (allowed: flags "
                                "0 to 3, 5, 7 and 9, field 0)",
                                flags, zero);
    /* bits of negative numbers, Inf and NaN lie above */
    if (error_bits > 0x7fefffffffffffffu || (!p->has_error && error_bits))
        return lort_cursor_fail(c,
                                "the bits of the relative error are %#llx (allowed: a finite "
                                "number of at least 0, or 0 if undefined)",
                                (ull)error_bits);
    if (!p->tensor && p->name_bytes)
        return lort_cursor_fail(c, "a part of raw bytes has a name of %u bytes (allowed: 0)",
                                p->name_bytes);
    lort_code code = lort_arena_text(arena, name, p->name_bytes, &p->name, err);
    return code
               ? code
               : lort_body_text(c, arena, reason_bytes, LORT_REASON_MAX, "reason", &p->reason, err);
}

/* Reads which part this one is the same as. It has nothing else of its own. */
static lort_code get_origin(lort_cursor *c, lort_part *p)
{
    p->origin = lort_get_u64(c, "number of the same part");
    if (c->code)
        return c->code;
    if (p->origin >= p->number)
        return lort_cursor_fail(c, "part %llu is the same as part %llu (allowed: an earlier part)",
                                (ull)p->number, (ull)p->origin);
    if (p->slices != 1 || p->term_count || p->chunk_count || p->payload_bytes || *p->reason)
        return lort_cursor_fail(c,
                                "part %llu is the same as part %llu, but has %u slices, %u terms, "
                                "%llu chunks, %llu payload bytes and the reason '%.40s' (allowed: "
                                "1 slice and none of the others)",
                                (ull)p->number, (ull)p->origin, p->slices, p->term_count,
                                (ull)p->chunk_count, (ull)p->payload_bytes, p->reason);
    return LORT_OK;
}

static lort_code get_part(lort_cursor *c, lort_arena *arena, lort_part *p, lort_error *err)
{
    lort_code code = get_fixed(c, arena, p, err);
    if (code)
        return code;
    const uint32_t id = (uint32_t)p->dtype;
    const lort_dtype_info *type = lort_dtype_get(id);
    if (!type)
        return lort_fail(err, LORT_E_INPUT, "element type %u is not known; it needs a newer LoRT",
                         (unsigned)p->dtype);
    p->type = type;
    if (lort_is_opaque(id))
        code = lort_opaque_row(NULL, id - LORT_OPAQUE, arena, &p->type, err);
    if (code == LORT_OK)
        code = get_dims(c, arena, p, err);
    if (code == LORT_OK)
        code = check_shape(c, p, type);
    if (code == LORT_OK && p->same)
        code = get_origin(c, p);
    if (code == LORT_OK && !p->same)
        code = get_terms(c, arena, p, type, err);
    if (code == LORT_OK && !p->same)
        code = get_chunks(c, arena, p, err);
    return code ? code : lort_body_end(c);
}

lort_code lort_part_get(const uint8_t *body, uint64_t bytes, lort_arena *arena, lort_part *out,
                        lort_error *err)
{
    lort_cursor c = lort_body_cursor(body, bytes, err);
    memset(out, 0, sizeof *out);
    return lort_body_or_nothing(get_part(&c, arena, out, err), out, sizeof *out);
}
