/* place_windows: see place.h. A path is made absolute first, so it may be longer than 260
 * characters. The root of a drive is "C:", without a slash. */
#include "compress/cli/console/place.h"
#include <io.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

/* ---- texts ---- */

void lort_place_spell(char *path)
{
    for (char *at = strchr(path, '\\'); at; at = strchr(at, '\\'))
        *at = '/';
}

static bool widen(const char *text, wchar_t out[LORT_PLACE_PATH])
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, out, LORT_PLACE_PATH) > 0;
}

/* To UTF-8, with / as the only separator and none at the end. */
static bool narrow(const wchar_t *wide, char out[LORT_PLACE_PATH])
{
    if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, out, LORT_PLACE_PATH, NULL, NULL) <= 0)
        return false;
    lort_place_spell(out);
    for (size_t n = strlen(out); n > 1 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
    return true;
}

/* Behind the \\?\ of a path: C:\NAME, or \SERVER\SHARE with one \ of its two. */
static const wchar_t *skip_prefix(wchar_t *path)
{
    if (wcsncmp(path, L"\\\\?\\UNC\\", 8) == 0)
        return wmemcpy(path + 6, L"\\\\", 2);
    return wcsncmp(path, L"\\\\?\\", 4) == 0 ? path + 4 : path;
}

/* The path from its drive on, with \\?\ before it. False for devices too. */
static bool full_path(const char *path, wchar_t out[2 * LORT_PLACE_PATH])
{
    wchar_t given[LORT_PLACE_PATH], full[LORT_PLACE_PATH];
    const size_t n = strlen(path);
    if (!widen(path, given) || wcslen(given) + 2 >= LORT_PLACE_PATH)
        return false;
    if (n == 2 && path[1] == ':')
        wcscat(given, L"\\"); /* else this were the current directory of the drive */
    const DWORD used = GetFullPathNameW(given, LORT_PLACE_PATH, full, NULL);
    if (used == 0 || used >= LORT_PLACE_PATH || wcsncmp(full, L"\\\\.\\", 4) == 0)
        return false;
    const wchar_t *rest = skip_prefix(full);
    const bool server = wcsncmp(rest, L"\\\\", 2) == 0;
    wcscpy(out, server ? L"\\\\?\\UNC\\" : L"\\\\?\\");
    wcscat(out, rest + (server ? 2 : 0));
    return true;
}

/* ---- files ---- */

static HANDLE open_path(const char *path)
{
    wchar_t full[2 * LORT_PLACE_PATH];
    if (!full_path(path, full))
        return INVALID_HANDLE_VALUE;
    return CreateFileW(full, FILE_READ_ATTRIBUTES,
                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                       FILE_FLAG_BACKUP_SEMANTICS, NULL);
}

static lort_identity identity_of(HANDLE handle)
{
    BY_HANDLE_FILE_INFORMATION info;
    if (!GetFileInformationByHandle(handle, &info))
        return (lort_identity){0};
    return (lort_identity){true, info.dwVolumeSerialNumber,
                           (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow};
}

lort_identity lort_place_identity(const char *path)
{
    const HANDLE handle = open_path(path);
    const lort_identity found = identity_of(handle);
    if (handle != INVALID_HANDLE_VALUE)
        CloseHandle(handle);
    return found;
}

lort_identity lort_place_stdout(void)
{
    const HANDLE handle = GetStdHandle(STD_OUTPUT_HANDLE);
    return GetFileType(handle) == FILE_TYPE_DISK ? identity_of(handle) : (lort_identity){0};
}

bool lort_place_is_directory(const char *path)
{
    BY_HANDLE_FILE_INFORMATION info;
    const HANDLE handle = open_path(path);
    const bool known = GetFileInformationByHandle(handle, &info);
    if (handle != INVALID_HANDLE_VALUE)
        CloseHandle(handle);
    return known && (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY);
}

/* ---- paths ---- */

bool lort_place_plain(const char *path, char out[LORT_PLACE_PATH])
{
    wchar_t full[2 * LORT_PLACE_PATH];
    return full_path(path, full) && narrow(skip_prefix(full), out);
}

bool lort_place_real(const char *path, char out[LORT_PLACE_PATH])
{
    wchar_t full[2 * LORT_PLACE_PATH];
    const HANDLE handle = open_path(path);
    if (handle == INVALID_HANDLE_VALUE)
        return false;
    const DWORD n = GetFinalPathNameByHandleW(handle, full, 2 * LORT_PLACE_PATH, 0);
    CloseHandle(handle);
    return n > 0 && n < 2 * LORT_PLACE_PATH && narrow(skip_prefix(full), out);
}

bool lort_place_link(const char *path, char out[LORT_PLACE_PATH]) { return false; }

bool lort_place_is_absolute(const char *plain) { return *plain == '/' || plain[1] == ':'; }

bool lort_place_same_name(const char *a, const char *b)
{
    wchar_t first[LORT_PLACE_PATH], second[LORT_PLACE_PATH];
    return widen(a, first) && widen(b, second) &&
           CompareStringOrdinal(first, -1, second, -1, TRUE) == CSTR_EQUAL;
}

/* The identity of a name in the directory. */
static lort_identity identity_in(const char *directory, const char *name)
{
    char path[LORT_PLACE_PATH];
    const size_t n = strlen(directory), more = strlen(name);
    if (n + more + 2 > sizeof path)
        return (lort_identity){0};
    memcpy(path, directory, n);
    path[n] = '/';
    memcpy(path + n + 1, name, more + 1);
    return lort_place_identity(path);
}

bool lort_place_any(const char *directory,
                    bool (*hit)(void *ctx, const char *name, const lort_identity *file), void *ctx)
{
    wchar_t full[2 * LORT_PLACE_PATH];
    WIN32_FIND_DATAW entry;
    bool found = false;
    if (!full_path(directory, full) || wcslen(full) + 3 > 2 * LORT_PLACE_PATH)
        return false;
    wcscat(full, full[wcslen(full) - 1] == L'\\' ? L"*" : L"\\*");
    const HANDLE search = FindFirstFileW(full, &entry);
    for (BOOL more = search != INVALID_HANDLE_VALUE; more && !found;
         more = FindNextFileW(search, &entry)) {
        char name[LORT_PLACE_PATH];
        if (entry.cFileName[0] == L'.' || !narrow(entry.cFileName, name))
            continue;
        const lort_identity file = identity_in(directory, name);
        found = file.known && hit(ctx, name, &file);
    }
    if (search != INVALID_HANDLE_VALUE)
        FindClose(search);
    return found;
}
