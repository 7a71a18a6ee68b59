/* Reports: the contract of the builder, and JSON with null for figures that were not measured. */
#define _GNU_SOURCE /* mkdtemp */
#include "compress/session/json_place.h"
#include "compress/session/report.h"
#include "compress/session/type_totals.h"
#include "tests/unit/main.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

static int make_directory(void **state)
{
    strcpy(directory, "/tmp/lort-report-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "%s/r.json", directory);
    unlink(path);
    snprintf(path, sizeof path, "%s/other", directory);
    unlink(path);
    return rmdir(directory); /* fails if a partial file was left */
}

/* The text of a file; static. */
static const char *read_text(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    return text;
}

/* The report as JSON text; static. */
static const char *json_of(const lort_report *report)
{
    char path[128];
    snprintf(path, sizeof path, "%s/r.json", directory);
    assert_int_equal(lort_report_json(report, path, NULL), LORT_OK);
    return read_text(path);
}

static void has(const char *json, const char *wanted)
{
    if (!strstr(json, wanted))
        fail_msg("no %s in %s", wanted, json);
}

static void test_empty_report_is_all_null(void **state)
{
    lort_report report;
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    const char *json = json_of(&report);
    has(json, "\"lort\": \"" LORT_VERSION "\"");
    has(json, "\"mode\": null");
    has(json, "\"worst_error\": null");
    has(json, "\"cgroup_peak_bytes\": null");
    has(json, "\"threshold\": 0.8");
    has(json, "\"tensors\": []");
    assert_null(strstr(json, "\"meta\""));
    lort_report_free(&report);
    assert_null(report.owner);
    lort_report_free(&report); /* accepts a zeroed report */
    lort_report_free(NULL);
}

static void test_tensors_default_to_unmeasured(void **state)
{
    const int64_t dims[] = {3, 5};
    lort_report report;
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    assert_int_equal(lort_report_tensors(&report, 2, NULL), LORT_OK);
    assert_int_equal(report.tensor_count, 2);
    assert_true(isnan(report.tensors[1].rel_error) && isnan(report.tensors[1].cosine));
    lort_tensor_report *t = &report.tensors[0];
    t->name = lort_report_escape(&report, "a\"\n\xff", 4);
    t->shape = lort_report_shape(&report, dims, 2);
    t->n_dims = 2;
    t->bytes_in = UINT64_MAX; /* more than JSON's integers hold */
    t->rel_error = 0.05;
    const char *json = json_of(&report);
    has(json, "\"rel_error\": 0.05,");
    has(json, "\"rel_error\": null");
    has(json, "\"weighted_error\": null");
    has(json, "\"bytes_in\": 9223372036854775807");
    has(json, "\"name\": \"a\\\"\\\\x0A\\\\xFF\"");
    has(json, "3,");
    assert_int_equal(lort_report_check(&report, NULL), LORT_OK);
    lort_report_free(&report);
}

/* Escaped texts are not cut, whatever their last bytes are. */
static void test_escaped_texts_are_whole(void **state)
{
    static const char *const ends[] = {
        "", "a", "\n", "\\", "\xff", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xc3", "ab\xff\xff"};
    char text[64], whole[512];
    lort_report report;
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    for (size_t n = 0; n < 40; n++)
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            memset(text, n % 3 ? 'x' : 1, n);
            memcpy(text + n, ends[i], strlen(ends[i]));
            const size_t bytes = n + strlen(ends[i]);
            assert_string_equal(lort_report_escape(&report, text, bytes),
                                lort_escape(whole, sizeof whole, text, bytes));
        }
    lort_report_free(&report);
}

static void test_sources_and_metadata(void **state)
{
    lort_report report;
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    assert_int_equal(lort_report_sources(&report, 1, NULL), LORT_OK);
    report.sources[0] = (lort_source_report){
        .name = "cgroup v2", .where = "/sys/fs/cgroup/memory.max", .bytes = 12345, .binds = true};
    assert_int_equal(lort_report_meta(&report, 5, NULL), LORT_OK);
    report.meta[0] = (lort_meta_report){.key = "count", .type = "uint32", .text = "4"};
    report.meta[1] =
        (lort_meta_report){.key = "name", .type = "string", .text = "4", .is_text = true};
    report.meta[2] = (lort_meta_report){.key = "scale", .type = "float32", .text = "nan"};
    report.meta[3] = (lort_meta_report){
        .key = "tokens", .type = "string", .text = "", .count = 512, .is_array = true};
    report.meta[4] =
        (lort_meta_report){.key = "empty", .type = "string", .text = "", .is_text = true};
    const char *json = json_of(&report);
    has(json, "\"bytes\": 12345");
    has(json, "\"value\": 4\n");
    has(json, "\"value\": \"4\"");
    has(json, "\"value\": \"nan\"");
    has(json, "\"count\": 512,\n   \"value\": null");
    has(json, "\"value\": \"\"");
    lort_report_free(&report);
}

static const int64_t few[] = {2, 3}, none[] = {4, 0}, huge[] = {INT64_MAX, 3};

static void totals_of(lort_report *report, const lort_tensor_report *tensors, uint64_t count)
{
    assert_int_equal(lort_report_open(report, NULL), LORT_OK);
    assert_int_equal(lort_report_tensors(report, count, NULL), LORT_OK);
    for (uint64_t i = 0; i < count; i++) {
        report->tensors[i] = tensors[i];
        report->tensors[i].name = "";
    }
    assert_int_equal(lort_report_type_totals(report, NULL), LORT_OK);
}

static void test_totals_of_types(void **state)
{
    const lort_tensor_report tensors[] = {
        {.dtype = "F32", .type = "F32", .n_dims = 2, .shape = few, .bytes_in = 24, .bytes_out = 24},
        {.dtype = "F16",
         .type = "F32",
         .n_dims = 2,
         .shape = few,
         .bytes_in = 12,
         .rel_error = NAN},
        {.dtype = "F32",
         .type = "Q4_0",
         .n_dims = 0,
         .shape = none,
         .bytes_in = 40,
         .rel_error = 0.25},
        {.dtype = "F16",
         .type = "F32",
         .n_dims = 2,
         .shape = none,
         .bytes_in = 12,
         .rel_error = NAN},
        {.dtype = "F32",
         .type = "Q4_0",
         .n_dims = 2,
         .shape = few,
         .bytes_in = 24,
         .rel_error = 0.5},
        {.dtype = "F32",
         .type = "Q4_0",
         .n_dims = 2,
         .shape = few,
         .bytes_in = 8,
         .rel_error = NAN},
    };
    lort_report report;
    totals_of(&report, tensors, 6);
    assert_int_equal(report.type_count, 3);
    const lort_type_report *t = report.types;
    assert_string_equal(t[0].type, "Q4_0");
    assert_int_equal(t[0].tensors, 3);
    assert_int_equal(t[0].elements, 1 + 6 + 6); /* no dims: a scalar */
    assert_int_equal(t[0].bytes, 72);
    assert_true(t[0].worst_error == 0.5 && t[0].mean_error == 0.375);
    assert_string_equal(t[1].dtype, "F16"); /* as many bytes: by name */
    assert_int_equal(t[1].elements, 6);
    assert_true(isnan(t[1].worst_error) && isnan(t[1].mean_error));
    assert_int_equal(t[2].bytes_out, 24);
    assert_true(t[2].worst_error == 0 && t[2].mean_error == 0);
    assert_int_equal(lort_report_elements(&report), 13 + 6 + 6);
    const char *json = json_of(&report);
    has(json,
        "\"types\": [\n  {\n   \"dtype\": \"F32\",\n   \"type\": \"Q4_0\",\n   \"tensors\": 3,");
    has(json, "\"bytes_out\": null");
    lort_report_free(&report);
}

/* Of a hostile header: any number of types, and sums beyond 2^64. */
static void test_totals_are_bounded(void **state)
{
    enum { COUNT = 1000 };
    static char names[COUNT][12];
    static lort_tensor_report tensors[COUNT];
    lort_report report;
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "type%u", i);
        tensors[i] = (lort_tensor_report){
            .dtype = names[i], .type = "", .n_dims = 1, .shape = few, .bytes_in = 1};
    }
    totals_of(&report, tensors, COUNT);
    assert_int_equal(report.type_count, LORT_TYPE_TOTALS);
    assert_string_equal(report.types[0].dtype, LORT_TYPE_OTHERS);
    assert_int_equal(report.types[0].tensors, COUNT - LORT_TYPE_TOTALS + 1);
    assert_int_equal(lort_report_elements(&report), 2 * COUNT);
    lort_report_free(&report);
    for (unsigned i = 0; i < COUNT; i++)
        tensors[i] = (lort_tensor_report){.dtype = "F32",
                                          .type = "",
                                          .n_dims = i == 9 ? 2 : 1,
                                          .shape = huge,
                                          .bytes_in = UINT64_MAX / 4};
    totals_of(&report, tensors, COUNT);
    assert_true(report.types[0].elements == UINT64_MAX && report.types[0].bytes == UINT64_MAX);
    assert_true(lort_report_elements(&report) == UINT64_MAX);
    lort_report_free(&report);
    totals_of(&report, tensors + 9, 1); /* a product beyond 2^63 counts as none */
    assert_int_equal(report.types[0].elements, 0);
    lort_report_free(&report);
    totals_of(&report, tensors, 0);
    assert_int_equal(report.type_count, 0);
    lort_report_free(&report);
}

static void test_warnings_grow_and_are_bounded(void **state)
{
    lort_report report;
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    for (int i = 0; i < LORT_REPORT_WARNINGS + 5; i++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "warning %d", i);
        assert_string_equal(lort_report_warn(&report, "warning %d", i), wanted);
        if (i + 1 < LORT_REPORT_WARNINGS) /* each stands there once */
            assert_null(lort_report_warn(&report, "warning %d", i));
    }
    assert_int_equal(report.warning_count, LORT_REPORT_WARNINGS);
    assert_string_equal(report.warnings[0], "warning 0");
    assert_string_equal(report.warnings[500], "warning 500");
    assert_string_equal(report.warnings[LORT_REPORT_WARNINGS - 1], "and 6 more warnings");
    lort_report_free(&report);
}

static void test_running_out_of_memory_is_remembered(void **state)
{
    lort_report report;
    lort_error err = {0};
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    assert_int_equal(lort_report_tensors(&report, UINT64_MAX / 2, &err), LORT_E_MEMORY);
    assert_int_equal(err.code, LORT_E_MEMORY);
    assert_int_equal(report.tensor_count, 0);
    assert_string_equal(lort_report_text(&report, "%d", 7), "7");
    assert_int_equal(lort_report_check(&report, NULL), LORT_E_MEMORY); /* the first failure stays */
    lort_report_free(&report);
}

static void test_unwritable_places(void **state)
{
    lort_report report;
    lort_error err = {0};
    char path[128];
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    snprintf(path, sizeof path, "%s/nowhere/r.json", directory);
    assert_int_equal(lort_report_json(&report, path, &err), LORT_E_WRITE);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(lort_report_json(&report, "/dev/full", &err), LORT_E_WRITE);
        assert_non_null(strstr(err.message, "/dev/full"));
    }
    lort_report_free(&report);
}

/* JSON gives format characters by number, so that they come back and a terminal sees none. Warnings
 * are printable at once. */
static void test_format_characters(void **state)
{
    static const char name[] = "a\xE2\x80\xAE\xF3\xA0\x80\x81\xEF\xBB\xBF\xC3\xA9\033";
    lort_report report;
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    assert_int_equal(lort_report_tensors(&report, 1, NULL), LORT_OK);
    report.tensors[0].name = lort_report_escape(&report, name, sizeof name - 1);
    lort_report_warn(&report, "%s is odd", report.tensors[0].name);
    const char *json = json_of(&report);
    has(json, "\"name\": \"a\\u202e\\udb40\\udc01\\ufeff\xC3\xA9\\\\x1B\"");
    has(json, "\"a\\\\xE2\\\\x80\\\\xAE\\\\xF3");
    assert_null(strstr(json, "\xE2\x80\xAE"));
    lort_report_free(&report);
}

static bool is_own(const char *text)
{
    return lort_json_is_own((const uint8_t *)text, strlen(text));
}

static void test_reports_are_known_by_their_head(void **state)
{
    static const char *const foreign[] = {"",
                                          "{}",
                                          "{\n \"lort\": \"",
                                          "{\n \"lort\": \"0.1.0\"",
                                          "{\n \"lort\": \"\",\n \"command\": \"plan\"",
                                          "{\n \"lort\": \"0.1.0\"\n}",
                                          "{\"lort\": \"0.1.0\", \"command\": \"plan\"",
                                          "{\n \"model\": \"0.1.0\",\n \"command\": \"plan\""};
    lort_report report;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_false(is_own(foreign[i]));
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    report.command = LORT_COMMAND_PLAN;
    assert_true(is_own(json_of(&report)));
    lort_report_free(&report);
}

/* ---- failures ---- */

static void test_failures_are_told(void **state)
{
    lort_report report;
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    report.command = LORT_COMMAND_VERIFY;
    has(json_of(&report), "\"error\": null");
    lort_fail(&report.error, LORT_E_DAMAGED, "it is broken");
    lort_error_file(&report.error, "d/a\n.lort");
    lort_error_file(&report.error, "farther"); /* the nearest name stays */
    lort_error_tensor(&report.error, "t", 1);
    const char *json = json_of(&report);
    has(json, "\"code\": 8");
    has(json, "\"name\": \"damaged\"");
    has(json, "\"message\": \"it is broken\"");
    has(json, "\"file\": \"d/a\\\\x0A.lort\"");
    has(json, "\"tensor\": \"t\"");
    lort_report_free(&report);
}

/* A command that failed before it began a report: nothing is known, and nothing is 0 by mistake. */
static void test_a_zeroed_report_tells_its_failure(void **state)
{
    lort_report report = {.command = LORT_COMMAND_PLAN};
    lort_fail(&report.error, LORT_E_USAGE, "no such option");
    const char *json = json_of(&report);
    assert_true(is_own(json));
    has(json, "\"name\": \"usage\"");
    has(json, "\"file\": null");
    has(json, "\"bpw\": null");
    has(json, "\"worst_error\": null");
    has(json, "\"tensors\": []");
}

static void test_several_reports_are_a_list(void **state)
{
    char path[128];
    lort_json *json;
    lort_report reports[3] = {0};
    for (unsigned i = 0; i < 3; i++)
        reports[i].command = LORT_COMMAND_VERIFY;
    lort_fail(&reports[1].error, LORT_E_DAMAGED, "the second");
    lort_fail(&reports[2].error, LORT_E_INPUT, "the third");
    snprintf(path, sizeof path, "%s/r.json", directory);
    assert_int_equal(lort_json_open(path, NULL, NULL, &json, NULL), LORT_OK);
    assert_int_equal(lort_json_write_list(json, reports, 3, NULL), LORT_OK);
    lort_json_close(json);
    const char *text = read_text(path);
    assert_true(is_own(text));
    const char *results = strstr(text, "\"results\": [");
    assert_non_null(results);
    const char *first = strstr(text, "the second"), *again = strstr(results, "the second");
    assert_true(first && first < results && again);
    assert_true(strstr(results, "the third") > again);
    assert_null(strstr(text, "\"tensors\": null"));
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool holds(const char *path, const char *text)
{
    char found[64] = "";
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    found[fread(found, 1, sizeof found - 1, file)] = '\0';
    fclose(file);
    return strcmp(found, text) == 0;
}

/* Only an empty file and an earlier report are replaced; a link never is. */
static void test_foreign_files_stay(void **state)
{
    char path[128], other[128];
    lort_error err = {0};
    lort_json *json;
    lort_report report;
    snprintf(path, sizeof path, "%s/r.json", directory);
    snprintf(other, sizeof other, "%s/other", directory);
    put_file(path, "notes");
    assert_int_equal(lort_json_open(path, NULL, NULL, &json, &err), LORT_E_EXISTS);
    assert_null(json);
    assert_non_null(strstr(err.message, "r.json"));
    assert_true(holds(path, "notes"));
    put_file(path, "");
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    json_of(&report); /* replaces the empty file */
    json_of(&report); /* and its own */
    assert_int_equal(link(path, other), 0);
    assert_int_equal(lort_report_json(&report, path, &err), LORT_E_EXISTS);
    unlink(path);
    put_file(other, "notes");
    assert_int_equal(symlink("other", path), 0);
    assert_int_equal(lort_report_json(&report, path, &err), LORT_E_EXISTS);
    assert_true(holds(other, "notes"));
    lort_report_free(&report);
}

/* A place that is opened and not written leaves what was there. */
static void test_unwritten_places_leave_nothing(void **state)
{
    char path[128];
    lort_json *json;
    snprintf(path, sizeof path, "%s/r.json", directory);
    assert_int_equal(lort_json_open(path, NULL, NULL, &json, NULL), LORT_OK);
    lort_json_close(json);
    assert_int_equal(access(path, F_OK), -1);
    lort_json_close(NULL);
}

static bool stops(void *asked)
{
    ++*(int *)asked;
    return true;
}

/* remove_directory removes "other". */
static void test_fifos(void **state)
{
    char path[128], filler[4096] = "";
    int asked = 0;
    lort_error err = {0};
    lort_json *json;
    lort_report report;
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    signal(SIGPIPE, SIG_IGN);
    snprintf(path, sizeof path, "%s/other", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(lort_json_open(path, NULL, NULL, &json, &err), LORT_E_WRITE);
    assert_non_null(strstr(err.message, "FIFO that no process reads"));
    const int reader = open(path, O_RDONLY | O_NONBLOCK),
              writer = open(path, O_WRONLY | O_NONBLOCK);
    assert_true(reader >= 0 && writer >= 0);
    assert_int_equal(lort_report_json(&report, path, &err), LORT_OK);
    while (write(writer, filler, sizeof filler) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(lort_json_open(path, stops, &asked, &json, &err), LORT_OK);
    assert_int_equal(lort_json_write(json, &report, &err), LORT_E_STOPPED);
    assert_true(asked > 1); /* it waits for a while */
    lort_json_close(json);
    assert_int_equal(lort_json_open(path, NULL, NULL, &json, &err), LORT_OK);
    close(reader);
    assert_int_equal(lort_json_write(json, &report, &err), LORT_E_WRITE);
    lort_json_close(json);
    close(writer);
    lort_report_free(&report);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_empty_report_is_all_null),
                                       TEST(test_tensors_default_to_unmeasured),
                                       TEST(test_escaped_texts_are_whole),
                                       TEST(test_sources_and_metadata),
                                       TEST(test_totals_of_types),
                                       TEST(test_totals_are_bounded),
                                       TEST(test_warnings_grow_and_are_bounded),
                                       TEST(test_running_out_of_memory_is_remembered),
                                       TEST(test_unwritable_places),
                                       TEST(test_format_characters),
                                       TEST(test_reports_are_known_by_their_head),
                                       TEST(test_failures_are_told),
                                       TEST(test_a_zeroed_report_tells_its_failure),
                                       TEST(test_several_reports_are_a_list),
                                       TEST(test_foreign_files_stay),
                                       TEST(test_unwritten_places_leave_nothing),
                                       TEST(test_fifos)};
    return run_chosen(tests, NULL, NULL);
}
