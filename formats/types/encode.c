/* encode: the table of block types, and the search for what a block stores. */
#include "formats/types/encode.h"
#include "formats/base/bytes.h"
#include "formats/types/encode_lanes.h"
#include "formats/types/encode_pack.h"
#include "formats/types/encode_search.h"
#include "formats/types/half.h"

// clang-format off
static const lort_grid grids[] = {
    /*                             depth lanes  codes      scales      minima starts         tries ...         roots bytes */
    {LORT_Q4_0, LORT_STEPS,        32, 1,    -8, 7,     1, 1,       1,    20, 1, 5.5f, .15f,   1, 4, 0, 0,     0, 18, lort_pack_q4_0},
    {LORT_Q5_0, LORT_STEPS,        32, 1,    -16, 15,   1, 1,       1,    20, 1, 13.f, .2f,    1, 4, 0, 0,     0, 22, lort_pack_q5_0},
    {LORT_Q8_0, LORT_STEPS,        32, 1,    -127, 127, 1, 1,       1,    12, 1, 126.f, .15f,   1, 3, 0, 0,     0, 34, lort_pack_q8_0},
    {LORT_IQ4_NL, LORT_IQ4,        32, 1,    0, 15,     1, 1,       1,    12, 1, 95.f, 4.f,    1, 4, 0, 0,     0, 18, lort_pack_q4_0},
    {LORT_Q4_1, LORT_STEPS_MIN,    32, 1,    0, 15,     1, 1,       1,    8, 3, 11.f, .7f,     1, 4, 0, 0,     0, 20, lort_pack_q4_1},
    {LORT_Q5_1, LORT_STEPS_MIN,    32, 1,    0, 31,     1, 1,       1,    8, 3, 26.f, .8f,     1, 4, 0, 0,     0, 24, lort_pack_q5_1},
    {LORT_Q2_K, LORT_STEPS_MIN,    16, 16,   0, 3,      0, 15,      15,   8, 3, 1.6f, .3f,     4, 4, 1, .07f,  1, 84, lort_pack_q2_k},
    {LORT_Q3_K, LORT_STEPS,        16, 16,   -4, 3,     -32, 31,    1,    12, 1, 2.2f, .2f,    4, 4, 2, .07f,  1, 110, lort_pack_q3_k},
    {LORT_Q4_K, LORT_STEPS_MIN,    32, 8,    0, 15,     0, 63,      63,   8, 3, 11.f, .7f,     4, 4, 1, .03f,  2, 144, lort_pack_q4_k},
    {LORT_Q5_K, LORT_STEPS_MIN,    32, 8,    0, 31,     0, 63,      63,   8, 3, 26.f, .8f,     4, 4, 1, .03f,  2, 176, lort_pack_q5_k},
    {LORT_Q6_K, LORT_STEPS,        16, 16,   -32, 31,   -128, 127,  1,    16, 1, 30.f, .18f,   4, 4, 2, .02f,  0, 210, lort_pack_q6_k},
    {LORT_IQ4_XS, LORT_IQ4,        32, 8,    0, 15,     -32, 31,    1,    12, 1, 95.f, 4.f,    4, 4, 1, .05f,  0, 136, lort_pack_iq4_xs},
};
// clang-format on

/* Blocks side by side: one of several sub-blocks, or eight of one. */
typedef struct blocks {
    const lort_grid *grid;
    int vectors;
    lort_side side[LORT_VECTORS_MOST];
    lort_f32x8 unit, per_unit; /* numbers are in units of `unit`, a power of two for each block */
    lort_f32x8 nothing;        /* the error of zeros */
} blocks;

/* What is chosen for them. Each lane has d, dmin and the error of its block. */
typedef struct choice {
    lort_fit unit; /* d and dmin, as f16 can have them */
    lort_f32x8 error;
    lort_stored lanes[LORT_VECTORS_MOST];
} choice;

LORT_INLINE float lanes_sum(lort_f32x8 a)
{
    return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}

/* The sum of each block, in all its lanes. */
LORT_INLINE lort_f32x8 block_sum(const blocks *b, const lort_f32x8 *lanes)
{
    if (b->grid->lanes == 1)
        return lanes[0];
    return lort_splat(b->vectors == 1 ? lanes_sum(lanes[0])
                                      : lanes_sum(lanes[0]) + lanes_sum(lanes[1]));
}

/* The largest of each block, in all its lanes. */
LORT_INLINE lort_f32x8 block_most(const blocks *b, const lort_f32x8 *lanes)
{
    if (b->grid->lanes == 1)
        return lanes[0];
    const lort_f32x8 most = b->vectors == 1 ? lanes[0] : lort_most(lanes[0], lanes[1]);
    float m = most[0];
    for (int l = 1; l < LORT_SIDE; l++)
        m = most[l] > m ? most[l] : m;
    return lort_splat(m);
}

/* ---- numbers and weights ---- */

/* The power of two at or below a magnitude, within what has a reciprocal. */
LORT_INLINE lort_f32x8 power_below(lort_f32x8 a)
{
    lort_i32x8 bits = (lort_i32x8)a & 0x7f800000;
    bits =
        (lort_i32x8)lort_pick(bits < 1 << 23, (lort_f32x8)(bits * 0 + (1 << 23)), (lort_f32x8)bits);
    return (lort_f32x8)(lort_i32x8)lort_pick(bits > 253 << 23, (lort_f32x8)(bits * 0 + (253 << 23)),
                                             (lort_f32x8)bits);
}

LORT_INLINE lort_f32x8 power_inverse(lort_f32x8 power)
{
    return (lort_f32x8)((254 << 23) - (lort_i32x8)power);
}

/* A square root that is good to 0.1 %. */
LORT_INLINE lort_f32x8 root(lort_f32x8 a)
{
    lort_f32x8 r = (lort_f32x8)(((lort_i32x8)a >> 1) + 0x1fbd1df5);
    r = (r + a / r) * 0.5f;
    return r;
}

/* Puts `count` numbers into lanes; the lanes behind them get `rest`. */
LORT_INLINE void to_lanes(const float *from, int depth, int count, float rest, lort_f32x8 *to)
{
    float *flat = (float *)to;
    for (int l = 0; l < LORT_SIDE; l++)
        for (int i = 0; i < depth; i++)
            flat[i * LORT_SIDE + l] = l * depth < count ? from[l * depth + i] : rest;
}

LORT_VECTORS static void scale_numbers(blocks *b)
{
    lort_f32x8 peak[2] = {{0}, {0}};
    for (int v = 0; v < b->vectors; v++)
        for (int i = 0; i < b->grid->depth; i++)
            peak[v] = lort_most(peak[v], lort_magnitude(b->side[v].x[i]));
    b->unit = power_below(block_most(b, peak));
    b->per_unit = power_inverse(b->unit);
    for (int v = 0; v < b->vectors; v++)
        for (int i = 0; i < b->grid->depth; i++)
            b->side[v].x[i] *= b->per_unit;
}

/* A sub-block without any importance gets ones. The largest weight of a block is 1 to 2. */
LORT_VECTORS static void scale_importance(blocks *b)
{
    lort_f32x8 peak[2] = {{0}, {0}};
    for (int v = 0; v < b->vectors; v++) {
        for (int i = 0; i < b->grid->depth; i++)
            peak[v] = lort_most(peak[v], b->side[v].w[i]);
        const lort_i32x8 none = peak[v] <= 0;
        for (int i = 0; i < b->grid->depth; i++)
            b->side[v].w[i] = lort_pick(none, lort_splat(1), b->side[v].w[i]);
        peak[v] = lort_pick(none, lort_splat(1), peak[v]);
    }
    const lort_f32x8 per = power_inverse(power_below(block_most(b, peak)));
    for (int v = 0; v < b->vectors; v++)
        for (int i = 0; i < b->grid->depth; i++)
            b->side[v].w[i] *= per;
}

LORT_VECTORS static void weigh(blocks *b)
{
    lort_f32x8 squares[2] = {{0}, {0}};
    for (int v = 0; v < b->vectors; v++)
        for (int i = 0; i < b->grid->depth; i++)
            squares[v] += b->side[v].x[i] * b->side[v].x[i];
    const lort_f32x8 base =
        block_sum(b, squares) * (2.0f / (float)(b->grid->depth * b->grid->lanes)) + 1e-30f;
    for (int v = 0; v < b->vectors; v++) {
        lort_side *s = &b->side[v];
        s->w_sum = s->wx_sum = s->wxx_sum = lort_splat(0);
        for (int i = 0; i < b->grid->depth; i++) {
            lort_f32x8 w = base + s->x[i] * s->x[i];
            for (int k = 0; k < b->grid->roots; k++)
                w = root(w);
            s->w[i] *= b->grid->roots ? w : lort_splat(1);
            s->w_sum += s->w[i];
            s->wx_sum += s->w[i] * s->x[i];
            s->wxx_sum += s->w[i] * s->x[i] * s->x[i];
        }
        squares[v] = s->wxx_sum;
    }
    b->nothing = block_sum(b, squares);
}

static void load(const lort_grid *grid, const float *x, const float *importance, int count,
                 blocks *b)
{
    const int part = LORT_SIDE * grid->depth;
    b->grid = grid;
    b->vectors = grid->lanes == 16 ? 2 : 1;
    for (int v = 0; v < b->vectors; v++) {
        to_lanes(x + v * part, grid->depth, count - v * part, 0, b->side[v].x);
        if (importance)
            to_lanes(importance + v * part, grid->depth, count - v * part, 1, b->side[v].w);
        else
            for (int i = 0; i < grid->depth; i++)
                b->side[v].w[i] = lort_splat(1);
    }
    scale_numbers(b);
    if (importance)
        scale_importance(b);
    weigh(b);
}

/* ---- d and dmin ---- */

enum { HALF_MOST = 0x7bff };

static uint16_t half_of(float value)
{
    const uint16_t h = lort_f32_to_f16(value), sign = h & 0x8000u;
    return (h & 0x7fffu) > HALF_MOST ? (uint16_t)(sign | HALF_MOST) : h;
}

/* Rounds to what f16 can have. floor: a value that is not zero does not become zero. */
static lort_f32x8 halves(const blocks *b, lort_f32x8 a, bool floor)
{
    lort_f32x8 r;
    const int lanes = b->grid->lanes == 1 ? LORT_SIDE : 1;
    for (int l = 0; l < LORT_SIDE; l++) {
        if (l >= lanes) {
            r[l] = r[0];
            continue;
        }
        uint16_t h = half_of(a[l] * b->unit[l]);
        if (floor && (h & 0x7fff) == 0 && a[l] != 0)
            h = a[l] < 0 ? 0x8001 : 1;
        r[l] = lort_f16_to_f32(h) * b->per_unit[l];
    }
    return r;
}

/* Least squares for d and dmin under the stored scales and codes. */
static void refit(const blocks *b, const choice *c, lort_fit *unit)
{
    const bool minima = b->grid->levels == LORT_STEPS_MIN;
    lort_f32x8 qq[2], qx[2], qm[2], mm[2], mx[2];
    for (int v = 0; v < b->vectors; v++) {
        const lort_f32x8 s = c->lanes[v].scale, m = c->lanes[v].min;
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
    if (!minima) {
        unit->scale = halves(b, QX * lort_inverse(QQ), false);
        return;
    }
    const lort_f32x8 QM = block_sum(b, qm), MM = block_sum(b, mm), MX = block_sum(b, mx);
    /* minimise |x - d q + dmin m|^2 */
    const lort_f32x8 det = QQ * MM - QM * QM, over = lort_inverse(det);
    const lort_i32x8 fine = det > 1e-6f * QQ * MM;
    lort_f32x8 d = (QX * MM - MX * QM) * over, m = (QX * QM - MX * QQ) * over;
    d = lort_pick(fine, d, QX * lort_inverse(QQ));
    m = lort_pick(fine, m, lort_splat(0));
    unit->scale = halves(b, d, false);
    unit->min = halves(b, m, false);
}

/* Refits and tries neighbours from one start while the error falls. */
static void descend(const blocks *b, choice *now, choice *best)
{
    lort_fit unit = now->unit;
    for (int round = 0; round < b->grid->rounds; round++) {
        lort_f32x8 errors[2];
        now->unit = unit;
        for (int v = 0; v < b->vectors; v++) {
            lort_try_scales(b->grid, &b->side[v], &unit, b->grid->reach, &now->lanes[v]);
            errors[v] = now->lanes[v].error;
        }
        now->error = block_sum(b, errors);
        const lort_i32x8 better = now->error < best->error;
        best->error = lort_pick(better, now->error, best->error);
        best->unit.scale = lort_pick(better, unit.scale, best->unit.scale);
        best->unit.min = lort_pick(better, unit.min, best->unit.min);
        for (int v = 0; v < b->vectors; v++) {
            best->lanes[v].scale = lort_pick(better, now->lanes[v].scale, best->lanes[v].scale);
            best->lanes[v].min = lort_pick(better, now->lanes[v].min, best->lanes[v].min);
        }
        if (round + 1 < b->grid->rounds)
            refit(b, now, &unit);
    }
}

static void choose(const blocks *b, choice *best)
{
    const lort_grid *grid = b->grid;
    lort_fit fit[2];
    lort_f32x8 peak[2], min_peak[2];
    for (int v = 0; v < b->vectors; v++) {
        if (grid->levels == LORT_STEPS_MIN)
            lort_fit_range(grid, &b->side[v], &fit[v]);
        else
            lort_fit_scale(grid, &b->side[v], &fit[v]);
        peak[v] = lort_magnitude(fit[v].scale);
        min_peak[v] = lort_magnitude(fit[v].min);
    }
    const lort_f32x8 most = block_most(b, peak), min_most = block_most(b, min_peak);
    *best = (choice){.error = b->nothing};
    for (int t = 0; t < grid->tries; t++) {
        choice now;
        const float shrink = 1 - grid->step * (float)t;
        if (grid->lanes == 1) {
            now.unit.scale = halves(b, fit[0].scale, true);
            now.unit.min = halves(b, fit[0].min, false);
        } else {
            now.unit.scale = halves(b, most / (grid->s_high * shrink), true);
            now.unit.min = halves(b, min_most / (grid->m_high * shrink), true);
        }
        for (int v = 0; v < b->vectors; v++) {
            now.lanes[v].scale = lort_round(fit[v].scale * lort_inverse(now.unit.scale));
            now.lanes[v].min = lort_round(fit[v].min * lort_inverse(now.unit.min));
        }
        descend(b, &now, best);
    }
}

/* ---- blocks ---- */

static void store(const blocks *b, const choice *c, int count, uint8_t *dst)
{
    const lort_grid *grid = b->grid;
    uint8_t codes[512];
    for (int v = 0; v < b->vectors; v++) {
        const lort_fit fit = {c->unit.scale * c->lanes[v].scale, c->unit.min * c->lanes[v].min};
        lort_codes_of(grid, &b->side[v], &fit, codes + v * LORT_SIDE * grid->depth);
    }
    const int size = grid->depth * grid->lanes;
    for (int l = 0; l * size < count; l++, dst += grid->block_bytes) {
        lort_packed packed = {0};
        packed.d = half_of(c->unit.scale[l] * b->unit[l]);
        packed.m = half_of((grid->lanes == 1 ? -c->unit.min[l] : c->unit.min[l]) * b->unit[l]);
        for (int j = 0; j < grid->lanes; j++) {
            packed.scales[j] = (int8_t)c->lanes[j / LORT_SIDE].scale[j % LORT_SIDE];
            packed.mins[j] = (uint8_t)c->lanes[j / LORT_SIDE].min[j % LORT_SIDE];
        }
        memcpy(packed.codes, codes + l * size, (size_t)size);
        if ((packed.d & 0x7fff) == 0 && (packed.m & 0x7fff) == 0)
            memset(dst, 0, (size_t)grid->block_bytes);
        else
            grid->pack(&packed, dst);
    }
}

static void encode(const lort_grid *grid, const float *x, const float *importance, uint64_t n,
                   void *dst)
{
    const uint64_t most = LORT_SIDE * (grid->lanes == 1 ? 32u : grid->depth == 16 ? 32u : 32u);
    uint8_t *out = dst;
    for (uint64_t at = 0; at < n; at += most) {
        const uint64_t count = n - at < most ? n - at : most;
        blocks b;
        choice best;
        load(grid, x + at, importance ? importance + at : NULL, (int)count, &b);
        choose(&b, &best);
        store(&b, &best, (int)count, out);
        out += count / (uint64_t)(grid->depth * grid->lanes) * (uint64_t)grid->block_bytes;
    }
}

#define ENCODER(index)                                                                             \
    static void encode_##index(const float *x, const float *importance, uint64_t n, void *dst)     \
    {                                                                                              \
        encode(&grids[index], x, importance, n, dst);                                              \
    }
ENCODER(0)
ENCODER(1) ENCODER(2) ENCODER(3) ENCODER(4) ENCODER(5) ENCODER(6) ENCODER(7) ENCODER(8) ENCODER(9)
    ENCODER(10) ENCODER(11)

        lort_quantise_fn *lort_dtype_quantiser(lort_dtype id)
{
    static lort_quantise_fn *const encoders[] = {encode_0, encode_1, encode_2,  encode_3,
                                                 encode_4, encode_5, encode_6,  encode_7,
                                                 encode_8, encode_9, encode_10, encode_11};
    for (unsigned i = 0; i < sizeof grids / sizeof grids[0]; i++)
        if (grids[i].id == id)
            return encoders[i];
    return NULL;
}
