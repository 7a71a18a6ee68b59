/* Tests of lort_decide: the outcome of one slice, and the reason for it. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/slice/decide.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_run.h"

#include <math.h>

#define SIDE 64
#define SIZE (SIDE * SIDE)

static char dir[32];
static tiny_run run;
static lort_outcome outcome;

static int set_up(void **state)
{
    tiny_dir(dir);
    return 0;
}

static int tear_down(void **state)
{
    tiny_remove(dir);
    return 0;
}

/* Opens a model with the tensor "w" of `slices` matrices SIDE x SIDE. Plans it with default options
 * and starts the workers. */
static void open_matrix(const char *dtype, const float *values, int64_t slices, unsigned threads)
{
    tiny_tensor tensor = {"w", dtype, 3, {slices, SIDE, SIDE}, values};
    tiny_safetensors(dir, "m.safetensors", &tensor, 1);
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, threads);
    tiny_run_start(&run);
}

static void decide(uint32_t slice)
{
    tiny_ok(lort_decide(&run.decider, tiny_run_planned(&run, "w"), slice, (lort_work){NULL, 0},
                        &outcome, &run.err),
            &run.err);
}

static void free_outcome(void) { lort_outcome_free(&outcome, &run.session.alloc); }

static void close_matrix(void)
{
    free_outcome();
    tiny_run_close(&run);
}

static void assert_kept(lort_reason reason, const char *detail)
{
    assert_false(lort_outcome_has_factors(&outcome));
    assert_int_equal(outcome.reason, reason);
    tiny_says(outcome.detail, detail);
    assert_int_equal(outcome.chunk_count, 0);
    assert_int_equal(outcome.coded.size, 0);
    assert_null(outcome.chunks);
}

static double norm2(const float *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)values[i] * values[i];
    return sum;
}

static void assert_near(double found, double wanted, double tolerance)
{
    if (!(fabs(found - wanted) <= tolerance * fabs(wanted)))
        fail_msg("%.12g, wanted %.12g", found, wanted);
}

/* ---- factored ---- */

static void check_chunks(void)
{
    uint64_t at = 0, elements[2] = {0};
    for (uint64_t i = 0; i < outcome.chunk_count; i++) {
        const lort_chunk *chunk = &outcome.chunks[i];
        assert_int_equal(chunk->offset, at);
        assert_true(chunk->hash == lort_xxh64(outcome.coded.data + at, chunk->stored));
        uint32_t array = chunk->array >> 24;
        assert_true(array == LORT_ARRAY_LEFT || array == LORT_ARRAY_RIGHT);
        elements[array == LORT_ARRAY_RIGHT] += chunk->count;
        at += chunk->stored;
    }
    assert_int_equal(at, outcome.coded.size);
    assert_int_equal(elements[0], SIDE * outcome.product.rank);
    assert_int_equal(elements[1], SIDE * outcome.product.rank);
}

static void a_low_rank_matrix_is_factored(void **state)
{
    float values[SIZE];
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    open_matrix("F32", values, 1, 1);
    decide(0);
    assert_true(lort_outcome_has_factors(&outcome));
    assert_int_equal(outcome.reason, LORT_REASON_NONE);
    assert_true(outcome.product.rank > 0 && outcome.product.rank <= 4);
    assert_true(outcome.has_norm);
    assert_near(outcome.norm2, norm2(values, SIZE), 1e-6);
    assert_true(outcome.error2 > 0 && outcome.error2 <= 0.05 * 0.05 * outcome.norm2);
    assert_true(outcome.coded.size < outcome.lossless && outcome.lossless < sizeof values);
    check_chunks();
    close_matrix();
}

static void a_tighter_target_takes_more_rank(void **state)
{
    float values[SIZE];
    int64_t last = 0;
    tiny_fill_rank(values, SIDE, SIDE, 12, 1);
    open_matrix("F32", values, 1, 1);
    run.options.goal = LORT_GOAL_ERROR;
    static const double errors[] = {0.7, 0.5, 0.3, 0.01};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        run.options.value = errors[i];
        decide(0);
        assert_true(lort_outcome_has_factors(&outcome));
        assert_in_range(outcome.product.rank, last + 1, 12);
        assert_true(sqrt(outcome.error2 / outcome.norm2) <= errors[i]);
        last = outcome.product.rank;
        free_outcome();
    }
    close_matrix();
}

/* The bytes do not depend on the pool, on the scratch that is used, or on the tensors before. The
 * seed may change them. */
static void the_bytes_do_not_depend_on_the_workers(void **state)
{
    float values[2 * SIZE];
    tiny_fill_rank(values, SIDE, SIDE, 6, 1);
    tiny_fill_rank(values + SIZE, SIDE, SIDE, 6, 1); /* the same matrix as another slice */
    open_matrix("F32", values, 2, 2);
    const lort_tensor_plan *planned = tiny_run_planned(&run, "w");
    decide(0);
    assert_true(lort_outcome_has_factors(&outcome));
    for (unsigned i = 0; i < 4; i++) {
        lort_outcome again;
        tiny_ok(lort_decide(&run.decider, planned, 0,
                            (lort_work){i % 2 ? run.session.pool : NULL, i / 2}, &again, &run.err),
                &run.err);
        assert_int_equal(again.coded.size, outcome.coded.size);
        assert_memory_equal(again.coded.data, outcome.coded.data, outcome.coded.size);
        assert_int_equal(again.product.rank, outcome.product.rank);
        assert_true(again.error2 == outcome.error2 && again.norm2 == outcome.norm2);
        lort_outcome_free(&again, &run.session.alloc);
    }
    close_matrix();
}

/* ---- kept ---- */

static void what_the_plan_keeps_is_not_read(void **state)
{
    static const tiny_tensor tensors[] = {TINY("w", "F32", 5000), TINY("v", "F32", 8, 8)};
    tiny_safetensors(dir, "m.safetensors", tensors, 2);
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    tiny_run_start(&run);
    assert_int_equal(truncate(tiny_path(dir, "m.safetensors"), 0), 0); /* a read would fail now */
    for (uint64_t i = 0; i < run.plan.count; i++) {
        const lort_tensor_plan *planned = &run.plan.tensors[i];
        tiny_ok(lort_decide(&run.decider, planned, 0, (lort_work){NULL, 0}, &outcome, &run.err),
                &run.err);
        assert_kept(planned->reason, "");
        assert_int_equal(lort_model_check(run.model, 0, &run.err), LORT_OK);
    }
    close_matrix();
}

static void noise_is_out_of_reach(void **state)
{
    open_matrix("BF16", NULL, 1, 1);
    decide(0);
    assert_kept(LORT_REASON_LOW_RANK, "captures at most 0.");
    assert_true(outcome.has_norm && outcome.norm2 > 0);
    assert_true(outcome.error2 == 0);
    close_matrix();
}

static void nan_and_infinity_are_kept_and_named(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const char *const types[] = {"F32", "BF16", "F16"};
    for (size_t i = 0; i < 3; i++)
        for (size_t t = 0; t < 3; t++) {
            float values[SIZE];
            tiny_fill_rank(values, SIDE, SIDE, 4, 1);
            values[3 * SIDE + 5] = bad[i];
            values[SIZE - 1] = NAN;
            open_matrix(types[t], values, 1, 1);
            decide(0);
            assert_kept(LORT_REASON_NOT_FINITE, "first at row 3, column 5");
            assert_false(outcome.has_norm);
            close_matrix();
        }
}

/* With integers and trits LoRT reads blocks, several across. The first NaN or Inf is still the
 * first by rows. */
static void the_first_that_is_no_number_is_found(void **state)
{
    enum { HIGH = 130, ACROSS = 9000 };
    static const struct {
        lort_residual residual;
        const char *place;
    } ways[] = {{LORT_RESIDUAL_INT, "first at row 3, column 6000"},
                {LORT_RESIDUAL_TERNARY, "first at row 3, column 100"}};
    float *values = calloc((size_t)HIGH * ACROSS, sizeof *values);
    assert_non_null(values);
    tiny_fill_noise(values, (uint64_t)HIGH * ACROSS, 5);
    /* in the first block; behind the first block in its row */
    values[5 * ACROSS + 10] = values[3 * ACROSS + 8000] = NAN;
    values[3 * ACROSS + 6000] = INFINITY;
    values[100 * ACROSS] = NAN;
    const tiny_tensor tensor = {"w", "F32", 2, {HIGH, ACROSS}, values};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        tiny_safetensors(dir, "m.safetensors", &tensor, 1);
        tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 2);
        run.options.residual = ways[i].residual;
        run.options.goal = LORT_GOAL_ERROR;
        run.options.value = 0.5;
        tiny_run_start(&run);
        decide(0);
        assert_kept(LORT_REASON_NOT_FINITE, ways[i].place);
        assert_false(outcome.has_norm);
        close_matrix();
        values[3 * ACROSS + 100] = NAN; /* in the first block, in the same row */
    }
    free(values);
}

/* The weights are finite in F64 but beyond the range of f32. */
static void f64_beyond_the_range_of_f32_is_kept(void **state)
{
    open_matrix("F64", NULL, 1, 1);
    decide(0);
    assert_kept(LORT_REASON_NOT_FINITE, "first at row ");
    close_matrix();
}

static void zeros_cost_less_than_any_factor(void **state)
{
    static const float zeros[SIZE];
    open_matrix("F32", zeros, 1, 1);
    decide(0);
    assert_kept(LORT_REASON_BREAK_EVEN, "factors pay up to rank 0");
    close_matrix();
}

static int64_t rank_said(void)
{
    static const char words[] = "factors pay up to rank ";
    tiny_says(outcome.detail, words);
    return strtoll(outcome.detail + strlen(words), NULL, 10);
}

static void a_rank_that_does_not_pay_is_kept(void **state)
{
    open_matrix("BF16", NULL, 1, 1);
    run.options.goal = LORT_GOAL_RANK;
    run.options.rank = SIDE;
    decide(0);
    int64_t even = rank_said();
    assert_kept(LORT_REASON_BREAK_EVEN, "");
    assert_in_range(even, 1, SIDE - 1);
    free_outcome();
    run.options.rank = even + 1;
    decide(0);
    assert_kept(LORT_REASON_BREAK_EVEN, "");
    free_outcome();
    /* these factors may pay, so LoRT tries them; but noise does not shrink enough */
    run.options.rank = even;
    decide(0);
    assert_kept(LORT_REASON_FACTORS_LARGER, " against ");
    assert_true(outcome.has_norm);
    free_outcome();
    run.options.rank = even / 2;
    decide(0);
    assert_true(lort_outcome_has_factors(&outcome));
    assert_int_equal(outcome.product.rank, even / 2);
    close_matrix();
}

/* LoRT decides each slice for itself. A slice that is kept unread counts in the norm of the
 * tensor. */
static void slices_are_decided_one_by_one(void **state)
{
    float values[4 * SIZE];
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    tiny_fill_noise(values + SIZE, SIZE, 2);
    memset(values + 2 * SIZE, 0, SIZE * sizeof *values);
    values[2 * SIZE + 7] = 3;
    tiny_fill_rank(values + 3 * SIZE, SIDE, SIDE, 4, 3);
    values[3 * SIZE] = INFINITY;
    open_matrix("F32", values, 4, 1);
    run.options.max_rank = 16;
    decide(0);
    assert_true(lort_outcome_has_factors(&outcome));
    assert_near(outcome.norm2, norm2(values, SIZE), 1e-6);
    free_outcome();
    decide(1);
    assert_kept(LORT_REASON_LOW_RANK, "rank 16 ");
    assert_near(outcome.norm2, norm2(values + SIZE, SIZE), 1e-6);
    free_outcome();
    decide(2);
    assert_kept(LORT_REASON_BREAK_EVEN, "");
    assert_true(outcome.has_norm && outcome.norm2 == 9);
    free_outcome();
    decide(3);
    assert_kept(LORT_REASON_NOT_FINITE, "first at row 0, column 0");
    close_matrix();
}

/* ---- integers, and components beside them ---- */

enum { TALL = 256, WIDE = 640, ALIKE = 16 };

/* Opens a model with one matrix TALL x WIDE, which integers are to code. */
static void open_values(const char *name, const float *values)
{
    tiny_tensor tensor = {name, "F32", 2, {TALL, WIDE}, values};
    tiny_safetensors(dir, "m.safetensors", &tensor, 1);
    tiny_run_open(&run, tiny_path(dir, "m.safetensors"), TINY_PLENTY, 1);
    run.options.residual = LORT_RESIDUAL_INT;
    run.options.goal = LORT_GOAL_ERROR;
    run.options.value = 0.05;
    tiny_run_start(&run);
}

/* A matrix of ALIKE components and a hundredth of noise. */
static void open_components(const char *name, float *values)
{
    static float noise[TALL * WIDE];
    tiny_fill_rank(values, TALL, WIDE, ALIKE, 1);
    tiny_fill_noise(noise, TALL * WIDE, 3);
    const double scale = 0.01 * sqrt(norm2(values, TALL * WIDE) / norm2(noise, TALL * WIDE));
    for (size_t i = 0; i < TALL * WIDE; i++)
        values[i] += (float)scale * noise[i];
    open_values(name, values);
}

/* Each component has a sixteenth of the energy and does not pay alone. All of them leave nothing to
 * code, or a hundredth. */
static void components_that_are_alike_pay_together(void **state)
{
    static float values[TALL * WIDE];
    static const double errors[] = {0.05, 0.005};
    open_components("w", values);
    for (int i = 0; i < 2; i++) {
        run.options.value = errors[i];
        decide(0);
        assert_true(lort_outcome_has_factors(&outcome));
        assert_int_equal(outcome.product.rank, ALIKE);
        assert_int_equal(lort_outcome_has_blocks(&outcome), errors[i] < 0.01);
        assert_true(outcome.error2 <= errors[i] * errors[i] * outcome.norm2);
        free_outcome();
    }
    close_matrix();
}

/* Components alone do not hide that integers cannot meet a target. */
static void components_do_not_hide_that_a_target_is_out_of_reach(void **state)
{
    static float values[TALL * WIDE];
    open_components("w", values);
    run.options.value = 1e-9;
    decide(0);
    assert_kept(LORT_REASON_INTEGERS, "");
    assert_false(lort_outcome_has_blocks(&outcome));
    close_matrix();
}

/* The shares go from too little for components to twice the bytes of all components. The slice
 * nearly spends its share and never passes it. */
static void a_share_is_spent_with_components(void **state)
{
    static float values[TALL * WIDE];
    double last = 1;
    open_components("w", values);
    for (uint64_t bytes = 9000; bytes <= 60000; bytes += 1700) {
        lort_share share = {bytes < 26000 ? 0.25 : 0.01, bytes};
        lort_tensor_plan planned = *tiny_run_planned(&run, "w");
        planned.shares = &share;
        tiny_ok(lort_decide(&run.decider, &planned, 0, (lort_work){NULL, 0}, &outcome, &run.err),
                &run.err);
        const uint64_t spent =
            lort_outcome_has_blocks(&outcome) ? outcome.estimate : outcome.coded.size;
        const double error = sqrt(outcome.error2 / outcome.norm2);
        if ((bytes > 15000 && !lort_outcome_has_factors(&outcome)) || spent > bytes ||
            (double)spent < 0.93 * (double)bytes || error > 1.1 * last)
            fail_msg("share %llu: rank %lld, %llu bytes, error %.4f after %.4f",
                     (unsigned long long)bytes, (long long)outcome.product.rank,
                     (unsigned long long)spent, error, last);
        last = error;
        free_outcome();
    }
    assert_true(last < 0.01);
    close_matrix();
}

static double bytes_at(const lort_curve *curve, unsigned point)
{
    return curve->bits[point] * (double)curve->weights / 8;
}

/* Each point of a curve has the components that pay at its error. */
static void curves_know_components(void **state)
{
    static float values[TALL * WIDE];
    lort_curve curve;
    open_components("w", values);
    tiny_ok(lort_decide_curve(&run.decider, tiny_run_planned(&run, "w"), 0, (lort_work){NULL, 0},
                              &curve, &run.err),
            &run.err);
    assert_false(curve.raw);
    for (unsigned i = 0; i < LORT_CURVE_POINTS; i++) {
        const double error = 0.5 / (1u << i);
        run.options.value = error;
        decide(0);
        const double had =
            (double)(lort_outcome_has_blocks(&outcome) ? outcome.estimate : outcome.coded.size);
        const double said =
            bytes_at(&curve, i) + (lort_outcome_has_blocks(&outcome) ? (double)curve.codes : 0);
        /* At point 6 factors of 8 bits are nearly exact enough: a few more of them, or many more
         * integers. */
        if (!(said > 0.97 * had && said < (i == 6 ? 1.3 : 1.06) * had))
            fail_msg("point %u: %g bytes, and it took %g", i, said, had);
        /* all but one component, then all: 0.25 is a sixteenth of the energy */
        if (i == 1 || i == 3)
            assert_true(curve.only[i] && !lort_outcome_has_blocks(&outcome));
        free_outcome();
    }
    assert_false(curve.only[LORT_CURVE_POINTS - 1]);
    close_matrix();
}

/* A matrix of noise whose columns hold less and less, by a factor of `fall` from each to the next.
 * No components. */
static void open_falling(float *values, double fall)
{
    double scale = 1;
    tiny_fill_noise(values, TALL * WIDE, 5);
    for (size_t i = 0; i < TALL * WIDE; i++) {
        scale = i % WIDE ? scale * fall : 1;
        values[i] *= (float)scale;
    }
    open_values("w", values);
    run.options.max_rank = 0;
}

/* Columns of one size follow the laws of fine steps. Of columns that fall quickly most are zeros at
 * coarse errors, so the laws do not hold there. */
static void curves_know_when_the_laws_hold(void **state)
{
    static float values[TALL * WIDE];
    static const double falls[] = {1, 0.97};
    for (int i = 0; i < 2; i++) {
        lort_curve curve;
        open_falling(values, falls[i]);
        tiny_ok(lort_decide_curve(&run.decider, tiny_run_planned(&run, "w"), 0,
                                  (lort_work){NULL, 0}, &curve, &run.err),
                &run.err);
        for (unsigned point = 0; point < LORT_CURVE_POINTS; point++) {
            run.options.value = 0.5 / (1u << point);
            decide(0);
            const double said = bytes_at(&curve, point) + (double)curve.codes,
                         had = (double)outcome.estimate;
            if (!(said > 0.95 * had && said < 1.05 * had))
                fail_msg("fall %g, point %u: %g bytes, and it took %g", falls[i], point, said, had);
            free_outcome();
        }
        close_matrix();
    }
}

/* The law of steps changes at errors of about 0.7. A search that trusts it stops far below. */
static void every_target_is_reached(void **state)
{
    static float values[TALL * WIDE];
    uint64_t bytes = UINT64_MAX;
    open_falling(values, 1);
    for (double target = 0.05; target < 0.96; target += 0.03) {
        run.options.value = target;
        decide(0);
        const double error = sqrt(outcome.error2 / outcome.norm2);
        if (!(error <= target && error >= 0.995 * target && outcome.estimate < bytes))
            fail_msg("target %.2f: error %.5f, %llu bytes after %llu", target, error,
                     (unsigned long long)outcome.estimate, (unsigned long long)bytes);
        bytes = outcome.estimate;
        free_outcome();
    }
    close_matrix();
}

/* In an embedding readers use single rows. Its integers have scaled rows, and no components. */
static void embeddings_have_no_components(void **state)
{
    static float values[TALL * WIDE];
    int64_t ranks[2];
    for (int i = 0; i < 2; i++) {
        open_components(i ? "token_embd.weight" : "w", values);
        run.options.value = 0.3;
        tiny_ok(lort_decide(&run.decider, &run.plan.tensors[1], 0, (lort_work){NULL, 0}, &outcome,
                            &run.err),
                &run.err);
        ranks[i] = outcome.product.rank;
        close_matrix();
    }
    assert_in_range(ranks[0], 1, ALIKE - 1);
    assert_int_equal(ranks[1], 0);
}

/* ---- LAPACK gives up (the Makefile links these functions in place of LAPACK's) ---- */

static int64_t gives_up_at; /* fails from this call on; 0: never */

lort_code __real_lort_dsyevd(int64_t n, double *a, int64_t lda, double *values, void *work,
                             lort_error *err);
lort_code __real_lort_dsyevd_values(int64_t n, double *a, int64_t lda, double *values, void *work,
                                    lort_error *err);
lort_code __wrap_lort_dsyevd(int64_t n, double *a, int64_t lda, double *values, void *work,
                             lort_error *err);
lort_code __wrap_lort_dsyevd_values(int64_t n, double *a, int64_t lda, double *values, void *work,
                                    lort_error *err);

static bool gives_up(void)
{
    if (gives_up_at < 2)
        return gives_up_at == 1;
    gives_up_at--;
    return false;
}

lort_code __wrap_lort_dsyevd(int64_t n, double *a, int64_t lda, double *values, void *work,
                             lort_error *err)
{
    return gives_up() ? lort_fail(err, LORT_E_NUMERIC, "dsyevd did not converge")
                      : __real_lort_dsyevd(n, a, lda, values, work, err);
}

lort_code __wrap_lort_dsyevd_values(int64_t n, double *a, int64_t lda, double *values, void *work,
                                    lort_error *err)
{
    return gives_up() ? lort_fail(err, LORT_E_NUMERIC, "dsyevd did not converge")
                      : __real_lort_dsyevd_values(n, a, lda, values, work, err);
}

/* Whichever eigenproblem fails, LoRT keeps the slice and the run continues. */
static void a_matrix_without_eigenvalues_is_kept(void **state)
{
    float values[SIZE];
    int64_t calls = 0;
    tiny_fill_rank(values, SIDE, SIDE, 8, 1);
    open_matrix("F32", values, 1, 1);
    run.options.goal = LORT_GOAL_RANK;
    run.options.rank = 8;
    do {
        free_outcome();
        gives_up_at = ++calls;
        decide(0);
        if (!lort_outcome_has_factors(&outcome))
            assert_kept(LORT_REASON_NOT_CONVERGED, "");
    } while (!lort_outcome_has_factors(&outcome));
    gives_up_at = 0;
    assert_true(calls > 2);
    close_matrix();
}

/* ---- failures ---- */

static void assert_nothing_left(void)
{
    assert_false(lort_outcome_has_factors(&outcome));
    assert_null(outcome.chunks);
    assert_null(outcome.coded.data);
    assert_int_equal(outcome.chunk_count, 0);
}

static void every_allocation_may_fail(void **state)
{
    /* factored; above break-even, so that the norm is measured */
    static const int64_t goals[] = {8, SIDE};
    float values[2 * SIZE];
    tiny_fill_rank(values, SIDE, SIDE, 8, 1);
    tiny_fill_noise(values + SIZE, SIZE, 1);
    open_matrix("BF16", values, 2, 1);
    lort_alloc ledger = run.session.alloc;
    run.options.goal = LORT_GOAL_RANK;
    for (uint32_t slice = 0; slice < 2; slice++) {
        lort_code code = LORT_E_MEMORY;
        int64_t n = 0;
        run.options.rank = goals[slice];
        for (; code; n++) {
            tiny_failing failing;
            tiny_failing_start(&failing, n);
            run.session.alloc = failing.alloc;
            code = lort_decide(&run.decider, tiny_run_planned(&run, "w"), slice,
                               (lort_work){NULL, 0}, &outcome, &run.err);
            if (code) {
                assert_int_equal(code, LORT_E_MEMORY);
                assert_nothing_left();
            }
            assert_int_equal(lort_outcome_has_factors(&outcome), code == LORT_OK && slice == 0);
            lort_outcome_free(&outcome, &run.session.alloc);
            assert_int_equal(failing.live, 0);
            assert_int_equal(failing.bytes, 0);
        }
        assert_true(n > 1); /* something was refused */
    }
    run.session.alloc = ledger;
    close_matrix();
}

static void a_file_that_shrank_is_a_read_error(void **state)
{
    float values[4 * SIZE];
    for (int i = 0; i < 4; i++)
        tiny_fill_rank(values + i * SIZE, SIDE, SIDE, 8, 1);
    open_matrix("F32", values, 4, 1);
    /* Inside the last slice. */
    assert_int_equal(truncate(tiny_path(dir, "m.safetensors"), 3 * (off_t)sizeof values / 4 + 8192),
                     0);
    assert_int_equal(lort_decide(&run.decider, tiny_run_planned(&run, "w"), 3, (lort_work){NULL, 0},
                                 &outcome, &run.err),
                     LORT_E_READ);
    tiny_says(run.err.message, "m.safetensors");
    assert_nothing_left();
    close_matrix();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_low_rank_matrix_is_factored),
        TEST(a_tighter_target_takes_more_rank),
        TEST(the_bytes_do_not_depend_on_the_workers),
        TEST(what_the_plan_keeps_is_not_read),
        TEST(noise_is_out_of_reach),
        TEST(nan_and_infinity_are_kept_and_named),
        TEST(the_first_that_is_no_number_is_found),
        TEST(f64_beyond_the_range_of_f32_is_kept),
        TEST(zeros_cost_less_than_any_factor),
        TEST(a_rank_that_does_not_pay_is_kept),
        TEST(slices_are_decided_one_by_one),
        TEST(components_that_are_alike_pay_together),
        TEST(components_do_not_hide_that_a_target_is_out_of_reach),
        TEST(a_share_is_spent_with_components),
        TEST(curves_know_components),
        TEST(curves_know_when_the_laws_hold),
        TEST(every_target_is_reached),
        TEST(embeddings_have_no_components),
        TEST(a_matrix_without_eigenvalues_is_kept),
        TEST(every_allocation_may_fail),
        TEST(a_file_that_shrank_is_a_read_error),
    };
    return run_chosen(tests, NULL, NULL);
}
