/* weigh: one pass by blocks; sums are added in block order. */
#include "compress/slice/weigh.h"
#include "compress/slice/rounded.h"
#include <math.h>

typedef struct weighing {
    lort_slice_source *source;
    lort_work work;
    lort_block_grid grid;
    struct weighing_slot {
        lort_weighed norm, left;
    } * slots, total; /* [window] */
} weighing;

static lort_code weigh_block(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    weighing *w = ctx;
    const lort_block_place place = lort_block_get(&w->grid, item);
    const lort_weighting *by = &w->source->weighting;
    lort_slice_source whole = *w->source;
    worker = lort_work_worker(w->work, worker);
    lort_block_space *space = &whole.decider->session->scratch[worker].block;
    whole.factors = NULL;
    lort_code code =
        lort_slice_block(&whole, worker, &place, place.rows, space->weights, space->decoded, err);
    if (code)
        return code;
    w->slots[slot].norm =
        lort_weighed_sum(by, &(lort_scales){0}, &place, place.rows, space->weights, NULL);
    if (!w->source->factors)
        return LORT_OK;
    code = lort_slice_block(w->source, worker, &place, place.rows, space->weights, space->decoded,
                            err);
    if (code == LORT_OK)
        code = lort_slice_errors(w->source, worker, &place, place.rows, space->weights, NULL,
                                 &w->slots[slot].left, err);
    return code;
}

static lort_code add_block(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    weighing *w = ctx;
    const struct weighing_slot *s = &w->slots[slot];
    (void)item;
    lort_weighed_add(&w->total.norm, &s->norm);
    lort_weighed_add(&w->total.left, &s->left);
    return lort_session_check_stop(w->source->decider->session, err);
}

lort_code lort_slice_weigh(lort_slice_source *source, lort_work work, lort_outcome *out,
                           lort_weighed *left, lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    const unsigned window = lort_pool_window(work.pool);
    weighing w = {.source = source,
                  .work = work,
                  .grid =
                      lort_block_grid_of(source->planned->shape.rows, source->planned->shape.cols)};
    void *memory;
    lort_code code = lort_take_zero(alloc, window * sizeof *w.slots, "partial sums", &memory, err);
    if (code)
        return code;
    w.slots = memory;
    source->passes++;
    code = lort_pool_run(work.pool, w.grid.down * w.grid.across, window, weigh_block, add_block, &w,
                         err);
    lort_give(alloc, w.slots, window * sizeof *w.slots);
    out->norm = w.total.norm;
    out->norm2 = w.total.norm.plain;
    out->has_norm = isfinite(out->norm2);
    if (left)
        *left = w.total.left;
    return code;
}
