/* Shares of a target size: one relative error for all slices, never more bytes than wished, and the
 * same whatever the machine. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/write/shares.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_run.h"

#include <math.h>

/* Elements are those of all tensors, the kept vector among them. */
#define ELEMENTS (192 * 128 + 384 * 128 + 2 * 128 * 128 + 128)

static char dir[32];
static const tiny_tensor tensors[] = {
    TINY("blk.0.ffn_up.weight", "F32", 192, 128),
    TINY("blk.1.ffn_up.weight", "F32", 384, 128),
    TINY("blk.1.ffn_up_exps.weight", "F32", 2, 128, 128),
    TINY("norm.weight", "F32", 128),
};

static int set_up(void **state)
{
    tiny_dir(dir);
    tiny_safetensors(dir, "m.safetensors", tensors, 4);
    return 0;
}

static int tear_down(void **state)
{
    tiny_remove(dir);
    return 0;
}

/* A run whose plan is made and whose shares are not. */
static void start(tiny_run *run, lort_goal goal, double value, lort_mode mode, unsigned threads)
{
    tiny_run_open(run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, threads);
    run->options.residual = LORT_RESIDUAL_INT;
    run->options.goal = goal;
    run->options.mode = mode;
    if (goal == LORT_GOAL_BPW)
        run->options.value = value;
    else
        run->options.size_bytes = (uint64_t)value;
    tiny_run_start(run);
}

static lort_code allocate(tiny_run *run)
{
    return lort_shares_give(&run->decider, &run->plan, &run->err);
}

static void start_and_allocate(tiny_run *run, lort_goal goal, double value, lort_mode mode,
                               unsigned threads)
{
    start(run, goal, value, mode, threads);
    tiny_ok(allocate(run), &run->err);
}

/* The shares of a matrix, one per slice. */
static const lort_share *shares_of(const tiny_run *run, const char *name)
{
    const lort_share *shares = tiny_run_planned(run, name)->shares;
    assert_non_null(shares);
    return shares;
}

static uint64_t shared_bytes(const tiny_run *run)
{
    const lort_share *experts = shares_of(run, "blk.1.ffn_up_exps.weight");
    return shares_of(run, "blk.0.ffn_up.weight")->bytes +
           shares_of(run, "blk.1.ffn_up.weight")->bytes + experts[0].bytes + experts[1].bytes;
}

static void one_error_for_all_slices(void **state)
{
    tiny_run run;
    start_and_allocate(&run, LORT_GOAL_BPW, 4, LORT_MODE_FULL, 2);
    const lort_share *experts = shares_of(&run, "blk.1.ffn_up_exps.weight"),
                     *up = shares_of(&run, "blk.1.ffn_up.weight");
    /* entropy-coded noise: at least 2^-4 for 4 bits, by theory; scalar quantisers lose 1.53 dB
     * (1.193), records and the kept vector a little more */
    if (!(up->error > 0.0625 && up->error < 0.0625 * 1.193 * 1.05))
        fail_msg("error %g at 4 bits", up->error);
    assert_true(shares_of(&run, "blk.0.ffn_up.weight")->error == up->error);
    assert_true(experts[0].error == experts[1].error);
    assert_null(tiny_run_planned(&run, "norm.weight")->shares); /* it is kept */
    tiny_run_close(&run);
}

/* The noise of all matrices is alike, so bytes go by weights. */
static void bytes_go_by_weights(void **state)
{
    tiny_run run;
    start_and_allocate(&run, LORT_GOAL_BPW, 4, LORT_MODE_FULL, 1);
    const double small = (double)shares_of(&run, "blk.0.ffn_up.weight")->bytes,
                 large = (double)shares_of(&run, "blk.1.ffn_up.weight")->bytes;
    if (fabs(large / small - 2) > 0.05)
        fail_msg("%g bytes and %g for twice the weights", small, large);
    tiny_run_close(&run);
}

static void the_target_is_nearly_spent_and_never_exceeded(void **state)
{
    static const double bits[] = {3, 4, 6, 9};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        tiny_run run;
        start_and_allocate(&run, LORT_GOAL_BPW, bits[i], LORT_MODE_FULL, 2);
        const double target = bits[i] * ELEMENTS / 8, shared = (double)shared_bytes(&run);
        if (!(shared < target && shared > 0.9 * target))
            fail_msg("%g of %g bytes are shared", shared, target);
        tiny_run_close(&run);
    }
}

static void more_bits_are_a_smaller_error(void **state)
{
    double before = 1;
    for (double bits = 2; bits <= 8; bits += 2) {
        tiny_run run;
        start_and_allocate(&run, LORT_GOAL_BPW, bits, LORT_MODE_FULL, 2);
        const double error = shares_of(&run, "blk.1.ffn_up.weight")->error;
        if (!(error < before / 2)) /* two bits more: an error of a quarter, by theory */
            fail_msg("error %g at %g bits, %g at two bits less", error, bits, before);
        before = error;
        tiny_run_close(&run);
    }
}

static void shares_are_the_same_on_every_machine(void **state)
{
    tiny_run first;
    start_and_allocate(&first, LORT_GOAL_BPW, 5, LORT_MODE_FULL, 1);
    for (unsigned threads = 1; threads <= 3; threads += 2)
        for (int stream = 0; stream < 2; stream++) {
            tiny_run run;
            start_and_allocate(&run, LORT_GOAL_BPW, 5, stream ? LORT_MODE_STREAM : LORT_MODE_FULL,
                               threads);
            assert_int_equal(run.plan.share_count, first.plan.share_count);
            for (uint64_t i = 0; i < run.plan.share_count; i++) {
                assert_true(run.plan.shares[i].error == first.plan.shares[i].error);
                assert_int_equal(run.plan.shares[i].bytes, first.plan.shares[i].bytes);
            }
            tiny_run_close(&run);
        }
    tiny_run_close(&first);
}

static void a_size_is_of_the_whole_output(void **state)
{
    tiny_run run;
    start_and_allocate(&run, LORT_GOAL_SIZE, 60000, LORT_MODE_FULL, 2);
    assert_int_equal(run.plan.size_limit, 60000);
    /* the kept vector and the records take the rest */
    assert_in_range(shared_bytes(&run), 55000, 59999);
    tiny_run_close(&run);
    start_and_allocate(&run, LORT_GOAL_BPW, 4, LORT_MODE_FULL, 2);
    assert_int_equal(run.plan.size_limit, 0);
    tiny_run_close(&run);
}

/* The smallest size that is said can be had. It has some bytes to spare for each extent, and less
 * than that cannot be had. */
static void what_is_out_of_reach_is_refused(void **state)
{
    tiny_run run;
    start(&run, LORT_GOAL_SIZE, 10000, LORT_MODE_FULL, 2);
    assert_int_equal(allocate(&run), LORT_E_NUMERIC);
    tiny_says(run.err.message, "10000 bytes cannot be reached: the smallest size is ");
    const double least = atof(strrchr(run.err.message, ' ') + 1);
    assert_true(least > 10000);
    const double spare = 100 + 20 * (double)run.plan.count;
    tiny_run_close(&run);
    start_and_allocate(&run, LORT_GOAL_SIZE, least, LORT_MODE_FULL, 2);
    tiny_run_close(&run);
    start(&run, LORT_GOAL_SIZE, least - spare, LORT_MODE_FULL, 2);
    assert_int_equal(allocate(&run), LORT_E_NUMERIC);
    tiny_run_close(&run);
    start(&run, LORT_GOAL_BPW, 0.01, LORT_MODE_FULL, 2);
    assert_int_equal(allocate(&run), LORT_E_NUMERIC);
    tiny_says(run.err.message, "0.01 bits per weight cannot be reached: the smallest is ");
    tiny_run_close(&run);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_error_for_all_slices),
        TEST(bytes_go_by_weights),
        TEST(the_target_is_nearly_spent_and_never_exceeded),
        TEST(more_bits_are_a_smaller_error),
        TEST(shares_are_the_same_on_every_machine),
        TEST(a_size_is_of_the_whole_output),
        TEST(what_is_out_of_reach_is_refused),
    };
    return run_chosen(tests, NULL, NULL);
}
