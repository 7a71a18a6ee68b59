/* roles: see roles.h. Three tables: names that LoRT quantises, parts of names that tell why a
 * tensor is kept, and types for rows that are not whole blocks. */
#include "compress/choice/roles.h"
#include "formats/base/text.h"
#include <string.h>

#define WEIGHT ".weight"
#define LAYER_DIGITS 9 /* a longer number is no layer of a model */

static const struct {
    const char *name;
    lort_use use;
} top_names[] = {
    {"token_embd", LORT_USE_TOKEN_EMBD},
    {"output", LORT_USE_OUTPUT},
};

static const char *const block_prefixes[] = {"blk.", "enc.blk.", "dec.blk."};

static const struct {
    const char *suffix;
    lort_use use;
} block_names[] = {
    {"attn_q", LORT_USE_ATTN_Q},           {"attn_k", LORT_USE_ATTN_K},
    {"attn_v", LORT_USE_ATTN_V},           {"attn_qkv", LORT_USE_ATTN_QKV},
    {"attn_output", LORT_USE_ATTN_OUTPUT}, {"attn_q_a", LORT_USE_ATTN_Q_A},
    {"attn_q_b", LORT_USE_ATTN_Q_B},       {"attn_kv_a_mqa", LORT_USE_ATTN_KV_A_MQA},
    {"attn_kv_b", LORT_USE_ATTN_KV_B},     {"attn_k_b", LORT_USE_ATTN_K_B},
    {"attn_v_b", LORT_USE_ATTN_V_B},       {"ffn_gate", LORT_USE_FFN_GATE},
    {"ffn_up", LORT_USE_FFN_UP},           {"ffn_down", LORT_USE_FFN_DOWN},
    {"ffn_gate_exps", LORT_USE_FFN_GATE},  {"ffn_up_exps", LORT_USE_FFN_UP},
    {"ffn_down_exps", LORT_USE_FFN_DOWN},  {"ffn_gate_shexp", LORT_USE_FFN_GATE},
    {"ffn_up_shexp", LORT_USE_FFN_UP},     {"ffn_down_shexp", LORT_USE_FFN_DOWN},
};
enum {
    TOP_NAMES = sizeof top_names / sizeof *top_names,
    BLOCK_PREFIXES = sizeof block_prefixes / sizeof *block_prefixes,
    BLOCK_NAMES = sizeof block_names / sizeof *block_names
};

typedef struct text {
    const char *at;
    uint64_t bytes;
} text;

static bool text_is(text t, const char *word)
{
    const size_t n = strlen(word);
    return t.bytes == n && memcmp(t.at, word, n) == 0;
}

/* Moves behind `word` if the text begins with it. */
static bool skip_word(text *t, const char *word)
{
    const size_t n = strlen(word);
    if (t->bytes < n || memcmp(t->at, word, n) != 0)
        return false;
    t->at += n;
    t->bytes -= n;
    return true;
}

/* Moves behind the number of a layer and its point. llama.cpp writes no leading zeros. */
static bool skip_layer(text *t, int64_t *layer)
{
    int64_t value = 0;
    uint64_t digits = 0;
    while (digits < t->bytes && t->at[digits] >= '0' && t->at[digits] <= '9') {
        if (digits == LAYER_DIGITS || (digits == 1 && value == 0))
            return false;
        value = 10 * value + (t->at[digits++] - '0');
    }
    if (digits == 0 || digits == t->bytes || t->at[digits] != '.')
        return false;
    t->at += digits + 1;
    t->bytes -= digits + 1;
    *layer = value;
    return true;
}

static lort_use use_in_block(text name, int64_t *layer)
{
    bool is_block = false;
    for (unsigned i = 0; i < BLOCK_PREFIXES && !is_block; i++)
        is_block = skip_word(&name, block_prefixes[i]);
    if (!is_block || !skip_layer(&name, layer))
        return LORT_USE_KEPT;
    for (unsigned i = 0; i < BLOCK_NAMES; i++)
        if (text_is(name, block_names[i].suffix))
            return block_names[i].use;
    return LORT_USE_KEPT;
}

lort_use lort_use_of(const char *name, uint64_t bytes, int64_t *layer)
{
    int64_t number = -1;
    lort_use use = LORT_USE_KEPT;
    if (lort_text_ends_in(name, bytes, WEIGHT)) {
        const text stem = {name, bytes - (sizeof WEIGHT - 1)};
        for (unsigned i = 0; i < TOP_NAMES && use == LORT_USE_KEPT; i++)
            if (text_is(stem, top_names[i].name))
                use = top_names[i].use;
        if (use == LORT_USE_KEPT)
            use = use_in_block(stem, &number);
    }
    if (layer)
        *layer = use == LORT_USE_KEPT ? -1 : number;
    return use;
}

/* Parts of names, in order: the first that occurs tells the reason. llama: llama-quantize keeps
 * such a tensor too. */
static const struct {
    const char *part;
    lort_keep reason;
    bool whole, llama; /* whole: the part is the whole name */
} kept_parts[] = {
    {"_norm.weight", LORT_KEEP_NORM, false, true},
    {"ffn_gate_inp.weight", LORT_KEEP_ROUTER, false, true},
    {"ffn_gate_tid2eid.weight", LORT_KEEP_ROUTER, false, true},
    {"ffn_gate_inp", LORT_KEEP_ROUTER, false, false},
    {"position_embd.weight", LORT_KEEP_POSITION, true, true},
    {"token_types.weight", LORT_KEEP_POSITION, true, true},
    {".position_embd", LORT_KEEP_POSITION, false, true},
    {"sam.pos_embd", LORT_KEEP_POSITION, false, true},
    {"attn_rel_b.weight", LORT_KEEP_POSITION, false, true},
    {".rel_pos", LORT_KEEP_POSITION, false, true},
    {"ssm_conv1d", LORT_KEEP_CONVOLUTION, false, true},
    {"shortconv.conv.weight", LORT_KEEP_CONVOLUTION, false, true},
    {"sam.neck.", LORT_KEEP_CONVOLUTION, false, true},
    {"sam.net_", LORT_KEEP_CONVOLUTION, false, true},
    {".patch_embd", LORT_KEEP_CONVOLUTION, false, true},
    {".patch_merger", LORT_KEEP_CONVOLUTION, false, true},
    {"a.rvq.codebook", LORT_KEEP_CODEBOOK, false, true},
    {"mm.a.code_embd", LORT_KEEP_CODEBOOK, false, true},
    {"altup", LORT_KEEP_SMALL, false, true},
    {"laurel", LORT_KEEP_SMALL, false, true},
    {"per_layer_model_proj", LORT_KEEP_SMALL, false, true},
    {"indexer.k_proj.weight", LORT_KEEP_ROUTER, false, true},
    {"indexer.q_proj.weight", LORT_KEEP_ROUTER, false, true},
    {"indexer.", LORT_KEEP_ROUTER, false, false},
    {"time_mix_first.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_w0.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_w1.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_w2.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_v0.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_v1.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_v2.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_a0.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_a1.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_a2.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_g1.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_g2.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_decay_w1.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_decay_w2.weight", LORT_KEEP_SMALL, false, true},
    {"time_mix_lerp_fused.weight", LORT_KEEP_SMALL, false, true},
};
enum { KEPT_PARTS = sizeof kept_parts / sizeof *kept_parts };

/* What the names of vision and audio towers, and of their projectors, begin with. */
static const char *const towers[] = {"v.", "a.", "mm.", "resampler.", "sam."};

bool lort_name_has(const char *name, uint64_t bytes, const char *part)
{
    const size_t n = strlen(part);
    for (uint64_t i = 0; bytes >= n && i <= bytes - n; i++)
        if (memcmp(name + i, part, n) == 0)
            return true;
    return false;
}

static bool kept_part_is_in(text name, unsigned i)
{
    return kept_parts[i].whole ? text_is(name, kept_parts[i].part)
                               : lort_name_has(name.at, name.bytes, kept_parts[i].part);
}

static lort_keep keep_by_name(text name)
{
    if (!lort_text_ends_in(name.at, name.bytes, WEIGHT))
        return LORT_KEEP_NOT_WEIGHT;
    for (unsigned i = 0; i < KEPT_PARTS; i++)
        if (kept_part_is_in(name, i))
            return kept_parts[i].reason;
    for (unsigned i = 0; i < sizeof towers / sizeof *towers; i++) {
        text rest = name;
        if (skip_word(&rest, towers[i]))
            return LORT_KEEP_TOWER;
    }
    return LORT_KEEP_NAME;
}

/* The number of dims that ggml counts. */
static uint32_t count_dims(const int64_t *dims, uint32_t n_dims)
{
    uint32_t ones = 0;
    while (ones < n_dims && dims[ones] == 1)
        ones++;
    return n_dims - ones;
}

lort_keep lort_keep_why(const char *name, uint64_t bytes, const int64_t *dims, uint32_t n_dims)
{
    const uint32_t counted = count_dims(dims, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        if (dims[i] <= 0)
            return LORT_KEEP_EMPTY;
    if (counted < 2)
        return LORT_KEEP_VECTOR;
    if (lort_use_of(name, bytes, NULL) == LORT_USE_KEPT)
        return keep_by_name((text){name, bytes});
    return counted > 3 ? LORT_KEEP_STACK : LORT_KEEP_NOT;
}

static const char *const keep_texts[LORT_KEEPS] = {
    [LORT_KEEP_NOT] = "",
    [LORT_KEEP_VECTOR] = "fewer than two dimensions",
    [LORT_KEEP_STACK] = "more than three dimensions",
    [LORT_KEEP_EMPTY] = "empty",
    [LORT_KEEP_NOT_WEIGHT] = "name does not end in .weight",
    [LORT_KEEP_NORM] = "norm",
    [LORT_KEEP_ROUTER] = "router, its order decides",
    [LORT_KEEP_POSITION] = "table of positions",
    [LORT_KEEP_CONVOLUTION] = "convolution or patch",
    [LORT_KEEP_CODEBOOK] = "codebook",
    [LORT_KEEP_SMALL] = "small, and its errors count",
    [LORT_KEEP_TOWER] = "vision or audio tower",
    [LORT_KEEP_NAME] = "name is not on the list",
};

const char *lort_keep_text(lort_keep reason)
{
    return (unsigned)reason < LORT_KEEPS ? keep_texts[reason] : "";
}

bool lort_llama_quantises(const char *name, uint64_t bytes, const int64_t *dims, uint32_t n_dims)
{
    const text t = {name, bytes};
    if (count_dims(dims, n_dims) < 2 || !lort_text_ends_in(name, bytes, "weight"))
        return false;
    for (unsigned i = 0; i < KEPT_PARTS; i++)
        if (kept_parts[i].llama && kept_part_is_in(t, i))
            return false;
    return true;
}

static const struct {
    lort_dtype wished, written;
} row_types[] = {
    {LORT_IQ1_S, LORT_IQ4_NL},  {LORT_IQ1_M, LORT_IQ4_NL},  {LORT_IQ2_XXS, LORT_IQ4_NL},
    {LORT_IQ2_XS, LORT_IQ4_NL}, {LORT_IQ2_S, LORT_IQ4_NL},  {LORT_IQ3_XXS, LORT_IQ4_NL},
    {LORT_IQ3_S, LORT_IQ4_NL},  {LORT_IQ4_XS, LORT_IQ4_NL}, {LORT_Q2_K, LORT_Q4_0},
    {LORT_Q3_K, LORT_Q4_0},     {LORT_TQ1_0, LORT_Q4_0},    {LORT_TQ2_0, LORT_Q4_0},
    {LORT_Q4_K, LORT_Q5_0},     {LORT_Q5_K, LORT_Q5_1},     {LORT_Q6_K, LORT_Q8_0},
};

const lort_dtype_info *lort_fit_type(const lort_dtype_info *wished, uint64_t row)
{
    if (row % wished->block_elements == 0)
        return wished;
    for (unsigned i = 0; i < sizeof row_types / sizeof *row_types; i++)
        if (row_types[i].wished == wished->id) {
            const lort_dtype_info *written = lort_dtype_get(row_types[i].written);
            return row % written->block_elements == 0 ? written : lort_dtype_get(LORT_F16);
        }
    return lort_dtype_get(LORT_F16);
}
