/* error: see error.h. It writes into the record of the caller; it never prints or allocates.
 *
 * Callers escape text from outside. A message is made printable once more as a whole. So no caller
 * that forgets a name, and no cut within a character, puts a raw byte into a message. */
#include "formats/base/error.h"
#include "formats/base/escape.h"
#include <stdarg.h>
#include <stdbool.h>
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
    *err->file = *err->tensor = '\0';
    lort_printable(err->message, sizeof err->message, text, strlen(text));
    return code;
}

void lort_error_file(lort_error *err, const char *path)
{
    if (err && err->code && !*err->file)
        lort_escape_plain(err->file, sizeof err->file, path, strlen(path));
}

void lort_error_tensor(lort_error *err, const void *name, size_t bytes)
{
    if (err && err->code && !*err->tensor)
        lort_escape_plain(err->tensor, sizeof err->tensor, name, bytes);
}

void lort_error_inside(lort_error *err, const char *directory, size_t bytes)
{
    char text[sizeof err->file];
    const size_t n = bytes < sizeof text ? bytes : sizeof text;
    if (!err || !err->code || !*err->file || strchr(err->file, '/') || n == 0)
        return;
    lort_escape_plain(text, sizeof text, directory, n);
    const char *slash = directory[n - 1] == '/' ? "" : "/";
    if (strlen(text) + strlen(slash) + strlen(err->file) >= sizeof text)
        return; /* the name alone is better than a part of the path */
    strcat(strcat(text, slash), err->file);
    strcpy(err->file, text);
}

/* True if the message begins with the path, or has it in quotes. A path below it counts. */
static bool names_path(const char *message, const char *path)
{
    const size_t n = strlen(path);
    if (strncmp(message, path, n) == 0 && (message[n] == ':' || message[n] == '/'))
        return true;
    for (const char *at = strchr(message, '\''); at; at = strchr(at + 1, '\''))
        if (strncmp(at + 1, path, n) == 0 && (at[1 + n] == '\'' || at[1 + n] == '/'))
            return true;
    return false;
}

lort_code lort_error_path(lort_error *err, const char *path)
{
    char shown[600];
    if (!err)
        return LORT_E_INTERNAL;
    lort_escape_text(shown, sizeof shown, path);
    if (!names_path(err->message, shown))
        lort_error_prefix(err, "%s", shown);
    lort_error_file(err, path);
    return err->code;
}

const char *lort_code_name(lort_code code)
{
    switch (code) {
    case LORT_OK:
        return "";
    case LORT_E_INTERNAL:
        return "internal";
    case LORT_E_USAGE:
        return "usage";
    case LORT_E_INPUT:
        return "input";
    case LORT_E_READ:
        return "read";
    case LORT_E_WRITE:
        return "write";
    case LORT_E_MEMORY:
        return "memory";
    case LORT_E_NUMERIC:
        return "numeric";
    case LORT_E_DAMAGED:
        return "damaged";
    case LORT_E_EXISTS:
        return "exists";
    case LORT_E_STOPPED:
        return "stopped";
    }
    return "internal";
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
