/* page_text: see page_text.h. One table has what each place wants, one loop escapes. */
#include "compress/report/page_text.h"
#include "formats/base/escape.h"
#include "formats/base/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct swap {
    char from;
    const char *to;
} swap;

static const struct rules {
    const char *quote; /* before and after the text */
    bool raw;          /* control and format characters stay */
    swap swaps[6];
} rules[] = {
    [LORT_PAGE_PLAIN] = {"", false, {{0, NULL}}},
    [LORT_PAGE_HTML] =
        {"",
         false,
         {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}}},
    [LORT_PAGE_SCRIPT] = {"", true, {{'<', "\\u003c"}, {'>', "\\u003e"}, {'&', "\\u0026"}}},
    /* nothing but a backtick ends a code span, and nothing but a bar ends a cell */
    [LORT_PAGE_MARKDOWN] = {"`", false, {{'`', "\\x60"}, {'|', "\\x7C"}}},
    [LORT_PAGE_CSV] = {"\"", false, {{'"', "\"\""}}},
    [LORT_PAGE_LABEL] = {"\"", false, {{'"', "\\\""}, {'\\', "\\\\"}}}};

static void put(lort_buffer *out, const char *text) { lort_put_bytes(out, text, strlen(text)); }

/* Puts one byte, or what stands for it. */
static void put_byte(lort_buffer *out, const struct rules *rule, char byte)
{
    for (const swap *s = rule->swaps; s->from; s++)
        if (s->from == byte) {
            put(out, s->to);
            return;
        }
    lort_put_bytes(out, &byte, 1);
}

/* A character that would not show, or would change how others show: each byte as \xHH. */
static void put_hidden(lort_buffer *out, const struct rules *rule, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[8];
        snprintf(text, sizeof text, "\\x%02X", (unsigned char)bytes[i]);
        for (const char *at = text; *at; at++)
            put_byte(out, rule, *at);
    }
}

static bool is_hidden(unsigned length, uint32_t code_point)
{
    return length == 0 || code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) ||
           lort_is_format(code_point);
}

void lort_page_text(lort_buffer *out, lort_page_place place, const char *text, size_t n)
{
    const struct rules *rule = &rules[place];
    put(out, rule->quote);
    if (place == LORT_PAGE_CSV && n && strchr("=+-@", *text))
        put(out, "'");
    if (place == LORT_PAGE_MARKDOWN && n == 0)
        put(out, " "); /* two backticks would begin a longer span */
    for (size_t i = 0; i < n;) {
        uint32_t code_point = 0;
        const unsigned length = lort_utf8_next(text + i, n - i, &code_point);
        const size_t taken = length ? length : 1;
        if (!rule->raw && is_hidden(length, code_point))
            put_hidden(out, rule, text + i, taken);
        else if (taken == 1)
            put_byte(out, rule, text[i]);
        else
            lort_put_bytes(out, text + i, taken);
        i += taken;
    }
    put(out, rule->quote);
}

void lort_page_number(lort_buffer *out, double v, int digits)
{
    char text[40];
    if (!isfinite(v))
        return;
    snprintf(text, sizeof text, "%.*g", digits, v);
    for (char *at = text; *at; at++)
        if (*at == ',')
            *at = '.';
    put(out, text);
}
