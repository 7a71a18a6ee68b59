/* blas_sizes: the part of blas.h that calls no BLAS: what fits, and what memory calls take. */
#include "compress/math/blas.h"

#define INTEGER sizeof(int32_t) /* LAPACK's, in the LP64 interface */

bool lort_blas_fits(int64_t m, int64_t n)
{
    return m >= 0 && n >= 0 && m <= INT32_MAX && n <= INT32_MAX && (m == 0 || n <= INT32_MAX / m);
}

/* dsyevd asks for 1 + 6 n + 2 n^2 doubles and 3 + 5 n integers (LAPACK 3.11, dsyevd.f). LoRT
 * computes this in 64 bits, since LAPACK's own answer may not fit its integer. */
static uint64_t syevd_doubles(int64_t n)
{
    return 1 + 6 * (uint64_t)n + 2 * (uint64_t)n * (uint64_t)n;
}

uint64_t lort_dsyevd_work(int64_t n)
{
    return n < 0 || n > LORT_DSYEVD_MAX
               ? UINT64_MAX
               : syevd_doubles(n) * sizeof(double) + (3 + 5 * (uint64_t)n) * INTEGER;
}

/* 2 n + 1 doubles suffice. With 32 columns of n more, the tridiagonal form takes two thirds of the
 * time. At most n^2 are added, so the work of dsyevd with vectors has room for this beside the
 * matrix. */
static uint64_t values_doubles(int64_t n)
{
    const uint64_t block = n < 32 ? (uint64_t)n : 32;
    return 2 * (uint64_t)n + 1 + block * (uint64_t)n;
}

uint64_t lort_dsyevd_values_work(int64_t n)
{
    return n < 0 ? UINT64_MAX : (values_doubles(n) + 1) * sizeof(double);
}

/* The packing buffer of a caller, in bytes: 32 << 22 (common_x86_64.h). A build that brings its own
 * OpenBLAS may have a smaller one (scripts/windows.mk). */
#ifndef LORT_BLAS_BUFFER
#define LORT_BLAS_BUFFER 0x8000000
#endif

uint64_t lort_blas_address_space(void) { return (uint64_t)LORT_BLAS_BUFFER + (64u << 10); }

uint64_t lort_blas_touched(void) { return (uint64_t)5 << 20; }
