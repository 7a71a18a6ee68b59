/* grid: the sizes of one factorisation: tiles, panels, stripes, the width of the basis, and its
 * memory. Law 1: every number here depends on (rows, cols, element_bytes, target) only. */
#ifndef LORT_COMPRESS_FACTOR_GRID_H
#define LORT_COMPRESS_FACTOR_GRID_H

#include "compress/factor/factor.h"

static inline int64_t lort_min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t lort_max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* columns of the product that the last pass compares at once with a panel of the matrix */
#define LORT_ERROR_COLS 1024

typedef struct lort_factor_grid {
    int64_t rows, cols;
    /* A is read as panels of rows, each as tiles of columns, for Y = A Q and for the last pass. */
    int64_t panel, tile;
    /* A is also read as stripes of columns, each in runs of `depth` rows, for Z = A' Y. */
    int64_t stripe, depth;
    /* Rows that LoRT reads both ways before it goes on. The page cache must hold them, so that a
     * pass reads the disk once. */
    int64_t group;
    int64_t rank_cap;   /* no rank is above it */
    int64_t block, cap; /* widths of a Krylov block and of the whole basis */
    bool exact;         /* cap holds all columns: Q = I */
} lort_factor_grid;

/* Fills *grid. Returns false if a side is beyond 2^31: LoRT does not factorise such a matrix. */
bool lort_factor_grid_make(int64_t rows, int64_t cols, uint32_t element_bytes,
                           const lort_target *target, lort_factor_grid *grid);
int64_t lort_factor_items(int64_t total, int64_t size); /* ceil(total / size) */
/* Return the floats of a worker's tile, and the bytes of its scratch. */
uint64_t lort_factor_tile_floats(const lort_factor_grid *grid);
uint64_t lort_factor_scratch_bytes(const lort_factor_grid *grid);

#endif
