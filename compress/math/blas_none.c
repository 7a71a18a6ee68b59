/* blas_none: blas.h for a library that only reads (BLAS=none in the Makefile). lort_blas_start
 * fails, and nothing calls the functions that compute before it succeeds. So a call of one is a
 * defect of LoRT. */
#include "compress/math/blas.h"
#include <stdlib.h>

lort_code lort_blas_start(lort_error *err)
{
    return lort_fail(err, LORT_E_USAGE,
                     "this build of liblort reads only: it has no BLAS, which compress, plan and "
                     "extract-lora need; use the command lort or a full library");
}

void lort_blas_stop(void) {}

unsigned lort_blas_reserve(unsigned callers)
{
    (void)callers;
    abort();
}

const char *lort_blas_config(void) { return "no BLAS"; }

const char *lort_blas_core(void) { return ""; }

bool lort_blas_one_core(void) { return true; }

void lort_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                int64_t ldc)
{
    abort();
}

void lort_dgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, double alpha,
                const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
                int64_t ldc)
{
    abort();
}

lort_code lort_dsyevd(int64_t n, double *a, int64_t lda, double *values, void *work,
                      lort_error *err)
{
    abort();
}

lort_code lort_dsyevd_values(int64_t n, double *a, int64_t lda, double *values, void *work,
                             lort_error *err)
{
    abort();
}

lort_code lort_spotrf(int64_t n, float *a, int64_t lda, bool *positive, lort_error *err)
{
    abort();
}
