/* weighting: importances of columns (formats/inputs/imatrix.h): column scales for integers and
 * factors, and weighed sums of squares. Pure arithmetic.
 *
 *   E_j        importance of column j over the mean of all columns
 *   integers   code W diag(s), s_j = E_j^(3/8) in quarter octaves; readers multiply by 1 / s_j
 *   factors    approximate W diag(E^(1/2)); R is stored unscaled
 *
 * Source of the exponents: docs/NUMERICS.md, "Importance". */
#ifndef LORT_COMPRESS_CODER_WEIGHTING_H
#define LORT_COMPRESS_CODER_WEIGHTING_H

#include "formats/container/container.h"
#include "formats/inputs/imatrix.h"

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
float lort_scale_of(uint8_t code);
static inline uint8_t lort_scale_inverse(uint8_t code)
{
    return (uint8_t)(2 * LORT_SCALE_ONE - code);
}
/* Multiplies x [rows][cols] by the scales of its columns. lort_unscale_columns undoes this as
 * readers do. */
void lort_scale_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes);
void lort_unscale_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes);

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

/* Returns the sums of (a - b)^2 over [rows][cols], in units of unscaled columns. first: the slice's
 * column of the first column of a and b. b NULL: zeros. codes: the scales of a and b, for all
 * columns of the slice; NULL: none. */
lort_weighed lort_weighed_sum(const lort_weighting *w, const uint8_t *codes, int64_t first,
                              const float *a, const float *b, int64_t rows, int64_t cols);

#endif
