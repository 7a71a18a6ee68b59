/* reasons: every text is found again, and only faults are faults. */
#include "compress/session/reasons.h"
#include "tests/unit/main.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void every_text_is_its_own(void **state)
{
    for (unsigned i = 0; i < LORT_REASON_OTHER; i++) {
        const char *text = lort_reason_text((lort_reason)i);
        assert_int_equal(lort_reason_find(text), i);
        assert_int_equal(*text == '\0', i == LORT_REASON_NONE);
        assert_true(strlen(text) < 60);
    }
    assert_int_equal(lort_reason_find("a reason of a later version"), LORT_REASON_OTHER);
    assert_string_equal(lort_reason_text((lort_reason)LORT_REASONS), "");
}

static void faults_are_weights_that_are_no_numbers_and_methods_that_gave_up(void **state)
{
    for (unsigned i = 0; i < LORT_REASONS; i++)
        assert_int_equal(lort_reason_is_fault((lort_reason)i),
                         i == LORT_REASON_NOT_FINITE || i == LORT_REASON_NOT_CONVERGED);
}

static void states_have_texts(void **state)
{
    assert_string_equal(lort_action_text(LORT_ACTION_KEPT), "kept");
    assert_string_equal(lort_action_text(LORT_ACTION_FACTORED), "factored");
    assert_string_equal(lort_action_text(LORT_ACTION_CODED), "coded");
    assert_string_equal(lort_action_text((lort_action)LORT_ACTIONS), "");
    assert_string_equal(lort_command_text(LORT_COMMAND_RESTORE), "restore");
    assert_string_equal(lort_command_text(LORT_COMMAND_NONE), "");
    assert_string_equal(lort_mode_text(LORT_MODE_STREAM), "stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_is_its_own),
        cmocka_unit_test(faults_are_weights_that_are_no_numbers_and_methods_that_gave_up),
        cmocka_unit_test(states_have_texts),
    };
    return run_chosen(tests, NULL, NULL);
}
