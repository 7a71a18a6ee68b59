/* allocate: see allocate.h. It owns the lists of useful types, the hulls and the price. */
#include "compress/choice/allocate.h"
#include "compress/choice/exchange.h"
#include <math.h>
#include <string.h>

#define NOISE 1e-15 /* of the sum of all costs: rounding */

typedef struct allocator {
    const lort_choice *choices;
    uint64_t count, budget;
    uint32_t types;
    uint8_t *order, *n;     /* [count][types], [count]: by rising bytes and falling cost */
    uint8_t *hull, *n_hull; /* of these, those that some price chooses */
    uint8_t *chosen;
} allocator;

static const lort_choice *choices_of(const allocator *a, uint64_t tensor)
{
    return a->choices + tensor * a->types;
}

static bool is_before(const lort_choice *x, const lort_choice *y)
{
    return x->bytes != y->bytes ? x->bytes < y->bytes : x->cost < y->cost;
}

/* Puts the types that no other type beats into order[]. Returns how many. */
static uint8_t list_types(const lort_choice *row, uint32_t types, uint8_t *order)
{
    uint8_t sorted[LORT_ALLOCATE_TYPES], n = 0, kept = 0;
    for (uint32_t type = 0; type < types; type++) {
        if (!isfinite(row[type].cost))
            continue;
        uint8_t at = n++;
        for (; at > 0 && is_before(&row[type], &row[sorted[at - 1]]); at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = (uint8_t)type;
    }
    for (uint8_t i = 0; i < n; i++)
        if (kept == 0 || row[sorted[i]].cost < row[order[kept - 1]].cost)
            order[kept++] = sorted[i];
    return kept;
}

/* What a byte saves in cost on the way from x to y. */
static double saving(const lort_choice *x, const lort_choice *y)
{
    return (x->cost - y->cost) / (double)(y->bytes - x->bytes);
}

static uint8_t list_hull(const lort_choice *row, const uint8_t *order, uint8_t n, uint8_t *hull)
{
    uint8_t kept = 0;
    for (uint8_t i = 0; i < n; i++) {
        while (kept >= 2 && saving(&row[hull[kept - 2]], &row[hull[kept - 1]]) <=
                                saving(&row[hull[kept - 1]], &row[order[i]]))
            kept--;
        hull[kept++] = order[i];
    }
    return kept;
}

/* The place in the hull that the price chooses: each step up saves more than its bytes cost. */
static uint8_t hull_place(const allocator *a, uint64_t tensor, double price)
{
    const lort_choice *row = choices_of(a, tensor);
    const uint8_t *hull = a->hull + tensor * a->types;
    uint8_t at = 0;
    while (at + 1 < a->n_hull[tensor] && saving(&row[hull[at]], &row[hull[at + 1]]) > price)
        at++;
    return at;
}

static uint64_t bytes_at(const allocator *a, double price)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < a->count; i++)
        bytes += choices_of(a, i)[a->hull[i * a->types + hull_place(a, i, price)]].bytes;
    return bytes;
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The least price at which the choices fit, and the number before it. At price 0 they do not. */
static double find_price(const allocator *a, double *below)
{
    uint64_t low = 0, high = UINT64_C(0x7ff0000000000000); /* the bits of 0 and of Inf */
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        if (bytes_at(a, from_bits(middle)) <= a->budget)
            high = middle;
        else
            low = middle;
    }
    *below = from_bits(low);
    return from_bits(high);
}

/* Chooses by price. Then takes the steps that save exactly the price, tensor by tensor, while they
 * fit. Returns the bytes that are left. */
static int64_t choose_by_price(allocator *a, double price, double below)
{
    int64_t slack = (int64_t)(a->budget - bytes_at(a, price));
    for (uint64_t i = 0; i < a->count; i++) {
        const lort_choice *row = choices_of(a, i);
        const uint8_t *hull = a->hull + i * a->types;
        uint8_t at = hull_place(a, i, price);
        for (const uint8_t most = hull_place(a, i, below); at < most; at++) {
            const int64_t step = (int64_t)(row[hull[at + 1]].bytes - row[hull[at]].bytes);
            if (step > slack)
                break;
            slack -= step;
        }
        a->chosen[i] = hull[at];
    }
    return slack;
}

/* Chooses the first (least bytes) or the last (least cost) of each list. */
static void choose_ends(allocator *a, bool last)
{
    for (uint64_t i = 0; i < a->count; i++)
        a->chosen[i] = a->order[i * a->types + (last ? a->n[i] - 1 : 0)];
}

static void sum_up(const allocator *a, lort_allocation *out)
{
    out->bytes = 0;
    out->cost = 0;
    for (uint64_t i = 0; i < a->count; i++) {
        const lort_choice *choice = &choices_of(a, i)[a->chosen[i]];
        out->bytes += choice->bytes;
        out->cost += choice->cost;
    }
}

/* Lists useful types. *most: the bytes of the least cost. */
static lort_code list_all(allocator *a, uint64_t *least, uint64_t *most, lort_error *err)
{
    *least = *most = 0;
    for (uint64_t i = 0; i < a->count; i++) {
        const lort_choice *row = choices_of(a, i);
        uint8_t *order = a->order + i * a->types;
        a->n[i] = list_types(row, a->types, order);
        if (a->n[i] == 0)
            return lort_fail(err, LORT_E_INTERNAL, "tensor %llu of the allocation has no type",
                             (unsigned long long)i);
        a->n_hull[i] = list_hull(row, order, a->n[i], a->hull + i * a->types);
        *least += row[order[0]].bytes;
        const uint64_t bytes = row[order[a->n[i] - 1]].bytes;
        if (bytes > INT64_MAX - *most)
            return lort_fail(err, LORT_E_INTERNAL, "the types of all tensors take 2^63 bytes");
        *most += bytes;
    }
    return LORT_OK;
}

/* The price and the exchanges, where neither end of the lists will do. */
static lort_code choose_between(allocator *a, const lort_alloc *alloc, lort_allocation *out,
                                lort_error *err)
{
    double below, gap = 0, scale = 0;
    const double price = find_price(a, &below);
    const int64_t slack = choose_by_price(a, price, below);
    const lort_menu menu = {a->choices, a->count, a->types, a->order, a->n};
    for (uint64_t i = 0; i < a->count; i++)
        scale += fabs(choices_of(a, i)[a->chosen[i]].cost);
    const lort_code code =
        lort_exchange(alloc, &menu, price, slack, NOISE * scale, a->chosen, &gap, err);
    if (code != LORT_OK)
        return code;
    sum_up(a, out);
    out->bound = out->cost - gap;
    out->state = gap > 0 ? LORT_ALLOCATION_NEAR : LORT_ALLOCATION_BEST;
    return LORT_OK;
}

static lort_code choose_all(allocator *a, const lort_alloc *alloc, lort_allocation *out,
                            lort_error *err)
{
    uint64_t least, most;
    lort_code code = list_all(a, &least, &most, err);
    if (code != LORT_OK)
        return code;
    if (least <= a->budget && most > a->budget) {
        code = choose_between(a, alloc, out, err);
    } else {
        choose_ends(a, most <= a->budget);
        sum_up(a, out);
        out->bound = out->cost;
        out->state = least > a->budget ? LORT_ALLOCATION_TOO_SMALL : LORT_ALLOCATION_BEST;
    }
    out->smallest = least;
    return code;
}

lort_code lort_allocate(const lort_alloc *alloc, const lort_choice *choices, uint64_t count,
                        uint32_t types, uint64_t budget, uint8_t *chosen, lort_allocation *out,
                        lort_error *err)
{
    allocator a = {.choices = choices, .count = count, .budget = budget, .types = types};
    void *memory = NULL;
    *out = (lort_allocation){.state = LORT_ALLOCATION_TOO_SMALL};
    if (types == 0 || types > LORT_ALLOCATE_TYPES)
        return lort_fail(err, LORT_E_INTERNAL, "%u types in an allocation (allowed: 1 to %u)",
                         types, LORT_ALLOCATE_TYPES);
    const uint64_t bytes = count * (2 * (uint64_t)types + 2);
    lort_code code = lort_take(alloc, bytes, "the types of tensors", &memory, err);
    if (code != LORT_OK)
        return code;
    a.order = memory;
    a.hull = a.order + count * types;
    a.n = a.hull + count * types;
    a.n_hull = a.n + count;
    a.chosen = chosen;
    code = choose_all(&a, alloc, out, err);
    if (code != LORT_OK)
        *out = (lort_allocation){.state = LORT_ALLOCATION_TOO_SMALL};
    lort_give(alloc, memory, bytes);
    return code;
}
