/* Lines of JSON: each is one line and valid UTF-8, whatever the names are, and has its members. */
#include "compress/lort.h"
#include "compress/session/report.h"
#include "tests/unit/main.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static char text[65536];
static unsigned lines;

static void take(void *ctx, const char *line, uint64_t bytes)
{
    assert_ptr_equal(ctx, text);
    assert_true(bytes < sizeof text);
    memcpy(text, line, bytes);
    text[bytes] = '\0';
    lines++;
}

/* The one line that was written, parsed. Strict: UTF-8, no key twice, nothing behind it. */
static json_t *parsed(lort_code code)
{
    json_error_t why;
    assert_int_equal(code, LORT_OK);
    assert_int_equal(lines, 1);
    lines = 0;
    const size_t n = strlen(text);
    assert_true(n > 1 && text[n - 1] == '\n' && strchr(text, '\n') == text + n - 1);
    for (size_t i = 0; i + 1 < n; i++)
        assert_true((unsigned char)text[i] >= 0x20);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        fail_msg("%s in %s", why.text, text);
    assert_int_equal(json_integer_value(json_object_get(root, "v")), 1);
    return root;
}

static json_t *of_event(const lort_event *event)
{
    return parsed(lort_event_json(event, take, text, NULL));
}

static void is_text(const json_t *root, const char *key, const char *wanted)
{
    const json_t *value = json_object_get(root, key);
    if (!wanted)
        assert_true(json_is_null(value));
    else
        assert_string_equal(json_string_value(value), wanted);
}

/* Names as LoRT never makes them, and as files may spell them. */
static void hostile_names_are_text(void **state)
{
    static const struct {
        const char *name, *read;
    } names[] = {
        {"plain", "plain"},
        {"quote\" back\\slash", "quote\" back\\slash"},
        {"line\nfeed \033[31m\177", "line\nfeed \033[31m\177"},
        {"\xC3\xA4\xE2\x80\xAE\xF0\x9F\x92\xA9", "\xC3\xA4\xE2\x80\xAE\xF0\x9F\x92\xA9"},
        {"\xE2\x80\xA8 separator", "\xE2\x80\xA8 separator"},
        {"\xED\xA0\x80", "\\xED\\xA0\\x80"},          /* a surrogate */
        {"\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"}, /* beyond Unicode */
        {"cut \xC3", "cut \\xC3"},
        {"\xC0\x80", "\\xC0\\x80"}, /* too long a form */
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const lort_tensor_report tensor = {.name = names[i].name};
        json_t *root = of_event(&(lort_event){.kind = LORT_EVENT_PROGRESS, .tensor = &tensor});
        is_text(root, "in_work", names[i].read);
        json_decref(root);
        root = of_event(&(lort_event){.kind = LORT_EVENT_TENSOR, .tensor = &tensor});
        is_text(json_object_get(root, "tensor"), "name", names[i].read ? names[i].read : "");
        json_decref(root);
        root = of_event(&(lort_event){.kind = LORT_EVENT_WARNING, .text = names[i].name});
        is_text(root, "message", names[i].read);
        json_decref(root);
    }
    assert_null(strstr(text, "\xE2\x80\xAE"));
}

static void format_characters_come_by_number(void **state)
{
    json_t *root = of_event(&(lort_event){.kind = LORT_EVENT_NOTE, .text = "a\xE2\x80\xAE"});
    assert_non_null(strstr(text, "\"message\":\"a\\u202e\""));
    is_text(root, "type", "note");
    json_decref(root);
}

static void unknown_figures_are_null(void **state)
{
    const lort_event event = {.kind = LORT_EVENT_PROGRESS,
                              .phase = LORT_PHASE_READING_BACK,
                              .share = 0.5,
                              .seconds_left = NAN,
                              .bytes_per_second = INFINITY,
                              .worst_error = NAN,
                              .done_bytes = UINT64_MAX};
    json_t *root = of_event(&event);
    is_text(root, "phase", "reading back");
    is_text(root, "command", NULL);
    is_text(root, "seconds_left", NULL);
    is_text(root, "bytes_per_second", NULL);
    is_text(root, "worst_error", NULL);
    is_text(root, "in_work", NULL);
    assert_true(json_real_value(json_object_get(root, "share")) == 0.5);
    assert_true(json_integer_value(json_object_get(root, "done_bytes")) == INT64_MAX);
    json_decref(root);
}

static void errors_and_ends(void **state)
{
    lort_report report = {.command = LORT_COMMAND_VERIFY};
    lort_error err;
    assert_int_equal(lort_error_json(&report, take, text, &err), LORT_E_USAGE);
    assert_int_equal(lines, 0);
    lort_fail(&report.error, LORT_E_DAMAGED, "it is \"broken\"");
    lort_error_file(&report.error, "a\xFF");
    json_t *root = parsed(lort_error_json(&report, take, text, NULL));
    is_text(root, "type", "error");
    is_text(root, "command", "verify");
    is_text(root, "name", "damaged");
    is_text(root, "message", "it is \"broken\"");
    is_text(root, "file", "a\\xFF");
    is_text(root, "tensor", NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "code")), LORT_E_DAMAGED);
    json_decref(root);
    root = parsed(lort_end_json(&report, 143, take, text, NULL)); /* a zeroed report */
    is_text(root, "type", "end");
    is_text(root, "worst_error", NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "code")), 143);
    json_decref(root);
    assert_int_equal(lort_report_open(&report, NULL), LORT_OK);
    report.output_bytes = 12;
    root = parsed(lort_end_json(&report, 0, take, text, NULL));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "output"), "bytes")),
                     12);
    json_decref(root);
    lort_report_free(&report);
}

/* No memory: no line, and no leak (asan). */
static unsigned allocations, failing;
static void *scarce(size_t bytes) { return ++allocations == failing ? NULL : malloc(bytes); }

static void without_memory_there_is_no_line(void **state)
{
    const lort_tensor_report tensor = {.name = "a", .n_dims = 1, .shape = &(const int64_t){3}};
    const lort_event event = {.kind = LORT_EVENT_TENSOR, .tensor = &tensor};
    lort_error err = {0};
    lort_code code = LORT_E_MEMORY;
    json_set_alloc_funcs(scarce, free);
    for (failing = 1; code == LORT_E_MEMORY && failing < 10000; failing++) {
        allocations = lines = 0;
        code = lort_event_json(&event, take, text, &err);
        assert_int_equal(lines, code == LORT_OK);
    }
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(code, LORT_OK);
    assert_true(failing > 50);
    lines = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hostile_names_are_text),
                                       cmocka_unit_test(format_characters_come_by_number),
                                       cmocka_unit_test(unknown_figures_are_null),
                                       cmocka_unit_test(errors_and_ends),
                                       cmocka_unit_test(without_memory_there_is_no_line)};
    return run_chosen(tests, NULL, NULL);
}
