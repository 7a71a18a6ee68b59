/* os_windows_info: tells what a path, a name or an open file is.
 *
 * Windows has no permission bits and no numbers of users. So every file has mode 0666, every
 * directory 0777, and every owner is 0, the user of this process. */
#include "formats/base/text.h"
#include "loader/os/windows/os_windows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <winioctl.h>

#define LOOK                                                                                       \
    {                                                                                              \
        .disposition = FILE_OPEN, .no_link = true                                                  \
    }
#define FOLLOW                                                                                     \
    {                                                                                              \
        .disposition = FILE_OPEN                                                                   \
    }
#define TICKS_TO_1970 INT64_C(116444736000000000) /* of 100 ns, from 1601 */
#define FILE_ID_INFO_CLASS ((FILE_INFO_BY_HANDLE_CLASS)18)

static int64_t time_ns(LARGE_INTEGER ticks)
{
    return ticks.QuadPart > TICKS_TO_1970 ? (ticks.QuadPart - TICKS_TO_1970) * 100 : 0;
}

/* Wine gives the time of the last write instead. */
static bool has_birth(void)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") == NULL;
}

uint64_t lort_os_fold_id(const uint8_t id[16])
{
    uint64_t low, high;
    memcpy(&low, id, 8);
    memcpy(&high, id + 8, 8);
    high *= UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio: ReFS counts in both halves */
    return low ^ (high ^ high >> 29);
}

/* The numbers of 64 bits are not unique on ReFS. The long ones are not known before Windows 8, and
 * not on every network disk. */
static void identify(HANDLE handle, const BY_HANDLE_FILE_INFORMATION *old, lort_file_info *info)
{
    struct {
        uint64_t volume;
        uint8_t id[16];
    } wide;
    static const uint8_t none[16];
    info->device = old->dwVolumeSerialNumber;
    info->inode = (uint64_t)old->nFileIndexHigh << 32 | old->nFileIndexLow;
    if (GetFileInformationByHandleEx(handle, FILE_ID_INFO_CLASS, &wide, sizeof wide) &&
        memcmp(wide.id, none, sizeof none) != 0) {
        info->device = wide.volume;
        info->inode = lort_os_fold_id(wide.id);
    }
}

bool lort_os_is_link(HANDLE handle)
{
    FILE_ATTRIBUTE_TAG_INFO tag;
    return GetFileInformationByHandleEx(handle, FileAttributeTagInfo, &tag, sizeof tag) &&
           (tag.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) &&
           IsReparseTagNameSurrogate(tag.ReparseTag);
}

static void set_kind(lort_file_info *info, lort_file_kind kind, const char *text)
{
    info->kind = kind;
    info->kind_text = text;
    info->mode = kind == LORT_FILE_DIRECTORY ? 0777 : 0666;
}

DWORD lort_os_handle_info(HANDLE handle, uint64_t device, lort_file_info *info)
{
    BY_HANDLE_FILE_INFORMATION old;
    FILE_BASIC_INFO times;
    memset(info, 0, sizeof *info);
    if (GetFileType(handle) != FILE_TYPE_DISK) {
        set_kind(info, LORT_FILE_OTHER, "a device");
        return 0;
    }
    if (!GetFileInformationByHandle(handle, &old) ||
        !GetFileInformationByHandleEx(handle, FileBasicInfo, &times, sizeof times))
        return GetLastError();
    if ((old.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) && lort_os_is_link(handle))
        set_kind(info, LORT_FILE_LINK, "a symbolic link");
    else if (old.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
        set_kind(info, LORT_FILE_DIRECTORY, "a directory");
    else
        set_kind(info, LORT_FILE_REGULAR, "a regular file");
    /* Sizes are those of the contents, also of sparse and compressed files. */
    info->size = (uint64_t)old.nFileSizeHigh << 32 | old.nFileSizeLow;
    info->mtime_ns = time_ns(times.LastWriteTime);
    info->ctime_ns = time_ns(times.ChangeTime);
    info->birth_ns = has_birth() ? time_ns(times.CreationTime) : 0;
    info->links = old.nNumberOfLinks;
    identify(handle, &old, info);
    if (device)
        info->device = device;
    return 0;
}

/* Describes an opened handle and closes it. Nothing behind the name is no failure. */
static DWORD describe(DWORD why, HANDLE handle, lort_file_info *info, bool *exists)
{
    memset(info, 0, sizeof *info);
    *exists = false;
    if (!why) {
        why = lort_os_handle_info(handle, 0, info);
        CloseHandle(handle);
        *exists = !why;
    }
    return lort_os_is_absent(why) ? 0 : why;
}

lort_code lort_os_stat(const char *path, lort_file_info *info, bool *exists, lort_error *err)
{
    HANDLE handle;
    bool device;
    DWORD why = lort_os_open_path(path, 0, &handle, &device);
    if (device) {
        memset(info, 0, sizeof *info);
        set_kind(info, LORT_FILE_OTHER, "a device");
        *exists = true;
        return LORT_OK;
    }
    why = describe(why, handle, info, exists);
    return why ? lort_os_fail(err, lort_os_open_code(why), why, "stat", path) : LORT_OK;
}

lort_code lort_os_info(lort_file *file, lort_file_info *info, lort_error *err)
{
    const DWORD why = lort_os_handle_info(file->handle, file->device, info);
    return why ? lort_os_fail(err, LORT_E_READ, why, "stat", file->path) : LORT_OK;
}

static DWORD look(lort_dir *dir, const char *name, bool follow, lort_file_info *info, bool *exists)
{
    const lort_os_way ways[] = {LOOK, FOLLOW};
    HANDLE handle;
    const DWORD why = lort_os_open_at(dir, name, &ways[follow], &handle);
    return describe(why, handle, info, exists);
}

lort_code lort_os_look(lort_dir *dir, const char *name, lort_file_info *info, bool *exists,
                       lort_error *err)
{
    const DWORD why = look(dir, name, false, info, exists);
    return why ? lort_os_fail_at(err, LORT_E_WRITE, why, "stat", dir, name) : LORT_OK;
}

lort_code lort_os_follow(lort_dir *dir, const char *name, lort_file_info *info, bool *exists,
                         lort_error *err)
{
    const DWORD why = look(dir, name, true, info, exists);
    return why && why != ERROR_CANT_RESOLVE_FILENAME
               ? lort_os_fail_at(err, LORT_E_READ, why, "stat", dir, name)
               : LORT_OK;
}

/* ---- links ---- */

/* What FSCTL_GET_REPARSE_POINT gives (ntifs.h). A symbolic link has four bytes of flags before its
 * names, a junction has none. */
typedef struct reparse {
    ULONG tag;
    USHORT bytes, reserved;
    USHORT target_at, target_bytes, shown_at, shown_bytes;
    uint8_t rest[4096];
} reparse;

/* Where a link leads, in UTF-8; the caller frees it. NULL: unknown, or no link. */
static char *link_target(lort_dir *dir, const char *name)
{
    const lort_os_way way = LOOK;
    HANDLE handle;
    reparse data;
    DWORD got = 0;
    char *text = NULL;
    if (lort_os_open_at(dir, name, &way, &handle))
        return NULL;
    const bool known =
        lort_os_is_link(handle) &&
        DeviceIoControl(handle, FSCTL_GET_REPARSE_POINT, NULL, 0, &data, sizeof data, &got, NULL) &&
        got >= sizeof data - sizeof data.rest;
    CloseHandle(handle);
    if (!known)
        return NULL;
    const size_t before = data.tag == IO_REPARSE_TAG_SYMLINK ? 4 : 0;
    const bool shown = data.shown_bytes != 0;
    const size_t at = before + (shown ? data.shown_at : data.target_at),
                 bytes = shown ? data.shown_bytes : data.target_bytes;
    wchar_t wide[sizeof data.rest / sizeof(wchar_t)];
    if (at > sizeof data.rest || bytes > sizeof data.rest - at)
        return NULL;
    memcpy(wide, data.rest + at, bytes);
    return lort_os_narrow(wide, bytes / sizeof *wide, &text) ? NULL : text;
}

bool lort_os_dangles(lort_dir *dir, const char *name, const char *shown, lort_error *err)
{
    char names[600], leads[400];
    lort_file_info info;
    bool exists;
    char *target = link_target(dir, name);
    const bool dangles = target && look(dir, name, true, &info, &exists) == 0 && !exists;
    if (dangles)
        lort_fail(err, LORT_E_INPUT, "%s is a link to %s, which does not exist",
                  lort_escape_text(names, sizeof names, shown),
                  lort_escape_text(leads, sizeof leads, target));
    free(target);
    return dangles;
}

void lort_os_link_text(lort_dir *dir, const char *name, char *out, uint64_t cap)
{
    char *target = link_target(dir, name);
    lort_escape(out, cap, target ? target : "", target ? strlen(target) : 0);
    free(target);
}

lort_code lort_os_real_path(const char *path, char *out, uint64_t cap, lort_error *err)
{
    static const char mark[] = "\\\\?\\";
    HANDLE handle;
    bool device;
    char *text = NULL;
    wchar_t *wide = NULL;
    *out = 0;
    DWORD why = lort_os_open_path(path, FILE_READ_ATTRIBUTES, &handle, &device);
    if (why)
        return lort_os_fail(err, lort_os_open_code(why), why, "resolve", path);
    const DWORD room = GetFinalPathNameByHandleW(handle, NULL, 0, FILE_NAME_NORMALIZED);
    DWORD n = 0;
    if (room && (wide = malloc((room + 1) * sizeof *wide)) != NULL)
        n = GetFinalPathNameByHandleW(handle, wide, room + 1, FILE_NAME_NORMALIZED);
    CloseHandle(handle);
    if (n && n <= room && lort_os_narrow(wide, n, &text) == 0) {
        const char *from = strncmp(text, mark, 4) == 0 ? text + 4 : text;
        for (size_t i = 0; strlen(from) < cap && (i == 0 || from[i - 1]); i++)
            out[i] = from[i] == '\\' ? '/' : from[i];
    }
    free(wide);
    free(text);
    return *out ? LORT_OK
                : lort_os_fail(err, LORT_E_READ, ERROR_FILENAME_EXCED_RANGE, "resolve", path);
}

/* ---- the same file ---- */

bool lort_os_is_own_user(lort_dir *dir, uint64_t owner)
{
    (void)dir;
    return owner == 0;
}

static lort_code is_same(lort_dir *dir, const char *name, HANDLE held, uint64_t device,
                         const char *path, bool *same, lort_error *err)
{
    lort_file_info named, other;
    bool exists;
    *same = false;
    DWORD why = look(dir, name, false, &named, &exists);
    if (why)
        return lort_os_fail_at(err, LORT_E_WRITE, why, "stat", dir, name);
    if (!exists)
        return LORT_OK;
    why = lort_os_handle_info(held, device, &other);
    if (why)
        return lort_os_fail(err, LORT_E_WRITE, why, "stat", path);
    *same = named.device == other.device && named.inode == other.inode;
    return LORT_OK;
}

lort_code lort_os_leads_to(lort_dir *dir, const char *name, const lort_file *file, bool *same,
                           lort_error *err)
{
    return is_same(dir, name, file->handle, file->device, file->path, same, err);
}

lort_code lort_os_leads_to_dir(lort_dir *dir, const char *name, const lort_dir *held, bool *same,
                               lort_error *err)
{
    return is_same(dir, name, held->handle, held->device, held->path, same, err);
}
