/* Runs of tasks: they tile the extents, and an extent belongs where its middle lies. */
#include "compress/task/runs.h"
#include "tests/unit/main.h"

#define MOST 64

static lort_options options;
static const lort_tensor a_tensor;
static lort_tensor_plan tensors[MOST];
static lort_extent extents[MOST];
static lort_run runs[200];

static int set_up(void **state)
{
    (void)state;
    lort_options_init(&options);
    for (int i = 0; i < MOST; i++) {
        tensors[i] = (lort_tensor_plan){.tensor = &a_tensor, .candidate = true};
        extents[i] = (lort_extent){.bytes = 100};
    }
    return 0;
}

static void cut(uint64_t count, uint32_t tasks)
{
    const lort_work_plan plan = {.tensors = tensors, .count = count};
    lort_runs_cut(&options, &plan, extents, tasks, runs);
}

static void assert_tiles(uint64_t count, uint32_t tasks)
{
    uint64_t at = 0, bytes = 0, all = 0;
    for (uint32_t t = 0; t < tasks; t++) {
        assert_int_equal(runs[t].first, at);
        assert_true(runs[t].end >= at);
        at = runs[t].end;
        bytes += runs[t].bytes;
        assert_true((runs[t].cost == 0) == (runs[t].bytes == 0));
    }
    for (uint64_t i = 0; i < count; i++)
        all += extents[i].bytes;
    assert_int_equal(at, count);
    assert_int_equal(bytes, all);
}

static void equal_extents_are_shared_out(void **state)
{
    (void)state;
    cut(12, 4);
    assert_tiles(12, 4);
    for (uint32_t t = 0; t < 4; t++)
        assert_int_equal(runs[t].end - runs[t].first, 3);
    assert_int_equal(runs[0].cost, 3 * lort_run_cost(&options, &tensors[0], 100));
}

static void any_number_of_tasks_tiles_the_model(void **state)
{
    (void)state;
    uint64_t x = 1;
    for (uint64_t count = 1; count <= MOST; count += 9) {
        for (uint64_t i = 0; i < count; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            extents[i].bytes = x >> 40;
            tensors[i].candidate = x >> 63;
            tensors[i].same = (x >> 62) == 2;
        }
        for (uint32_t tasks = 1; tasks <= 200; tasks += 3) {
            cut(count, tasks);
            assert_tiles(count, tasks);
        }
    }
}

static void an_extent_belongs_where_its_middle_lies(void **state)
{
    (void)state;
    extents[0].bytes = 30;
    extents[1].bytes = 60; /* middle at 60 of 100: the second half */
    extents[2].bytes = 10;
    cut(3, 2);
    assert_int_equal(runs[0].end, 1);
    extents[0].bytes = 10; /* middle of the second at 40: the first half */
    extents[2].bytes = 30;
    cut(3, 2);
    assert_int_equal(runs[0].end, 2);
}

static void more_tasks_than_extents_leave_empty_runs(void **state)
{
    (void)state;
    cut(3, 7);
    assert_tiles(3, 7);
    unsigned empty = 0;
    for (int t = 0; t < 7; t++)
        empty += runs[t].first == runs[t].end;
    assert_int_equal(empty, 4);
}

static void a_kept_byte_costs_less_than_a_coded_one(void **state)
{
    (void)state;
    const uint64_t coded = lort_run_cost(&options, &tensors[0], 100);
    tensors[0].candidate = false;
    const uint64_t kept = lort_run_cost(&options, &tensors[0], 100);
    tensors[0].same = true;
    const uint64_t same = lort_run_cost(&options, &tensors[0], 100);
    tensors[1].candidate = true;
    options.goal = LORT_GOAL_RANK;
    const uint64_t factored = lort_run_cost(&options, &tensors[1], 100);
    assert_true(same < kept && kept < factored && factored < coded);
    assert_int_equal(coded % 100, 0);
}

static void sizes_beyond_64_bits_do_not_wrap(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        extents[i].bytes = UINT64_MAX / 16;
    cut(8, 3);
    assert_tiles(8, 3);
    assert_int_equal(runs[2].end, 8);
}

static void nothing_to_do_is_no_run(void **state)
{
    (void)state;
    cut(0, 3);
    assert_tiles(0, 3);
    extents[0].bytes = extents[1].bytes = 0;
    cut(2, 3);
    assert_tiles(2, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(equal_extents_are_shared_out, set_up),
        cmocka_unit_test_setup(any_number_of_tasks_tiles_the_model, set_up),
        cmocka_unit_test_setup(an_extent_belongs_where_its_middle_lies, set_up),
        cmocka_unit_test_setup(more_tasks_than_extents_leave_empty_runs, set_up),
        cmocka_unit_test_setup(a_kept_byte_costs_less_than_a_coded_one, set_up),
        cmocka_unit_test_setup(sizes_beyond_64_bits_do_not_wrap, set_up),
        cmocka_unit_test_setup(nothing_to_do_is_no_run, set_up),
    };
    return run_chosen(tests, NULL, NULL);
}
