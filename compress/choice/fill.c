/* fill: see fill.h. Column j of the table stands for j units of bytes above the least there is. */
#include "compress/choice/fill.h"
#include "formats/base/bytes.h"
#include <math.h>
#include <string.h>

#define COLUMNS_MOST (UINT64_C(1) << 18)
#define CELLS_MOST (UINT64_C(1) << 24)

typedef struct table {
    const lort_choice *choices;
    uint64_t count, unit, columns;
    uint32_t types;
    double *now, *next; /* [columns]: least cost of j units */
    uint8_t *picks;     /* [count][columns] */
} table;

static uint64_t least_bytes(const table *t, uint64_t tensor)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t k = 0; k < t->types; k++) {
        const lort_choice *choice = &t->choices[tensor * t->types + k];
        if (isfinite(choice->cost) && choice->bytes < least)
            least = choice->bytes;
    }
    return least;
}

/* Chooses the unit: what all steps of bytes are multiples of, or more where the table would be too
 * large. room: bytes above the least. */
static void choose_unit(table *t, uint64_t room)
{
    for (uint64_t i = 0; i < t->count; i++) {
        const uint64_t least = least_bytes(t, i);
        for (uint32_t k = 0; k < t->types; k++)
            if (isfinite(t->choices[i * t->types + k].cost))
                t->unit = lort_gcd(t->unit, t->choices[i * t->types + k].bytes - least);
    }
    if (t->unit == 0)
        t->unit = 1;
    while (room / t->unit >= COLUMNS_MOST || (room / t->unit + 1) > CELLS_MOST / t->count)
        t->unit *= 2;
    t->columns = room / t->unit + 1;
}

/* Units of a type of a tensor, rounded up. */
static uint64_t units_of(const table *t, uint64_t tensor, uint32_t type, uint64_t least)
{
    const uint64_t bytes = t->choices[tensor * t->types + type].bytes - least;
    return bytes / t->unit + (bytes % t->unit != 0);
}

static void add_tensor(table *t, uint64_t tensor)
{
    const uint64_t least = least_bytes(t, tensor);
    for (uint64_t j = 0; j < t->columns; j++)
        t->next[j] = INFINITY;
    for (uint32_t k = 0; k < t->types; k++) {
        const double cost = t->choices[tensor * t->types + k].cost;
        if (!isfinite(cost))
            continue;
        for (uint64_t units = units_of(t, tensor, k, least), j = units; j < t->columns; j++)
            if (t->now[j - units] + cost < t->next[j]) {
                t->next[j] = t->now[j - units] + cost;
                t->picks[tensor * t->columns + j] = (uint8_t)k;
            }
    }
    double *done = t->now;
    t->now = t->next;
    t->next = done;
}

/* Puts the choice of a column into picks of row 0 .. count: chosen[i] = first byte of row i. */
static void go_back(table *t, uint64_t column)
{
    for (uint64_t i = t->count; i-- > 0;) {
        const uint8_t pick = t->picks[i * t->columns + column];
        column -= units_of(t, i, pick, least_bytes(t, i));
        t->picks[i * t->columns] = pick;
    }
}

/* Takes the choice if its bytes are as wished. */
static bool accept(const table *t, uint64_t least, uint64_t budget, uint8_t *chosen,
                   lort_allocation *out)
{
    uint64_t bytes = 0;
    double cost = 0;
    for (uint64_t i = 0; i < t->count; i++) {
        const lort_choice *choice = &t->choices[i * t->types + t->picks[i * t->columns]];
        bytes += choice->bytes;
        cost += choice->cost;
    }
    if (bytes < least || bytes > budget)
        return false;
    for (uint64_t i = 0; i < t->count; i++)
        chosen[i] = t->picks[i * t->columns];
    out->bytes = bytes;
    out->cost = cost;
    return true;
}

static bool search_table(table *t, uint64_t first)
{
    uint64_t best = t->columns;
    for (uint64_t j = 0; j < t->columns; j++)
        t->now[j] = j ? INFINITY : 0;
    for (uint64_t i = 0; i < t->count; i++)
        add_tensor(t, i);
    for (uint64_t j = first; j < t->columns; j++)
        if (isfinite(t->now[j]) && (best == t->columns || t->now[j] < t->now[best]))
            best = j;
    if (best < t->columns)
        go_back(t, best);
    return best < t->columns;
}

lort_code lort_allocate_fill(const lort_alloc *alloc, const lort_choice *choices, uint64_t count,
                             uint32_t types, uint64_t least, uint64_t budget, uint8_t *chosen,
                             lort_allocation *out, bool *filled, lort_error *err)
{
    table t = {.choices = choices, .count = count, .types = types};
    void *memory = NULL;
    *filled = false;
    if (out->state == LORT_ALLOCATION_TOO_SMALL || out->bytes >= least || least > budget ||
        count == 0 || count > COLUMNS_MOST)
        return LORT_OK;
    choose_unit(&t, budget - out->smallest);
    const uint64_t bytes = t.columns * (2 * sizeof(double) + count);
    const lort_code code = lort_take(alloc, bytes, "the table of an allocation", &memory, err);
    if (code != LORT_OK)
        return code;
    t.now = memory;
    t.next = t.now + t.columns;
    t.picks = (uint8_t *)(t.next + t.columns);
    const uint64_t short_of = least - out->smallest;
    if (search_table(&t, short_of / t.unit + (short_of % t.unit != 0)))
        *filled = accept(&t, least, budget, chosen, out);
    lort_give(alloc, memory, bytes);
    return LORT_OK;
}
