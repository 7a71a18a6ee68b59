/* Tests of guess: distances, and which names are near a word. */
#include "compress/cli/ui/guess.h"
#include "tests/unit/main.h"
#include <string.h>

static void distances_count_changes(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } pairs[] = {{"", "", 0},
                 {"plan", "plan", 0},
                 {"", "plan", 4},
                 {"plan", "", 4},
                 {"compres", "compress", 1},
                 {"comppress", "compress", 1},
                 {"compromss", "compress", 2},
                 {"paln", "plan", 1}, /* neighbours exchanged */
                 {"ca", "abc", 3},    /* no letter is changed twice */
                 {"verify", "restore", 6}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const unsigned found = lort_cli_distance(pairs[i].a, strlen(pairs[i].a), pairs[i].b);
        if (found != pairs[i].distance)
            fail_msg("%s, %s: %u", pairs[i].a, pairs[i].b, found);
    }
}

static const char *guess(const char *word, const char *before)
{
    static const char *const names[] = {"compress", "compare", "plan", "plea", "max-error"};
    static char text[200];
    lort_cli_guess guess;
    lort_cli_guess_open(&guess, word);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        lort_cli_guess_add(&guess, names[i]);
    return lort_cli_guess_text(&guess, before, text, sizeof text);
}

static void near_names_are_offered(void **state)
{
    assert_string_equal(guess("compres", ""), " (did you mean compress?)");
    assert_string_equal(guess("max-eror=0.1", "--"), " (did you mean --max-error?)");
    assert_string_equal(guess("PLAN", ""), "");
    assert_string_equal(guess("x", ""), "");
    assert_string_equal(guess("", ""), "");
    assert_string_equal(guess("frobnicate", ""), "");
    /* as near as one another */
    assert_string_equal(guess("max-rrror", ""), " (did you mean max-error?)");
    assert_string_equal(guess("plen", ""), " (did you mean plan, plea?)");
}

static void long_words_and_small_rooms_are_cut(void **state)
{
    char word[200], text[24];
    lort_cli_guess g;
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_string_equal(guess(word, ""), "");
    assert_int_equal(lort_cli_distance(word, strlen(word), word), 0);
    lort_cli_guess_open(&g, "compres");
    lort_cli_guess_add(&g, "compress");
    assert_string_equal(lort_cli_guess_text(&g, "", text, sizeof text), " (did you mean compress");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_count_changes),
        cmocka_unit_test(near_names_are_offered),
        cmocka_unit_test(long_words_and_small_rooms_are_cut),
    };
    return run_chosen(tests, NULL, NULL);
}
