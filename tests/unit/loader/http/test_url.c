/* Tests of addresses: their parts, redirects, masks, quotes, and when a signed one ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/http/url.h"
#include "tests/unit/main.h"

static void addresses_have_parts(void **state)
{
    static const struct {
        const char *text;
        bool https;
        const char *host;
        uint32_t port;
        const char *rest;
    } cases[] = {
        {"https://huggingface.co", true, "huggingface.co", 443, ""},
        {"HTTPS://Huggingface.CO/a/b?c#d", true, "huggingface.co", 443, "/a/b?c#d"},
        {"http://127.0.0.1:8801/", false, "127.0.0.1", 8801, "/"},
        {"http://localhost?a=b/c", false, "localhost", 80, "?a=b/c"},
        {"https://[::1]:65535/x@y", true, "[::1]", 65535, "/x@y"},
        {"https://a_b.example:/x", true, "a_b.example", 443, "/x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_url url;
        assert_int_equal(lort_url_parse(cases[i].text, &url, NULL), LORT_OK);
        assert_int_equal(url.https, cases[i].https);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(cases[i].text + url.path, cases[i].rest);
    }
}

static void wrong_addresses_are_refused(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "https://"},
        {"file:///etc/passwd", "https://"},
        {"ftp://a/b", "https://"},
        {"huggingface.co/a", "https://"},
        {"https:/a", "https://"},
        {"https://", "no valid host"},
        {"https:///a", "no valid host"},
        {"https://:80/a", "no valid host"},
        {"https://a:0/", "no valid host"},
        {"https://a:65536/", "no valid host"},
        {"https://a:99999999999999999999/", "no valid host"},
        {"https://a:8x/", "no valid host"},
        {"https://[::1/", "no valid host"},
        {"https://[::1]x/", "no valid host"},
        {"https://a%2eb/", "no valid host"},
        {"https://a\\b/", "no valid host"},
        {"https://me@a/", "user name"},
        {"https://me:secret@a/", "user name"},
        {"https://127.0.0.1:80@evil.example/", "user name"},
        {"https://a/b c", "character"},
        {"https://a/b\r\nHost: x", "character"},
        {"https://a/\x7f", "character"},
        {"https://a/\xc3\xa9", "character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_url url = {.port = 1};
        lort_error err = {0};
        assert_int_equal(lort_url_parse(cases[i].text, &url, &err), LORT_E_USAGE);
        assert_non_null(strstr(err.message, cases[i].words));
        assert_null(strstr(err.message, "secret"));
        assert_int_equal(url.port, 0);
    }
}

static void long_addresses_are_refused(void **state)
{
    char text[2 * LORT_URL_MAX];
    lort_url url;
    memset(text, 'a', sizeof text);
    memcpy(text, "https://a/", 10);
    text[LORT_URL_MAX - 1] = 0;
    assert_int_equal(lort_url_parse(text, &url, NULL), LORT_OK);
    text[LORT_URL_MAX - 1] = 'a';
    text[LORT_URL_MAX] = 0;
    assert_int_equal(lort_url_parse(text, &url, NULL), LORT_E_USAGE);
    memset(text + 8, 'a', 300);
    text[8 + 254] = 0;
    assert_int_equal(lort_url_parse(text, &url, NULL), LORT_E_USAGE);
    text[8 + 253] = 0;
    assert_int_equal(lort_url_parse(text, &url, NULL), LORT_OK);
}

static void loopback_is_loopback_alone(void **state)
{
    static const struct {
        const char *text;
        bool is;
    } cases[] = {
        {"http://127.0.0.1:1/", true},    {"http://127.255.255.255/", true},
        {"http://localhost/", true},      {"http://[::1]/", true},
        {"http://LOCALHOST/", true},      {"http://127.0.0.1.evil.example/", false},
        {"http://127.0.0.1evil/", false}, {"http://127.0.0/", false},
        {"http://127.0.0.256/", false},   {"http://127.-1.0.1/", false},
        {"http://128.0.0.1/", false},     {"http://localhost.example/", false},
        {"http://[::2]/", false},         {"http://192.168.0.1/", false},
        {"http://127.0.0.1.2/", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_url url;
        assert_int_equal(lort_url_parse(cases[i].text, &url, NULL), LORT_OK);
        assert_int_equal(lort_url_is_loopback(&url), cases[i].is);
    }
}

static void origins(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"https://a/x", "https://A:443/y", true}, {"https://a", "http://a", false},
        {"https://a", "https://a:444", false},    {"https://a", "https://b.a", false},
        {"http://a", "http://a:80?q", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_url a, b;
        assert_int_equal(lort_url_parse(cases[i].a, &a, NULL), LORT_OK);
        assert_int_equal(lort_url_parse(cases[i].b, &b, NULL), LORT_OK);
        assert_int_equal(lort_url_same_origin(&a, &b), cases[i].same);
    }
}

static void redirects_are_joined(void **state)
{
    static const struct {
        const char *base, *location, *expected;
    } cases[] = {
        {"https://a/b/c?d", "https://x/y?z", "https://x/y?z"},
        {"https://a/b/c?d", "https://x/y#z", "https://x/y"},
        {"https://a/b/c?d", "/x", "https://a/x"},
        {"https://a:8/b/c?d/e", "x", "https://a:8/b/x"},
        {"https://a/b/c?d", "?x", "https://a/b/c?x"},
        {"https://a/b/c?d#e", "#x", "https://a/b/c"},
        {"https://a/b/c?d", "", "https://a/b/c"},
        {"https://a/b/c", "//x/y", "https://x/y"},
        {"http://127.0.0.1/b", "//127.0.0.2/y", "http://127.0.0.2/y"},
        {"http://127.0.0.1/b", "https://x/y", "https://x/y"},
        {"https://a", "x", "https://a/x"},
        {"https://a", "/x", "https://a/x"},
        {"https://a", "?x", "https://a?x"},
        {"https://a?q/r", "x", "https://a/x"},
        {"https://a/b/", "../c:d", "https://a/b/../c:d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[LORT_URL_MAX];
        assert_int_equal(lort_url_join(cases[i].base, cases[i].location, out, NULL), LORT_OK);
        assert_string_equal(out, cases[i].expected);
    }
}

static void redirects_that_are_refused(void **state)
{
    static const struct {
        const char *base, *location, *words;
    } cases[] = {
        {"https://a/b", "http://a/b", "from https to http"},
        {"https://127.0.0.1/b", "http://127.0.0.1/b", "from https to http"},
        {"http://127.0.0.1/b", "http://a/b", "leads to http "},
        {"http://127.0.0.1/b", "//a/b", "leads to http "},
        {"https://a/b", "file:///etc/passwd", "another scheme"},
        {"https://a/b", "data:x", "another scheme"},
        {"https://a/b", "c:d", "another scheme"},
        {"https://a/b", "https://", "wrong address"},
        {"https://a/b", "https://me@x/", "user name"},
        {"https://a/b", "/a b", "character"},
        {"https://a/b", "///x", "wrong address"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[LORT_URL_MAX] = "x";
        lort_error err = {0};
        assert_int_equal(lort_url_join(cases[i].base, cases[i].location, out, &err), LORT_E_READ);
        assert_int_equal(err.code, LORT_E_READ);
        assert_non_null(strstr(err.message, cases[i].words));
        assert_string_equal(out, "");
    }
}

static void a_redirect_that_is_too_long(void **state)
{
    static char base[LORT_URL_MAX], location[LORT_URL_MAX], out[LORT_URL_MAX];
    memset(base, 'a', sizeof base - 1);
    memcpy(base, "https://a/", 10);
    base[5000] = '/';
    memset(location, 'b', 3190);
    assert_int_equal(lort_url_join(base, location, out, NULL), LORT_OK);
    memset(location, 'b', 3191);
    assert_int_equal(lort_url_join(base, location, out, NULL), LORT_E_READ);
}

static void masks_hide_what_may_be_secret(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"https://a/b", "https://a/b"},
        {"https://a/b?Signature=secret", "https://a/b?..."},
        {"https://a/b?", "https://a/b?..."},
        {"https://a/b#secret", "https://a/b"},
        {"https://me:secret@a/b@c?d@e", "https://a/b@c?..."},
        {"https://me:secret@also@a/b", "https://a/b"},
        {"me:secret@a/b", "a/b"},
        {"", ""},
    };
    char out[LORT_URL_SHOWN], text[2 * LORT_URL_SHOWN];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(lort_url_mask(cases[i].text, out), cases[i].expected);
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    assert_int_equal(strlen(lort_url_mask(text, out)), sizeof out - 1);
}

static void quotes(void **state)
{
    static const struct {
        const char *text;
        bool keep;
        const char *expected;
    } cases[] = {
        {"refs/pr/1", false, "refs%2Fpr%2F1"},
        {"a/b c+d%.txt", true, "a/b%20c%2Bd%25.txt"},
        {"\xc3\xa9?#&=~-_", true, "%C3%A9%3F%23%26%3D~-_"},
        {"", true, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64] = "x/";
        uint64_t at = 2;
        assert_true(lort_url_quote(out, sizeof out, &at, cases[i].text, cases[i].keep));
        assert_string_equal(out + 2, cases[i].expected);
        assert_int_equal(at, strlen(out));
    }
    char small[4];
    uint64_t at = 0;
    assert_true(lort_url_quote(small, sizeof small, &at, "abc", true));
    at = 0;
    assert_false(lort_url_quote(small, sizeof small, &at, "abcd", true));
    at = 0;
    assert_false(lort_url_quote(small, sizeof small, &at, "a ", true));
}

static void when_addresses_end(void **state)
{
    static const struct {
        const char *text;
        bool ends;
        int64_t at;
    } cases[] = {
        {"https://a/b?Expires=1700000000&Signature=x", true, 1700000000},
        {"https://a/b?x=1&Expires=1700000000.25", true, 1700000000},
        {"https://a/b?X-Amz-Date=20231114T221320Z&X-Amz-Expires=3600", true, 1700003600},
        {"https://a/b?X-Amz-Expires=3600", false, 0},
        {"https://a/b?X-Amz-Date=20231114&X-Amz-Expires=3600", false, 0},
        {"https://a/b?NotExpires=1", false, 0},
        {"https://a/Expires=1", false, 0},
        {"https://a/b?Expires=", false, 0},
        {"https://a/b?Expires=99999999999999999999", false, 0},
        {"https://a/b", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t at = -1;
        assert_int_equal(lort_url_expires(cases[i].text, &at), cases[i].ends);
        if (cases[i].ends)
            assert_int_equal(at, cases[i].at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_have_parts),
        cmocka_unit_test(wrong_addresses_are_refused),
        cmocka_unit_test(long_addresses_are_refused),
        cmocka_unit_test(loopback_is_loopback_alone),
        cmocka_unit_test(origins),
        cmocka_unit_test(redirects_are_joined),
        cmocka_unit_test(redirects_that_are_refused),
        cmocka_unit_test(a_redirect_that_is_too_long),
        cmocka_unit_test(masks_hide_what_may_be_secret),
        cmocka_unit_test(quotes),
        cmocka_unit_test(when_addresses_end),
    };
    return run_chosen(tests, NULL, NULL);
}
