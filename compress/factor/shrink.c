/* shrink: makes room in a full basis. The wanted Ritz vectors stay, and the block that was to come next stays behind them: together they
 * still span a Krylov space, so the passes go on as if nothing had been dropped (thick restart: Wu & Simon, SIAM J. Matrix
 * Anal. 22, 2000). */
#include "compress/factor/factor_parts.h"

#include "compress/math/blas.h"
#include <string.h>

#define SHRINK_ROWS 256

typedef struct shrink_run {
    lort_factoring *f;
    float *x;
    int64_t rows, keep, width; /* width: columns behind column d that move up */
} shrink_run;

/* [ X | block ] of d + width columns becomes [ X V | block ] of keep + width, in place. */
static lort_code shrink_rows(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const shrink_run *run = ctx;
    const lort_factoring *f = run->f;
    const int64_t ld = f->grid.cap, at = item * SHRINK_ROWS, keep = run->keep;
    const int64_t n = at + SHRINK_ROWS < run->rows ? SHRINK_ROWS : run->rows - at;
    float *x = run->x + at * ld, *turned = (float *)(f->scratch + worker * lort_factor_scratch_bytes(&f->grid));

    lort_sgemm(false, true, n, keep, f->d, 1, x, ld, (const float *)f->work, f->d, 0, turned, keep);
    for (int64_t i = 0; i < n; i++) {
        memcpy(x + i * ld, turned + i * keep, (size_t)keep * sizeof *x);
        memmove(x + i * ld + keep, x + i * ld + f->d, (size_t)run->width * sizeof *x);
    }
    return LORT_OK;
}

static lort_code shrink_one(lort_factoring *f, float *x, int64_t rows, int64_t keep, int64_t width, lort_error *err)
{
    shrink_run run = {f, x, rows, keep, width};

    return lort_pool_each(f->pool, lort_factor_items(rows, SHRINK_ROWS), shrink_rows, &run, err);
}

lort_code lort_krylov_shrink(lort_factoring *f, int64_t keep, lort_error *err)
{
    const int64_t d = f->d, ld = f->grid.cap;
    float *v = (float *)f->work;
    lort_code code = lort_dsyevd(d, f->gram, ld, f->values, f->work, err);

    if (code != LORT_OK)
        return code;
    for (int64_t i = 0; i < keep; i++)
        for (int64_t j = 0; j < d; j++)
            v[i * d + j] = (float)f->gram[(d - 1 - i) * ld + j];
    code = shrink_one(f, f->q, f->grid.cols, keep, f->width, err);
    if (code == LORT_OK)
        code = shrink_one(f, f->y, f->grid.rows, keep, 0, err);
    memset(f->gram, 0, (size_t)(ld * ld) * sizeof *f->gram);
    for (int64_t i = 0; i < keep; i++)
        f->gram[i * ld + i] = f->values[d - 1 - i];
    f->d = keep;
    f->shrunk = true;
    return code;
}
