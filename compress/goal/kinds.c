/* kinds: see kinds.h. The names are those of GGUF and of transformers. The weights are measured
 * (docs/NUMERICS.md, "Kinds of tensors"). The measure is how much the same relative error of one
 * kind changes the distribution of the next token, per weight. */
#include "compress/goal/kinds.h"
#include "formats/base/glob.h"
#include "formats/base/plain_path.h"
#include <string.h>

/* Kinds that code asks for. */
#define EMBEDDING_TITLE "embeddings"
#define HEAD_TITLE "output head"
#define ROUTER_TITLE "moe router"
#define QUANTISED_TITLE "quantised"
#define MOST_GLOBS 16

/* In order: the first kind with a pattern that matches. */
static const struct kind {
    lort_kind_info info;
    const char *globs[MOST_GLOBS];
} kinds[] = {
    {{"norms and biases", 0, 0, false}, {"*norm*", "*ln_*", "*.bias"}},
    {{ROUTER_TITLE, 0, 0, false},
     {"*ffn_gate_inp*", "*.mlp.gate.*", "*_moe.gate.*", "*shared_expert_gate*", "*router*",
      "*ffn.gate.weight", "*mixer.gate.*", "*.gate.wg.*", "*e_score_correction_bias",
      "*exp_probs_b*", "*indexer.weights_proj*", "*indexer.wk.*"}},
    {{"attention q", 0, 0, false},
     {"*attn_q.*", "*q_proj*", "*attn.q.*", "*ttention.q.*", "*attention.wq.*", "*self.query.*"}},
    {{"attention k", 8, 0, false},
     {"*attn_k.*", "*k_proj*", "*attn.k.*", "*ttention.k.*", "*attention.wk.*", "*self.key.*"}},
    {{"attention v", 6, 0, false},
     {"*attn_v.*", "*v_proj*", "*attn.v.*", "*ttention.v.*", "*attention.wv.*", "*self.value.*"}},
    /* One error for all three. Not measured: the weight lies between theirs. It is used only where
     * it moves bytes, not where it would add bytes. */
    {{"attention q k v", 4, 0, false},
     {"*attn_qkv*", "*qkv_proj*", "*c_attn*", "*query_key_value*", "*Wqkv*"}},
    {{"attention output", 0, 0, false},
     {"*attn_output*", "*o_proj*", "*attn.c_proj*", "*attention.dense*", "*out_proj*",
      "*ttention.o.*", "*attention.wo.*", "*attention.output.dense*"}},
    {{"ffn gate and up", -2, 0, false}, {"*gate_up_proj*", "*ffn_gate_up*"}},
    {{"ffn gate", -2, 0, false}, {"*ffn_gate*", "*gate_proj*", "*.w1.*", "*.w1"}},
    {{"ffn up", -3, 0, false},
     {"*ffn_up*", "*up_proj*", "*c_fc*", "*fc1*", "*.w3.*", "*.w3", "*h_to_4h*",
      "*intermediate.dense*"}},
    {{"ffn down", 0, 0, false},
     {"*ffn_down*", "*down_proj*", "*mlp.c_proj*", "*fc2*", "*.w2.*", "*.w2", "*4h_to_h*"}},
    /* Half the error under a bound for each error. Without it, models of mostly embeddings would do
     * worse by the default than with all embeddings at a quarter. */
    {{EMBEDDING_TITLE, 0, 8, true},
     {"*token_embd*", "*position_embd*", "*token_types*", "*embed_tokens*", "*embed_positions*",
      "*embed_in*", "*_embeddings*", "*embeddings.*", "*wte.weight", "*wpe.weight", "wte", "wpe",
      "shared.weight", "*.shared.weight"}},
    /* Many rows belong to tokens that never occur. These rows are alike and often long, and make up
     * most of the norm. So an error of 0.05 of the whole may be half of a row that counts. */
    {{HEAD_TITLE, 16, 16, true}, {"*lm_head*", "output.weight", "*embed_out*"}},
    {{QUANTISED_TITLE, 0, 0, false}, {NULL}}, /* told by reason, not by name */
    {{"others", 0, 0, false}, {"*"}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* The row of the table with this title, which must be there. */
static unsigned kind_titled(const char *title)
{
    unsigned kind = 0;
    while (strcmp(kinds[kind].info.name, title) != 0)
        kind++;
    return kind;
}

static unsigned kind_by_name(const char *name)
{
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < MOST_GLOBS && kinds[kind].globs[i]; i++)
            if (lort_glob(kinds[kind].globs[i], name))
                return kind;
    return KINDS - 1;
}

/* In a model of several folders a name is FOLDER/name. */
unsigned lort_kind_of(const char *name)
{
    const unsigned kind = kind_by_name(name);
    return kind == KINDS - 1 ? kind_by_name(lort_path_base(name)) : kind;
}

/* Embeddings that a model may use as its output head. Positions and types of tokens are none. */
static const char *const token_globs[] = {
    "*token_embd*",  "*embed_tokens*",  "*embed_in*",        "*wte.weight",     "wte",
    "shared.weight", "*.shared.weight", "*word_embeddings*", "*tok_embeddings*"};

bool lort_kind_may_be_head(const char *name)
{
    name = lort_path_base(name);
    for (unsigned i = 0; i < sizeof token_globs / sizeof *token_globs; i++)
        if (lort_glob(token_globs[i], name))
            return true;
    return false;
}

bool lort_kind_is_head(const char *name)
{
    return lort_kind_get(name) == &kinds[kind_titled(HEAD_TITLE)].info;
}

/* Every use of the model reads the embedding twice, whatever its size. Where it is a small part of
 * the weights, its bits are cheap. At the least sum of errors for a size, the squared error of a
 * tensor goes with its number of weights. docs/NUMERICS.md, "Rows", has the measurements. */
#define TIED_BELOW 2 /* eighths below that law */
#define TIED_MOST 24 /* eighths */

lort_kind_info lort_kind_of_tied(uint64_t own, uint64_t others)
{
    lort_kind_info kind = kinds[kind_titled(EMBEDDING_TITLE)].info;
    int place = 0;
    /* error^2 falls by a quarter of an octave for each eighth of the error */
    while (place < TIED_MOST &&
           (double)own * lort_kind_scale(-2 * (place + 1 + TIED_BELOW)) <= (double)others)
        place++;
    kind.size = place;
    kind.error = place > kind.error ? place : kind.error;
    return kind;
}

unsigned lort_kind_of_report(const lort_tensor_report *tensor)
{
    switch (tensor->reason) {
    case LORT_REASON_ROUTER:
        return kind_titled(ROUTER_TITLE);
    case LORT_REASON_F8_SCALES:
    case LORT_REASON_PACKED:
    case LORT_REASON_COMPANION:
        return kind_titled(QUANTISED_TITLE);
    default:
        return lort_kind_of(tensor->name);
    }
}

const char *lort_kind_name(unsigned kind) { return kind < KINDS ? kinds[kind].info.name : NULL; }
bool lort_kind_is_router(unsigned kind) { return kind == kind_titled(ROUTER_TITLE); }
const lort_kind_info *lort_kind_get(const char *name) { return &kinds[lort_kind_of(name)].info; }

/* 2^(-eighths / 8). Without libm all machines compute the same bits. */
double lort_kind_scale(int eighths)
{
    static const double parts[LORT_KIND_FINE] = {1,
                                                 0.91700404320467121,
                                                 0.84089641525371454,
                                                 0.77110541270397037,
                                                 0.70710678118654757,
                                                 0.64841977732550483,
                                                 0.59460355750136051,
                                                 0.54525386633262877};
    double scale = 1;
    for (; eighths < 0; eighths += LORT_KIND_FINE)
        scale *= 2;
    for (; eighths >= LORT_KIND_FINE; eighths -= LORT_KIND_FINE)
        scale /= 2;
    return scale * parts[eighths];
}
