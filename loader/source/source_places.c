/* source_places: owns variables of the environment, and the paths that come of them. */
#include "loader/source/source_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void lort_place_set(lort_place *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(place->text, sizeof place->text, format, args);
    va_end(args);
    place->cut = n < 0 || (size_t)n >= sizeof place->text;
}

bool lort_source_is_on(const char *variable)
{
    static const char *const words[] = {"1", "ON", "YES", "TRUE"};
    char value[16];
    if (!lort_os_variable(variable, value, sizeof value))
        return false;
    for (char *at = value; *at; at++)
        if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    return false;
}

void lort_source_endpoint(char out[LORT_ENDPOINT_MAX + 1])
{
    if (!lort_os_variable("HF_ENDPOINT", out, LORT_ENDPOINT_MAX + 1))
        snprintf(out, LORT_ENDPOINT_MAX + 1, "https://huggingface.co");
    for (size_t n = strlen(out); n && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
}

/* ---- paths ---- */

static void add(lort_place *place, const char *text, size_t n)
{
    const size_t at = strlen(place->text);
    if (n >= sizeof place->text - at) {
        place->cut = true;
        return;
    }
    memcpy(place->text + at, text, n);
    place->text[at + n] = '\0';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Adds the value of "$NAME" or "${NAME}" at `text`. Returns its bytes there. A variable that is not
 * set stays as it is written, as Python's expandvars has it. */
static size_t add_variable(lort_place *place, const char *text)
{
    char name[128], value[LORT_SOURCE_PLACE_MAX];
    const bool braces = text[1] == '{';
    const char *first = text + 1 + braces;
    size_t n = 0;
    while (braces ? first[n] && first[n] != '}' : is_word(first[n]))
        n++;
    const size_t all = 1 + braces + n + (braces && first[n] == '}');
    if (n > 0 && n < sizeof name) {
        memcpy(name, first, n);
        name[n] = '\0';
        if (lort_os_variable(name, value, sizeof value)) {
            add(place, value, strlen(value));
            return all;
        }
    }
    add(place, text, all);
    return all;
}

static void expand(const char *text, lort_place *out)
{
    char home[LORT_SOURCE_PLACE_MAX];
    lort_place_set(out, "%s", "");
    if (text[0] == '~' && (text[1] == '\0' || lort_os_is_separator(text[1])) &&
        lort_os_home(home, sizeof home)) {
        add(out, home, strlen(home));
        text++;
    }
    while (*text) {
        const size_t plain = strcspn(text, "$");
        add(out, text, plain);
        text += plain;
        if (*text)
            text += add_variable(out, text);
    }
}

/* Windows takes / for \, which messages would show as \x5C. */
static void use_slashes(lort_place *place)
{
    for (char *at = place->text; *at; at++)
        *at = lort_os_is_separator(*at) ? '/' : *at;
}

bool lort_place_variable(const char *variable, lort_place *out)
{
    char value[LORT_SOURCE_PLACE_MAX];
    if (!lort_os_variable(variable, value, sizeof value))
        return false;
    expand(value, out);
    for (size_t n = strlen(out->text); n > 1 && lort_os_is_separator(out->text[n - 1]); n--)
        out->text[n - 1] = '\0';
    use_slashes(out);
    return !out->cut;
}

bool lort_place_home(const char *below, lort_place *out)
{
    char home[LORT_SOURCE_PLACE_MAX];
    if (!lort_os_home(home, sizeof home))
        return false;
    lort_place_set(out, "%s/%s", home, below);
    use_slashes(out);
    return !out->cut;
}

bool lort_place_cache(const char *below, lort_place *out)
{
    lort_place root;
    if (!lort_place_variable("XDG_CACHE_HOME", &root) && !lort_place_home(".cache", &root))
        return false;
    lort_place_set(out, "%s/%s", root.text, below);
    return !out->cut;
}

bool lort_place_is_dir(const char *path)
{
    lort_file_info info;
    bool exists;
    return lort_os_stat(path, &info, &exists, NULL) == LORT_OK && exists &&
           info.kind == LORT_FILE_DIRECTORY;
}

bool lort_place_is_file(const char *path, uint64_t *size)
{
    lort_file_info info;
    bool exists;
    if (lort_os_stat(path, &info, &exists, NULL) || !exists || info.kind != LORT_FILE_REGULAR)
        return false;
    *size = info.size;
    return true;
}
