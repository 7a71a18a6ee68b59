/* block_grid: cuts a matrix into blocks (docs/FORMAT.md, section 8, "Blocks of integers"). Also
 * what readers and writers of coded slices find alike: codes of scales, steps, places of outliers.
 *
 *     even(total, most, unit) = total (1 for 0)               if total <= most
 *                             = unit ceil(ceil(total / n) / unit), n = ceil(total / most)
 *     wide = even(cols, 8192, 1024)
 *     high = even(rows, 64 floor(524288 / wide / 64), 64)
 */
#include "formats/container/container.h"
#include <math.h>

static int64_t count_pieces(int64_t total, int64_t size)
{
    return total / size + (total % size != 0);
}

/* The side of even pieces of at most `most`, in whole units if there are several pieces. */
static int64_t even_step(int64_t total, int64_t most, int64_t unit)
{
    const int64_t count = count_pieces(total, most);
    return count <= 1 ? (total > 0 ? total : 1)
                      : count_pieces(count_pieces(total, count), unit) * unit;
}

lort_block_grid lort_block_grid_of(int64_t rows, int64_t cols)
{
    lort_block_grid g = {
        .rows = rows, .cols = cols, .wide = even_step(cols, LORT_BLOCK_COLS, LORT_BLOCK_COL_UNIT)};
    g.high =
        even_step(rows, LORT_BLOCK_WEIGHTS / g.wide / LORT_BLOCK_ROW_UNIT * LORT_BLOCK_ROW_UNIT,
                  LORT_BLOCK_ROW_UNIT);
    g.down = count_pieces(rows, g.high);
    g.across = count_pieces(cols, g.wide);
    return g;
}

lort_block_place lort_block_get(const lort_block_grid *g, int64_t number)
{
    const int64_t r = number / g->across * g->high, c = number % g->across * g->wide;
    return (lort_block_place){r, c, g->rows - r < g->high ? g->rows - r : g->high,
                              g->cols - c < g->wide ? g->cols - c : g->wide};
}

uint64_t lort_codes_bytes(unsigned scaled, const lort_matrices *shape)
{
    return (scaled & LORT_SCALING_ROWS ? 2 : 1) * (uint64_t)shape->rows +
           (scaled & LORT_SCALING_COLS ? 2 : 1) * (uint64_t)shape->cols;
}

lort_scales lort_scales_in(const uint8_t *codes, unsigned scaled, const lort_matrices *shape)
{
    const uint8_t *cols = codes + shape->rows + shape->cols,
                  *rows = cols + (scaled & LORT_SCALING_COLS ? shape->cols : 0);
    return (lort_scales){scaled & LORT_SCALING_COLS ? cols : NULL,
                         scaled & LORT_SCALING_ROWS ? rows : NULL};
}

float lort_step_most(unsigned scaled)
{
    return ldexpf(1, scaled & LORT_SCALING_ROWS ? LORT_ROW_STEP_OCTAVES : LORT_STEP_OCTAVES);
}

uint64_t lort_outliers_from(const uint64_t *places, uint64_t count, uint64_t place)
{
    uint64_t low = 0, high = count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (places[middle] < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
