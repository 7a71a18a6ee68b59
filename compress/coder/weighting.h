/* weighting: importances of columns (formats/inputs/imatrix.h): scales of columns and rows for
 * integers and factors, and weighed sums of squares. Pure arithmetic.
 *
 *   E_j        importance of column j over the mean of all columns
 *   integers   code W diag(s), s_j = E_j^(3/8) in quarter octaves; readers multiply by 1 / s_j
 *   factors    approximate W diag(E^(1/2)); R is stored unscaled
 *   rows       of tensors that readers use row by row: code diag(t) W, t_i = 1 / norm of row i
 *
 * Source of the exponents: docs/NUMERICS.md, "Importance". */
#ifndef LORT_COMPRESS_CODER_WEIGHTING_H
#define LORT_COMPRESS_CODER_WEIGHTING_H

#include "formats/container/container.h"
#include "formats/inputs/imatrix.h"
#include <math.h>

typedef struct lort_weighting {
    bool on;                 /* true: the tensor has importances, and its errors are weighed */
    const float *importance; /* [cols] of the slice; NULL: all columns count alike */
    double unit;             /* 1 / mean */
} lort_weighting;

/* Returns the weighting of a slice. All columns count alike if the slice has no importances, or if
 * their mean is 0 or not finite. The result points into `importance`. */
lort_weighting lort_weighting_of(const lort_importance *importance, const lort_matrices *shape,
                                 int64_t slice);
static inline double lort_weight(const lort_weighting *w, int64_t col)
{
    return w->importance ? w->importance[col] * w->unit : 1;
}

/* ---- integers ---- */

/* Returns true if the scales of this slice save more bits than their codes take. */
bool lort_weighting_pays(const lort_weighting *w, const lort_matrices *shape);
/* Fills codes [cols] with the codes of s_j. All are LORT_SCALE_ONE if scales do not pay. */
void lort_weighting_codes(const lort_weighting *w, const lort_matrices *shape, uint8_t *codes);
/* Returns 2^((code - 128) / 4) for a code from LORT_SCALE_LEAST to LORT_SCALE_MOST. The result has
 * the same bits on every machine. */
static inline float lort_scale_of(uint8_t code)
{
    static const float quarters[] = {1.0f, 1.1892071f, 1.4142135f, 1.6817929f};
    return ldexpf(quarters[code % 4], code / 4 - LORT_SCALE_ONE / 4);
}
static inline uint8_t lort_scale_inverse(uint8_t code)
{
    return (uint8_t)(2 * LORT_SCALE_ONE - code);
}
/* Multiplies x [rows][cols] by the scales of its columns. lort_unscale_columns undoes this as
 * readers do. */
void lort_scale_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes);
void lort_unscale_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes);
/* The same for the first `rows` rows of a block, with the scales of its slice. Columns come first.
 */
void lort_scale_block(float *x, const lort_block_place *place, int64_t rows,
                      const lort_scales *scales);
void lort_unscale_block(float *x, const lort_block_place *place, int64_t rows,
                        const lort_scales *scales);

/* ---- rows ---- */

/* Fills codes [rows] with the scales that bring all rows to one norm, as far as quarter octaves and
 * the limits of the codes allow. row_codes: of the rows' sizes (lort_scale_code). */
void lort_row_scale_codes(const uint8_t *row_codes, int64_t rows, uint8_t *codes);

/* ---- factors ---- */

/* Fills scales [cols] with E_j^(1/2). A floor keeps dividing by them free of visible rounding
 * errors. */
void lort_weighting_scales(const lort_weighting *w, int64_t cols, float *scales);

/* ---- errors ---- */

typedef struct lort_weighed {
    double plain, weighed;
} lort_weighed;
static inline void lort_weighed_add(lort_weighed *to, const lort_weighed *from)
{
    to->plain += from->plain;
    to->weighed += from->weighed;
}

/* Returns the sums of (a - b)^2 over the first `rows` rows of a block, in units of unscaled
 * weights. b NULL: zeros. scales: of the slice; a and b are scaled by them. */
lort_weighed lort_weighed_sum(const lort_weighting *w, const lort_scales *scales,
                              const lort_block_place *place, int64_t rows, const float *a,
                              const float *b);

#endif
