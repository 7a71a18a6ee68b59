/* text: see text.h. Every function here is pure. */
#include "formats/base/text.h"
#include "formats/base/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the first character of n > 0 bytes, or 0 if it is malformed. */
static unsigned utf8_length(const void *bytes, uint64_t n)
{
    const uint8_t *p = bytes;
    unsigned want = p[0] < 0x80                    ? 1
                    : p[0] >= 0xC2 && p[0] <= 0xDF ? 2
                    : (p[0] & 0xF0) == 0xE0        ? 3
                    : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4
                                                   : 0;
    if (want == 0 || want > n)
        return 0;
    for (unsigned i = 1; i < want; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] >= 0xA0, beyond = p[0] == 0xF4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : want;
}

bool lort_utf8_valid(const void *bytes, uint64_t n)
{
    const uint8_t *p = bytes;
    for (uint64_t i = 0; i < n;) {
        unsigned length = utf8_length(p + i, n - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

/* True if a character may go to a terminal. C1 controls are two bytes in UTF-8, and some terminals
 * obey them like ESC. */
static bool is_printable(const uint8_t *p, size_t length)
{
    if (length == 1)
        return p[0] >= 0x20 && p[0] != 0x7F && p[0] != '\\';
    return length > 1 && !(p[0] == 0xC2 && p[1] < 0xA0);
}

const char *lort_escape(char *out, size_t cap, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    size_t at = 0;
    if (cap == 0)
        return out;
    for (size_t i = 0; i < n;) {
        char piece[12];
        size_t taken = utf8_length(p + i, n - i), size = 4;
        if (is_printable(p + i, taken)) {
            memcpy(piece, p + i, taken);
            size = taken;
        } else {
            snprintf(piece, sizeof piece, "\\x%02X", p[i]);
            taken = 1;
        }
        size_t rest = i + taken < n ? 3 : 0; /* room for "...", unless this piece is the last */
        if (at + size + rest + 1 > cap) {
            size_t dots = cap - 1 - at < 3 ? cap - 1 - at : 3;
            memcpy(out + at, "...", dots);
            at += dots;
            break;
        }
        memcpy(out + at, piece, size);
        at += size;
        i += taken;
    }
    out[at] = '\0';
    return out;
}

const char *lort_escape_text(char *out, size_t cap, const char *text)
{
    return lort_escape(out, cap, text, strlen(text));
}

static bool bad_size(const char *text, lort_error *err)
{
    char shown[80];
    lort_fail(err, LORT_E_USAGE,
              "'%s' is not a size: give a number above 0, with K, M, G or T for powers of 1024, "
              "such as 4096, 256M or 1.5G "
              "(less than 8 EiB)",
              lort_escape_text(shown, sizeof shown, text));
    return false;
}

/* Reads decimal digits: *value of the first `most` of them, *scale = 10^(digits used). strtod does
 * not do: it follows the locale's comma, and takes "nan" and "0x10". */
static const char *parse_digits(const char *p, unsigned most, uint64_t *value, uint64_t *scale)
{
    *value = 0;
    *scale = 1;
    for (unsigned count = 0; *p >= '0' && *p <= '9'; p++, count++) {
        if (count >= most)
            continue;
        *value = *value * 10 + (uint64_t)(*p - '0');
        *scale *= 10;
    }
    return p;
}

/* Reads a unit such as "M", "MiB" or "MB", which multiplies by 2^*shift. Returns its end. */
static const char *unit_of(const char *p, unsigned *shift)
{
    static const char letters[] = "KkMmGgTt";
    const char *letter = *p ? strchr(letters, *p) : NULL;
    *shift = letter ? 10 * (unsigned)((letter - letters) / 2 + 1) : 0;
    if (letter)
        p += 1 + (p[1] == 'i');
    return p + (*p == 'B' || *p == 'b');
}

lort_code lort_size_parse(const char *text, uint64_t *bytes, lort_error *err)
{
    uint64_t whole, fraction = 0, scale = 1, ignored;
    unsigned shift;
    *bytes = 0;
    const char *p = parse_digits(text, 19, &whole, &ignored);
    bool good = p != text && p - text <= 19;
    if (good && *p == '.') {
        const char *start = ++p;
        /* Six decimal places of a tebibyte are a mebibyte: that is enough and does not overflow. */
        p = parse_digits(p, 6, &fraction, &scale);
        good = p != start;
    }
    p = unit_of(p, &shift);
    good = good && !*p && (shift || scale == 1) && whole <= (uint64_t)INT64_MAX >> shift;
    uint64_t sum = good ? (whole << shift) + (fraction << shift) / scale : 0;
    if (sum == 0 || sum > INT64_MAX) {
        bad_size(text, err);
        return LORT_E_USAGE;
    }
    *bytes = sum;
    return LORT_OK;
}

const char *lort_size_text(uint64_t bytes, char *out, size_t cap)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(out, cap, "%" PRIu64 " B", bytes);
        return out;
    }
    unsigned u = 0;
    uint64_t unit = 1024;
    while (u < 5 && bytes / unit >= 1024) {
        u++;
        unit *= 1024;
    }
    /* In integers, because printf would write the decimal comma of the locale. */
    uint64_t whole = bytes / unit, tenths = (bytes % unit * 10 + unit / 2) / unit;
    whole += tenths / 10;
    tenths %= 10;
    if (whole == 1024 && u < 5) {
        whole = 1;
        u++;
    }
    if (tenths)
        snprintf(out, cap, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths, units[u]);
    else
        snprintf(out, cap, "%" PRIu64 " %s", whole, units[u]);
    return out;
}
