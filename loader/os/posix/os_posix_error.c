/* os_posix_error: turns failed system calls into messages and codes. */
#define _GNU_SOURCE
#include "formats/base/text.h"
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

lort_code lort_os_fail(lort_error *err, lort_code code, int why, const char *what, const char *path)
{
    char shown[600];
    lort_fail(err, code, "cannot %s '%s': %s", what, lort_escape_text(shown, sizeof shown, path),
              strerror(why));
    lort_error_file(err, path);
    return code;
}

size_t lort_os_join(char *out, size_t cap, const lort_dir *dir, const char *name)
{
    size_t n = strlen(dir->path);
    if (strcmp(dir->path, ".") == 0)
        return (size_t)snprintf(out, cap, "%s", name);
    return (size_t)snprintf(out, cap, "%s%s%s", dir->path, dir->path[n - 1] == '/' ? "" : "/",
                            name);
}

lort_code lort_os_fail_at(lort_error *err, lort_code code, int why, const char *what,
                          const lort_dir *dir, const char *name)
{
    char path[1024];
    lort_os_join(path, sizeof path, dir, name);
    return lort_os_fail(err, code, why, what, path);
}

/* The list holds errors that the user can cause. EIO, ESTALE, EMFILE and others are failed
 * reads. */
lort_code lort_os_open_code(int why)
{
    static const int input[] = {ENOENT, EACCES,       EPERM, ELOOP,  ENOTDIR,
                                EISDIR, ENAMETOOLONG, ENXIO, ENODEV, EINVAL};
    for (size_t i = 0; i < sizeof input / sizeof *input; i++)
        if (why == input[i])
            return LORT_E_INPUT;
    return why == ENOMEM ? LORT_E_MEMORY : LORT_E_READ;
}
