/* encode_search: the scale of least weighted squared error for each sub-block, before anything is
 * rounded but the codes; and then the error of scales as they are stored. */
#ifndef LORT_FORMATS_TYPES_ENCODE_SEARCH_H
#define LORT_FORMATS_TYPES_ENCODE_SEARCH_H

#include "formats/types/encode_lanes.h"

/* Scales and minima of unrounded best fits. */
typedef struct lort_fit {
    lort_f32x8 scale, min;
} lort_fit;

void lort_fit_scale(const lort_grid *grid, const lort_side *side, lort_fit *best);
void lort_fit_range(const lort_grid *grid, const lort_side *side, lort_fit *best);

/* What is known of a vector of lanes: stored scales and minima as integers, and the weighted
 * squared error of what is decoded. */
typedef struct lort_stored {
    lort_f32x8 scale, min, error;
} lort_stored;

/* Tries the neighbours of the stored scales (and minima) under d and dmin (of each lane) and keeps
 * what errs least. reach: how far. Codes are rounded anew. */
void lort_try_scales(const lort_grid *grid, const lort_side *side, const lort_fit *unit, int reach,
                     lort_stored *best);
/* Weighted sums over the elements of each lane, with codes rounded for a scale and a minimum. */
void lort_code_sums(const lort_grid *grid, const lort_side *side, const lort_fit *fit,
                    lort_sums *sums);
/* The codes, from 0. codes: [lane][element] of one vector. */
void lort_codes_of(const lort_grid *grid, const lort_side *side, const lort_fit *fit,
                   uint8_t *codes);
#endif
