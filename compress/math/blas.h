/* blas: the only user of <cblas.h> and <lapacke.h> (blas.c). A build with BLAS=none has blas_none.c
 * instead, where lort_blas_start fails. The room compress/math owns BLAS and LAPACK calls, the
 * product of factors (multiply.h) and random numbers. It must not know a tensor.
 *
 * Dimensions are int64_t, and one place narrows and checks them. All matrices are row-major, with a
 * leading dimension (elements from row to row). A call names a transposed operand; nothing is
 * copied. */
#ifndef LORT_COMPRESS_MATH_BLAS_H
#define LORT_COMPRESS_MATH_BLAS_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* C [m x n] = alpha * op(A) [m x k] * op(B) [k x n] + beta * C. */
void lort_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                int64_t ldc);
void lort_dgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, double alpha,
                const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
                int64_t ldc);

/* Computes eigenvalues (ascending) and eigenvectors of the symmetric n x n matrix a, with dsyevd of
 * LAPACK. a is row-major; only its upper triangle is read. On return row i of a is the i-th
 * eigenvector. work: lort_dsyevd_work(n) bytes, 8-byte aligned. Its size is UINT64_MAX for n above
 * LORT_DSYEVD_MAX, where LAPACK's integers end. On failure: LORT_E_NUMERIC if dsyevd does not
 * converge, LORT_E_INTERNAL for n out of range. */
#define LORT_DSYEVD_MAX 32766
uint64_t lort_dsyevd_work(int64_t n);
lort_code lort_dsyevd(int64_t n, double *a, int64_t lda, double *values, void *work,
                      lort_error *err);
/* Computes eigenvalues without vectors, and destroys a. work: lort_dsyevd_values_work(n) bytes. */
uint64_t lort_dsyevd_values_work(int64_t n);
lort_code lort_dsyevd_values(int64_t n, double *a, int64_t lda, double *values, void *work,
                             lort_error *err);

/* Factors the symmetric n x n matrix a = L L' with spotrf of LAPACK. a is row-major. Its lower
 * triangle becomes L; the part above the diagonal stays. *positive is false if a is not positive
 * definite; then the lower triangle is undefined. On failure: LORT_E_INTERNAL. */
lort_code lort_spotrf(int64_t n, float *a, int64_t lda, bool *positive, lort_error *err);

/* Returns true if m, n and m x n fit a 32-bit BLAS integer. */
bool lort_blas_fits(int64_t m, int64_t n);

/* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY ..."; "no BLAS" */
const char *lort_blas_config(void);
/* "Zen", "SkylakeX": the kernels that OpenBLAS chose when it was loaded (cores.h); "" if no BLAS */
const char *lort_blas_core(void);
bool lort_blas_one_core(void); /* this OpenBLAS has the kernels of one core only */
/* Makes OpenBLAS use one thread inside a call, until the last lort_blas_stop. Call it before any
 * other function here. The number of threads is state of the whole process, and a host program may
 * use OpenBLAS too. So each start that succeeds needs a stop. Threads: any.
 *
 * It also decides whether calls from several threads run at once. They take turns in a serial or
 * OpenMP build, whose buffers are not safe to share: more workers gain nothing there. Use the
 * pthread build.
 *
 * On failure: LORT_E_USAGE, if the library was built without BLAS. */
lort_code lort_blas_start(lort_error *err);
/* Ends what lort_blas_start began. The last stop gives OpenBLAS the number of threads that it had
 * before the first start, unless the host set another one meanwhile. */
void lort_blas_stop(void);
/* Most threads that may be inside BLAS at once. OpenBLAS ends the process when its buffer table of
 * 128 is full (docs/NUMERICS.md, "OpenBLAS"). */
#define LORT_BLAS_MAX_CALLERS 120
/* Maps the packing buffers of up to `callers` threads, and returns the number of buffers that are
 * mapped; 0: no room for any. Without this, OpenBLAS tries for ever to map a buffer where address
 * space is short. More than one buffer takes at most half of the address space that is left. The
 * buffers stay until the process ends. Threads: call it from one thread after lort_blas_start, with
 * nobody inside BLAS. */
unsigned lort_blas_reserve(unsigned callers);
/* Return the address space of one caller's packing buffer, and the bytes of it that get touched.
 * Both are measured; the plan counts them (docs/NUMERICS.md, "OpenBLAS"). */
uint64_t lort_blas_address_space(void);
uint64_t lort_blas_touched(void);

#endif
