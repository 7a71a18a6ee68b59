/* error: fills the caller's record; never prints, never allocates. */
#include "formats/base/error.h"
#include "formats/base/bytes.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

lort_code lort_fail(lort_error *err, lort_code code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return code;
}

/* Adds as much of text as there is room for. */
static void append(char *message, size_t cap, const char *text)
{
    size_t at = strlen(message), n = strlen(text);
    if (n > cap - 1 - at)
        n = cap - 1 - at;
    memcpy(message + at, text, n);
    message[at + n] = '\0';
}

lort_code lort_error_prefix(lort_error *err, const char *format, ...)
{
    char old[sizeof err->message];
    va_list args;
    if (!err)
        return LORT_E_INTERNAL;
    memcpy(old, err->message, sizeof old);
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    append(err->message, sizeof err->message, ": ");
    append(err->message, sizeof err->message, old);
    return err->code;
}

/* C1 controls are two bytes in UTF-8 and as good as ESC to some terminals. */
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
        size_t step = lort_utf8_length(p + i, n - i), size = 4;
        if (is_printable(p + i, step)) {
            memcpy(piece, p + i, step);
            size = step;
        } else {
            snprintf(piece, sizeof piece, "\\x%02X", p[i]);
            step = 1;
        }
        size_t rest = i + step < n ? 3 : 0; /* keep room for "..." until the end is in sight */
        if (at + size + rest + 1 > cap) {
            size_t dots = cap - 1 - at < 3 ? cap - 1 - at : 3;
            memcpy(out + at, "...", dots);
            at += dots;
            break;
        }
        memcpy(out + at, piece, size);
        at += size;
        i += step;
    }
    out[at] = '\0';
    return out;
}

const char *lort_escape_text(char *out, size_t cap, const char *text) { return lort_escape(out, cap, text, strlen(text)); }
