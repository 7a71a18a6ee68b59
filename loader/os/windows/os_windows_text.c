/* os_windows_text: texts and paths between LoRT (UTF-8) and Windows (UTF-16). */
#include "formats/base/plain_name.h"
#include "loader/os/windows/os_windows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- UTF-8 and UTF-16 ---- */

/* Reads a character of UTF-8, or half of a character of UTF-16 in three bytes. Returns its bytes, 0
 * if this is neither. */
static size_t read_character(const uint8_t *at, uint32_t *c)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t more = 0; more < 4; more++) {
        if ((at[0] & forms[more].mask) != forms[more].lead)
            continue;
        *c = at[0] & (uint8_t)~forms[more].mask;
        for (size_t i = 1; i <= more; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return 0;
            *c = *c << 6 | (at[i] & 0x3f);
        }
        return *c >= forms[more].least && *c <= 0x10ffff ? more + 1 : 0;
    }
    return 0;
}

/* Converts up to `end`, which a NUL may follow only. out: as many characters as there are bytes.
 * Returns the characters, or SIZE_MAX if the text is no UTF-8. */
static size_t widen(const char *text, const char *end, wchar_t *out)
{
    size_t n = 0;
    while (text < end) {
        uint32_t c;
        const size_t bytes = read_character((const uint8_t *)text, &c);
        if (bytes == 0)
            return SIZE_MAX;
        text += bytes;
        if (c >= 0x10000) {
            out[n++] = (wchar_t)(0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        out[n++] = (wchar_t)c;
    }
    return n;
}

DWORD lort_os_wide(const char *text, wchar_t **out)
{
    const size_t bytes = strlen(text);
    wchar_t *wide = *out = malloc((bytes + 1) * sizeof *wide);
    if (!wide)
        return ERROR_NOT_ENOUGH_MEMORY;
    const size_t n = widen(text, text + bytes, wide);
    if (n == SIZE_MAX) {
        free(wide);
        *out = NULL;
        return ERROR_NO_UNICODE_TRANSLATION;
    }
    wide[n] = 0;
    return 0;
}

static size_t put_character(char *out, uint32_t c)
{
    const size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    for (size_t i = more; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(leads[more] | c);
    return more + 1;
}

DWORD lort_os_narrow(const wchar_t *text, size_t n, char **out)
{
    size_t used = 0;
    char *narrow = *out = malloc(3 * n + 1); /* two halves make four bytes */
    if (!narrow)
        return ERROR_NOT_ENOUGH_MEMORY;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = text[i];
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < n && text[i + 1] >= 0xdc00 && text[i + 1] < 0xe000)
            c = 0x10000 + ((c - 0xd800) << 10) + (text[++i] - 0xdc00u);
        used += put_character(narrow + used, c);
    }
    narrow[used] = '\0';
    return 0;
}

/* CompareStringOrdinal has the table of upper case of the file system. */
int lort_os_compare_names(const char *a, uint64_t a_bytes, const char *b, uint64_t b_bytes)
{
    wchar_t wide[2][LORT_PLAIN_NAME_MAX];
    const uint64_t most = LORT_PLAIN_NAME_MAX;
    const size_t n = widen(a, a + (a_bytes < most ? a_bytes : most), wide[0]),
                 m = widen(b, b + (b_bytes < most ? b_bytes : most), wide[1]);
    if (n == SIZE_MAX || m == SIZE_MAX) /* no plain names */
        return (n == SIZE_MAX) - (m == SIZE_MAX);
    return CompareStringOrdinal(wide[0], (int)n, wide[1], (int)m, TRUE) - CSTR_EQUAL;
}

/* ---- paths ---- */

bool lort_os_is_separator(char c) { return c == '/' || c == '\\'; }

/* "a\b" ends in b, and so does "C:b". */
const char *lort_os_base_name(const char *path)
{
    size_t n = strlen(path);
    while (n && !lort_os_is_separator(path[n - 1]))
        n--;
    const bool letter = (*path | 32) >= 'a' && (*path | 32) <= 'z';
    return path + (n == 0 && letter && path[1] == ':' ? 2 : n);
}

/* What must stand before a path that GetFullPathName gave, and what of it goes. */
static const wchar_t *prefix_of(const wchar_t *full, size_t *skip)
{
    *skip = 0;
    if (wcsncmp(full, L"\\\\?\\", 4) == 0 || wcsncmp(full, L"\\\\.\\", 4) == 0)
        return L"";
    if (wcsncmp(full, L"\\\\", 2) != 0)
        return L"\\\\?\\";
    *skip = 2;
    return L"\\\\?\\UNC\\";
}

static DWORD full_path(const wchar_t *path, wchar_t **out)
{
    size_t skip;
    DWORD room = GetFullPathNameW(path, 0, NULL, NULL), n = 0;
    wchar_t *full = room ? malloc(room * sizeof *full) : NULL;
    if (full)
        n = GetFullPathNameW(path, room, full, NULL);
    if (n == 0 || n >= room) {
        const DWORD why = room && !full ? ERROR_NOT_ENOUGH_MEMORY : GetLastError();
        free(full);
        return why ? why : ERROR_BAD_PATHNAME;
    }
    const wchar_t *prefix = prefix_of(full, &skip);
    const size_t before = wcslen(prefix);
    *out = malloc((before + n + 1) * sizeof **out);
    if (*out) {
        wcscpy(*out, prefix);
        wcscpy(*out + before, full + skip);
    }
    free(full);
    return *out ? 0 : ERROR_NOT_ENOUGH_MEMORY;
}

DWORD lort_os_full_path(const char *path, wchar_t **out, bool *device)
{
    wchar_t *wide;
    *out = NULL;
    *device = false;
    DWORD why = lort_os_wide(path, &wide);
    if (why)
        return why;
    why = *wide ? full_path(wide, out) : ERROR_PATH_NOT_FOUND;
    free(wide);
    *device = !why && wcsncmp(*out, L"\\\\.\\", 4) == 0;
    return why;
}

size_t lort_os_join(char *out, size_t cap, const lort_dir *dir, const char *name)
{
    const size_t n = strlen(dir->path);
    if (strcmp(dir->path, ".") == 0)
        return (size_t)snprintf(out, cap, "%s", name);
    const char *between =
        n && (lort_os_is_separator(dir->path[n - 1]) || dir->path[n - 1] == ':') ? "" : "/";
    return (size_t)snprintf(out, cap, "%s%s%s", dir->path, between, name);
}

const char *lort_os_name_fault(const char *name)
{
    const char *fault = lort_plain_name_fault(name, strlen(name));
    return fault ? fault : strpbrk(name, "<>\"|?*") ? "holds one of < > \" | ? *" : NULL;
}
