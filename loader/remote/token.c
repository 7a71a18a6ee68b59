/* token: see token.h. */
#include "loader/remote/token.h"
#include "loader/os/os.h"
#include "loader/source/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_PATH 4096

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool is_space(char c) { return c && strchr(" \t\r\n\f\v", c); }

/* Copies a token without the white space around it. */
static lort_code copy_token(const char *from, const char *where, char *out, lort_error *err)
{
    while (is_space(*from))
        from++;
    size_t n = strlen(from);
    while (n && is_space(from[n - 1]))
        n--;
    for (size_t i = 0; i < n; i++)
        if (from[i] <= ' ' || from[i] > '~' || n >= LORT_TOKEN_MAX)
            return lort_fail(err, LORT_E_USAGE,
                             "%s holds no token (found a character that none has, or more than %u "
                             "bytes)",
                             where, LORT_TOKEN_MAX - 1);
    memcpy(out, from, n);
    out[n] = 0;
    return LORT_OK;
}

/* Writes FOLDER/END, where "~" in front is the home directory. Returns false if that is unknown. */
static bool join(char *out, const char *folder, const char *end)
{
    const char *home = "";
    if (folder[0] == '~' && (folder[1] == 0 || lort_os_is_separator(folder[1]))) {
        home = variable("HOME");
        if (!home)
            home = variable("USERPROFILE");
        if (!home)
            return false;
        folder++;
    }
    const int n = snprintf(out, LONGEST_PATH, "%s%s%s", home, folder, end);
    return n > 0 && n < LONGEST_PATH;
}

static bool token_path(char *out)
{
    const char *path = variable("HF_TOKEN_PATH");
    if (path)
        return join(out, path, "");
    const char *home = variable("HF_HOME");
    if (home)
        return join(out, home, "/token");
    const char *cache = variable("XDG_CACHE_HOME");
    return cache ? join(out, cache, "/huggingface/token")
                 : join(out, "~", "/.cache/huggingface/token");
}

lort_code lort_token_find(char out[LORT_TOKEN_MAX], lort_error *err)
{
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    char path[LONGEST_PATH], text[LORT_TOKEN_MAX + 64];
    out[0] = 0;
    if (lort_source_is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return LORT_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = variable(names[i]);
        const lort_code code = value ? copy_token(value, names[i], out, err) : LORT_OK;
        if (code || out[0])
            return code;
    }
    if (!token_path(path) || !lort_os_read_text(path, text, sizeof text))
        return LORT_OK;
    const lort_code code = copy_token(text, path, out, err);
    memset(text, 0, sizeof text);
    return code;
}
