/* encode_search: every function works on one vector of lanes, and one pass over it costs about a
 * dozen instructions for eight weights. */
#include "formats/types/encode_search.h"

static const float iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

#define R2(v) v, v
#define R4(v) R2(v), R2(v)
#define R8(v) R4(v), R4(v)
#define R16(v) R8(v), R8(v)
#define R32(v) R16(v), R16(v)

/* The level nearest to (i - 255.5) / 2. */
const float lort_iq4_nearest[512] = {
    R16(-127), R8(-127), -127,     R32(-104), R8(-104), R4(-104), R32(-83), R4(-83),  R2(-83),
    -83,       R32(-65), R2(-65),  R16(-49),  R8(-49),  R4(-49),  R2(-49),  R16(-35), R8(-35),
    R2(-35),   -35,      R16(-22), R8(-22),   -22,      R16(-10), R4(-10),  R2(-10),  -10,
    R16(1),    R4(1),    R2(1),    1,         R16(13),  R8(13),   R16(25),  R8(25),   25,
    R16(38),   R8(38),   R4(38),   R16(53),   R8(53),   R4(53),   R2(53),   53,       R32(69),
    R4(69),    R32(89),  R8(89),   R4(89),    R32(113), R16(113), R4(113),  R2(113),
};

/* The level of t that the type has next to it. Inlined with a known `levels`. */
LORT_INLINE lort_f32x8 level(const lort_grid *grid, lort_levels levels, lort_f32x8 t)
{
    return levels == LORT_IQ4 ? lort_iq4_level(t) : lort_step_level(grid, t);
}

/* Sums for the codes of (x + min) * inverse. */
LORT_INLINE lort_sums sums_of(const lort_grid *grid, lort_levels levels, const lort_side *side,
                              lort_f32x8 inverse, lort_f32x8 shift)
{
    lort_sums s = {{0}, {0}, {0}};
    for (int i = 0; i < grid->depth; i++) {
        const lort_f32x8 x = side->x[i];
        const lort_f32x8 q =
            level(grid, levels, levels == LORT_STEPS_MIN ? x * inverse + shift : x * inverse);
        const lort_f32x8 wq = side->w[i] * q;
        s.q += wq;
        s.qq += wq * q;
        s.qx += wq * x;
    }
    return s;
}

/* ---- types with a scale ---- */

typedef struct trial {
    lort_f32x8 scale, gain;
} trial;

LORT_INLINE void try_scale(const lort_grid *grid, lort_levels levels, const lort_side *side,
                           lort_f32x8 inverse, trial *best)
{
    const lort_sums s = sums_of(grid, levels, side, inverse, lort_splat(0));
    const lort_f32x8 scale = s.qx * lort_inverse(s.qq), gain = scale * s.qx;
    const lort_i32x8 better = gain > best->gain;
    best->scale = lort_pick(better, scale, best->scale);
    best->gain = lort_pick(better, gain, best->gain);
}

LORT_INLINE lort_f32x8 peak_of(const lort_grid *grid, const lort_side *side)
{
    lort_f32x8 peak = lort_splat(0);
    for (int i = 0; i < grid->depth; i++)
        peak = lort_most(peak, lort_magnitude(side->x[i]));
    return peak;
}

LORT_INLINE void fit_scale(const lort_grid *grid, lort_levels levels, const lort_side *side,
                           lort_fit *fit)
{
    const lort_f32x8 to_peak = lort_inverse(peak_of(grid, side));
    trial best = {lort_splat(0), lort_splat(0)};
    for (int i = 0; i < grid->starts; i++) {
        const lort_f32x8 inverse = to_peak * (grid->from + grid->by * (float)i);
        try_scale(grid, levels, side, inverse, &best);
        try_scale(grid, levels, side, -inverse, &best);
    }
    for (int i = 0; i < 2; i++)
        try_scale(grid, levels, side, lort_inverse(best.scale), &best);
    fit->scale = best.scale;
    fit->min = lort_splat(0);
}

LORT_VECTORS void lort_fit_scale(const lort_grid *grid, const lort_side *side, lort_fit *best)
{
    if (grid->levels == LORT_IQ4)
        fit_scale(grid, LORT_IQ4, side, best);
    else
        fit_scale(grid, LORT_STEPS, side, best);
}

/* ---- types with a scale and a minimum: y = scale q - min ---- */

typedef struct range_trial {
    lort_f32x8 scale, min, gain;
} range_trial;

LORT_INLINE void try_range(const lort_grid *grid, const lort_side *side, lort_f32x8 inverse,
                           lort_f32x8 shift, range_trial *best)
{
    const lort_sums s = sums_of(grid, LORT_STEPS_MIN, side, inverse, shift);
    const lort_f32x8 det = side->w_sum * s.qq - s.q * s.q, over = lort_inverse(det);
    lort_f32x8 scale = (side->w_sum * s.qx - side->wx_sum * s.q) * over;
    lort_f32x8 min = (scale * s.q - side->wx_sum) * lort_inverse(side->w_sum);
    const lort_i32x8 lifted = (min < 0) & (grid->lanes > 1 ? -1 : 0);
    scale = lort_pick(lifted, s.qx * lort_inverse(s.qq), scale);
    min = lort_pick(lifted, lort_splat(0), min);
    const lort_f32x8 gain = scale * s.qx - min * side->wx_sum;
    const lort_i32x8 better = gain > best->gain;
    best->scale = lort_pick(better, scale, best->scale);
    best->min = lort_pick(better, min, best->min);
    best->gain = lort_pick(better, gain, best->gain);
}

LORT_VECTORS void lort_fit_range(const lort_grid *grid, const lort_side *side, lort_fit *fit)
{
    lort_f32x8 low = grid->lanes > 1 ? lort_splat(0) : side->x[0], high = side->x[0];
    for (int i = 0; i < grid->depth; i++) {
        low = lort_least(low, side->x[i]);
        high = lort_most(high, side->x[i]);
    }
    const lort_f32x8 per_range = lort_inverse(high - low);
    range_trial best = {lort_splat(0), -low, lort_splat(-1e30f)};
    for (int i = 0; i < grid->starts; i++) {
        const lort_f32x8 inverse = per_range * (grid->from + grid->by * (float)i);
        for (int j = 0; j < grid->shifts; j++) {
            const float slack = grid->high - (grid->from + grid->by * (float)i);
            const float at = slack * ((float)j + 0.5f) / (float)grid->shifts;
            try_range(grid, side, inverse, -low * inverse + at, &best);
        }
    }
    for (int i = 0; i < 2; i++) {
        const lort_f32x8 inverse = lort_inverse(best.scale);
        try_range(grid, side, inverse, best.min * inverse, &best);
    }
    fit->scale = best.scale;
    fit->min = best.min;
}

/* ---- scales as they are stored ---- */

LORT_INLINE lort_f32x8 error_of(const lort_grid *grid, lort_levels levels, const lort_side *side,
                                lort_f32x8 scale, lort_f32x8 min)
{
    const lort_f32x8 inverse = lort_inverse(scale);
    lort_f32x8 error = lort_splat(0);
    for (int i = 0; i < grid->depth; i++) {
        const lort_f32x8 x = levels == LORT_STEPS_MIN ? side->x[i] + min : side->x[i];
        const lort_f32x8 off = x - scale * level(grid, levels, x * inverse);
        error += side->w[i] * off * off;
    }
    return error;
}

LORT_INLINE void try_scales(const lort_grid *grid, lort_levels levels, const lort_side *side,
                            const lort_fit *unit, int reach, lort_stored *best)
{
    const lort_f32x8 scale_0 = best->scale, min_0 = best->min;
    const int rise = levels == LORT_STEPS_MIN ? reach : 0;
    best->error = lort_splat(3e38f);
    for (int i = -reach; i <= reach; i++)
        for (int j = -rise; j <= rise; j++) {
            const lort_f32x8 scale = lort_bound(scale_0 + (float)i, grid->s_low, grid->s_high);
            const lort_f32x8 min = lort_bound(min_0 + (float)j, 0, grid->m_high);
            const lort_f32x8 error =
                error_of(grid, levels, side, unit->scale * scale, unit->min * min);
            const lort_i32x8 better = error < best->error;
            best->scale = lort_pick(better, scale, best->scale);
            best->min = lort_pick(better, min, best->min);
            best->error = lort_pick(better, error, best->error);
        }
}

LORT_VECTORS void lort_try_scales(const lort_grid *grid, const lort_side *side,
                                  const lort_fit *unit, int reach, lort_stored *best)
{
    if (grid->levels == LORT_IQ4)
        try_scales(grid, LORT_IQ4, side, unit, reach, best);
    else if (grid->levels == LORT_STEPS)
        try_scales(grid, LORT_STEPS, side, unit, reach, best);
    else
        try_scales(grid, LORT_STEPS_MIN, side, unit, reach, best);
}

LORT_INLINE lort_f32x8 code_of(const lort_grid *grid, lort_levels levels, const lort_fit *fit,
                               lort_f32x8 inverse, lort_f32x8 x)
{
    return level(grid, levels, levels == LORT_STEPS_MIN ? (x + fit->min) * inverse : x * inverse);
}

LORT_INLINE void code_sums(const lort_grid *grid, lort_levels levels, const lort_side *side,
                           const lort_fit *fit, lort_sums *sums)
{
    const lort_f32x8 inverse = lort_inverse(fit->scale);
    lort_sums s = {{0}, {0}, {0}};
    for (int i = 0; i < grid->depth; i++) {
        const lort_f32x8 q = code_of(grid, levels, fit, inverse, side->x[i]), wq = side->w[i] * q;
        s.q += wq;
        s.qq += wq * q;
        s.qx += wq * side->x[i];
    }
    *sums = s;
}

LORT_VECTORS void lort_code_sums(const lort_grid *grid, const lort_side *side, const lort_fit *fit,
                                 lort_sums *sums)
{
    if (grid->levels == LORT_IQ4)
        code_sums(grid, LORT_IQ4, side, fit, sums);
    else if (grid->levels == LORT_STEPS)
        code_sums(grid, LORT_STEPS, side, fit, sums);
    else
        code_sums(grid, LORT_STEPS_MIN, side, fit, sums);
}

LORT_INLINE lort_i32x8 iq4_index(lort_f32x8 value)
{
    lort_i32x8 index = {0};
    for (int k = 0; k < 15; k++)
        index -= value > iq4_levels[k];
    return index;
}

LORT_VECTORS void lort_codes_of(const lort_grid *grid, const lort_side *side, const lort_fit *fit,
                                uint8_t *codes)
{
    const lort_f32x8 inverse = lort_inverse(fit->scale);
    for (int i = 0; i < grid->depth; i++) {
        const lort_f32x8 x = (side->x[i] + fit->min) * inverse;
        const lort_i32x8 q =
            grid->levels == LORT_IQ4
                ? iq4_index(lort_iq4_level(x))
                : __builtin_convertvector(lort_step_level(grid, x) - grid->low, lort_i32x8);
        for (int l = 0; l < LORT_SIDE; l++)
            codes[l * grid->depth + i] = (uint8_t)q[l];
    }
}
