/* Tests of the JSON scanner: its tokens, texts that it refuses, unescaped strings, exact
 * integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/inputs/json.h"
#include "tests/unit/main.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One letter for each token; "!" for a failure. The text is an exact-size copy. */
static const char *tokens(const char *text, uint64_t size, char *out, lort_error *err)
{
    static const char letters[] = "!.{}[]kSNtfn";
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, text, size);
    lort_json j = lort_json_start(copy, size, err);
    size_t n = 0;
    lort_json_token token;
    do {
        token = lort_json_next(&j);
        out[n++] = letters[token];
    } while (token != LORT_JSON_ERROR && token != LORT_JSON_END && n < 400);
    out[n] = 0;
    if (token == LORT_JSON_ERROR) { /* and the failure stays */
        assert_int_equal(lort_json_next(&j), LORT_JSON_ERROR);
        assert_int_equal(j.code, LORT_E_INPUT);
    }
    free(copy);
    return out;
}

static void test_tokens(void **state)
{
    static const struct {
        const char *text, *tokens;
    } cases[] = {
        {"{}", "{}."},
        {" [ ] ", "[]."},
        {"\t\r\n1\n", "N."},
        {"{\"a\":1,\"b\":[true,false,null,\"x\"],\"c\":{}}", "{kNk[tfnS]k{}}."},
        {"[[],[[]],{}]", "[[][[]]{}]."},
        {"\"\"", "S."},
        {"[0,-0,10,-1.5,1e3,1E+3,2.5e-10]", "[NNNNNNN]."},
        {"{ \"a\" : [ 1 , 2 ] }", "{k[NN]}."},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00\"", "S."},
        {"\"\xc3\xa9\xf0\x9f\x98\x80\"", "S."},
        {"\"\x7f\"", "S."},
    };
    char out[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(tokens(cases[i].text, strlen(cases[i].text), out, NULL),
                            cases[i].tokens);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "it ends where a value is expected at offset 0"},
        {"  ", "a value is expected at offset 2"},
        {"{", "a key is expected"},
        {"[", "a value is expected"},
        {"[1", "',' or ']' is expected"},
        {"{\"a\"", "':' is expected"},
        {"{\"a\":", "a value is expected"},
        {"{\"a\":1", "',' or '}' is expected"},
        {"{\"a\":1,}", "'}' where a key is expected at offset 7"},
        {"[1,]", "']' where a value is expected"},
        {"[,1]", "',' where a value is expected"},
        {"{1:2}", "'1' where a key is expected"},
        {"{a:2}", "'a' where a key is expected"},
        {"[1}", "'}' where ',' or ']' is expected"},
        {"{\"a\":1]", "']' where ',' or '}' is expected"},
        {"{} {}", "'{' where the end is expected at offset 3"},
        {"1 2", "'2' where the end is expected"},
        {"]", "']' where a value is expected"},
        {"01", "a malformed number"},
        {"-", "a malformed number"},
        {"-x", "a malformed number"},
        {"1.", "a malformed number"},
        {".5", "'.' where a value is expected"},
        {"+1", "'+' where a value is expected"},
        {"1e", "a malformed number"},
        {"1e+", "a malformed number"},
        {"0x10", "'x' where the end is expected"},
        {"NaN", "'N' where a value is expected"},
        {"tru", "'t' where a value is expected"},
        {"nul", "'n' where a value is expected"},
        {"truex", "'x' where the end is expected"},
        {"'a'", "where a value is expected"},
        {"\"a", "it ends within a string"},
        {"\"a\\\"", "it ends within a string"},
        {"\"\n\"", "a control character in a string"},
        {"\"\\x41\"", "a malformed escape"},
        {"\"\\u12\"", "a malformed escape"},
        {"\"\\u12g4\"", "a malformed escape"},
        {"\"\\", "a malformed escape"},
        {"\"\\ud800\"", "a lone surrogate"},
        {"\"\\ud800x\"", "a lone surrogate"},
        {"\"\\ud800\\u0041\"", "a lone surrogate"},
        {"\"\\udc00\"", "a lone surrogate"},
        {"\"\xff\"", "not valid UTF-8"},
        {"\"\xc0\xaf\"", "not valid UTF-8"},
        {"\"\xed\xa0\x80\"", "not valid UTF-8"},
        {"\"\xc3\"", "not valid UTF-8"},
        {"\xef\xbb\xbf{}", "'\\xEF' where a value is expected"},
        {"[1] // x", "'/' where the end is expected"},
    };
    char out[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_error err = {0};
        tokens(cases[i].text, strlen(cases[i].text), out, &err);
        if (out[strlen(out) - 1] != '!' || err.code != LORT_E_INPUT ||
            !strstr(err.message, cases[i].expected))
            fail_msg("%s gives %s: \"%s\", expected \"%s\"", cases[i].text, out, err.message,
                     cases[i].expected);
        tokens(cases[i].text, strlen(cases[i].text), out, NULL);
    }
}

static void test_nul_bytes(void **state)
{
    char out[512];
    assert_string_equal(tokens("{}\0", 3, out, NULL), "{}!");
    assert_string_equal(tokens("\"a\0b\"", 5, out, NULL), "!");
    assert_string_equal(tokens("\0", 1, out, NULL), "!");
    /* strchr finds the NUL at the end of its text. */
    assert_string_equal(tokens("\"\\\0\"", 4, out, NULL), "!");
}

static void test_depth(void **state)
{
    char text[200], out[512];
    lort_error err = {0};
    memset(text, '[', 100);
    memset(text + 64, ']', 64);
    assert_int_equal(strlen(tokens(text, 128, out, &err)), 129); /* 64 levels */
    assert_int_equal(out[128], '.');
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    tokens(text, 130, out, &err);
    assert_int_equal(out[64], '!');
    assert_non_null(strstr(err.message, "nested deeper than 64 levels at offset 64"));
    char *bomb = malloc(100000);
    memset(bomb, '[', 100000);
    tokens(bomb, 100000, out, &err);
    assert_int_equal(strlen(out), 65);
    free(bomb);
}

static void test_text(void **state)
{
    static const struct {
        const char *json, *text;
        uint64_t bytes;
    } cases[] = {
        {"\"plain\"", "plain", 5},
        {"\"\"", "", 0},
        {"\"\\u0061bc\"", "abc", 3},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u0000x\"", "\0x", 2},
        {"\"\\u00e9\\u20AC\\uD83D\\uDE00\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9},
        {"\"\xc3\xa9\\u0041\"",
         "\xc3\xa9"
         "A",
         3},
        {"\"\\uffff\\u07ff\\u0800\"", "\xef\xbf\xbf\xdf\xbf\xe0\xa0\x80", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        lort_json j = lort_json_start(cases[i].json, strlen(cases[i].json), NULL);
        assert_int_equal(lort_json_next(&j), LORT_JSON_STRING);
        assert_int_equal(lort_json_text(&j, out), cases[i].bytes);
        assert_memory_equal(out, cases[i].text, cases[i].bytes);
        if (strlen(cases[i].text) == cases[i].bytes)
            assert_true(lort_json_text_is(&j, cases[i].text));
        assert_false(lort_json_text_is(&j, "plainer"));
        assert_false(lort_json_text_is(&j, "plai"));
        assert_false(lort_json_text_is(&j, "ab"));
        assert_false(lort_json_text_is(&j, "abcd"));
    }
}

static void test_integers(void **state)
{
    static const struct {
        const char *json;
        bool good;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"9007199254740993", true, 9007199254740993}, /* 2^53 + 1 is not a double */
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551620", false, 0},
        {"99999999999999999999", false, 0},
        {"-0", false, 0},
        {"-1", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"1E0", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t v = 0;
        lort_json j = lort_json_start(cases[i].json, strlen(cases[i].json), NULL);
        assert_int_equal(lort_json_next(&j), LORT_JSON_NUMBER);
        assert_int_equal(lort_json_u64(&j, &v), cases[i].good);
        assert_true(v == cases[i].value);
    }
}

static void test_skip(void **state)
{
    static const char text[] = "{\"a\":[1,{\"b\":[[]]},2],\"c\":\"x\",\"d\":{\"e\":0}}";
    lort_json j = lort_json_start(text, strlen(text), NULL);
    assert_int_equal(lort_json_next(&j), LORT_JSON_OBJECT);
    for (const char *key = "acd"; *key; key++) {
        char name[2] = {*key, 0};
        assert_int_equal(lort_json_next(&j), LORT_JSON_KEY);
        assert_true(lort_json_text_is(&j, name));
        assert_true(lort_json_skip(&j, lort_json_next(&j)));
    }
    assert_int_equal(lort_json_next(&j), LORT_JSON_OBJECT_END);
    assert_int_equal(lort_json_next(&j), LORT_JSON_END);
    j = lort_json_start("[[1,", 4, NULL);
    assert_false(lort_json_skip(&j, lort_json_next(&j)));
    assert_false(lort_json_skip(&j, LORT_JSON_ERROR));
}

static void test_failures_stick(void **state)
{
    lort_error err = {0};
    lort_json j = lort_json_start("{\"a\":1}", 7, &err);
    j.base = 8;
    lort_json_next(&j);
    lort_json_next(&j);
    assert_int_equal(lort_json_fail(&j, "key %d", 1), LORT_E_INPUT);
    assert_string_equal(err.message, "key 1 at offset 9");
    assert_int_equal(lort_json_fail(&j, "another"), LORT_E_INPUT);
    assert_string_equal(err.message, "key 1 at offset 9");
    assert_int_equal(lort_json_next(&j), LORT_JSON_ERROR);
}

/* Scans every prefix of a text that uses all of JSON. The result is a failure or the end, and no
 * byte is read beyond. */
static void test_truncated(void **state)
{
    static const char text[] =
        "{\"a\\u0061\\ud83d\\ude00\":[1,-2.5e+10,true,false,null,\"\xc3\xa9\\n\"],\"b\":{}}";
    char out[512];
    for (uint64_t n = 0; n < strlen(text); n++) {
        tokens(text, n, out, NULL);
        assert_int_equal(out[strlen(out) - 1], '!');
    }
    tokens(text, strlen(text), out, NULL);
    assert_int_equal(out[strlen(out) - 1], '.');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nul_bytes), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_text),      cmocka_unit_test(test_integers),
        cmocka_unit_test(test_skip),      cmocka_unit_test(test_failures_stick),
        cmocka_unit_test(test_truncated),
    };
    return run_chosen(tests, NULL, NULL);
}
