/* text: see text.h. Every function here is pure. */
#include "formats/base/text.h"
#include "formats/base/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

bool lort_text_ends_in(const char *text, uint64_t bytes, const char *end)
{
    const size_t n = strlen(end);
    return bytes >= n && memcmp(text + bytes - n, end, n) == 0;
}

bool lort_text_ends(const char *text, const char *end)
{
    return lort_text_ends_in(text, strlen(text), end);
}
