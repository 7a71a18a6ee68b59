/* space: mode, threads and memory of an extractor (adapter.h).
 *
 *   common     base + budget used + session of T + pair of T + noise + the largest factorisation
 *              + ranks + headers
 *   full       common + all files of both models
 *   stream     common */
#include "compress/adapter/adapter.h"
#include "compress/factor/grid.h"
#include "compress/plan/room.h"

#define SMALL_THINGS ((uint64_t)4 << 20)
#define RANK_BYTES 64   /* of a rank of a module: values, hull, sorting */
#define NAME_BYTES 1024 /* of a tensor of the new file: infos, names, configuration */

/* What the largest module takes. */
typedef struct largest {
    const lort_tensor *tensor;
    uint64_t bytes;
} largest;

static lort_target widest(const lort_extractor *x, const lort_module *m)
{
    return lort_factor_target(x, lort_values_target(x, m).max_rank);
}

static uint64_t module_cost(lort_extractor *x, const lort_module *m, unsigned threads)
{
    const lort_matrices shape = m->tensor->shape;
    const lort_matrix_source source = lort_update_source(x, m);
    const lort_target targets[] = {lort_values_target(x, m), widest(x, m)};
    uint64_t most = 0;
    for (int i = 0; i < 2; i++) {
        const uint64_t bytes =
            lort_factor_bound(shape.rows, shape.cols, source.element_bytes, &targets[i], threads);
        most = bytes > most ? bytes : most;
    }
    return most + lort_pair_slice_cost(m->tensor);
}

static largest find_largest(lort_extractor *x, unsigned threads)
{
    largest found = {0};
    for (uint64_t i = 0; i < x->count; i++) {
        const lort_module *m = &x->modules[i];
        const uint64_t bytes = m->has_factors ? module_cost(x, m, threads) : 0;
        if (bytes > found.bytes)
            found = (largest){m->tensor->base.tensor, bytes};
    }
    return found;
}

/* The largest tile and the widest matrix. */
static void measure_tiles(lort_extractor *x)
{
    x->tile_floats = LORT_NOISE_TILE;
    x->columns_most = 1;
    for (uint64_t i = 0; i < x->count; i++) {
        const lort_module *m = &x->modules[i];
        if (!m->has_factors)
            continue;
        const lort_matrix_source source = lort_update_source(x, m);
        const lort_target targets[] = {lort_values_target(x, m), widest(x, m)};
        for (int k = 0; k < 2; k++) {
            lort_factor_grid g;
            const uint64_t floats = lort_factor_grid_make(source.rows, source.cols,
                                                          source.element_bytes, &targets[k], &g)
                                        ? lort_factor_tile_floats(&g)
                                        : 0;
            x->tile_floats = floats > x->tile_floats ? floats : x->tile_floats;
        }
        if (source.cols > x->columns_most)
            x->columns_most = source.cols;
    }
}

static uint64_t noise_bytes(unsigned threads)
{
    return 2 * threads * LORT_NOISE_TILE * sizeof(float);
}

static uint64_t column_bytes(const lort_extractor *x, unsigned threads)
{
    return (2 * threads + 1) * (uint64_t)x->columns_most * sizeof(double);
}

static uint64_t common_cost(lort_extractor *x, unsigned threads, const lort_tensor **which)
{
    const lort_session *session = &x->session;
    const largest most = find_largest(x, threads);
    uint64_t chunk, modules = 0, headers = 0;
    lort_block_need blocks = {0};
    lort_pair_needs(&x->pair, &chunk, &blocks);
    for (uint64_t i = 0; i < x->count; i++)
        if (x->modules[i].has_factors)
            modules += (uint64_t)lort_values_target(x, &x->modules[i]).max_rank * RANK_BYTES +
                       2 * NAME_BYTES;
    for (uint32_t i = 0; i < lort_model_file_count(x->pair.base.model); i++)
        headers += lort_model_get_file(x->pair.base.model, i)->header.header_bytes;
    *which = most.tensor;
    return session->base_anon + lort_budget_used(session->budget) +
           lort_session_cost(session, threads, LORT_ZSTD_LEVEL_DEFAULT, chunk, &blocks) +
           lort_pair_cost(&x->pair, threads, x->tile_floats) + noise_bytes(threads) +
           column_bytes(x, threads) + most.bytes + modules + 2 * headers + SMALL_THINGS;
}

static uint64_t load_bytes(const lort_extractor *x)
{
    return lort_model_load_bytes(x->pair.tuned.model) + lort_model_load_bytes(x->pair.base.model);
}

static uint64_t cost(void *ctx, lort_mode mode, unsigned threads, const lort_tensor **which)
{
    lort_extractor *x = ctx;
    return common_cost(x, threads, which) + (mode == LORT_MODE_FULL ? load_bytes(x) : 0);
}

static lort_code load_models(lort_extractor *x, lort_error *err)
{
    lort_session *session = &x->session;
    if (x->mode != LORT_MODE_FULL)
        return LORT_OK;
    lort_session_enter(session, LORT_PHASE_LOADING);
    lort_code code = lort_model_load(x->pair.tuned.model, &session->alloc, session->pool, err);
    if (code == LORT_OK)
        code = lort_model_load(x->pair.base.model, &session->alloc, session->pool, err);
    return code;
}

static lort_code take_buffers(lort_extractor *x, lort_error *err)
{
    const unsigned threads = x->session.threads;
    void *noise, *columns;
    lort_code code =
        lort_take(&x->session.alloc, noise_bytes(threads), "tiles of two models", &noise, err);
    if (code)
        return code;
    x->noise = noise;
    x->window = 2 * threads;
    code = lort_take(&x->session.alloc, column_bytes(x, threads), "sums of columns", &columns, err);
    x->columns = code ? NULL : columns;
    return code;
}

lort_code lort_space_open(lort_extractor *x, lort_error *err)
{
    unsigned threads;
    uint64_t chunk;
    lort_block_need blocks = {0};
    measure_tiles(x);
    lort_pair_needs(&x->pair, &chunk, &blocks);
    lort_code code = lort_room_fit(&x->session, x->options->mode, x->options->memory_bytes, cost, x,
                                   &x->mode, &threads, err);
    if (code == LORT_OK)
        code =
            lort_session_start(&x->session, threads, LORT_ZSTD_LEVEL_DEFAULT, chunk, &blocks, err);
    if (code == LORT_OK)
        code = lort_pair_start(&x->pair, x->tile_floats, err);
    if (code == LORT_OK)
        code = take_buffers(x, err);
    return code ? code : load_models(x, err);
}

void lort_space_give(lort_extractor *x)
{
    const unsigned threads = x->session.threads;
    lort_give(&x->session.alloc, x->noise, noise_bytes(threads));
    lort_give(&x->session.alloc, x->columns, column_bytes(x, threads));
    x->noise = NULL;
    x->columns = NULL;
}
