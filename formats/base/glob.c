/* glob: see glob.h. */
#include "formats/base/glob.h"
#include <string.h>

bool lort_glob(const char *pattern, const char *name)
{
    const char *star = NULL, *retry = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool lort_glob_names(const char **patterns, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strpbrk(patterns[i], "*?") == NULL && strcmp(patterns[i], name) == 0)
            return true;
    return false;
}

bool lort_glob_any(const char **patterns, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (lort_glob(patterns[i], name))
            return true;
    return false;
}
