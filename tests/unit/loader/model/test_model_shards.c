/* Tests of numbered sets: which of the names of a folder belong together, and what lacks. */
#include "loader/model/model_shards.h"
#include "tests/unit/main.h"
#include <string.h>

#define NAMES(...)                                                                                 \
    (const char *const[]) { __VA_ARGS__, NULL }

static lort_folder folder_of(const char *const *names)
{
    lort_folder folder = {.path = "", .names = names};
    while (names[folder.count])
        folder.count++;
    return folder;
}

static lort_shard_sets find(const char *const *names)
{
    lort_folder folder = folder_of(names);
    lort_shard_sets sets;
    assert_int_equal(lort_shard_sets_find(&folder, &lort_alloc_heap, &sets, NULL), LORT_OK);
    return sets;
}

static void a_set_is_prefix_count_and_ending(void **state)
{
    (void)state;
    lort_shard_sets sets =
        find(NAMES("a-00001-of-00002.fp16.safetensors", "a-00001-of-00002.safetensors",
                   "a-00001-of-00003.safetensors", "a-00002-of-00002.safetensors",
                   "b-00002-of-00002.safetensors", "config.json", "b-00001-of-00002.safetensors"));
    static const uint32_t set_of[] = {0, 1, 2, 1, 3, LORT_NO_SET, 3};
    assert_int_equal(sets.count, 4);
    assert_memory_equal(sets.set_of, set_of, sizeof set_of);
    assert_int_equal(sets.sets[0].lack, 1);
    assert_int_equal(sets.sets[1].lack, 0);
    assert_int_equal(sets.sets[2].lack, 2);
    assert_string_equal(lort_shard_set_member(&sets, &sets.sets[3], 0),
                        "b-00001-of-00002.safetensors");
    assert_int_equal(lort_shard_sets_of(&sets, "config.json"), LORT_NO_SET);
    assert_int_equal(lort_shard_sets_of(&sets, "a-00002-of-00002.safetensors"), 1);
    lort_shard_sets_free(&sets);
    lort_shard_sets_free(NULL);
}

static void numbers_may_start_at_zero_and_occur_twice(void **state)
{
    (void)state;
    lort_shard_sets sets = find(NAMES("a-0-of-2.safetensors", "a-1-of-2.safetensors"));
    assert_int_equal(sets.sets[0].lack, 0);
    lort_shard_sets_free(&sets);
    sets = find(NAMES("a-0-of-2.safetensors", "a-1-of-2.safetensors", "a-2-of-2.safetensors"));
    assert_int_equal(sets.sets[0].have, 3);
    assert_int_equal(sets.sets[0].lack, 0);
    lort_shard_sets_free(&sets);
    sets = find(NAMES("a-0-of-2.safetensors", "a-2-of-2.safetensors"));
    assert_int_equal(sets.sets[0].lack, 1);
    lort_shard_sets_free(&sets);
    sets = find(NAMES("a-01-of-2.safetensors", "a-1-of-2.safetensors"));
    assert_int_equal(sets.sets[0].have, 1);
    assert_int_equal(sets.set_of[1], LORT_NO_SET);
    lort_shard_sets_free(&sets);
}

static void what_lacks_is_said(void **state)
{
    (void)state;
    lort_error err = {0};
    lort_shard_sets sets = find(NAMES("a-2-of-3.safetensors", "b-1-of-1.safetensors",
                                      "c-1-of-2.safetensors", "c-2-of-2.safetensors"));
    assert_int_equal(lort_shard_set_check(&sets, 0, &err), LORT_E_INPUT);
    assert_string_equal(err.message,
                        "2 of 3 shards are missing: a-1-of-3.safetensors, a-3-of-3.safetensors; is "
                        "the download complete? Beside it is a complete set, c-1-of-2.safetensors "
                        "to c-2-of-2.safetensors: name one of its files to take that set");
    assert_int_equal(lort_shard_set_check(&sets, 1, &err), LORT_OK);
    assert_int_equal(lort_shard_set_check(&sets, 2, &err), LORT_OK);
    lort_shard_sets_free(&sets);
}

static void no_names_are_no_sets(void **state)
{
    (void)state;
    lort_shard_sets sets = find((const char *const[]){NULL});
    assert_int_equal(sets.count, 0);
    lort_shard_sets_free(&sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_prefix_count_and_ending),
        cmocka_unit_test(numbers_may_start_at_zero_and_occur_twice),
        cmocka_unit_test(what_lacks_is_said),
        cmocka_unit_test(no_names_are_no_sets),
    };
    return run_chosen(tests, NULL, NULL);
}
