/* mixes: see mixes.h. One row per mix; an exception of type F32 (0) is none. more(i, n): the first
 * eighth, the last eighth and every third between. */
#include "compress/choice/mixes.h"
#include "formats/base/sort.h"
#include <string.h>

#define NONE LORT_F32
#define FALCON "falcon"
#define EIGHT 8   /* experts: attention is a small part of such a model */
#define GROUPED 4 /* query heads for each head of keys and values */

/* When the exceptions of a rule apply. */
typedef enum condition { ALWAYS, WITH_IMATRIX, WITHOUT_IMATRIX } condition;

/* The first `first_count` tensors, or the first n / first_part layers, get `first`. Others get
 * `more` where more(i, n), else `rest`. */
typedef struct rule {
    condition when;
    int64_t first_count, first_part;
    lort_dtype first, more, rest;
} rule;

struct lort_mix {
    const char *name, *other_name;
    lort_dtype base;
    uint32_t file_type;
    bool asks_importance;
    lort_dtype grouped_v; /* attn_v where GROUPED or more heads share it */
    rule v, down, falcon_down;
    lort_dtype output, falcon_output; /* attn_output */
    bool eight_output;                /* attn_output is Q5_K where there are 8 experts */
};

static const lort_mix mixes[] = {
    {.name = "Q2_K",
     .base = LORT_Q2_K,
     .file_type = 10,
     .grouped_v = LORT_Q4_K,
     .v = {.rest = LORT_Q3_K},
     .down = {.rest = LORT_Q3_K},
     .falcon_down = {.rest = LORT_Q3_K},
     .output = LORT_Q3_K,
     .eight_output = true},
    {.name = "Q2_K_S",
     .base = LORT_Q2_K,
     .file_type = 21,
     .asks_importance = true,
     .grouped_v = LORT_Q4_K,
     .down = {.first_part = 8, .first = LORT_Q4_K},
     .falcon_down = {.first_part = 8, .first = LORT_Q4_K}},
    {.name = "Q3_K_S", .base = LORT_Q3_K, .file_type = 11, .eight_output = true},
    {.name = "Q3_K_M",
     .other_name = "Q3_K",
     .base = LORT_Q3_K,
     .file_type = 12,
     .v = {.first_count = 2, .first = LORT_Q5_K, .rest = LORT_Q4_K},
     .down = {.first_part = 16, .first = LORT_Q5_K, .rest = LORT_Q4_K},
     .falcon_down = {.first_part = 16, .first = LORT_Q5_K, .more = LORT_Q4_K},
     .output = LORT_Q4_K,
     .eight_output = true},
    {.name = "Q3_K_L",
     .base = LORT_Q3_K,
     .file_type = 13,
     .v = {.rest = LORT_Q5_K},
     .down = {.rest = LORT_Q5_K},
     .falcon_down = {.rest = LORT_Q4_K},
     .output = LORT_Q5_K,
     .falcon_output = LORT_Q4_K},
    {.name = "IQ4_XS",
     .base = LORT_IQ4_XS,
     .file_type = 30,
     .grouped_v = LORT_Q5_K,
     .down = {.when = WITHOUT_IMATRIX, .first_part = 8, .first = LORT_Q5_K},
     .falcon_down = {.when = WITHOUT_IMATRIX, .first_part = 8, .first = LORT_Q5_K},
     .eight_output = true},
    {.name = "IQ4_NL",
     .base = LORT_IQ4_NL,
     .file_type = 25,
     .grouped_v = LORT_Q5_K,
     .down = {.when = WITHOUT_IMATRIX, .first_part = 8, .first = LORT_Q5_K},
     .falcon_down = {.when = WITHOUT_IMATRIX, .first_part = 8, .first = LORT_Q5_K},
     .eight_output = true},
    {.name = "Q4_0",
     .base = LORT_Q4_0,
     .file_type = 2,
     .down = {.when = WITH_IMATRIX, .first_part = 8, .first = LORT_Q4_1},
     .falcon_down = {.when = WITH_IMATRIX, .first_part = 8, .first = LORT_Q4_1}},
    {.name = "Q4_1", .base = LORT_Q4_1, .file_type = 3},
    {.name = "Q4_K_S",
     .base = LORT_Q4_K,
     .file_type = 14,
     .v = {.first_count = 4, .first = LORT_Q5_K},
     .down = {.first_part = 8, .first = LORT_Q5_K},
     .eight_output = true},
    {.name = "Q4_K_M",
     .other_name = "Q4_K",
     .base = LORT_Q4_K,
     .file_type = 15,
     .v = {.more = LORT_Q6_K},
     .down = {.more = LORT_Q6_K},
     .falcon_down = {.first_part = 16, .first = LORT_Q6_K, .more = LORT_Q5_K},
     .eight_output = true},
    {.name = "Q5_0",
     .base = LORT_Q5_0,
     .file_type = 8,
     .down = {.when = WITH_IMATRIX, .first_part = 8, .first = LORT_Q5_1},
     .falcon_down = {.when = WITH_IMATRIX, .first_part = 8, .first = LORT_Q5_1}},
    {.name = "Q5_1", .base = LORT_Q5_1, .file_type = 9},
    {.name = "Q5_K_S", .base = LORT_Q5_K, .file_type = 16},
    {.name = "Q5_K_M",
     .other_name = "Q5_K",
     .base = LORT_Q5_K,
     .file_type = 17,
     .v = {.more = LORT_Q6_K},
     .down = {.more = LORT_Q6_K},
     .falcon_down = {.more = LORT_Q6_K}},
    {.name = "Q6_K", .base = LORT_Q6_K, .file_type = 18},
    {.name = "Q8_0", .base = LORT_Q8_0, .file_type = 7},
    {.name = "F16", .base = LORT_F16, .file_type = 1},
    {.name = "BF16", .base = LORT_BF16, .file_type = 32},
};
enum { MIXES = sizeof mixes / sizeof *mixes };

/* Models that llama.cpp calls 70B: eight query heads share attn_v, so it is small. */
static const struct {
    const char *arch;
    int64_t n_layer;
    bool only_grouped; /* and only without 8 experts */
} large_models[] = {
    {"llama", 80, true}, {"llama-embed", 80, true}, {"qwen2", 80, false},
    {"deci", 80, false}, {"olmo", 80, false},       {"jais2", 68, false},
};

static bool same_word(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        const char upper = (char)(*a >= 'a' && *a <= 'z' ? *a - 'a' + 'A' : *a);
        if (upper != *b)
            return false;
    }
    return *a == *b;
}

const lort_mix *lort_mix_by_name(const char *name)
{
    for (unsigned i = 0; i < MIXES; i++)
        if (same_word(name, mixes[i].name) ||
            (mixes[i].other_name && same_word(name, mixes[i].other_name)))
            return &mixes[i];
    return NULL;
}

const lort_mix *lort_mix_at(uint32_t i) { return i < MIXES ? &mixes[i] : NULL; }
const char *lort_mix_name(const lort_mix *mix) { return mix->name; }
const lort_dtype_info *lort_mix_base(const lort_mix *mix) { return lort_dtype_get(mix->base); }
bool lort_mix_asks_importance(const lort_mix *mix) { return mix->asks_importance; }

bool lort_file_type_of(lort_dtype type, uint32_t *file_type)
{
    *file_type = 0;
    if (type == LORT_F32)
        return true;
    for (unsigned i = 0; i < MIXES; i++)
        if (mixes[i].base == type && !mixes[i].asks_importance &&
            (*file_type == 0 || mixes[i].file_type < *file_type))
            *file_type = mixes[i].file_type;
    return *file_type != 0;
}

uint32_t lort_mix_file_type(const lort_mix *mix, bool pure)
{
    uint32_t file_type = mix->file_type;
    if (pure)
        (void)lort_file_type_of(mix->base, &file_type);
    return file_type;
}

/* What llama-quantize takes a tensor for, by a part of its name. */
typedef enum category {
    CATEGORY_OTHER,
    CATEGORY_TOP,
    CATEGORY_V,
    CATEGORY_K,
    CATEGORY_OUTPUT,
    CATEGORY_DOWN
} category;

static const struct {
    const char *part;
    category category;
} parts[] = {
    {"attn_qkv.weight", CATEGORY_V},   {"attn_kv_b.weight", CATEGORY_V},
    {"attn_v.weight", CATEGORY_V},     {"attn_k.weight", CATEGORY_K},
    {"attn_q.weight", CATEGORY_OTHER}, {"attn_output.weight", CATEGORY_OUTPUT},
    {"ffn_up", CATEGORY_OTHER},        {"ffn_gate", CATEGORY_OTHER},
    {"ffn_down", CATEGORY_DOWN},
};

static category category_of(const lort_mix_tensor *tensor)
{
    if (tensor->use == LORT_USE_TOKEN_EMBD || tensor->use == LORT_USE_OUTPUT)
        return CATEGORY_TOP;
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
        if (lort_name_has(tensor->name, tensor->name_bytes, parts[i].part))
            return parts[i].category;
    return CATEGORY_OTHER;
}

/* A tensor in the order in which llama-quantize counts: by layer, then by name. */
typedef struct place {
    const char *name;
    uint64_t bytes, index;
    int64_t layer;
} place;

static bool place_is_before(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->layer != y->layer)
        return x->layer < y->layer;
    const uint64_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
    const int order = memcmp(x->name, y->name, least);
    return order ? order < 0 : x->bytes < y->bytes;
}

/* N of a name that begins with "blk.N.", or -1. */
static int64_t layer_of(const lort_mix_tensor *tensor)
{
    int64_t layer = 0;
    uint64_t at = 4;
    if (tensor->name_bytes < 6 || memcmp(tensor->name, "blk.", 4) != 0)
        return -1;
    for (; at < tensor->name_bytes && at < 13; at++) {
        if (tensor->name[at] < '0' || tensor->name[at] > '9')
            break;
        layer = 10 * layer + (tensor->name[at] - '0');
    }
    return at > 4 ? layer : -1;
}

static bool is_large(const lort_mix_facts *facts)
{
    for (unsigned i = 0; i < sizeof large_models / sizeof *large_models; i++)
        if (strcmp(facts->arch, large_models[i].arch) == 0 &&
            facts->n_layer == large_models[i].n_layer)
            return !large_models[i].only_grouped ||
                   (facts->n_head != facts->n_head_kv && facts->n_expert != EIGHT);
    return false;
}

static bool more(int64_t i, int64_t n)
{
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static bool applies(condition when, bool has_imatrix)
{
    return when == ALWAYS || (when == WITH_IMATRIX) == has_imatrix;
}

/* The type of tensor i of n under a rule, or NONE. */
static lort_dtype rule_type(const rule *r, bool has_imatrix, int64_t i, int64_t n)
{
    if (!applies(r->when, has_imatrix))
        return NONE;
    if (i < r->first_count || (r->first_part > 0 && i < n / r->first_part))
        return r->first;
    return r->more != NONE && more(i, n) ? r->more : r->rest;
}

typedef struct counts {
    const lort_mix *mix;
    const lort_mix_facts *facts;
    bool falcon, large, tied;
    int64_t i_v, n_v, i_down;
} counts;

static lort_dtype top_type(const counts *c, const lort_mix_tensor *tensor, uint64_t row)
{
    const lort_dtype_info *base = lort_dtype_get(c->mix->base);
    if (tensor->use == LORT_USE_TOKEN_EMBD && !c->tied)
        return NONE;
    if (c->falcon || row % base->block_elements != 0)
        return LORT_Q8_0;
    return base->id == LORT_Q8_0 ? NONE : LORT_Q6_K;
}

static lort_dtype v_type(const counts *c)
{
    const lort_mix_facts *facts = c->facts;
    const uint64_t shared = facts->n_head_kv > 0 ? facts->n_head / facts->n_head_kv : 0;
    lort_dtype type = c->mix->grouped_v;
    if (type == NONE || shared < GROUPED)
        type = rule_type(&c->mix->v, facts->has_imatrix, c->i_v, c->n_v);
    if (type == NONE)
        type = c->mix->base;
    if (c->large && (type == LORT_Q3_K || type == LORT_Q4_K))
        type = LORT_Q5_K;
    return facts->n_expert == EIGHT ? LORT_Q8_0 : type;
}

/* llama-quantize refuses a file with experts where a ffn_down is outside of the layers. LoRT gives
 * such a tensor the type of a middle layer. */
static lort_dtype down_type(const counts *c, int64_t layer)
{
    const rule *exceptions = c->falcon ? &c->mix->falcon_down : &c->mix->down;
    const int64_t n = c->facts->n_layer;
    int64_t i = c->i_down;
    if (c->facts->n_expert > 1)
        i = layer >= 0 && layer < n ? layer : n / 8 + 1;
    return rule_type(exceptions, c->facts->has_imatrix, i, n);
}

static lort_dtype output_type(const counts *c)
{
    if (c->falcon)
        return c->mix->falcon_output;
    if (c->facts->n_expert == EIGHT)
        return c->mix->eight_output ? LORT_Q5_K : NONE;
    return c->mix->output;
}

/* The exception for a tensor, or NONE. Counts it. */
static lort_dtype exception(counts *c, const lort_mix_tensor *tensor, int64_t layer, uint64_t row)
{
    lort_dtype type = NONE;
    switch (category_of(tensor)) {
    case CATEGORY_TOP:
        return top_type(c, tensor, row);
    case CATEGORY_V:
        type = v_type(c);
        c->i_v++;
        return type;
    case CATEGORY_K:
        return c->facts->n_expert == EIGHT ? LORT_Q8_0 : NONE;
    case CATEGORY_DOWN:
        type = down_type(c, layer);
        c->i_down++;
        return type;
    case CATEGORY_OUTPUT:
        return output_type(c);
    default:
        return NONE;
    }
}

static void assign_one(counts *c, bool is_mixed, lort_mix_tensor *tensor, int64_t layer)
{
    const uint64_t row = tensor->n_dims ? (uint64_t)tensor->dims[tensor->n_dims - 1] : 1;
    const bool is_counted =
        lort_llama_quantises(tensor->name, tensor->name_bytes, tensor->dims, tensor->n_dims);
    lort_dtype type = NONE;
    if (is_mixed && (is_counted || tensor->use != LORT_USE_KEPT))
        type = exception(c, tensor, layer, row);
    tensor->type = NULL;
    if (tensor->use != LORT_USE_KEPT)
        tensor->type = lort_fit_type(lort_dtype_get(type == NONE ? c->mix->base : type), row);
}

static counts count_all(const lort_mix *mix, const lort_mix_facts *facts,
                        const lort_mix_tensor *tensors, uint64_t count)
{
    counts c = {.mix = mix, .facts = facts, .tied = true};
    c.falcon = strcmp(facts->arch, FALCON) == 0;
    c.large = is_large(facts);
    for (uint64_t i = 0; i < count; i++) {
        if (category_of(&tensors[i]) == CATEGORY_V)
            c.n_v++;
        if (lort_use_of(tensors[i].name, tensors[i].name_bytes, NULL) == LORT_USE_OUTPUT)
            c.tied = false;
    }
    return c;
}

lort_code lort_mix_assign(const lort_mix *mix, bool pure, const lort_mix_facts *facts,
                          lort_mix_tensor *tensors, uint64_t count, const lort_alloc *alloc,
                          lort_error *err)
{
    const bool is_mixed = !pure && lort_dtype_get(mix->base)->kind == LORT_KIND_BLOCK;
    counts c = count_all(mix, facts, tensors, count);
    void *memory = NULL;
    lort_code code = lort_take(alloc, count * sizeof(place), "the order of tensors", &memory, err);
    if (code != LORT_OK)
        return code;
    place *places = memory;
    for (uint64_t i = 0; i < count; i++)
        places[i] = (place){tensors[i].name, tensors[i].name_bytes, i, layer_of(&tensors[i])};
    lort_sort(places, count, sizeof *places, place_is_before);
    for (uint64_t i = 0; i < count; i++)
        assign_one(&c, is_mixed, &tensors[places[i].index], places[i].layer);
    lort_give(alloc, places, count * sizeof(place));
    return LORT_OK;
}
