/* os_windows_error: turns failed system calls into messages and codes. */
#include "formats/base/text.h"
#include "loader/os/windows/os_windows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static DWORD message_in(DWORD language, DWORD why, wchar_t *out, DWORD cap)
{
    return FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS |
                              FORMAT_MESSAGE_MAX_WIDTH_MASK,
                          NULL, why, language, out, cap, NULL);
}

/* All of LoRT speaks English. A Windows without English texts gives its own. */
const char *lort_os_reason(DWORD why, char *out, size_t cap)
{
    wchar_t wide[400];
    char *text = NULL;
    DWORD n = message_in(MAKELANGID(LANG_ENGLISH, SUBLANG_ENGLISH_US), why, wide, 400);
    if (n == 0)
        n = message_in(0, why, wide, 400);
    while (n && (wide[n - 1] <= L' ' || wide[n - 1] == L'.'))
        n--;
    if (n == 0 || lort_os_narrow(wide, n, &text))
        snprintf(out, cap, "Windows error %lu", (unsigned long)why);
    else
        snprintf(out, cap, "%s", text);
    free(text);
    return out;
}

lort_code lort_os_fail(lort_error *err, lort_code code, DWORD why, const char *what,
                       const char *path)
{
    char shown[600], reason[600];
    lort_fail(err, code, "cannot %s '%s': %s", what, lort_escape_text(shown, sizeof shown, path),
              lort_os_reason(why, reason, sizeof reason));
    lort_error_file(err, path);
    return code;
}

lort_code lort_os_fail_at(lort_error *err, lort_code code, DWORD why, const char *what,
                          const lort_dir *dir, const char *name)
{
    char path[1024];
    lort_os_join(path, sizeof path, dir, name);
    return lort_os_fail(err, code, why, what, path);
}

static bool is_one_of(DWORD why, const DWORD *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (why == list[i])
            return true;
    return false;
}
#define IS_ONE_OF(why, list) is_one_of(why, list, sizeof(list) / sizeof *(list))

/* The list holds errors that the user can cause. The others are failed reads. */
lort_code lort_os_open_code(DWORD why)
{
    static const DWORD input[] = {ERROR_FILE_NOT_FOUND,     ERROR_PATH_NOT_FOUND,
                                  ERROR_ACCESS_DENIED,      ERROR_INVALID_NAME,
                                  ERROR_BAD_PATHNAME,       ERROR_CANT_RESOLVE_FILENAME,
                                  ERROR_DIRECTORY,          ERROR_FILENAME_EXCED_RANGE,
                                  ERROR_BAD_NETPATH,        ERROR_BAD_NET_NAME,
                                  ERROR_INVALID_DRIVE,      ERROR_NOT_READY,
                                  ERROR_INVALID_FUNCTION,   ERROR_NO_UNICODE_TRANSLATION,
                                  ERROR_PRIVILEGE_NOT_HELD, ERROR_INVALID_PARAMETER,
                                  ERROR_BAD_DEVICE};
    static const DWORD memory[] = {ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY,
                                   ERROR_COMMITMENT_LIMIT};
    return IS_ONE_OF(why, input)    ? LORT_E_INPUT
           : IS_ONE_OF(why, memory) ? LORT_E_MEMORY
                                    : LORT_E_READ;
}

bool lort_os_is_absent(DWORD why)
{
    return why == ERROR_FILE_NOT_FOUND || why == ERROR_PATH_NOT_FOUND;
}

bool lort_os_is_there(DWORD why) { return why == ERROR_FILE_EXISTS || why == ERROR_ALREADY_EXISTS; }

DWORD lort_os_nt_error(NTSTATUS status)
{
    const DWORD why = status >= 0 ? 0 : RtlNtStatusToDosError(status);
    return status < 0 && why == 0 ? ERROR_GEN_FAILURE : why;
}
