/* ranks: the rank of each module by the goal (adapter.h).
 *
 *   RANK      the same for all
 *   ERROR     each module by itself
 *   ENERGY    updates of low rank each by itself; all others share one threshold
 *   SIZE      all share one threshold
 *
 * A threshold on the energy that a byte captures is the optimum: no other ranks of the same bytes
 * capture more. Bytes do not grow evenly with the rank (blocks of Q8_0), so the threshold cuts the
 * upper hull of (bytes, energy) of each module. */
#include "compress/adapter/ranks.h"
#include "formats/base/sort.h"
#include <math.h>
#include <stdio.h>

/* An update of low rank is taken whole if that is at most a quarter more. */
#define WHOLE_MORE 4
#define DEFAULT_ENERGY 0.98

/* The energy of an update without that of rounding noise. Noise accounts for no more than what is
 * left below the floor: weights that did not change have none. */
static double signal_of(const lort_module *m)
{
    double above = 0;
    for (int64_t i = 0; i < m->above; i++)
        above += m->values[i];
    return fmax(m->norm2 - m->noise2, above);
}

/* ---- the hull ---- */

/* A piece of the hull of one module: up to `rank` it captures `energy` more with `bytes` more. */
typedef struct segment {
    double slope, energy, bytes;
    uint32_t module, rank;
} segment;

static bool before(const void *a, const void *b)
{
    const segment *x = a, *y = b;
    if (x->slope != y->slope)
        return x->slope > y->slope;
    return x->module != y->module ? x->module < y->module : x->rank < y->rank;
}

/* Appends the hull of a module to out[0, ...), and returns how many pieces it has. Pieces keep
 * their totals until the end: `energy` and `bytes` count from rank 0. */
static uint64_t put_hull(const lort_extractor *x, uint32_t module, segment *out)
{
    const lort_module *m = &x->modules[module];
    uint64_t n = 0;
    double energy = 0;
    for (int64_t rank = 1; rank <= m->above; rank++) {
        energy += m->values[rank - 1];
        segment next = {.energy = energy,
                        .bytes = (double)lort_module_bytes(x, m, rank),
                        .module = module,
                        .rank = (uint32_t)rank};
        for (;; n--) {
            const double e0 = n ? out[n - 1].energy : 0, b0 = n ? out[n - 1].bytes : 0;
            next.slope = next.bytes > b0 ? (next.energy - e0) / (next.bytes - b0) : INFINITY;
            if (n == 0 || (next.bytes > b0 && next.slope <= out[n - 1].slope))
                break;
        }
        out[n++] = next;
    }
    for (uint64_t i = n; i-- > 1;) {
        out[i].energy -= out[i - 1].energy;
        out[i].bytes -= out[i - 1].bytes;
    }
    return n;
}

static bool is_shared(const lort_extractor *x, const lort_module *m)
{
    return m->above > 0 && (x->options->goal == LORT_GOAL_SIZE || !m->low);
}

/* Takes pieces until `energy` is captured. One that would go beyond `bytes` closes its module. */
static void take_segments(lort_extractor *x, const segment *list, uint64_t count, double energy,
                          double bytes)
{
    double captured = 0, used = 0;
    for (uint64_t i = 0; i < count && captured < energy; i++) {
        lort_module *m = &x->modules[list[i].module];
        m->closed |= used + list[i].bytes > bytes;
        if (m->closed)
            continue;
        captured += list[i].energy;
        used += list[i].bytes;
        m->rank = list[i].rank;
    }
}

static lort_code share_ranks(lort_extractor *x, double share, double bytes, lort_error *err)
{
    const lort_alloc *alloc = &x->session.alloc;
    uint64_t most = 0, count = 0;
    double energy = 0;
    void *memory;
    for (uint64_t i = 0; i < x->count; i++)
        if (is_shared(x, &x->modules[i])) {
            most += (uint64_t)x->modules[i].above;
            energy += signal_of(&x->modules[i]);
        }
    lort_code code = lort_take(alloc, most * sizeof(segment), "ranks", &memory, err);
    if (code)
        return code;
    for (uint64_t i = 0; i < x->count; i++)
        if (is_shared(x, &x->modules[i]))
            count += put_hull(x, (uint32_t)i, (segment *)memory + count);
    lort_sort(memory, count, sizeof(segment), before);
    take_segments(x, memory, count, share * energy, bytes);
    lort_give(alloc, memory, most * sizeof(segment));
    return LORT_OK;
}

/* ---- one module ---- */

int64_t lort_rank_of_energy(const double *values, int64_t count, double energy)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += values[i];
        if (sum >= energy)
            return i + 1;
    }
    return count + 1;
}

/* Takes the smallest rank that reaches the energy, or all of an update of low rank if that is
 * little more, or all above the noise if no rank reaches it. */
static void take_energy(lort_module *m, double energy)
{
    const int64_t rank = lort_rank_of_energy(m->values, m->above, energy);
    const bool whole = m->low && m->above <= rank + rank / WHOLE_MORE + 1;
    m->floored = rank > m->above;
    m->rank = m->floored || whole ? m->above : rank;
}

/* Rounding of the factors adds to the error, so a little less is left. */
static lort_code take_error(lort_extractor *x, lort_module *m, lort_error *err)
{
    const double bound = x->options->value, rounding = x->type->block_elements > 1 ? 2e-4
                                                       : x->type->id == LORT_BF16  ? 2e-5
                                                                                   : 1e-6;
    const double left = fmax(0.98 * bound * bound - rounding, 0);
    const lort_tensor *t = m->tensor->base.tensor;
    char name[200];
    take_energy(m, (1 - left) * m->norm2);
    if (!m->floored || m->above < m->count || m->count < x->options->max_rank)
        return LORT_OK;
    lort_fail(err, LORT_E_NUMERIC,
              "tensor '%s': the error of its update is above %g at rank %lld; give a larger "
              "--max-rank or --max-error, or --exclude it",
              lort_escape(name, sizeof name, t->name, t->name_bytes), bound, (long long)m->count);
    lort_error_tensor(err, t->name, t->name_bytes);
    return LORT_E_NUMERIC;
}

/* A higher rank that takes no more bytes is better: Q8_0 stores ranks of whole blocks. */
static void round_up(const lort_extractor *x, lort_module *m)
{
    for (int64_t rank = m->rank + 1; m->rank > 0 && rank <= m->above; rank++)
        if (lort_module_bytes(x, m, rank) <= lort_module_bytes(x, m, m->rank))
            m->rank = rank;
}

/* ---- all ---- */

uint64_t lort_ranks_limit(const lort_extractor *x)
{
    const lort_extract_options *o = x->options;
    return o->size_bytes
               ? o->size_bytes
               : (uint64_t)(o->value / 100 * (double)lort_model_bytes(x->pair.tuned.model));
}

static lort_code choose_each(lort_extractor *x, lort_error *err)
{
    const lort_extract_options *o = x->options;
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < x->count && code == LORT_OK; i++) {
        lort_module *m = &x->modules[i];
        m->rank = 0;
        m->closed = false;
        if (!m->has_factors || m->above == 0)
            continue;
        switch (o->goal) {
        case LORT_GOAL_RANK:
            m->rank = o->rank < m->above ? o->rank : m->above;
            m->floored = m->rank < o->rank;
            break;
        case LORT_GOAL_ERROR:
            code = take_error(x, m, err);
            round_up(x, m);
            break;
        case LORT_GOAL_ENERGY:
            if (m->low)
                take_energy(m, o->value * signal_of(m));
            break;
        default:
            if (m->low && o->goal == LORT_GOAL_DEFAULT)
                m->rank = m->above;
        }
    }
    return code;
}

lort_code lort_ranks_choose(lort_extractor *x, uint64_t other_bytes, lort_error *err)
{
    const lort_goal goal = x->options->goal;
    const uint64_t limit = goal == LORT_GOAL_SIZE ? lort_ranks_limit(x) : 0;
    lort_code code = choose_each(x, err);
    if (code == LORT_OK && goal == LORT_GOAL_SIZE)
        code =
            share_ranks(x, INFINITY, limit > other_bytes ? (double)(limit - other_bytes) : 0, err);
    if (code == LORT_OK && (goal == LORT_GOAL_ENERGY || goal == LORT_GOAL_DEFAULT))
        code = share_ranks(x, goal == LORT_GOAL_ENERGY ? x->options->value : DEFAULT_ENERGY,
                           INFINITY, err);
    for (uint64_t i = 0; i < x->count; i++) {
        lort_module *m = &x->modules[i];
        if (m->rank > 0)
            lort_module_types(x, m, m->rank, &m->left, &m->right);
    }
    return code;
}
