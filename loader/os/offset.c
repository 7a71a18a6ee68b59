/* offset: see offset.h. */
#include "loader/os/offset.h"
#include "formats/base/text.h"
#include <inttypes.h>

lort_code lort_os_fail_offset(lort_error *err, lort_code code, const char *what, const char *path,
                              uint64_t offset, const char *reason)
{
    char shown[600];
    lort_fail(err, code, "cannot %s '%s' at offset %" PRIu64 ": %s", what,
              lort_escape_text(shown, sizeof shown, path), offset, reason);
    lort_error_file(err, path);
    return code;
}

lort_code lort_os_fail_shrank(lort_error *err, const char *path, uint64_t n, uint64_t offset)
{
    char shown[600];
    lort_fail(err, LORT_E_READ, "file shrank: '%s' has no %" PRIu64 " bytes at offset %" PRIu64,
              lort_escape_text(shown, sizeof shown, path), n, offset);
    lort_error_file(err, path);
    return LORT_E_READ;
}
