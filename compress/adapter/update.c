/* update: the update of a module as the factorisation reads it, and its targets (adapter.h). */
#include "compress/adapter/adapter.h"

lort_code lort_update_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                           int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err)
{
    lort_extractor *x = ctx;
    *out = dst;
    *ld = c1 - c0;
    lort_code code = lort_session_check_stop(&x->session, err);
    return code ? code
                : lort_pair_tile(&x->pair, LORT_PAIR_DIFFERENCE, worker, r0, r1, c0, c1, dst, err);
}

lort_matrix_source lort_update_source(lort_extractor *x, const lort_module *m)
{
    const lort_pair_tensor *t = m->tensor;
    const uint32_t a = lort_dtype_element_bytes(t->tuned.tensor->type),
                   b = lort_dtype_element_bytes(t->base.tensor->type);
    return (lort_matrix_source){.rows = t->shape.rows,
                                .cols = t->shape.cols,
                                .element_bytes = a + b,
                                .read = lort_update_read,
                                .ctx = x};
}

lort_target lort_values_target(const lort_extractor *x, const lort_module *m)
{
    const lort_extract_options *o = x->options;
    const lort_matrices shape = m->tensor->shape;
    const int64_t side = shape.rows < shape.cols ? shape.rows : shape.cols,
                  most = o->goal == LORT_GOAL_RANK ? o->rank : o->max_rank;
    /* a quarter of what may be left: one threshold for all modules goes deeper in some */
    const double energy = o->goal == LORT_GOAL_ERROR    ? 1 - 0.9 * o->value * o->value
                          : o->goal == LORT_GOAL_ENERGY ? 1 - (1 - o->value) / 4
                          : o->goal == LORT_GOAL_RANK   ? 1
                          : o->goal == LORT_GOAL_SIZE   ? 0.999
                                                        : 0.995;
    return (lort_target){
        .kind = LORT_TARGET_VALUES, .value = energy, .max_rank = most < side ? most : side};
}

lort_target lort_factor_target(const lort_extractor *x, int64_t rank)
{
    return (lort_target){.kind = LORT_TARGET_RANK,
                         .rank = rank,
                         .max_rank = rank,
                         .fixed = true,
                         .left_type = x->type->id,
                         .right_type = x->type->id};
}
