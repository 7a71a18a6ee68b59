/* gguf_place: the places of tensors in a GGUF file. The space of a tensor is the next larger offset
 * minus its own; of the last one, the end of the file minus its own.
 *
 *     offset   A           B                C        end of the file
 *     bytes    |---|.......|---------|......|--|.....
 *     space    |<--------->|<-------------->|<------>
 *
 * A known type says how many bytes a tensor has; the rest of its space is padding, or a gap. An
 * opaque tensor has all of its space. Forks of ggml gave some ids to types of their own before ggml
 * gave them out. For these ids the space decides: if it differs from the table by more than
 * padding, all tensors of the id are opaque.
 *
 * Containers store the outcome (docs/FORMAT.md, section 10), and readers compare it with the
 * header. So a type that gets a row in the table later stays opaque in the files that were opaque
 * before: the commit that adds the row must see to it. */
#include "formats/base/text.h"
#include "formats/inputs/gguf.h"
#include "formats/types/layout.h"
#include "formats/types/opaque.h"
#include <inttypes.h>

/* ggml's Q2_0: PrismML's Q2_0 has 128 elements in 34 bytes. Ids 36 to 38 of other forks have no row
 * in the table of types. Ids 39 to 41 are as new as 42, so a fork may have used them too. */
#define FORKED_FIRST LORT_MXFP4
#define FORKED_LAST LORT_Q2_0
enum { FORKED = FORKED_LAST - FORKED_FIRST + 1 };

/* What the spaces of the tensors of one id say. */
typedef struct evidence {
    bool differs; /* a space that ends at another tensor is not that of the table */
    bool fits;    /* one is */
} evidence;

typedef struct placing {
    lort_header *h;
    uint64_t file_size;
    lort_error *err;
    evidence seen[FORKED];
    lort_opaque_rows rows;
} placing;

bool lort_gguf_may_differ(const lort_dtype_info *type)
{
    return type->id >= FORKED_FIRST && type->id <= FORKED_LAST;
}

static const char *show_name(const lort_tensor *t, char *out)
{
    return lort_escape(out, LORT_SHOWN_NAME, t->name, t->name_bytes);
}

static bool is_opaque(const lort_tensor *t) { return t->type->kind == LORT_KIND_OPAQUE; }

static lort_code lies_outside(const placing *p, const lort_tensor *t, uint64_t relative)
{
    char name[LORT_SHOWN_NAME];
    if (is_opaque(t) || t->bytes == LORT_GGUF_UNFIT)
        return lort_fail(
            p->err, LORT_E_INPUT,
            "tensor '%s' (%s, at offset %" PRIu64 " + %" PRIu64
            ") begins at or behind the end of the file of %" PRIu64 " bytes: is it truncated?",
            show_name(t, name), t->type->name, p->h->header_bytes, relative, p->file_size);
    return lort_fail(p->err, LORT_E_INPUT,
                     "tensor '%s' (%" PRIu64 " bytes at offset %" PRIu64 " + %" PRIu64
                     ") lies outside the file of %" PRIu64 " bytes: is it truncated?",
                     show_name(t, name), t->bytes, p->h->header_bytes, relative, p->file_size);
}

/* Makes an offset count from the start of the file. A tensor whose bytes are not known yet gets one
 * byte, so that the sort puts empty tensors before it. */
static lort_code place_start(const placing *p, lort_tensor *t)
{
    char name[LORT_SHOWN_NAME];
    const uint64_t relative = t->offset;
    if (relative % p->h->alignment)
        return lort_fail(p->err, LORT_E_INPUT,
                         "tensor '%s' has offset %" PRIu64
                         ", not a multiple of the alignment %" PRIu32,
                         show_name(t, name), relative, p->h->alignment);
    if (!lort_add_u64(p->h->header_bytes, relative, &t->offset) || t->offset > p->file_size ||
        (t->bytes && t->offset == p->file_size))
        return lies_outside(p, t, relative);
    t->bytes = is_opaque(t) && t->elements ? 1 : t->bytes;
    return LORT_OK;
}

/* ---- ids of forks ---- */

static evidence *evidence_of(placing *p, const lort_tensor *t)
{
    return lort_gguf_may_differ(t->type) ? &p->seen[t->type->id - FORKED_FIRST] : NULL;
}

static bool fits_space(const placing *p, const lort_tensor *t, uint64_t space)
{
    uint64_t padded;
    return t->bytes <= space && lort_align_up(t->bytes, p->h->alignment, &padded) &&
           space <= padded;
}

/* Returns the space of tensor i. *next: the next larger offset behind it; the caller goes from the
 * last tensor to the first, and begins with the end of the file. */
static uint64_t space_of(const lort_header *h, uint64_t i, uint64_t *next)
{
    const lort_tensor *t = &h->index.tensors[i];
    if (i + 1 < h->index.count && t[1].offset > t->offset)
        *next = t[1].offset;
    return *next - t->offset;
}

/* The end of the file says little about the last tensor: the file may be truncated, or have bytes
 * behind its data. So it decides only about Q2_0, which a fork is known to use, and only where no
 * other tensor of the id tells. Rows that are no whole blocks decide anywhere. */
static void weigh_spaces(placing *p)
{
    uint64_t next = p->file_size, count = p->h->index.count;
    bool last_differs = false;
    for (uint64_t i = count; i-- > 0;) {
        const lort_tensor *t = &p->h->index.tensors[i];
        const uint64_t space = space_of(p->h, i, &next);
        evidence *seen = evidence_of(p, t);
        if (!seen || t->elements == 0)
            continue;
        const bool fits = fits_space(p, t, space), last = next == p->file_size;
        seen->differs |= t->bytes == LORT_GGUF_UNFIT || (!fits && !last);
        seen->fits |= fits && !last;
        last_differs |= !fits && last && t->type->id == LORT_Q2_0;
    }
    evidence *q2_0 = &p->seen[LORT_Q2_0 - FORKED_FIRST];
    q2_0->differs |= last_differs && !q2_0->fits;
}

/* ---- sizes ---- */

/* An opaque tensor takes its space. */
static lort_code fix_size(placing *p, lort_tensor *t, uint64_t space)
{
    const evidence *seen = evidence_of(p, t);
    lort_code code = LORT_OK;
    if (seen && seen->differs)
        code = lort_opaque_row(&p->rows, (uint32_t)t->type->id, &p->h->arena, &t->type, p->err);
    if (code)
        return code;
    if (is_opaque(t))
        t->bytes = t->elements = t->elements ? space : 0;
    return LORT_OK;
}

static lort_code fix_sizes(placing *p)
{
    uint64_t next = p->file_size;
    lort_code code = LORT_OK;
    for (uint64_t i = p->h->index.count; i-- > 0 && !code;)
        code = fix_size(p, &p->h->index.tensors[i], space_of(p->h, i, &next));
    for (uint64_t i = 0; i < p->h->index.count && !code; i++) {
        const lort_tensor *t = &p->h->index.tensors[i];
        if (t->bytes > p->file_size - t->offset)
            code = lies_outside(p, t, t->offset - p->h->header_bytes);
    }
    return code;
}

/* Checks in data order that no tensors overlap. Counts the bytes that belong to no tensor; padding
 * to the alignment is no gap. */
static lort_code check_layout(const placing *p)
{
    char a[LORT_SHOWN_NAME], b[LORT_SHOWN_NAME];
    lort_header *h = p->h;
    uint64_t end = h->header_bytes, next;
    for (uint64_t i = 0; i <= h->index.count; i++) {
        const lort_tensor *t = i < h->index.count ? &h->index.tensors[i] : NULL;
        uint64_t start = t ? t->offset : p->file_size;
        if (t && t->offset < end)
            return lort_fail(p->err, LORT_E_INPUT,
                             "tensors '%s' and '%s' overlap at offset %" PRIu64,
                             show_name(&h->index.tensors[i - 1], a), show_name(t, b), t->offset);
        uint64_t since_data = end - h->header_bytes;
        if (lort_align_up(since_data, h->alignment, &next) && start - h->header_bytes > next)
            h->gaps += start - h->header_bytes - next;
        end = t ? t->offset + t->bytes : end;
    }
    return LORT_OK;
}

static lort_code place_data(placing *p, uint64_t infos_end)
{
    lort_header *h = p->h;
    if (!lort_align_up(infos_end, h->alignment, &h->header_bytes) ||
        h->header_bytes > p->file_size) {
        if (h->index.count)
            return lort_fail(p->err, LORT_E_INPUT,
                             "the data section would start at offset %" PRIu64
                             ", past the end of the file (%" PRIu64 " bytes): is it truncated?",
                             h->header_bytes, p->file_size);
        h->header_bytes = p->file_size; /* a file without tensors needs no padding */
    }
    return LORT_OK;
}

lort_code lort_gguf_place(lort_header *header, uint64_t infos_end, uint64_t file_size,
                          lort_error *err)
{
    placing p = {.h = header, .file_size = file_size, .err = err};
    lort_code code = place_data(&p, infos_end);
    for (uint64_t i = 0; i < header->index.count && !code; i++)
        code = place_start(&p, &header->index.tensors[i]);
    if (!code)
        code =
            lort_layout_sort(header->index.tensors, header->index.count, header->arena.alloc, err);
    if (!code) {
        weigh_spaces(&p);
        code = fix_sizes(&p);
    }
    if (!code)
        code = check_layout(&p);
    return code ? code : lort_index_build(&header->index, &header->arena, err);
}
