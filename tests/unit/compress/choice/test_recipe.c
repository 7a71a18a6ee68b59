/* recipe: lines for llama-quantize, and what users write. */
#include "compress/choice/recipe.h"
#include "tests/unit/main.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void a_line_matches_one_name(void **state)
{
    static const struct {
        const char *name;
        uint64_t bytes;
        const char *line;
    } lines[] = {
        {"blk.0.attn_q.weight", 19, "^blk\\.0\\.attn_q\\.weight$=Q4_K\n"},
        {"a-b", 3, "^a-b$=Q4_K\n"},
        {"Q.W", 3, "^\\x51\\.\\x57$=Q4_K\n"},
        {"a b=c", 5, "^a\\x20b\\x3dc$=Q4_K\n"},
        {"a+(b)*[c]|d^$\\", 14, "^a\\x2b\\x28b\\x29\\x2a\\x5bc\\x5d\\x7cd\\x5e\\x24\\x5c$=Q4_K\n"},
        {"\n\t\xc3\xa4", 4, "^\\x0a\\x09\\xc3\\xa4$=Q4_K\n"},
        {"", 0, "^$=Q4_K\n"},
    };
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        lort_buffer out = {.alloc = &lort_alloc_heap};
        lort_recipe_put(&out, lines[i].name, lines[i].bytes, lort_dtype_get(LORT_Q4_K));
        assert_int_equal(lort_buffer_check(&out, NULL), LORT_OK);
        assert_int_equal(out.size, strlen(lines[i].line));
        assert_memory_equal(out.data, lines[i].line, out.size);
        lort_buffer_free(&out);
    }
}

static void an_override_is_a_pattern_and_a_type(void **state)
{
    static const struct {
        const char *text, *pattern;
        lort_dtype type;
    } good[] = {
        {"*=Q4_K", "*", LORT_Q4_K},
        {"blk.?.attn_v.weight=q6_k", "blk.?.attn_v.weight", LORT_Q6_K},
        {"a=b=IQ4_xs", "a=b", LORT_IQ4_XS},
        {" =BF16", " ", LORT_BF16},
    };
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_override override;
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(lort_override_parse(good[i].text, &arena, &override, NULL), LORT_OK);
        assert_string_equal(override.pattern, good[i].pattern);
        assert_int_equal(override.type->id, good[i].type);
    }
    lort_arena_free(&arena);
}

static void bad_overrides_are_refused_by_name(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "no \"=\""},
        {"blk.*", "--tensor-type blk.*: no \"=\" (allowed: GLOB=TYPE"},
        {"=Q4_K", "no pattern"},
        {"a=", "\"\" is no type"},
        {"a=Q9_K", "\"Q9_K\" is no type that LoRT writes (allowed: Q2_K, Q3_K,"},
        {"a=Q4_K_M", "BF16, F32)"},
        {"a=Q4_K ", "no type"},
        {"a=IQ2_XXS", "no type"},
        {"a=Q4_KQ4_KQ4_KQ4_KQ4_KQ4_KQ4_KQ4_KQ4_K", "no type"},
    };
    lort_arena arena = {.alloc = &lort_alloc_heap};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        lort_override override = {"x", NULL};
        lort_error err = {0};
        assert_int_equal(lort_override_parse(bad[i].text, &arena, &override, &err), LORT_E_USAGE);
        assert_null(override.pattern);
        if (!strstr(err.message, bad[i].words) || !strstr(err.message, "--tensor-type"))
            fail_msg("%s: %s", bad[i].text, err.message);
    }
    lort_arena_free(&arena);
}

static void the_first_override_wins(void **state)
{
    const lort_override overrides[] = {{"*attn_v*", lort_dtype_get(LORT_Q6_K)},
                                       {"blk.1.*", lort_dtype_get(LORT_Q8_0)}};
    assert_ptr_equal(lort_override_find(overrides, 2, "blk.1.attn_v.weight"), &overrides[0]);
    assert_ptr_equal(lort_override_find(overrides, 2, "blk.1.attn_k.weight"), &overrides[1]);
    assert_null(lort_override_find(overrides, 2, "blk.2.attn_k.weight"));
    assert_null(lort_override_find(NULL, 0, "blk.1.attn_v.weight"));
}

static void lists_of_types_keep_their_order(void **state)
{
    lort_type_list list;
    assert_int_equal(lort_type_list_parse("Q6_K,q2_k,iq4_nl", &list, NULL), LORT_OK);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.types[0]->id, LORT_Q6_K);
    assert_int_equal(list.types[1]->id, LORT_Q2_K);
    assert_int_equal(list.types[2]->id, LORT_IQ4_NL);
    char all[256] = "";
    for (uint32_t i = 0; lort_type_at(i); i++) {
        strcat(all, i ? "," : "");
        strcat(all, lort_type_at(i)->name);
    }
    assert_int_equal(lort_type_list_parse(all, &list, NULL), LORT_OK);
    assert_int_equal(list.count, 15);
}

static void bad_lists_are_refused_by_name(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "\"\" is no type"},
        {",", "\"\" is no type"},
        {"Q4_K,", "\"\" is no type"},
        {"Q4_K,,Q6_K", "\"\" is no type"},
        {"Q4_K, Q6_K", "\" Q6_K\" is no type that LoRT writes (allowed: Q2_K,"},
        {"Q4_K,Q6_K,q4_k", "Q4_K occurs twice"},
        {"Q4_K_M", "\"Q4_K_M\" is no type"},
        {"F64", "\"F64\" is no type"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        lort_type_list list = {.count = 5};
        lort_error err = {0};
        assert_int_equal(lort_type_list_parse(bad[i].text, &list, &err), LORT_E_USAGE);
        assert_int_equal(list.count, 0);
        if (!strstr(err.message, bad[i].words) || !strstr(err.message, "--types"))
            fail_msg("%s: %s", bad[i].text, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_matches_one_name),
        cmocka_unit_test(an_override_is_a_pattern_and_a_type),
        cmocka_unit_test(bad_overrides_are_refused_by_name),
        cmocka_unit_test(the_first_override_wins),
        cmocka_unit_test(lists_of_types_keep_their_order),
        cmocka_unit_test(bad_lists_are_refused_by_name),
    };
    return run_chosen(tests, NULL, NULL);
}
