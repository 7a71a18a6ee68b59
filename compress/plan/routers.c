/* routers: see routers.h. */
#include "compress/plan/routers.h"
#include "compress/goal/kinds.h"
#include "formats/base/names.h"
#include <string.h>

#define SIDE_MOST 1024   /* experts of a router that is known by its name */
#define NUMBER_MOST 4096 /* experts that are told by their numbers */
#define KERNEL_MOST 16   /* sides of a convolution's kernel */
enum { COUNTS_MOST = 4, SIDES_MOST = 8 };

/* ---- names ---- */

typedef struct part {
    const char *text;
    uint32_t bytes;
} part;

static bool part_is(part p, const char *text)
{
    return p.bytes == strlen(text) && memcmp(p.text, text, p.bytes) == 0;
}

static bool part_has(part p, const char *text)
{
    const uint32_t n = (uint32_t)strlen(text);
    for (uint32_t i = 0; p.bytes >= n && i <= p.bytes - n; i++)
        if (memcmp(p.text + i, text, n) == 0)
            return true;
    return false;
}

/* The number that the last digits of a part are; false if there are none, or too many. */
static bool part_number(part p, bool whole, uint64_t *out)
{
    uint32_t first = p.bytes;
    *out = 0;
    while (first > 0 && p.text[first - 1] >= '0' && p.text[first - 1] <= '9')
        first--;
    if (first == p.bytes || p.bytes - first > 9 || (whole ? first > 0 : p.text[first - 1] != '_'))
        return false;
    for (uint32_t i = first; i < p.bytes; i++)
        *out = 10 * *out + (uint64_t)(p.text[i] - '0');
    return true;
}

/* The next part of the first `end` bytes of a name; false behind the last. */
static bool next_part(const char *name, uint32_t end, uint32_t *at, part *out)
{
    if (*at > end)
        return false;
    uint32_t stop = *at;
    while (stop < end && name[stop] != '.')
        stop++;
    *out = (part){name + *at, stop - *at};
    *at = stop + 1;
    return true;
}

/* The bytes of a name without ".weight" or ".bias". */
static uint32_t stem_end(const lort_tensor *tensor)
{
    static const char *const endings[] = {".weight", ".bias"};
    for (unsigned i = 0; i < sizeof endings / sizeof *endings; i++) {
        const uint32_t n = (uint32_t)strlen(endings[i]);
        if (tensor->name_bytes > n &&
            memcmp(tensor->name + tensor->name_bytes - n, endings[i], n) == 0)
            return tensor->name_bytes - n;
    }
    return tensor->name_bytes;
}

static const struct {
    const char *before, *last; /* before: NULL: any part */
} known[] = {{NULL, "shared_expert_gate"}, {NULL, "e_score_correction_bias"},
             {NULL, "expert_bias"},        {NULL, "ffn_gate_inp"},
             {NULL, "ffn_gate_inp_shexp"}, {NULL, "exp_probs_b"},
             {"indexer", "weights_proj"},  {"indexer", "wk"},
             {"indexer", "proj"},          {"indexer", "attn_k"}};

static bool is_known(part before, part last)
{
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (part_is(last, known[i].last) && (!known[i].before || part_is(before, known[i].before)))
            return true;
    return false;
}

/* True for gate, router and wg, and for parts behind "router.", also "router.layers.0". */
static bool is_spelled(const part last[3])
{
    uint64_t number;
    return part_is(last[0], "gate") || part_is(last[0], "router") || part_is(last[0], "wg") ||
           part_is(last[1], "router") ||
           (part_is(last[2], "router") && part_number(last[0], true, &number));
}

static bool is_named(const lort_tensor *tensor, const lort_matrices *shape)
{
    const uint32_t end = stem_end(tensor);
    part last[3] = {{"", 0}, {"", 0}, {"", 0}}, next;
    for (uint32_t at = 0; next_part(tensor->name, end, &at, &next);) {
        last[2] = last[1];
        last[1] = last[0];
        last[0] = next;
    }
    if (is_known(last[1], last[0]))
        return true;
    if (tensor->n_dims < 2) /* a scalar named "gate" is a factor, and no router */
        return tensor->elements > 1 && end < tensor->name_bytes && is_spelled(last);
    return (shape->rows <= SIDE_MOST || shape->cols <= SIDE_MOST) && is_spelled(last);
}

/* ---- blocks with experts ---- */

/* How a tensor stands to blocks. */
typedef struct place {
    uint32_t block;   /* bytes of the block's name; 0: the name has no number */
    bool expert;      /* it is a weight of one expert, or of a stack of experts */
    uint64_t experts; /* at least so many, by its number; 0: it has none */
} place;

typedef struct block {
    uint64_t counts[COUNTS_MOST]; /* of experts */
    uint64_t sides[SIDES_MOST];   /* of experts' matrices */
    uint64_t numbered;            /* the largest number of an expert, and one */
    unsigned count_count, side_count;
    bool any_side; /* the experts are packed: their sides are not known */
} block;

typedef struct finder {
    const lort_index *index;
    const lort_facts *facts;
    lort_names blocks; /* to numbers of blocks */
    block *list;
    uint64_t room;
} finder;

static bool is_expert_part(part p) { return part_has(p, "expert") || part_has(p, "_exps"); }

/* Stacked matrices that are no kernels of a convolution. */
static bool is_stack(const lort_matrices *shape)
{
    return shape->slices > 1 && shape->rows > KERNEL_MOST && shape->cols > KERNEL_MOST;
}

/* Old GGUF has its experts as "blk.0.ffn_up.3": a second number in the name of an ffn matrix. */
static bool is_ffn(const char *name)
{
    return strncmp(lort_kind_name(lort_kind_of(name)), "ffn", 3) == 0;
}

static place place_of(const lort_tensor *tensor, const lort_matrices *shape)
{
    const uint32_t end = stem_end(tensor);
    place out = {.expert = is_stack(shape) && tensor->type->decode};
    part p;
    bool named = false;
    uint64_t number;
    for (uint32_t at = 0; next_part(tensor->name, end, &at, &p);) {
        const bool last = at > end, numeric = part_number(p, true, &number),
                   second = numeric && out.block && !named && is_ffn(tensor->name);
        if (second || (named && numeric && out.experts == 0))
            out.experts = number + 1;
        else if (numeric && !named && out.block == 0)
            out.block = (uint32_t)(p.text + p.bytes - tensor->name);
        named |= second;
        if (named || !is_expert_part(p) || (last && shape->slices < 2))
            continue;
        named = true;
        if (part_number(p, false, &number))
            out.experts = number + 1;
    }
    out.experts = named && out.experts <= NUMBER_MOST ? out.experts : 0;
    out.expert |= named;
    return out;
}

static lort_code get_block(finder *f, const char *name, uint32_t bytes, block **out,
                           lort_error *err)
{
    bool is_new;
    uint32_t number;
    if (f->blocks.used == f->room) {
        const uint64_t room = f->room ? 2 * f->room : 64;
        void *memory;
        lort_code code = lort_take_zero(f->blocks.alloc, room * sizeof *f->list, "a list of blocks",
                                        &memory, err);
        if (code)
            return code;
        if (f->room)
            memcpy(memory, f->list, f->room * sizeof *f->list);
        lort_give(f->blocks.alloc, f->list, f->room * sizeof *f->list);
        f->list = memory;
        f->room = room;
    }
    lort_code code =
        lort_names_add(&f->blocks, name, bytes, (uint32_t)f->blocks.used, &is_new, &number, err);
    *out = code ? NULL : &f->list[number];
    return code;
}

static bool has_number(const uint64_t *list, unsigned count, uint64_t v)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i] == v)
            return true;
    return false;
}

static void add_number(uint64_t *list, unsigned *count, unsigned most, uint64_t v)
{
    if (*count < most && !has_number(list, *count, v))
        list[(*count)++] = v;
}

static lort_code list_expert(finder *f, const lort_tensor *tensor, lort_error *err)
{
    const lort_matrices shape = lort_tensor_matrices(tensor);
    const place at = place_of(tensor, &shape);
    block *b;
    if (!at.expert || tensor->n_dims < 2 || tensor->elements == 0)
        return LORT_OK;
    lort_code code = get_block(f, tensor->name, at.block, &b, err);
    if (code)
        return code;
    b->numbered = at.experts > b->numbered ? at.experts : b->numbered;
    if (shape.slices > 1 && tensor->dims[0] > 1)
        add_number(b->counts, &b->count_count, COUNTS_MOST, (uint64_t)tensor->dims[0]);
    if (!tensor->type->decode || tensor->type->kind == LORT_KIND_OTHER) {
        b->any_side = true;
        return LORT_OK;
    }
    add_number(b->sides, &b->side_count, SIDES_MOST, (uint64_t)shape.rows);
    add_number(b->sides, &b->side_count, SIDES_MOST, (uint64_t)shape.cols);
    return LORT_OK;
}

/* ---- structure ---- */

static bool has_experts(const finder *f, const block *b, uint64_t count)
{
    return count >= 2 && (count == b->numbered || has_number(b->counts, b->count_count, count) ||
                          has_number(f->facts->experts, f->facts->expert_count, count));
}

static bool has_side(const block *b, uint64_t side)
{
    return b->any_side || has_number(b->sides, b->side_count, side);
}

/* A name that says something else, such as k_proj or gate_proj, is no router. */
static bool is_other_kind(const char *name)
{
    const unsigned kind = lort_kind_of(name);
    return lort_kind_name(kind + 1) && !lort_kind_is_router(kind);
}

static bool fits_block(const finder *f, const lort_tensor *tensor, uint32_t bytes,
                       const lort_matrices *shape)
{
    const lort_names_slot *slot = lort_names_find(&f->blocks, tensor->name, bytes);
    const uint64_t rows = (uint64_t)shape->rows, cols = (uint64_t)shape->cols;
    const block *b = slot ? &f->list[slot->value] : NULL;
    return b && ((has_experts(f, b, rows) && has_side(b, cols)) ||
                 (has_experts(f, b, cols) && has_side(b, rows)));
}

static bool is_structural(const finder *f, const lort_tensor *tensor, const lort_matrices *shape)
{
    if (f->blocks.used == 0 || tensor->n_dims < 2 || shape->slices != 1)
        return false;
    const place at = place_of(tensor, shape);
    if (at.expert || is_other_kind(tensor->name))
        return false;
    return fits_block(f, tensor, at.block, shape) || (at.block && fits_block(f, tensor, 0, shape));
}

lort_code lort_routers_mark(const lort_index *index, const lort_facts *facts,
                            const lort_alloc *alloc, uint8_t *marks, lort_error *err)
{
    finder f = {.index = index, .facts = facts, .blocks = {.alloc = alloc}};
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < index->count && code == LORT_OK; i++)
        code = list_expert(&f, &index->tensors[i], err);
    for (uint64_t i = 0; i < index->count && code == LORT_OK; i++) {
        const lort_tensor *tensor = &index->tensors[i];
        const lort_matrices shape = lort_tensor_matrices(tensor);
        if (marks[i] == LORT_MARK_NONE && tensor->elements > 0 &&
            tensor->type->kind != LORT_KIND_OTHER &&
            (is_named(tensor, &shape) || is_structural(&f, tensor, &shape)))
            marks[i] = LORT_MARK_ROUTER;
    }
    lort_give(alloc, f.list, f.room * sizeof *f.list);
    lort_names_free(&f.blocks);
    return code;
}
