/* exchange: see exchange.h. All figures are differences from the first choice.
 *
 *   loss of a type      = cost + price x bytes, at least 0
 *   excess of a choice  = sum of losses + price x slack = sum of costs + price x first slack
 *   bound of a state    = losses + the least that its slack still costs
 *
 * A state that has slack s can leave it (price per byte) or change it (at least the rate of the
 * tensors that are left). States with a bound above the gap are dropped. */
#include "compress/choice/exchange.h"
#include "formats/base/bytes.h"
#include "formats/base/sort.h"
#include <math.h>

#define STATES_MOST (UINT64_C(1) << 16)
#define STATES_CUT (UINT64_C(1) << 12) /* once the search is cut */
#define STEPS_MOST (UINT64_C(1) << 25) /* half a second */
#define NODES_OF_BLOCK (UINT32_C(1) << 16)
#define BLOCKS_MOST 16u
#define EQUAL (1 + 1e-9) /* a bound this close to the gap is no reason to drop a state */
#define ROUNDS 4

typedef struct state {
    int64_t slack;
    double cost, loss;
    uint32_t node;
} state;

typedef struct node {
    uint32_t parent, tensor; /* parent: its number + 1; 0: none */
    uint8_t type;
} node;

/* A tensor in the order of the search. */
typedef struct place {
    double rate; /* the least loss per byte by which it can change its bytes */
    uint32_t tensor;
} place;

/* A change of one tensor. */
typedef struct change {
    int64_t bytes;
    double cost, loss;
    uint8_t type;
} change;

typedef struct list {
    state *states;
    uint64_t count, capacity;
} list;

typedef struct search {
    const lort_alloc *alloc;
    const lort_menu *menu;
    double price, noise, gap;
    const uint8_t *chosen;
    int64_t slack; /* of the first choice, as far as changes can fill it */
    state best;
    place *places;
    uint64_t n_places;
    list now, next;
    node *blocks[BLOCKS_MOST];
    uint32_t n_nodes;
    uint64_t steps;
    /* Once there were too many states: the largest slack of a state, up or down, and the slack that
     * states share of which one is kept. Before: INT64_MAX and 0. */
    int64_t window, width;
    bool is_cut;  /* some states were dropped, so the best may be missed */
    bool is_full; /* no more nodes or steps: the search ends */
} search;

/* Puts the changes of a tensor whose loss is at most the gap into changes[]. */
static uint32_t list_changes(const search *s, uint64_t tensor, change *changes)
{
    const lort_menu *menu = s->menu;
    const lort_choice *row = menu->choices + tensor * menu->types;
    const uint8_t *order = menu->order + tensor * menu->types;
    const lort_choice *first = &row[s->chosen[tensor]];
    uint32_t n = 0;
    for (uint32_t i = 0; i < menu->n[tensor]; i++) {
        const lort_choice *to = &row[order[i]];
        const int64_t bytes = (int64_t)to->bytes - (int64_t)first->bytes;
        const double cost = to->cost - first->cost, loss = cost + s->price * (double)bytes;
        if (bytes != 0 && loss <= s->gap * EQUAL)
            changes[n++] = (change){bytes, cost, loss > 0 ? loss : 0, order[i]};
    }
    return n;
}

/* Bytes change by multiples of one number only, so a part of the slack cannot be filled. Without
 * that part the gap is smaller, and fewer changes are left. */
static void trim_slack(search *s)
{
    change changes[LORT_ALLOCATE_TYPES];
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t unit = 0;
        s->gap = s->price * (double)s->slack;
        for (uint64_t i = 0; i < s->menu->count && unit != 1; i++)
            for (uint32_t k = list_changes(s, i, changes); k-- > 0;) {
                const int64_t bytes = changes[k].bytes;
                unit = lort_gcd(unit, (uint64_t)(bytes < 0 ? -bytes : bytes));
            }
        const int64_t whole = unit ? (int64_t)((uint64_t)s->slack / unit * unit) : 0;
        if (whole == s->slack)
            break;
        s->slack = whole;
    }
    s->gap = s->price * (double)s->slack;
}

static bool place_is_before(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return x->rate != y->rate ? x->rate < y->rate : x->tensor < y->tensor;
}

/* Lists the tensors that may change, by rate. */
static void list_places(search *s)
{
    change changes[LORT_ALLOCATE_TYPES];
    for (uint64_t i = 0; i < s->menu->count; i++) {
        double rate = INFINITY;
        for (uint32_t k = list_changes(s, i, changes); k-- > 0;)
            rate = fmin(rate, changes[k].loss / fabs((double)changes[k].bytes));
        if (rate < INFINITY)
            s->places[s->n_places++] = (place){rate, (uint32_t)i};
    }
    lort_sort(s->places, s->n_places, sizeof *s->places, place_is_before);
}

/* Notes a change behind `parent`. *number: of the new node, + 1. */
static lort_code add_node(search *s, uint32_t parent, uint32_t tensor, uint8_t type,
                          uint32_t *number, lort_error *err)
{
    const uint32_t block = s->n_nodes / NODES_OF_BLOCK;
    *number = 0;
    if (block == BLOCKS_MOST) {
        s->is_cut = s->is_full = true;
        return LORT_OK;
    }
    if (!s->blocks[block]) {
        void *memory = NULL;
        const lort_code code = lort_take(s->alloc, NODES_OF_BLOCK * sizeof(node),
                                         "the search of an allocation", &memory, err);
        if (code != LORT_OK)
            return code;
        s->blocks[block] = memory;
    }
    s->blocks[block][s->n_nodes % NODES_OF_BLOCK] = (node){parent, tensor, type};
    *number = ++s->n_nodes;
    return LORT_OK;
}

/* Takes a whole exchange as the best, if it is. */
static void note_best(search *s, const state *found)
{
    if (found->slack < 0 || found->cost > s->best.cost ||
        (found->cost == s->best.cost && found->slack <= s->best.slack))
        return;
    s->best = *found;
    s->gap = fmax(0, found->cost + s->price * (double)s->slack);
}

/* A first exchange: each tensor in turn takes what saves most and fits. */
static lort_code fill_greedily(search *s, lort_error *err)
{
    change changes[LORT_ALLOCATE_TYPES];
    state filled = {.slack = s->slack};
    for (uint64_t i = 0; i < s->n_places && filled.slack > 0 && !s->is_full; i++) {
        const change *most = NULL;
        for (uint32_t k = list_changes(s, s->places[i].tensor, changes); k-- > 0;)
            if (changes[k].bytes > 0 && changes[k].bytes <= filled.slack &&
                (!most || changes[k].cost < most->cost))
                most = &changes[k];
        if (!most)
            continue;
        const lort_code code =
            add_node(s, filled.node, s->places[i].tensor, most->type, &filled.node, err);
        if (code != LORT_OK)
            return code;
        filled.slack -= most->bytes;
        filled.cost += most->cost;
    }
    if (!s->is_full)
        note_best(s, &filled);
    return LORT_OK;
}

/* The least excess of all exchanges that begin with this state. rate: of the tensors that are
 * left. */
static double bound_of(const search *s, const state *at, double rate)
{
    if (at->slack < 0)
        return at->loss - (double)at->slack * rate;
    return at->loss + (double)at->slack * fmin(rate, s->price);
}

static lort_code reserve(search *s, list *l, uint64_t count, lort_error *err)
{
    void *memory = NULL;
    if (count <= l->capacity)
        return LORT_OK;
    uint64_t capacity = l->capacity ? l->capacity : 256;
    while (capacity < count)
        capacity *= 2;
    const lort_code code =
        lort_take(s->alloc, capacity * sizeof(state), "the search of an allocation", &memory, err);
    if (code != LORT_OK)
        return code;
    lort_give(s->alloc, l->states, l->capacity * sizeof(state));
    *l = (list){memory, 0, capacity};
    return LORT_OK;
}

/* The lists that are merged: one for each change of a tensor, the first without a change. */
typedef struct merge {
    change changes[LORT_ALLOCATE_TYPES + 1];
    uint64_t at[LORT_ALLOCATE_TYPES + 1];
    uint32_t n, tensor;
} merge;

static state changed(const state *from, const change *by)
{
    return (state){from->slack - by->bytes, from->cost + by->cost, from->loss + by->loss,
                   from->node};
}

/* The next state of all lists: most slack, then least cost, then the first. Returns the number of
 * its change, or n behind the last state. */
static uint32_t next_state(const search *s, merge *m, state *out)
{
    uint32_t found = m->n;
    for (uint32_t k = 0; k < m->n; k++) {
        if (m->at[k] == s->now.count)
            continue;
        const state candidate = changed(&s->now.states[m->at[k]], &m->changes[k]);
        if (found == m->n || candidate.slack > out->slack ||
            (candidate.slack == out->slack && candidate.cost < out->cost)) {
            *out = candidate;
            found = k;
        }
    }
    if (found < m->n)
        m->at[found]++;
    return found;
}

static bool is_outside(const search *s, const state *at)
{
    return at->slack > s->window || at->slack < -s->window;
}

/* The last state of the next list if only one of it and `at` is kept, or NULL. */
static state *rival_of(search *s, const state *at)
{
    state *last = s->next.count ? &s->next.states[s->next.count - 1] : NULL;
    return last && s->width && last->slack / s->width == at->slack / s->width ? last : NULL;
}

/* Adds a state to the next list, unless it is dropped. */
static void append(search *s, const state *at)
{
    state *rival = rival_of(s, at);
    if (is_outside(s, at))
        return;
    if (!rival)
        s->next.states[s->next.count++] = *at;
    else if (at->loss < rival->loss)
        *rival = *at;
}

/* There are too many states: from now on keeps only some. Exchanges can be ordered so that their
 * slack stays within the largest change, so that is the window. */
static void narrow(search *s)
{
    change changes[LORT_ALLOCATE_TYPES];
    const uint64_t count = s->next.count;
    s->is_cut = true;
    s->window = 1;
    for (uint64_t i = 0; i < s->n_places; i++)
        for (uint32_t k = list_changes(s, s->places[i].tensor, changes); k-- > 0;) {
            const int64_t bytes = changes[k].bytes < 0 ? -changes[k].bytes : changes[k].bytes;
            s->window = bytes > s->window ? bytes : s->window;
        }
    s->width = s->window / (STATES_CUT / 2) + 1;
    s->next.count = 0;
    for (uint64_t i = 0; i < count; i++) {
        const state at = s->next.states[i];
        append(s, &at);
    }
}

/* Adds a state that change k made to the next list. */
static lort_code keep_state(search *s, const merge *m, uint32_t k, state *at, lort_error *err)
{
    if (s->next.count == STATES_MOST)
        narrow(s);
    if (k > 0) {
        const lort_code code = add_node(s, at->node, m->tensor, m->changes[k].type, &at->node, err);
        if (code != LORT_OK || s->is_full)
            return code;
    }
    note_best(s, at);
    append(s, at);
    return LORT_OK;
}

/* Whether a state may become, or is, the best. */
static bool is_of_use(search *s, const state *at, double rate)
{
    if (at->slack >= 0 && at->cost <= s->best.cost)
        return true;
    if (is_outside(s, at) || bound_of(s, at, rate) > s->gap * EQUAL)
        return false;
    const state *rival = rival_of(s, at);
    return !rival || at->loss < rival->loss;
}

/* Merges the lists of one tensor into s->next. */
static lort_code merge_lists(search *s, merge *m, double rate, lort_error *err)
{
    double least = INFINITY;
    state at = {0};
    s->next.count = 0;
    for (uint32_t k; !s->is_full && (k = next_state(s, m, &at)) < m->n;) {
        if (at.cost >= least)
            continue;
        least = at.cost;
        if (!is_of_use(s, &at, rate))
            continue;
        const lort_code code = keep_state(s, m, k, &at, err);
        if (code != LORT_OK)
            return code;
    }
    return LORT_OK;
}

/* Extends all states by one tensor. rate: of the tensors behind it. */
static lort_code extend(search *s, uint32_t tensor, double rate, lort_error *err)
{
    merge m = {.tensor = tensor};
    m.n = 1 + list_changes(s, tensor, m.changes + 1);
    s->steps += s->now.count * m.n;
    if (s->steps > STEPS_MOST)
        s->is_cut = s->is_full = true;
    if (m.n == 1 || s->is_full)
        return LORT_OK;
    uint64_t count = s->now.count * m.n;
    if (count > STATES_MOST)
        count = STATES_MOST;
    lort_code code = reserve(s, &s->next, count, err);
    if (code != LORT_OK)
        return code;
    code = merge_lists(s, &m, rate, err);
    const list done = s->now;
    s->now = s->next;
    s->next = done;
    return code;
}

static lort_code run(search *s, lort_error *err)
{
    lort_code code = reserve(s, &s->now, 1, err);
    if (code == LORT_OK)
        code = fill_greedily(s, err);
    if (code != LORT_OK)
        return code;
    s->now.states[0] = (state){.slack = s->slack};
    s->now.count = 1;
    for (uint64_t i = 0; i < s->n_places && s->now.count > 0; i++) {
        if (s->gap <= s->noise || s->is_full)
            break;
        const double rate = i + 1 < s->n_places ? s->places[i + 1].rate : INFINITY;
        code = extend(s, s->places[i].tensor, rate, err);
        if (code != LORT_OK)
            return code;
    }
    return LORT_OK;
}

static void apply_best(const search *s, uint8_t *chosen)
{
    for (uint32_t at = s->best.node; at > 0;) {
        const node *step = &s->blocks[(at - 1) / NODES_OF_BLOCK][(at - 1) % NODES_OF_BLOCK];
        chosen[step->tensor] = step->type;
        at = step->parent;
    }
}

lort_code lort_exchange(const lort_alloc *alloc, const lort_menu *menu, double price, int64_t slack,
                        double noise, uint8_t *chosen, double *gap, lort_error *err)
{
    search s = {.alloc = alloc, .menu = menu, .price = price, .noise = noise};
    void *memory = NULL;
    s.chosen = chosen;
    s.slack = slack;
    s.window = INT64_MAX;
    *gap = 0;
    trim_slack(&s);
    s.best.slack = s.slack;
    lort_code code =
        lort_take(alloc, menu->count * sizeof(place), "the order of an allocation", &memory, err);
    if (code != LORT_OK)
        return code;
    s.places = memory;
    if (s.gap > noise) {
        list_places(&s);
        code = run(&s, err);
    }
    if (code == LORT_OK) {
        apply_best(&s, chosen);
        *gap = s.is_cut && s.gap > noise ? s.gap : 0;
    }
    for (unsigned i = 0; i < BLOCKS_MOST; i++)
        lort_give(alloc, s.blocks[i], NODES_OF_BLOCK * sizeof(node));
    lort_give(alloc, s.now.states, s.now.capacity * sizeof(state));
    lort_give(alloc, s.next.states, s.next.capacity * sizeof(state));
    lort_give(alloc, s.places, menu->count * sizeof(place));
    return code;
}
