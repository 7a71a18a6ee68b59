/* Tests of the Hub's JSON: the commit, the list of files, and texts that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/remote/hub_list.h"
#include "tests/unit/main.h"

#define SHA1 "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* Adds an exact-size copy of the text. */
static lort_code add(lort_hub_list *list, const char *text, lort_error *err)
{
    const size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    const lort_code code = lort_hub_list_add(list, copy, n, err);
    free(copy);
    return code;
}

static void a_list(void **state)
{
    lort_hub_list list = {.arena.alloc = &lort_alloc_heap};
    lort_error err = {0};
    assert_int_equal(add(&list,
                         "[{\"type\":\"file\",\"path\":\"z/model.gguf\",\"size\":5000000000,"
                         "\"oid\":\"" SHA1 "\",\"lfs\":{\"oid\":\"" SHA256
                         "\",\"size\":5000000000,\"pointerSize\":134},\"xetHash\":null},"
                         "{\"type\":\"directory\",\"path\":\"z\",\"size\":0,\"oid\":\"\"}]",
                         &err),
                     LORT_OK);
    assert_int_equal(add(&list,
                         "[{\"path\":\"b \\u00e9.json\",\"oid\":\"" SHA1
                         "\",\"size\":0,\"type\":\"file\",\"lfs\":null,"
                         "\"more\":{\"path\":\"..\",\"deep\":[[[{}]]]}}]",
                         &err),
                     LORT_OK);
    assert_int_equal(add(&list, "[]", &err), LORT_OK);
    assert_int_equal(lort_hub_list_sort(&list, &err), LORT_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.files[0].name, "b \xc3\xa9.json");
    assert_string_equal(list.files[0].etag, SHA1);
    assert_true(!list.files[0].has_sha256 && list.files[0].size == 0);
    assert_string_equal(list.files[1].name, "z/model.gguf");
    assert_string_equal(list.files[1].etag, SHA256);
    assert_true(list.files[1].has_sha256 && list.files[1].size == 5000000000);
    assert_int_equal(list.files[1].sha256[1], 0x11);
    assert_int_equal(list.files[1].sha256[31], 0xff);
    lort_hub_list_free(&list);
}

static void many_files(void **state)
{
    lort_hub_list list = {.arena.alloc = &lort_alloc_heap};
    char text[200], name[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "[{\"type\":\"file\",\"path\":\"f%03u\",\"size\":%u}]",
                 i * 7 % 1000, i);
        assert_int_equal(add(&list, text, NULL), LORT_OK);
    }
    assert_int_equal(lort_hub_list_sort(&list, NULL), LORT_OK);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "f%03u", i);
        assert_string_equal(list.files[i].name, name);
        assert_int_equal(list.files[i].size * 7 % 1000, i);
    }
    lort_hub_list_free(&list);
}

static void odd_names_are_counted(void **state)
{
    lort_hub_list list = {.arena.alloc = &lort_alloc_heap};
    assert_int_equal(add(&list,
                         "[{\"type\":\"file\",\"path\":\"aux\",\"size\":1},"
                         "{\"type\":\"file\",\"path\":\"a/b:c\",\"size\":1},"
                         "{\"type\":\"file\",\"path\":\"a//b\",\"size\":1},"
                         "{\"type\":\"file\",\"path\":\"...\",\"size\":1},"
                         "{\"type\":\"file\",\"path\":\"a.\",\"size\":1},"
                         "{\"type\":\"file\",\"path\":\"a\\n\",\"size\":1}]",
                         NULL),
                     LORT_OK);
    assert_int_equal(list.count, 0);
    assert_int_equal(list.odd, 6);
    lort_hub_list_free(&list);
}

#define FILE(members) "[{\"type\":\"file\"," members "}]"

static void lists_that_are_refused(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "expected"},
        {"{}", "no array"},
        {"[1]", "no object"},
        {"[[]]", "no object"},
        {"[{}]", "no type or no path"},
        {"[{\"type\":\"file\"}]", "no type or no path"},
        {"[{\"path\":\"a\"}]", "no type or no path"},
        {"[{\"type\":1}]", "wrong member"},
        {FILE("\"path\":\"a\""), "no size"},
        {FILE("\"path\":7"), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":-1"), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":1.5"), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":\"1\""), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":18446744073709551615"), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":1,\"size\":1"), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":1,\"oid\":\"XY\""), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":1,\"oid\":\"" SHA256 "0\""), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":1,\"lfs\":7"), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":1,\"lfs\":{}"), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":1,\"lfs\":{\"oid\":\"" SHA1 "\"}"), "wrong member"},
        {FILE("\"path\":\"a\",\"size\":1,\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":2}"), "or two"},
        {FILE("\"path\":\"\",\"size\":1"), "leaves the repository"},
        {FILE("\"path\":\"..\",\"size\":1"), "leaves the repository"},
        {FILE("\"path\":\"a/../b\",\"size\":1"), "leaves the repository"},
        {FILE("\"path\":\"a/..\",\"size\":1"), "leaves the repository"},
        {FILE("\"path\":\"/a\",\"size\":1"), "leaves the repository"},
        {FILE("\"path\":\"a\\\\b\",\"size\":1"), "leaves the repository"},
        {FILE("\"path\":\"C:b\",\"size\":1"), "leaves the repository"},
        {FILE("\"path\":\"a\\u0000\",\"size\":1"), "leaves the repository"},
        {FILE("\"path\":\"a\",\"size\":1") "x", "expected"},
        {"[{\"type\":\"directory\",\"path\":\"../a\"}]", "leaves the repository"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_hub_list list = {.arena.alloc = &lort_alloc_heap};
        lort_error err = {0};
        assert_int_equal(add(&list, cases[i].text, &err), LORT_E_READ);
        assert_int_equal(err.code, LORT_E_READ);
        if (!strstr(err.message, cases[i].words))
            fail_msg("%s: %s", cases[i].text, err.message);
        lort_hub_list_free(&list);
    }
}

static void cut_lists_are_refused(void **state)
{
    static const char text[] = FILE("\"path\":\"a\",\"size\":1,\"oid\":\"" SHA1
                                    "\",\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":1}");
    char cut[sizeof text];
    for (size_t n = 0; n < sizeof text - 1; n++) {
        lort_hub_list list = {.arena.alloc = &lort_alloc_heap};
        memcpy(cut, text, n);
        cut[n] = 0;
        assert_int_equal(add(&list, cut, NULL), LORT_E_READ);
        lort_hub_list_free(&list);
    }
    lort_hub_list list = {.arena.alloc = &lort_alloc_heap};
    assert_int_equal(add(&list, text, NULL), LORT_OK);
    lort_hub_list_free(&list);
}

static void equal_names_are_refused(void **state)
{
    lort_hub_list list = {.arena.alloc = &lort_alloc_heap};
    lort_error err = {0};
    for (int i = 0; i < 2; i++)
        assert_int_equal(add(&list, FILE("\"path\":\"a\",\"size\":1"), &err), LORT_OK);
    assert_int_equal(lort_hub_list_sort(&list, &err), LORT_E_READ);
    assert_non_null(strstr(err.message, "'a' twice"));
    lort_hub_list_free(&list);
}

static void commits(void **state)
{
    static const struct {
        const char *text, *words; /* no words: it is fine */
    } cases[] = {
        {"{\"sha\":\"" SHA1 "\"}", NULL},
        {"{\"id\":\"a/b\",\"siblings\":[{\"sha\":\"x\"}],\"sha\":\"" SHA1 "\",\"x\":null}", NULL},
        {"{\"siblings\":[{\"sha\":\"" SHA1 "\"}]}", "has no 'sha'"},
        {"{}", "has no 'sha'"},
        {"[]", "is no object"},
        {"{\"sha\":\"" SHA1 "\"", "expected"},
        {"{\"sha\":\"" SHA1 "\"}}", "expected"},
        {"{\"sha\":\"" SHA1 "\",\"sha\":\"" SHA1 "\"}", "no commit of 40"},
        {"{\"sha\":\"" SHA256 "\"}", "no commit of 40"},
        {"{\"sha\":\"../../../../../../../../../../../../../x\"}", "no commit of 40"},
        {"{\"sha\":1}", "no commit of 40"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char commit[LORT_COMMIT_DIGITS + 1] = "x";
        lort_error err = {0};
        const lort_code code =
            lort_hub_list_commit(cases[i].text, strlen(cases[i].text), commit, &err);
        assert_int_equal(code, cases[i].words ? LORT_E_READ : LORT_OK);
        assert_string_equal(commit, cases[i].words ? "" : SHA1);
        if (cases[i].words && !strstr(err.message, cases[i].words))
            fail_msg("%s: %s", cases[i].text, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list),
        cmocka_unit_test(many_files),
        cmocka_unit_test(odd_names_are_counted),
        cmocka_unit_test(lists_that_are_refused),
        cmocka_unit_test(cut_lists_are_refused),
        cmocka_unit_test(equal_names_are_refused),
        cmocka_unit_test(commits),
    };
    return run_chosen(tests, NULL, NULL);
}
