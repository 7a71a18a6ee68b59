/* The entropy coder: tables are right, symbols come back, and they cost little more than their
 * entropy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/coder/rans.h"
#include "tests/unit/main.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t random_word(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static unsigned total_of(const uint16_t *frequency)
{
    unsigned sum = 0;
    for (unsigned s = 0; s < LORT_SYMBOLS; s++)
        sum += frequency[s];
    return sum;
}

/* Counts about normal in pairs of symbols, of deviation `pairs`; some symbols are left out. */
static void fill_seen(uint32_t *seen, unsigned low, double pairs, uint32_t count, uint64_t *seed)
{
    memset(seen, 0, LORT_SYMBOLS * sizeof *seen);
    for (unsigned s = 0; s < 2 * LORT_PAIRS - (low == 0); s++) {
        const double m = (s + (low == 0)) / 2 / pairs;
        seen[s] = (uint32_t)(count * exp(-m * m / 2) / pairs *
                             (0.9 + 0.2 * (random_word(seed) % 1000) / 1000));
    }
    seen[LORT_ESCAPE] = random_word(seed) % 3;
    seen[0] += 1;
}

/* ---- tables ---- */

static void frequencies_are_whole_tables(void **state)
{
    uint64_t seed = 1;
    for (unsigned low = 0; low < 2; low++)
        for (double pairs = 0.05; pairs < 200; pairs *= 1.7)
            for (uint32_t count = 1; count < 2000000; count *= 7) {
                uint32_t seen[LORT_SYMBOLS];
                uint16_t frequency[LORT_SYMBOLS], again[LORT_SYMBOLS];
                lort_shape shape = {.low = (uint8_t)low};
                fill_seen(seen, low, pairs, count, &seed);
                lort_shape_fit(seen, &shape, frequency);
                assert_true(shape.pairs >= 1 && shape.pairs <= LORT_PAIRS && shape.code[0] >= 1);
                assert_int_equal(total_of(frequency), LORT_RANS_TOTAL);
                for (unsigned s = 0; s < LORT_SYMBOLS; s++)
                    assert_true(frequency[s] > 0 || seen[s] == 0);
                assert_true(lort_shape_frequencies(&shape, again));
                assert_memory_equal(frequency, again, sizeof frequency);
            }
}

/* Any counts work: one symbol alone, or all but symbol 0, and often. */
static void frequencies_of_odd_counts(void **state)
{
    for (unsigned low = 0; low < 2; low++)
        for (unsigned s = 0; s < LORT_SYMBOLS; s += s == LORT_ESCAPE - 2 ? 2 : 1)
            for (int turn = 0; turn < 3; turn++) {
                uint32_t seen[LORT_SYMBOLS] = {0};
                uint16_t frequency[LORT_SYMBOLS];
                lort_shape shape = {.low = (uint8_t)low};
                for (unsigned i = 0; i < 2 * LORT_PAIRS - (low == 0); i++)
                    seen[i] = turn == 0 ? 0 : turn == 1 ? i > 0 : 1000 * (i == s);
                seen[s] += turn == 1 ? 10000000 : 1;
                if (low == 0 && s >= LORT_ESCAPE - 2 && s < LORT_ESCAPE)
                    continue;
                lort_shape_fit(seen, &shape, frequency);
                assert_int_equal(total_of(frequency), LORT_RANS_TOTAL);
                for (unsigned i = 0; i < LORT_SYMBOLS; i++)
                    assert_true(frequency[i] > 0 || seen[i] == 0);
            }
}

/* Examples of the format, computed by hand. */
static void frequencies_are_the_format(void **state)
{
    static const struct {
        lort_shape shape;
        uint16_t first[4], escape;
    } cases[] = {
        {{.low = 0, .pairs = 1, .code = {5}}, {4096}, 0},
        /* 8192, 2 x 4096 and 4096 of 20480, rounded down */
        {{.low = 0, .pairs = 2, .escape = 1, .code = {9, 1}}, {1639, 819, 819}, 819},
        {{.low = 1, .pairs = 1, .escape = 0, .code = {77}}, {2048, 2048}, 0},
        {{.low = 2, .pairs = 2, .escape = 0, .code = {1, 1}}, {1024, 1024, 1024, 1024}, 0},
        /* at least 1 */
        {{.low = 0, .pairs = 2, .escape = 0, .code = {128, 1}}, {4094, 1, 1}, 0},
        {{.low = 0, .pairs = 2, .escape = 0, .code = {2, 1}}, {1446, 1325, 1325}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint16_t frequency[LORT_SYMBOLS];
        assert_true(lort_shape_frequencies(&cases[i].shape, frequency));
        assert_memory_equal(frequency, cases[i].first, sizeof cases[i].first);
        assert_int_equal(frequency[LORT_ESCAPE], cases[i].escape);
        assert_int_equal(total_of(frequency), LORT_RANS_TOTAL);
    }
}

static void tables_without_a_place_for_symbol_0(void **state)
{
    uint16_t frequency[LORT_SYMBOLS];
    lort_shape shape = {.low = 1, .pairs = LORT_PAIRS, .escape = 1};
    memset(shape.code, 1, sizeof shape.code);
    shape.code[1] = LORT_CODE_MOST; /* takes all but the frequencies that are rounded up */
    assert_false(lort_shape_frequencies(&shape, frequency));
    shape.code[0] = LORT_CODE_MOST;
    assert_true(lort_shape_frequencies(&shape, frequency));
}

static void slots_are_the_frequencies(void **state)
{
    uint64_t seed = 3;
    uint32_t seen[LORT_SYMBOLS], *slots = malloc(LORT_RANS_TOTAL * sizeof *slots), start = 0;
    uint16_t frequency[LORT_SYMBOLS];
    lort_shape shape = {.low = 0};
    assert_non_null(slots);
    fill_seen(seen, 0, 9, 100000, &seed);
    lort_shape_fit(seen, &shape, frequency);
    lort_rans_slots(frequency, slots);
    for (uint32_t s = 0; s < LORT_SYMBOLS; start += frequency[s], s++)
        for (uint32_t i = 0; i < frequency[s]; i++)
            assert_int_equal(slots[start + i], (uint32_t)frequency[s] << 19 | i << 7 | s);
    assert_int_equal(start, LORT_RANS_TOTAL);
    free(slots);
}

/* ---- symbols ---- */

/* The reader of docs/FORMAT.md, one symbol at a time. */
static unsigned take_symbol(const uint16_t *frequency, uint32_t *x, const uint16_t **words)
{
    uint32_t slot = *x % LORT_RANS_TOTAL, start = 0;
    unsigned s = 0;
    while (slot >= start + frequency[s])
        start += frequency[s++];
    *x = frequency[s] * (*x / LORT_RANS_TOTAL) + slot - start;
    if (*x < LORT_RANS_LOW)
        *x = *x << 16 | *(*words)++;
    return s;
}

typedef struct two_tables { /* contexts 0 and 1 */
    uint16_t frequency[2][LORT_SYMBOLS];
    lort_rans_code codes[2 * LORT_SYMBOLS];
} two_tables;

static two_tables make_tables(double first, double second, uint64_t *seed)
{
    two_tables t;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t seen[LORT_SYMBOLS];
        lort_shape shape = {.low = (uint8_t)i};
        fill_seen(seen, i, i ? second : first, 1000000, seed);
        lort_shape_fit(seen, &shape, t.frequency[i]);
        lort_rans_codes(t.frequency[i], t.codes + i * LORT_SYMBOLS);
    }
    return t;
}

/* Draws each symbol as often as its frequency says. */
static unsigned draw(const uint16_t *frequency, uint64_t *seed)
{
    uint32_t at = random_word(seed) % LORT_RANS_TOTAL;
    unsigned s = 0;
    while (at >= frequency[s])
        at -= frequency[s++];
    return s;
}

static void symbols_come_back_near_their_entropy(void **state)
{
    static const double spreads[][2] = {{0.01, 0.3}, {1, 2}, {5, 20}, {40, 60}};
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof spreads / sizeof *spreads; i++)
        for (unsigned lanes = 1; lanes <= LORT_LANES; lanes += lanes == 1 ? 6 : 9) {
            const int64_t cols = 5000;
            const two_tables t = make_tables(spreads[i][0], spreads[i][1], &seed);
            uint16_t *tokens = malloc((size_t)cols * LORT_LANES * sizeof *tokens),
                     *words = malloc((size_t)cols * LORT_LANES * sizeof *words);
            uint16_t *end = words + cols * LORT_LANES;
            uint32_t states[LORT_LANES];
            double bits = 0;
            assert_true(tokens && words);
            for (int64_t k = 0; k < cols * LORT_LANES; k++) {
                const unsigned context = random_word(&seed) & 1,
                               symbol = draw(t.frequency[context], &seed);
                tokens[k] = (uint16_t)(context * LORT_SYMBOLS + symbol);
                bits += k % LORT_LANES < lanes ? LORT_RANS_BITS - log2(t.frequency[context][symbol])
                                               : 0;
            }
            for (unsigned l = 0; l < LORT_LANES; l++)
                states[l] = LORT_RANS_LOW;
            const uint16_t *at = lort_rans_encode(t.codes, tokens, cols, lanes, states, end);
            const double took = 16.0 * (double)(end - at) + 32 * lanes;
            if (!(took <= bits * 1.0005 + 32 * lanes && took >= bits - 1))
                fail_msg("%.0f bits for %.0f", took, bits);
            for (int64_t c = 0; c < cols; c++)
                for (unsigned l = 0; l < lanes; l++) {
                    const unsigned token = tokens[c * LORT_LANES + l];
                    assert_true(states[l] >= LORT_RANS_LOW && states[l] >> 31 == 0);
                    assert_int_equal(
                        take_symbol(t.frequency[token / LORT_SYMBOLS], &states[l], &at),
                        token % LORT_SYMBOLS);
                }
            assert_ptr_equal(at, end);
            for (unsigned l = 0; l < LORT_LANES; l++)
                assert_int_equal(states[l], LORT_RANS_LOW);
            free(tokens);
            free(words);
        }
}

/* Every frequency, at states where a quotient changes. */
static void divisions_are_exact(void **state)
{
    uint64_t seed = 7;
    for (uint32_t f = 1; f <= LORT_RANS_TOTAL; f++) {
        uint16_t frequency[LORT_SYMBOLS] = {(uint16_t)f, (uint16_t)(LORT_RANS_TOTAL - f)}, words[1];
        lort_rans_code codes[LORT_SYMBOLS];
        const uint16_t token[LORT_LANES] = {0};
        lort_rans_codes(frequency, codes);
        for (int i = 0; i < 300; i++) {
            const uint32_t most = f << (31 - LORT_RANS_BITS),
                           near = random_word(&seed) % (most / f) * f;
            uint32_t x = i < 100   ? random_word(&seed) % most
                         : i < 200 ? near
                         : near    ? near - 1
                                   : most - 1;
            if (x < LORT_RANS_LOW)
                continue;
            uint32_t states[LORT_LANES] = {x};
            assert_ptr_equal(lort_rans_encode(codes, token, 1, 1, states, words + 1), words + 1);
            assert_int_equal(states[0], x / f * LORT_RANS_TOTAL + x % f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_whole_tables),
        cmocka_unit_test(frequencies_of_odd_counts),
        cmocka_unit_test(frequencies_are_the_format),
        cmocka_unit_test(tables_without_a_place_for_symbol_0),
        cmocka_unit_test(slots_are_the_frequencies),
        cmocka_unit_test(symbols_come_back_near_their_entropy),
        cmocka_unit_test(divisions_are_exact),
    };
    return run_chosen(tests, NULL, NULL);
}
