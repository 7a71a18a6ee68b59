/* finite: see finite.h.
 *
 *     |element| <= 2^exponent x rank x max|L| x max|R| x ROUNDING + largest block value < 2^128
 *
 * The product must be below 2^128 before the exponent too, since readers compute it first.
 * Only where this bound fails are the cells decoded. A container from outside could make that work
 * without end, so the work per stored byte has a limit. */
#include "compress/read/finite.h"
#include "formats/container/part.h"
#include <float.h>
#include <math.h>

/* The largest integer is below 2^20, its gain below 2, and the inverse scales of a row and a column
 * are at most 2^32 and 2^8. */
#define MOST_STEPS 0x1p61
/* Elements decoded per stored byte of the part. Factors of rank 1 in Q8_0 of 16384 x 16384 have
 * 7,700. */
#define MOST_RATIO 8192

/* A sum of at most 2^15 components grows by less than 2^-8 of its bound when each step rounds. */
#define ROUNDING (1 + 0x1p-8)

static double most_of(const float *values, uint64_t n)
{
    float most = 0;
    for (uint64_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(values[i]));
    return most;
}

static double bound_of(const lort_slice *slice)
{
    const lort_term *factors = slice->term[LORT_TERM_FACTORS],
                    *integers = slice->term[LORT_TERM_INTEGERS];
    const uint64_t rank = factors->rank[slice->slice], rows = (uint64_t)slice->shape.rows,
                   cols = (uint64_t)slice->shape.cols;
    const double product = ROUNDING * (double)rank * most_of(slice->left, rows * rank) *
                           most_of(slice->right, rank * cols);
    double bound = fmax(product, ldexp(product, factors->exponent[slice->slice]));
    if (integers)
        bound += MOST_STEPS * (double)integers->step[slice->slice];
    if (slice->scales)
        bound += most_of(slice->scales, rows);
    return bound;
}

static lort_code check_cells(const lort_slice *slice, lort_scratch *scratch, float *values,
                             lort_error *err)
{
    const lort_cell_grid grid = lort_cell_grid_of(slice->shape.rows, slice->shape.cols);
    lort_chunk_cache cache = {0};
    for (int64_t i = 0; i < grid.down * grid.across; i++) {
        const lort_cells cells = lort_cell_get(&grid, i);
        const uint64_t count = lort_cell_count(&cells);
        lort_code code = lort_slice_cells(slice, &cells, scratch, &cache, values, err);
        if (code)
            return code;
        if (lort_find_nonfinite(values, count) < count)
            return lort_fail(err, LORT_E_DAMAGED,
                             "slice %u: a value of its factors does not fit F32", slice->slice);
    }
    return LORT_OK;
}

uint64_t lort_finite_bytes(const lort_part *part)
{
    for (uint32_t i = 0; i < part->term_count; i++)
        if (part->terms[i].kind == LORT_TERM_FACTORS)
            return LORT_CELL_VALUES * sizeof(float);
    return 0;
}

lort_code lort_slice_check_finite(const lort_slice *slice, lort_scratch *scratch,
                                  const lort_alloc *alloc, lort_error *err)
{
    void *memory;
    if (!slice->term[LORT_TERM_FACTORS] || bound_of(slice) < (double)FLT_MAX)
        return LORT_OK;
    if ((double)slice->shape.rows * (double)slice->shape.cols >
        (double)MOST_RATIO * (double)slice->part->payload_bytes)
        return lort_fail(err, LORT_E_DAMAGED,
                         "slice %u: its factors are too large to be a product in F32",
                         slice->slice);
    lort_code code =
        lort_take(alloc, lort_finite_bytes(slice->part), "a cell to check", &memory, err);
    if (code)
        return code;
    code = check_cells(slice, scratch, memory, err);
    lort_give(alloc, memory, lort_finite_bytes(slice->part));
    return code;
}
