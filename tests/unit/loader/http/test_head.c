/* Tests of the head of a reply: each header, waits, dates, and lines that nobody should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/http/date.h"
#include "loader/http/head.h"
#include "tests/unit/main.h"

/* Reads lines that "\n" ends; each is an exact-size copy. */
static lort_head read_head(const char *text)
{
    lort_head head = {0};
    while (*text) {
        const size_t n = strcspn(text, "\n") + 1;
        char *copy = malloc(n);
        memcpy(copy, text, n);
        lort_head_line(&head, copy, n);
        free(copy);
        text += n;
    }
    return head;
}

static void a_head_of_the_hub(void **state)
{
    const lort_head head = read_head("HTTP/1.1 302 Found\r\n"
                                     "content-length: 18\r\n"
                                     "LOCATION:   https://a/b?c  \r\n"
                                     "X-Linked-Size: 5000000000\r\n"
                                     "X-Linked-ETag: \"abc\"\r\n"
                                     "X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\n"
                                     "ETag: W/\"def\"\r\n"
                                     "Content-Type: text/html; charset=utf-8\r\n"
                                     "X-Error-Code: GatedRepo\r\n"
                                     "X-Error-Message: no: \xc3\xa9\r\n"
                                     "\r\n");
    assert_int_equal(head.status, 302);
    assert_false(head.faulty);
    assert_true(head.has_length && head.length == 18);
    assert_string_equal(head.location, "https://a/b?c");
    assert_true(head.has_linked_size && head.linked_size == 5000000000);
    assert_string_equal(head.linked_etag, "abc");
    assert_string_equal(head.commit, "0123456789abcdef0123456789abcdef01234567");
    assert_string_equal(head.etag, "def");
    assert_true(head.weak && head.html && !head.encoded);
    assert_string_equal(head.error_code, "GatedRepo");
    assert_string_equal(head.error_message, "no: \xc3\xa9");
    assert_true(lort_head_is_redirect(&head));
}

static void a_status_line_begins_a_new_head(void **state)
{
    lort_head head = read_head("HTTP/1.1 100 Continue\r\nETag: \"a\"\r\n\r\nHTTP/1.1 206 Part\r\n");
    assert_int_equal(head.status, 206);
    assert_string_equal(head.etag, "");
    assert_int_equal(read_head("HTTP/2 200\n").status, 200);
    assert_true(read_head("HTTP/1.1\n").faulty);
    assert_true(read_head("HTTP/1.1 2000 x\n").faulty);
}

static void ranges(void **state)
{
    static const struct {
        const char *text;
        bool has_range, has_total, faulty;
        uint64_t first, last, total;
    } cases[] = {
        {"bytes 0-0/1", true, true, false, 0, 0, 1},
        {"bytes 5-9/18446744073709551615", true, true, false, 5, 9, UINT64_MAX},
        {"bytes 5-9/*", true, false, false, 5, 9, 0},
        {"bytes */7", false, true, false, 0, 0, 7},
        {"bytes */*", false, false, true, 0, 0, 0},
        {"bytes 5-4/9", false, false, true, 0, 0, 0},
        {"bytes 5-9/9", false, false, true, 0, 0, 0},
        {"bytes 5-9", false, false, true, 0, 0, 0},
        {"bytes 5-/9", false, false, true, 0, 0, 0},
        {"bytes -5/9", false, false, true, 0, 0, 0},
        {"bytes 5-9/10x", false, false, true, 0, 0, 0},
        {"bytes 5-9/18446744073709551616", false, false, true, 0, 0, 0},
        {"lines 5-9/10", false, false, true, 0, 0, 0},
        {"", false, false, true, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[100];
        snprintf(line, sizeof line, "HTTP/1.1 206 x\nContent-Range: %s\n", cases[i].text);
        const lort_head head = read_head(line);
        assert_int_equal(head.has_range, cases[i].has_range);
        assert_int_equal(head.has_total, cases[i].has_total);
        assert_int_equal(head.faulty, cases[i].faulty);
        if (head.has_range)
            assert_true(head.first == cases[i].first && head.last == cases[i].last);
        if (head.has_total)
            assert_true(head.total == cases[i].total);
    }
}

static void next_pages(void **state)
{
    static const struct {
        const char *text, *next;
    } cases[] = {
        {"<https://a/b?c=d>; rel=\"next\"", "https://a/b?c=d"},
        {"<https://a/1>; rel=\"prev\", <https://a/3>; rel=\"next\"", "https://a/3"},
        {"<https://a/3>;rel=next", "https://a/3"},
        {"<https://a/1>; rel=\"last\"", ""},
        {"<https://a/1>; x=\"<\"; rel=\"last\"", ""},
        {"<https://a/1", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[100];
        snprintf(line, sizeof line, "Link: %s\n", cases[i].text);
        assert_string_equal(read_head(line).next, cases[i].next);
    }
}

/* The time is 784111777, Sun, 06 Nov 1994 08:49:37 GMT. */
static void waits(void **state)
{
    static const struct {
        const char *lines;
        uint32_t wait;
    } cases[] = {
        {"RateLimit: \"resolvers\";r=0;t=55\n", 55},
        {"RateLimit: \"api\";r=5;t=20, \"resolvers\"; r=0; t=55\n", 55},
        {"RateLimit: \"api\";r=0;t=20, \"resolvers\";r=0;t=10\n", 20},
        {"RateLimit: \"api\";r=5;t=20\n", 0},
        {"RateLimit: \"api\";t=20\n", 20},
        {"RateLimit: t=;r=;;,,\n", 0},
        {"RateLimit: \"api\";r=0;t=99999999999\n", LORT_WAIT_MAX},
        {"RateLimit: \"api\";r=0;t=7\nRetry-After: 3\n", 7},
        {"Retry-After: 3\n", 3},
        {"Retry-After: 0\n", 0},
        {"Retry-After: -3\n", 0},
        {"Retry-After: 99999999999\n", LORT_WAIT_MAX},
        {"Retry-After: Sun, 06 Nov 1994 08:49:47 GMT\n", 10},
        {"Retry-After: Sun, 06 Nov 1994 08:49:17 GMT\n", 0},
        {"Retry-After: Sun, 06 Nov 2094 08:49:17 GMT\n", LORT_WAIT_MAX},
        {"Retry-After: soon\n", 0},
        /* the clock of the server counts */
        {"Retry-After: Mon, 07 Nov 1994 08:00:02 GMT\nDate: Mon, 07 Nov 1994 08:00:00 GMT\n", 2},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const lort_head head = read_head(cases[i].lines);
        assert_int_equal(lort_head_wait(&head, 784111777), cases[i].wait);
    }
}

static void dates(void **state)
{
    static const struct {
        const char *text;
        int64_t at; /* -1: refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 23:59:60 GMT", 951868800},
        {"Wed, 31 Dec 2099 23:59:59 GMT", 4102444799},
        {"Sun, 06 Nov 1994 08:49:37 CET", -1},
        {"Sun, 06 Foo 1994 08:49:37 GMT", -1},
        {"Sun, 32 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"06 Nov 1994", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t at;
        assert_int_equal(lort_date_http(cases[i].text, &at), cases[i].at >= 0);
        if (cases[i].at >= 0)
            assert_int_equal(at, cases[i].at);
    }
}

static void numbers_and_texts_that_are_too_long(void **state)
{
    static const char *const names[] = {"Location",      "ETag", "X-Linked-ETag",
                                        "X-Repo-Commit", "Link", "X-Error-Code",
                                        "Last-Modified"};
    static char line[LORT_URL_MAX + 100];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const int n = snprintf(line, sizeof line, "%s: <", names[i]);
        memset(line + n, 'a', LORT_URL_MAX);
        strcpy(line + n + LORT_URL_MAX, ">; rel=next\n");
        const lort_head head = read_head(line);
        assert_true(head.faulty);
        assert_true(!head.location[0] && !head.etag[0] && !head.linked_etag[0] && !head.next[0]);
    }
    assert_true(read_head("Content-Length: 18446744073709551616\n").faulty);
    assert_true(read_head("Content-Length: 5, 5\n").faulty);
    assert_true(read_head("X-Linked-Size: -1\n").faulty);
    const int n = snprintf(line, sizeof line, "X-Error-Message: ");
    memset(line + n, 'a', 2000);
    strcpy(line + n + 2000, "\n");
    const lort_head head = read_head(line);
    assert_true(!head.faulty && strlen(head.error_message) == sizeof head.error_message - 1);
}

static void lines_that_nobody_should_send(void **state)
{
    static char line[40000];
    lort_head head = {0};
    memset(line, 'a', sizeof line);
    lort_head_line(&head, line, sizeof line);
    assert_true(head.faulty);
    head.faulty = false;
    lort_head_line(&head, "ETag: a\0b\n", 10);
    assert_true(head.faulty);
    assert_string_equal(head.etag, "");
    assert_false(read_head("\r\n\n:\n: x\nno colon\nContent-Type\nETag:\n").faulty);
}

static void statuses(void **state)
{
    static const struct {
        uint32_t status;
        bool busy, redirect;
    } cases[] = {{200, false, false}, {206, false, false}, {304, false, false},
                 {301, false, true},  {308, false, true},  {404, false, false},
                 {408, true, false},  {425, true, false},  {429, true, false},
                 {500, true, false},  {599, true, false},  {600, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const lort_head head = {.status = cases[i].status};
        assert_int_equal(lort_head_is_busy(&head), cases[i].busy);
        assert_int_equal(lort_head_is_redirect(&head), cases[i].redirect);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_of_the_hub),
        cmocka_unit_test(a_status_line_begins_a_new_head),
        cmocka_unit_test(ranges),
        cmocka_unit_test(next_pages),
        cmocka_unit_test(waits),
        cmocka_unit_test(dates),
        cmocka_unit_test(numbers_and_texts_that_are_too_long),
        cmocka_unit_test(lines_that_nobody_should_send),
        cmocka_unit_test(statuses),
    };
    return run_chosen(tests, NULL, NULL);
}
