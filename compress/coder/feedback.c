/* feedback: see feedback.h. Columns go at two levels, since a product of matrices is quickest where
 * it is large:
 *
 *   panel    PANEL columns: the trellis finds their path, 16 rows at a time
 *   stretch  STRETCH columns: the errors of a column go on within it at once, and behind it in one
 *            product for all rows of the block */
#include "compress/coder/feedback.h"
#include "compress/coder/lanes.h"
#include "compress/coder/weighting.h"
#include "compress/math/blas.h"
#include <string.h>

#define PANEL 4 /* docs/NUMERICS.md, "Covariances", compares 4 to 32 */
#define STRETCH 128
/* Feedback carries on what the rate pulls towards zero. So the rate counts for less than in
 * LORT_INTEGERS_LAMBDA (docs/NUMERICS.md, "Covariances"). */
#define LAMBDA 0.2f
/* Groups of rows of a block that is wider than a stretch. */
#define GROUPS (LORT_BLOCK_WEIGHTS / STRETCH / LORT_LANES)

typedef struct levels { /* in steps */
    float one[LORT_CONTEXTS], gain[LORT_CONTEXTS];
} levels;

static levels levels_of(const lort_levels *fixed)
{
    levels out;
    for (unsigned s = 0; s < LORT_CONTEXTS; s++) {
        out.one[s] = (float)fixed->one[s] / 4096.0f;
        out.gain[s] = (float)fixed->gain[s] / 32768.0f;
    }
    return out;
}

/* A stretch of one group: targets and weights in steps, and errors, [STRETCH][LORT_LANES]. */
typedef struct stretch {
    float x[STRETCH * LORT_LANES], w[STRETCH * LORT_LANES], e[STRETCH * LORT_LANES];
    lort_f64s loss, error2; /* sums over the columns so far */
} stretch;

/* Loads columns of a group in steps. */
LORT_INLINE void load_lanes(const float *from, int64_t stride, unsigned lanes, int64_t cols,
                            float scale, float *to)
{
    for (int64_t c = 0; c < cols; c += LORT_TILE)
        lort_to_lanes(from + c, stride, lanes, cols - c < LORT_TILE ? cols - c : LORT_TILE,
                      to + c * LORT_LANES);
    for (int64_t i = 0; i < cols * LORT_LANES; i++)
        to[i] *= scale;
}

LORT_INLINE void widen_add(lort_f64s *sum, lort_f32s value, double factor)
{
    const lort_f64s wide = __builtin_convertvector(value, lort_f64s);
    *sum += wide * wide * factor;
}

/* Takes the settled column c of a stretch of `cols` columns: its error goes on to the columns
 * behind it. feed, weight: of column c. */
LORT_INLINE void settle_column(const lort_lane_group *group, const levels *of, int32_t col_code,
                               const int16_t *coded, int64_t c, int64_t cols, const float *feed,
                               double weight, stretch *s)
{
    const lort_i32s v = lort_load_coded(coded),
                    context = 2 * lort_group_classes(group, col_code) + (v & 1), k = v >> 1;
    float value[LORT_LANES];
    for (unsigned l = 0; l < LORT_LANES; l++)
        value[l] = k[l] == 1    ? of->one[context[l]]
                   : k[l] == -1 ? -of->one[context[l]]
                                : (float)lort_trellis_value((unsigned)(v[l] & 1), k[l]) *
                                      of->gain[context[l]];
    lort_f32s q, x, e;
    memcpy(&q, value, sizeof q);
    memcpy(&x, s->x + c * LORT_LANES, sizeof x);
    memcpy(&e, s->w + c * LORT_LANES, sizeof e);
    e -= q;
    memcpy(s->e + c * LORT_LANES, &e, sizeof e);
    widen_add(&s->loss, x - q, weight);
    widen_add(&s->error2, e, 1);
    for (int64_t j = c + 1; j < cols; j++) {
        memcpy(&x, s->x + j * LORT_LANES, sizeof x);
        x += e * feed[j];
        memcpy(s->x + j * LORT_LANES, &x, sizeof x);
    }
}

/* Finds the targets of a panel: columns [p, p + cols) of a stretch. F = x - w is what the errors
 * before the panel ask of each column alone. The columns answer together: with g = F P^-1, where P
 * is the panel's own part of V, no column repairs again what one before it repairs. Without this
 * the errors of strongly correlated inputs grow without bound.
 *
 *   g_k = F_k - sum(j < k in the panel) g_j V_jk,  target_k = w_k + g_k
 *
 * feed: V at column 0 of the stretch, row p. */
LORT_INLINE void find_targets(const stretch *s, int64_t p, int64_t cols, const float *feed,
                              int64_t stride, float *target)
{
    lort_f32s g[PANEL], x, w;
    const lort_f32s most = (lort_f32s){0} + LORT_STEPS_MAX;
    for (int64_t k = 0; k < cols; k++) {
        memcpy(&x, s->x + (p + k) * LORT_LANES, sizeof x);
        memcpy(&w, s->w + (p + k) * LORT_LANES, sizeof w);
        g[k] = x - w;
        for (int64_t j = 0; j < k; j++)
            g[k] -= g[j] * feed[j * stride + p + k];
        w += g[k];
        const lort_i32s over = w > most, under = w < -most;
        const lort_i32s cut = (over & (lort_i32s)most) | (under & (lort_i32s)-most) |
                              (~(over | under) & (lort_i32s)w);
        memcpy(target + k * LORT_LANES, &cut, sizeof cut);
    }
}

/* Adds the sums of a stretch. Rows count in their own units. */
static void add_sums(const lort_block *b, int64_t row, unsigned lanes, const stretch *s,
                     double *error2, double *loss)
{
    for (unsigned l = 0; l < lanes; l++) {
        const double unit =
            b->row_scales ? (double)lort_scale_of(lort_scale_inverse(b->row_scales[row + l])) : 1;
        *error2 += s->error2[l];
        *loss += unit * unit * s->loss[l];
    }
}

/* Puts the errors of a stretch into the place of its targets, in units of the weights. */
LORT_INLINE void store_errors(stretch *s, unsigned lanes, int64_t cols, float step, int64_t stride,
                              float *to)
{
    for (int64_t i = 0; i < cols * LORT_LANES; i++)
        s->e[i] *= step;
    for (int64_t c = 0; c < cols; c += LORT_TILE)
        lort_from_lanes(s->e + c * LORT_LANES, lanes, cols - c < LORT_TILE ? cols - c : LORT_TILE,
                        stride, to + c);
}

/* Quantises columns [from, from + cols) of the group at `row`, and adds to the sums, in steps^2. */
static LORT_VECTORS(quantise_stretch,
                    (const lort_feedback_run *run, const levels *of, int64_t row, int64_t from,
                     int64_t cols, lort_trellis_states *states, double *error2, double *loss),
                    (run, of, row, from, cols, states, error2, loss))
{
    const lort_block *b = run->block;
    const lort_feedback *f = b->feedback;
    const lort_lane_group group = lort_group_at(b, row);
    const int64_t at = row * b->cols + from;
    int16_t *coded = run->coded + row * b->cols + from * LORT_LANES;
    float rates[LORT_LANES] = {0};
    stretch s = {.loss = {0}, .error2 = {0}};
    for (unsigned l = 0; l < group.lanes; l++)
        rates[l] = LAMBDA * run->factor * lort_inverse_variance(b->row_codes[row + l]);
    load_lanes(run->targets + at, b->cols, group.lanes, cols, 1 / run->step, s.x);
    load_lanes(run->weights + at, b->cols, group.lanes, cols, 1 / run->step, s.w);
    for (int64_t p = 0, n; p < cols; p += n) {
        float target[PANEL * LORT_LANES];
        uint16_t choice[PANEL * LORT_CHOICE_WORDS * LORT_LANES];
        n = cols - p < PANEL ? cols - p : PANEL;
        find_targets(&s, p, n, f->factor + (from + p) * f->cols + from, f->cols, target);
        lort_trellis_go_on(target, rates, run->col + from + p, n, LAMBDA, states, choice,
                           coded + p * LORT_LANES);
        for (int64_t c = p; c < p + n; c++)
            settle_column(&group, of, b->col_codes[from + c], coded + c * LORT_LANES, c, cols,
                          f->factor + (from + c) * f->cols + from, (double)f->weight[from + c], &s);
    }
    store_errors(&s, group.lanes, cols, run->step, b->cols, run->targets + at);
    add_sums(b, row, group.lanes, &s, error2, loss);
}

void lort_feedback_quantise(const lort_feedback_run *run, double *error2, double *loss)
{
    const lort_block *b = run->block;
    const lort_feedback *f = b->feedback;
    const levels of = levels_of(run->levels);
    lort_trellis_states states[GROUPS];
    const double area = (double)run->step * run->step;
    memset(states, 0, sizeof states);
    memcpy(run->targets, run->weights, (size_t)(b->rows * b->cols) * sizeof *run->targets);
    *error2 = *loss = 0;
    for (int64_t from = 0; from < b->cols; from += STRETCH) {
        const int64_t n = b->cols - from < STRETCH ? b->cols - from : STRETCH, end = from + n;
        for (int64_t r = 0; r < b->rows; r += LORT_LANES) {
            lort_trellis_states first = {{0}};
            quantise_stretch(run, &of, r, from, n,
                             b->cols > STRETCH ? &states[r / LORT_LANES] : &first, error2, loss);
        }
        if (end < b->cols)
            lort_sgemm(false, false, b->rows, b->cols - end, n, 1, run->targets + from, b->cols,
                       f->factor + from * f->cols + end, f->cols, 1, run->targets + end, b->cols);
    }
    *error2 *= area;
    *loss *= area;
}
