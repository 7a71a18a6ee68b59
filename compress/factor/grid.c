/* grid: see grid.h. */
#include "compress/factor/grid.h"
#include "compress/factor/factor_parts.h"
#include "compress/math/blas.h"
#include "formats/types/dtype.h"
#include <string.h>

#define PAGE 4096
#define TILE_COLS 4096
#define PANEL_ROWS 64
/* Narrow, so that a pass over 4096 x 4096 has work for 64 cores. It takes no longer than a pass by
 * wider stripes (docs/NUMERICS.md, "Where the time goes"). */
#define STRIPE_COLS 64
#define STRIPE_ROWS 2048
/* of the rows of a group, which the page cache must hold (docs/NUMERICS.md, "Where the time goes")
 */
#define GROUP_BYTES ((int64_t)64 << 20)

static int64_t round_up(int64_t v, int64_t size) { return (v + size - 1) / size * size; }

int64_t lort_factor_items(int64_t total, int64_t size) { return (total + size - 1) / size; }

/* Divides `total` into `count` equal pieces, and returns their size: a multiple of `unit`. */
static int64_t even_step(int64_t total, int64_t count, int64_t unit)
{
    return lort_max64(
        lort_min64(round_up(lort_factor_items(total, lort_max64(count, 1)), unit), total), 1);
}

static void set_tiles(lort_factor_grid *g, uint32_t element_bytes)
{
    const int64_t row_bytes = lort_max64(g->cols, 1) * lort_max64(element_bytes, 1);

    g->panel = PANEL_ROWS;
    /* whole steps of the last pass, and whole blocks of every type */
    g->tile = even_step(g->cols, lort_factor_items(g->cols, TILE_COLS), LORT_ERROR_COLS);
    /* a type in blocks has element_bytes 1, and its blocks are decoded whole */
    g->stripe = lort_min64(element_bytes > 1 ? STRIPE_COLS : LORT_BLOCK_ELEMENTS_MAX,
                           lort_max64(g->cols, 1));
    g->group = lort_min64(lort_max64(GROUP_BYTES / row_bytes / g->panel, 1) * g->panel,
                          lort_max64(g->rows, 1));
    g->depth = lort_min64(STRIPE_ROWS, g->group);
}

static void set_widths(lort_factor_grid *g, const lort_target *target)
{
    const int64_t least = lort_min64(g->rows, g->cols);
    const int64_t asked = target->kind == LORT_TARGET_RANK
                              ? lort_min64(target->rank, target->max_rank)
                              : target->max_rank;
    int64_t cap;

    g->rank_cap = lort_max64(lort_min64(lort_min64(asked, least), LORT_DSYEVD_MAX), 0);
    /* Two blocks find the few components far above the rest. Most matrices have none. */
    if (target->kind == LORT_TARGET_GAIN) {
        g->block = 32;
        cap = g->rank_cap + 2 * g->block;
    } else if (target->kind == LORT_TARGET_RANK && !target->fixed) {
        g->block =
            g->rank_cap > 128 ? 128 : lort_max64(32, lort_min64(64, round_up(g->rank_cap, 16)));
        /* real spectra need 2.7 to 9 times the rank (docs/NUMERICS.md) */
        cap = lort_max64(3 * g->rank_cap + 160, 4 * g->rank_cap);
    } else {
        g->block = 64;
        /* room for two blocks after a shrink */
        cap = g->rank_cap + lort_max64(g->rank_cap / 4, g->block) + g->block;
    }
    g->cap = lort_max64(
        lort_min64(lort_min64(cap, LORT_DSYEVD_MAX), lort_min64(g->cols, g->rows + g->block)), 1);
    g->block = lort_min64(g->block, g->cap);
    g->exact = g->cap >= g->cols;
}

bool lort_factor_grid_make(int64_t rows, int64_t cols, uint32_t element_bytes,
                           const lort_target *target, lort_factor_grid *g)
{
    *g = (lort_factor_grid){.rows = rows, .cols = cols};
    if (rows < 0 || cols < 0 || rows > INT32_MAX - PAGE || cols > INT32_MAX - PAGE)
        return false;
    set_tiles(g, element_bytes);
    set_widths(g, target);
    return true;
}

uint64_t lort_factor_tile_floats(const lort_factor_grid *g)
{
    return (uint64_t)lort_max64(lort_min64(g->panel, g->rows) * g->tile, g->depth * g->stripe);
}

uint64_t lort_factor_scratch_bytes(const lort_factor_grid *g)
{
    const int64_t gram = 8 * LORT_GRAM_STEP * g->cap, turn = 4 * 256 * g->block;
    const int64_t refit = g->panel * (g->rank_cap * (8 + 8 + 4) + 4 * LORT_ERROR_COLS);

    return (uint64_t)round_up(lort_max64(lort_max64(gram, turn), refit), 64);
}

/* the pieces of the one block of memory */
enum {
    TILES,
    SCRATCH,
    Q,
    Y,
    GRAM,
    WORK,
    VALUES,
    RITZ,
    BEFORE,
    LANES,
    SOLVE,
    DIAGONAL,
    TURN,
    RIGHT,
    PARTIALS,
    PIECES
};

/* Computes the offsets of the pieces in the one block. Returns its size. */
static uint64_t lay_out_memory(const lort_factor_grid *g, unsigned workers,
                               uint64_t offsets[PIECES])
{
    const uint64_t cap = (uint64_t)g->cap, block = (uint64_t)g->block,
                   side = (uint64_t)lort_max64(g->rank_cap, g->block);
    const uint64_t rows = (uint64_t)g->rows, cols = (uint64_t)g->cols;
    const int64_t most =
        lort_max64(lort_factor_items(g->rows, g->panel), lort_factor_items(g->cols, g->stripe));
    const uint64_t bytes[PIECES] = {
        [TILES] = 4 * workers * lort_factor_tile_floats(g),
        [SCRATCH] = workers * lort_factor_scratch_bytes(g),
        [Q] = 4 * cols * cap,
        [Y] = 4 * rows * cap,
        [GRAM] = 8 * cap * cap,
        [WORK] = lort_dsyevd_work((int64_t)lort_max64(g->cap, (int64_t)side)),
        [VALUES] = 8 * cap,
        [RITZ] = 8 * cap,
        [BEFORE] = 8 * cap,
        [LANES] = 8 * LORT_FACTOR_LANES * cap * block,
        [SOLVE] = 8 * side * side,
        [DIAGONAL] = 8 * side,
        [TURN] = 4 * cap * block,
        [RIGHT] = 4 * (uint64_t)g->rank_cap * cols,
        [PARTIALS] = sizeof(lort_partial) * (uint64_t)lort_max64(most, LORT_FACTOR_LANES),
    };
    uint64_t total = 0;

    for (int i = 0; i < PIECES; i++) {
        offsets[i] = total;
        total += (bytes[i] + 63) / 64 * 64;
    }
    return total;
}

/* Bytes of a number of a result, at most. */
static uint64_t result_bytes(const lort_target *target)
{
    return target->fixed && (target->left_type == LORT_F32 || target->right_type == LORT_F32) ? 4
                                                                                              : 2;
}

uint64_t lort_factor_bound(int64_t rows, int64_t cols, uint32_t element_bytes,
                           const lort_target *target, unsigned workers)
{
    lort_factor_grid g;
    uint64_t offsets[PIECES];

    if (!lort_factor_grid_make(rows, cols, element_bytes, target, &g))
        return 0;
    /* the block and two results, each rounded up to whole pages */
    return lay_out_memory(&g, workers, offsets) +
           result_bytes(target) * (uint64_t)g.rank_cap * (uint64_t)(rows + cols) + 3 * PAGE;
}

lort_code lort_factoring_take(lort_factoring *f, lort_error *err)
{
    uint64_t at[PIECES];
    lort_code code;

    f->memory_bytes = lay_out_memory(&f->grid, f->workers, at);
    code =
        lort_take(f->alloc, f->memory_bytes, "factorisation workspace", (void **)&f->memory, err);
    if (code != LORT_OK)
        return code;
    f->tiles = (float *)(f->memory + at[TILES]);
    f->scratch = f->memory + at[SCRATCH];
    f->q = (float *)(f->memory + at[Q]);
    f->y = (float *)(f->memory + at[Y]);
    f->gram = (double *)(f->memory + at[GRAM]);
    f->work = (double *)(f->memory + at[WORK]);
    f->values = (double *)(f->memory + at[VALUES]);
    f->ritz = (double *)(f->memory + at[RITZ]);
    f->ritz_before = (double *)(f->memory + at[BEFORE]);
    f->lanes = (double *)(f->memory + at[LANES]);
    f->solve = (double *)(f->memory + at[SOLVE]);
    f->diagonal = (double *)(f->memory + at[DIAGONAL]);
    f->turn = (float *)(f->memory + at[TURN]);
    f->right = (float *)(f->memory + at[RIGHT]);
    f->partials = (lort_partial *)(f->memory + at[PARTIALS]);
    memset(f->ritz, 0, (size_t)f->grid.cap * sizeof *f->ritz);
    return LORT_OK;
}
