/* Escapes of text from outside: characters that show nothing, or change how others show, reach no
 * terminal. */
#include "tests/unit/main.h"

#include "formats/base/error.h"
#include "formats/base/escape.h"
#include <string.h>

#define LAST 0x10FFFFu

typedef struct range {
    uint32_t first, last;
} range;

/* The categories Cf, Zl and Zp of Unicode 15.1, in ascending order. Python prints those of its own
 * version: [hex(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Cf", "Zl",
 * "Zp")]. */
static const range listed[] = {{0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},
                               {0x6DD, 0x6DD},     {0x70F, 0x70F},     {0x890, 0x891},
                               {0x8E2, 0x8E2},     {0x180E, 0x180E},   {0x200B, 0x200F},
                               {0x2028, 0x202E},   {0x2060, 0x2064},   {0x2066, 0x206F},
                               {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB},   {0x110BD, 0x110BD},
                               {0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3},
                               {0x1D173, 0x1D17A}, {0xE0001, 0xE0001}, {0xE0020, 0xE007F}};
/* Further code points of the property Default_Ignorable_Code_Point (DerivedCoreProperties.txt). */
static const range ignorable[] = {
    {0x34F, 0x34F},   {0x115F, 0x1160}, {0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x2065, 0x2065},
    {0x3164, 0x3164}, {0xFE00, 0xFE0F}, {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFF8}, {0xE0000, 0xE0FFF}};

static bool is_in(const range *ranges, size_t count, uint32_t code_point)
{
    for (size_t i = 0; i < count; i++)
        if (code_point >= ranges[i].first && code_point <= ranges[i].last)
            return true;
    return false;
}

static size_t encode(uint32_t c, char *out)
{
    const size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(marks[n] | c);
    return n;
}

static bool stays(const char *(*escape)(char *, size_t, const void *, size_t), const char *text,
                  size_t n)
{
    char out[32];
    escape(out, sizeof out, text, n);
    return strlen(out) == n && memcmp(out, text, n) == 0;
}

/* Every code point but NUL: lort_escape lets through just those that are printable. */
static void every_code_point_is_judged(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= LAST; c++) {
        char text[4];
        if (c >= 0xD800 && c <= 0xDFFF)
            continue; /* surrogates have no UTF-8 */
        const size_t n = encode(c, text);
        const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0), backslash = c == '\\';
        const bool format = is_in(listed, sizeof listed / sizeof *listed, c) ||
                            is_in(ignorable, sizeof ignorable / sizeof *ignorable, c);
        uint32_t decoded;
        assert_int_equal(lort_utf8_next(text, n, &decoded), n);
        assert_int_equal(decoded, c);
        if (lort_is_format(c) != format ||
            stays(lort_escape, text, n) != !(control || backslash || format) ||
            stays(lort_escape_plain, text, n) != !(control || backslash) ||
            stays(lort_printable, text, n) != !(control || format))
            fail_msg("U+%04X is judged wrongly", c);
    }
}

static void format_characters_become_bytes_in_hex(void **state)
{
    char out[64], again[64];
    const char text[] = "a\xE2\x80\xAE"
                        "b\xF3\xA0\x80\x81"
                        "c\xC2\xAD"
                        "d\\x41";
    (void)state;
    lort_escape_text(out, sizeof out, text);
    assert_string_equal(out, "a\\xE2\\x80\\xAE"
                             "b\\xF3\\xA0\\x80\\x81"
                             "c\\xC2\\xAD"
                             "d\\x5Cx41");
    assert_string_equal(lort_printable(again, sizeof again, out, strlen(out)), out);
    /* a report keeps format characters; escaped a second time it is what a terminal gets */
    lort_escape_plain(again, sizeof again, text, sizeof text - 1);
    assert_non_null(strstr(again, "\xE2\x80\xAE"));
    char shown[64];
    assert_string_equal(lort_printable(shown, sizeof shown, again, strlen(again)), out);
}

/* An escape is never cut in two, in any room. */
static void escapes_are_cut_whole(void **state)
{
    (void)state;
    for (size_t cap = 1; cap < 40; cap++) {
        char out[40];
        const size_t n = strlen(lort_escape_text(out, cap, "\xE2\x80\xAE\xE2\x80\xAE"));
        assert_true(n < cap);
        if (n != 24) {
            const size_t dots = n < 3 ? n : 3;
            assert_memory_equal(out + n - dots, "...", dots);
            assert_true((n - dots) % 12 == 0);
        }
    }
}

/* Messages are printable even where a caller forgot to escape, and where they are cut. */
static void messages_are_printable(void **state)
{
    lort_error err;
    (void)state;
    lort_fail(&err, LORT_E_INPUT, "'%s': \\x0A", "a\033[31m\xE2\x80\xAEz\n");
    assert_string_equal(err.message, "'a\\x1B[31m\\xE2\\x80\\xAEz\\x0A': \\x0A");
    lort_error_prefix(&err, "%s", "\xEF\xBB\xBFname");
    assert_string_equal(err.message,
                        "\\xEF\\xBB\\xBFname: 'a\\x1B[31m\\xE2\\x80\\xAEz\\x0A': \\x0A");
    for (size_t n = 0; n < 8; n++) {
        char text[1200];
        memset(text, 'x', sizeof text);
        for (size_t i = 1000 + n; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 3);
        text[sizeof text - 6 + n % 3] = '\0';
        lort_fail(&err, LORT_E_INPUT, "%s", text);
        assert_true(strlen(err.message) < sizeof err.message);
        assert_true(lort_utf8_valid(err.message, strlen(err.message)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_code_point_is_judged),
                                       cmocka_unit_test(format_characters_become_bytes_in_hex),
                                       cmocka_unit_test(escapes_are_cut_whole),
                                       cmocka_unit_test(messages_are_printable)};
    return run_chosen(tests, NULL, NULL);
}
