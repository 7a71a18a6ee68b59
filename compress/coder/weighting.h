/* weighting: what the importance of a matrix's columns (formats/inputs/imatrix.h) does to it:
 * scales of the columns its integers and its factors are made of, and sums of squares weighed by
 * it. Pure arithmetic.
 *
 * E_j: the importance of column j, over the mean of all. Integers code W diag(s), s_j = E_j^(3/8)
 * in quarter octaves; whoever reads them multiplies column j by 1 / s_j. Of factors W diag(E^(1/2))
 * is approximated, and R is stored unscaled. */
#ifndef LORT_COMPRESS_CODER_WEIGHTING_H
#define LORT_COMPRESS_CODER_WEIGHTING_H

#include "formats/container/container.h"
#include "formats/inputs/imatrix.h"

typedef struct lort_weighting {
    bool on;                 /* the tensor has importances: errors are weighed */
    const float *importance; /* [cols] of the slice; NULL: all columns alike */
    double unit;             /* 1 / mean */
} lort_weighting;

/* The columns of a slice are alike where nothing is known of it, or the mean of its importances is
 * 0 or not finite. */
lort_weighting lort_weighting_of(const lort_importance *importance, const lort_matrices *shape,
                                 int64_t slice);
static inline double lort_weight(const lort_weighting *w, int64_t col)
{
    return w->importance ? w->importance[col] * w->unit : 1;
}

/* ---- integers ---- */

/* Whether the scales of this slice save more bits than their codes take. */
bool lort_weighting_pays(const lort_weighting *w, const lort_matrices *shape);
/* Codes of s_j, [cols]; all LORT_SCALE_ONE where they do not pay. */
void lort_weighting_codes(const lort_weighting *w, const lort_matrices *shape, uint8_t *codes);
/* 2^((code - 128) / 4), for LORT_SCALE_LEAST <= code <= LORT_SCALE_MOST: exactly the same
 * everywhere. */
float lort_scale_of(uint8_t code);
static inline uint8_t lort_scale_inverse(uint8_t code)
{
    return (uint8_t)(2 * LORT_SCALE_ONE - code);
}
/* x: [rows][cols]. Multiplies, or divides as readers do, by the scales of its columns. */
void lort_scale_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes);
void lort_unscale_columns(float *x, int64_t rows, int64_t cols, const uint8_t *codes);

/* ---- factors ---- */

/* scales: [cols]; E_j^(1/2), but not so small that dividing by it would show rounding errors. */
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

/* Sums of (a - b)^2 over [rows][cols], the first column being `first` of the slice, in the units of
 * unscaled columns. b NULL: zero. codes (of the slice): the scales that a and b have; NULL: none.
 */
lort_weighed lort_weighed_sum(const lort_weighting *w, const uint8_t *codes, int64_t first,
                              const float *a, const float *b, int64_t rows, int64_t cols);

#endif
