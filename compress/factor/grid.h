/* grid: the sizes of one factorisation: tiles, panels, stripes, the width of the basis, and its
 * memory. Law 1: every number here depends on (rows, cols, element_bytes, target) only. */
#ifndef LORT_COMPRESS_FACTOR_GRID_H
#define LORT_COMPRESS_FACTOR_GRID_H

#include "compress/factor/factor.h"

static inline int64_t lort_min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t lort_max64(int64_t a, int64_t b) { return a > b ? a : b; }

typedef struct lort_factor_grid {
    int64_t rows, cols;
    /* A is read as panels of rows, each as tiles of columns: Y = A Q, and the last pass */
    int64_t panel, tile;
    int64_t stripe, depth; /* and as stripes of columns, each in steps of rows: Z = A' Y */
    /* rows between which both are done: what the page cache must hold for one read of the disk */
    int64_t group;
    int64_t rank_cap;   /* no rank above it */
    int64_t block, cap; /* width of a Krylov block; of the whole basis */
    bool exact;         /* cap holds all columns: Q = I */
} lort_factor_grid;

/* False: a side is beyond 2^31; such a matrix is not factored. */
bool lort_factor_grid_make(int64_t rows, int64_t cols, uint32_t element_bytes,
                           const lort_target *target, lort_factor_grid *grid);
int64_t lort_factor_items(int64_t total, int64_t step); /* ceil(total / step) */
uint64_t lort_factor_tile_floats(const lort_factor_grid *grid);
uint64_t lort_factor_scratch_bytes(const lort_factor_grid *grid);

#endif
