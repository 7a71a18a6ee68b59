/* again: opens a file that LoRT saw before, and finds out whether it is still the same. */
#include "formats/base/text.h"
#include "loader/os/os.h"

static const char *what_changed(const lort_file_info *was, const lort_file_info *is)
{
    return is->device != was->device || is->inode != was->inode ? "was replaced"
           : is->size < was->size                               ? "shrank"
           : is->size > was->size                               ? "grew"
           : is->mtime_ns != was->mtime_ns                      ? "was modified"
                                                                : NULL;
}

lort_code lort_os_open_again(lort_dir *dir, const char *name, const lort_file_info *was,
                             lort_file **out, lort_error *err)
{
    char shown[600];
    lort_file_info now;
    lort_code code = lort_os_open(dir, name, out, err);
    if (code == LORT_E_INPUT) { /* the file existed before */
        lort_error_prefix(err, "the input changed during the run");
        if (err)
            err->code = LORT_E_READ;
        return LORT_E_READ;
    }
    if (code)
        return code;
    code = lort_os_info(*out, &now, err);
    const char *change = code ? NULL : what_changed(was, &now), *path = lort_os_file_path(*out);
    if (change)
        code = lort_fail(err, LORT_E_READ,
                         "'%s' %s while it was read: the input must not change during a run",
                         lort_escape_text(shown, sizeof shown, path), change);
    if (code) {
        lort_error_file(err, path);
        lort_os_close(*out, NULL);
        *out = NULL;
    }
    return code;
}
