/* factor_parts: shared by the files of the factorisation. Private to factor.c, grid.c, tiles.c,
 * krylov.c, reach.c and refit.c.
 *
 *          cols n                       ld = cap
 *       +--------+                    +------------+
 *       |   A    | rows m    Q (n x d)| Q1 Q2 .. Z |   Y = A Q (m x d), same shape of blocks
 *       +--------+                    +------------+
 *
 * The code sees A through tiles only, scaled by 2^-exponent. So the largest element is in [0.5, 1).
 */
#ifndef LORT_COMPRESS_FACTOR_FACTOR_PARTS_H
#define LORT_COMPRESS_FACTOR_FACTOR_PARTS_H

#include "compress/factor/cells.h"
#include "compress/factor/grid.h"

/* long f64 sums are 8 partial sums over fixed ranges, added in order */
#define LORT_FACTOR_LANES 8
#define LORT_GRAM_STEP 128 /* rows that are turned into f64 at a time */

#define LORT_FACTOR_TYPES 3    /* types in which a factor may be stored */
#define LORT_EIGHT_BITS 8.2    /* of a number in Q8_0 after lossless coding (docs/NUMERICS.md) */
#define LORT_SIXTEEN_BITS 13.6 /* of a number in F16 or BF16, likewise */
/* Largest share of the energy that rounding both factors to Q8_0 may cost where LoRT chooses Q8_0.
 * On real matrices rounding costs 4e-5 to 8e-5. */
#define LORT_EIGHT_ROUNDING 1e-4

/* The contribution of one item of a pass to a sum. LoRT adds the contributions in item order. */
typedef struct lort_partial {
    double sum, rounded[LORT_FACTOR_TYPES];
    float max;
    int64_t row, col; /* first element that is not finite; row -1: none */
} lort_partial;

typedef struct lort_factoring {
    const lort_matrix_source *source;
    const lort_target *target;
    lort_pool *pool;
    const lort_alloc *alloc;
    lort_factor_grid grid;
    unsigned workers;

    int exponent;
    float alpha; /* 2^-exponent if tiles are used as read, 1 if they are scaled first */
    bool rescale;
    double norm2; /* ||A||^2 of the scaled matrix */

    uint8_t *memory; /* one block, divided into all that follows */
    uint64_t memory_bytes;
    float *tiles;     /* workers x tile_floats */
    uint8_t *scratch; /* workers x scratch_bytes */
    float *q, *y;     /* [cols][cap], [rows][cap] */
    /* [cap][cap], upper triangle: Y'Y. After lort_krylov_finish: its eigenvectors, one per row,
     * ascending. */
    double *gram;
    double *work;               /* for LAPACK, and for small things between its calls */
    double *values;             /* [cap] eigenvalues, ascending as LAPACK gives them */
    double *ritz, *ritz_before; /* [cap] descending; ritz_before: one pass ago, then zeros */
    double *lanes;              /* LANES x cap x block */
    double *solve;              /* [max(rank_cap, block)]^2 */
    /* [max(rank_cap, block)]: eigenvalues of the matrix in `solve`. refit.c first keeps weights of
     * rounding errors here. */
    double *diagonal;
    float *turn;  /* [cap][block]: coefficients of an update of Q */
    float *right; /* [rank_cap][cols] f32: R, rounded to its type */
    lort_partial *partials;

    /* d: columns of Q that have their Y; width: columns of the block in work, behind them */
    int64_t d, width;
    int64_t before; /* d one pass ago */
    bool shrunk;    /* the basis was full once, and shrank */
    bool eight;     /* energy and error targets: the rank has energy to spare for Q8_0 */
    int passes;
} lort_factoring;

/* ---- grid.c: the one block of memory ---- */
/* Takes one block from f->alloc and sets all pointers into it. f->grid must be set. */
lort_code lort_factoring_take(lort_factoring *f, lort_error *err);

/* ---- tiles.c: reading, scaling, the scan ---- */
/* A rectangle of A: rows [r0, r1) x columns [c0, c1). */
typedef struct lort_tile {
    int64_t r0, r1, c0, c1;
    const float *at; /* its values */
    int64_t ld;      /* floats from row to row */
} lort_tile;

/* Reads the tile whose rows and columns are set: sets at and ld. The values are valid until the
 * worker's next read. The caller still multiplies by f->alpha. */
lort_code lort_tile_read(lort_factoring *f, unsigned worker, lort_tile *tile, lort_error *err);
/* The tile of the matrix at row r0 and column c0, at most `rows` x `cols`, cut at row `end`. Its
 * values are not read. */
lort_tile lort_tile_at(const lort_factoring *f, int64_t r0, int64_t rows, int64_t end, int64_t c0,
                       int64_t cols);
/* Sets exponent, alpha and norm2. *verdict is LORT_ZERO, LORT_NONFINITE (the place is in *bad), or
 * LORT_FACTORED, which means "go on". */
lort_code lort_factor_scan(lort_factoring *f, lort_verdict *verdict, lort_partial *bad,
                           lort_error *err);

/* ---- krylov.c: the basis ---- */
lort_code lort_krylov_start(lort_factoring *f, lort_error *err); /* makes the first block */
/* Reads A once and computes Y of the block in work. Adds the block to f->d, and sets f->width to
 * the room for the next block. */
lort_code lort_krylov_pass(lort_factoring *f, lort_error *err);
lort_code lort_krylov_values(lort_factoring *f, lort_error *err); /* into ritz, ritz_before */
/* Makes the next block: Z = A'Y, orthonormal against Q. Sets f->width to the columns that remain of
 * it; 0 if the space is exhausted. */
lort_code lort_krylov_next(lort_factoring *f, lort_error *err);
/* Drops all but the first `keep` Ritz vectors. The block in work, which has no Y yet, moves up
 * behind them. */
lort_code lort_krylov_shrink(lort_factoring *f, int64_t keep, lort_error *err);
lort_code lort_krylov_finish(lort_factoring *f, lort_error *err); /* eigenvectors into gram */
/* Computes columns [from, to) of X'X, rows [0, to), into the same place of `out`. The sums are f64
 * over the `length` rows of x. */
lort_code lort_gram_tall(lort_factoring *f, const float *x, int64_t ldx, int64_t length,
                         int64_t from, int64_t to, double *out, int64_t ldo, lort_error *err);
/* Computes the same part of X X', where x is [to][length]. */
lort_code lort_gram_wide(lort_factoring *f, const float *x, int64_t ldx, int64_t length,
                         int64_t from, int64_t to, double *out, int64_t ldo, lort_error *err);

/* ---- reach.c: when to stop, and the rank; pure arithmetic on Ritz values ---- */
typedef enum lort_reach { LORT_REACH_MORE, LORT_REACH_DONE, LORT_REACH_HOPELESS } lort_reach;
lort_reach lort_reach_step(const lort_factoring *f, double *best_energy);
/* Returns the rank to build; 0: no rank up to rank_cap. */
int64_t lort_reach_rank(const lort_factoring *f);
/* Energy and error targets: returns a rank at which factors of 8 bits meet the target. Returns 0 if
 * that takes no fewer bytes than 16 bits at `rank`. */
int64_t lort_reach_rank_eight(const lort_factoring *f, int64_t rank);
/* Returns a higher rank after `rank` missed the target with this error; 0: none. */
int64_t lort_reach_raise(const lort_factoring *f, int64_t rank, double error2);
bool lort_reach_unseen(const lort_factoring *f); /* true: energy outside the space of Q */
double lort_ritz_sum(const lort_factoring *f, int64_t rank);

/* ---- refit.c: rounded factors of one rank, and the error of what is stored ---- */
/* Builds the stored factors of this rank in *out, with their types and error2. It frees factors
 * that *out had before. *out is not complete on failure. */
lort_code lort_refit(lort_factoring *f, int64_t rank, lort_factors *out, lort_error *err);

#endif
