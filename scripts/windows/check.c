/* Uses every library of a Windows build once, and checks the two that can be wrong in silence:
 * OpenBLAS's products and LAPACK's eigenproblem and singular values, by their residuals.
 * check-libraries runs it under Wine. Exits 0, or 1 with a line for each fault. */
#include <cblas.h>
#include <hwloc.h>
#include <jansson.h>
#include <lapacke.h>
#include <math.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#define N 300 /* above the 256 terms of one piece of a sum of dgemm */

static int faults;

static void check(int right, const char *what)
{
    if (!right)
        printf("wrong: %s\n", what);
    faults += !right;
}

static double a[N * N], z[N * N], b[N * N], w[N], work[1 + 6 * N + 2 * N * N];
static float f[N * N], g[N * N], s[N];

/* the same numbers in [-1, 1) each time */
static double next_number(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)state / 9223372036854775808.0;
}

static void check_products(void)
{
    double most = 0;
    for (int i = 0; i < N * N; i++) {
        a[i] = next_number();
        f[i] = (float)a[i];
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, N, N, N, 1, a, N, a, N, 0, b, N);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, N, N, N, 1, f, N, f, N, 0, g, N);
    for (int i = 0; i < N; i += 7)
        for (int k = 0; k < N; k++) {
            double sum = 0;
            for (int j = 0; j < N; j++)
                sum += a[i * N + j] * a[k * N + j];
            most = fmax(most, fmax(fabs(sum - b[i * N + k]), fabs(sum - g[i * N + k]) / 1e8));
        }
    check(most < 1e-11, "products of OpenBLAS");
}

/* b is symmetric here: |B z - z w|, and the sums of squares of both decompositions */
static void check_eigenproblem(void)
{
    lapack_int iwork[3 + 5 * N];
    double most = 0;
    memcpy(z, b, sizeof(z));
    check(LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'V', 'L', N, z, N, w, work, 1 + 6 * N + 2 * N * N,
                              iwork, 3 + 5 * N) == 0,
          "dsyevd does not converge");
    for (int k = 0; k < N; k++)
        for (int i = 0; i < N; i++) {
            double sum = -w[k] * z[k * N + i];
            for (int j = 0; j < N; j++)
                sum += b[j * N + i] * z[k * N + j];
            most = fmax(most, fabs(sum));
        }
    check(most < 1e-10, "eigenvectors of dsyevd");
}

/* the squares of the singular values of f are the eigenvalues of f f' */
static void check_singular_values(void)
{
    double most = 0;
    check(LAPACKE_sgesdd(LAPACK_COL_MAJOR, 'N', N, N, f, N, s, NULL, 1, NULL, 1) == 0,
          "sgesdd does not converge");
    for (int k = 0; k < N; k++)
        most = fmax(most, fabs((double)s[k] - sqrt(fabs(w[N - 1 - k]))) / s[0]);
    check(most < 1e-5, "singular values of sgesdd");
}

static void check_others(void)
{
    char packed[256], text[16];
    const size_t size = ZSTD_compress(packed, sizeof(packed), "lort lort lort", 15, 3);
    json_t *json = json_pack("{s:i}", "a", 1);
    hwloc_topology_t topology;

    check(ZSTD_decompress(text, sizeof(text), packed, size) == 15 &&
              !strcmp(text, "lort lort lort"),
          "zstd");
    check(json && json_integer_value(json_object_get(json, "a")) == 1, "jansson");
    json_decref(json);
    check(XXH3_64bits("", 0) == 0x2d06800538d394c2u, "xxHash");
    struct sha256_ctx state;
    uint8_t value[SHA256_DIGEST_SIZE];
    sha256_init(&state);
    sha256_update(&state, 3, (const uint8_t *)"abc"); /* FIPS 180-4's own example */
    sha256_digest(&state, sizeof(value), value);
    check(value[0] == 0xba && value[31] == 0xad, "Nettle");
    check(hwloc_topology_init(&topology) == 0 && hwloc_topology_load(topology) == 0 &&
              hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU) > 0,
          "hwloc");
    hwloc_topology_destroy(topology);
}

int main(void)
{
    check_products();
    check_eigenproblem();
    check_singular_values();
    check_others();
    check(!_stricmp(openblas_get_corename(), "Haswell") && openblas_get_parallel() == 0 &&
              openblas_get_num_threads() == 1,
          "OpenBLAS is not the serial one with Haswell kernels");
    if (!faults)
        printf("every library answers: %s\n", openblas_get_config());
    return faults != 0;
}
