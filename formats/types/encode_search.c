/* encode_search: every function exists for each way to read codes, which it is inlined with. */
#include "formats/types/encode_search.h"
#include <float.h>

static const float iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

#define R2(v) v, v
#define R4(v) R2(v), R2(v)
#define R8(v) R4(v), R4(v)
#define R16(v) R8(v), R8(v)
#define R32(v) R16(v), R16(v)

/* The level nearest to what lies between (i - 256) / 2 and (i - 255) / 2. */
static const float iq4_nearest[512] = {
    R16(-127), R8(-127), -127,     R32(-104), R8(-104), R4(-104), R32(-83), R4(-83),  R2(-83),
    -83,       R32(-65), R2(-65),  R16(-49),  R8(-49),  R4(-49),  R2(-49),  R16(-35), R8(-35),
    R2(-35),   -35,      R16(-22), R8(-22),   -22,      R16(-10), R4(-10),  R2(-10),  -10,
    R16(1),    R4(1),    R2(1),    1,         R16(13),  R8(13),   R16(25),  R8(25),   25,
    R16(38),   R8(38),   R4(38),   R16(53),   R8(53),   R4(53),   R2(53),   53,       R32(69),
    R4(69),    R32(89),  R8(89),   R4(89),    R32(113), R16(113), R4(113),  R2(113),
};

/* The value of the code that is nearest to t, which is in units of the scale. */
LORT_INLINE lort_f32x8 nearest(lort_levels levels, lort_f32x8 t, lort_bounds codes)
{
    if (levels != LORT_IQ4)
        return lort_bound(lort_round(t), codes);
    const lort_i32x8 at = __builtin_convertvector(2 * lort_bound(t, codes) + 256, lort_i32x8);
    const float *n = iq4_nearest;
    return (lort_f32x8){n[at[0]], n[at[1]], n[at[2]], n[at[3]],
                        n[at[4]], n[at[5]], n[at[6]], n[at[7]]};
}

/* Calls function(grid, levels, ...) with a constant for the levels. */
#define WITH_LEVELS(function, grid, ...)                                                           \
    do {                                                                                           \
        if ((grid)->levels == LORT_STEPS)                                                          \
            function(grid, LORT_STEPS, __VA_ARGS__);                                               \
        else if ((grid)->levels == LORT_STEPS_MIN)                                                 \
            function(grid, LORT_STEPS_MIN, __VA_ARGS__);                                           \
        else                                                                                       \
            function(grid, LORT_IQ4, __VA_ARGS__);                                                 \
    } while (0)

/* Adds up the codes of x * inverse + shift. */
LORT_INLINE void sums_of(const lort_grid *grid, lort_levels levels, const lort_side *side,
                         lort_f32x8 inverse, lort_f32x8 shift, lort_sums *sums)
{
    const lort_bounds codes = lort_bounds_of(grid->low, grid->high);
    lort_f32x8 sum_q = lort_splat(0), qq = sum_q, qx = sum_q;
    for (int i = 0; i < grid->depth; i++) {
        const lort_f32x8 x = side->x[i], t = x * inverse,
                         q = nearest(levels, levels == LORT_STEPS_MIN ? t + shift : t, codes),
                         wq = side->w[i] * q;
        sum_q += wq;
        qq += wq * q;
        qx += wq * x;
    }
    *sums = (lort_sums){sum_q, qq, qx};
}

LORT_VECTORS(lort_code_sums,
             (const lort_grid *grid, const lort_side *side, const lort_fit *fit, lort_sums *sums),
             (grid, side, fit, sums))
{
    const lort_f32x8 inverse = lort_inverse(fit->scale);
    WITH_LEVELS(sums_of, grid, side, inverse, fit->min * inverse, sums);
}

/* ---- before anything is rounded but the codes ---- */

typedef struct trial {
    lort_fit fit;
    lort_f32x8 gain; /* what the fit takes from the weighted sum of squares */
} trial;

/* Least squares for codes that x * inverse + shift gives. A K-quant's minimum cannot lift. */
LORT_INLINE void try_codes(const lort_grid *grid, lort_levels levels, const lort_side *side,
                           lort_f32x8 inverse, lort_f32x8 shift, trial *best)
{
    lort_sums s;
    sums_of(grid, levels, side, inverse, shift, &s);
    lort_fit fit = {s.qx * lort_inverse(s.qq), lort_splat(0)};
    lort_f32x8 gain = fit.scale * s.qx;
    if (levels == LORT_STEPS_MIN) {
        const lort_f32x8 w = side->w_sum, wx = side->wx_sum,
                         scale = (w * s.qx - wx * s.q) * lort_inverse(w * s.qq - s.q * s.q),
                         min = (scale * s.q - wx) * lort_inverse(w);
        const lort_i32x8 fine = min >= (grid->lanes > 1 ? 0 : -FLT_MAX);
        fit = lort_pick_fit(fine, (lort_fit){scale, min}, fit);
        gain = lort_pick(fine, scale * s.qx - min * wx, gain);
    }
    const lort_i32x8 better = gain > best->gain;
    best->fit = lort_pick_fit(better, fit, best->fit);
    best->gain = lort_pick(better, gain, best->gain);
}

/* The scale changes its sign in turns: the range of most types reaches farther below 0. */
LORT_INLINE void try_scales(const lort_grid *grid, lort_levels levels, const lort_side *side,
                            trial *best)
{
    const lort_f32x8 none = lort_splat(0);
    lort_f32x8 peak = none;
    for (int i = 0; i < grid->depth; i++)
        peak = lort_most(peak, lort_magnitude(side->x[i]));
    const lort_f32x8 per_peak = lort_inverse(peak);
    for (int i = 0; i < grid->starts; i++) {
        const lort_f32x8 inverse = per_peak * (grid->from + grid->by * (float)i);
        try_codes(grid, levels, side, inverse, none, best);
        try_codes(grid, levels, side, -inverse, none, best);
    }
}

/* Ranges that are narrower than the numbers, at several places of them. */
LORT_INLINE void try_ranges(const lort_grid *grid, const lort_side *side, trial *best)
{
    lort_f32x8 high = side->x[0], low = grid->lanes > 1 ? lort_splat(0) : high;
    for (int i = 0; i < grid->depth; i++) {
        low = lort_least(low, side->x[i]);
        high = lort_most(high, side->x[i]);
    }
    const lort_f32x8 per_range = lort_inverse(high - low);
    for (int i = 0; i < grid->starts; i++) {
        const float width = grid->from + grid->by * (float)i, slack = grid->high - width;
        const lort_f32x8 inverse = per_range * width;
        for (int j = 0; j < grid->shifts; j++) {
            const float shift = slack * ((float)j + 0.5f) / (float)grid->shifts;
            try_codes(grid, LORT_STEPS_MIN, side, inverse, shift - low * inverse, best);
        }
    }
}

LORT_INLINE void fit_lanes(const lort_grid *grid, lort_levels levels, const lort_side *side,
                           lort_fit *fit)
{
    trial best = {{lort_splat(0), lort_splat(0)}, lort_splat(0)};
    if (levels == LORT_STEPS_MIN)
        try_ranges(grid, side, &best);
    else
        try_scales(grid, levels, side, &best);
    for (int i = 0; i < 2; i++) {
        const lort_f32x8 inverse = lort_inverse(best.fit.scale);
        try_codes(grid, levels, side, inverse, best.fit.min * inverse, &best);
    }
    *fit = best.fit;
}

LORT_VECTORS(lort_fit_lanes, (const lort_grid *grid, const lort_side *side, lort_fit *fit),
             (grid, side, fit))
{
    WITH_LEVELS(fit_lanes, grid, side, fit);
}

/* ---- as they are stored ---- */

/* The weighted squared error of what is decoded, of one element. */
LORT_INLINE lort_f32x8 error_at(lort_levels levels, const lort_side *side, int i,
                                const lort_fit *fit, const lort_fit *inverse, lort_bounds codes)
{
    const lort_f32x8 x = side->x[i], t = x * inverse->scale;
    lort_f32x8 y;
    if (levels == LORT_STEPS_MIN)
        y = fit->scale * nearest(levels, t + inverse->min, codes) - fit->min;
    else
        y = fit->scale * nearest(levels, t, codes);
    return side->w[i] * (x - y) * (x - y);
}

/* Two sums, because an addition has to wait for the one before. */
LORT_INLINE lort_f32x8 error_of(const lort_grid *grid, lort_levels levels, const lort_side *side,
                                const lort_fit *fit)
{
    const lort_f32x8 per_scale = lort_inverse(fit->scale);
    const lort_fit inverse = {per_scale, fit->min * per_scale};
    const lort_bounds codes = lort_bounds_of(grid->low, grid->high);
    lort_f32x8 even = lort_splat(0), odd = lort_splat(0);
    for (int i = 0; i < grid->depth; i += 2) {
        even += error_at(levels, side, i, fit, &inverse, codes);
        odd += error_at(levels, side, i + 1, fit, &inverse, codes);
    }
    return even + odd;
}

LORT_INLINE void try_neighbours(const lort_grid *grid, lort_levels levels, const lort_side *side,
                                const lort_fit *unit, int reach, lort_fit *stored,
                                lort_f32x8 *error)
{
    const lort_bounds scales = lort_bounds_of(grid->s_low, grid->s_high),
                      mins = lort_bounds_of(0, grid->m_high);
    const int min_reach = levels == LORT_STEPS_MIN ? reach : 0;
    const lort_fit from = *stored;
    lort_fit best = from;
    lort_f32x8 least = lort_splat(FLT_MAX);
    for (int i = -reach; i <= reach; i++)
        for (int j = -min_reach; j <= min_reach; j++) {
            const lort_fit at = {lort_bound(from.scale + (float)i, scales),
                                 lort_bound(from.min + (float)j, mins)};
            const lort_fit fit = {unit->scale * at.scale, unit->min * at.min};
            const lort_f32x8 e = error_of(grid, levels, side, &fit);
            const lort_i32x8 better = e < least;
            best = lort_pick_fit(better, at, best);
            least = lort_pick(better, e, least);
        }
    *stored = best;
    *error = least;
}

LORT_VECTORS(lort_try_neighbours,
             (const lort_grid *grid, const lort_side *side, const lort_fit *unit, int reach,
              lort_fit *stored, lort_f32x8 *error),
             (grid, side, unit, reach, stored, error))
{
    WITH_LEVELS(try_neighbours, grid, side, unit, reach, stored, error);
}

/* ---- codes ---- */

LORT_INLINE lort_i32x8 code_of(const lort_grid *grid, lort_f32x8 t, lort_bounds codes)
{
    if (grid->levels != LORT_IQ4)
        return __builtin_convertvector(nearest(LORT_STEPS, t, codes) - codes.low, lort_i32x8);
    const lort_f32x8 level = nearest(LORT_IQ4, t, codes);
    lort_i32x8 below = {0};
    for (int k = 0; k < 15; k++)
        below -= level > iq4_levels[k];
    return below;
}

LORT_VECTORS(lort_write_codes,
             (const lort_grid *grid, const lort_side *side, const lort_fit *fit, uint8_t *codes),
             (grid, side, fit, codes))
{
    const lort_bounds bounds = lort_bounds_of(grid->low, grid->high);
    const lort_f32x8 inverse = lort_inverse(fit->scale), shift = fit->min * inverse;
    for (int i = 0; i < grid->depth; i++) {
        const lort_i32x8 q = code_of(grid, side->x[i] * inverse + shift, bounds);
        for (int l = 0; l < LORT_SIDE; l++)
            codes[l * grid->depth + i] = (uint8_t)q[l];
    }
}
