/* kinds: see kinds.h. The names are those of GGUF and of transformers. The weights are measured
 * (docs/NUMERICS.md, "Kinds of tensors"). The measure is how much the same relative error of one
 * kind changes the distribution of the next token, per weight. */
#include "compress/goal/kinds.h"
#include "compress/goal/glob.h"

#define MOST_GLOBS 16

/* In order: the first kind with a pattern that matches. */
static const struct kind {
    lort_kind_info info;
    const char *globs[MOST_GLOBS];
} kinds[] = {
    {{"norms and biases", 0, 0, false}, {"*norm*", "*ln_*", "*.bias"}},
    {{"moe router", 0, 0, false},
     {"*ffn_gate_inp*", "*.mlp.gate.*", "*_moe.gate.*", "*shared_expert_gate*", "*router*"}},
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
    {{"embeddings", 0, 8, true},
     {"*token_embd*", "*position_embd*", "*token_types*", "*embed_tokens*", "*embed_positions*",
      "*embed_in*", "*_embeddings*", "*embeddings.*", "*wte.weight", "*wpe.weight", "wte", "wpe",
      "shared.weight", "*.shared.weight"}},
    /* Many rows belong to tokens that never occur. These rows are alike and often long, and make up
     * most of the norm. So an error of 0.05 of the whole may be half of a row that counts. */
    {{"output head", 16, 16, true}, {"*lm_head*", "output.weight", "*embed_out*"}},
    {{"others", 0, 0, false}, {"*"}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

unsigned lort_kind_of(const char *name)
{
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < MOST_GLOBS && kinds[kind].globs[i]; i++)
            if (lort_glob(kinds[kind].globs[i], name))
                return kind;
    return KINDS - 1;
}

const char *lort_kind_name(unsigned kind) { return kind < KINDS ? kinds[kind].info.name : NULL; }
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
