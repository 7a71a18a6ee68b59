/* plain_name: see plain_name.h. */
#include "formats/base/plain_name.h"
#include "formats/base/error.h"
#include "formats/base/text.h"
#include <string.h>

#define SHOWN 200 /* bytes for a name in a message */

static char to_upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c; }

/* True if Windows gives the name to a device. The extension does not matter. */
static bool is_device(const char *name, uint64_t bytes)
{
    static const char *const devices[] = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"};
    char stem[8] = {0};
    uint64_t n = 0;
    while (n < bytes && name[n] != '.' && n < sizeof stem) {
        stem[n] = to_upper(name[n]);
        n++;
    }
    if (n == sizeof stem)
        return false;
    while (n && stem[n - 1] == ' ')
        stem[--n] = 0;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        if (strcmp(stem, devices[i]) == 0)
            return true;
    }
    bool port = memcmp(stem, "COM", 3) == 0 || memcmp(stem, "LPT", 3) == 0;
    bool superscript =
        n == 5 && memcmp(stem + 3, "\xc2", 1) == 0 && strchr("\xb9\xb2\xb3", stem[4]);
    return port && ((n == 4 && stem[3] >= '0' && stem[3] <= '9') || superscript);
}

static bool is_odd(char c)
{
    return c == '/' || c == '\\' || c == ':' || (uint8_t)c < 0x20 || c == 0x7f;
}

static bool begins_up(const char *name, uint64_t bytes)
{
    return (bytes == 1 && name[0] == '.') || (bytes >= 2 && memcmp(name, "..", 2) == 0);
}

const char *lort_plain_name_fault(const char *name, uint64_t bytes)
{
    if (bytes == 0)
        return "is empty";
    if (bytes > LORT_PLAIN_NAME_MAX)
        return "is longer than 255 bytes";
    if (!lort_utf8_valid(name, bytes))
        return "is not valid UTF-8";
    for (uint64_t i = 0; i < bytes; i++) {
        uint8_t c = (uint8_t)name[i];
        if (c == '/' || c == '\\' || c == ':')
            return "holds '/', '\\' or ':'";
        if (c < 0x20 || c == 0x7f)
            return "holds a control character";
    }
    if (begins_up(name, bytes))
        return "begins with '..' or is '.'";
    if (name[bytes - 1] == '.' || name[bytes - 1] == ' ')
        return "ends with a dot or a space";
    return is_device(name, bytes) ? "is the name of a Windows device" : NULL;
}

lort_code lort_plain_name(const char *name, uint64_t bytes, lort_error *err)
{
    char shown[SHOWN];
    const char *fault = lort_plain_name_fault(name, bytes);
    if (!fault)
        return LORT_OK;
    return lort_fail(err, LORT_E_INPUT, "file name '%s' %s; a plain file name is allowed",
                     lort_escape(shown, sizeof shown, name, bytes), fault);
}

/* Bytes of the character at `text`, or 0 if it is not valid UTF-8. */
static uint64_t character_bytes(const char *text)
{
    const uint64_t left = strlen(text);
    for (uint64_t n = 1; n <= 4 && n <= left; n++)
        if (lort_utf8_valid(text, n))
            return n;
    return 0;
}

void lort_plain_name_make(const char *name, uint32_t lead, char out[LORT_PLAIN_NAME_MAX + 1])
{
    uint64_t n = lead < LORT_PLAIN_NAME_MAX ? lead : LORT_PLAIN_NAME_MAX;
    memset(out, '_', (size_t)n);
    while (*name) {
        const uint64_t bytes = character_bytes(name), step = bytes ? bytes : 1;
        if (n + step > LORT_PLAIN_NAME_MAX)
            break;
        memcpy(out + n, bytes && !is_odd(*name) ? name : "_", (size_t)step);
        name += step;
        n += step;
    }
    if (n == 0)
        out[n++] = '_';
    out[n] = 0;
    if (out[n - 1] == '.' || out[n - 1] == ' ')
        out[n - 1] = '_';
    if (begins_up(out, n) || is_device(out, n))
        out[0] = '_';
}
