/* blas: see blas.h. Every narrowing to a BLAS integer is here. LAPACK is called column-major only,
 * through the _work entry points: LAPACK_ROW_MAJOR copies, and the others allocate and scan for
 * NaN. A row-major matrix is its own transpose there. So the row-major upper triangle is LAPACK's
 * lower one. */
#include "compress/math/blas.h"
#include "compress/math/cores.h"
#include "formats/base/alloc.h"
#include "loader/os/os.h"

#include <assert.h>
#include <cblas.h>
#include <lapacke.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(blasint) == 4 && sizeof(lapack_int) == 4,
              "the LP64 interface is the one that is narrowed for");

/* OpenBLAS 0.3.21 does not tell that it locks. A build that brings its own OpenBLAS does
 * (scripts/windows.mk). */
#ifndef LORT_BLAS_LOCKS
#define LORT_BLAS_LOCKS 0
#endif

/* OpenBLAS takes its packing buffers from a table. Two kinds of builds lock this table: the pthread
 * build and builds with USE_LOCKING=1. Debian's serial build does not: two threads get one buffer,
 * and products are wrong (docs/NUMERICS.md, "OpenBLAS"). There calls take turns. */
static atomic_flag turn = ATOMIC_FLAG_INIT;
static bool concurrent; /* calls take turns until lort_blas_start finds a build that locks */

/* The OpenMP build has a thread count for each calling thread. */
static void enter_blas(void)
{
    static _Thread_local bool started;

    if (!started && openblas_get_parallel() == OPENBLAS_OPENMP)
        openblas_set_num_threads(1);
    started = true;
    while (!concurrent && atomic_flag_test_and_set_explicit(&turn, memory_order_acquire))
        ;
}

static void leave_blas(void)
{
    if (!concurrent)
        atomic_flag_clear_explicit(&turn, memory_order_release);
}

/* Dimensions come from tile grids, not from files. One that does not fit is a defect of LoRT. */
static blasint narrow_size(int64_t v)
{
    if (v < 0 || v > INT32_MAX)
        abort();
    return (blasint)v;
}

/* BLAS wants a leading dimension of at least 1 and at least the row length, also for empty
 * matrices. */
static blasint narrow_ld(int64_t v) { return narrow_size(v < 1 ? 1 : v); }

static CBLAS_TRANSPOSE transpose_of(bool trans) { return trans ? CblasTrans : CblasNoTrans; }

void lort_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                int64_t ldc)
{
    enter_blas();
    cblas_sgemm(CblasRowMajor, transpose_of(trans_a), transpose_of(trans_b), narrow_size(m),
                narrow_size(n), narrow_size(k), alpha, a, narrow_ld(lda), b, narrow_ld(ldb), beta,
                c, narrow_ld(ldc));
    leave_blas();
}

void lort_dgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, double alpha,
                const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
                int64_t ldc)
{
    enter_blas();
    cblas_dgemm(CblasRowMajor, transpose_of(trans_a), transpose_of(trans_b), narrow_size(m),
                narrow_size(n), narrow_size(k), alpha, a, narrow_ld(lda), b, narrow_ld(ldb), beta,
                c, narrow_ld(ldc));
    leave_blas();
}

static lort_code syevd(char job, int64_t n, double *a, int64_t lda, double *values, double *work,
                       uint64_t doubles, lapack_int *iwork, uint64_t ints, lort_error *err)
{
    lapack_int info;

    if (n == 0)
        return LORT_OK;
    if (n < 0 || n > LORT_DSYEVD_MAX)
        return lort_fail(err, LORT_E_INTERNAL,
                         "eigenproblem: order out of range (found %lld, allowed 0 to %d)",
                         (long long)n, LORT_DSYEVD_MAX);
    enter_blas();
    info =
        LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, job, 'L', narrow_size(n), a, narrow_ld(lda), values,
                            work, narrow_size((int64_t)doubles), iwork, narrow_size((int64_t)ints));
    leave_blas();
    if (info < 0)
        return lort_fail(err, LORT_E_INTERNAL, "dsyevd of LAPACK rejects its argument %d",
                         (int)-info);
    if (info > 0)
        return lort_fail(err, LORT_E_NUMERIC, "dsyevd of order %lld did not converge (info %d)",
                         (long long)n, (int)info);
    return LORT_OK;
}

lort_code lort_dsyevd(int64_t n, double *a, int64_t lda, double *values, void *work,
                      lort_error *err)
{
    const uint64_t ints = 3 + 5 * (uint64_t)n,
                   doubles = (lort_dsyevd_work(n) - ints * sizeof(lapack_int)) / sizeof(double);
    double *at = work;

    return syevd('V', n, a, lda, values, at, doubles, (lapack_int *)(at + doubles), ints, err);
}

lort_code lort_dsyevd_values(int64_t n, double *a, int64_t lda, double *values, void *work,
                             lort_error *err)
{
    const uint64_t doubles = lort_dsyevd_values_work(n) / sizeof(double) - 1;
    double *at = work;

    return syevd('N', n, a, lda, values, at, doubles, (lapack_int *)(at + doubles), 1, err);
}

/* The row-major lower triangle is LAPACK's upper one. */
lort_code lort_spotrf(int64_t n, float *a, int64_t lda, bool *positive, lort_error *err)
{
    lapack_int info = 0;
    *positive = true;
    if (n == 0)
        return LORT_OK;
    enter_blas();
    info = LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'U', narrow_size(n), a, narrow_ld(lda));
    leave_blas();
    *positive = info == 0;
    if (info < 0)
        return lort_fail(err, LORT_E_INTERNAL, "spotrf of LAPACK rejects its argument %d",
                         (int)-info);
    return LORT_OK;
}

const char *lort_blas_config(void) { return openblas_get_config(); }

const char *lort_blas_core(void) { return lort_core_name(openblas_get_corename()); }

bool lort_blas_one_core(void) { return strstr(openblas_get_config(), "DYNAMIC_ARCH") == NULL; }

/* Calls of the library that are inside LoRT now, and the number of threads before the first. */
static atomic_flag users_lock = ATOMIC_FLAG_INIT;
static unsigned users;
static int host_threads;

static void lock_users(void)
{
    while (atomic_flag_test_and_set_explicit(&users_lock, memory_order_acquire))
        ;
}
static void unlock_users(void) { atomic_flag_clear_explicit(&users_lock, memory_order_release); }

lort_code lort_blas_start(lort_error *err)
{
    (void)err;
    lock_users();
    if (users++ == 0) {
        host_threads = openblas_get_num_threads();
        concurrent = LORT_BLAS_LOCKS || openblas_get_parallel() == OPENBLAS_THREAD ||
                     strstr(openblas_get_config(), "USE_LOCKING") != NULL;
    }
    if (openblas_get_num_threads() != 1)
        openblas_set_num_threads(1);
    unlock_users();
    return LORT_OK;
}

void lort_blas_stop(void)
{
    lock_users();
    if (--users == 0 && host_threads != 1 && openblas_get_num_threads() == 1)
        openblas_set_num_threads(host_threads);
    unlock_users();
}

/* OpenBLAS's calls take their buffers with these two functions and give them back; the mapping
 * stays. All its builds so far export them, and no header declares them. */
extern void *blas_memory_alloc(int unused) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

unsigned lort_blas_reserve(unsigned callers)
{
    /* buffers that earlier calls mapped, for any session */
    static _Atomic unsigned mapped;
    void *buffers[LORT_BLAS_MAX_CALLERS];
    unsigned count = callers < LORT_BLAS_MAX_CALLERS ? callers : LORT_BLAS_MAX_CALLERS;
    while (count > mapped && !lort_os_address_space((count - mapped) * lort_blas_address_space() *
                                                    (count > 1 ? 2 : 1)))
        count--;
    if (count <= mapped || !blas_memory_alloc || !blas_memory_free)
        return count;
    for (unsigned i = 0; i < count; i++)
        buffers[i] = blas_memory_alloc(0);
    for (unsigned i = 0; i < count; i++)
        blas_memory_free(buffers[i]);
    mapped = count;
    return count;
}
