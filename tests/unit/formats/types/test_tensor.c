/* Tests of the index of tensors by name, and of the matrices of a tensor. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/base/hash.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_model.h"

#define COLLIDING 300 /* names, in a table of 1024 slots */

static lort_arena arena = {.alloc = &lort_alloc_heap};

static int tear_down(void **state)
{
    lort_arena_free(&arena);
    return 0;
}

static lort_tensor *take_tensors(uint64_t count)
{
    void *memory;
    assert_int_equal(lort_arena_take(&arena, count * sizeof(lort_tensor), &memory, NULL), LORT_OK);
    return memory;
}

static void set_name(lort_tensor *tensor, const char *name)
{
    assert_int_equal(lort_arena_text(&arena, name, strlen(name), &tensor->name, NULL), LORT_OK);
    tensor->name_bytes = (uint32_t)strlen(name);
}

static void names_are_found_and_others_are_not(void **state)
{
    enum { COUNT = 5000 };
    lort_index index = {.tensors = take_tensors(COUNT), .count = COUNT};
    char name[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        set_name(&index.tensors[i], name);
    }
    assert_int_equal(lort_index_build(&index, &arena, NULL), LORT_OK);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        assert_ptr_equal(lort_index_find(&index, name, strlen(name)), &index.tensors[i]);
        snprintf(name, sizeof name, "blk.%d.bias", i);
        assert_null(lort_index_find(&index, name, strlen(name)));
    }
    assert_null(lort_index_find(&index, "", 0));
    assert_null(lort_index_find(&index, "blk.1.weigh", 11));
    assert_null(lort_index_find(&(lort_index){0}, "a", 1));
}

static void a_name_twice_is_refused_and_named(void **state)
{
    lort_index index = {.tensors = take_tensors(3), .count = 3};
    lort_error err;
    set_name(&index.tensors[0], "a");
    set_name(&index.tensors[1], "b\n");
    set_name(&index.tensors[2], "b\n");
    assert_int_equal(lort_index_build(&index, &arena, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "'b\\x0A' occurs twice"));
    index.count = 2;
    assert_int_equal(lort_index_build(&index, &arena, NULL), LORT_OK);
}

/* Finds names whose hashes end in the same ten bits. */
static void fill_colliding(lort_tensor *tensors, int count)
{
    char name[32];
    for (int made = 0, i = 0; made < count; i++) {
        snprintf(name, sizeof name, "t%d", i);
        if ((lort_name_hash(name, strlen(name)) & 1023) == 7)
            set_name(&tensors[made++], name);
    }
}

/* A few names reach the limit. Without a limit n of them cost n * n / 2 probes. */
static void names_made_to_collide_are_refused(void **state)
{
    lort_index index = {.tensors = take_tensors(COLLIDING), .count = COLLIDING};
    lort_error err;
    fill_colliding(index.tensors, COLLIDING);
    assert_int_equal(lort_index_build(&index, &arena, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "made to collide"));
}

/* Names may collide by chance: the index finds all of fewer names than the limit, in a table of
 * equal size. */
static void some_collisions_are_no_fault(void **state)
{
    enum { SOME = 200 };
    lort_index index = {.tensors = take_tensors(COLLIDING), .count = COLLIDING};
    char name[32];
    fill_colliding(index.tensors, SOME);
    for (int i = SOME; i < COLLIDING; i++) {
        snprintf(name, sizeof name, "other%d", i);
        set_name(&index.tensors[i], name);
    }
    assert_int_equal(lort_index_build(&index, &arena, NULL), LORT_OK);
    for (int i = 0; i < COLLIDING; i++)
        assert_ptr_equal(
            lort_index_find(&index, index.tensors[i].name, index.tensors[i].name_bytes),
            &index.tensors[i]);
}

static void an_index_without_memory_is_refused(void **state)
{
    tiny_failing none;
    lort_arena empty = {.alloc = &none.alloc};
    lort_index index = {.tensors = take_tensors(1), .count = 1};
    set_name(&index.tensors[0], "a");
    tiny_failing_start(&none, 0);
    assert_int_equal(lort_index_build(&index, &empty, NULL), LORT_E_MEMORY);
    assert_null(lort_index_find(&index, "a", 1));
}

static void the_last_two_dimensions_are_the_matrix(void **state)
{
    static const struct {
        uint32_t n;
        int64_t dims[4];
        lort_matrices want;
    } cases[] = {{0, {0}, {1, 1, 1}},
                 {1, {5}, {1, 1, 5}},
                 {2, {3, 5}, {1, 3, 5}},
                 {4, {2, 7, 3, 5}, {14, 3, 5}},
                 {3, {0, 3, 5}, {0, 3, 5}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_tensor tensor = {.n_dims = cases[i].n, .dims = cases[i].dims};
        lort_matrices m = lort_tensor_matrices(&tensor);
        assert_int_equal(m.slices, cases[i].want.slices);
        assert_int_equal(m.rows, cases[i].want.rows);
        assert_int_equal(m.cols, cases[i].want.cols);
    }
}

static void a_shape_is_shown_and_cut_where_it_is_long(void **state)
{
    static const int64_t dims[] = {2048, 768};
    lort_tensor tensor = {.n_dims = 2, .dims = dims};
    char out[32], little[6];
    assert_string_equal(lort_shape_text(&tensor, out, sizeof out), "[2048, 768]");
    assert_string_equal(lort_shape_text(&tensor, little, sizeof little), "[2048");
    tensor.n_dims = 0;
    assert_string_equal(lort_shape_text(&tensor, out, sizeof out), "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(names_are_found_and_others_are_not, tear_down),
        cmocka_unit_test_teardown(a_name_twice_is_refused_and_named, tear_down),
        cmocka_unit_test_teardown(names_made_to_collide_are_refused, tear_down),
        cmocka_unit_test_teardown(some_collisions_are_no_fault, tear_down),
        cmocka_unit_test_teardown(an_index_without_memory_is_refused, tear_down),
        cmocka_unit_test(the_last_two_dimensions_are_the_matrix),
        cmocka_unit_test(a_shape_is_shown_and_cut_where_it_is_long),
    };
    return run_chosen(tests, NULL, NULL);
}
