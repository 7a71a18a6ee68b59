/* Fuzz target: importance matrices in both forms. Values are finite, the target finds every entry
 * by its name, and memory is in proportion to the file. Scales of columns are within their bounds.
 */
#include "compress/coder/weighting.h"
#include "formats/inputs/imatrix.h"
#include "fuzz_header.h"
#include <math.h>

static void check_entry(const lort_imatrix *m, const lort_importance *e)
{
    CHECK(e->n_mat > 0 && e->n_in > 0 && e->name_bytes > 0 && e->name[e->name_bytes] == 0);
    CHECK(lort_imatrix_find(m, e->name, e->name_bytes) == e);
    for (int64_t i = 0; i < e->n_mat * e->n_in; i++)
        CHECK(isfinite(e->mean_square[i]) && e->mean_square[i] >= 0);
    const lort_matrices shape = {e->n_mat, 1, e->n_in};
    CHECK(lort_importance_row(e, &shape, e->n_mat - 1) ==
          e->mean_square + (e->n_mat - 1) * e->n_in);
}

/* Checks the codes and scales that compress makes of it: codes within their bounds, and scales
 * above 0. */
static void check_weighting(const lort_importance *e)
{
    const lort_matrices shape = {e->n_mat, 1000, e->n_in};
    const lort_weighting w = lort_weighting_of(e, &shape, 0);
    uint8_t *codes = malloc((size_t)e->n_in);
    float *scales = malloc((size_t)e->n_in * sizeof *scales);
    CHECK(codes && scales && w.on && isfinite(w.unit));
    lort_weighting_codes(&w, &shape, codes);
    lort_weighting_scales(&w, e->n_in, scales);
    for (int64_t i = 0; i < e->n_in; i++)
        CHECK(codes[i] >= LORT_SCALE_LEAST && codes[i] <= LORT_SCALE_MOST && isnormal(scales[i]) &&
              scales[i] > 0);
    free(codes);
    free(scales);
}

static void check_names(const lort_imatrix *m, const uint8_t *data, uint64_t size)
{
    char name[64];
    const uint64_t n = lort_imatrix_map_name((const char *)data, size, name, sizeof name);
    CHECK(n < sizeof name && (n == 0 || name[n] == 0));
    lort_imatrix_find(m, (const char *)data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    allocations l = {0};
    lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_error err = {0};
    lort_imatrix m;
    lort_code code = lort_imatrix_parse(data, size, &alloc, &m, &err);
    CHECK(l.peak <= (1u << 20) + 64 * (uint64_t)size);
    check_names(&m, data, size);
    if (code) {
        CHECK(m.count == 0);
        check_failed(code, &err, &l);
        return 0;
    }
    CHECK(m.count > 0);
    for (uint64_t i = 0; i < m.count; i++)
        check_entry(&m, &m.entries[i]);
    for (uint64_t i = 0; i < m.count; i++)
        check_weighting(&m.entries[i]);
    lort_imatrix_free(&m);
    CHECK(l.blocks == 0 && l.out == 0);
    return 0;
}
