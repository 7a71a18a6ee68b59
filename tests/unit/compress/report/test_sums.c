/* sums and stamp: layers, bits, sums by kind, and times of day. */
#include "compress/report/course_json.h"
#include "compress/report/sums.h"
#include "tests/unit/main.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_layer_is_the_first_number_of_a_name(void **state)
{
    static const struct {
        const char *name;
        int64_t layer;
    } rows[] = {{"blk.12.attn_q.weight", 12},
                {"model.layers.3.mlp.experts.7.w1.weight", 3},
                {"unet/down.0.weight", 0},
                {"h.05.w", 5},
                {"token_embd.weight", -1},
                {"w1.weight", -1},
                {"a.1b.2", 2},
                {"x.1234567890.w", -1},
                {"..", -1},
                {"7", 7},
                {"", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(lort_layer_of(rows[i].name), rows[i].layer);
}

static const int64_t square[2] = {8, 4}, huge[3] = {INT64_MAX, INT64_MAX, 2};

static lort_tensor_report tensor(const char *name, uint64_t out, double error)
{
    return (lort_tensor_report){.name = name,
                                .n_dims = 2,
                                .shape = square,
                                .action = LORT_ACTION_CODED,
                                .same_as = "",
                                .bytes_in = 64,
                                .bytes_out = out,
                                .rel_error = error};
}

static void bits_are_those_of_the_own_elements(void **state)
{
    lort_tensor_report t = tensor("a", 16, 0.1);
    assert_true(lort_report_bits(&t) == 4);
    t.same_as = "b";
    assert_true(isnan(lort_report_bits(&t)));
    t = tensor("a", 0, 0.1);
    assert_true(isnan(lort_report_bits(&t)));
    t = tensor("a", 16, 0.1);
    t.shape = huge;
    t.n_dims = 3;
    assert_true(isnan(lort_report_bits(&t)));
}

static void kinds_are_summed(void **state)
{
    lort_kind_sums sums[LORT_KINDS_MOST];
    lort_tensor_report tensors[] = {tensor("blk.0.attn_q.weight", 16, 0.1),
                                    tensor("blk.0.ffn_up.weight", 8, NAN),
                                    tensor("blk.1.attn_q.weight", 32, 0.3)};
    const lort_report report = {.tensors = tensors, .tensor_count = 3};
    assert_int_equal(lort_sum_kinds(&report, sums), 2);
    assert_string_equal(sums[0].kind, "attention q");
    assert_int_equal(sums[0].tensors, 2);
    assert_int_equal(sums[0].elements, 64);
    assert_int_equal(sums[0].bytes_in, 128);
    assert_int_equal(sums[0].bytes_out, 48);
    assert_true(sums[0].bits == 6);
    assert_true(fabs(sums[0].mean_error - 0.2) < 1e-15 && sums[0].worst_error == 0.3);
    assert_true(isnan(sums[1].mean_error) && isnan(sums[1].worst_error));
}

static void there_is_room_for_every_kind(void **state)
{
    unsigned kinds = 0;
    while (lort_kind_name(kinds))
        kinds++;
    assert_in_range(kinds, 1, LORT_KINDS_MOST);
}

static void stamps_are_right_in_leap_years_too(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {{1, "1970-01-01T00:00:01Z"},          {951782399, "2000-02-28T23:59:59Z"},
                {951782400, "2000-02-29T00:00:00Z"},  {951868800, "2000-03-01T00:00:00Z"},
                {1709164800, "2024-02-29T00:00:00Z"}, {1796127963, "2026-12-01T12:26:03Z"},
                {4107542400, "2100-03-01T00:00:00Z"}, {1767225599, "2025-12-31T23:59:59Z"}};
    char text[LORT_STAMP_TEXT];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(lort_stamp(rows[i].seconds * 1000000000, text), rows[i].text);
    assert_string_equal(lort_stamp(0, text), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_layer_is_the_first_number_of_a_name),
                                       cmocka_unit_test(bits_are_those_of_the_own_elements),
                                       cmocka_unit_test(kinds_are_summed),
                                       cmocka_unit_test(there_is_room_for_every_kind),
                                       cmocka_unit_test(stamps_are_right_in_leap_years_too)};
    return run_chosen(tests, NULL, NULL);
}
