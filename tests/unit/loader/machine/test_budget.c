/* budget: grants, counts and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/machine/budget.h"
#include "loader/machine/pool.h"
#include "loader/os/os.h"
#include "tests/unit/main.h"
#include <string.h>

static lort_budget *open_budget(uint64_t limit)
{
    lort_budget *budget = NULL;
    assert_int_equal(lort_budget_open(limit, &budget, NULL), LORT_OK);
    return budget;
}

static void blocks_are_aligned_counted_and_returned(void **state)
{
    static const size_t sizes[] = {1, 63, 64, 65, 4096, 65535, 65536, 65537, 1 << 20};
    lort_budget *budget = open_budget(UINT64_MAX);
    const lort_alloc *alloc = lort_budget_alloc(budget);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *block = alloc->take(alloc->ctx, sizes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        memset(block, 0xA5, sizes[i]);
        assert_in_range(lort_budget_used(budget), sizes[i], sizes[i] + 4096);
        alloc->give(alloc->ctx, block, sizes[i]);
        assert_int_equal(lort_budget_used(budget), 0);
    }
    assert_in_range(lort_budget_peak(budget), 1 << 20, (1 << 20) + 4096);
    assert_null(alloc->take(alloc->ctx, SIZE_MAX));
#if !defined(__SANITIZE_ADDRESS__) /* the sanitizer would stop the test here */
    /* The budget grants this; the system refuses it. */
    assert_null(alloc->take(alloc->ctx, (size_t)1 << 62));
#endif
    assert_int_equal(lort_budget_used(budget), 0);
    lort_budget_close(budget);
    lort_budget_close(NULL);
}

static void the_limit_is_never_passed(void **state)
{
    lort_budget *budget = open_budget(1 << 20);
    const lort_alloc *alloc = lort_budget_alloc(budget);
    lort_error err = {0};
    void *all = alloc->take(alloc->ctx, 1 << 20), *more = NULL;
    assert_non_null(all);
    assert_null(alloc->take(alloc->ctx, 1));
    assert_null(alloc->take(alloc->ctx, SIZE_MAX));
    assert_null(alloc->take(alloc->ctx, SIZE_MAX - 100));
    assert_int_equal(lort_take(alloc, 100, "a test block", &more, &err), LORT_E_MEMORY);
    assert_null(more);
    assert_non_null(strstr(err.message, "a test block"));
    assert_int_equal(lort_budget_used(budget), 1 << 20);

    lort_budget_limit(budget, 2 << 20);
    more = alloc->take(alloc->ctx, 1000);
    assert_non_null(more);
    lort_budget_limit(budget, 4096); /* less than is taken: no more takes, but nothing breaks */
    assert_null(alloc->take(alloc->ctx, 1));
    alloc->give(alloc->ctx, all, 1 << 20);
    alloc->give(alloc->ctx, more, 1000);
    assert_int_equal(lort_budget_used(budget), 0);
    lort_budget_close(budget);
}

static void reserved_bytes_count(void **state)
{
    lort_budget *budget = open_budget(10 << 20);
    lort_error err = {0};
    assert_int_equal(lort_budget_reserve(budget, 8 << 20, "OpenBLAS", &err), LORT_OK);
    assert_int_equal(lort_budget_reserve(budget, 4 << 20, "zstd", &err), LORT_E_MEMORY);
    assert_string_equal(
        err.message,
        "zstd needs 4 MiB (4194304 bytes); the memory budget is 10 MiB, 8 MiB of it in use");
    assert_int_equal(lort_budget_reserve(budget, UINT64_MAX, "all", NULL), LORT_E_MEMORY);
    assert_null(lort_budget_alloc(budget)->take(lort_budget_alloc(budget)->ctx, 3 << 20));
    lort_budget_release(budget, 8 << 20);
    assert_int_equal(lort_budget_used(budget), 0);
    assert_int_equal(lort_budget_peak(budget), 8 << 20);
    lort_budget_close(budget);
}

/* The bytes of a large block leave the process when the block is given back. */
static void pages_go_back_to_the_system(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    print_message("skipped: the address sanitizer keeps freed blocks\n");
    skip();
#endif
    const size_t bytes = 48u << 20;
    lort_process_memory before, during, after;
    lort_os_process_memory(&before);
    if (before.rss_bytes == 0) {
        print_message("skipped: no /proc\n");
        skip();
    }
    lort_budget *budget = open_budget(UINT64_MAX);
    const lort_alloc *alloc = lort_budget_alloc(budget);
    lort_os_process_memory(&before);
    unsigned char *block = alloc->take(alloc->ctx, bytes);
    assert_non_null(block);
    memset(block, 1, bytes);
    lort_os_process_memory(&during);
    alloc->give(alloc->ctx, block, bytes);
    lort_os_process_memory(&after);
    assert_true(during.anon_bytes >= before.anon_bytes + bytes * 9 / 10);
    assert_true(after.anon_bytes + bytes * 9 / 10 <= during.anon_bytes);
    assert_true(after.peak_rss_bytes >= bytes);
    lort_budget_close(budget);
}

static lort_code churn(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    lort_budget *budget = ctx;
    const lort_alloc *alloc = lort_budget_alloc(budget);
    for (int i = 0; i < 200; i++) {
        size_t bytes = (size_t)(item * 37 + i * 991) % 90000 + 1;
        unsigned char *block = alloc->take(alloc->ctx, bytes);
        if (block) {
            block[0] = block[bytes - 1] = 1;
            alloc->give(alloc->ctx, block, bytes);
        }
        if (lort_budget_used(budget) > 200000)
            return lort_fail(err, LORT_E_MEMORY, "limit passed");
    }
    return LORT_OK;
}

static void threads_share_the_ledger(void **state)
{
    lort_budget *budget = open_budget(200000);
    lort_pool *pool = NULL;
    assert_int_equal(lort_pool_open(4, &pool, NULL, NULL), LORT_OK);
    assert_int_equal(lort_pool_each(pool, 40, churn, budget, NULL), LORT_OK);
    assert_int_equal(lort_budget_used(budget), 0);
    assert_true(lort_budget_peak(budget) <= 200000);
    lort_pool_close(pool);
    lort_budget_close(budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_counted_and_returned),
        cmocka_unit_test(the_limit_is_never_passed),
        cmocka_unit_test(reserved_bytes_count),
        cmocka_unit_test(pages_go_back_to_the_system),
        cmocka_unit_test(threads_share_the_ledger),
    };
    return run_chosen(tests, NULL, NULL);
}
