/* plain_path: see plain_path.h. */
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include <string.h>

#define SHOWN 300 /* bytes for a path in a message */

lort_code lort_plain_path(const char *path, uint64_t bytes, lort_error *err)
{
    char shown[SHOWN];
    lort_code code = LORT_OK;
    unsigned names = 0;
    if (bytes > LORT_PLAIN_PATH_MAX)
        return lort_fail(err, LORT_E_INPUT, "path '%s' has %llu bytes; at most %u are allowed",
                         lort_escape(shown, sizeof shown, path, bytes), (unsigned long long)bytes,
                         LORT_PLAIN_PATH_MAX);
    for (uint64_t at = 0, n; code == LORT_OK && at <= bytes; at += n + 1) {
        const char *slash = memchr(path + at, '/', bytes - at);
        n = (slash ? (uint64_t)(slash - path) : bytes) - at;
        code = lort_plain_name(path + at, n, err);
        names++;
    }
    if (code && names > 1)
        return lort_error_prefix(err, "path '%s'", lort_escape(shown, sizeof shown, path, bytes));
    if (code || names <= LORT_PLAIN_PATH_DEPTH)
        return code;
    return lort_fail(err, LORT_E_INPUT, "path '%s' has %u names; at most %u are allowed",
                     lort_escape(shown, sizeof shown, path, bytes), names, LORT_PLAIN_PATH_DEPTH);
}

uint32_t lort_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (uint32_t)(slash - path) : 0;
}

const char *lort_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool lort_path_same_folder(const char *a, const char *b)
{
    const uint32_t n = lort_path_folder(a);
    return n == lort_path_folder(b) && strncmp(a, b, n) == 0;
}

bool lort_path_inside(const char *path, const char *folder, uint32_t folder_bytes)
{
    return folder_bytes == 0 ||
           (strncmp(path, folder, folder_bytes) == 0 && path[folder_bytes] == '/');
}
