/* Tests of lort_outliers_find: which weights are outliers, and what others read in their places. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/slice/outliers.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_run.h"

#include <math.h>

#define SIDE 100
#define SIZE (SIDE * SIDE)
#define MOST (SIZE / LORT_OUTLIERS_ONE_IN)

static char dir[32];
static tiny_run run;
static lort_outliers found;
static float values[SIZE];
static lort_residual residual; /* of the next run */

static int set_up(void **state)
{
    tiny_dir(dir);
    tiny_fill_noise(values, SIZE, 3);
    residual = LORT_RESIDUAL_NONE;
    return 0;
}

static int tear_down(void **state)
{
    tiny_remove(dir);
    return 0;
}

static void open_shape(const char *dtype, const float *all, int64_t slices, int64_t rows,
                       int64_t cols, unsigned threads)
{
    const tiny_tensor tensor = {"w", dtype, 3, {slices, rows, cols}, all};
    tiny_safetensors(dir, "m.safetensors", &tensor, 1);
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, threads);
    run.options.residual = residual;
    tiny_run_start(&run);
}

static lort_code find(uint32_t slice, lort_pool *pool)
{
    lort_slice_source source =
        lort_slice_source_of(&run.decider, tiny_run_planned(&run, "w"), slice);
    return lort_outliers_find(&source, (lort_work){pool, 0}, &found, &run.err);
}

static void close_run(void)
{
    lort_outliers_free(&found, &run.session.alloc);
    assert_null(found.places);
    tiny_run_close(&run);
}

/* The outliers are the `count` weights at `places`, ascending. */
static void assert_found(const float *from, const uint64_t *places, uint64_t count)
{
    double energy = 0;
    if (found.count != count)
        fail_msg("%llu outliers, wanted %llu", (unsigned long long)found.count,
                 (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(found.places[i], places[i]);
        assert_true(found.values[i] == from[places[i]]);
        energy += (double)from[places[i]] * from[places[i]];
    }
    assert_true(found.energy == energy);
    assert_true((found.stored > 0) == (count > 0));
}

/* The first `n` places of `places` have outliers, and no others. */
static void check(const char *what, const uint64_t *places, uint64_t n)
{
    open_shape("F32", values, 1, SIDE, SIDE, 1);
    tiny_ok(find(0, NULL), &run.err);
    if (found.count != n)
        fail_msg("%s: %llu outliers, wanted %llu", what, (unsigned long long)found.count,
                 (unsigned long long)n);
    assert_found(values, places, n);
    close_run();
}

/* ---- the border ---- */

/* Some places all over the matrix, ascending. */
static uint64_t place_of(uint64_t i) { return 61 + 487 * i; }

static void put_huge(uint64_t *places, uint64_t n, float size)
{
    for (uint64_t i = 0; i < n; i++) {
        places[i] = place_of(i);
        values[places[i]] = i % 2 ? -size : size;
    }
}

static void one_weight_is_huge(void **state)
{
    static const uint64_t at[] = {0, 99, 5050, SIZE - 1};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const float before = values[at[i]];
        values[at[i]] = i % 2 ? -3e4f : 3e4f;
        check("one", &at[i], 1);
        values[at[i]] = before;
    }
}

static void one_in_a_thousand_at_most(void **state)
{
    uint64_t places[2 * MOST];
    put_huge(places, MOST, 3e4f);
    check("0.1 %", places, MOST);
    put_huge(places, MOST + 1, 3e4f);
    check("one more", places, 0);
    put_huge(places, 2 * MOST, 3e4f);
    check("0.2 %", places, 0);
}

/* Of more than one in a thousand, the largest may be outliers beside the others. */
static void the_largest_of_many(void **state)
{
    uint64_t places[2 * MOST];
    put_huge(places, 2 * MOST, 30);
    values[places[7]] = 1e9f;
    check("the largest", &places[7], 1);
}

/* All others are of magnitude 1, which a bin of magnitudes has as 1.125. So the border is 20. */
static void sixteen_times_the_rest(void **state)
{
    static const struct {
        float size;
        bool is;
    } cases[] = {{15, false}, {15.99f, false}, {17, false}, {20, true}, {31, true}, {1e30f, true}};
    const uint64_t place = 4321;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int k = 0; k < SIZE; k++)
            values[k] = k % 3 ? 1 : -1;
        values[place] = -cases[i].size;
        check("16 times", &place, cases[i].is);
    }
}

/* The border is the smallest that may be: what is between the huge and the rest is an outlier too,
 * if it is large beside the rest. */
static void the_smallest_border(void **state)
{
    uint64_t places[3];
    put_huge(places, 3, 1e6f);
    values[places[1]] = 60;
    values[places[2]] = -1e3f;
    check("three sizes", places, 3);
}

static void none(void **state)
{
    check("noise", NULL, 0);
    for (int i = 0; i < SIZE; i++) /* Gaussian: sums of uniform noise */
        values[i] += values[(i + 1) % SIZE] + values[(i + 7) % SIZE] + values[(i + 91) % SIZE];
    check("Gaussian noise", NULL, 0);
    for (int i = 0; i < SIZE; i++)
        values[i] = 0.37f;
    check("all equal", NULL, 0);
    for (int i = 0; i < SIZE; i++)
        values[i] = 0;
    check("zeros", NULL, 0);
    values[5] = 3e4f;
    check("zeros and one weight", NULL, 0);
    values[6] = 1e-44f;
    check("zeros and nearly nothing", NULL, 0);
}

static void none_beside_nan_and_inf(void **state)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tiny_fill_noise(values, SIZE, 3);
        values[77] = 3e4f;
        values[7000] = bad[i];
        check("no number", NULL, 0);
    }
}

static void the_ends_of_f32(void **state)
{
    const uint64_t place = 1234;
    values[place] = 0x1.fffffep127f;
    check("the largest number", &place, 1);
    for (int i = 0; i < SIZE; i++)
        values[i] = i % 2 ? 5e-39f : -4e-39f;
    values[place] = 1e-30f;
    check("among subnormal numbers", &place, 1);
}

/* A slice of 999 weights has none, one of 1000 may have one. */
static void small_slices(void **state)
{
    static const int64_t shapes[][2] = {{27, 37}, {25, 40}, {1, 1000}, {1000, 1}};
    const uint64_t place = 500;
    values[place] = 3e4f;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        open_shape("F32", values, 1, shapes[i][0], shapes[i][1], 1);
        tiny_ok(find(0, NULL), &run.err);
        assert_found(values, &place, shapes[i][0] * shapes[i][1] >= 1000);
        close_run();
    }
}

/* Each slice has its own, with places of its own. */
static void slices_one_by_one(void **state)
{
    static float three[3 * SIZE];
    const uint64_t places[] = {17, 9000};
    tiny_fill_noise(three, 3 * SIZE, 4);
    for (int i = 0; i < SIZE; i++)
        three[2 * SIZE + i] *= 1e6f;
    three[SIZE + 17] = 3e4f;
    three[SIZE + 9000] = -2e3f;
    open_shape("BF16", three, 3, SIDE, SIDE, 1);
    for (uint32_t s = 0; s < 3; s++) {
        tiny_ok(find(s, NULL), &run.err);
        assert_int_equal(found.count, s == 1 ? 2 : 0);
        for (uint64_t i = 0; i < found.count; i++) {
            assert_int_equal(found.places[i], places[i]);
            assert_true(fabsf(found.values[i] / three[SIZE + places[i]] - 1) < 1.0f / 128);
        }
        lort_outliers_free(&found, &run.session.alloc);
    }
    close_run();
}

/* ---- wide matrices: tiles are narrower than a row ---- */

enum { HIGH = 5, WIDE = 20000 };
static float wide[HIGH * WIDE];
static const uint64_t wide_places[] = {0,
                                       1,
                                       4095,
                                       16383,
                                       16384,
                                       WIDE - 1,
                                       WIDE,
                                       2 * WIDE + 16383,
                                       2 * WIDE + 16384,
                                       4 * WIDE + 4096,
                                       5 * WIDE - 1};
#define WIDE_COUNT (sizeof wide_places / sizeof *wide_places)

static void open_wide(unsigned threads)
{
    tiny_fill_noise(wide, HIGH * WIDE, 8);
    for (size_t i = 0; i < WIDE_COUNT; i++)
        wide[wide_places[i]] = (float)(i + 1) * -1e3f;
    open_shape("F32", wide, 1, HIGH, WIDE, threads);
}

static void the_workers_do_not_matter(void **state)
{
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        open_wide(threads);
        tiny_ok(find(0, threads > 1 ? run.session.pool : NULL), &run.err);
        assert_found(wide, wide_places, WIDE_COUNT);
        close_run();
    }
}

/* Every tile is the matrix with zeros in the places of the outliers. */
static void outliers_are_blank(void **state)
{
    static const int64_t tiles[][4] = {
        {0, HIGH, 0, WIDE},   {0, 1, 0, 1},         {0, HIGH, 0, 2},       {0, HIGH, 1, 2},
        {2, 4, 16383, 16385}, {2, 3, 16384, 16385}, {0, HIGH, 4096, 8192}, {0, HIGH, 16384, WIDE},
        {4, 5, 0, WIDE},      {1, 2, 1, WIDE},      {0, HIGH, 9, 4095},    {0, 1, 19999, WIDE}};
    static float room[HIGH * WIDE], blank[HIGH * WIDE];
    open_wide(1);
    tiny_ok(find(0, NULL), &run.err);
    memcpy(blank, wide, sizeof wide);
    for (size_t i = 0; i < WIDE_COUNT; i++)
        blank[wide_places[i]] = 0;
    lort_slice_source source = lort_slice_source_of(&run.decider, tiny_run_planned(&run, "w"), 0);
    for (unsigned with = 0; with < 2; with++) {
        source.outliers = with ? &found : NULL;
        for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
            const int64_t *t = tiles[i];
            const float *seen;
            int64_t ld;
            tiny_ok(lort_slice_read(&source, 0, t[0], t[1], t[2], t[3], room, &seen, &ld, &run.err),
                    &run.err);
            for (int64_t r = t[0]; r < t[1]; r++)
                for (int64_t c = t[2]; c < t[3]; c++)
                    assert_true(seen[(r - t[0]) * ld + c - t[2]] ==
                                (with ? blank : wide)[r * WIDE + c]);
        }
    }
    close_run();
}

/* ---- what becomes of the slice ---- */

static void decide_and_check(double error)
{
    lort_outcome out;
    run.options.goal = LORT_GOAL_ERROR;
    run.options.value = error;
    tiny_ok(lort_decide(&run.decider, tiny_run_planned(&run, "w"), 0, (lort_work){NULL, 0}, &out,
                        &run.err),
            &run.err);
    assert_int_not_equal(out.kind, LORT_OUTCOME_KEPT);
    assert_int_equal(out.outliers.count, 1);
    assert_true(out.outliers.values[0] == 3e4f && out.outliers.places[0] == 4242);
    assert_true(out.norm2 < 1e5); /* of the rest */
    const lort_chunk *last = &out.chunks[out.chunk_count - 1];
    assert_int_equal(last[-1].array, LORT_ARRAY_ID(LORT_ARRAY_PLACES, 0));
    assert_int_equal(last->array, LORT_ARRAY_ID(LORT_ARRAY_OUTLIERS, 0));
    assert_true(last[-1].count == 1 && last[-1].decoded == 8 && last->count == 1 &&
                last->decoded == 4);
    assert_int_equal(last->offset + last->stored, out.coded.size);
    lort_outcome_free(&out, &run.session.alloc);
}

static void the_target_is_for_the_rest(void **state)
{
    tiny_fill_rank(values, SIDE, SIDE, 3, 5);
    values[4242] = 3e4f;
    open_shape("F32", values, 1, SIDE, SIDE, 1);
    decide_and_check(0.05);
    close_run();
    tiny_fill_noise(values, SIZE, 6);
    values[4242] = 3e4f;
    residual = LORT_RESIDUAL_INT;
    open_shape("F32", values, 1, SIDE, SIDE, 1);
    decide_and_check(0.05);
    close_run();
}

/* Kept: the norm is that of all weights, and the raw bytes hold the outlier. */
static void a_kept_slice_has_none(void **state)
{
    lort_outcome out;
    values[4242] = 3e4f;
    open_shape("F32", values, 1, SIDE, SIDE, 1);
    run.options.goal = LORT_GOAL_ERROR;
    run.options.value = 1e-9;
    tiny_ok(lort_decide(&run.decider, tiny_run_planned(&run, "w"), 0, (lort_work){NULL, 0}, &out,
                        &run.err),
            &run.err);
    assert_int_equal(out.kind, LORT_OUTCOME_KEPT);
    assert_int_equal(out.outliers.count, 0);
    assert_null(out.outliers.places);
    assert_int_equal(out.chunk_count, 0);
    assert_true(!out.has_norm || fabs(out.norm2 / 9e8 - 1) < 1e-4);
    lort_outcome_free(&out, &run.session.alloc);
    close_run();
}

/* ---- memory ---- */

typedef struct measured {
    tiny_failing failing;
    lort_alloc alloc;
    int64_t most;
} measured;

static void *measured_take(void *ctx, size_t bytes)
{
    measured *m = ctx;
    void *memory = m->failing.alloc.take(m->failing.alloc.ctx, bytes);
    m->most = m->failing.bytes > m->most ? m->failing.bytes : m->most;
    return memory;
}

static void measured_give(void *ctx, void *memory, size_t bytes)
{
    measured *m = ctx;
    m->failing.alloc.give(m->failing.alloc.ctx, memory, bytes);
}

static measured measure_find(unsigned threads)
{
    static measured m;
    const lort_alloc ledger = run.session.alloc;
    m.most = 0;
    tiny_failing_start(&m.failing, -1);
    m.alloc = (lort_alloc){measured_take, measured_give, &m};
    run.session.alloc = m.alloc;
    tiny_ok(find(0, threads > 1 ? run.session.pool : NULL), &run.err);
    assert_in_range(m.failing.bytes, found.count * LORT_OUTLIER_BYTES,
                    lort_outliers_most(&tiny_run_planned(&run, "w")->shape));
    lort_outliers_free(&found, &run.session.alloc);
    run.session.alloc = ledger;
    assert_int_equal(m.failing.bytes, 0);
    assert_int_equal(m.failing.live, 0);
    return m;
}

static void no_more_memory_than_said(void **state)
{
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        open_wide(threads);
        for (unsigned i = 0; i + WIDE_COUNT < HIGH * WIDE / LORT_OUTLIERS_ONE_IN; i++)
            wide[37 + 911 * i] = 2e3f;
        const measured m = measure_find(threads);
        assert_in_range(m.most, 1,
                        lort_outliers_bound(threads) +
                            lort_outliers_most(&tiny_run_planned(&run, "w")->shape));
        close_run();
    }
}

static void every_allocation_may_fail(void **state)
{
    values[4242] = 3e4f;
    open_shape("F32", values, 1, SIDE, SIDE, 1);
    const lort_alloc ledger = run.session.alloc;
    lort_code code = LORT_E_MEMORY;
    int64_t n = 0;
    for (; code; n++) {
        tiny_failing failing;
        tiny_failing_start(&failing, n);
        run.session.alloc = failing.alloc;
        code = find(0, NULL);
        if (code) {
            assert_int_equal(code, LORT_E_MEMORY);
            assert_null(found.places);
            assert_int_equal(found.count, 0);
        }
        lort_outliers_free(&found, &run.session.alloc);
        assert_int_equal(failing.live, 0);
        assert_int_equal(failing.bytes, 0);
    }
    assert_true(n > 3); /* magnitudes, outliers, chunk descriptions, the encoded chunks */
    run.session.alloc = ledger;
    close_run();
}

/* The whole decision, with each of its allocations failing. */
static void a_decision_without_memory(void **state)
{
    for (int way = 0; way < 2; way++) {
        tiny_fill_rank(values, SIDE, SIDE, 3, 5);
        values[4242] = 3e4f;
        residual = way ? LORT_RESIDUAL_INT : LORT_RESIDUAL_NONE;
        open_shape("F32", values, 1, SIDE, SIDE, 1);
        run.options.goal = LORT_GOAL_ERROR;
        run.options.value = 0.1;
        const lort_alloc ledger = run.session.alloc;
        lort_code code = LORT_E_MEMORY;
        for (int64_t n = 0; code; n++) {
            lort_outcome out;
            tiny_failing failing;
            tiny_failing_start(&failing, n);
            run.session.alloc = failing.alloc;
            code = lort_decide(&run.decider, tiny_run_planned(&run, "w"), 0, (lort_work){NULL, 0},
                               &out, &run.err);
            assert_true(code == LORT_OK || code == LORT_E_MEMORY);
            assert_true(code == LORT_OK || (!out.chunks && !out.outliers.places));
            assert_true(code != LORT_OK || out.outliers.count == 1);
            lort_outcome_free(&out, &run.session.alloc);
            assert_int_equal(failing.live, 0);
            assert_int_equal(failing.bytes, 0);
        }
        run.session.alloc = ledger;
        close_run();
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_weight_is_huge),
        TEST(one_in_a_thousand_at_most),
        TEST(the_largest_of_many),
        TEST(sixteen_times_the_rest),
        TEST(the_smallest_border),
        TEST(none),
        TEST(none_beside_nan_and_inf),
        TEST(the_ends_of_f32),
        TEST(small_slices),
        TEST(slices_one_by_one),
        TEST(the_workers_do_not_matter),
        TEST(outliers_are_blank),
        TEST(the_target_is_for_the_rest),
        TEST(a_kept_slice_has_none),
        TEST(no_more_memory_than_said),
        TEST(every_allocation_may_fail),
        TEST(a_decision_without_memory),
    };
    return run_chosen(tests, NULL, NULL);
}
