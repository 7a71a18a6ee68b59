/* sgesdd: singular values by LAPACK, the reference of the factorisation's tests. */
#ifndef LORT_TESTS_SGESDD_H
#define LORT_TESTS_SGESDD_H

#include <lapacke.h>
#include <stdint.h>

/* Computes the singular values, descending, of the m x n row-major matrix a, and destroys a.
 * values: [min(m, n)]. Returns 0, or LAPACK's info. */
static inline int singular_values(int64_t m, int64_t n, float *a, float *values)
{
    float dummy;
    return (int)LAPACKE_sgesdd(LAPACK_COL_MAJOR, 'N', (lapack_int)n, (lapack_int)m, a,
                               (lapack_int)n, values, &dummy, 1, &dummy, 1);
}

#endif
