/* Tests of held coded blocks: all blocks are held or none, and their memory is given back. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/slice/held.h"
#include "loader/machine/budget.h"
#include "tests/unit/main.h"

#include <string.h>

static const uint8_t bytes[] = "sixteen of these";

static void put(lort_held *kept, uint64_t number, uint64_t stored)
{
    const lort_block_coded coded = {
        .stored = stored, .decoded = 100 + number, .error2 = (double)number};
    const lort_weighed error = {.plain = 1, .weighed = 2};
    lort_held_put(kept, number, &coded, &error, bytes);
}

static void whole_when_all_are_there(void **state)
{
    lort_held kept;
    lort_held_open(&kept, &lort_alloc_heap, 3);
    put(&kept, 2, 16);
    put(&kept, 0, 3);
    put(&kept, 1, 1);
    put(&kept, 1, 7); /* block 1 again */
    assert_true(lort_held_whole(&kept));
    assert_int_equal(kept.blocks[1].coded.stored, 7);
    assert_int_equal(kept.blocks[2].coded.decoded, 102);
    assert_true(kept.blocks[2].error.weighed == 2);
    assert_memory_equal(kept.blocks[2].bytes, bytes, 16);
    lort_held_close(&kept);
    lort_held_close(&kept);
    assert_null(kept.blocks);
}

static void nothing_when_one_is_missing(void **state)
{
    lort_held kept;
    lort_held_open(&kept, &lort_alloc_heap, 2);
    put(&kept, 1, 16);
    assert_false(lort_held_whole(&kept));
    assert_null(kept.alloc);
    put(&kept, 0, 16); /* changes nothing */
    assert_false(lort_held_whole(&kept));
}

static void nothing_without_room(void **state)
{
    lort_held kept;
    lort_budget *budget;
    lort_held_open(&kept, NULL, 2);
    put(&kept, 0, 16);
    assert_false(lort_held_whole(&kept));
    assert_int_equal(lort_budget_open(10, &budget, NULL), LORT_OK);
    lort_held_open(&kept, lort_budget_alloc(budget), 2);
    assert_null(kept.alloc);
    lort_budget_limit(budget, 4096);
    lort_held_open(&kept, lort_budget_alloc(budget), 2);
    assert_non_null(kept.alloc);
    put(&kept, 0, 16);
    lort_budget_limit(budget, lort_budget_used(budget));
    put(&kept, 1, 16);
    assert_false(lort_held_whole(&kept));
    assert_int_equal(lort_budget_used(budget), 0);
    lort_budget_close(budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_when_all_are_there),
        cmocka_unit_test(nothing_when_one_is_missing),
        cmocka_unit_test(nothing_without_room),
    };
    return run_chosen(tests, NULL, NULL);
}
