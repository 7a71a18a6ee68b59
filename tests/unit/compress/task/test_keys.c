/* Keys of runs and tasks: which differences count, what messages name, and what the hash leaves
 * out. Whether an output fits its size is here too. */
#include "compress/task/keys.h"
#include "compress/task/target.h"
#include "tests/unit/main.h"
#include <math.h>

#define KEY                                                                                        \
    "algorithm\t7\noption\tbpw=4\noption\tseed=0\ntask\t0/4\nfile 0\tm\nsize of m\t10\n"           \
    "header of m\tab\ntime of m\t1 2\nsample of m\tcd\n"

static lort_key key_of(const char *text) { return (lort_key){text, strlen(text)}; }

/* The key with one text in place of another. */
static const char *changed(char *out, const char *from, const char *to)
{
    const char *at = strstr(KEY, from);
    assert_non_null(at);
    sprintf(out, "%.*s%s%s", (int)(at - KEY), KEY, to, at + strlen(from));
    return out;
}

static lort_code compare(const char *other, bool tasks, bool *touched, lort_error *err)
{
    *touched = false;
    return lort_key_compare("F", key_of(KEY), key_of(other), tasks, touched, err);
}

static void equal_keys_are_equal(void **state)
{
    (void)state;
    bool touched;
    assert_int_equal(compare(KEY, false, &touched, NULL), LORT_OK);
    assert_false(touched);
}

static void times_raise_doubt_only(void **state)
{
    (void)state;
    char other[400];
    bool touched;
    assert_int_equal(compare(changed(other, "1 2", "1 3"), false, &touched, NULL), LORT_OK);
    assert_true(touched);
}

static void tasks_of_one_model_share_the_rest(void **state)
{
    (void)state;
    char other[400];
    bool touched;
    lort_error err;
    changed(other, "task\t0/4", "task\t3/4");
    assert_int_equal(compare(other, true, &touched, NULL), LORT_OK);
    assert_int_equal(compare(other, false, &touched, &err), LORT_E_USAGE);
    assert_string_equal(err.message, "F was begun with another task: 0/4 there, 3/4 here");
}

static void differences_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
        lort_code code;
    } rows[] = {
        {"bpw=4", "bpw=5", "another option: bpw=4 there, bpw=5 here", LORT_E_USAGE},
        {"option\tseed=0\n", "", "another option: seed=0 there, nothing here", LORT_E_USAGE},
        {"size of m\t10", "size of m\t11", "another size of m: 10 there, 11 here", LORT_E_READ},
        {"\tab", "\tac", "another header of m: ab there, ac here", LORT_E_READ},
        {"\tcd", "\tce", "another sample of m: cd there, ce here", LORT_E_READ},
        {"algorithm\t7", "algorithm\t8", "another algorithm: 7 there, 8 here", LORT_E_USAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char other[400];
        bool touched;
        lort_error err;
        changed(other, rows[i].from, rows[i].to);
        assert_int_equal(compare(other, true, &touched, &err), rows[i].code);
        if (!strstr(err.message, rows[i].words))
            fail_msg("'%s' lacks '%s'", err.message, rows[i].words);
    }
}

static bool same_hash(const char *other)
{
    lort_hash128 a, b;
    assert_int_equal(lort_key_hash(key_of(KEY), &lort_alloc_heap, &a, NULL), LORT_OK);
    assert_int_equal(lort_key_hash(key_of(other), &lort_alloc_heap, &b, NULL), LORT_OK);
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static void the_hash_is_of_what_tasks_share(void **state)
{
    (void)state;
    char other[400];
    assert_true(same_hash(changed(other, "task\t0/4", "task\t1/4")));
    assert_true(same_hash(changed(other, "1 2", "8 9 in doubt at 7")));
    assert_false(same_hash(changed(other, "bpw=4", "bpw=5")));
    assert_false(same_hash(changed(other, "\tcd", "\tce")));
    assert_false(same_hash(changed(other, "option\tseed=0\n", "")));
}

static void a_size_is_met_or_missed_by_so_much(void **state)
{
    (void)state;
    uint64_t over;
    const lort_size_target size = {.size_limit = 1000};
    assert_int_equal(lort_target_check(&size, 1000, 0, &over, NULL), LORT_OK);
    assert_int_equal(over, 0);
    assert_int_equal(lort_target_check(&size, 1001, 0, &over, NULL), LORT_E_NUMERIC);
    assert_int_equal(over, 1);
    const lort_size_target bpw = {.bpw_limit = 4, .elements = 200};
    assert_int_equal(lort_target_check(&bpw, 9999, 100, &over, NULL), LORT_OK);
    assert_int_equal(lort_target_check(&bpw, 9999, 110, &over, NULL), LORT_E_NUMERIC);
    assert_int_equal(over, 11);
    assert_int_equal(lort_target_reserve(100, 8), 100 + 8 + 2 + 16);
    assert_true(isnan(lort_target_bpw(&size, 5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_keys_are_equal),
        cmocka_unit_test(times_raise_doubt_only),
        cmocka_unit_test(tasks_of_one_model_share_the_rest),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(the_hash_is_of_what_tasks_share),
        cmocka_unit_test(a_size_is_met_or_missed_by_so_much),
    };
    return run_chosen(tests, NULL, NULL);
}
