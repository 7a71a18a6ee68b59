/* reach: when the basis is good enough, which rank meets the target, and when no rank can. Pure
 * arithmetic on Ritz values. As the basis grows, they approach the squared singular values from
 * below.
 *
 *   upper bound of the energy of R components:   min over i of  kappa_i + (R - i) v_i
 *
 * v_i is Ritz value i plus the growth that it may still have, and kappa_i = v_1 + ... + v_i. */
#include "compress/factor/factor_parts.h"

#include <math.h>

/* A pass that adds less than this share to the energy of the wanted rank is the last one. */
#define RANK_GAIN 0.01
#define FIXED_GAIN 0.001 /* the same for a fixed rank, which no other term completes */
/* share of the energy far below what rounding the factors to f16 costs */
#define NEGLIGIBLE 1e-10
#define ROUNDING 3e-8 /* share of the energy that rounding to f16 costs, about */
/* a Ritz value that grew by less than this share in a pass bounds the values behind it */
#define SETTLED 0.3
/* such a value may still grow by this many times its last growth; the most on 79 matrices: 1.41 */
#define GROWTH_LEFT 2.0
/* share of the energy outside an exhausted space that makes a new random block worth it */
#define UNSEEN 1e-6

double lort_ritz_sum(const lort_factoring *f, int64_t rank)
{
    double sum = 0;

    for (int64_t i = 0; i < rank && i < f->d; i++)
        sum += f->ritz[i];
    return sum;
}

static double sum_before(const lort_factoring *f, int64_t rank)
{
    double sum = 0;

    for (int64_t i = 0; i < rank && i < f->before; i++)
        sum += f->ritz_before[i];
    return sum;
}

static double reach_energy(const lort_target *target)
{
    return target->kind == LORT_TARGET_ERROR ? 1 - target->value * target->value : target->value;
}

static double energy_wanted(const lort_factoring *f)
{
    return (reach_energy(f->target) + ROUNDING) * f->norm2;
}

/* Returns the smallest rank whose values reach `energy`; 0 if all n together do not. */
static int64_t smallest_rank(const double *ritz, int64_t n, double energy)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        sum += ritz[i];
        if (sum >= energy)
            return i + 1;
    }
    return 0;
}

/* Returns an upper bound on the energy of the first rank_cap components (formula above). */
static double upper_bound(const lort_factoring *f)
{
    const int64_t cap = f->grid.rank_cap;
    double least = f->norm2, sum = 0;

    for (int64_t i = 0; i < f->before && i < cap; i++) {
        const double growth = f->ritz[i] > 0 ? (f->ritz[i] - f->ritz_before[i]) / f->ritz[i] : 0;
        if (growth > SETTLED)
            break;
        const double value = f->ritz[i] * (1 + GROWTH_LEFT * (growth > 0 ? growth : 0));
        sum += value;
        least = fmin(least, sum + (double)(cap - i - 1) * value);
    }
    return least;
}

bool lort_reach_unseen(const lort_factoring *f)
{
    return f->norm2 - lort_ritz_sum(f, f->d) > UNSEEN * f->norm2;
}

static lort_reach rank_step(const lort_factoring *f)
{
    const int64_t k = f->grid.rank_cap;
    const double now = lort_ritz_sum(f, k), gain = now - sum_before(f, k);

    const double enough = f->target->fixed ? FIXED_GAIN : RANK_GAIN;
    return (f->d >= k && gain <= enough * now) || now >= (1 - NEGLIGIBLE) * f->norm2
               ? LORT_REACH_DONE
               : LORT_REACH_MORE;
}

/* Once the basis is full: estimates the energy that rank_cap components approach. This is no bound,
 * but each pass adds less than the one before. */
static double project_energy(const lort_factoring *f)
{
    const double now = lort_ritz_sum(f, f->grid.rank_cap);

    return now + GROWTH_LEFT * (now - sum_before(f, f->grid.rank_cap));
}

static lort_reach target_step(const lort_factoring *f, double *best_energy)
{
    const int64_t now = smallest_rank(f->ritz, f->d, energy_wanted(f)),
                  before = smallest_rank(f->ritz_before, f->before, energy_wanted(f));
    double bound = upper_bound(f);

    if (now > 0 && before > 0 && before - now <= now / 32)
        return LORT_REACH_DONE;
    if (f->shrunk)
        bound = fmin(bound, project_energy(f));
    if (bound >= reach_energy(f->target) * f->norm2)
        return LORT_REACH_MORE;
    *best_energy = bound / f->norm2;
    return LORT_REACH_HOPELESS;
}

/* Returns how many of n values save most together: the k with the least max(left, floor) *
 * exp(value * k). Coding the energy that is left takes half its logarithm in bits, and nothing
 * below the floor. One component at a time will not do: of 16 alike that leave nothing, the first
 * may not pay. Behind the first `seen` values, each is taken to be as large as their mean. */
static int64_t rank_that_gains(const lort_factoring *f, const double *ritz, int64_t seen, int64_t n)
{
    /* e^v; it need not be exact */
    const double v = f->target->value, each = 1 + v * (1 + v / 2 * (1 + v / 3 * (1 + v / 4)));
    const double floor = fmax(f->target->floor, ROUNDING) * f->norm2,
                 mean = lort_ritz_sum(f, seen) / (double)seen;
    double left = f->norm2, cost = 1, least = left;
    int64_t best = 0;

    for (int64_t i = 0; i < n; i++) {
        left -= i < seen ? ritz[i] : mean;
        cost *= each;
        if (fmax(left, floor) * cost < least) {
            least = fmax(left, floor) * cost;
            best = i + 1;
        }
    }
    return best;
}

/* The first block has random directions and shows nothing. The second block has gone through A'A,
 * so it shows up to as many large components as a block is wide. If none of them pays, more of
 * their size may still pay together. */
static lort_reach gain_step(const lort_factoring *f, double *best_energy)
{
    const int64_t most = f->grid.rank_cap, cap = most < f->d ? most : f->d,
                  settled = cap < f->before ? cap : f->before;
    const int64_t now = rank_that_gains(f, f->ritz, cap, cap);

    *best_energy = f->ritz[0] / f->norm2;
    if (f->before == 0)
        return LORT_REACH_MORE;
    if (now == 0)
        return settled < most && rank_that_gains(f, f->ritz, settled, most) > 0
                   ? LORT_REACH_MORE
                   : LORT_REACH_HOPELESS;
    return now == rank_that_gains(f, f->ritz_before, settled, settled) ? LORT_REACH_DONE
                                                                       : LORT_REACH_MORE;
}

/* Returns how many of n values are above `floor`. */
static int64_t count_above(const double *ritz, int64_t n, double floor)
{
    int64_t count = 0;

    while (count < n && ritz[count] > floor)
        count++;
    return count;
}

/* Values grow from pass to pass. So a value that is below the floor counts once a whole pass found
 * no further one above it. */
static lort_reach values_step(const lort_factoring *f)
{
    const int64_t cap = f->grid.rank_cap;
    const double floor = ldexp(f->target->floor, -2 * f->exponent);
    const int64_t above = count_above(f->ritz, f->d, floor),
                  above_before = count_above(f->ritz_before, f->before, floor),
                  now = smallest_rank(f->ritz, f->d, energy_wanted(f)),
                  before = smallest_rank(f->ritz_before, f->before, energy_wanted(f));

    if (f->before > 0 && above < f->d && above == above_before)
        return LORT_REACH_DONE;
    if (now > 0 && before > 0 && before - now <= now / 32)
        return LORT_REACH_DONE;
    return f->before >= cap && rank_step(f) == LORT_REACH_DONE ? LORT_REACH_DONE : LORT_REACH_MORE;
}

lort_reach lort_reach_step(const lort_factoring *f, double *best_energy)
{
    if (f->target->kind == LORT_TARGET_VALUES)
        return values_step(f);
    if (f->target->kind == LORT_TARGET_GAIN)
        return gain_step(f, best_energy);
    return f->target->kind == LORT_TARGET_RANK ? rank_step(f) : target_step(f, best_energy);
}

/* Cuts off the last components as long as they together are negligible. So LoRT finds a lower exact
 * rank. */
static int64_t trim_rank(const lort_factoring *f, int64_t rank)
{
    double tail = 0;

    for (; rank > 0; rank--) {
        tail += f->ritz[rank - 1];
        if (tail > NEGLIGIBLE * f->norm2)
            return rank;
    }
    return 0;
}

int64_t lort_reach_rank(const lort_factoring *f)
{
    const int64_t cap = f->grid.rank_cap < f->d ? f->grid.rank_cap : f->d;

    if (f->target->fixed) /* components beyond the basis are zero */
        return f->grid.rank_cap;
    if (f->target->kind == LORT_TARGET_RANK)
        return trim_rank(f, cap);
    if (f->target->kind == LORT_TARGET_GAIN)
        return trim_rank(f, rank_that_gains(f, f->ritz, cap, cap));
    const int64_t rank = smallest_rank(f->ritz, cap, energy_wanted(f));
    /* without a rank the target may still be met: the measurement decides */
    return rank > 0 ? rank : trim_rank(f, cap);
}

int64_t lort_reach_rank_eight(const lort_factoring *f, int64_t rank)
{
    const int64_t cap = f->grid.rank_cap < f->d ? f->grid.rank_cap : f->d;

    if (f->target->kind == LORT_TARGET_RANK || f->target->kind == LORT_TARGET_GAIN)
        return 0;
    const int64_t eight =
        smallest_rank(f->ritz, cap, (reach_energy(f->target) + LORT_EIGHT_ROUNDING) * f->norm2);
    return (double)eight * LORT_EIGHT_BITS < (double)rank * LORT_SIXTEEN_BITS ? eight : 0;
}

int64_t lort_reach_raise(const lort_factoring *f, int64_t rank, double error2)
{
    const int64_t cap = f->grid.rank_cap < f->d ? f->grid.rank_cap : f->d;
    const double missing = error2 - (1 - reach_energy(f->target)) * f->norm2;
    double gain = 0;

    for (int64_t k = rank + 1; k <= cap; k++) {
        gain += f->ritz[k - 1];
        if (gain >= 1.2 * missing)
            return k;
    }
    return 0;
}
