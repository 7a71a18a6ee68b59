/* targets: see targets.h. */
#include "compress/quantize/targets.h"
#include "compress/choice/fill.h"
#include "compress/choice/law.h"
#include "compress/quantize/head.h"
#include "compress/quantize/pieces.h"
#include "compress/session/figures.h"
#include "compress/session/report.h"
#include "formats/base/bytes.h"
#include "formats/base/glob.h"
#include "formats/container/part.h"
#include "formats/inputs/gguf.h"
#include "formats/types/encode.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Warns of patterns that change nothing: most are slips of the pen. */
static void warn_pattern(lort_quantizer *q, const lort_wishes *wishes, uint64_t number)
{
    const lort_override *override = &wishes->overrides[number];
    const char *text = q->options->tensor_types[number], *why = NULL;
    for (uint64_t i = 0; i < q->count; i++) {
        const lort_target_tensor *t = &q->tensors[i];
        if (!lort_glob(override->pattern, t->entry.tensor->name))
            continue;
        if (!*t->why)
            return;
        why = why ? why : t->why;
    }
    if (why)
        lort_session_warn(lort_session_of(q),
                          "--tensor-type %s matches only tensors that are kept (%s)", text, why);
    else
        lort_session_warn(lort_session_of(q),
                          "--tensor-type %s matches no tensor; lort inspect lists them", text);
}

/* ---- the list ---- */

static bool has_wildcard(const char *pattern) { return strpbrk(pattern, "*?[") != NULL; }

/* Why a tensor keeps its type whatever the mix; "" if it may be quantised. A pattern without
 * wildcards takes tensors that are not on the list. */
static const char *why_kept(const lort_target_tensor *t, const lort_override *wish)
{
    const lort_tensor *tensor = t->entry.tensor;
    const lort_keep keep =
        lort_keep_why(tensor->name, tensor->name_bytes, tensor->dims, tensor->n_dims);
    const bool named = wish && !has_wildcard(wish->pattern);
    const bool never =
        keep == LORT_KEEP_VECTOR || keep == LORT_KEEP_EMPTY || keep == LORT_KEEP_ROUTER;
    if (tensor->type->kind == LORT_KIND_OPAQUE)
        return lort_reason_text(LORT_REASON_UNKNOWN_TYPE);
    if (!lort_entry_decodes(&t->entry))
        return lort_reason_text(LORT_REASON_OPAQUE);
    if (keep != LORT_KEEP_NOT && (never || !named))
        return lort_keep_text(keep);
    if (tensor->type->kind != LORT_KIND_FLOAT && tensor->type->kind != LORT_KIND_BLOCK)
        return lort_reason_text(LORT_REASON_NOT_FLOAT);
    return "";
}

static void list_tensor(lort_quantizer *q, const lort_wishes *wishes, uint64_t number)
{
    lort_target_tensor *t = &q->tensors[number];
    t->entry = lort_input_entry(&q->input, number);
    const lort_tensor *tensor = t->entry.tensor;
    const lort_override *wish = lort_override_find(wishes->overrides, wishes->count, tensor->name);
    t->shape = lort_tensor_matrices(tensor);
    t->use = lort_use_of(tensor->name, tensor->name_bytes, &t->layer);
    t->why = why_kept(t, wish);
    t->wish = *t->why || !wish ? NULL : wish->type;
    if (*t->why)
        t->use = LORT_USE_KEPT;
    if (q->imatrix.count)
        t->importance = lort_imatrix_find(&q->imatrix, tensor->name, tensor->name_bytes);
    if (t->importance && !lort_importance_row(t->importance, &t->shape, 0))
        t->importance = NULL;
    q->elements += (double)tensor->elements;
}

/* Codes of codes add both errors. */
static lort_code refuse_quantised(lort_quantizer *q, lort_error *err)
{
    char name[200];
    for (uint64_t i = 0; i < q->count && !q->options->allow_requantize; i++) {
        const lort_tensor *tensor = q->tensors[i].entry.tensor;
        if (*q->tensors[i].why || tensor->type->kind != LORT_KIND_BLOCK)
            continue;
        lort_fail(err, LORT_E_INPUT,
                  "tensor '%s' is %s, so the model is quantised already: start from its F16, BF16 "
                  "or F32 original, or accept the sum of both errors with --allow-requantize",
                  lort_escape(name, sizeof name, tensor->name, tensor->name_bytes),
                  tensor->type->name);
        lort_error_tensor(err, tensor->name, tensor->name_bytes);
        return LORT_E_INPUT;
    }
    return LORT_OK;
}

lort_code lort_targets_list(lort_quantizer *q, const lort_wishes *wishes, lort_error *err)
{
    void *memory, *errors;
    q->count = q->input.index->count;
    lort_code code = lort_report_tensors(lort_session_of(q)->report, q->count, err);
    if (code == LORT_OK)
        code = lort_arena_take(&q->arena, (q->count + 1) * sizeof *q->tensors, &memory, err);
    if (code == LORT_OK)
        code = lort_arena_take(&q->arena, (q->count + 1) * LORT_TYPES_MOST * sizeof(double),
                               &errors, err);
    if (code)
        return code;
    q->tensors = memory;
    for (uint64_t i = 0; i < q->count; i++) {
        q->tensors[i].errors = (double *)errors + i * LORT_TYPES_MOST;
        list_tensor(q, wishes, i);
        lort_report_tensor(lort_session_of(q)->report, q->tensors[i].entry.tensor,
                           &lort_session_of(q)->report->tensors[i]);
    }
    for (uint64_t i = 0; i < wishes->count; i++)
        warn_pattern(q, wishes, i);
    code = lort_report_check(lort_session_of(q)->report, err);
    return code ? code : refuse_quantised(q, err);
}

/* ---- types ---- */

static void set_type(lort_target_tensor *t, const lort_dtype_info *type, bool fixed)
{
    t->type = type;
    t->fixed = fixed;
}

/* The type of a tensor that is kept. A container may hold it as integers: then it is written in its
 * own plain type, or in F16. */
static const lort_dtype_info *kept_type(const lort_target_tensor *t)
{
    const lort_dtype_info *own = t->entry.tensor->type;
    if (!t->entry.part || lort_part_is_raw(t->entry.part))
        return own;
    return lort_dtype_encoder(own->id) || lort_dtype_quantiser(own->id) ? own
                                                                        : lort_dtype_get(LORT_F16);
}

/* Sets the types that are open to no choice. */
static void fix_types(lort_quantizer *q)
{
    for (uint64_t i = 0; i < q->count; i++) {
        lort_target_tensor *t = &q->tensors[i];
        if (t->not_finite)
            t->why = t->unheld && lort_dtype_encoder(t->unheld->id)
                         ? "holds NaN, Inf or numbers that are too large for the type"
                         : lort_reason_text(LORT_REASON_NOT_FINITE);
        if (*t->why)
            set_type(t, kept_type(t), true);
        else if (t->wish)
            set_type(t, lort_fit_type(t->wish, (uint64_t)t->shape.cols), true);
        else
            set_type(t, t->entry.tensor->type, false);
    }
}

static lort_code assign_mix(lort_quantizer *q, const lort_wishes *wishes, lort_error *err)
{
    const lort_alloc *alloc = &lort_session_of(q)->alloc;
    const uint64_t bytes = (q->count + 1) * sizeof(lort_mix_tensor);
    lort_mix_facts facts;
    void *memory;
    lort_code code = lort_take_zero(alloc, bytes, "types", &memory, err);
    if (code)
        return code;
    lort_mix_tensor *list = memory;
    lort_head_facts(q, &facts);
    for (uint64_t i = 0; i < q->count; i++) {
        const lort_tensor *tensor = q->tensors[i].entry.tensor;
        list[i] = (lort_mix_tensor){tensor->name,   tensor->name_bytes, tensor->dims,
                                    tensor->n_dims, q->tensors[i].use,  NULL};
    }
    code = lort_mix_assign(wishes->mix, q->options->pure, &facts, list, q->count, alloc, err);
    for (uint64_t i = 0; i < q->count && code == LORT_OK; i++)
        if (!q->tensors[i].fixed && list[i].type)
            set_type(&q->tensors[i], list[i].type, true);
    lort_give(alloc, memory, bytes);
    return code;
}

/* ---- choice under a size ---- */

static uint64_t padded(const lort_quantizer *q, const lort_target_tensor *t,
                       const lort_dtype_info *type)
{
    uint64_t bytes, end = UINT64_MAX;
    if (!lort_gguf_bytes_as(t->entry.tensor, type, &bytes) ||
        !lort_align_up(bytes, lort_head_alignment(q), &end))
        return UINT64_MAX;
    return end;
}

uint64_t lort_targets_limit(lort_quantizer *q)
{
    const lort_quantize_options *options = q->options;
    if (options->goal == LORT_GOAL_SIZE && options->size_bytes)
        return options->size_bytes;
    const double most =
        options->goal == LORT_GOAL_BPW
            ? options->value * q->elements / 8
            : options->value / 100 * (double)lort_session_of(q)->report->input_bytes;
    return most >= 1.8e19 ? UINT64_MAX : (uint64_t)most;
}

static lort_law_model law_of(const lort_quantizer *q)
{
    lort_mix_facts facts;
    lort_head_facts(q, &facts);
    lort_law_model law = {.tied = true, .layers = facts.n_layer > 1 ? facts.n_layer : 1};
    for (uint64_t i = 0; i < q->count; i++)
        law.tied &= q->tensors[i].use != LORT_USE_OUTPUT;
    return law;
}

/* The choices of one tensor: one for each of its candidates. */
static void fill_choices(const lort_quantizer *q, const lort_law_model *law,
                         const lort_wishes *wishes, const lort_target_tensor *t,
                         lort_choice *choices)
{
    const lort_type_list list = lort_candidates(&wishes->types, t);
    for (uint32_t i = 0; i < LORT_TYPES_MOST; i++)
        choices[i] = (lort_choice){0, NAN};
    for (uint32_t i = 0; i < list.count && i < t->measured; i++) {
        const uint64_t bytes = padded(q, t, list.types[i]);
        if (bytes != UINT64_MAX)
            choices[i] = (lort_choice){bytes, lort_law_cost(law, t->use, t->layer, t->errors[i])};
    }
}

static lort_code refuse_size(lort_quantizer *q, uint64_t limit, uint64_t smallest, lort_error *err)
{
    if (q->options->goal == LORT_GOAL_BPW)
        return lort_fail(err, LORT_E_NUMERIC,
                         "%.6g bits per weight cannot be reached: the smallest is %.4f",
                         q->options->value, ceil(8e4 * (double)smallest / q->elements) / 1e4);
    return lort_fail(err, LORT_E_NUMERIC,
                     "%llu bytes cannot be reached: the smallest is %llu bytes",
                     (unsigned long long)limit, (unsigned long long)smallest);
}

/* Bytes of the file beside the tensors that are open to choice. */
static uint64_t fixed_bytes(const lort_quantizer *q)
{
    uint64_t bytes = lort_head_bytes(q);
    for (uint64_t i = 0; i < q->count; i++)
        if (q->tensors[i].fixed)
            bytes += padded(q, &q->tensors[i], q->tensors[i].type);
    return bytes;
}

/* Takes the types that the choice gave to the tensors that are open. */
static void take_choice(lort_quantizer *q, const lort_wishes *wishes, const uint8_t *chosen)
{
    uint64_t open = 0;
    for (uint64_t i = 0; i < q->count; i++)
        if (!q->tensors[i].fixed) {
            const lort_type_list list = lort_candidates(&wishes->types, &q->tensors[i]);
            q->tensors[i].type = list.types[chosen[open++]];
        }
}

/* The output has at least this share of the bytes that the user allows, unless that costs more than
 * FILL_COST times the least cost: few types lie between Q8_0 and F16, and a larger file would lose
 * more. */
#define FILL LORT_SIZE_USED
#define FILL_COST 1.1

/* Changes a choice so that it fills the budget. chosen: [count], and room for as many. */
static lort_code fill(lort_quantizer *q, const lort_choice *choices, uint64_t open, uint64_t least,
                      uint64_t budget, uint8_t *chosen, const lort_allocation *best,
                      lort_error *err)
{
    uint8_t *other = chosen + q->count;
    lort_allocation found = *best;
    bool filled;
    if (!(best->cost > 0)) /* nothing is lost */
        return LORT_OK;
    memcpy(other, chosen, (size_t)open);
    lort_code code = lort_allocate_fill(&lort_session_of(q)->alloc, choices, open, LORT_TYPES_MOST,
                                        least, budget, other, &found, &filled, err);
    if (code == LORT_OK && filled && found.cost <= FILL_COST * best->cost)
        memcpy(chosen, other, (size_t)open);
    return code;
}

static lort_code allocate(lort_quantizer *q, const lort_wishes *wishes, lort_choice *choices,
                          uint8_t *chosen, lort_error *err)
{
    const lort_law_model law = law_of(q);
    const lort_alloc *alloc = &lort_session_of(q)->alloc;
    const uint64_t limit = lort_targets_limit(q), fixed = fixed_bytes(q),
                   budget = limit > fixed ? limit - fixed : 0,
                   wished = (uint64_t)ceil(FILL * (double)limit);
    lort_allocation found = {0};
    uint64_t open = 0;
    for (uint64_t i = 0; i < q->count; i++)
        if (!q->tensors[i].fixed)
            fill_choices(q, &law, wishes, &q->tensors[i], choices + LORT_TYPES_MOST * open++);
    lort_code code =
        lort_allocate(alloc, choices, open, LORT_TYPES_MOST, budget, chosen, &found, err);
    if (code)
        return code;
    if (found.state == LORT_ALLOCATION_TOO_SMALL || limit < fixed)
        return refuse_size(q, limit, fixed + found.smallest, err);
    code = fill(q, choices, open, wished > fixed ? wished - fixed : 0, budget, chosen, &found, err);
    if (code == LORT_OK)
        take_choice(q, wishes, chosen);
    return code;
}

/* The header is as long whatever the types are, so it is made first. */
static lort_code choose_types(lort_quantizer *q, const lort_wishes *wishes, lort_error *err)
{
    const lort_alloc *alloc = &lort_session_of(q)->alloc;
    const uint64_t choices_bytes = q->count * LORT_TYPES_MOST * sizeof(lort_choice);
    void *choices = NULL, *chosen = NULL;
    lort_code code = lort_head_make(q, wishes, err);
    if (code == LORT_OK)
        code = lort_take(alloc, choices_bytes, "choices", &choices, err);
    if (code == LORT_OK)
        code = lort_take(alloc, 2 * q->count, "choices", &chosen, err);
    if (code == LORT_OK)
        code = allocate(q, wishes, choices, chosen, err);
    lort_give(alloc, choices, choices_bytes);
    lort_give(alloc, chosen, 2 * q->count);
    return code;
}

/* ---- the result ---- */

static void settle_tensor(lort_quantizer *q, uint64_t number, uint64_t *piece)
{
    lort_target_tensor *t = &q->tensors[number];
    lort_report *report = lort_session_of(q)->report;
    lort_tensor_report *entry = &report->tensors[number];
    const bool like = t->type->id == t->entry.tensor->type->id;
    t->action = like                               ? LORT_ACTION_KEPT
                : t->type->kind == LORT_KIND_BLOCK ? LORT_ACTION_QUANTISED
                                                   : LORT_ACTION_CONVERTED;
    t->first_piece = *piece;
    *piece += lort_target_pieces(t);
    (void)lort_gguf_bytes_as(t->entry.tensor, t->type, &t->bytes_out);
    t->sums = (lort_error_sums){0};
    entry->type = lort_report_dtype(report, t->type);
    entry->action = t->action;
    entry->reason_text = *t->why || !like ? t->why : lort_reason_text(LORT_REASON_LIKE_TYPE);
    entry->bytes_out = t->bytes_out;
}

lort_code lort_targets_choose(lort_quantizer *q, const lort_wishes *wishes, lort_error *err)
{
    const bool sized = !wishes->mix;
    uint64_t piece = 1;
    if (q->options->goal == LORT_GOAL_BPW && !(q->elements > 0))
        return lort_fail(err, LORT_E_INPUT,
                         "the model has no weights: --bpw B counts bits of each");
    fix_types(q);
    lort_code code = sized ? lort_measure(q, &wishes->types, err) : assign_mix(q, wishes, err);
    if (code == LORT_OK && sized) {
        fix_types(q); /* measuring may have found NaN or Inf */
        code = choose_types(q, wishes, err);
    }
    if (code == LORT_OK)
        code = lort_head_make(q, wishes, err);
    for (uint64_t i = 0; i < q->count && code == LORT_OK; i++)
        settle_tensor(q, i, &piece);
    return code ? code : lort_report_check(lort_session_of(q)->report, err);
}

void lort_targets_recipe(const lort_quantizer *q, lort_buffer *out)
{
    for (uint64_t i = 0; i < q->count; i++) {
        const lort_tensor *tensor = q->tensors[i].entry.tensor;
        if (tensor->n_dims > 1)
            lort_recipe_put(out, tensor->name, tensor->name_bytes, q->tensors[i].type);
    }
}
