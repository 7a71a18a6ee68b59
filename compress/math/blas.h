/* blas: the only user of <cblas.h> and <lapacke.h>. Dimensions are int64_t here and narrowed in one
 * checked place. All matrices are row-major with a leading dimension (elements between rows);
 * transposed operands are named in the call, never copied. */
#ifndef LORT_COMPRESS_MATH_BLAS_H
#define LORT_COMPRESS_MATH_BLAS_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* C[m x n] = alpha * op(A)[m x k] * op(B)[k x n] + beta * C. */
void lort_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                int64_t ldc);
void lort_dgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, double alpha,
                const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
                int64_t ldc);

/* Eigenvalues (ascending) and vectors of the symmetric n x n matrix a (row-major; only its upper
 * triangle is read): on return row i of a is the i-th eigenvector. LAPACK dsyevd. LORT_E_NUMERIC if
 * it does not converge; work: lort_dsyevd_work(n) bytes, 8-byte aligned (UINT64_MAX where LAPACK's
 * integers end: n above LORT_DSYEVD_MAX). */
#define LORT_DSYEVD_MAX 32766
uint64_t lort_dsyevd_work(int64_t n);
lort_code lort_dsyevd(int64_t n, double *a, int64_t lda, double *values, void *work,
                      lort_error *err);
/* The same without vectors; a is destroyed. work: lort_dsyevd_values_work(n) bytes. */
uint64_t lort_dsyevd_values_work(int64_t n);
lort_code lort_dsyevd_values(int64_t n, double *a, int64_t lda, double *values, void *work,
                             lort_error *err);

/* True if m, n, k, and every product LAPACK forms of them, fit a 32-bit BLAS integer. */
bool lort_blas_fits(int64_t m, int64_t n);

const char *lort_blas_config(void); /* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY ..." */
const char *lort_blas_core(void);   /* "Zen", "SkylakeX": may decide bytes */
/* Makes the library single-threaded inside a call (it may have been built threaded). Call once,
 * before any other. */
void lort_blas_start(void);
/* Do calls from several threads run at once? False for a serial or OpenMP build of OpenBLAS: its
 * buffers are not safe to share between threads, so calls take turns here and more workers bring
 * nothing. The pthread build is the one to use. */
/* At most this many threads may be inside BLAS at once: OpenBLAS ends the process when its buffer
 * table is full. */
#define LORT_BLAS_MAX_CALLERS 120
/* Has the packing buffers of up to `callers` threads mapped, and says of how many: no call has to
 * map one then, which OpenBLAS would try for ever where address space is short. At most half of
 * what is left is taken for more than one. 0: there is no room for any. After lort_blas_start, from
 * one thread, nobody else being in BLAS. Buffers stay until the process ends. */
unsigned lort_blas_reserve(unsigned callers);
/* Address space one caller's packing buffer takes, and the bytes of it that get touched (measured;
 * for the plan). */
uint64_t lort_blas_address_space(void);
uint64_t lort_blas_touched(void);

#endif
