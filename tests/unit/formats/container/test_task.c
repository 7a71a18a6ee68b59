/* Records of tasks: what they say comes back, and named malformed ones are refused. */
#include "formats/base/bytes.h"
#include "formats/container/task.h"
#include "tests/unit/main.h"

static const lort_task_record sound = {.task = 1,
                                       .tasks = 4,
                                       .first = 2,
                                       .end = 5,
                                       .extents = 9,
                                       .key = {{1, 2}},
                                       .shares = {{3}},
                                       .parts = {{4}},
                                       .size_limit = 1000,
                                       .bpw_limit = 4.5,
                                       .reserve = 7,
                                       .elements = 123,
                                       .counted = 456,
                                       .fail_above = -1,
                                       .zstd_level = 3,
                                       .index_bytes = 120,
                                       .file_size = 5000};

static void a_task_comes_back(void **state)
{
    (void)state;
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_task_record got;
    lort_task_record_put(&sound, &out);
    assert_int_equal(out.size, LORT_TASK_BODY);
    assert_int_equal(lort_task_record_get(out.data, out.size, &got, NULL), LORT_OK);
    lort_buffer again = {.alloc = &lort_alloc_heap};
    lort_task_record_put(&got, &again);
    assert_int_equal(again.size, out.size);
    assert_memory_equal(again.data, out.data, out.size);
    assert_int_equal(got.end, 5);
    assert_int_equal(got.file_size, 5000);
    lort_buffer_free(&again);
    lort_buffer_free(&out);
}

static void malformed_tasks_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint32_t at;
        uint64_t value;
        unsigned bytes;
        const char *words;
    } rows[] = {
        {"another mark", 0, 0, 1, "another mark"},
        {"task of its own number", 8, 4, 4, "task 4 of 4"},
        {"no tasks", 12, 0, 4, "task 1 of 0"},
        {"too many tasks", 12, 65537, 4, "at most 65536"},
        {"a run that ends before it begins", 24, 1, 8, "[2, 1) of 9"},
        {"a run beyond the model", 24, 10, 8, "[2, 10) of 9"},
        {"bits per weight that are no number", 96, 0x7ff8000000000000, 8, "not a finite number"},
        {"bits per weight below zero", 96, 0xbff0000000000000, 8, "allowed: 0 and above"},
        {"an infinite limit", 128, 0x7ff0000000000000, 8, "not a finite number"},
        {"zstd level 0", 136, 0, 4, "zstd level 0"},
        {"zstd level 20", 136, 20, 4, "zstd level 20"},
        {"reserved bytes", 170, 1, 1, "not zero"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lort_buffer out = {.alloc = &lort_alloc_heap};
        uint8_t value[8];
        lort_task_record got;
        lort_error err = {0};
        lort_task_record_put(&sound, &out);
        lort_store_u64(value, rows[i].value);
        memcpy(out.data + rows[i].at, value, rows[i].bytes);
        if (lort_task_record_get(out.data, out.size, &got, &err) != LORT_E_DAMAGED ||
            !strstr(err.message, rows[i].words))
            fail_msg("%s: '%s'", rows[i].what, err.message);
        assert_int_equal(got.tasks, 0);
        lort_buffer_free(&out);
    }
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    lort_buffer task = {.alloc = &lort_alloc_heap}, curves = {.alloc = &lort_alloc_heap};
    lort_task_record t;
    lort_curves_record c;
    static const uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};
    const lort_curves_record record = {.task = 1,
                                       .tasks = 2,
                                       .first = 3,
                                       .count = 2,
                                       .key = "a\tb\n",
                                       .key_bytes = 4,
                                       .each = 3,
                                       .curves = bytes};
    lort_task_record_put(&sound, &task);
    lort_curves_record_put(&record, &curves);
    for (uint64_t n = 0; n < task.size; n++)
        assert_int_equal(lort_task_record_get(task.data, n, &t, NULL), LORT_E_DAMAGED);
    for (uint64_t n = 0; n < curves.size; n++)
        assert_int_equal(lort_curves_record_get(curves.data, n, &c, NULL), LORT_E_DAMAGED);
    assert_int_equal(lort_curves_record_get(curves.data, curves.size, &c, NULL), LORT_OK);
    assert_int_equal(c.first, 3);
    assert_int_equal(c.key_bytes, 4);
    assert_memory_equal(c.curves, bytes, sizeof bytes);
    lort_put_u8(&task, 0);
    lort_put_u8(&curves, 0);
    assert_int_equal(lort_task_record_get(task.data, task.size, &t, NULL), LORT_E_DAMAGED);
    assert_int_equal(lort_curves_record_get(curves.data, curves.size, &c, NULL), LORT_E_DAMAGED);
    lort_buffer_free(&task);
    lort_buffer_free(&curves);
}

/* Counts that no body can hold. */
static void curves_that_claim_too_much_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        uint64_t value;
        unsigned bytes;
    } rows[] = {
        {16, UINT64_MAX, 8},     /* jobs behind the last number */
        {24, UINT64_MAX / 2, 8}, /* curves */
        {32, 0, 4},              /* bytes of a curve */
        {32, 65537, 4},
        {36, UINT32_MAX, 4}, /* bytes of the key */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lort_buffer out = {.alloc = &lort_alloc_heap};
        uint8_t value[8];
        lort_curves_record got;
        const lort_curves_record record = {
            .tasks = 1, .count = 1, .key = "", .each = 1, .curves = value};
        lort_store_u64(value, rows[i].value);
        lort_curves_record_put(&record, &out);
        memcpy(out.data + rows[i].at, value, rows[i].bytes);
        assert_int_equal(lort_curves_record_get(out.data, out.size, &got, NULL), LORT_E_DAMAGED);
        assert_null(got.curves);
        lort_buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_comes_back),
        cmocka_unit_test(malformed_tasks_are_refused),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(curves_that_claim_too_much_are_refused),
    };
    return run_chosen(tests, NULL, NULL);
}
