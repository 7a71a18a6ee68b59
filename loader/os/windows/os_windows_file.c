/* os_windows_file: opens, reads, writes and syncs regular files. */
#include "formats/base/text.h"
#include "loader/os/windows/os_windows.h"
#include <stdlib.h>
#include <string.h>

#define ONE_CALL (UINT64_C(1) << 30) /* Windows counts the bytes of a call in 32 bits */

static lort_code new_file(const lort_dir *dir, const char *name, bool writing, lort_file **out,
                          lort_error *err)
{
    const size_t n = lort_os_join(NULL, 0, dir, name);
    lort_file *file = calloc(1, sizeof *file + n + 1);
    *out = file;
    if (!file)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a file handle");
    lort_os_join(file->path, n + 1, dir, name);
    file->writing = writing;
    return LORT_OK;
}

static lort_code not_regular(lort_error *err, lort_code code, const char *kind, const char *path)
{
    char shown[600];
    lort_fail(err, code, "'%s' is %s; only regular files are accepted",
              lort_escape_text(shown, sizeof shown, path), kind);
    lort_error_file(err, path);
    return code;
}

static lort_code keep(lort_code code, lort_file *file, const lort_file_info *info, lort_file **out)
{
    if (code) {
        lort_os_close(file, NULL);
        return code;
    }
    file->device = info->device;
    *out = file;
    return LORT_OK;
}

lort_code lort_os_open(lort_dir *dir, const char *name, lort_file **out, lort_error *err)
{
    const lort_os_way way = {.access = FILE_GENERIC_READ, .disposition = FILE_OPEN};
    lort_file_info info = {0};
    lort_file *file;
    *out = NULL;
    lort_code code = new_file(dir, name, false, &file, err);
    if (code)
        return code;
    DWORD why = lort_os_open_at(dir, name, &way, &file->handle);
    if (why && lort_os_dangles(dir, name, file->path, err))
        return keep(LORT_E_INPUT, file, &info, out);
    if (why)
        return keep(lort_os_fail(err, lort_os_open_code(why), why, "open", file->path), file, &info,
                    out);
    why = lort_os_handle_info(file->handle, 0, &info);
    if (why)
        code = lort_os_fail(err, LORT_E_READ, why, "stat", file->path);
    else if (info.kind != LORT_FILE_REGULAR)
        code = not_regular(err, LORT_E_INPUT, info.kind_text, file->path);
    return keep(code, file, &info, out);
}

/* Windows has no permission bits: `mode` says nothing here. */
lort_code lort_os_create(lort_dir *dir, const char *name, uint32_t mode, lort_file **out,
                         lort_error *err)
{
    const lort_os_way way = {.access = FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE,
                             .disposition = FILE_CREATE,
                             .options = FILE_NON_DIRECTORY_FILE,
                             .no_link = true,
                             .waits = true};
    char shown[600];
    lort_file_info info = {0};
    lort_file *file;
    (void)mode;
    *out = NULL;
    lort_code code = new_file(dir, name, true, &file, err);
    if (code)
        return code;
    const char *fault = lort_os_name_fault(name);
    const DWORD why = fault ? 0 : lort_os_open_at(dir, name, &way, &file->handle);
    if (fault) {
        code = lort_fail(err, LORT_E_WRITE, "cannot create '%s': the name %s",
                         lort_escape_text(shown, sizeof shown, file->path), fault);
        lort_error_file(err, file->path);
    } else if (why)
        code = lort_os_fail(err, lort_os_is_there(why) ? LORT_E_EXISTS : LORT_E_WRITE, why,
                            "create", file->path);
    else
        (void)lort_os_handle_info(file->handle, 0, &info);
    return keep(code, file, &info, out);
}

lort_code lort_os_open_found(lort_dir *dir, const char *name, lort_file **out, lort_error *err)
{
    const lort_os_way look = {.disposition = FILE_OPEN, .no_link = true},
                      way = {.access = FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE,
                             .disposition = FILE_OPEN,
                             .no_link = true,
                             .waits = true};
    lort_file_info info = {0};
    lort_file *file;
    HANDLE seen;
    *out = NULL;
    lort_code code = new_file(dir, name, true, &file, err);
    if (code)
        return code;
    /* A directory or a read-only file cannot be opened for writing, so it is looked at first. */
    DWORD why = lort_os_open_at(dir, name, &look, &seen);
    if (!why) {
        why = lort_os_handle_info(seen, 0, &info);
        CloseHandle(seen);
    }
    if (!why && info.kind == LORT_FILE_REGULAR)
        why = lort_os_open_at(dir, name, &way, &file->handle);
    if (file->handle) /* somebody may have replaced it in between */
        why = lort_os_handle_info(file->handle, 0, &info);
    if (!why && info.kind != LORT_FILE_REGULAR)
        code = not_regular(err, LORT_E_EXISTS, info.kind_text, file->path);
    else if (why && !lort_os_is_absent(why))
        code = lort_os_fail(err, LORT_E_WRITE, why, "open", file->path);
    if (code || why) {
        lort_os_close(file, NULL);
        return code;
    }
    return keep(code, file, &info, out);
}

/* Windows has no permission bits. */
lort_code lort_os_restrict(lort_file *file, uint32_t mode, lort_error *err)
{
    (void)file;
    (void)mode;
    (void)err;
    return LORT_OK;
}

/* ---- contents ---- */

static lort_code fail_offset(lort_error *err, lort_code code, DWORD why, const char *what,
                             const lort_file *file, uint64_t offset)
{
    char reason[600];
    return lort_os_fail_offset(err, code, what, file->path, offset,
                               lort_os_reason(why, reason, sizeof reason));
}

static OVERLAPPED place_at(uint64_t offset)
{
    return (OVERLAPPED){.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
}

lort_code lort_os_read(lort_file *file, void *buffer, uint64_t n, uint64_t offset, lort_error *err)
{
    char *to = buffer;
    if (lort_os_is_beyond(n, offset))
        return lort_os_fail_shrank(err, file->path, n, offset);
    while (n > 0) {
        OVERLAPPED place = place_at(offset);
        DWORD got = 0;
        const BOOL done =
            ReadFile(file->handle, to, (DWORD)(n < ONE_CALL ? n : ONE_CALL), &got, &place);
        const DWORD why = done ? 0 : GetLastError();
        if (why && why != ERROR_HANDLE_EOF)
            return fail_offset(err, LORT_E_READ, why, "read", file, offset);
        if (got == 0)
            return lort_os_fail_shrank(err, file->path, n, offset);
        to += got;
        n -= got;
        offset += got;
    }
    return LORT_OK;
}

lort_code lort_os_write(lort_file *file, const void *buffer, uint64_t n, uint64_t offset,
                        lort_error *err)
{
    const char *from = buffer;
    if (lort_os_is_beyond(n, offset))
        return fail_offset(err, LORT_E_WRITE, ERROR_FILE_TOO_LARGE, "write", file, offset);
    while (n > 0) {
        OVERLAPPED place = place_at(offset);
        DWORD put = 0;
        const BOOL done =
            WriteFile(file->handle, from, (DWORD)(n < ONE_CALL ? n : ONE_CALL), &put, &place);
        if (!done || put == 0)
            return fail_offset(err, LORT_E_WRITE, done ? ERROR_DISK_FULL : GetLastError(), "write",
                               file, offset);
        from += put;
        n -= put;
        offset += put;
    }
    return LORT_OK;
}

lort_code lort_os_truncate(lort_file *file, uint64_t size, lort_error *err)
{
    FILE_END_OF_FILE_INFO end = {.EndOfFile.QuadPart = (LONGLONG)size};
    const DWORD why =
        size > INT64_MAX ? ERROR_FILE_TOO_LARGE
        : SetFileInformationByHandle(file->handle, FileEndOfFileInfo, &end, sizeof end)
            ? 0
            : GetLastError();
    return why ? fail_offset(err, LORT_E_WRITE, why, "truncate", file, size) : LORT_OK;
}

lort_code lort_os_sync(lort_file *file, lort_error *err)
{
    return FlushFileBuffers(file->handle)
               ? LORT_OK
               : lort_os_fail(err, LORT_E_WRITE, GetLastError(), "sync", file->path);
}

/* Windows has no call that starts to write a range, and none that drops it from the cache. */
void lort_os_flush_behind(lort_file *file, uint64_t offset, uint64_t n)
{
    (void)file;
    (void)offset;
    (void)n;
}

/* Locks of Windows keep readers out. So LoRT locks one byte, where no file has data. */
lort_code lort_os_lock(lort_file *file, bool *locked, lort_error *err)
{
    OVERLAPPED place = place_at(INT64_MAX - 1);
    char shown[600];
    if (LockFileEx(file->handle, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
                   &place)) {
        *locked = true;
        return LORT_OK;
    }
    const DWORD why = GetLastError();
    *locked = false;
    if (why == ERROR_INVALID_FUNCTION || why == ERROR_NOT_SUPPORTED) /* a disk without locks */
        return LORT_OK;
    if (why != ERROR_LOCK_VIOLATION && why != ERROR_IO_PENDING)
        return lort_os_fail(err, LORT_E_WRITE, why, "lock", file->path);
    return lort_fail(err, LORT_E_EXISTS, "'%s' is locked: another process is writing it",
                     lort_escape_text(shown, sizeof shown, file->path));
}

/* Windows does not tell who holds a lock. */
uint64_t lort_os_lock_holder(const lort_file *file)
{
    (void)file;
    return 0;
}

lort_code lort_os_close(lort_file *file, lort_error *err)
{
    lort_code code = LORT_OK;
    if (!file)
        return LORT_OK;
    if (file->handle && !CloseHandle(file->handle) && file->writing)
        code = lort_os_fail(err, LORT_E_WRITE, GetLastError(), "close", file->path);
    free(file);
    return code;
}

const char *lort_os_file_path(const lort_file *file) { return file->path; }

bool lort_os_read_text(const char *path, char *out, uint64_t cap)
{
    HANDLE handle;
    bool device;
    DWORD got = 0;
    if (cap)
        out[0] = '\0';
    if (cap == 0 || lort_os_open_path(path, FILE_GENERIC_READ, &handle, &device))
        return false;
    const bool read =
        ReadFile(handle, out, (DWORD)(cap - 1 < ONE_CALL ? cap - 1 : ONE_CALL), &got, NULL);
    CloseHandle(handle);
    out[read ? got : 0] = '\0';
    return read;
}
