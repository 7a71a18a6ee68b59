/* budget: counts with atomics only. While somebody asks for memory, it takes no lock. */
#include "loader/machine/budget.h"

#include "formats/base/text.h"
#include "loader/machine/memory.h"
#include "loader/os/os.h"
#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Under the address sanitizer every block comes from the heap: the heap has red zones, and the
 * sanitizer finds leaks there. */
#if defined(__SANITIZE_ADDRESS__)
#define PAGES_FROM SIZE_MAX
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PAGES_FROM SIZE_MAX
#endif
#endif
#ifndef PAGES_FROM
#define PAGES_FROM ((size_t)64 << 10)
#endif
#define ALIGNMENT 64 /* of lort_os_aligned */

struct lort_budget {
    _Atomic uint64_t limit, used, peak;
    lort_alloc alloc;
};

/* What a block costs: its bytes, rounded up to whole pages or to alignment units. */
static size_t cost_of(size_t bytes)
{
    size_t unit = bytes >= PAGES_FROM ? (size_t)lort_os_page_size() : ALIGNMENT;
    return bytes > SIZE_MAX - unit ? SIZE_MAX : (bytes + unit - 1) / unit * unit;
}

static bool book_bytes(lort_budget *budget, uint64_t bytes)
{
    uint64_t used = atomic_load(&budget->used), limit = atomic_load(&budget->limit);
    do
        if (used > limit || bytes > limit - used)
            return false;
    while (!atomic_compare_exchange_weak(&budget->used, &used, used + bytes));
    uint64_t peak = atomic_load(&budget->peak);
    while (peak < used + bytes && !atomic_compare_exchange_weak(&budget->peak, &peak, used + bytes))
        ;
    return true;
}

static void unbook_bytes(lort_budget *budget, uint64_t bytes)
{
    uint64_t used = atomic_fetch_sub(&budget->used, bytes);
    assert(used >= bytes);
    (void)used;
}

static void *take_booked(void *ctx, size_t bytes)
{
    lort_budget *budget = ctx;
    size_t size = cost_of(bytes);
    if (size == SIZE_MAX || !book_bytes(budget, size))
        return NULL;
    void *memory = bytes >= PAGES_FROM ? lort_os_pages(size) : lort_os_aligned(size);
    if (!memory)
        unbook_bytes(budget, size);
    return memory;
}

static void give_booked(void *ctx, void *memory, size_t bytes)
{
    if (!memory)
        return;
    if (bytes >= PAGES_FROM)
        lort_os_pages_free(memory, cost_of(bytes));
    else
        lort_os_aligned_free(memory);
    unbook_bytes(ctx, cost_of(bytes));
}

lort_code lort_budget_open(uint64_t limit_bytes, lort_budget **out, lort_error *err)
{
    lort_budget *budget = malloc(sizeof *budget);
    *out = budget;
    if (!budget)
        return lort_fail(err, LORT_E_MEMORY, "no memory for the memory budget");
    atomic_init(&budget->limit, limit_bytes);
    atomic_init(&budget->used, 0);
    atomic_init(&budget->peak, 0);
    budget->alloc = (lort_alloc){.take = take_booked, .give = give_booked, .ctx = budget};
    return LORT_OK;
}

void lort_budget_close(lort_budget *budget)
{
    if (!budget)
        return;
    assert(atomic_load(&budget->used) == 0);
    free(budget);
}

const lort_alloc *lort_budget_alloc(lort_budget *budget) { return &budget->alloc; }

lort_code lort_budget_reserve(lort_budget *budget, uint64_t bytes, const char *what,
                              lort_error *err)
{
    char need[32], limit[32], used[32];
    if (book_bytes(budget, bytes))
        return LORT_OK;
    return lort_fail(err, LORT_E_MEMORY,
                     "%s needs %s (%" PRIu64 " bytes); the memory budget is %s, %s of it in use",
                     what, lort_size_text(bytes, need, sizeof need), bytes,
                     lort_size_text(atomic_load(&budget->limit), limit, sizeof limit),
                     lort_size_text(atomic_load(&budget->used), used, sizeof used));
}

void lort_budget_release(lort_budget *budget, uint64_t bytes) { unbook_bytes(budget, bytes); }
void lort_budget_limit(lort_budget *budget, uint64_t limit_bytes)
{
    atomic_store(&budget->limit, limit_bytes);
}
uint64_t lort_budget_used(lort_budget *budget) { return atomic_load(&budget->used); }
uint64_t lort_budget_peak(lort_budget *budget) { return atomic_load(&budget->peak); }
