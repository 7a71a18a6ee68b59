/* escape: see escape.h. One table has the format characters. */
#include "formats/base/escape.h"
#include <stdio.h>
#include <string.h>

/* Ranges of format characters in ascending order: categories Cf, Zl and Zp, and the property
 * Default_Ignorable_Code_Point (Unicode 15.1, UnicodeData.txt and DerivedCoreProperties.txt).
 * Unassigned code points of that property are in it too, since a newer Unicode may use them. */
static const struct range {
    uint32_t first, last;
} format_ranges[] = {
    {0xAD, 0xAD},       {0x34F, 0x34F},     {0x600, 0x605},     {0x61C, 0x61C},
    {0x6DD, 0x6DD},     {0x70F, 0x70F},     {0x890, 0x891},     {0x8E2, 0x8E2},
    {0x115F, 0x1160},   {0x17B4, 0x17B5},   {0x180B, 0x180F},   {0x200B, 0x200F},
    {0x2028, 0x202E},   {0x2060, 0x206F},   {0x3164, 0x3164},   {0xFE00, 0xFE0F},
    {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB},   {0x110BD, 0x110BD},
    {0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
    {0xE0000, 0xE0FFF},
};

bool lort_is_format(uint32_t code_point)
{
    size_t low = 0, high = sizeof format_ranges / sizeof *format_ranges;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (code_point > format_ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof format_ranges / sizeof *format_ranges &&
           code_point >= format_ranges[low].first;
}

/* Bytes of the first character of n > 0 bytes, or 0 if it is malformed. */
static unsigned utf8_length(const uint8_t *p, uint64_t n)
{
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

unsigned lort_utf8_next(const void *bytes, uint64_t n, uint32_t *code_point)
{
    static const uint8_t first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const uint8_t *p = bytes;
    const unsigned length = utf8_length(p, n);
    *code_point = p[0] & first_bits[length];
    for (unsigned i = 1; i < length; i++)
        *code_point = *code_point << 6 | (p[i] & 0x3F);
    return length;
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

enum { KEEP_BACKSLASH = 1, KEEP_FORMAT = 2 };

/* True if a character stays as it is. length: of the character; 0: it is malformed. Some terminals
 * obey C1 controls (U+0080 - U+009F) like ESC. */
static bool is_kept(uint32_t code_point, size_t length, unsigned keep)
{
    if (length == 0 || code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0))
        return false;
    if (code_point == '\\')
        return keep & KEEP_BACKSLASH;
    return (keep & KEEP_FORMAT) || !lort_is_format(code_point);
}

/* Writes the first character of n bytes, or the escapes of its bytes, to `piece`. *taken: its
 * bytes. Returns the bytes of the piece. */
static size_t escape_one(char *piece, const uint8_t *p, size_t n, unsigned keep, size_t *taken)
{
    uint32_t code_point;
    const size_t length = lort_utf8_next(p, n, &code_point);
    *taken = length ? length : 1;
    if (is_kept(code_point, length, keep)) {
        memcpy(piece, p, length);
        return length;
    }
    size_t size = 0;
    for (size_t i = 0; i < *taken; i++)
        size += (size_t)snprintf(piece + size, 5, "\\x%02X", p[i]);
    return size;
}

static const char *escape_bytes(char *out, size_t cap, const void *bytes, size_t n, unsigned keep)
{
    const uint8_t *p = bytes;
    size_t at = 0;
    if (cap == 0)
        return out;
    for (size_t i = 0; i < n;) {
        char piece[4 * 4 + 1];
        size_t taken;
        const size_t size = escape_one(piece, p + i, n - i, keep, &taken);
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

const char *lort_escape(char *out, size_t cap, const void *bytes, size_t n)
{
    return escape_bytes(out, cap, bytes, n, 0);
}

const char *lort_escape_plain(char *out, size_t cap, const void *bytes, size_t n)
{
    return escape_bytes(out, cap, bytes, n, KEEP_FORMAT);
}

const char *lort_printable(char *out, size_t cap, const void *bytes, size_t n)
{
    return escape_bytes(out, cap, bytes, n, KEEP_BACKSLASH);
}

const char *lort_escape_text(char *out, size_t cap, const char *text)
{
    return lort_escape(out, cap, text, strlen(text));
}
