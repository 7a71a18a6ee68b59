/* Ranks by the goal: each module by itself, or one threshold for all. */
#include "compress/adapter/ranks.h"
#include "tests/unit/main.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define MODULES 2
#define MOST 64

/* Two modules of 64 x 64; values[i] are squared singular values. */
typedef struct fixture {
    lort_extract_options options;
    lort_extractor x;
    lort_module modules[MODULES];
    lort_pair_tensor tensors[MODULES];
    lort_tensor tensor;
    double values[MODULES][MOST];
} fixture;

static void make(fixture *f, lort_goal goal, double value)
{
    memset(f, 0, sizeof *f);
    lort_extract_options_init(&f->options);
    f->options.goal = goal;
    f->options.value = value;
    f->tensor = (lort_tensor){.name = "a.weight", .name_bytes = 8, .elements = 64 * 64};
    f->x = (lort_extractor){.options = &f->options,
                            .modules = f->modules,
                            .count = MODULES,
                            .gguf = true,
                            .type = lort_dtype_get(LORT_F16),
                            .session.alloc = lort_alloc_heap};
    for (int i = 0; i < MODULES; i++) {
        f->tensors[i] = (lort_pair_tensor){.shape = {1, 64, 64}};
        f->tensors[i].tuned.tensor = f->tensors[i].base.tensor = &f->tensor;
        f->modules[i] = (lort_module){.tensor = &f->tensors[i],
                                      .form = LORT_FORM_LINEAR,
                                      .has_factors = true,
                                      .differs = true,
                                      .values = f->values[i]};
    }
}

/* `count` values of a module that fall by `decay`, of which `above` are above the noise. */
static void set_values(fixture *f, int i, double first, double decay, int count, int above)
{
    lort_module *m = &f->modules[i];
    m->count = count;
    m->above = above;
    for (int k = 0; k < count; k++, first *= decay) {
        f->values[i][k] = first;
        m->norm2 += first;
    }
}

static void choose(fixture *f)
{
    lort_error err = {0};
    assert_int_equal(lort_ranks_choose(&f->x, 0, &err), LORT_OK);
}

static void a_rank_is_that_of_all_but_noise(void **state)
{
    fixture f;
    make(&f, LORT_GOAL_RANK, 0);
    f.options.rank = 10;
    set_values(&f, 0, 1, 0.5, 20, 20);
    set_values(&f, 1, 1, 0.5, 20, 3);
    choose(&f);
    assert_int_equal(f.modules[0].rank, 10);
    assert_int_equal(f.modules[1].rank, 3);
    assert_true(f.modules[1].floored && !f.modules[0].floored);
}

static void an_error_is_that_of_each(void **state)
{
    fixture f;
    make(&f, LORT_GOAL_ERROR, 0.5);
    set_values(&f, 0, 1, 0.5, 30, 30); /* 3 values leave an eighth, 2 a quarter and a little */
    set_values(&f, 1, 1e-6, 1, 40, 40);
    choose(&f);
    assert_int_equal(f.modules[0].rank, 3);
    assert_int_equal(f.modules[1].rank, 31); /* of 40 equal ones 30 are three quarters */
}

static void an_error_out_of_reach_of_the_largest_rank_fails(void **state)
{
    fixture f;
    lort_error err = {0};
    make(&f, LORT_GOAL_ERROR, 0.1);
    f.options.max_rank = 20;
    set_values(&f, 0, 1, 1, 20, 20);
    f.modules[0].norm2 = 100;
    assert_int_equal(lort_ranks_choose(&f.x, 0, &err), LORT_E_NUMERIC);
    assert_non_null(strstr(err.message, "a.weight"));
    f.modules[0].above = 19; /* the noise stops it: no error */
    assert_int_equal(lort_ranks_choose(&f.x, 0, &err), LORT_OK);
    assert_true(f.modules[0].floored);
}

/* Energy of both together: the large update gets the rank, the small one nearly nothing. */
static void an_energy_is_one_threshold(void **state)
{
    fixture f;
    make(&f, LORT_GOAL_ENERGY, 0.9);
    set_values(&f, 0, 100, 0.8, 40, 40);
    set_values(&f, 1, 1, 0.8, 40, 40);
    choose(&f);
    double left = 0, worst_taken = 1e9, best_left = 0;
    for (int i = 0; i < MODULES; i++)
        for (int k = 0; k < 40; k++) {
            const double v = f.values[i][k];
            if (k < f.modules[i].rank)
                worst_taken = v < worst_taken ? v : worst_taken;
            else {
                left += v;
                best_left = v > best_left ? v : best_left;
            }
        }
    assert_true(worst_taken >= best_left);
    assert_true(left <= 0.1 * (f.modules[0].norm2 + f.modules[1].norm2));
    assert_true(left + worst_taken > 0.1 * (f.modules[0].norm2 + f.modules[1].norm2));
    assert_int_equal(f.modules[1].rank, 0);
}

static void an_update_of_low_rank_has_its_own_energy(void **state)
{
    fixture f;
    make(&f, LORT_GOAL_ENERGY, 0.98);
    set_values(&f, 0, 1000, 0.9, 60, 60);
    set_values(&f, 1, 1e-3, 0.7, 20, 8);
    f.modules[1].low = true;
    choose(&f);
    assert_int_equal(f.modules[1].rank, 8); /* not 0, though small */
    f.options.value = 0.5;
    choose(&f);
    assert_int_equal(f.modules[1].rank, 2);
    f.options.goal = LORT_GOAL_DEFAULT;
    choose(&f);
    assert_int_equal(f.modules[1].rank, 8);
}

/* A tenth of the norm is noise, so 0.95 of the rest is 0.855 of all. Noise that would be more than
 * what lies below the floor is not believed. */
static void noise_does_not_count_in_a_share(void **state)
{
    fixture f;
    make(&f, LORT_GOAL_ENERGY, 0.95);
    set_values(&f, 0, 1, 1, 60, 54);
    f.modules[0].noise2 = 6;
    choose(&f);
    assert_int_equal(f.modules[0].rank, 52); /* 51.3 of 54 */
    f.modules[0].noise2 = 600;
    choose(&f);
    assert_int_equal(f.modules[0].rank, 52);
    f.modules[0].noise2 = 0;
    choose(&f);
    assert_int_equal(f.modules[0].rank, 54); /* 57 of 60 are out of reach */
}

static void a_size_is_never_exceeded(void **state)
{
    fixture f;
    make(&f, LORT_GOAL_SIZE, 0);
    set_values(&f, 0, 10, 0.9, 60, 60);
    set_values(&f, 1, 9, 0.9, 60, 60);
    for (uint64_t size = 0; size < 20000; size += 777) {
        uint64_t bytes = 0;
        f.options.size_bytes = size ? size : 1;
        choose(&f);
        for (int i = 0; i < MODULES; i++)
            if (f.modules[i].rank)
                bytes += lort_module_bytes(&f.x, &f.modules[i], f.modules[i].rank);
        assert_true(bytes <= size);
        assert_true(bytes + 256 > size || f.modules[0].rank + f.modules[1].rank == 120);
    }
}

/* Q8_0 fills rows of the left factor in whole blocks; other ranks leave it in F16. */
static void blocks_fill_rows(void **state)
{
    fixture f;
    make(&f, LORT_GOAL_ERROR, 0.3);
    f.x.type = lort_dtype_get(LORT_Q8_0);
    set_values(&f, 0, 1, 1, 40, 40);
    f.modules[0].norm2 = 31; /* rank 29 is enough; 32 takes no more bytes */
    set_values(&f, 1, 1, 0.1, 8, 8);
    choose(&f);
    assert_int_equal(f.modules[0].rank, 32);
    assert_int_equal(f.modules[0].left->id, LORT_Q8_0);
    assert_int_equal(f.modules[1].left->id, LORT_F16);
    assert_int_equal(f.modules[1].right->id, LORT_Q8_0);
    assert_int_equal(lort_module_bytes(&f.x, &f.modules[0], 32), 2 * 64 * 34);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_is_that_of_all_but_noise),
        cmocka_unit_test(an_error_is_that_of_each),
        cmocka_unit_test(an_error_out_of_reach_of_the_largest_rank_fails),
        cmocka_unit_test(an_energy_is_one_threshold),
        cmocka_unit_test(an_update_of_low_rank_has_its_own_energy),
        cmocka_unit_test(noise_does_not_count_in_a_share),
        cmocka_unit_test(a_size_is_never_exceeded),
        cmocka_unit_test(blocks_fill_rows),
    };
    return run_chosen(tests, NULL, NULL);
}
