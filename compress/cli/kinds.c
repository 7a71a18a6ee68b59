/* kinds: where the bytes of a container went, by what tensors are for. Names are those of GGUF, and of the architectures of transformers. */
#include "compress/cli/kinds.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define LABEL "  %-10s"
#define MOST_PARTS 8

/* In order: the first whose part is in the name. */
static const struct {
    const char *name;
    const char *parts[MOST_PARTS];
} kinds[] = {
    {"norms and biases", {"norm", "ln_", ".bias"}},
    {"attention q", {"attn_q.", "q_proj", "attn.q."}},
    {"attention k", {"attn_k.", "k_proj", "attn.k."}},
    {"attention v", {"attn_v.", "v_proj", "attn.v."}},
    {"attention q k v", {"attn_qkv", "qkv_proj", "c_attn", "query_key_value"}},
    {"attention output", {"attn_output", "o_proj", "attn.c_proj", "attention.dense", "out_proj"}},
    {"ffn gate", {"ffn_gate", "gate_proj", ".w1."}},
    {"ffn up", {"ffn_up", "up_proj", "c_fc", "fc1", ".w3.", "h_to_4h"}},
    {"ffn down", {"ffn_down", "down_proj", "mlp.c_proj", "fc2", ".w2.", "4h_to_h"}},
    {"embeddings", {"embd", "embed", "wte", "wpe"}},
    {"output head", {"lm_head", "output.weight"}},
    {"others", {""}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

typedef struct tally {
    uint64_t tensors, lossy, bytes;
    double elements, errors;
} tally;

static unsigned kind_of(const char *name)
{
    unsigned kind = 0;
    for (; kind < KINDS - 1; kind++)
        for (unsigned i = 0; i < MOST_PARTS && kinds[kind].parts[i]; i++)
            if (strstr(name, kinds[kind].parts[i]))
                return kind;
    return kind;
}

static void count(tally *all, const lort_tensor_report *tensor)
{
    tally *t = &all[kind_of(tensor->name)];
    double elements = 1;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        elements *= (double)tensor->shape[i];
    t->tensors++;
    t->bytes += tensor->bytes_out;
    t->elements += elements;
    if (strcmp(tensor->action, "keep") != 0 && !isnan(tensor->rel_error)) {
        t->lossy++;
        t->errors += tensor->rel_error;
    }
}

static void print_kind(FILE *out, const char *label, const char *name, const tally *t, uint64_t whole)
{
    fprintf(out, LABEL "%-16s %4" PRIu64 "  %6.2f bits  ", label, name, t->tensors, t->elements > 0 ? 8 * (double)t->bytes / t->elements : 0);
    if (t->lossy)
        fprintf(out, "error %.4f", t->errors / (double)t->lossy);
    else
        fprintf(out, "lossless    ");
    fprintf(out, "  %5.1f %% of the output\n", 100 * (double)t->bytes / (double)whole);
}

void lort_cli_print_kinds(FILE *out, const lort_report *report)
{
    tally all[KINDS] = {0};
    const char *label = "by kind";
    uint64_t lossy = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++)
        count(all, &report->tensors[i]);
    for (unsigned i = 0; i < KINDS; i++)
        lossy += all[i].lossy;
    for (unsigned i = 0; i < KINDS && lossy && report->output_bytes; i++) {
        if (all[i].tensors == 0)
            continue;
        print_kind(out, label, kinds[i].name, &all[i], report->output_bytes);
        label = "";
    }
}
