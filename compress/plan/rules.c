/* rules: see rules.h. */
#include "compress/plan/rules.h"
#include "compress/goal/goal.h"
#include "compress/goal/kinds.h"
#include "formats/base/glob.h"

typedef struct rule_input {
    const lort_options *options;
    const lort_tensor *tensor;
    lort_mark mark;
    lort_matrices shape;
    bool small; /* lort_view_of */
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
    return in->mark == LORT_MARK_PACKED && in->tensor->type->kind == LORT_KIND_F8;
}

static bool rule_packed(const rule_input *in) { return in->mark == LORT_MARK_PACKED; }
static bool rule_companion(const rule_input *in) { return in->mark == LORT_MARK_COMPANION; }
static bool rule_router(const rule_input *in) { return in->mark == LORT_MARK_ROUTER; }
static bool rule_mask(const rule_input *in) { return in->mark == LORT_MARK_MASK; }
static bool rule_table(const rule_input *in) { return in->mark == LORT_MARK_TABLE; }
static bool rule_small(const rule_input *in) { return in->small; }

static bool rule_block(const rule_input *in) { return in->tensor->type->kind == LORT_KIND_BLOCK; }

/* Low rank ruins tensors that readers look up row by row. Integers treat all rows alike. */
static bool rule_embedding(const rule_input *in)
{
    return !lort_goal_integers(in->options) && lort_kind_get(in->tensor->name)->by_row;
}

/* Which --include overrides a rule. */
typedef enum override {
    OVERRIDE_NEVER,
    OVERRIDE_BY_NAME,   /* a pattern without a wildcard */
    OVERRIDE_BY_PATTERN /* any pattern */
} override;

/* In order: the first rule that holds gives the reason. */
static const struct keep_rule {
    bool (*holds)(const rule_input *in);
    lort_reason reason;
    override by;
} keep_rules[] = {
    {rule_lossless, LORT_REASON_LOSSLESS, OVERRIDE_NEVER},
    {rule_empty, LORT_REASON_EMPTY, OVERRIDE_NEVER},
    {rule_unknown, LORT_REASON_UNKNOWN_TYPE, OVERRIDE_NEVER},
    {rule_scaled_f8, LORT_REASON_F8_SCALES, OVERRIDE_BY_NAME},
    {rule_packed, LORT_REASON_PACKED, OVERRIDE_BY_NAME},
    {rule_companion, LORT_REASON_COMPANION, OVERRIDE_BY_NAME},
    {rule_router, LORT_REASON_ROUTER, OVERRIDE_BY_NAME},
    {rule_vector, LORT_REASON_VECTOR, OVERRIDE_NEVER},
    {rule_opaque, LORT_REASON_OPAQUE, OVERRIDE_NEVER},
    {rule_integer, LORT_REASON_NOT_FLOAT, OVERRIDE_NEVER},
    {rule_mask, LORT_REASON_MASK, OVERRIDE_BY_NAME},
    {rule_table, LORT_REASON_TABLE, OVERRIDE_BY_NAME},
    {rule_slices, LORT_REASON_SLICES, OVERRIDE_NEVER},
    {rule_excluded, LORT_REASON_EXCLUDED, OVERRIDE_NEVER},
    {rule_small, LORT_REASON_SMALL, OVERRIDE_BY_PATTERN},
    {rule_block, LORT_REASON_QUANTISED, OVERRIDE_BY_PATTERN},
    {rule_embedding, LORT_REASON_EMBEDDING, OVERRIDE_BY_PATTERN},
};

lort_reason lort_rules_reason(const lort_options *options, const lort_tensor *tensor,
                              const lort_view *view, lort_mark mark)
{
    const rule_input in = {options, tensor, mark, view->shape, view->small};
    const override by = lort_glob_names(options->include, options->include_count, tensor->name)
                            ? OVERRIDE_BY_NAME
                        : lort_glob_any(options->include, options->include_count, tensor->name)
                            ? OVERRIDE_BY_PATTERN
                            : OVERRIDE_NEVER;
    for (unsigned i = 0; i < sizeof keep_rules / sizeof *keep_rules; i++) {
        const bool overridden = by != OVERRIDE_NEVER && keep_rules[i].by >= by;
        if (!overridden && keep_rules[i].holds(&in))
            return keep_rules[i].reason;
    }
    return LORT_REASON_NONE;
}

/* Warns of patterns that match no tensor: most are slips of the pen. */
static void warn_patterns(lort_session *session, const lort_index *index, const char *option,
                          const char **patterns, unsigned count)
{
    char shown[200];
    for (unsigned i = 0; i < count; i++) {
        bool any = false;
        for (uint64_t t = 0; t < index->count && !any; t++)
            any = lort_glob(patterns[i], index->tensors[t].name);
        if (!any)
            lort_session_warn(session, "--%s %s matches no tensor; lort inspect lists them", option,
                              lort_escape_text(shown, sizeof shown, patterns[i]));
    }
}

void lort_rules_warn(lort_session *session, const lort_index *index, const lort_options *options)
{
    warn_patterns(session, index, "include", options->include, options->include_count);
    warn_patterns(session, index, "exclude", options->exclude, options->exclude_count);
}

void lort_rules_warn_growth(lort_session *session, const lort_work_plan *plan)
{
    const lort_tensor *first = NULL;
    unsigned long long grown = 0;
    char name[200];
    for (uint64_t i = 0; i < plan->count; i++) {
        const lort_tensor *tensor = plan->tensors[i].tensor;
        if (!plan->tensors[i].candidate || lort_dtype_encoder(tensor->type->id) ||
            2 * tensor->elements <= tensor->bytes)
            continue;
        first = grown++ ? first : tensor;
    }
    if (first)
        lort_session_warn(session,
                          "%llu tensors (the first: %s, %s) are restored as F16 if they are "
                          "factored; the first grows to %.1f times its size",
                          grown, lort_escape(name, sizeof name, first->name, first->name_bytes),
                          first->type->name, 2.0 * (double)first->elements / (double)first->bytes);
}
