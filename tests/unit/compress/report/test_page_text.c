/* page_text: what strangers write stays text in every form of a page. */
#include "compress/report/page_text.h"
#include "tests/unit/main.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void expect(lort_page_place place, const char *text, size_t n, const char *wanted)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_page_text(&out, place, text, n);
    lort_put_u8(&out, 0);
    assert_int_equal(lort_buffer_check(&out, NULL), LORT_OK);
    assert_string_equal((const char *)out.data, wanted);
    lort_buffer_free(&out);
}

static void every_place_has_its_escapes(void **state)
{
    static const struct {
        lort_page_place place;
        const char *text, *wanted;
    } rows[] = {
        {LORT_PAGE_PLAIN, "a<b>&\"'`|\\", "a<b>&\"'`|\\"},
        {LORT_PAGE_HTML, "</title><script>alert('x')</script>&\"",
         "&lt;/title&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"},
        {LORT_PAGE_SCRIPT, "[\"</script><!--&\"]", "[\"\\u003c/script\\u003e\\u003c!--\\u0026\"]"},
        {LORT_PAGE_MARKDOWN, "a`b|<script>[x](y)", "`a\\x60b\\x7C<script>[x](y)`"},
        {LORT_PAGE_MARKDOWN, "", "` `"},
        {LORT_PAGE_CSV, "a,\"b\"", "\"a,\"\"b\"\"\""},
        {LORT_PAGE_CSV, "=1+1", "\"'=1+1\""},
        {LORT_PAGE_CSV, "@a", "\"'@a\""},
        {LORT_PAGE_CSV, "a=1", "\"a=1\""},
        {LORT_PAGE_LABEL, "a\"b\\c", "\"a\\\"b\\\\c\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(rows[i].place, rows[i].text, strlen(rows[i].text), rows[i].wanted);
}

static void nothing_hidden_passes(void **state)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {{"a\x1B[31mb", "a\\x1B[31mb"},
                {"a\nb\tc", "a\\x0Ab\\x09c"},
                {"\xE2\x80\xAE"
                 "gpj",
                 "\\xE2\\x80\\xAEgpj"},              /* U+202E, right to left */
                {"\xE2\x80\x8B", "\\xE2\\x80\\x8B"}, /* U+200B, no width */
                {"\xC2\x9B"
                 "1m",
                 "\\xC2\\x9B1m"}, /* U+009B, a control sequence in 8 bits */
                {"\xFF\xC3", "\\xFF\\xC3"},
                {"\x7F", "\\x7F"},
                {"\xC3\xA4 \xE4\xB8\xAD", "\xC3\xA4 \xE4\xB8\xAD"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(LORT_PAGE_PLAIN, rows[i].text, strlen(rows[i].text), rows[i].wanted);
    expect(LORT_PAGE_HTML, "a\0b", 3, "a\\x00b");
    expect(LORT_PAGE_LABEL, "\n", 1, "\"\\\\x0A\"");
}

static void numbers_have_a_point_or_are_left_out(void **state)
{
    static const struct {
        double v;
        int digits;
        const char *wanted;
    } rows[] = {{0.5, 4, "0.5"}, {1234567, 9, "1234567"}, {NAN, 4, ""}, {INFINITY, 4, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lort_buffer out = {.alloc = &lort_alloc_heap};
        lort_page_number(&out, rows[i].v, rows[i].digits);
        lort_put_u8(&out, 0);
        assert_string_equal((const char *)out.data, rows[i].wanted);
        lort_buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_place_has_its_escapes),
                                       cmocka_unit_test(nothing_hidden_passes),
                                       cmocka_unit_test(numbers_have_a_point_or_are_left_out)};
    return run_chosen(tests, NULL, NULL);
}
