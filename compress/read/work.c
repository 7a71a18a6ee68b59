/* work: see work.h.
 *
 *     allowed = 2^28 + 4096 x stored bytes
 *
 * A matrix of 4096 x 4096 in factors of rank 1 and 8 bits asks for 2000 units a byte. All other
 * containers of LoRT stay below 500. 2^28 units take about a second. */
#include "compress/read/work.h"
#include "compress/read/encoding.h"
#include "formats/container/part.h"

#define WORK_FREE 0x1p28
#define WORK_PER_BYTE 4096.0
/* A product costs a unit for an element, and another one for every 16 ranks. */
#define WORK_RANKS 16.0
/* The least columns that a call of BLAS is worth: it costs the time of 64 x 16 elements. */
#define WORK_LEAST_COLS 16
/* Integers are decoded one after the other. */
#define WORK_INTEGER 4.0

/* A cell of a kept slice decodes each chunk that it meets. Cells that lie side by side may meet the
 * same chunks. A byte that zstd decodes again costs an eighth of a unit. */
static double raw_work(lort_matrices m)
{
    const lort_cell_grid grid = lort_cell_grid_of(m.rows, m.cols);
    return 1 + (double)(grid.across - 1) / 8;
}

static double factors_work(lort_matrices m, uint32_t rank)
{
    const double wide = m.cols < WORK_LEAST_COLS ? (double)WORK_LEAST_COLS / (double)m.cols : 1;
    return wide * (1 + rank / WORK_RANKS);
}

/* Of one element of a slice. */
static double slice_work(const lort_part *part, lort_matrices m, uint32_t slice)
{
    const lort_term *raw = lort_part_term(part, slice, LORT_TERM_RAW),
                    *factors = lort_part_term(part, slice, LORT_TERM_FACTORS);
    double work = 0;
    if (raw)
        work += raw_work(m) * lort_dtype_get(raw->left)->block_bytes /
                lort_dtype_get(raw->left)->block_elements;
    if (factors)
        work += factors_work(m, factors->rank[slice]);
    if (lort_part_term(part, slice, LORT_TERM_INTEGERS))
        work += WORK_INTEGER;
    if (lort_part_term(part, slice, LORT_TERM_TERNARY))
        work += 1;
    return work;
}

double lort_part_work(const lort_part *part)
{
    const lort_matrices m = lort_part_matrices(part);
    double work = 0;
    if (m.rows == 0 || m.cols == 0)
        return 0;
    for (uint32_t s = lort_part_stored(part, 0); s < part->slices;
         s = lort_part_stored(part, s + 1))
        work += slice_work(part, m, s) * (double)m.rows * (double)m.cols;
    return work;
}

double lort_work_allowed(double stored_bytes) { return WORK_FREE + WORK_PER_BYTE * stored_bytes; }
