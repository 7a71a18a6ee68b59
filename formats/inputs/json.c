/* json: one token per call, and a stack of bracket kinds instead of recursion. The scanner
 * validates text as it passes (UTF-8, escapes, surrogate pairs). It unescapes text only on
 * request. It never relies on reading equal text twice, since another process may write to the
 * mapped file. */
#include "formats/inputs/json.h"
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include <stdarg.h>
#include <stdio.h>

/* The tokens that the scanner expects next. */
enum {
    STATE_VALUE,      /* a value */
    STATE_FIRST_KEY,  /* a key, or } */
    STATE_FIRST_ITEM, /* a value, or ] */
    STATE_NEXT,       /* a comma or a closing bracket; at depth 0 the end */
};

lort_json lort_json_start(const void *data, uint64_t size, lort_error *err)
{
    return (lort_json){.data = data, .size = size, .state = STATE_VALUE, .error = err};
}

lort_code lort_json_fail(lort_json *j, const char *format, ...)
{
    if (j->code)
        return j->code;
    char message[900];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    j->code = lort_fail(j->error, LORT_E_INPUT, "%s at offset %llu", message,
                        (unsigned long long)(j->base + j->token_at));
    return j->code;
}

static lort_json_token fail_json(lort_json *j, const char *what)
{
    j->token_at = j->at < j->size ? j->at : j->size;
    lort_json_fail(j, "invalid JSON: %s", what);
    return LORT_JSON_ERROR;
}

/* Fails with the byte that stands where `expected` should be. */
static lort_json_token fail_unexpected(lort_json *j, const char *expected)
{
    char shown[16], text[96];
    if (j->at >= j->size) {
        snprintf(text, sizeof text, "it ends where %s is expected", expected);
    } else {
        lort_escape(shown, sizeof shown, j->data + j->at, 1);
        snprintf(text, sizeof text, "'%s' where %s is expected", shown, expected);
    }
    return fail_json(j, text);
}

static void skip_space(lort_json *j)
{
    while (j->at < j->size) {
        uint8_t c = j->data[j->at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return;
        j->at++;
    }
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of four hex digits behind "\u", or -1. */
static int32_t hex4(const uint8_t *p, uint64_t n)
{
    int32_t v = 0;
    if (n < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int d = hex_digit(p[i]);
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* Reads the escape at p; n bytes to the end of the text. Returns its bytes, or 0 if it is
 * malformed, and puts the code point into *point. */
static uint32_t read_escape(const uint8_t *p, uint64_t n, uint32_t *point)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *plain = n >= 2 && p[1] ? strchr(from, p[1]) : NULL;
    if (plain) {
        *point = (uint8_t)to[plain - from];
        return 2;
    }
    int32_t first = hex4(p, n);
    if (first < 0 || (first >= 0xDC00 && first <= 0xDFFF))
        return 0;
    *point = (uint32_t)first;
    if (first < 0xD800 || first > 0xDFFF)
        return 6;
    int32_t second = hex4(p + 6, n - 6);
    if (second < 0xDC00 || second > 0xDFFF)
        return 0;
    *point = 0x10000 + (((uint32_t)first - 0xD800) << 10) + ((uint32_t)second - 0xDC00);
    return 12;
}

static uint32_t put_utf8(uint32_t point, uint8_t out[4])
{
    uint32_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (uint32_t i = n - 1; i > 0; i--, point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3F));
    out[0] = (uint8_t)(lead[n] | point);
    return n;
}

/* Decodes one escape, or one plain byte, at p to UTF-8. Returns the bytes in `out`; *taken: bytes
 * read. */
static uint32_t decode_one(const uint8_t *p, uint64_t n, uint8_t out[4], uint32_t *taken)
{
    uint32_t point = 0;
    *taken = p[0] == '\\' ? read_escape(p, n, &point) : 0;
    if (*taken)
        return put_utf8(point, out);
    *taken = 1;
    out[0] = p[0];
    return 1;
}

/* Reads a string. The cursor stands behind the opening quote, and afterwards behind the closing
 * one. */
static bool scan_string(lort_json *j)
{
    uint8_t high = 0;
    uint32_t point;
    j->text = j->at;
    j->escaped = false;
    while (j->at < j->size) {
        uint8_t c = j->data[j->at];
        if (c == '"') {
            j->text_size = j->at - j->text;
            j->at++;
            if (high >= 0x80 && !lort_utf8_valid(j->data + j->text, j->text_size))
                return fail_json(j, "a string that is not valid UTF-8"), false;
            return true;
        }
        if (c < 0x20)
            return fail_json(j, "a control character in a string"), false;
        uint32_t taken = 1;
        if (c == '\\') {
            j->escaped = true;
            taken = read_escape(j->data + j->at, j->size - j->at, &point);
            if (!taken)
                return fail_json(j, "a malformed escape or a lone surrogate in a string"), false;
        }
        high |= c;
        j->at += taken;
    }
    return fail_json(j, "it ends within a string"), false;
}

static bool skip_digits(lort_json *j)
{
    uint64_t first = j->at;
    while (j->at < j->size && j->data[j->at] >= '0' && j->data[j->at] <= '9')
        j->at++;
    return j->at > first;
}

static bool skip_byte(lort_json *j, uint8_t a, uint8_t b)
{
    bool there = j->at < j->size && (j->data[j->at] == a || j->data[j->at] == b);
    j->at += there;
    return there;
}

static lort_json_token scan_number(lort_json *j)
{
    uint64_t start = j->at;
    skip_byte(j, '-', '-');
    bool zero = j->at < j->size && j->data[j->at] == '0';
    uint64_t first = j->at;
    bool good = skip_digits(j) && !(zero && j->at > first + 1);
    if (good && skip_byte(j, '.', '.'))
        good = skip_digits(j);
    if (good && skip_byte(j, 'e', 'E')) {
        skip_byte(j, '+', '-');
        good = skip_digits(j);
    }
    if (!good)
        return fail_json(j, "a malformed number");
    j->text = start;
    j->text_size = j->at - start;
    j->escaped = false;
    return LORT_JSON_NUMBER;
}

static lort_json_token scan_word(lort_json *j)
{
    static const struct {
        const char *text;
        uint8_t bytes;
        lort_json_token token;
    } words[] = {
        {"true", 4, LORT_JSON_TRUE}, {"false", 5, LORT_JSON_FALSE}, {"null", 4, LORT_JSON_NULL}};
    for (size_t i = 0; i < 3; i++) {
        if (j->size - j->at >= words[i].bytes &&
            memcmp(j->data + j->at, words[i].text, words[i].bytes) == 0) {
            j->at += words[i].bytes;
            return words[i].token;
        }
    }
    return fail_unexpected(j, "a value");
}

static lort_json_token open_bracket(lort_json *j, uint8_t c)
{
    if (j->depth == LORT_JSON_MAX_DEPTH)
        return fail_json(j, "nested deeper than 64 levels");
    j->stack[j->depth++] = c;
    j->at++;
    j->state = c == '{' ? STATE_FIRST_KEY : STATE_FIRST_ITEM;
    return c == '{' ? LORT_JSON_OBJECT : LORT_JSON_ARRAY;
}

static lort_json_token close_bracket(lort_json *j)
{
    bool object = j->stack[--j->depth] == '{';
    j->at++;
    j->state = STATE_NEXT;
    return object ? LORT_JSON_OBJECT_END : LORT_JSON_ARRAY_END;
}

static lort_json_token scan_value(lort_json *j)
{
    uint8_t c = j->at < j->size ? j->data[j->at] : 0;
    if (c == '{' || c == '[')
        return open_bracket(j, c);
    j->state = STATE_NEXT;
    if (c == '"') {
        j->at++;
        return scan_string(j) ? LORT_JSON_STRING : LORT_JSON_ERROR;
    }
    return c == '-' || (c >= '0' && c <= '9') ? scan_number(j) : scan_word(j);
}

static lort_json_token scan_key(lort_json *j)
{
    if (!skip_byte(j, '"', '"'))
        return fail_unexpected(j, "a key");
    if (!scan_string(j))
        return LORT_JSON_ERROR;
    skip_space(j);
    if (!skip_byte(j, ':', ':'))
        return fail_unexpected(j, "':'");
    j->state = STATE_VALUE;
    return LORT_JSON_KEY;
}

static lort_json_token scan_next(lort_json *j)
{
    if (j->depth == 0)
        return j->at == j->size ? LORT_JSON_END : fail_unexpected(j, "the end");
    bool object = j->stack[j->depth - 1] == '{';
    if (j->at < j->size && j->data[j->at] == (object ? '}' : ']'))
        return close_bracket(j);
    if (!skip_byte(j, ',', ','))
        return fail_unexpected(j, object ? "',' or '}'" : "',' or ']'");
    skip_space(j);
    j->token_at = j->at;
    return object ? scan_key(j) : scan_value(j);
}

lort_json_token lort_json_next(lort_json *j)
{
    if (j->code)
        return LORT_JSON_ERROR;
    skip_space(j);
    j->token_at = j->at;
    uint8_t c = j->at < j->size ? j->data[j->at] : 0;
    switch (j->state) {
    case STATE_FIRST_KEY:
        return c == '}' ? close_bracket(j) : scan_key(j);
    case STATE_FIRST_ITEM:
        return c == ']' ? close_bracket(j) : scan_value(j);
    case STATE_NEXT:
        return scan_next(j);
    default:
        return scan_value(j);
    }
}

bool lort_json_skip(lort_json *j, lort_json_token first)
{
    if (first != LORT_JSON_OBJECT && first != LORT_JSON_ARRAY)
        return first != LORT_JSON_ERROR;
    uint32_t outside = j->depth - 1;
    while (j->depth > outside) {
        if (lort_json_next(j) == LORT_JSON_ERROR)
            return false;
    }
    return true;
}

uint64_t lort_json_text(const lort_json *j, char *out)
{
    const uint8_t *p = j->data + j->text;
    uint64_t length = 0;
    uint32_t taken;
    if (!j->escaped) {
        if (j->text_size)
            memcpy(out, p, j->text_size);
        return j->text_size;
    }
    for (uint64_t at = 0; at < j->text_size; at += taken) {
        uint8_t bytes[4];
        uint32_t n = decode_one(p + at, j->text_size - at, bytes, &taken);
        memcpy(out + length, bytes, n);
        length += n;
    }
    return length;
}

bool lort_json_text_is(const lort_json *j, const char *literal)
{
    size_t n = strlen(literal), length = 0;
    uint32_t taken;
    const uint8_t *p = j->data + j->text;
    if (!j->escaped)
        return j->text_size == n && memcmp(p, literal, n) == 0;
    for (uint64_t at = 0; at < j->text_size; at += taken) {
        uint8_t bytes[4];
        uint32_t got = decode_one(p + at, j->text_size - at, bytes, &taken);
        if (got > n - length || memcmp(literal + length, bytes, got) != 0)
            return false;
        length += got;
    }
    return length == n;
}

bool lort_json_u64(const lort_json *j, uint64_t *out)
{
    uint64_t v = 0;
    for (uint64_t i = 0; i < j->text_size; i++) {
        uint8_t digit = (uint8_t)(j->data[j->text + i] - '0');
        if (digit > 9 || v > UINT64_MAX / 10 || v * 10 > UINT64_MAX - digit)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return j->text_size > 0;
}
