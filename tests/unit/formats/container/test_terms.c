/* Tests the tables of terms and arrays. */
#include "formats/container/terms.h"
#include "tests/unit/main.h"

static void reserved_and_future_kinds_have_no_row(void **state)
{
    assert_null(lort_term_get(LORT_TERM_SCALE));
    assert_null(lort_term_get(LORT_TERM_KINDS));
    assert_null(lort_term_get(UINT32_MAX));
    assert_string_equal(lort_term_get(LORT_TERM_INTEGERS)->name, "integers");
}

static void every_array_belongs_to_a_term(void **state)
{
    assert_true(lort_term_get(LORT_TERM_BASE)->base);
    for (uint32_t array = LORT_ARRAY_RAW; array <= LORT_ARRAY_OUTLIERS; array++) {
        const lort_array_info *info = lort_array_get(LORT_ARRAY_ID(array, 5));
        const lort_term_info *term = lort_term_get((uint32_t)info->term);
        assert_non_null(term);
        /* a right side has a type of its own, and only blocks may be several frames */
        assert_true(!info->right || term->two_sided);
        assert_true(!info->frames || term->blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserved_and_future_kinds_have_no_row),
        cmocka_unit_test(every_array_belongs_to_a_term),
    };
    return run_chosen(tests, NULL, NULL);
}
