/* error: see error.h. It writes into the record of the caller; it never prints or allocates. */
#include "formats/base/error.h"
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

/* Appends as much of `text` as there is room for. */
static void append_text(char *message, size_t cap, const char *text)
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
    append_text(err->message, sizeof err->message, ": ");
    append_text(err->message, sizeof err->message, old);
    return err->code;
}
