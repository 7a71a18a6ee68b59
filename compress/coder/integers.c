/* integers: see integers.h. */
#include "compress/coder/feedback.h"
#include "compress/coder/lanes.h"
#include "formats/types/half.h"
#include <math.h>
#include <string.h>

/* ---- classes ---- */

uint8_t lort_scale_code(double energy, int64_t count)
{
    int exponent;
    if (!(energy > 0) || count <= 0)
        return 0;
    /* 4 log2 of the root mean square = 2 log2 of the mean square */
    double m = frexp(energy / (double)count, &exponent);
    /* rounds 2 log2 m; the borders are 2^-0.75 and 2^-0.25 */
    int code = 128 + 2 * exponent +
               (m < 0.59460355750136054   ? -2
                : m < 0.84089641525371454 ? -1
                                          : 0);
    return (uint8_t)(code < 1 ? 1 : code > 255 ? 255 : code);
}

lort_block lort_block_at(const lort_block_place *place, int64_t rows, const uint8_t *codes,
                         int64_t slice_rows)
{
    return (lort_block){.rows = rows,
                        .cols = place->cols,
                        .row_codes = codes + place->row,
                        .col_codes = codes + slice_rows + place->col};
}

/* Returns the mean of the codes of rows or columns that have energy, in sixteenths of a code. */
static int64_t mean_code(const uint8_t *codes, int64_t count)
{
    int64_t sum = 0, used = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += codes[i];
        used += codes[i] != 0;
    }
    return used ? 16 * sum / used : 0;
}

/* A table takes about 20 bytes (docs/NUMERICS.md). So small blocks get fewer and wider classes. */
void lort_block_classes(lort_block *block)
{
    const int64_t weights = block->rows * block->cols;
    const int64_t mean =
        mean_code(block->row_codes, block->rows) + mean_code(block->col_codes, block->cols);
    block->shift = weights >= 1 << 17 ? 0 : weights >= 1 << 15 ? 1 : weights >= 1 << 13 ? 2 : 3;
    block->base = (int32_t)((mean + 8) / 16) - (LORT_CLASSES / 2 << block->shift);
}

/* ---- energies ---- */

/* Returns the energy of one row, and adds its squares to cols. For speed each lane has its own sum
 * and its own largest square. The lanes are added in order. */
LORT_INLINE double row_energy(const float *w, int64_t count, double *cols, double *peak)
{
    lort_f64s sum = {0}, top = {0};
    int64_t c = 0;
    for (; c + LORT_LANES <= count; c += LORT_LANES) {
        lort_f32s narrow;
        lort_f64s column;
        memcpy(&narrow, w + c, sizeof narrow);
        memcpy(&column, cols + c, sizeof column);
        const lort_f64s wide = __builtin_convertvector(narrow, lort_f64s), e = wide * wide;
        column += e;
        memcpy(cols + c, &column, sizeof column);
        sum += e;
        for (unsigned l = 0; l < LORT_LANES; l++)
            top[l] = e[l] > top[l] ? e[l] : top[l];
    }
    double all = 0;
    for (unsigned l = 0; l < LORT_LANES; l++) {
        all += sum[l];
        *peak = top[l] > *peak ? top[l] : *peak;
    }
    for (; c < count; c++) {
        const double e = (double)w[c] * w[c];
        cols[c] += e;
        all += e;
        *peak = e > *peak ? e : *peak;
    }
    return all;
}

LORT_VECTORS(lort_energies,
             (const float *weights, int64_t rows, int64_t cols, double *row_sums, double *col_sums,
              double *peak),
             (weights, rows, cols, row_sums, col_sums, peak))
{
    memset(col_sums, 0, (size_t)cols * sizeof *col_sums);
    *peak = 0;
    for (int64_t r = 0; r < rows; r++)
        row_sums[r] = row_energy(weights + r * cols, cols, col_sums, peak);
}

/* ---- writing ---- */

/* Loads a group into x [cols][LORT_LANES], in steps, cut to +-LORT_STEPS_MAX. Returns true if a
 * value reached that limit. */
LORT_INLINE bool load_group(const float *weights, int64_t cols, unsigned lanes, float scale,
                            float *x)
{
    /* the largest magnitude; f32 magnitudes sort as their bits do */
    uint32_t most = 0;
    for (int64_t c = 0; c < cols; c += LORT_TILE)
        lort_to_lanes(weights + c, cols, lanes, cols - c < LORT_TILE ? cols - c : LORT_TILE,
                      x + c * LORT_LANES);
    for (int64_t i = 0; i < cols * LORT_LANES; i++) {
        const float v = x[i] * scale;
        x[i] = v > LORT_STEPS_MAX ? LORT_STEPS_MAX : v < -LORT_STEPS_MAX ? -LORT_STEPS_MAX : v;
        const uint32_t magnitude = lort_to_bits(v) & INT32_MAX;
        most = magnitude > most ? magnitude : most;
    }
    return most >= lort_to_bits(LORT_STEPS_MAX);
}

/* Returns the sum of squares of the parts that were cut off, in steps. */
static double cut_off(const float *weights, int64_t count, double scale)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const double over = fabs(weights[i] * scale) - LORT_STEPS_MAX;
        sum += over > 0 ? over * over : 0;
    }
    return sum;
}

typedef struct scratch_view {
    float *x, *col;
    uint16_t *choice;
    int16_t *coded;
} scratch_view;

static scratch_view view_scratch(void *scratch, int64_t cols)
{
    scratch_view v = {.x = scratch};
    v.col = v.x + cols * LORT_LANES;
    v.choice = (uint16_t *)(void *)(v.col + cols);
    v.coded = (int16_t *)(v.choice + cols * LORT_CHOICE_WORDS * LORT_LANES);
    return v;
}

uint64_t lort_quantise_scratch(int64_t weights, int64_t cols)
{
    /* the last group takes whole lanes, even if it has a single row */
    const uint64_t group = (uint64_t)cols * LORT_LANES;
    return group * (sizeof(float) + LORT_CHOICE_WORDS * sizeof(uint16_t)) +
           (uint64_t)cols * sizeof(float) + ((uint64_t)weights + group) * sizeof(int16_t);
}

/* Sums over the weights of each context s: place 2 s for |k| != 1, place 2 s + 1 for |k| = 1. In
 * the latter n is +-1 or +-2. */
#define PLACES (2 * LORT_CONTEXTS)
typedef struct sums {
    double cross[PLACES], square[PLACES]; /* sums of x * n and of n^2; x in steps */
    uint32_t count[PLACES];
    double energy; /* sum of x^2 over all weights */
} sums;

/* The sums of one place: that of x * n, and that of n^2 with COUNT_ONE for each weight. One
 * addition does both. A group has at most 4 * 8192 weights in a copy. So with n^2 < LARGE all
 * squares stay below COUNT_ONE, and both sums of squares are exact. */
typedef double pair __attribute__((vector_size(16)));
#define LARGE_BITS 22
#define COUNT_ONE 0x1p37

/* Sums of one group. Lane l adds to copy l mod 4, so that an addition seldom waits for the one
 * before. */
typedef double quad __attribute__((vector_size(32)));
typedef struct group_sums {
    pair at[4][PLACES];
    double large[PLACES]; /* sum of the n^2 that are no part of `at` */
    quad energy[LORT_LANES / 4];
} group_sums;

LORT_INLINE quad load_quad(const float *from)
{
    float narrow __attribute__((vector_size(16)));
    memcpy(&narrow, from, sizeof narrow);
    return __builtin_convertvector(narrow, quad);
}

LORT_INLINE quad widen_quad(const int32_t *from)
{
    int32_t narrow __attribute__((vector_size(16)));
    memcpy(&narrow, from, sizeof narrow);
    return __builtin_convertvector(narrow, quad);
}

/* Takes large squares out of a column, since the sums of pairs have no room for them. */
static __attribute__((noinline)) void sum_large(int32_t *square, const int32_t *place,
                                                unsigned lanes, double *large)
{
    for (unsigned l = 0; l < lanes; l++)
        if (square[l] >> LARGE_BITS) {
            large[place[l]] += square[l];
            square[l] = 0;
        }
}

/* Adds four lanes of a column. */
LORT_INLINE void sum_quad(const float *x, const int32_t *n, const int32_t *square,
                          const int32_t *place, unsigned lanes, quad *energy, pair (*at)[PLACES])
{
    const quad wide = load_quad(x), cross = wide * widen_quad(n),
               squares = widen_quad(square) + COUNT_ONE;
    const quad even = {cross[0], squares[0], cross[2], squares[2]},
               odd = {cross[1], squares[1], cross[3], squares[3]};
    const quad both[2] = {even, odd};
    pair pairs[4];
    memcpy(pairs, both, sizeof pairs); /* lanes 0 2 1 3 */
    *energy += wide * wide;
    LORT_UNROLL for (unsigned l = 0; l < lanes; l++) at[l][place[l]] += pairs[l % 2 * 2 + l / 2];
}

/* Adds one column to the sums of its group. A place within a class is 2 quantiser + (|k| = 1).
 * Comparisons are shifts here: gcc takes those of wide vectors apart. */
LORT_INLINE void sum_column(const lort_lane_group *group, int32_t col_code, const float *x,
                            const int16_t *coded, unsigned lanes, group_sums *g)
{
    const lort_i32s v = lort_load_coded(coded), q = v & 1, k = v >> 1,
                    n = v - q - (-q & ((k >> 31) - (-k >> 31))), beyond = (k + 1) & ~2,
                    one = ~((beyond | -beyond) >> 31);
    const lort_i32s at = 4 * lort_group_classes(group, col_code) + 2 * q - one, squares = n * n;
    int32_t multiple[LORT_LANES], square[LORT_LANES], place[LORT_LANES];
    memcpy(multiple, &n, sizeof multiple);
    memcpy(square, &squares, sizeof square);
    memcpy(place, &at, sizeof place);
    if (lort_any(squares >> LARGE_BITS))
        sum_large(square, place, lanes, g->large);
#define SUM(l, count)                                                                              \
    sum_quad(x + (l), multiple + (l), square + (l), place + (l), count, &g->energy[(l) / 4], g->at)
    if (lanes == LORT_LANES) {
        LORT_UNROLL for (unsigned l = 0; l < LORT_LANES; l += 4) SUM(l, 4);
    } else {
        for (unsigned l = 0; l < lanes; l += 4)
            SUM(l, lanes - l < 4 ? lanes - l : 4);
    }
}

static void add_group(const group_sums *g, unsigned lanes, sums *all)
{
    for (unsigned p = 0; p < PLACES; p++) {
        all->square[p] += g->large[p];
        for (unsigned i = 0; i < 4; i++) {
            const uint64_t whole = (uint64_t)g->at[i][p][1], one = (uint64_t)COUNT_ONE;
            all->cross[p] += g->at[i][p][0];
            all->square[p] += (double)(whole % one);
            all->count[p] += (uint32_t)(whole / one);
        }
    }
    for (unsigned l = 0; l < lanes; l++)
        all->energy += g->energy[l / 4][l % 4];
}

static LORT_VECTORS(sum_group,
                    (const lort_block *block, int64_t row, const float *x, const int16_t *coded,
                     sums *all),
                    (block, row, x, coded, all))
{
    const lort_lane_group group = lort_group_at(block, row);
    group_sums g = {.energy = {{0}}};
    for (int64_t c = 0; c < block->cols; c++, x += LORT_LANES, coded += LORT_LANES)
        if (group.lanes == LORT_LANES)
            sum_column(&group, block->col_codes[c], x, coded, LORT_LANES, &g);
        else
            sum_column(&group, block->col_codes[c], x, coded, group.lanes, &g);
    add_group(&g, group.lanes, all);
}

/* Runs the trellis over one group. Returns the sum of squares of what was cut off, in steps.
 * factor: lambda / (2 ln 2 s^2) of a weight whose row and column have code 128. */
static LORT_VECTORS_GIVING(double, run_trellis,
                           (const lort_block *block, const float *weights, int64_t row, float step,
                            float factor, const scratch_view *v),
                           (block, weights, row, step, factor, v))
{
    const unsigned lanes = lort_group_lanes(block, row);
    float rates[LORT_LANES];
    for (unsigned l = 0; l < LORT_LANES; l++)
        rates[l] = l < lanes ? factor * lort_inverse_variance(block->row_codes[row + l]) : 0;
    const bool cut = load_group(weights + row * block->cols, block->cols, lanes, 1.0f / step, v->x);
    lort_trellis_encode(v->x, rates, v->col, block->cols, LORT_INTEGERS_LAMBDA, v->choice,
                        v->coded + row * block->cols);
    return cut ? cut_off(weights + row * block->cols, lanes * block->cols, 1.0 / step) : 0;
}

/* Returns value / unit, rounded to a multiple of `by` (a power of two), as 16 bits. A level need
 * not be more exact than its number of weights justifies. Round levels take fewer bits. */
static uint16_t to_fixed(double value, double unit, unsigned by)
{
    const double scaled = floor(value / (unit * by) + 0.5) * by, most = UINT16_MAX / by * by;
    return (uint16_t)(scaled < 0 ? 0 : scaled > most ? most : scaled);
}

/* Returns the largest mean square of n that symbols alone may have. Above it, low bits are stored
 * beside symbols. 26^2 is a root mean square of k of 13. Contexts with fewer than 4096 weights have
 * 6.5, since a larger table would cost more than it saves. docs/NUMERICS.md has the measurements.
 */
static double symbols2(uint32_t count) { return count >= 1 << 12 ? 26 * 26 : 13 * 13; }

/* Finds the levels at the centroids, level = sum(x n) / sum(n^2), and the error that they leave:
 * the sum of x^2 - 2 x v + v^2 with v = level * n. */
static void find_levels(const sums *all, double step, lort_integers *out)
{
    double error2 = all->energy;
    for (unsigned s = 0; s < LORT_CONTEXTS; s++) {
        /* size: |n| where |k| = 1 */
        const unsigned many = 2 * s, ones = 2 * s + 1, size = s & 1 ? 1 : 2;
        out->count[s] = all->count[many] + all->count[ones];
        for (out->low[s] = 0; all->square[many] + all->square[ones] >
                              symbols2(out->count[s]) * (1 << 2 * out->low[s]) * out->count[s];)
            out->low[s]++;
        out->levels.gain[s] =
            to_fixed(all->square[many] > 0 ? all->cross[many] / all->square[many] : 0, 1.0 / 32768,
                     out->low[s] < 5 ? 32u >> out->low[s] : 1);
        out->levels.one[s] =
            to_fixed(all->square[ones] > 0 ? size * all->cross[ones] / all->square[ones] : 0,
                     1.0 / 4096, 16);
        const double gain = out->levels.gain[s] / 32768.0, one = out->levels.one[s] / 4096.0 / size;
        error2 += gain * (gain * all->square[many] - 2 * all->cross[many]) +
                  one * (one * all->square[ones] - 2 * all->cross[ones]);
    }
    out->error2 = error2 > 0 ? error2 * step * step : 0;
}

/* lambda / (2 ln 2 s^2) for codes of 128, with s^2 in steps^2; rows and columns multiply it. */
static float rate_factor(const lort_block *block, float step, float lambda)
{
    return (float)(lambda * 0.72134752 * step * step / block->mean2);
}

void lort_integers_of_block(const lort_block *block, const float *weights, float step,
                            void *scratch, lort_integers *out)
{
    const float factor = rate_factor(block, step, LORT_INTEGERS_LAMBDA);
    const scratch_view v = view_scratch(scratch, block->cols);
    sums all = {.energy = 0};
    double cut = 0;
    for (int64_t c = 0; c < block->cols; c++)
        v.col[c] = lort_inverse_variance(block->col_codes[c]);
    for (int64_t r = 0; r < block->rows; r += LORT_LANES) {
        cut += run_trellis(block, weights, r, step, factor, &v);
        sum_group(block, r, v.x, v.coded + r * block->cols, &all);
    }
    out->coded = v.coded;
    find_levels(&all, step, out);
    out->error2 += cut * step * step;
}

/* ---- with feedback ---- */

/* Contexts with fewer weights get the levels of the quantisers themselves. */
#define LEVELS_LEAST 64

/* Feedback needs levels before it knows its integers. They are those of the block without it. */
static lort_levels known_levels(const lort_integers *plain)
{
    lort_levels levels = plain->levels;
    for (unsigned s = 0; s < LORT_CONTEXTS; s++)
        if (plain->count[s] < LEVELS_LEAST || levels.gain[s] == 0 || levels.one[s] == 0) {
            levels.gain[s] = 32768;
            levels.one[s] = s & 1 ? 4096 : 8192;
        }
    return levels;
}

void lort_integers_fed_back(const lort_block *block, const float *weights, float step,
                            void *scratch, float *targets, lort_integers *out)
{
    const scratch_view v = view_scratch(scratch, block->cols);
    lort_integers_of_block(block, weights, step, scratch, out);
    const lort_levels levels = known_levels(out);
    const lort_feedback_run run = {.block = block,
                                   .weights = weights,
                                   .step = step,
                                   .factor = rate_factor(block, step, 1),
                                   .col = v.col,
                                   .levels = &levels,
                                   .targets = targets,
                                   .coded = v.coded};
    double error2, loss;
    lort_feedback_quantise(&run, &error2, &loss);
    /* Counts and low bits are those of the new integers. v.x counts in levels only. */
    sums all = {.energy = 0};
    for (int64_t r = 0; r < block->rows; r += LORT_LANES)
        sum_group(block, r, v.x, v.coded + r * block->cols, &all);
    find_levels(&all, step, out);
    out->levels = levels;
    out->error2 = error2;
    out->loss = loss;
}
