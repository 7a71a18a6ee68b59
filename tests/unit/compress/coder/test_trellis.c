/* The trellis: a reader can follow the path of the search, and rows do not touch each other. The
 * path beats rounding by the amount that theory gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/coder/trellis.h"
#include "tests/unit/main.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LAMBDA 0.35f

typedef struct search {
    int64_t cols;
    float *x, *col, row[LORT_LANES];
    uint16_t *choice;
    int16_t *n; /* [cols][LORT_LANES] */
} search;

static search search_open(int64_t cols)
{
    const size_t room = (size_t)(cols ? cols : 1);
    search s = {.cols = cols,
                .x = calloc(room, LORT_LANES * sizeof *s.x),
                .col = calloc(room, sizeof *s.col),
                .choice = malloc(room * LORT_CHOICE_WORDS * LORT_LANES * sizeof *s.choice),
                .n = malloc(room * LORT_LANES * sizeof *s.n)};
    assert_true(s.x && s.col && s.choice && s.n);
    return s;
}

static void search_close(search *s)
{
    free(s->x);
    free(s->col);
    free(s->choice);
    free(s->n);
}

/* Uniform from -1 to 1. */
static float uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*state >> 32) / 2147483648.0f;
}

/* Runs the search and follows each path from state 0. Every quantiser must be that of its state.
 * Turns each path into multiples, s->n. */
static void search_run(search *s, float lambda)
{
    lort_trellis_encode(s->x, s->row, s->col, s->cols, lambda, s->choice, s->n);
    for (int l = 0; l < LORT_LANES; l++) {
        unsigned state = 0;
        for (int64_t j = 0; j < s->cols; j++) {
            int16_t *at = &s->n[j * LORT_LANES + l];
            const unsigned q = (unsigned)*at & 1;
            const int32_t k = (*at - (int32_t)q) / 2;
            if (q != lort_trellis_quantiser(state))
                fail_msg("lane %d, column %lld: k %d is of the other quantiser than state %u", l,
                         (long long)j, (int)k, state);
            *at = (int16_t)lort_trellis_value(q, k);
            state = lort_trellis_next(state, k);
            assert_true(state < LORT_STATES);
        }
    }
}

/* ---- the machine ---- */

static void values_of_the_two_quantisers(void **state)
{
    static const int32_t first[2][5] = {{-4, -2, 0, 2, 4}, {-3, -1, 0, 1, 3}};
    for (unsigned q = 0; q < 2; q++)
        for (int32_t k = -2; k <= 2; k++)
            assert_int_equal(lort_trellis_value(q, k), first[q][k + 2]);
    for (int32_t k = -32768; k <= 32767; k++) {
        assert_int_equal(lort_trellis_value(0, k), 2 * k);
        assert_int_equal(lort_trellis_value(1, k), k > 0 ? 2 * k - 1 : k < 0 ? 2 * k + 1 : 0);
    }
}

/* Written out, so that a change of the state machine fails this test. The format fixes the machine.
 */
static void the_machine_is_the_format(void **state)
{
    static const char quantiser[] = "01011010101001010101101010100101";
    /* bit 0 of the next state for even k */
    static const char even[] = "01100110011001101001100110011001";
    unsigned into[LORT_STATES] = {0};
    for (unsigned s = 0; s < LORT_STATES; s++) {
        assert_int_equal(lort_trellis_quantiser(s), quantiser[s] - '0');
        for (int32_t k = -5; k <= 5; k++)
            assert_int_equal(lort_trellis_next(s, k),
                             2 * s % 32 + ((unsigned)(even[s] - '0') ^ (unsigned)(k & 1)));
        into[lort_trellis_next(s, 0)]++;
        into[lort_trellis_next(s, 1)]++;
    }
    for (unsigned s = 0; s < LORT_STATES; s++)
        assert_int_equal(into[s], 2);
}

/* ---- the search ---- */

static void every_path_can_be_followed(void **state)
{
    static const float scales[] = {0, 1e-30f, 0.1f, 0.5f, 1, 1.6f, 3, 40, 3000, LORT_STEPS_MAX};
    static const int64_t cols[] = {0, 1, 2, 3, 31, 32, 33, 64, 257};
    static const float lambdas[] = {0, 0.1f, LAMBDA, 2};
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
            for (size_t k = 0; k < sizeof lambdas / sizeof *lambdas; k++) {
                search s = search_open(cols[c]);
                for (int64_t j = 0; j < s.cols * LORT_LANES; j++)
                    s.x[j] = scales[i] * uniform(&seed);
                for (int64_t j = 0; j < s.cols; j++)
                    s.col[j] = 1 + uniform(&seed);
                for (int l = 0; l < LORT_LANES; l++)
                    s.row[l] = l % 3 ? 0.3f * (float)l * lambdas[k] : 0;
                search_run(&s, lambdas[k]);
                for (int64_t j = 0; j < s.cols * LORT_LANES; j++)
                    assert_true(abs(s.n[j]) <= scales[i] + 4);
                search_close(&s);
            }
}

/* The largest values that a caller may pass, of one sign and of both, fit the type of n. */
static void the_largest_values_fit(void **state)
{
    search s = search_open(100);
    for (int64_t j = 0; j < s.cols; j++)
        for (int l = 0; l < LORT_LANES; l++)
            s.x[j * LORT_LANES + l] =
                (l & 1 ? -1.0f : 1.0f) * ((l & 2) && (j & 1) ? 0.4f : 1.0f * LORT_STEPS_MAX);
    search_run(&s, LAMBDA);
    for (int64_t j = 0; j < s.cols; j++)
        assert_true(s.n[j * LORT_LANES] >= LORT_STEPS_MAX - 4 &&
                    s.n[j * LORT_LANES + 1] <= -LORT_STEPS_MAX + 4);
    search_close(&s);
}

static void zeros_stay_zeros(void **state)
{
    search s = search_open(100);
    for (int64_t j = 0; j < s.cols * LORT_LANES; j++)
        s.x[j] = j & 1 ? -0.0f : 0.0f;
    search_run(&s, LAMBDA);
    for (int64_t j = 0; j < s.cols * LORT_LANES; j++)
        assert_int_equal(s.n[j], 0);
    search_close(&s);
}

/* The values are spread over many steps. So the entropy of k is that of rounding to even multiples,
 * whose error is 2^2 / 12. */
static void the_gain_over_rounding(void **state)
{
    enum { COLS = 20000 };
    uint64_t seed = 7;
    search s = search_open(COLS);
    float *x = malloc(COLS * LORT_LANES * sizeof *x);
    double error2 = 0;
    assert_non_null(x);
    for (int64_t j = 0; j < COLS * LORT_LANES; j++)
        s.x[j] = x[j] = 500 * uniform(&seed);
    search_run(&s, 0);
    for (int64_t j = 0; j < COLS * LORT_LANES; j++)
        error2 += ((double)x[j] - s.n[j]) * ((double)x[j] - s.n[j]);
    const double gain = 10 * log10(4.0 / 12 / (error2 / (COLS * LORT_LANES)));
    if (!(gain >= 1.18 && gain < 1.53))
        fail_msg("%.3f dB", gain);
    print_message("%.3f dB\n", gain);
    free(x);
    search_close(&s);
}

/* The result of a lane depends neither on the other lanes nor on its place. */
static void lanes_are_independent(void **state)
{
    enum { COLS = 333 };
    uint64_t seed = 3;
    search s = search_open(COLS), t = search_open(COLS);
    for (int64_t j = 0; j < COLS; j++) {
        s.col[j] = t.col[j] = 1 + uniform(&seed);
        for (int l = 0; l < LORT_LANES; l++)
            s.x[j * LORT_LANES + l] = (float)(1 + l * l) * uniform(&seed);
    }
    float *x = malloc(COLS * LORT_LANES * sizeof *x);
    assert_non_null(x);
    memcpy(x, s.x, COLS * LORT_LANES * sizeof *x);
    for (int l = 0; l < LORT_LANES; l++)
        s.row[l] = 0.02f * (float)l;
    search_run(&s, LAMBDA);
    for (int l = 0; l < LORT_LANES; l++) { /* lane l in place l + 1, among noise of other sizes */
        const int at = (l + 1) % LORT_LANES;
        for (int64_t j = 0; j < COLS * LORT_LANES; j++)
            t.x[j] = j % LORT_LANES == at ? x[j - at + l] : 3000 * uniform(&seed);
        for (int k = 0; k < LORT_LANES; k++)
            t.row[k] = k == at ? s.row[l] : 0.5f;
        search_run(&t, LAMBDA);
        for (int64_t j = 0; j < COLS; j++)
            assert_int_equal(t.n[j * LORT_LANES + at], s.n[j * LORT_LANES + l]);
    }
    free(x);
    search_close(&s);
    search_close(&t);
}

static double square_of_difference(float x, int32_t n) { return ((double)x - n) * ((double)x - n); }

/* Returns the least error of `left` values from a state on, over all paths. */
static double least_error(const float *x, int64_t left, unsigned state)
{
    const unsigned q = lort_trellis_quantiser(state);
    double least = left ? INFINITY : 0;
    for (int32_t k = -4; k <= 4 && left; k++) {
        const double error = square_of_difference(*x, lort_trellis_value(q, k)) +
                             least_error(x + LORT_LANES, left - 1, lort_trellis_next(state, k));
        least = error < least ? error : least;
    }
    return least;
}

static void short_paths_are_the_best(void **state)
{
    enum { COLS = 5 };
    uint64_t seed = 11;
    for (int turn = 0; turn < 3; turn++) {
        search s = search_open(COLS);
        float x[COLS * LORT_LANES];
        for (int j = 0; j < COLS * LORT_LANES; j++)
            s.x[j] = x[j] = 4 * uniform(&seed);
        search_run(&s, 0);
        for (int l = 0; l < LORT_LANES; l++) {
            double found = 0;
            for (int j = 0; j < COLS; j++)
                found += square_of_difference(x[j * LORT_LANES + l], s.n[j * LORT_LANES + l]);
            const double least = least_error(x + l, COLS, 0);
            if (!(fabs(found - least) < 1e-4))
                fail_msg("%.6f, the least is %.6f", found, least);
        }
        search_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_the_two_quantisers),
        cmocka_unit_test(the_machine_is_the_format),
        cmocka_unit_test(every_path_can_be_followed),
        cmocka_unit_test(the_largest_values_fit),
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(the_gain_over_rounding),
        cmocka_unit_test(lanes_are_independent),
        cmocka_unit_test(short_paths_are_the_best),
    };
    return run_chosen(tests, NULL, NULL);
}
