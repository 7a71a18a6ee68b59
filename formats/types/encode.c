/* encode: the table of block types, and the search for what a block stores. */
#include "formats/types/encode_lanes.h"
#include "formats/types/encode_pack.h"
#include "formats/types/encode_search.h"
#include "formats/types/half.h"
#include <float.h>

// clang-format off
static const lort_grid grids[] = {
    /*               levels          deep  lanes  low      high    s_low  s_high  m_high  roots  starts  from   by    shifts  tries  top  down  rounds  wide  reach  bytes */
    [LORT_Q4_0]   = {LORT_STEPS,     32,   1,     -8,      7,      1,     1,      1,      1,     16,     6.5f,  .15f, 1,      1,     1,   0,    2,      0,    0,     18,    lort_pack_q4_0},
    [LORT_Q4_1]   = {LORT_STEPS_MIN, 32,   1,     0,       15,     1,     1,      1,      2,     12,     12,    .4f,  5,      1,     1,   0,    2,      0,    0,     20,    lort_pack_q4_1},
    [LORT_Q5_0]   = {LORT_STEPS,     32,   1,     -16,     15,     1,     1,      1,      2,     16,     14,    .2f,  1,      1,     1,   0,    2,      0,    0,     22,    lort_pack_q5_0},
    [LORT_Q5_1]   = {LORT_STEPS_MIN, 32,   1,     0,       31,     1,     1,      1,      0,     12,     28,    .4f,  4,      1,     1,   0,    2,      0,    0,     24,    lort_pack_q5_1},
    [LORT_Q8_0]   = {LORT_STEPS,     32,   1,     -127,    127,    1,     1,      1,      0,     12,     115,   1.1f, 1,      1,     1,   0,    2,      0,    0,     34,    lort_pack_q8_0},
    [LORT_IQ4_NL] = {LORT_IQ4,       32,   1,     -127.5f, 127.5f, 1,     1,      1,      0,     12,     95,    4,    1,      1,     1,   0,    3,      0,    0,     18,    lort_pack_q4_0},
    [LORT_Q2_K]   = {LORT_STEPS_MIN, 16,   16,    0,       3,      0,     15,     15,     1,     8,      1.5f,  .35f, 3,      2,     15,  2,    3,      2,    1,     84,    lort_pack_q2_k},
    [LORT_Q3_K]   = {LORT_STEPS,     16,   16,    -4,      3,      -32,   31,     1,      1,     8,      2.4f,  .3f,  1,      2,     31,  4,    3,      6,    2,     110,   lort_pack_q3_k},
    [LORT_Q4_K]   = {LORT_STEPS_MIN, 32,   8,     0,       15,     0,     63,     63,     2,     8,      12,    .7f,  4,      2,     63,  2,    3,      1,    1,     144,   lort_pack_q4_k},
    [LORT_Q5_K]   = {LORT_STEPS_MIN, 32,   8,     0,       31,     0,     63,     63,     2,     8,      26.5f, .9f,  3,      2,     63,  5,    2,      3,    1,     176,   lort_pack_q5_k},
    [LORT_Q6_K]   = {LORT_STEPS,     16,   16,    -32,     31,     -128,  127,    1,      0,     12,     29,    .3f,  1,      1,     127, 0,    2,      20,   6,     210,   lort_pack_q6_k},
    [LORT_IQ4_XS] = {LORT_IQ4,       32,   8,     -127.5f, 127.5f, -32,   31,     1,      0,     8,      100,   5,    1,      2,     31,  1,    3,      2,    1,     136,   lort_pack_iq4_xs},
};
// clang-format on

/* What is encoded together: one block of several sub-blocks, or eight blocks of one. */
typedef struct blocks {
    const lort_grid *grid;
    int sides;
    lort_side side[LORT_SIDES];
    lort_f32x8 unit, per_unit; /* numbers are in units of `unit`, a power of two for each block */
    lort_f32x8 squares;        /* the error of zeros */
} blocks;

/* What is chosen. Each lane has d, dmin and the error of its block. */
typedef struct choice {
    lort_fit unit;               /* d and dmin, as F16 can have them */
    lort_fit stored[LORT_SIDES]; /* the integers of the sub-blocks */
    lort_f32x8 error;
} choice;

LORT_INLINE float sum_across(lort_f32x8 a)
{
    return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}

/* The sum of each block, in all its lanes. */
LORT_INLINE lort_f32x8 block_sum(const blocks *b, const lort_f32x8 *sides)
{
    if (b->grid->lanes == 1)
        return sides[0];
    return lort_splat(sum_across(sides[0]) + (b->sides > 1 ? sum_across(sides[1]) : 0));
}

/* The largest number of each block, in all its lanes. */
LORT_INLINE lort_f32x8 block_most(const blocks *b, const lort_f32x8 *sides)
{
    if (b->grid->lanes == 1)
        return sides[0];
    const lort_f32x8 most = lort_most(sides[0], sides[b->sides - 1]);
    float m = most[0];
    for (int l = 1; l < LORT_SIDE; l++)
        m = most[l] > m ? most[l] : m;
    return lort_splat(m);
}

/* ---- numbers and weights ---- */

/* The power of two at or below a positive number. It is normal, and so is its reciprocal. */
LORT_INLINE lort_f32x8 power_below(lort_f32x8 a)
{
    const lort_f32x8 power = (lort_f32x8)((lort_i32x8)a & 0x7f800000);
    return lort_bound(power, lort_bounds_of(0x1p-126f, 0x1p126f));
}

LORT_INLINE lort_f32x8 power_inverse(lort_f32x8 power)
{
    return (lort_f32x8)((254 << 23) - (lort_i32x8)power);
}

/* A square root to 0.2 %, which is enough for a weight. */
LORT_INLINE lort_f32x8 root(lort_f32x8 a)
{
    const lort_f32x8 r = (lort_f32x8)(((lort_i32x8)a >> 1) + 0x1fbd1df5);
    return (r + a / r) * 0.5f;
}

/* Puts `count` numbers into lanes. The lanes behind them get `rest`. */
LORT_INLINE void to_lanes(const float *from, int depth, int count, float rest, lort_f32x8 *to)
{
    for (int i = 0; i < depth; i++)
        for (int l = 0; l < LORT_SIDE; l++)
            to[i][l] = l * depth < count ? from[l * depth + i] : rest;
}

LORT_INLINE void load_numbers(blocks *b, const float *x, int count)
{
    const int depth = b->grid->depth;
    lort_f32x8 peak[LORT_SIDES] = {{0}, {0}};
    for (int v = 0; v < b->sides; v++) {
        const int at = v * LORT_SIDE * depth;
        to_lanes(x + at, depth, count - at, 0, b->side[v].x);
        for (int i = 0; i < depth; i++)
            peak[v] = lort_most(peak[v], lort_magnitude(b->side[v].x[i]));
    }
    b->unit = power_below(block_most(b, peak));
    b->per_unit = power_inverse(b->unit);
    for (int v = 0; v < b->sides; v++)
        for (int i = 0; i < depth; i++)
            b->side[v].x[i] *= b->per_unit;
}

/* The largest importance of a block becomes 1 to 2. A sub-block without any gets ones. */
LORT_INLINE void load_importance(blocks *b, const float *importance, int count)
{
    const int depth = b->grid->depth;
    const lort_f32x8 one = lort_splat(1), least = lort_splat(0x1p-40f);
    lort_f32x8 peak[LORT_SIDES] = {{0}, {0}};
    for (int v = 0; v < b->sides; v++) {
        lort_f32x8 *w = b->side[v].w;
        const int at = v * LORT_SIDE * depth;
        to_lanes(importance + at, depth, count - at, 1, w);
        for (int i = 0; i < depth; i++)
            peak[v] = lort_most(peak[v], w[i]);
        const lort_i32x8 none = peak[v] <= 0;
        for (int i = 0; i < depth; i++)
            w[i] = lort_pick(none, one, w[i]);
        peak[v] = lort_pick(none, one, peak[v]);
    }
    const lort_f32x8 per = power_inverse(power_below(block_most(b, peak)));
    for (int v = 0; v < b->sides; v++)
        for (int i = 0; i < depth; i++)
            b->side[v].w[i] = lort_most(b->side[v].w[i] * per, least);
}

/* Multiplies the importance by (2 sigma^2 + x^2)^p. */
LORT_INLINE void weigh(blocks *b)
{
    const lort_grid *grid = b->grid;
    lort_f32x8 squares[LORT_SIDES] = {{0}, {0}};
    for (int v = 0; v < b->sides; v++)
        for (int i = 0; i < grid->depth; i++)
            squares[v] += b->side[v].x[i] * b->side[v].x[i];
    const lort_f32x8 base =
        block_sum(b, squares) * (2.0f / (float)(grid->depth * grid->lanes)) + FLT_MIN;
    for (int v = 0; v < b->sides; v++) {
        lort_side *s = &b->side[v];
        s->w_sum = s->wx_sum = squares[v] = lort_splat(0);
        for (int i = 0; i < grid->depth; i++) {
            lort_f32x8 w = base + s->x[i] * s->x[i];
            for (int k = 0; k < grid->roots; k++)
                w = root(w);
            s->w[i] = grid->roots ? s->w[i] * w : s->w[i];
            s->w_sum += s->w[i];
            s->wx_sum += s->w[i] * s->x[i];
            squares[v] += s->w[i] * s->x[i] * s->x[i];
        }
    }
    b->squares = block_sum(b, squares);
}

LORT_INLINE void load(const lort_grid *grid, const float *x, const float *importance, int count,
                      blocks *b)
{
    b->grid = grid;
    b->sides = grid->lanes > LORT_SIDE ? 2 : 1;
    load_numbers(b, x, count);
    if (importance)
        load_importance(b, importance, count);
    else
        for (int v = 0; v < b->sides; v++)
            for (int i = 0; i < grid->depth; i++)
                b->side[v].w[i] = lort_splat(1);
    weigh(b);
}

/* ---- d and dmin ---- */

/* F16, and the largest finite one for what is larger. */
LORT_INLINE uint16_t half_of(float value)
{
    enum { MOST = 0x7bff, SIGN = 0x8000 };
    const uint16_t h = lort_f32_to_f16(value);
    return (h & ~SIGN) > MOST ? (uint16_t)((h & SIGN) | MOST) : h;
}

/* Rounds to what F16 can have. ceil: what is not 0 does not become 0. */
LORT_INLINE lort_f32x8 to_halves(const blocks *b, lort_f32x8 a, bool ceil)
{
    const int different = b->grid->lanes == 1 ? LORT_SIDE : 1;
    lort_f32x8 r = a;
    for (int l = 0; l < different; l++) {
        uint16_t h = half_of(a[l] * b->unit[l]);
        if (ceil && (h & 0x7fff) == 0 && a[l] != 0)
            h |= 1;
        r[l] = lort_f16_to_f32(h) * b->per_unit[l];
    }
    return different == 1 ? lort_splat(r[0]) : r;
}

/* Least squares for d and dmin, under the stored integers and the codes that they give. */
LORT_INLINE void refit(const blocks *b, const choice *c, lort_fit *unit)
{
    lort_f32x8 qq[LORT_SIDES], qx[LORT_SIDES], qm[LORT_SIDES], mm[LORT_SIDES], mx[LORT_SIDES];
    for (int v = 0; v < b->sides; v++) {
        const lort_f32x8 s = c->stored[v].scale, m = c->stored[v].min;
        const lort_fit fit = {unit->scale * s, unit->min * m};
        lort_sums sums;
        lort_code_sums(b->grid, &b->side[v], &fit, &sums);
        qq[v] = s * s * sums.qq;
        qx[v] = s * sums.qx;
        qm[v] = s * m * sums.q;
        mm[v] = m * m * b->side[v].w_sum;
        mx[v] = m * b->side[v].wx_sum;
    }
    const lort_f32x8 QQ = block_sum(b, qq), QX = block_sum(b, qx);
    lort_fit best = {QX * lort_inverse(QQ), unit->min};
    lort_i32x8 fine = QQ > 0;
    if (b->grid->levels == LORT_STEPS_MIN) {
        const lort_f32x8 QM = block_sum(b, qm), MM = block_sum(b, mm), MX = block_sum(b, mx),
                         det = QQ * MM - QM * QM, per_det = lort_inverse(det);
        best = (lort_fit){(QX * MM - MX * QM) * per_det, (QX * QM - MX * QQ) * per_det};
        fine = det > 1e-6f * QQ * MM;
    }
    best = lort_pick_fit(fine, best, *unit);
    unit->scale = to_halves(b, best.scale, false);
    unit->min = to_halves(b, best.min, false);
}

LORT_INLINE void keep_better(const blocks *b, const choice *now, choice *best)
{
    const lort_i32x8 better = now->error < best->error;
    best->error = lort_pick(better, now->error, best->error);
    best->unit = lort_pick_fit(better, now->unit, best->unit);
    for (int v = 0; v < b->sides; v++)
        best->stored[v] = lort_pick_fit(better, now->stored[v], best->stored[v]);
}

/* Tries neighbours and refits, from one start on. Blocks that lie side by side all take every
 * round, so that none depends on another. */
LORT_INLINE void descend(const blocks *b, choice *now, choice *best)
{
    const lort_grid *grid = b->grid;
    const float enough = 0.998f;
    float before = FLT_MAX;
    for (int round = 0; round < grid->rounds; round++) {
        lort_f32x8 errors[LORT_SIDES];
        if (round > 0)
            refit(b, now, &now->unit);
        for (int v = 0; v < b->sides; v++)
            lort_try_neighbours(grid, &b->side[v], &now->unit, round ? grid->reach : grid->wide,
                                &now->stored[v], &errors[v]);
        now->error = block_sum(b, errors);
        keep_better(b, now, best);
        if (grid->lanes > 1 && now->error[0] > before * enough)
            break;
        before = now->error[0];
    }
}

/* Begins with scales of which the largest is stored as `top`. */
LORT_INLINE void begin(const blocks *b, const lort_fit *fit, lort_fit peak, float top, choice *now)
{
    const lort_grid *grid = b->grid;
    const float min_top = grid->m_high * top / grid->s_high;
    now->unit.scale = to_halves(b, peak.scale / top, true);
    now->unit.min = to_halves(b, peak.min / min_top, false);
    for (int v = 0; v < b->sides; v++) {
        now->stored[v].scale = lort_round(fit[v].scale * lort_inverse(now->unit.scale));
        now->stored[v].min = lort_round(fit[v].min * lort_inverse(now->unit.min));
    }
}

LORT_INLINE void choose(const blocks *b, choice *best)
{
    const lort_grid *grid = b->grid;
    const lort_f32x8 zero = lort_splat(0);
    lort_fit fit[LORT_SIDES], peak;
    lort_f32x8 scale[LORT_SIDES], min[LORT_SIDES];
    for (int v = 0; v < b->sides; v++) {
        lort_fit_lanes(grid, &b->side[v], &fit[v]);
        scale[v] = lort_magnitude(fit[v].scale);
        min[v] = lort_magnitude(fit[v].min);
    }
    peak = grid->lanes > 1 ? (lort_fit){block_most(b, scale), block_most(b, min)} : fit[0];
    /* where a scale may be too small for F16, zeros may be best */
    const lort_f32x8 error = lort_pick(b->unit > 1, lort_splat(FLT_MAX), b->squares);
    *best = (choice){{zero, zero}, {{zero, zero}, {zero, zero}}, error};
    for (int t = 0; t < grid->tries; t++) {
        choice now;
        begin(b, fit, peak, grid->top - grid->down * (float)t, &now);
        descend(b, &now, best);
    }
}

/* ---- blocks ---- */

/* Returns whether all of the block's numbers come back as 0. */
LORT_INLINE bool is_nothing(const lort_grid *grid, const lort_packed *in)
{
    unsigned scales = 0, mins = 0;
    for (int j = 0; j < grid->lanes; j++) {
        scales |= (uint8_t)in->scales[j];
        mins |= in->mins[j];
    }
    return ((in->d & 0x7fff) == 0 || scales == 0) && ((in->m & 0x7fff) == 0 || mins == 0);
}

LORT_INLINE void store(const blocks *b, const choice *c, int count, uint8_t *dst)
{
    const lort_grid *grid = b->grid;
    const int size = grid->depth * grid->lanes;
    uint8_t codes[LORT_AT_ONCE];
    for (int v = 0; v < b->sides; v++) {
        const lort_fit fit = {c->unit.scale * c->stored[v].scale, c->unit.min * c->stored[v].min};
        lort_write_codes(grid, &b->side[v], &fit, codes + v * LORT_SIDE * grid->depth);
    }
    for (int l = 0; l * size < count; l++, dst += grid->block_bytes) {
        lort_packed packed;
        packed.d = half_of(c->unit.scale[l] * b->unit[l]);
        packed.m = half_of((grid->lanes > 1 ? c->unit.min[l] : -c->unit.min[l]) * b->unit[l]);
        for (int j = 0; j < grid->lanes; j++) {
            const int lane = grid->lanes > 1 ? j : l;
            packed.scales[j] = (int8_t)c->stored[lane / LORT_SIDE].scale[lane % LORT_SIDE];
            packed.mins[j] = (uint8_t)c->stored[lane / LORT_SIDE].min[lane % LORT_SIDE];
        }
        memcpy(packed.codes, codes + l * size, (size_t)size);
        if (is_nothing(grid, &packed))
            memset(dst, 0, (size_t)grid->block_bytes);
        else
            grid->pack(&packed, dst);
    }
}

static LORT_VECTORS(encode,
                    (const lort_grid *grid, const float *x, const float *importance, uint64_t n,
                     uint8_t *dst),
                    (grid, x, importance, n, dst))
{
    const int size = grid->depth * grid->lanes;
    while (n > 0) {
        const int count = n < LORT_AT_ONCE ? (int)n : LORT_AT_ONCE;
        blocks b;
        choice best;
        load(grid, x, importance, count, &b);
        choose(&b, &best);
        store(&b, &best, count, dst);
        n -= (uint64_t)count;
        x += count;
        importance = importance ? importance + count : NULL;
        dst += count / size * grid->block_bytes;
    }
}

// clang-format off
#define EACH_TYPE(X) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(IQ4_NL) \
                     X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_XS)
// clang-format on

/* An encoder has no place for its row of the table, so each row has a function. */
#define ENCODER(type)                                                                              \
    static void encode_##type(const float *x, const float *importance, uint64_t n, void *dst)      \
    {                                                                                              \
        encode(&grids[LORT_##type], x, importance, n, dst);                                        \
    }
EACH_TYPE(ENCODER)

lort_quantise_fn *lort_dtype_quantiser(lort_dtype id)
{
#define ENTRY(type) [LORT_##type] = encode_##type,
    static lort_quantise_fn *const encoders[] = {EACH_TYPE(ENTRY)};
    return (size_t)id < sizeof encoders / sizeof encoders[0] ? encoders[id] : NULL;
}
