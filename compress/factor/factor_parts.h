/* factor_parts: what the parts of the factorisation share. Private to factor.c, grid.c, tiles.c,
 * krylov.c, reach.c, refit.c.
 *
 *        cols n                       ld = cap
 *     +--------+                    +------------+
 *     |   A    | rows m    Q (n x d)| Q1 Q2 .. Z |   Y = A Q (m x d), same shape of blocks
 *     +--------+                    +------------+
 *
 * A is only ever seen through tiles, scaled by 2^-exponent so that its largest element is in [0.5,
 * 1). */
#ifndef LORT_COMPRESS_FACTOR_FACTOR_PARTS_H
#define LORT_COMPRESS_FACTOR_FACTOR_PARTS_H

#include "compress/factor/cells.h"
#include "compress/factor/grid.h"

/* long f64 sums: 8 partial sums over fixed ranges, added in order */
#define LORT_FACTOR_LANES 8
#define LORT_GRAM_STEP 128 /* rows turned into f64 at a time */

#define LORT_FACTOR_TYPES 3    /* in which a factor may be stored */
#define LORT_EIGHT_BITS 8.2    /* of a number of a factor in Q8_0 after lossless coding, */
#define LORT_SIXTEEN_BITS 13.6 /* and in F16 or BF16 (docs/NUMERICS.md) */
/* share of the energy that rounding both factors to Q8_0 costs at most where it is chosen; real
 * ones cost 4e-5 to 8e-5 */
#define LORT_EIGHT_ROUNDING 1e-4

/* What one item of a pass adds to a sum; the sums are added in item order afterwards. */
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
    float alpha; /* 2^-exponent where tiles are used as read, 1 where they are scaled first */
    bool rescale;
    double norm2; /* of the scaled matrix */

    uint8_t *memory; /* one block, carved into what follows */
    uint64_t memory_bytes;
    float *tiles;     /* workers x tile_floats */
    uint8_t *scratch; /* workers x scratch_bytes */
    float *q, *y;     /* [cols][cap], [rows][cap] */
    /* [cap][cap], upper triangle: Y'Y; its eigenvectors (rows, ascending) after lort_krylov_finish
     */
    double *gram;
    double *work;               /* LAPACK's, and small things between its calls */
    double *values;             /* [cap] eigenvalues as LAPACK gave them, ascending */
    double *ritz, *ritz_before; /* [cap] descending; ritz_before: one pass ago, zero-filled */
    double *lanes;              /* LANES x cap x block */
    double *solve;              /* [max(rank_cap, block)]^2 */
    /* [max(rank_cap, block)] eigenvalues of what is in solve; refit.c: before that, weights of
     * rounding errors */
    double *diagonal;
    float *turn;  /* [cap][block]: coefficients of an update of Q */
    float *right; /* [rank_cap][cols] f32: R, rounded to its type */
    lort_partial *partials;

    /* columns of Q that have their Y; columns of the block in work, behind them */
    int64_t d, width;
    int64_t before; /* d one pass ago */
    bool shrunk;    /* the basis was full once */
    bool eight;     /* energy and error targets: the rank has energy to spare for Q8_0 */
    int passes;
} lort_factoring;

/* ---- grid.c: the one block of memory ---- */
lort_code lort_factoring_take(lort_factoring *f, lort_error *err);

/* ---- tiles.c: reading, scaling, the scan ---- */
lort_code lort_tile_read(lort_factoring *f, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                         int64_t c1, const float **tile, int64_t *ld, lort_error *err);
/* Sets exponent, alpha, norm2; *verdict is LORT_ZERO, LORT_NONFINITE (place in *bad) or
 * LORT_FACTORED for "go on". */
lort_code lort_factor_scan(lort_factoring *f, lort_verdict *verdict, lort_partial *bad,
                           lort_error *err);

/* ---- krylov.c: the basis ---- */
lort_code lort_krylov_start(lort_factoring *f, lort_error *err); /* the first block */
/* One read of A: Y of the block in work, which f->d then counts; f->width is what there is room for
 * next. */
lort_code lort_krylov_pass(lort_factoring *f, lort_error *err);
lort_code lort_krylov_values(lort_factoring *f, lort_error *err); /* ritz, ritz_before */
/* The next block: Z = A'Y, orthonormal against Q. f->width is what remains of it, 0 where the space
 * is exhausted. */
lort_code lort_krylov_next(lort_factoring *f, lort_error *err);
/* Drops all but the first `keep` Ritz vectors. The block in work, not yet passed, stays behind
 * them. */
lort_code lort_krylov_shrink(lort_factoring *f, int64_t keep, lort_error *err);
lort_code lort_krylov_finish(lort_factoring *f, lort_error *err); /* eigenvectors into gram */
/* Columns [from, to) of X'X, rows [0, to), into the same place of out (f64 sums over `length` rows
 * of x). */
lort_code lort_gram_tall(lort_factoring *f, const float *x, int64_t ldx, int64_t length,
                         int64_t from, int64_t to, double *out, int64_t ldo, lort_error *err);
/* The same of X X', x being [to][length]. */
lort_code lort_gram_wide(lort_factoring *f, const float *x, int64_t ldx, int64_t length,
                         int64_t from, int64_t to, double *out, int64_t ldo, lort_error *err);

/* ---- reach.c: when to stop, and which rank; pure arithmetic on ritz values ---- */
typedef enum lort_reach { LORT_REACH_MORE, LORT_REACH_DONE, LORT_REACH_HOPELESS } lort_reach;
lort_reach lort_reach_step(const lort_factoring *f, double *best_energy);
/* the rank to build; 0: none up to rank_cap */
int64_t lort_reach_rank(const lort_factoring *f);
/* Energy and error targets: a rank at which factors of 8 bits meet it, if that takes fewer bytes
 * than 16 bits at `rank`; else 0. */
int64_t lort_reach_rank_eight(const lort_factoring *f, int64_t rank);
/* a higher one after a miss; 0: none */
int64_t lort_reach_raise(const lort_factoring *f, int64_t rank, double error2);
bool lort_reach_unseen(const lort_factoring *f); /* is there energy outside the space of Q? */
double lort_ritz_sum(const lort_factoring *f, int64_t rank);

/* ---- refit.c: rounded factors of one rank, and the error of what is stored ---- */
lort_code lort_refit(lort_factoring *f, int64_t rank, lort_factors *out, lort_error *err);

#endif
