/* fitting: see fitting.h. */
#include "compress/slice/fitting.h"
#include "compress/coder/block.h"
#include "compress/coder/integers.h"
#include "compress/coder/weighting.h"
#include "compress/session/session.h"
#include "compress/slice/rounded.h"
#include "compress/slice/slice.h"
#include "compress/slice/tensor_plan.h"
#include "formats/base/alloc.h"
#include "formats/base/error.h"
#include "formats/container/container.h"
#include "formats/types/tensor.h"
#include "loader/machine/pool.h"
#include "loader/store/codec.h"
#include <string.h>

lort_block_space *lort_fitting_space(const lort_fitting *f, unsigned worker)
{
    return &f->source->decider->session->scratch[lort_work_worker(f->work, worker)].block;
}

lort_weighed lort_fitting_weigh(const lort_fitting *f, const lort_block_place *place,
                                const float *a)
{
    return lort_weighed_sum(&f->source->weighting, &f->source->scales, place, place->rows, a, NULL);
}

lort_code lort_fitting_errors(const lort_fitting *f, unsigned worker, const lort_block_place *place,
                              int64_t rows, const float *a, const float *b, lort_weighed *out,
                              lort_error *err)
{
    return lort_slice_errors(f->source, lort_work_worker(f->work, worker), place, rows, a, b, out,
                             err);
}

lort_code lort_fitting_coded_errors(const lort_fitting *f, unsigned worker,
                                    const lort_block_place *place, int64_t rows, lort_weighed *out,
                                    lort_error *err)
{
    return lort_slice_coded_errors(f->source, lort_work_worker(f->work, worker), place, rows,
                                   lort_fitting_space(f, worker), out, err);
}

static lort_code sum_energies(void *ctx, int64_t item, unsigned worker, unsigned slot,
                              lort_error *err)
{
    lort_fitting *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    lort_block_space *space = lort_fitting_space(f, worker);
    lort_fitting_sums *s = &f->slots[slot];
    lort_code code = lort_slice_block(f->source, worker, &place, place.rows, space->weights,
                                      space->decoded, err);
    if (code)
        return code;
    lort_energies(space->weights, place.rows, place.cols, s->rows, s->cols, &s->peak);
    if (lort_fitting_is_weighed(f))
        s->norm = lort_fitting_weigh(f, &place, space->weights);
    /* What is left if nothing is stored but the factors. */
    if (f->source->planned->base)
        code = lort_fitting_errors(f, worker, &place, place.rows, space->weights, NULL, &s->error,
                                   err);
    return code;
}

static lort_code add_energies(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    lort_fitting *f = ctx;
    const lort_block_place place = lort_block_get(&f->grid, item);
    const lort_fitting_sums *s = &f->slots[slot];
    for (int64_t r = 0; r < place.rows; r++) {
        f->row_energy[place.row + r] += s->rows[r];
        f->total.norm2 += s->rows[r];
    }
    for (int64_t c = 0; c < place.cols; c++)
        f->col_energy[place.col + c] += s->cols[c];
    f->total.peak = s->peak > f->total.peak ? s->peak : f->total.peak;
    lort_weighed_add(&f->total.norm, &s->norm);
    if (f->source->planned->base)
        lort_weighed_add(&f->total.error, &s->error);
    return lort_session_check_stop(f->source->decider->session, err);
}

static void find_codes(lort_fitting *f)
{
    const double mean = lort_fitting_mean2(f);
    for (int64_t r = 0; r < f->grid.rows; r++)
        f->codes[r] = lort_scale_code(f->row_energy[r] / mean, f->grid.cols);
    for (int64_t c = 0; c < f->grid.cols; c++)
        f->codes[f->grid.rows + c] = lort_scale_code(f->col_energy[c] / mean, f->grid.rows);
}

/* Reads the slice once, scaled as f->source says. */
static lort_code find_energies(lort_fitting *f, lort_error *err)
{
    memset(f->row_energy, 0, (size_t)(f->grid.rows + f->grid.cols) * sizeof *f->row_energy);
    f->total = (lort_fitting_sums){0};
    f->source->passes++;
    lort_code code = lort_pool_run(f->work.pool, f->grid.down * f->grid.across, f->window,
                                   sum_energies, add_energies, f, err);
    f->norm2 = f->total.norm2;
    f->peak = f->total.peak;
    f->judged2 = lort_fitting_is_weighed(f) ? f->total.norm.weighed : f->norm2;
    return code;
}

lort_code lort_fitting_prepare(lort_fitting *f, lort_error *err)
{
    const lort_tensor_plan *planned = f->source->planned;
    const lort_scales scales = lort_scales_in(f->codes, planned->scaled, &planned->shape);
    if (scales.cols && f->source->factored)
        memcpy(f->codes + (scales.cols - f->codes), f->source->factored->codes,
               (size_t)f->grid.cols);
    else if (scales.cols)
        lort_weighting_codes(&f->source->weighting, &planned->shape,
                             f->codes + (scales.cols - f->codes));
    f->source->scales = (lort_scales){scales.cols, NULL};
    lort_code code = find_energies(f, err);
    if (code == LORT_OK && lort_fitting_can_be_coded(f) && scales.rows) {
        find_codes(f);
        lort_row_scale_codes(f->codes, f->grid.rows, f->codes + (scales.rows - f->codes));
        f->source->scales = scales;
        code = find_energies(f, err);
    }
    if (code == LORT_OK && lort_fitting_can_be_coded(f))
        find_codes(f);
    return code;
}

lort_code lort_fitting_codes_bytes(const lort_fitting *f, uint64_t *bytes, lort_error *err)
{
    lort_scratch *scratch = &f->source->decider->session->scratch[f->work.worker];
    *bytes = 0;
    for (uint64_t at = 0, n, stored; at < f->code_count; at += n, *bytes += stored) {
        n = f->code_count - at < LORT_CHUNK_TARGET ? f->code_count - at : LORT_CHUNK_TARGET;
        lort_code code = lort_codec_encode(scratch->codec, f->codes + at, n, scratch->coded,
                                           scratch->coded_size, &stored, err);
        if (code)
            return code;
    }
    return LORT_OK;
}

lort_block lort_fitting_block(const lort_slice_source *source, const lort_block_place *place,
                              int64_t rows, const uint8_t *codes, double mean2)
{
    lort_block block = lort_block_at(place, rows, codes, source->planned->shape.rows);
    block.mean2 = mean2;
    block.show = lort_slice_weighs(source);
    block.feedback = lort_slice_feedback(source, place);
    block.row_scales = source->scales.rows ? source->scales.rows + place->row : NULL;
    lort_block_classes(&block);
    return block;
}

lort_code lort_fitting_take(lort_fitting *f, lort_error *err)
{
    const uint64_t rows = (uint64_t)f->grid.rows, cols = (uint64_t)f->grid.cols,
                   each = (uint64_t)(f->grid.high + f->grid.wide) * sizeof(double);
    void *memory;
    lort_code code = lort_take_zero(lort_fitting_alloc(f), (rows + cols) * sizeof(double),
                                    "energies", &memory, err);
    f->row_energy = memory;
    if (code)
        return code;
    f->col_energy = f->row_energy + rows;
    code = lort_take(lort_fitting_alloc(f), f->code_count, "codes", &memory, err);
    f->codes = memory;
    if (code == LORT_OK)
        code = lort_take(lort_fitting_alloc(f), f->window * (sizeof *f->slots + each),
                         "partial sums", &memory, err);
    if (code)
        return code;
    f->slots = memory;
    double *at = (double *)(void *)(f->slots + f->window);
    for (unsigned i = 0; i < f->window; i++, at += f->grid.high + f->grid.wide)
        f->slots[i] = (lort_fitting_sums){.rows = at, .cols = at + f->grid.high};
    return LORT_OK;
}

void lort_fitting_give(lort_fitting *f)
{
    const uint64_t rows = (uint64_t)f->grid.rows, cols = (uint64_t)f->grid.cols;
    /* The scales lie in `codes`, given back below or owned by the outcome. */
    f->source->scales = (lort_scales){NULL, NULL};
    lort_give(lort_fitting_alloc(f), f->slots,
              f->window *
                  (sizeof *f->slots + (uint64_t)(f->grid.high + f->grid.wide) * sizeof(double)));
    lort_give(lort_fitting_alloc(f), f->codes, f->code_count);
    lort_give(lort_fitting_alloc(f), f->row_energy, (rows + cols) * sizeof(double));
}

lort_fitting lort_fitting_of(lort_slice_source *source, lort_work work)
{
    const lort_matrices *shape = &source->planned->shape;
    return (lort_fitting){.source = source,
                          .work = work,
                          .code_count = lort_codes_bytes(source->planned->scaled, shape),
                          .grid = lort_block_grid_of(shape->rows, shape->cols),
                          .window = lort_pool_window(work.pool)};
}
