/* os_windows_open: opens names below the handle of a directory, and paths. */
#include "loader/os/windows/os_windows.h"
#include <stdlib.h>
#include <string.h>

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define PAUSE_MS 50
#define PAUSES 20 /* one second */

DWORD lort_os_insist(DWORD (*try)(void *ctx), void *ctx)
{
    DWORD why = try(ctx);
    for (int i = 0; i < PAUSES && (why == ERROR_SHARING_VIOLATION || why == ERROR_ACCESS_DENIED);
         i++) {
        Sleep(PAUSE_MS);
        why = try(ctx);
    }
    return why;
}

typedef struct attempt {
    const lort_dir *dir;
    const lort_os_way *way;
    UNICODE_STRING name;
    HANDLE handle;
} attempt;

static DWORD try_open(void *ctx)
{
    attempt *a = ctx;
    const lort_os_way *way = a->way;
    IO_STATUS_BLOCK io;
    OBJECT_ATTRIBUTES at;
    InitializeObjectAttributes(&at, &a->name, OBJ_CASE_INSENSITIVE, a->dir->handle, NULL);
    return lort_os_nt_error(
        NtCreateFile(&a->handle, way->access | SYNCHRONIZE | FILE_READ_ATTRIBUTES, &at, &io, NULL,
                     FILE_ATTRIBUTE_NORMAL, SHARE_ALL, way->disposition,
                     way->options | FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_FOR_BACKUP_INTENT |
                         (way->no_link ? FILE_OPEN_REPARSE_POINT : 0),
                     NULL, 0));
}

/* NT knows '\' only. A colon would name a stream of the file. */
static DWORD nt_name(const char *name, wchar_t **wide)
{
    *wide = NULL;
    if (strchr(name, ':'))
        return ERROR_INVALID_NAME;
    const DWORD why = lort_os_wide(name, wide);
    for (wchar_t *at = *wide; at && *at; at++)
        if (*at == L'/')
            *at = L'\\';
    if (!why && wcslen(*wide) > 32000) {
        free(*wide);
        return ERROR_FILENAME_EXCED_RANGE;
    }
    return why;
}

DWORD lort_os_open_at(const lort_dir *dir, const char *name, const lort_os_way *way, HANDLE *out)
{
    wchar_t *wide = NULL;
    *out = NULL;
    DWORD why = way->disposition == FILE_CREATE && lort_os_name_fault(name) ? ERROR_INVALID_NAME
                                                                            : nt_name(name, &wide);
    if (why)
        return why;
    const USHORT bytes = (USHORT)(wcslen(wide) * sizeof *wide);
    attempt a = {.dir = dir, .way = way, .name = {bytes, bytes, wide}};
    why = way->waits ? lort_os_insist(try_open, &a) : try_open(&a);
    *out = why ? NULL : a.handle;
    free(wide);
    return why;
}

DWORD lort_os_open_path(const char *path, ACCESS_MASK access, HANDLE *out, bool *device)
{
    wchar_t *full;
    *out = NULL;
    DWORD why = lort_os_full_path(path, &full, device);
    if (why)
        return why;
    HANDLE handle = *device
                        ? INVALID_HANDLE_VALUE
                        : CreateFileW(full, access | SYNCHRONIZE | FILE_READ_ATTRIBUTES, SHARE_ALL,
                                      NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (handle == INVALID_HANDLE_VALUE)
        why = *device ? ERROR_BAD_DEVICE : GetLastError();
    else
        *out = handle;
    free(full);
    return why;
}
