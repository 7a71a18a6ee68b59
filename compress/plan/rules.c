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

static bool rule_unknown(const rule_input *in)
{
    return in->tensor->type->kind == LORT_KIND_OPAQUE;
}

static bool rule_opaque(const rule_input *in) { return in->tensor->type->decode == NULL; }

static bool rule_integer(const rule_input *in) { return in->tensor->type->kind == LORT_KIND_OTHER; }

static bool rule_excluded(const rule_input *in)
{
    return lort_glob_any(in->options->exclude, in->options->exclude_count, in->tensor->name);
}

static bool rule_slices(const rule_input *in) { return in->shape.slices > LORT_MAX_SLICES; }

/* LoRT does not apply scales that lie in a tensor of their own, so it would decode such F8 weights
 * to wrong numbers. */
static bool rule_scaled_f8(const rule_input *in)
{
    static const char *const companions[] = {"_scale_inv", "_scale", ".scale", ".scales"};
    char name[600];
    if (in->tensor->type->kind != LORT_KIND_F8)
        return false;
    for (unsigned i = 0; i < sizeof companions / sizeof *companions; i++) {
        int n = snprintf(name, sizeof name, "%s%s", in->tensor->name, companions[i]);
        if (n > 0 && (size_t)n < sizeof name &&
            lort_index_find(lort_model_index(in->model), name, (uint64_t)n))
            return true;
    }
    return false;
}

static bool rule_small(const rule_input *in)
{
    return in->shape.rows < in->options->min_dim || in->shape.cols < in->options->min_dim;
}

static bool rule_block(const rule_input *in) { return in->tensor->type->kind == LORT_KIND_BLOCK; }

/* Low rank ruins tensors that readers look up row by row. Integers treat all rows alike. */
static bool rule_embedding(const rule_input *in)
{
    return !lort_goal_integers(in->options) && lort_kind_get(in->tensor->name)->by_row;
}

/* In order: the first rule that holds gives the reason. --include overrides the marked ones. */
static const struct keep_rule {
    bool (*holds)(const rule_input *in);
    lort_reason reason;
    bool overridable;
} keep_rules[] = {
    {rule_lossless, LORT_REASON_LOSSLESS, false},    {rule_empty, LORT_REASON_EMPTY, false},
    {rule_unknown, LORT_REASON_UNKNOWN_TYPE, false}, {rule_vector, LORT_REASON_VECTOR, false},
    {rule_opaque, LORT_REASON_OPAQUE, false},        {rule_integer, LORT_REASON_NOT_FLOAT, false},
    {rule_scaled_f8, LORT_REASON_F8_SCALES, false},  {rule_slices, LORT_REASON_SLICES, false},
    {rule_excluded, LORT_REASON_EXCLUDED, false},    {rule_small, LORT_REASON_SMALL, true},
    {rule_block, LORT_REASON_QUANTISED, true},       {rule_embedding, LORT_REASON_EMBEDDING, true},
};

lort_reason lort_rules_reason(const lort_model *model, const lort_options *options,
                              const lort_tensor *tensor)
{
    const rule_input in = {model, options, tensor, lort_tensor_matrices(tensor)};
    const bool included = lort_glob_any(options->include, options->include_count, tensor->name);
    for (unsigned i = 0; i < sizeof keep_rules / sizeof *keep_rules; i++)
        if (!(included && keep_rules[i].overridable) && keep_rules[i].holds(&in))
            return keep_rules[i].reason;
    return LORT_REASON_NONE;
}
