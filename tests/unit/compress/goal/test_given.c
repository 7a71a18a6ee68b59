/* Options of programs that are older or newer than the library: structs that grew, and structs that
 * nobody initialised. */
#include "tests/unit/main.h"

#include "compress/goal/given.h"
#include <string.h>

/* One struct in three versions. The library has the second one. */
typedef struct first {
    size_t size;
    int a;
} first;
typedef struct second {
    size_t size;
    int a, b;
    double c;
} second;
typedef struct third {
    size_t size;
    int a, b;
    double c;
    const char *d;
} third;

static const second defaults = {sizeof(second), 1, 2, 3};
static const lort_given kind = {"second_init", sizeof(second), offsetof(first, a) + sizeof(int),
                                &defaults};

static void an_older_program_gets_the_defaults(void **state)
{
    first given;
    second full;
    lort_given_init(&kind, &given, sizeof given);
    assert_int_equal(given.size, sizeof given);
    assert_int_equal(given.a, 1);
    given.a = 7;
    assert_int_equal(lort_given_take(&kind, &given, &full, NULL), LORT_OK);
    assert_int_equal(full.size, sizeof full);
    assert_int_equal(full.a, 7);
    assert_int_equal(full.c, 3);
}

/* init writes no byte past the size that the program has. */
static void init_stays_within_the_size(void **state)
{
    uint8_t memory[sizeof(second)];
    memset(memory, 0xAA, sizeof memory);
    lort_given_init(&kind, memory, sizeof(first));
    for (size_t i = sizeof(first); i < sizeof memory; i++)
        assert_int_equal(memory[i], 0xAA);
}

static void a_newer_program_may_leave_new_members_alone(void **state)
{
    third given;
    second full;
    lort_error err = {0};
    memset(&given, 0xFF, sizeof given);
    lort_given_init(&kind, &given, sizeof given);
    assert_null(given.d);
    given.b = 5;
    assert_int_equal(lort_given_take(&kind, &given, &full, &err), LORT_OK);
    assert_int_equal(full.size, sizeof full);
    assert_int_equal(full.b, 5);
    given.d = "new";
    assert_int_equal(lort_given_take(&kind, &given, &full, &err), LORT_E_USAGE);
    assert_non_null(strstr(err.message, "older than the program"));
}

static void no_size_is_an_error(void **state)
{
    const size_t sizes[] = {0, 1, sizeof(size_t), offsetof(first, a) + sizeof(int) - 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const second given = {.size = sizes[i]};
        second full;
        lort_error err = {0};
        assert_int_equal(lort_given_take(&kind, &given, &full, &err), LORT_E_USAGE);
        assert_non_null(strstr(err.message, "not initialised"));
        assert_non_null(strstr(err.message, "call second_init"));
    }
}

/* ---- the commands ---- */

typedef lort_code call_fn(const void *options, lort_report *report, lort_error *err);

static lort_code call_compress(const void *options, lort_report *report, lort_error *err)
{
    return lort_compress("no model", "out", options, NULL, report, err);
}
static lort_code call_plan(const void *options, lort_report *report, lort_error *err)
{
    return lort_plan("no model", options, NULL, report, err);
}
static lort_code call_quantize(const void *options, lort_report *report, lort_error *err)
{
    return lort_quantize("no model", "out", options, NULL, report, err);
}
static lort_code call_extract(const void *options, lort_report *report, lort_error *err)
{
    return lort_extract("no model", "no base", "out", options, NULL, report, err);
}
static lort_code call_inspect(const void *options, lort_report *report, lort_error *err)
{
    return lort_inspect("no model", options, NULL, report, err);
}
static lort_code call_verify(const void *options, lort_report *report, lort_error *err)
{
    return lort_verify("no model", options, NULL, report, err);
}
static lort_code call_restore(const void *options, lort_report *report, lort_error *err)
{
    return lort_restore("no model", "out", options, NULL, report, err);
}
static lort_code call_compare(const void *options, lort_report *report, lort_error *err)
{
    return lort_compare("no model", "no model", -1, options, NULL, report, err);
}
static lort_code call_weights(const void *options, lort_report *report, lort_error *err)
{
    lort_weights *weights;
    *report = (lort_report){0};
    lort_code code = lort_weights_open("no model", options, &weights, err);
    assert_null(weights);
    return code;
}

static void compress_init(void *options, size_t size) { lort_options_init_sized(options, size); }
static void quantize_init(void *options, size_t size)
{
    lort_quantize_options_init_sized(options, size);
}
static void extract_init(void *options, size_t size)
{
    lort_extract_options_init_sized(options, size);
}
static void run_init(void *options, size_t size) { lort_run_options_init_sized(options, size); }
static void verify_init(void *options, size_t size)
{
    lort_verify_options_init_sized(options, size);
}
static void restore_init(void *options, size_t size)
{
    lort_restore_options_init_sized(options, size);
}

/* Every command tells the three cases apart. Else it goes on, and misses the model. */
static void every_command_checks_its_options(void **state)
{
    static const struct {
        call_fn *call;
        void (*init)(void *options, size_t size);
        const char *name;
        size_t size;
    } rows[] = {
        {call_compress, compress_init, "lort_options_init", sizeof(lort_options)},
        {call_plan, compress_init, "lort_options_init", sizeof(lort_options)},
        {call_quantize, quantize_init, "lort_quantize_options_init", sizeof(lort_quantize_options)},
        {call_extract, extract_init, "lort_extract_options_init", sizeof(lort_extract_options)},
        {call_inspect, run_init, "lort_run_options_init", sizeof(lort_run_options)},
        {call_verify, verify_init, "lort_verify_options_init", sizeof(lort_verify_options)},
        {call_restore, restore_init, "lort_restore_options_init", sizeof(lort_restore_options)},
        {call_compare, run_init, "lort_run_options_init", sizeof(lort_run_options)},
        {call_weights, run_init, "lort_run_options_init", sizeof(lort_run_options)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        _Alignas(16) uint8_t options[1024] = {0};
        lort_error err = {0};
        lort_report report;
        memset(&report, 0xAA, sizeof report);
        assert_int_equal(rows[i].call(options, &report, &err), LORT_E_USAGE);
        assert_non_null(strstr(err.message, rows[i].name));
        lort_report_free(&report);
        rows[i].init(options, sizeof options);
        assert_int_not_equal(rows[i].call(options, &report, &err), LORT_OK); /* zero tail */
        assert_null(strstr(err.message, "older than the program"));
        lort_report_free(&report);
        options[sizeof options - 1] = 1;
        assert_int_equal(rows[i].call(options, &report, &err), LORT_E_USAGE);
        assert_non_null(strstr(err.message, "older than the program"));
        lort_report_free(&report);
    }
}

/* `run` of verify and restore is a struct of its own. */
static void nested_options_are_checked_too(void **state)
{
    const lort_run_options none = {0};
    lort_verify_options verify;
    lort_restore_options restore;
    lort_report report = {0};
    lort_error err = {0};
    lort_verify_options_init(&verify);
    lort_restore_options_init(&restore);
    verify.run = restore.run = &none;
    assert_int_equal(lort_verify("no model", &verify, NULL, &report, &err), LORT_E_USAGE);
    assert_non_null(strstr(err.message, "lort_run_options_init"));
    assert_int_equal(lort_restore("no model", "out", &restore, NULL, &report, &err), LORT_E_USAGE);
    assert_non_null(strstr(err.message, "lort_run_options_init"));
}

static void null_means_the_defaults(void **state)
{
    lort_options options;
    lort_report report = {0};
    lort_error err = {0};
    assert_int_equal(lort_given_options(NULL, &options, NULL, &err), LORT_OK);
    assert_int_equal(options.size, sizeof options);
    assert_int_equal(options.max_rank, 256);
    assert_int_equal(lort_verify("no model", NULL, NULL, &report, &err), LORT_E_INPUT);
    lort_report_free(&report);
}

static void the_version_is_that_of_the_header(void **state)
{
    assert_int_equal(lort_api_version(), LORT_API_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_program_gets_the_defaults),
        cmocka_unit_test(init_stays_within_the_size),
        cmocka_unit_test(a_newer_program_may_leave_new_members_alone),
        cmocka_unit_test(no_size_is_an_error),
        cmocka_unit_test(every_command_checks_its_options),
        cmocka_unit_test(nested_options_are_checked_too),
        cmocka_unit_test(null_means_the_defaults),
        cmocka_unit_test(the_version_is_that_of_the_header),
    };
    return run_chosen(tests, NULL, NULL);
}
