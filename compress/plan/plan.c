/* plan: see plan.h. Goes over the extents, then room.c chooses mode and threads for all of
 * them. */
#include "compress/plan/plan.h"
#include "compress/delta/base.h"
#include "compress/goal/goal.h"
#include "compress/plan/equal.h"
#include "compress/plan/estimate.h"
#include "compress/plan/importance.h"
#include "compress/plan/lossless.h"
#include "compress/plan/marks.h"
#include "compress/plan/room.h"
#include "compress/plan/rules.h"
#include "compress/plan/view.h"

/* Takes the importances or the covariance of the tensor, or those of `like`, a tensor with the same
 * bytes. */
static void plan_weights(const lort_session *session, const lort_options *options,
                         const lort_tensor *like, lort_tensor_plan *planned)
{
    if (planned->candidate && session->covariance && !planned->covariance)
        planned->covariance = lort_importance_covariance(session, like, &planned->shape);
    planned->scaled |= planned->covariance ? LORT_SCALING_COLS : 0;
    if (!session->imatrix || !planned->candidate || planned->importance)
        return;
    const lort_importance *found =
        lort_imatrix_find(session->imatrix, like->name, like->name_bytes);
    /* A tensor may be one matrix here, while the importances are for its slices. */
    planned->importance = found && lort_importance_row(found, &planned->shape, 0) ? found : NULL;
    bool pays = false;
    for (int64_t s = 0;
         planned->importance && s < planned->shape.slices && !pays && lort_goal_integers(options);
         s++) {
        const lort_weighting weighting = lort_weighting_of(planned->importance, &planned->shape, s);
        pays = lort_weighting_pays(&weighting, &planned->shape);
    }
    planned->scaled |= pays ? LORT_SCALING_COLS : 0;
}

/* What all tensors together say about each of them. */
typedef struct model_facts {
    lort_marks marks;
    bool has_head, has_embedding;
    uint64_t weights; /* of all tensors of two dimensions or more */
} model_facts;

static void look_at_names(const lort_model *model, model_facts *facts)
{
    const lort_index *index = lort_model_index(model);
    for (uint64_t i = 0; i < index->count; i++) {
        facts->has_head |= lort_kind_is_head(index->tensors[i].name);
        facts->has_embedding |= lort_kind_may_be_head(index->tensors[i].name);
        facts->weights += index->tensors[i].n_dims >= 2 ? index->tensors[i].elements : 0;
    }
}

/* Embedding and head may be one tensor, under the name of either. */
static lort_kind_info kind_of(const lort_tensor *tensor, const model_facts *facts)
{
    const bool tied = facts->has_head ? !facts->has_embedding && lort_kind_is_head(tensor->name)
                                      : lort_kind_may_be_head(tensor->name);
    return tied && tensor->n_dims >= 2
               ? lort_kind_of_tied(tensor->elements, facts->weights - tensor->elements)
               : *lort_kind_get(tensor->name);
}

static void plan_extent(const lort_session *session, const lort_model *model,
                        const lort_options *options, const model_facts *facts, uint64_t extent,
                        lort_tensor_plan *planned)
{
    uint64_t tensor = lort_model_extent_tensor(model, extent);
    *planned = (lort_tensor_plan){0};
    if (tensor == UINT64_MAX)
        return;
    planned->tensor = &lort_model_index(model)->tensors[tensor];
    planned->kind = kind_of(planned->tensor, facts);
    planned->mark = (lort_mark)facts->marks.of[tensor];
    const lort_view view = lort_view_of(options, planned->tensor);
    planned->shape = view.shape;
    planned->convolution = view.convolution;
    planned->reason = lort_rules_reason(options, planned->tensor, &view, planned->mark);
    planned->candidate = planned->reason == LORT_REASON_NONE;
    uint64_t number;
    if (session->base && lort_base_find(session->base, planned->tensor, &number) <= LORT_BASE_ROWS)
        planned->base = number + 1;
    if (planned->candidate && !lort_dtype_encoder(planned->tensor->type->id))
        planned->base = 0; /* a reader cannot round the sum to this type */
}

/* A head with the bytes of the embedding is tied, though the file has it twice. */
static void tie_head(const model_facts *facts, const lort_tensor *tensor, lort_tensor_plan *origin)
{
    const char *a = tensor->name, *b = origin->tensor->name;
    if ((lort_kind_is_head(a) && lort_kind_may_be_head(b)) ||
        (lort_kind_is_head(b) && lort_kind_may_be_head(a)))
        origin->kind = lort_kind_of_tied(tensor->elements, facts->weights - 2 * tensor->elements);
}

/* Nothing is left to code, and the reason is that the model is quantised already. */
static lort_code check_quantised(const lort_options *options, const lort_work_plan *plan,
                                 lort_error *err)
{
    if (!lort_goal_sized(options) || plan->candidates || plan->quantised == 0)
        return LORT_OK;
    return lort_fail(err, LORT_E_NUMERIC,
                     "already quantised: nothing to code; start from the F16 original, or "
                     "--include NAME");
}

/* What depends on the kind of a candidate, which may be that of a tensor with the same bytes. */
static void finish_extents(const lort_session *session, const lort_options *options,
                           const model_facts *facts, lort_work_plan *plan)
{
    for (uint64_t i = 0; i < plan->count; i++) {
        lort_tensor_plan *planned = &plan->tensors[i],
                         *origin = planned->same ? &plan->tensors[planned->origin] : planned;
        if (planned->same)
            tie_head(facts, planned->tensor, origin);
        if (planned->tensor)
            plan_weights(session, options, planned->tensor, origin);
    }
    for (uint64_t i = 0; i < plan->count; i++) {
        lort_tensor_plan *planned = &plan->tensors[i];
        plan->quantised += planned->reason == LORT_REASON_QUANTISED;
        if (!planned->candidate)
            continue;
        plan->candidates++;
        if (planned->kind.by_row && lort_goal_integers(options))
            planned->scaled |= LORT_SCALING_ROWS;
        lort_room_pending(options, planned);
        if (lort_goal_integers(options) || lort_goal_ternary(options) || planned->importance ||
            planned->base)
            lort_block_need_add(&plan->blocks, planned->shape.rows, planned->shape.cols);
    }
}

/* Plans all extents, and then what equal tensors share. A plan of a model from the network reads
 * headers alone. */
static lort_code plan_extents(lort_session *session, lort_model *model, const lort_options *options,
                              lort_work_plan *plan, lort_error *err)
{
    model_facts facts = {0};
    lort_code code = lort_marks_make(session, model, &facts.marks, err);
    if (code)
        return code;
    look_at_names(model, &facts);
    plan->quantised = facts.marks.quantised;
    for (uint64_t i = 0; i < plan->count; i++)
        plan_extent(session, model, options, &facts, i, &plan->tensors[i]);
    if (!lort_model_is_supplied(model) || session->report->command != LORT_COMMAND_PLAN)
        code = lort_equal_find(session, model, options, plan, err);
    if (code == LORT_OK) {
        finish_extents(session, options, &facts, plan);
        lort_marks_warn(session, model, options, &facts.marks);
    }
    lort_marks_free(&facts.marks, &session->alloc);
    return code ? code : check_quantised(options, plan, err);
}

lort_code lort_plan_extents(lort_session *session, lort_model *model, const lort_options *options,
                            lort_work_plan *plan, lort_error *err)
{
    void *memory;
    *plan = (lort_work_plan){0};
    lort_model_extents(model, &plan->count);
    lort_code code = lort_take_zero(&session->alloc, plan->count * sizeof *plan->tensors,
                                    "the plan", &memory, err);
    if (code)
        return code;
    plan->tensors = memory;
    plan->end = plan->count;
    plan->blocks.write = true;
    code = plan_extents(session, model, options, plan, err);
    if (code == LORT_OK && !lort_model_is_supplied(model))
        code = lort_lossless_sample(session, model, plan, err);
    if (code)
        lort_plan_free(plan, &session->alloc);
    return code;
}

/* The output of a task is about the share of its run. */
static void scale_output(const lort_model *model, lort_work_plan *plan)
{
    uint64_t count;
    double all = 0, run = 0;
    const lort_extent *extents = lort_model_extents(model, &count);
    for (uint64_t i = 0; i < count; i++) {
        all += (double)extents[i].bytes;
        run += i >= plan->first && i < plan->end ? (double)extents[i].bytes : 0;
    }
    plan->out_low = (uint64_t)(all > 0 ? (double)plan->out_low * run / all : 0);
    plan->out_high = (uint64_t)(all > 0 ? (double)plan->out_high * run / all : 0);
}

lort_code lort_plan_room(lort_session *session, lort_model *model, const lort_options *options,
                         lort_work_plan *plan, lort_error *err)
{
    plan->limit = lort_session_limit(session, options->memory_bytes);
    lort_estimate_output(model, options, plan);
    if (plan->tasks)
        scale_output(model, plan);
    lort_code code = lort_room_choose(session, model, options, plan, err);
    if (plan->peak < lort_session_peak(session)) /* headers took more than the work will take */
        plan->peak = lort_session_peak(session);
    plan->window = 2 * plan->threads;
    session->report->need_bytes = plan->need;
    session->report->planned_peak_bytes = plan->peak;
    session->report->budget_bytes = plan->limit;
    session->report->output_low = plan->out_low;
    session->report->output_high = plan->out_high;
    session->report->threads = plan->threads;
    if (code)
        lort_plan_free(plan, &session->alloc);
    return code;
}

lort_code lort_plan_make(lort_session *session, lort_model *model, const lort_options *options,
                         lort_work_plan *plan, lort_error *err)
{
    lort_code code = lort_plan_extents(session, model, options, plan, err);
    return code ? code : lort_plan_room(session, model, options, plan, err);
}

void lort_plan_drop_shares(lort_work_plan *plan, const lort_alloc *alloc)
{
    lort_give(alloc, plan->shares, plan->share_count * sizeof *plan->shares);
    plan->shares = NULL;
    plan->share_count = 0;
    for (uint64_t i = 0; i < plan->count; i++)
        plan->tensors[i].shares = NULL;
}

void lort_plan_free(lort_work_plan *plan, const lort_alloc *alloc)
{
    if (plan->tensors)
        lort_plan_drop_shares(plan, alloc);
    lort_give(alloc, plan->tensors, plan->count * sizeof *plan->tensors);
    *plan = (lort_work_plan){0};
}

void lort_plan_importance_text(const lort_work_plan *plan, lort_buffer *out)
{
    for (unsigned i = 0; plan->weighed && i < sizeof plan->importance.bytes; i++)
        lort_put_text(out, "%s%02x",
                      i                  ? ""
                      : plan->covariance ? " covariance="
                                         : " imatrix=",
                      plan->importance.bytes[i]);
}
