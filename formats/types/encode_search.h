/* encode_search: the passes over the numbers of one vector of lanes. A pass costs about a dozen
 * instructions for eight weights. Codes are always those nearest to the numbers. */
#ifndef LORT_FORMATS_TYPES_ENCODE_SEARCH_H
#define LORT_FORMATS_TYPES_ENCODE_SEARCH_H

#include "formats/types/encode_lanes.h"

/* Finds the scale, and the minimum if the type has one, that err least before they are rounded. */
void lort_fit_lanes(const lort_grid *grid, const lort_side *side, lort_fit *fit);

/* Tries the neighbours of stored scales and minima, in units of d and dmin, and keeps those that
 * err least. reach: how many steps up and down. error: the weighted sum of squares. */
void lort_try_neighbours(const lort_grid *grid, const lort_side *side, const lort_fit *unit,
                         int reach, lort_fit *stored, lort_f32x8 *error);

/* Weighted sums over the codes q and the numbers x of each lane. */
typedef struct lort_sums {
    lort_f32x8 q, qq, qx;
} lort_sums;

void lort_code_sums(const lort_grid *grid, const lort_side *side, const lort_fit *fit,
                    lort_sums *sums);

/* Writes the codes, from 0 on. codes: [lane][element]. */
void lort_write_codes(const lort_grid *grid, const lort_side *side, const lort_fit *fit,
                      uint8_t *codes);

#endif
