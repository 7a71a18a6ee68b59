/* measure: which tensors differ, and the norm, the noise and the singular values of each update
 * (adapter.h).
 *
 * A fine-tune is stored rounded. Rounding adds noise E to the update, independent of it:
 *
 *     var(e_ij) = u_ij^2 / 12,  u_ij = 2^(exponent of w'_ij - mantissa bits)
 *     ||E|| <= max_i sqrt(sum_j var(e_ij)) + max_j sqrt(sum_i var(e_ij)),  about
 *
 * So a component whose singular value is not above this floor may be noise alone, and no component
 * of the true update shows below it. The mantissa bits are those that the weights really use: F32
 * files may hold BF16 values. Source of the bound: Bandeira and van Handel, Ann. Probab. 44, 2016.
 */
#include "compress/adapter/adapter.h"
#include "compress/math/random.h"
#include "compress/session/report.h"
#include "formats/base/hash.h"
#include "formats/types/half.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FLOOR_SAFETY 1.1  /* the bound holds on average; single matrices exceed it by per cents */
#define FLOOR_LEAST 1e-11 /* share of ||D||^2 that rounding of our own sums may reach */
#define CLIFF 4.0         /* squared: of the last value over the floor, for an update of low rank */
#define MANTISSA 23
#define SHOWN_MOST 8 /* lost tensors that a message names */

/* ---- noise ---- */

typedef struct panel_sums {
    double tuned2, norm2;
    double row;    /* the largest sum of 4^exponent of a row */
    uint32_t bits; /* mantissa bits that occur */
    bool bad;      /* NaN or Inf */
} panel_sums;

typedef struct noise_run {
    lort_extractor *x;
    const lort_module *m;
    panel_sums *slots, total; /* slots: [window] */
    double *columns;          /* [cols] */
    int least_exponent;
} noise_run;

/* 4^exponent of a number, for its unit in the last place. */
static double squared_power(uint32_t bits, int least)
{
    const int e = (int)(bits >> MANTISSA & 0xFF) - 127;
    return bits << 1 ? ldexp(1, 2 * (e > least ? e : least)) : 0;
}

static void add_row(const noise_run *run, const float *tuned, const float *base, int64_t n,
                    double *columns, double *row, panel_sums *s)
{
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = lort_to_bits(tuned[i]);
        const double w = (double)tuned[i], d = w - (double)base[i],
                     power = squared_power(bits, run->least_exponent);
        s->tuned2 += w * w;
        s->norm2 += d * d;
        s->bits |= bits;
        *row += power;
        columns[i] += power;
    }
}

static lort_code sum_tile(const noise_run *run, unsigned worker, const lort_cells *at,
                          double *columns, double *rows, panel_sums *s, lort_error *err)
{
    lort_extractor *x = run->x;
    float *tuned = x->noise + 2 * worker * LORT_NOISE_TILE, *base = tuned + LORT_NOISE_TILE;
    const int64_t wide = at->c1 - at->c0;
    lort_code code = lort_pair_tile(&x->pair, LORT_PAIR_TUNED, worker, at->r0, at->r1, at->c0,
                                    at->c1, tuned, err);
    if (code == LORT_OK)
        code = lort_pair_tile(&x->pair, LORT_PAIR_BASE, worker, at->r0, at->r1, at->c0, at->c1,
                              base, err);
    for (int64_t r = 0; r < at->r1 - at->r0 && code == LORT_OK; r++)
        add_row(run, tuned + r * wide, base + r * wide, wide, columns + at->c0, rows + r, s);
    return code;
}

static lort_code sum_panel(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    noise_run *run = ctx;
    lort_extractor *x = run->x;
    const lort_matrices shape = run->m->tensor->shape;
    panel_sums *s = &run->slots[slot];
    double rows[LORT_NOISE_ROWS] = {0}, *columns = x->columns + slot * x->columns_most;
    lort_cells at = {.r0 = item * LORT_NOISE_ROWS};
    lort_code code = lort_session_check_stop(&x->session, err);
    at.r1 = shape.rows - at.r0 < LORT_NOISE_ROWS ? shape.rows : at.r0 + LORT_NOISE_ROWS;
    memset(columns, 0, (size_t)shape.cols * sizeof *columns);
    *s = (panel_sums){0};
    for (; at.c0 < shape.cols && code == LORT_OK; at.c0 = at.c1) {
        at.c1 = shape.cols - at.c0 < LORT_NOISE_COLS ? shape.cols : at.c0 + LORT_NOISE_COLS;
        code = sum_tile(run, worker, &at, columns, rows, s, err);
    }
    for (int64_t r = 0; r < at.r1 - at.r0; r++)
        s->row = fmax(s->row, rows[r]);
    s->bad = !isfinite(s->norm2) || !isfinite(s->tuned2);
    return code;
}

static lort_code add_panel(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    noise_run *run = ctx;
    const panel_sums *s = &run->slots[slot];
    const double *columns = run->x->columns + slot * run->x->columns_most;
    (void)item;
    (void)err;
    run->total.tuned2 += s->tuned2;
    run->total.norm2 += s->norm2;
    run->total.row = fmax(run->total.row, s->row);
    run->total.bits |= s->bits;
    run->total.bad |= s->bad;
    for (int64_t c = 0; c < run->m->tensor->shape.cols; c++)
        run->columns[c] += columns[c];
    return LORT_OK;
}

/* The squared floor of the open slice, and in *noise2 the energy of the noise. */
static double floor_of(const noise_run *run, double *noise2)
{
    int used = MANTISSA;
    double column = 0, sum = 0;
    for (uint32_t bits = run->total.bits & 0x7FFFFF; used > 0 && !(bits & 1); bits >>= 1)
        used--;
    for (int64_t c = 0; c < run->m->tensor->shape.cols; c++) {
        column = fmax(column, run->columns[c]);
        sum += run->columns[c];
    }
    const double unit2 = ldexp(1.0 / 12, -2 * used);
    const double floor = FLOOR_SAFETY * (sqrt(run->total.row) + sqrt(column));
    *noise2 = sum * unit2;
    return floor * floor * unit2;
}

/* Sums up the open slice. columns of the slot `window` hold the totals. */
static lort_code sum_slice(lort_extractor *x, lort_module *m, double *floor, bool *bad,
                           lort_error *err)
{
    panel_sums slots[2 * 1024];
    const lort_matrices shape = m->tensor->shape;
    noise_run run = {.x = x,
                     .m = m,
                     .slots = slots,
                     .columns = x->columns + x->window * x->columns_most,
                     /* below it numbers of F16 lose bits */
                     .least_exponent = m->tensor->tuned.tensor->type->id == LORT_F16 ? -14 : -126};
    double noise2 = 0;
    memset(run.columns, 0, (size_t)shape.cols * sizeof *run.columns);
    lort_code code =
        lort_pool_run(x->session.pool, (shape.rows + LORT_NOISE_ROWS - 1) / LORT_NOISE_ROWS,
                      x->window, sum_panel, add_panel, &run, err);
    if (code)
        return code;
    *floor = fmax(floor_of(&run, &noise2), FLOOR_LEAST * run.total.norm2);
    *bad = run.total.bad;
    m->tuned2 += run.total.tuned2;
    m->norm2 += run.total.norm2;
    m->noise2 += noise2;
    return LORT_OK;
}

/* ---- singular values ---- */

/* Adds the values of a slice to those of its module. */
static void add_values(lort_module *m, const double *values, const lort_values *found, double floor)
{
    const lort_matrices shape = m->tensor->shape;
    const int64_t side = shape.rows < shape.cols ? shape.rows : shape.cols;
    int64_t above = 0;
    for (; above < found->count && values[above] > floor; above++)
        m->values[above] += values[above];
    m->low &= above == 0 ||
              (above < found->count && 2 * above <= side && values[above - 1] >= CLIFF * floor);
    m->above = above > m->above ? above : m->above;
    m->count = found->count > m->count ? found->count : m->count;
}

static lort_code find_slice_values(lort_extractor *x, lort_module *m, int64_t slice, double floor,
                                   double *values, lort_error *err)
{
    const lort_matrix_source source = lort_update_source(x, m);
    const lort_tensor *t = m->tensor->base.tensor;
    lort_target target = lort_values_target(x, m);
    lort_values found;
    char name[200];
    target.floor = floor;
    target.key = lort_matrix_key(0, lort_name_hash(t->name, t->name_bytes), (uint64_t)slice);
    lort_code code = lort_factor_values(&source, &target, x->session.pool, &x->session.alloc,
                                        values, &found, err);
    if (code)
        return code;
    if (found.verdict == LORT_NOT_CONVERGED)
        return lort_fail(err, LORT_E_NUMERIC,
                         "tensor '%s': the eigenvalues of its update did not converge",
                         lort_escape(name, sizeof name, t->name, t->name_bytes));
    add_values(m, values, &found, floor);
    return LORT_OK;
}

static lort_code measure_slice(lort_extractor *x, lort_module *m, int64_t slice, double *values,
                               lort_error *err)
{
    const lort_tensor *t = m->tensor->base.tensor;
    const double before = m->norm2;
    double floor = 0;
    bool bad = false;
    char name[200];
    lort_code code = lort_pair_slice(&x->pair, m->tensor, slice, err);
    if (code == LORT_OK)
        code = sum_slice(x, m, &floor, &bad, err);
    if (code == LORT_OK && bad)
        return lort_fail(err, LORT_E_INPUT,
                         "tensor '%s' holds NaN or Inf: leave it out with --exclude",
                         lort_escape(name, sizeof name, t->name, t->name_bytes));
    return code || m->norm2 == before ? code : find_slice_values(x, m, slice, floor, values, err);
}

static lort_code measure_module(lort_extractor *x, lort_module *m, lort_error *err)
{
    const lort_target target = lort_values_target(x, m);
    void *memory;
    lort_code code =
        lort_arena_take(&x->arena, 2 * (uint64_t)target.max_rank * sizeof(double), &memory, err);
    if (code)
        return code;
    m->values = memory;
    m->low = true;
    for (int64_t i = 0; i < m->tensor->shape.slices && code == LORT_OK; i++)
        code = measure_slice(x, m, i, m->values + target.max_rank, err);
    lort_pair_release(&x->pair);
    m->differs = m->norm2 > 0;
    return code;
}

lort_code lort_measure_modules(lort_extractor *x, lort_error *err)
{
    bool differs = false;
    lort_code code = LORT_OK;
    lort_session_enter(&x->session, LORT_PHASE_MEASURING);
    for (uint64_t i = 0; i < x->count && code == LORT_OK; i++) {
        lort_module *m = &x->modules[i];
        if (m->has_factors) {
            lort_session_work_on(&x->session, &x->session.report->tensors[i]);
            code = measure_module(x, m, err);
            const lort_tensor *t = m->tensor->base.tensor;
            lort_session_did(&x->session, t->elements, t->bytes, 1);
            lort_session_sample(&x->session);
        }
        differs |= m->differs && m->form != LORT_FORM_LOST;
    }
    if (code == LORT_OK && !differs)
        return lort_fail(err, LORT_E_INPUT,
                         "nothing differs that an adapter can hold: the fine-tune equals the base");
    return code;
}

/* ---- tensors without factors ---- */

/* Sets *equal: whether all numbers of the open slice are equal. */
static lort_code equal_numbers(lort_extractor *x, const lort_module *m, bool *equal,
                               lort_error *err)
{
    const lort_matrices shape = m->tensor->shape;
    lort_code code = LORT_OK;
    *equal = true;
    for (int64_t r = 0; r < shape.rows && *equal && code == LORT_OK; r++)
        for (int64_t c = 0, end; c < shape.cols && *equal && code == LORT_OK; c = end) {
            end = shape.cols - c < LORT_NOISE_COLS ? shape.cols : c + LORT_NOISE_COLS;
            code =
                lort_pair_tile(&x->pair, LORT_PAIR_DIFFERENCE, 0, r, r + 1, c, end, x->noise, err);
            for (int64_t i = 0; i < end - c && code == LORT_OK; i++)
                *equal &= x->noise[i] == 0;
        }
    return code;
}

/* Bytes decide. Other types may hold equal numbers. */
static lort_code compare_other(lort_extractor *x, lort_module *m, lort_error *err)
{
    bool equal = false;
    lort_code code = lort_pair_equal(&x->pair, m->tensor, &equal, err);
    if (code == LORT_OK && !equal && lort_pair_decodes(m->tensor)) {
        equal = true;
        for (int64_t s = 0; s < m->tensor->shape.slices && equal && code == LORT_OK; s++) {
            code = lort_pair_slice(&x->pair, m->tensor, s, err);
            if (code == LORT_OK)
                code = equal_numbers(x, m, &equal, err);
        }
        lort_pair_release(&x->pair);
    }
    m->differs = !equal;
    return code ? code : lort_session_check_stop(&x->session, err);
}

/* The vector beside another one of the same module: x.bias of x.weight, or the reverse. NULL: none.
 */
static lort_module *partner_of(lort_extractor *x, const lort_module *m)
{
    static const char *const ends[] = {".weight", ".bias"};
    const lort_tensor *t = lort_module_tensor(m);
    char name[512];
    lort_entry other;
    for (int i = 0; i < 2; i++) {
        const size_t n = strlen(ends[i]), kept = t->name_bytes - n;
        if (t->name_bytes <= n || t->name_bytes + 2 > sizeof name ||
            memcmp(t->name + kept, ends[i], n) != 0)
            continue;
        memcpy(name, t->name, kept);
        strcpy(name + kept, ends[!i]);
        if (lort_input_find(&x->pair.tuned, name, strlen(name), &other))
            return &x->modules[other.tensor - x->pair.tuned.index->tensors];
    }
    return NULL;
}

/* PEFT stores a module whole with all its vectors: that beside one that differs counts too. */
static void spread_whole(lort_extractor *x)
{
    for (uint64_t i = 0; i < x->count; i++) {
        lort_module *m = &x->modules[i];
        lort_module *other = m->form == LORT_FORM_WHOLE && m->differs ? partner_of(x, m) : NULL;
        if (other && other->form == LORT_FORM_WHOLE)
            other->differs = true;
    }
}

static bool is_lost(const lort_module *m)
{
    return m->why && (m->has_factors || m->differs); /* with factors: new rows */
}

/* Names the first ones. */
static lort_code refuse_lost(lort_extractor *x, uint64_t lost, lort_error *err)
{
    char names[600] = "", name[100];
    size_t used = 0;
    uint64_t shown = 0;
    const lort_module *first = NULL;
    for (uint64_t i = 0; i < x->count && shown < SHOWN_MOST; i++) {
        const lort_module *m = &x->modules[i];
        if (!is_lost(m))
            continue;
        const lort_tensor *t = lort_module_tensor(m);
        first = first ? first : m;
        const int n = snprintf(names + used, sizeof names - used, "%s%s", shown ? ", " : "",
                               lort_escape(name, sizeof name, t->name, t->name_bytes));
        if (n < 0 || (size_t)n >= sizeof names - used)
            break;
        used += (size_t)n;
        shown++;
    }
    lort_fail(err, LORT_E_INPUT,
              "%llu tensor%s differ%s that an adapter cannot hold: %s%s (the first: %s). "
              "--drop-unsupported leaves them out, with a warning each",
              (unsigned long long)lost, lost == 1 ? "" : "s", lost == 1 ? "s" : "", names,
              shown < lost ? ", ..." : "", first->why);
    const lort_tensor *t = lort_module_tensor(first);
    lort_error_tensor(err, t->name, t->name_bytes);
    return LORT_E_INPUT;
}

static lort_code settle_lost(lort_extractor *x, lort_error *err)
{
    uint64_t lost = 0;
    char name[200];
    for (uint64_t i = 0; i < x->count; i++)
        lost += is_lost(&x->modules[i]);
    if (lost && !x->options->drop_unsupported)
        return refuse_lost(x, lost, err);
    for (uint64_t i = 0; i < x->count; i++) {
        const lort_module *m = &x->modules[i];
        const lort_tensor *t = lort_module_tensor(m);
        if (is_lost(m))
            lort_session_warn(&x->session, "tensor '%s' is not in the adapter%s: %s",
                              lort_escape(name, sizeof name, t->name, t->name_bytes),
                              m->has_factors ? " as a whole" : "", m->why);
    }
    return LORT_OK;
}

lort_code lort_measure_others(lort_extractor *x, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < x->count && code == LORT_OK; i++) {
        lort_module *m = &x->modules[i];
        if (m->form == LORT_FORM_WHOLE || (m->form == LORT_FORM_LOST && !m->differs))
            code = compare_other(x, m, err);
    }
    spread_whole(x);
    return code ? code : settle_lost(x, err);
}
