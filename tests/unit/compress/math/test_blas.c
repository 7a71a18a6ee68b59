#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compress/math/blas.h"
#include "loader/machine/pool.h"
#include "loader/os/os.h"
#include "tests/unit/main.h"
#include "tests/unit/sanitized.h"
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Small integers: every product and sum is exact, so results must be equal, not close. */
static double entry(uint64_t i) { return (double)((i * 2654435761u >> 7) % 17) - 8; }

static void fill(float *f, double *d, int n, uint64_t salt)
{
    for (int i = 0; i < n; i++) {
        d[i] = entry((uint64_t)i + salt);
        f[i] = (float)d[i];
    }
}

enum { M = 13, N = 9, K = 21, LD = 25 };

static void gemm_all_forms(void **state)
{
    static float a[LD * LD], b[LD * LD], c[LD * LD];
    static double ad[LD * LD], bd[LD * LD], cd[LD * LD], want[LD * LD];

    for (int form = 0; form < 4; form++) {
        const int ta = form & 1, tb = form >> 1;
        fill(a, ad, LD * LD, 1);
        fill(b, bd, LD * LD, 2);
        fill(c, cd, LD * LD, 3);
        memcpy(want, cd, sizeof want);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int k = 0; k < K; k++)
                    sum += (ta ? ad[k * LD + i] : ad[i * LD + k]) *
                           (tb ? bd[j * LD + k] : bd[k * LD + j]);
                want[i * LD + j] = 2 * sum - 3 * cd[i * LD + j];
            }
        lort_sgemm(ta, tb, M, N, K, 2, a, LD, b, LD, -3, c, LD);
        lort_dgemm(ta, tb, M, N, K, 2, ad, LD, bd, LD, -3, cd, LD);
        assert_memory_equal(cd, want, sizeof want);
        for (int i = 0; i < LD * LD; i++)
            assert_true((double)c[i] == want[i]);
    }
}

enum { SIDE = 96, CALLS = 4000 };
static float shared_a[SIDE * SIDE], shared_b[SIDE * SIDE], shared_want[SIDE * SIDE];

static lort_code multiply(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    float c[SIDE * SIDE];

    lort_sgemm(false, false, SIDE, SIDE, SIDE, 1, shared_a, SIDE, shared_b, SIDE, 0, c, SIDE);
    if (memcmp(c, shared_want, sizeof c) != 0)
        return lort_fail(err, LORT_E_INTERNAL, "product %d differs", (int)item);
    return LORT_OK;
}

/* On a serial OpenBLAS this fails within a second if lort_blas_start does not make calls take
 * turns. */
static void calls_from_eight_threads(void **state)
{
    lort_pool *pool;
    lort_error err;
    unsigned started;

    for (int i = 0; i < SIDE * SIDE; i++) {
        shared_a[i] = (float)entry((uint64_t)i) / 7;
        shared_b[i] = (float)entry((uint64_t)i + 9) / 3;
    }
    lort_sgemm(false, false, SIDE, SIDE, SIDE, 1, shared_a, SIDE, shared_b, SIDE, 0, shared_want,
               SIDE);
    assert_int_equal(lort_pool_open(8, &pool, &started, NULL), LORT_OK);
    if (lort_pool_each(pool, CALLS, multiply, NULL, &err) != LORT_OK)
        fail_msg("%s", err.message);
    lort_pool_close(pool);
}

/* ---- address space ---- */

static lort_code multiply_slowly(void *ctx, int64_t item, unsigned worker, unsigned slot,
                                 lort_error *err)
{
    enum { BIG = 700 };
    static float a[BIG * BIG], c[4][BIG * BIG];
    lort_sgemm(false, false, BIG, BIG, BIG, 1, a, BIG, a, BIG, 0, c[worker], BIG);
    return LORT_OK;
}

/* Reserves the buffers of 4 callers within `room` bytes of address space, and expects `wanted` of
 * them. Then nothing is left, and as many threads multiply. */
static int reserve_within(uint64_t room, unsigned wanted)
{
    pid_t child = fork();
    if (child == 0) {
        lort_process_memory now;
        lort_pool *pool;
        unsigned started;
        uint64_t piece = room;
        alarm(60); /* OpenBLAS tries for ever */
        if (lort_pool_open(wanted ? wanted : 1, &pool, &started, NULL))
            _exit(1);
        lort_os_process_memory(&now);
        struct rlimit limit = {now.virtual_bytes + room, RLIM_INFINITY};
        if (setrlimit(RLIMIT_AS, &limit) != 0)
            _exit(2);
        if (lort_blas_reserve(4) != wanted)
            _exit(3);
        for (; piece >= 4096; piece /= 2)
            while (lort_os_pages(piece))
                ;
        if (wanted && lort_pool_each(pool, 4 * wanted, multiply_slowly, NULL, NULL) != LORT_OK)
            _exit(4);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void buffers_are_there_before_they_are_needed(void **state)
{
    const uint64_t one = lort_blas_address_space();
    if (SANITIZED || access("/proc/self/statm", R_OK) != 0) {
        print_message("skipped: %s\n",
                      SANITIZED ? "a sanitizer's address space cannot be limited" : "no /proc");
        skip();
    }
    assert_int_equal(reserve_within(one / 2, 0), 0);
    assert_int_equal(reserve_within(one + one / 2, 1), 0);
    assert_int_equal(reserve_within(7 * one, 3), 0);
    assert_int_equal(reserve_within(20 * one, 4), 0);
}

static void eigenproblem(void **state)
{
    enum { SIZE = 40, LDA = 43 };
    static double a[SIZE * LDA], v[SIZE * LDA], values[SIZE], only[SIZE];
    void *work = malloc(lort_dsyevd_work(SIZE)), *small = malloc(lort_dsyevd_values_work(SIZE));

    for (int i = 0; i < SIZE; i++)
        /* the lower triangle holds garbage: dsyevd must not read it */
        for (int j = 0; j < SIZE; j++)
            v[i * LDA + j] = a[i * LDA + j] = j < i ? 1e300 : entry((uint64_t)(i * 100 + j));
    assert_int_equal(lort_dsyevd(SIZE, v, LDA, values, work, NULL), LORT_OK);
    for (int e = 0; e < SIZE; e++) {
        const double *x = v + e * LDA;
        for (int i = 0; i < SIZE; i++) {
            double sum = 0;
            for (int j = 0; j < SIZE; j++)
                sum += (i <= j ? a[i * LDA + j] : a[j * LDA + i]) * x[j];
            assert_true(fabs(sum - values[e] * x[i]) < 1e-11);
        }
        assert_true(e == 0 || values[e] >= values[e - 1]);
    }
    assert_int_equal(lort_dsyevd_values(SIZE, a, LDA, only, small, NULL), LORT_OK);
    for (int e = 0; e < SIZE; e++)
        assert_true(fabs(only[e] - values[e]) < 1e-11);
    free(work);
    free(small);
}

static void eigenproblem_limits(void **state)
{
    lort_error err = {0};
    double one = 4, value = 0, work[64];

    assert_int_equal(lort_dsyevd(0, NULL, 0, NULL, NULL, NULL), LORT_OK);
    assert_int_equal(lort_dsyevd(1, &one, 1, &value, work, NULL), LORT_OK);
    assert_true(value == 4 && fabs(one) == 1);
    assert_true(lort_dsyevd_work(LORT_DSYEVD_MAX) >
                8 * (uint64_t)2 * LORT_DSYEVD_MAX * LORT_DSYEVD_MAX);
    assert_true(lort_dsyevd_work(LORT_DSYEVD_MAX + 1) == UINT64_MAX);
    assert_int_equal(lort_dsyevd(LORT_DSYEVD_MAX + 1, &one, 1, &value, work, &err),
                     LORT_E_INTERNAL);
    assert_non_null(strstr(err.message, "32767"));
}

static void sizes_that_fit(void **state)
{
    assert_true(lort_blas_fits(0, 0));
    assert_true(lort_blas_fits(INT32_MAX, 1));
    assert_true(lort_blas_fits(46340, 46340));
    assert_false(lort_blas_fits(46341, 46341));
    assert_false(lort_blas_fits((int64_t)INT32_MAX + 1, 1));
    assert_false(lort_blas_fits(-1, 1));
    assert_false(lort_blas_fits((int64_t)1 << 32, (int64_t)1 << 32));
}

static void names_are_known(void **state)
{
    assert_non_null(strstr(lort_blas_config(), "OpenBLAS"));
    assert_true(strlen(lort_blas_core()) > 0);
    assert_true(lort_blas_touched() <= lort_blas_address_space());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* before any call has mapped a buffer */
        cmocka_unit_test(buffers_are_there_before_they_are_needed),
        cmocka_unit_test(gemm_all_forms),
        cmocka_unit_test(calls_from_eight_threads),
        cmocka_unit_test(eigenproblem),
        cmocka_unit_test(eigenproblem_limits),
        cmocka_unit_test(sizes_that_fit),
        cmocka_unit_test(names_are_known),
    };

    lort_blas_start(NULL);
    return run_chosen(tests, NULL, NULL);
}
