/* How far a command says it is, on a clock that the test sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/session/meter.h"
#include "tests/unit/main.h"

#include <math.h>

#define SECOND 1000000000u
static uint64_t now;
static lort_meter meter;

static int set_up(void **state)
{
    now = 5 * (uint64_t)SECOND;
    meter = (lort_meter){0};
    lort_meter_enter(&meter, LORT_PHASE_OPENING, now);
    return 0;
}

static lort_meter_figures after(double seconds)
{
    now += (uint64_t)(seconds * SECOND);
    return lort_meter_read(&meter, now);
}

static void nothing_is_known_at_first(void **state)
{
    const lort_meter_figures f = after(1);
    assert_true(isnan(f.left) && f.share == 0 && f.bytes == 0);
}

/* 10 pieces of measuring at 1 s, 10 of writing at 3 s: costs that are right give an ETA that is. */
static void the_eta_is_of_all_phases(void **state)
{
    lort_meter_expect(&meter, LORT_PHASE_MEASURING, 1000, 5000, 10);
    lort_meter_expect(&meter, LORT_PHASE_WRITING, 3000, 5000, 10);
    lort_meter_enter(&meter, LORT_PHASE_MEASURING, now);
    for (int i = 0; i < 20; i++) {
        const lort_meter_figures f = after(i < 10 ? 1 : 3);
        const double spent = i < 10 ? i + 1 : 10 + 3 * (i - 9);
        lort_meter_done(&meter, meter.now, i < 10 ? 100 : 300, 500, 1);
        const lort_meter_figures g = after(0);
        if (fabs(g.left - (40 - spent)) > 0.01 * (40 - spent) + 0.01)
            fail_msg("after %g s: %g s are left", spent, g.left);
        assert_true(g.share >= f.share && fabs(g.share - spent / 40) < 0.01);
        if (i == 9)
            lort_meter_enter(&meter, LORT_PHASE_WRITING, now);
    }
    assert_true(fabs(after(0).rate - 5000.0 / 30) < 1);
}

/* Writing takes three times what was expected of it: the meter learns it within the phase. */
static void a_wrong_cost_is_learned(void **state)
{
    lort_meter_expect(&meter, LORT_PHASE_MEASURING, 1000, 0, 0);
    lort_meter_expect(&meter, LORT_PHASE_WRITING, 1000, 0, 0);
    lort_meter_enter(&meter, LORT_PHASE_MEASURING, now);
    lort_meter_done(&meter, LORT_PHASE_MEASURING, 1000, 0, 0);
    assert_true(fabs(after(10).left - 10) < 0.1);
    lort_meter_enter(&meter, LORT_PHASE_WRITING, now);
    lort_meter_done(&meter, LORT_PHASE_WRITING, 200, 0, 0);
    assert_true(fabs(after(6).left - 24) < 4);
}

/* One huge piece: ticks tell how far it is, and never that it is done. */
static void ticks_move_a_piece_in_work(void **state)
{
    double last = -1;
    lort_meter_expect(&meter, LORT_PHASE_WRITING, 1000, 1 << 20, 1);
    lort_meter_enter(&meter, LORT_PHASE_WRITING, now);
    for (int i = 0; i < 9; i++) {
        lort_meter_tick(&meter, 100);
        const lort_meter_figures f = after(1);
        assert_true(f.share > last && f.share < 1 && fabs(f.left - (9 - i)) < 0.1);
        assert_true(f.bytes == (uint64_t)((i + 1) << 20) / 10);
        last = f.share;
    }
    for (int i = 0; i < 50; i++) /* more than was expected */
        lort_meter_tick(&meter, 100);
    const lort_meter_figures f = after(1);
    assert_true(f.share < 1 && f.left > 0 && f.bytes < 1 << 20);
}

static void shares_never_fall(void **state)
{
    lort_meter_expect(&meter, LORT_PHASE_WRITING, 1000, 1000, 2);
    lort_meter_enter(&meter, LORT_PHASE_WRITING, now);
    lort_meter_done(&meter, LORT_PHASE_WRITING, 800, 800, 1);
    const double before = after(1).share;
    assert_true(after(1000).share >= before); /* stalled: more is left than was thought */
}

/* Another attempt knows what each phase took. */
static void a_second_attempt_remembers(void **state)
{
    lort_meter_expect(&meter, LORT_PHASE_MEASURING, 1000, 0, 0);
    lort_meter_expect(&meter, LORT_PHASE_WRITING, 1000, 0, 0);
    lort_meter_enter(&meter, LORT_PHASE_MEASURING, now);
    lort_meter_done(&meter, LORT_PHASE_MEASURING, 1000, 0, 0);
    after(10);
    lort_meter_enter(&meter, LORT_PHASE_WRITING, now);
    lort_meter_done(&meter, LORT_PHASE_WRITING, 1000, 0, 0);
    after(50);
    lort_meter_again(&meter, now);
    assert_int_equal(meter.attempt, 1);
    assert_true(after(0).share == 0);
    lort_meter_expect(&meter, LORT_PHASE_MEASURING, 1000, 0, 0);
    lort_meter_expect(&meter, LORT_PHASE_WRITING, 1000, 0, 0);
    lort_meter_enter(&meter, LORT_PHASE_MEASURING, now);
    lort_meter_done(&meter, LORT_PHASE_MEASURING, 100, 0, 0);
    assert_true(fabs(after(1).left - 59) < 1);
}

static void the_end_is_the_whole(void **state)
{
    lort_meter_expect(&meter, LORT_PHASE_WRITING, 1000, 10, 1);
    lort_meter_enter(&meter, LORT_PHASE_WRITING, now);
    after(1);
    lort_meter_end(&meter);
    const lort_meter_figures f = after(1);
    assert_true(f.share == 1 && f.bytes == 10);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_known_at_first), TEST(the_eta_is_of_all_phases),
        TEST(a_wrong_cost_is_learned),   TEST(ticks_move_a_piece_in_work),
        TEST(shares_never_fall),         TEST(a_second_attempt_remembers),
        TEST(the_end_is_the_whole),
    };
    return run_chosen(tests, NULL, NULL);
}
