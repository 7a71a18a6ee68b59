/* rules: see rules.h. */
#include "compress/plan/rules.h"
#include "compress/goal/glob.h"
#include "compress/goal/goal.h"
#include "compress/goal/kinds.h"
#include <stdio.h>

typedef struct rule_input {
    const lort_model *model;
    const lort_options *options;
    const lort_tensor *tensor;
    lort_matrices shape;
} rule_input;

static bool rule_lossless(const rule_input *in) { return in->options->goal == LORT_GOAL_LOSSLESS; }

static bool rule_empty(const rule_input *in) { return in->tensor->elements == 0; }

static bool rule_vector(const rule_input *in) { return in->tensor->n_dims < 2; }

static bool rule_opaque(const rule_input *in) { return in->tensor->type->decode == NULL; }

static bool rule_integer(const rule_input *in) { return in->tensor->type->kind == LORT_KIND_OTHER; }

static bool rule_excluded(const rule_input *in) { return lort_glob_any(in->options->exclude, in->options->exclude_count, in->tensor->name); }

static bool rule_slices(const rule_input *in) { return in->shape.slices > LORT_MAX_SLICES; }

/* A decoder for F8 weights with separate scales would give wrong numbers silently. */
static bool rule_scaled_f8(const rule_input *in)
{
    static const char *const companions[] = {"_scale_inv", "_scale", ".scale", ".scales"};
    char name[600];
    if (in->tensor->type->kind != LORT_KIND_F8)
        return false;
    for (unsigned i = 0; i < sizeof companions / sizeof *companions; i++) {
        int n = snprintf(name, sizeof name, "%s%s", in->tensor->name, companions[i]);
        if (n > 0 && (size_t)n < sizeof name && lort_index_find(lort_model_index(in->model), name, (uint64_t)n))
            return true;
    }
    return false;
}

static bool rule_small(const rule_input *in)
{
    return in->shape.rows < in->options->min_dim || in->shape.cols < in->options->min_dim;
}

static bool rule_block(const rule_input *in) { return in->tensor->type->kind == LORT_KIND_BLOCK; }

/* Low rank ruins what is looked up row by row; integers treat all rows alike. */
static bool rule_embedding(const rule_input *in) { return !lort_goal_integers(in->options) && lort_kind_get(in->tensor->name)->by_row; }

/* In order; the first that holds is the reason. Those marked are overridden by --include. */
static const struct keep_rule {
    bool (*holds)(const rule_input *in);
    const char *reason;
    bool overridable;
} keep_rules[] = {
    {rule_lossless, "lossless asked for", false},
    {rule_empty, "empty", false},
    {rule_vector, "fewer than two dimensions", false},
    {rule_opaque, "type is kept, never decoded", false},
    {rule_integer, "not a floating-point type", false},
    {rule_scaled_f8, "F8 with scale companion", false},
    {rule_slices, "too many slices", false},
    {rule_excluded, "excluded", false},
    {rule_small, "a side under --min-dim", true},
    {rule_block, "already block-quantised", true},
    {rule_embedding, "embedding or output head", true},
};

const char *lort_rules_reason(const lort_model *model, const lort_options *options, const lort_tensor *tensor)
{
    const rule_input in = {model, options, tensor, lort_tensor_matrices(tensor)};
    const bool included = lort_glob_any(options->include, options->include_count, tensor->name);
    for (unsigned i = 0; i < sizeof keep_rules / sizeof *keep_rules; i++)
        if (!(included && keep_rules[i].overridable) && keep_rules[i].holds(&in))
            return keep_rules[i].reason;
    return "";
}
