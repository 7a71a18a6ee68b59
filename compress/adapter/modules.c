/* modules: what an adapter makes of each tensor (adapter.h).
 *
 *   PEFT   LINEAR      lora_A = R,  lora_B = L               D = L R is n_out x n_in
 *          TURNED      lora_A = L', lora_B = R'              D is n_in x n_out
 *          EMBEDDING   lora_embedding_A = L', _B = R'        D is n_vocab x n_embd
 *   GGUF   LINEAR      lora_a = R,  lora_b = L
 *          EMBEDDING   lora_a = L,  lora_b = R'              llama.cpp reads it flipped */
#include "compress/adapter/adapter.h"
#include "compress/choice/roles.h"
#include "compress/goal/kinds.h"
#include "formats/base/glob.h"
#include "formats/base/text.h"
#include <string.h>

/* Reasons, for the report and for messages. */
static const char no_vector[] = "llama.cpp has no adapter of norms and biases";
static const char no_bias[] = "an adapter of PEFT has no form for this vector or bias";
static const char no_stack[] = "an adapter has no form for tensors of this many dimensions";
static const char no_type[] =
    "it is quantised or of a type without numbers; extract from the F16 or "
    "BF16 models";
static const char no_name[] = "llama.cpp is not known to apply an adapter to a tensor of this name";
static const char tied[] = "it is the output head too, and llama.cpp aborts on an adapter of both";
static const char no_weight[] = "PEFT adapts tensors whose names end in .weight";

const lort_tensor *lort_module_tensor(const lort_module *module)
{
    const lort_pair_tensor *t = module->tensor;
    return t->tuned.tensor ? t->tuned.tensor : t->base.tensor;
}

static bool ends_in(const lort_tensor *t, const char *end)
{
    const size_t n = strlen(end);
    return t->name_bytes > n && memcmp(t->name + t->name_bytes - n, end, n) == 0;
}

static bool has_numbers(const lort_entry *entry)
{
    return lort_entry_decodes(entry) && entry->tensor->type->kind == LORT_KIND_FLOAT;
}

/* ---- GGUF ---- */

/* Of the multi-head latent attention of DeepSeek llama.cpp takes the products without adapters. */
static bool is_applied(const char *name, uint64_t bytes)
{
    const lort_use use = lort_use_of(name, bytes, NULL);
    return (use >= LORT_USE_TOKEN_EMBD && use <= LORT_USE_ATTN_OUTPUT) ||
           (use >= LORT_USE_FFN_GATE && use <= LORT_USE_FFN_DOWN) ||
           lort_glob("*blk.*.ffn_gate_inp.weight", name);
}

static bool base_has(const lort_extractor *x, const char *name)
{
    lort_entry found;
    return lort_input_find(&x->pair.base, name, strlen(name), &found);
}

static lort_form gguf_form(const lort_extractor *x, lort_module *m)
{
    const lort_tensor *t = m->tensor->base.tensor;
    const bool stack = t->n_dims == 3 && lort_glob("*_exps.weight", t->name);
    if (t->n_dims < 2)
        m->why = no_vector;
    else if (t->n_dims > 2 && !stack)
        m->why = no_stack;
    else if (!has_numbers(&m->tensor->tuned) || !has_numbers(&m->tensor->base))
        m->why = no_type;
    else if (!is_applied(t->name, t->name_bytes))
        m->why = no_name;
    else if (lort_use_of(t->name, t->name_bytes, NULL) != LORT_USE_TOKEN_EMBD)
        return LORT_FORM_LINEAR;
    else if (base_has(x, "output.weight"))
        return LORT_FORM_EMBEDDING;
    else
        m->why = tied;
    return LORT_FORM_LOST;
}

/* ---- PEFT ---- */

/* True if the module of a vector, such as x.norm of x.norm.bias, has a weight that is a vector. */
static bool is_norm(const lort_extractor *x, const lort_tensor *t)
{
    const bool bias = ends_in(t, ".bias");
    char name[512];
    lort_entry weight;
    if (!bias && !ends_in(t, ".weight"))
        return false;
    const uint32_t n = t->name_bytes - (bias ? 5 : 7);
    if (n + sizeof ".weight" > sizeof name)
        return false;
    memcpy(name, t->name, n);
    memcpy(name + n, ".weight", sizeof ".weight");
    return lort_input_find(&x->pair.tuned, name, n + 7, &weight) && weight.tensor->n_dims == 1;
}

static bool is_conv1d(const lort_extractor *x, const lort_tensor *t)
{
    return x->conv1d && (ends_in(t, "c_attn.weight") || ends_in(t, "c_proj.weight") ||
                         ends_in(t, "c_fc.weight"));
}

static lort_form peft_form(const lort_extractor *x, lort_module *m)
{
    const lort_tensor *t = m->tensor->base.tensor;
    if (t->n_dims == 1 && is_norm(x, t))
        return LORT_FORM_WHOLE;
    const lort_kind_info *kind = lort_kind_get(t->name);
    if (t->n_dims < 2)
        m->why = no_bias;
    else if (t->n_dims > 2)
        m->why = no_stack;
    else if (!has_numbers(&m->tensor->tuned) || !has_numbers(&m->tensor->base))
        m->why = no_type;
    else if (!ends_in(t, ".weight"))
        m->why = no_weight;
    else if (kind->by_row && !lort_kind_is_head(t->name))
        return LORT_FORM_EMBEDDING;
    else
        return is_conv1d(x, t) ? LORT_FORM_TURNED : LORT_FORM_LINEAR;
    return LORT_FORM_LOST;
}

/* ---- all ---- */

static bool is_asked(const lort_extract_options *o, const char *name)
{
    return !lort_glob_any(o->exclude, o->exclude_count, name) &&
           (o->include_count == 0 || lort_glob_any(o->include, o->include_count, name));
}

static lort_code refuse_shape(const lort_module *m, lort_error *err)
{
    const lort_tensor *tuned = m->tensor->tuned.tensor, *base = m->tensor->base.tensor;
    char name[200], a[200], b[200];
    lort_fail(err, LORT_E_INPUT,
              "tensor '%s' is %s in the fine-tune and %s in the base: an adapter needs a base of "
              "the same shapes",
              lort_escape(name, sizeof name, tuned->name, tuned->name_bytes),
              lort_shape_text(tuned, a, sizeof a), lort_shape_text(base, b, sizeof b));
    lort_error_tensor(err, tuned->name, tuned->name_bytes);
    return LORT_E_INPUT;
}

static lort_code give_form(lort_extractor *x, lort_module *m, lort_error *err)
{
    const lort_match match = m->tensor->match;
    if (!is_asked(x->options, lort_module_tensor(m)->name))
        return LORT_OK;
    if (match == LORT_MATCH_SHAPE)
        return refuse_shape(m, err);
    if (match == LORT_MATCH_NEW || match == LORT_MATCH_GONE) {
        m->form = LORT_FORM_LOST;
        m->why = match == LORT_MATCH_NEW ? "the base lacks it" : "the fine-tune lacks it";
        m->differs = true;
        return LORT_OK;
    }
    if (m->tensor->base.tensor->elements == 0)
        return LORT_OK;
    m->form = (x->gguf ? gguf_form : peft_form)(x, m);
    m->has_factors = m->form == LORT_FORM_LINEAR || m->form == LORT_FORM_TURNED ||
                     m->form == LORT_FORM_EMBEDDING;
    if (m->has_factors && match == LORT_MATCH_ROWS)
        m->why = "it has more rows than in the base; an adapter holds the common rows only";
    return LORT_OK;
}

lort_code lort_modules_list(lort_extractor *x, lort_error *err)
{
    void *memory;
    lort_code code =
        lort_arena_take(&x->arena, (x->pair.count + 1) * sizeof *x->modules, &memory, err);
    if (code)
        return code;
    x->modules = memory;
    x->count = x->pair.count;
    for (uint64_t i = 0; i < x->count && code == LORT_OK; i++) {
        x->modules[i] = (lort_module){.tensor = &x->pair.tensors[i]};
        code = give_form(x, &x->modules[i], err);
    }
    return code;
}

/* ---- types and sizes ---- */

bool lort_module_turns_left(const lort_extractor *x, const lort_module *m)
{
    return m->form == LORT_FORM_TURNED || (m->form == LORT_FORM_EMBEDDING && !x->gguf);
}

bool lort_module_turns_right(const lort_extractor *x, const lort_module *m)
{
    (void)x;
    return m->form == LORT_FORM_TURNED || m->form == LORT_FORM_EMBEDDING;
}

/* Blocks of Q8_0 fill whole rows of what is stored. A factor that is turned would need others. */
static const lort_dtype_info *fitting(const lort_dtype_info *type, int64_t row, bool turned)
{
    const bool fits = type->block_elements == 1 || (!turned && row % type->block_elements == 0);
    return fits ? type : lort_dtype_get(LORT_F16);
}

void lort_module_types(const lort_extractor *x, const lort_module *m, int64_t rank,
                       const lort_dtype_info **left, const lort_dtype_info **right)
{
    *left = fitting(x->type, rank, lort_module_turns_left(x, m));
    *right = fitting(x->type, m->tensor->shape.cols, lort_module_turns_right(x, m));
}

uint64_t lort_module_bytes(const lort_extractor *x, const lort_module *m, int64_t rank)
{
    const lort_dtype_info *left, *right;
    const lort_matrices shape = m->tensor->shape;
    uint64_t a = 0, b = 0;
    lort_module_types(x, m, rank, &left, &right);
    lort_dtype_bytes(left, (uint64_t)(rank * shape.rows), &a);
    lort_dtype_bytes(right, (uint64_t)(rank * shape.cols), &b);
    return (uint64_t)shape.slices * (a + b);
}
