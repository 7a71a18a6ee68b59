/* factor: streaming low-rank factorisation of one m x n matrix A, read tile by tile and never held
 * whole. The room compress/factor owns the factorisation and the numbers that readers compute from
 * factors. It must not know a file or an option.
 *
 *   block Krylov     Y_j = A Q_j, Z = A' Y_j, and Q_(j+1) = Z made orthonormal against Q
 *   Rayleigh-Ritz    Y'Y = V S^2 V' (d x d, f64), so A ~ (Y V_k)(Q V_k)'
 *   refit            R = S^(1/2) V_k' Q', rounded; L = A R' (R R')^-1, rounded; ||A - L R||
 *
 * Q is n x d, Y is m x d. A pass reads each tile twice, the second time from the page cache. LoRT
 * makes Z orthonormal by CholeskyQR2 with f64 Gram matrices and deflation. The last pass computes L
 * and sums the error of what a reader will decode, in f64.
 *
 * Sources: Musco & Musco, NeurIPS 2015; Tropp & Webber 2023. docs/NUMERICS.md has the measurements.
 */
#ifndef LORT_COMPRESS_FACTOR_FACTOR_H
#define LORT_COMPRESS_FACTOR_FACTOR_H

#include "formats/base/alloc.h"
#include "formats/types/dtype.h"
#include "loader/machine/pool.h"

/* The source of the tiles. Threads: different workers may call read() at the same time. */
typedef struct lort_matrix_source {
    int64_t rows, cols;
    /* bytes of an element of the stored type; shape and this number decide the tile grid */
    uint32_t element_bytes;
    /* Gives rows [r0, r1) x columns [c0, c1) as f32. *out points to them, with *ld elements from
     * row to row. They lie in dst, which has room for the whole tile, or in memory that stays valid
     * until the worker's next read. */
    lort_code (*read)(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0, int64_t c1,
                      float *dst, const float **out, int64_t *ld, lort_error *err);
    void *ctx;
    /* [cols], each above 0; NULL: no scales. A is the matrix from read() with each column times its
     * scale. Norms and errors are those of A. R is stored with its columns divided by the scales,
     * so left * right is the matrix from read() again. */
    const float *scale;
} lort_matrix_source;

typedef enum lort_target_kind {
    LORT_TARGET_RANK,
    LORT_TARGET_ENERGY,
    LORT_TARGET_ERROR,
    LORT_TARGET_GAIN,
    LORT_TARGET_VALUES /* lort_factor_values only: no factors */
} lort_target_kind;
typedef struct lort_target {
    lort_target_kind kind;
    int64_t rank; /* RANK: wanted; the result is smaller if the matrix has a lower exact rank */
    /* ENERGY: share of ||W||^2 to capture. ERROR: relative Frobenius error not to exceed. GAIN:
     * cost v of a component; LoRT takes the k with the least max(energy left, floor) * exp(k v).
     * VALUES: share of ||W||^2 at which enough values are known. */
    double value;
    /* no rank above this is tried: the least of --max-rank, break-even rank and min(rows, cols) */
    int64_t max_rank;
    uint64_t key; /* lort_matrix_key */
    /* GAIN: share of the energy that may be left; less than this saves nothing more. VALUES: the
     * squared singular value below which no value counts. */
    double floor;
    /* GAIN: relative error that the stored matrix shall have in the end; 0: unknown */
    double aim;
    /* RANK: the factors have exactly this rank and these types, and the exponent 0. A type is F32,
     * F16, BF16, or Q8_0, whose blocks must fill the rows of that factor. */
    bool fixed;
    lort_dtype left_type, right_type;
} lort_target;

typedef enum lort_verdict {
    LORT_FACTORED,  /* left, right and rank are set */
    LORT_ZERO,      /* every element is zero: rank 0, exact, no factors */
    LORT_NONFINITE, /* bad_row and bad_col name the first NaN or Inf */
    /* No rank up to max_rank meets the target, by the early stop or by the last measurement. GAIN:
     * no component pays. */
    LORT_OUT_OF_REACH,
    LORT_NOT_CONVERGED /* LAPACK gave up, or a side is too large; keep the matrix */
} lort_verdict;

#define LORT_SPECTRUM_MOST 16 /* singular values that a report shows of a matrix */
typedef struct lort_spectrum {
    uint32_t count;
    float values[LORT_SPECTRUM_MOST]; /* the largest first, relative to ||W||_F */
} lort_spectrum;

typedef struct lort_factors {
    lort_verdict verdict;
    int64_t rank;
    int32_t exponent; /* W' = 2^exponent * left * right */
    /* Q8_0 where the numbers are whole blocks and the added error is worth the bits (refit.c). Else
     * F16 or BF16, whichever has the smaller error. */
    lort_dtype left_type, right_type;
    /* [rows][rank] and [rank][cols], row-major, in those types. Blocks run on from row to row.
     * Owner: the caller, who frees them with lort_factors_free. */
    uint8_t *left, *right;
    uint64_t left_bytes, right_bytes;
    double norm2; /* ||W||_F^2 in units of 2^(2 exponent) */
    /* ||W - W'||_F^2 in that unit, measured on the stored factors; undefined unless FACTORED */
    double error2;
    /* OUT_OF_REACH: bound or estimate of the energy of max_rank, for the reason's text */
    double best_energy;
    double sigma_first; /* largest singular value / ||W||_F */
    lort_spectrum spectrum;
    int passes;     /* reads of the matrix */
    int64_t sketch; /* width d of the basis at the end */
    int64_t bad_row, bad_col;
} lort_factors;

/* Returns the most bytes that lort_factor takes, results included, for `workers` of the pool:
 *
 *   workers (tile + scratch) + 4 (m + n) d + 4 n k + 2 (m + n) k + 24 d^2 + 64 b d
 *
 * The bound depends on shape, element size and target only (docs/ARCHITECTURE.md, law 2). Returns 0
 * for a side beyond 2^31, which LoRT does not factorise (LORT_NOT_CONVERGED). */
uint64_t lort_factor_bound(int64_t rows, int64_t cols, uint32_t element_bytes,
                           const lort_target *target, unsigned workers);

/* Factorises one matrix. pool: may be NULL. The result depends on the matrix, the target and the
 * BLAS core only, never on the pool. Returns LORT_OK with any verdict. On failure: the error
 * of read(), of the allocator or of the pool; *out is zeroed. Owner: the caller frees *out with
 * lort_factors_free. */
lort_code lort_factor(const lort_matrix_source *source, const lort_target *target, lort_pool *pool,
                      const lort_alloc *alloc, lort_factors *out, lort_error *err);
/* The largest squared singular values of a matrix. */
typedef struct lort_values {
    lort_verdict verdict; /* FACTORED: values are known; ZERO, NONFINITE or NOT_CONVERGED */
    int64_t count;        /* values that are known, at most max_rank */
    double norm2;         /* ||W||_F^2 */
    int passes;
    int64_t bad_row, bad_col; /* NONFINITE */
} lort_values;
/* Finds values until those above target->floor are all known, or reach the share target->value, or
 * are max_rank. target: of kind VALUES. values: [max_rank], descending. Memory: lort_factor_bound.
 * On failure: as lort_factor. */
lort_code lort_factor_values(const lort_matrix_source *source, const lort_target *target,
                             lort_pool *pool, const lort_alloc *alloc, double *values,
                             lort_values *out, lort_error *err);
void lort_factors_free(lort_factors *factors, const lort_alloc *alloc); /* accepts a zeroed one */

#endif
