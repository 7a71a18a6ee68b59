/* weighting: see weighting.h. No rounding function of libm decides a byte: only products and
 * quotients of IEEE 754, correctly rounded roots, and frexp do. */
#include "compress/coder/weighting.h"
#include "compress/coder/integers.h"
#include <math.h>

/* Least importance that scales of integer columns count, over the mean. A text need not show all
 * uses of a column (docs/NUMERICS.md, "Importance"). */
#define LEAST_SHARE 0.01
/* The same limit for factors. Factor columns gain nothing by it: it only keeps R / s free of noise.
 */
#define FACTOR_SHARE 1e-6
/* Scales pay above this value of rows x the mean of (LORT_SCALE_ONE - code) over the columns
 * (docs/NUMERICS.md, "Importance"). */
#define PAYS 24

lort_weighting lort_weighting_of(const lort_importance *importance, const lort_matrices *shape,
                                 int64_t slice)
{
    lort_weighting w = {.on = importance != NULL, .unit = 1};
    const float *row = importance ? lort_importance_row(importance, shape, slice) : NULL;
    double sum = 0;
    for (int64_t c = 0; row && c < shape->cols; c++)
        sum += row[c];
    if (!(sum > 0) || !isfinite(sum))
        return w;
    w.importance = row;
    w.unit = (double)shape->cols / sum;
    return w;
}

/* ---- integers ---- */

/* Returns the code of E^(3/8). lort_scale_code takes a root itself, so it gets E^(3/4). */
static uint8_t code_of(const lort_weighting *w, int64_t col)
{
    const double weight = lort_weight(w, col),
                 root = sqrt(weight > LEAST_SHARE ? weight : LEAST_SHARE);
    const uint8_t code = lort_scale_code(root * sqrt(root), 1);
    return code > LORT_SCALE_MOST ? LORT_SCALE_MOST : code;
}

/* At one rate, the weighed error of unscaled columns grows as the arithmetic mean of the weights.
 * With columns scaled by the roots of the weights, it grows as their geometric mean. So scales save
 * at best half the log2 of the quotient of the means, in bits for each weight. Coarse classes leave
 * about half of that. */
bool lort_weighting_pays(const lort_weighting *w, const lort_matrices *shape)
{
    int64_t sum = 0;
    for (int64_t c = 0; w->importance && c < shape->cols; c++)
        sum += LORT_SCALE_ONE - code_of(w, c);
    return (double)sum * (double)shape->rows > PAYS * (double)shape->cols;
}

void lort_weighting_codes(const lort_weighting *w, const lort_matrices *shape, uint8_t *codes)
{
    const bool pays = lort_weighting_pays(w, shape);
    for (int64_t c = 0; c < shape->cols; c++)
        codes[c] = pays ? code_of(w, c) : LORT_SCALE_ONE;
}

static void multiply_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes,
                             bool inverse)
{
    enum { RUN = 64 };
    float scale[RUN];
    for (int64_t c0 = 0; c0 < cols; c0 += RUN) {
        const int64_t n = cols - c0 < RUN ? cols - c0 : RUN;
        for (int64_t c = 0; c < n; c++)
            scale[c] = lort_scale_of(inverse ? lort_scale_inverse(codes[c0 + c]) : codes[c0 + c]);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < n; c++)
                x[r * cols + c0 + c] *= scale[c];
    }
}

void lort_scale_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes)
{
    multiply_columns(x, rows, cols, codes, false);
}
void lort_unscale_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes)
{
    multiply_columns(x, rows, cols, codes, true);
}

static void multiply_rows(float *x, int64_t rows, int64_t cols, const uint8_t *codes, bool inverse)
{
    for (int64_t r = 0; r < rows; r++) {
        const float scale = lort_scale_of(inverse ? lort_scale_inverse(codes[r]) : codes[r]);
        for (int64_t c = 0; c < cols; c++)
            x[r * cols + c] *= scale;
    }
}

void lort_scale_block(float *x, const lort_block_place *place, int64_t rows,
                      const lort_scales *scales)
{
    if (scales->cols)
        lort_scale_columns(x, rows, place->cols, scales->cols + place->col);
    if (scales->rows)
        multiply_rows(x, rows, place->cols, scales->rows + place->row, false);
}

void lort_unscale_block(float *x, const lort_block_place *place, int64_t rows,
                        const lort_scales *scales)
{
    if (scales->cols)
        lort_unscale_columns(x, rows, place->cols, scales->cols + place->col);
    if (scales->rows)
        multiply_rows(x, rows, place->cols, scales->rows + place->row, true);
}

void lort_row_scale_codes(const uint8_t *row_codes, int64_t rows, uint8_t *codes)
{
    for (int64_t r = 0; r < rows; r++) {
        const int wanted = row_codes[r] ? 2 * LORT_SCALE_ONE - row_codes[r] : LORT_SCALE_ONE;
        codes[r] = (uint8_t)(wanted < LORT_ROW_SCALE_LEAST  ? LORT_ROW_SCALE_LEAST
                             : wanted > LORT_ROW_SCALE_MOST ? LORT_ROW_SCALE_MOST
                                                            : wanted);
    }
}

/* ---- factors ---- */

void lort_weighting_scales(const lort_weighting *w, int64_t cols, float *scales)
{
    for (int64_t c = 0; c < cols; c++) {
        const double weight = lort_weight(w, c);
        /* sqrt is correctly rounded */
        scales[c] = (float)sqrt(weight > FACTOR_SHARE ? weight : FACTOR_SHARE);
    }
}

/* ---- errors ---- */

static double unit_of(const uint8_t *codes, int64_t i)
{
    return codes ? (double)lort_scale_of(lort_scale_inverse(codes[i])) : 1;
}

lort_weighed lort_weighed_sum(const lort_weighting *w, const lort_scales *scales,
                              const lort_block_place *place, int64_t rows, const float *a,
                              const float *b)
{
    enum { RUN = 64 };
    lort_weighed all = {0, 0};
    for (int64_t c0 = 0; c0 < place->cols; c0 += RUN) {
        const int64_t n = place->cols - c0 < RUN ? place->cols - c0 : RUN;
        double sum[RUN] = {0};
        for (int64_t r = 0; r < rows; r++) {
            const float *x = a + r * place->cols + c0, *y = b ? b + r * place->cols + c0 : NULL;
            const double unit = unit_of(scales->rows, place->row + r);
            for (int64_t c = 0; c < n; c++) {
                const double d = ((double)x[c] - (y ? (double)y[c] : 0)) * unit;
                sum[c] += d * d;
            }
        }
        for (int64_t c = 0; c < n; c++) {
            const double unit = unit_of(scales->cols, place->col + c0 + c);
            all.plain += sum[c] * unit * unit;
            all.weighed += sum[c] * unit * unit * lort_weight(w, place->col + c0 + c);
        }
    }
    return all;
}
