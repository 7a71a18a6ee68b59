/* factor: streaming low-rank factorisation of ONE m x n matrix that is read tile by tile and never
 * held whole.
 *
 * Block Krylov with Rayleigh-Ritz on a row space basis Q (n x d): each pass reads the matrix once
 * (tiles twice, the second time from the page cache) and gives both Y = A Q_j and Z = A' Y (Musco &
 * Musco 2015; Tropp & Webber 2023); the next block is Z made orthonormal against Q by CholeskyQR2
 * with f64 Gram matrices and deflation. The d x d problem Y'Y = V S^2 V' gives A ~ (Y V_k)(Q V_k)'.
 * The right factor is rounded to its storage type, the left one refitted by least squares (L = A R'
 * (R R')^-1) and rounded, and the error of what a reader will decode is summed in f64, all in one
 * last pass. docs/NUMERICS.md has the measurements. */
#ifndef LORT_COMPRESS_FACTOR_FACTOR_H
#define LORT_COMPRESS_FACTOR_FACTOR_H

#include "formats/base/alloc.h"
#include "formats/types/dtype.h"
#include "loader/machine/pool.h"

/* Where the tiles come from. read() must be thread-safe for different workers. */
typedef struct lort_matrix_source {
    int64_t rows, cols;
    /* of the stored type, for the tile grid (shape and dtype decide it, nothing else) */
    uint32_t element_bytes;
    /* Gives rows [r0, r1) x columns [c0, c1) as f32: *out points to them with leading dimension
     * *ld, either into dst (room for the whole tile) or straight into memory that stays valid until
     * the worker's next read. */
    lort_code (*read)(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0, int64_t c1,
                      float *dst, const float **out, int64_t *ld, lort_error *err);
    void *ctx;
    /* [cols], above 0: A is what read gives with each column times its scale, and norms and errors
     * are those of A; R is stored with its columns divided by it, so that left * right is what read
     * gives again. NULL: no scales */
    const float *scale;
} lort_matrix_source;

typedef enum lort_target_kind {
    LORT_TARGET_RANK,
    LORT_TARGET_ENERGY,
    LORT_TARGET_ERROR,
    LORT_TARGET_GAIN
} lort_target_kind;
typedef struct lort_target {
    lort_target_kind kind;
    int64_t rank; /* RANK: wanted (smaller if the matrix has exact lower rank) */
    /* ENERGY: captured share of ||W||^2 to reach; ERROR: relative Frobenius error not to pass;
     * GAIN: what a component costs, as the logarithm of what it must divide the energy left by to
     * pay; as many are taken as together save most */
    double value;
    /* no rank above this is tried: min of --max-rank, break-even and min(rows, cols) */
    int64_t max_rank;
    uint64_t key; /* lort_matrix_key */
    /* GAIN: share of the energy that may be left as it is: below it nothing is saved */
    double floor;
    /* GAIN: relative error that is to be left of the matrix in the end; 0: none known */
    double aim;
} lort_target;

typedef enum lort_verdict {
    LORT_FACTORED,  /* left, right, rank are set */
    LORT_ZERO,      /* every element is zero: rank 0, exact, no factors */
    LORT_NONFINITE, /* bad_row, bad_col name the first NaN or Inf */
    /* no rank up to max_rank meets the target: the early stop or the last measurement said so;
       GAIN: no component does */
    LORT_OUT_OF_REACH,
    LORT_NOT_CONVERGED /* LAPACK gave up, or a side is beyond its integers; keep the matrix */
} lort_verdict;

typedef struct lort_factors {
    lort_verdict verdict;
    int64_t rank;
    int32_t exponent; /* W' = 2^exponent * left * right */
    /* Q8_0 where what that errs more is worth the bits (refit.c) and the numbers are whole blocks;
     * else F16 or BF16, whichever errs less */
    lort_dtype left_type, right_type;
    /* [rows][rank], [rank][cols] row-major in those types, blocks running on from row to row;
     * owned: lort_factors_free */
    uint8_t *left, *right;
    uint64_t left_bytes, right_bytes;
    double norm2; /* ||W||_F^2 in units of 2^(2 exponent) */
    /* ||W - W'||_F^2, same units, measured on the stored factors (undefined unless FACTORED) */
    double error2;
    /* OUT_OF_REACH: an upper bound on (or estimate of) the energy max_rank could capture, for the
     * reason text */
    double best_energy;
    double sigma_first; /* largest singular value / ||W||_F */
    int passes;         /* reads of the matrix */
    int64_t sketch;     /* width d reached */
    int64_t bad_row, bad_col;
} lort_factors;

/* Bytes lort_factor takes at most (results included), for `workers` of the pool: workers x (tile +
 * scratch) + 4 (m + n) d + 4 n k
 * + 2 (m + n) k + 24 d^2 + 64 b d, a function of shape, dtype size and target only
 * (docs/ARCHITECTURE.md, law 2). 0 for a side beyond 2^31, which is not factored:
 * LORT_NOT_CONVERGED. */
uint64_t lort_factor_bound(int64_t rows, int64_t cols, uint32_t element_bytes,
                           const lort_target *target, unsigned workers);

/* The result depends on the matrix, the target and the BLAS core only, never on the pool. pool may
 * be NULL. */
lort_code lort_factor(const lort_matrix_source *source, const lort_target *target, lort_pool *pool,
                      const lort_alloc *alloc, lort_factors *out, lort_error *err);
void lort_factors_free(lort_factors *factors, const lort_alloc *alloc); /* accepts zeroed */

#endif
