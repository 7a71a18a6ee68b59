/* error: see error.h. It writes into the record of the caller; it never prints or allocates.
 *
 * Callers escape text from outside. A message is made printable once more as a whole. So no caller
 * that forgets a name, and no cut within a character, puts a raw byte into a message. */
#include "formats/base/error.h"
#include "formats/base/escape.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LONGEST                                                                                    \
    2048 /* bytes of a message before it is cut to the record; with room for the cut               \
          */

lort_code lort_fail(lort_error *err, lort_code code, const char *format, ...)
{
    char text[LONGEST];
    va_list args;
    if (!err)
        return code;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err->code = code;
    lort_printable(err->message, sizeof err->message, text, strlen(text));
    return code;
}

lort_code lort_error_prefix(lort_error *err, const char *format, ...)
{
    char text[LONGEST + 2 + sizeof err->message];
    va_list args;
    if (!err)
        return LORT_E_INTERNAL;
    va_start(args, format);
    vsnprintf(text, LONGEST, format, args);
    va_end(args);
    strcat(strcat(text, ": "), err->message);
    lort_printable(err->message, sizeof err->message, text, strlen(text));
    return err->code;
}
