/* os_windows_dir: opens, lists and changes directories. */
#include "formats/base/text.h"
#include "loader/os/listing.h"
#include "loader/os/windows/os_windows.h"
#include <stdlib.h>
#include <string.h>

/* LoRT enters, lists and changes a directory by one handle. */
#define DIR_ACCESS (FILE_LIST_DIRECTORY | FILE_TRAVERSE)
#define LIST_BYTES 65536

/* Classes and flags of SetFileInformationByHandle and NtSetInformationFile (ntifs.h), which the
 * headers of mingw lack. */
enum {
    RENAME = 10,
    DISPOSE = 13,
    DISPOSE_EX = 64, /* Windows 10, 1709 */
    RENAME_EX = 65,
    RENAME_REPLACE = 1,
    RENAME_POSIX = 2,
    RENAME_READ_ONLY = 0x40,
    DISPOSE_DELETE = 1,
    DISPOSE_POSIX = 2,
    DISPOSE_READ_ONLY = 0x10,
    FULL_SIZE = 7 /* of NtQueryVolumeInformationFile */
};

NTSTATUS NTAPI NtSetInformationFile(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, FILE_INFORMATION_CLASS);
NTSTATUS NTAPI NtQueryVolumeInformationFile(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG,
                                            FS_INFORMATION_CLASS);

static lort_code new_dir(size_t path_bytes, lort_dir **out, lort_error *err)
{
    *out = calloc(1, sizeof **out + path_bytes + 1);
    return *out ? LORT_OK : lort_fail(err, LORT_E_MEMORY, "no memory for a directory handle");
}

/* ERROR_DIRECTORY if the handle is something else, or a link. */
static DWORD must_be_dir(lort_dir *dir)
{
    lort_file_info info;
    const DWORD why = lort_os_handle_info(dir->handle, 0, &info);
    dir->device = info.device;
    return why ? why : info.kind == LORT_FILE_DIRECTORY ? 0 : ERROR_DIRECTORY;
}

static lort_code keep(DWORD why, lort_code code, lort_dir *dir, lort_dir **out, lort_error *err)
{
    if (!why)
        why = must_be_dir(dir);
    if (why) {
        lort_os_fail(err, code ? code : lort_os_open_code(why), why, "open directory", dir->path);
        code = code ? code : lort_os_open_code(why);
        lort_os_dir_close(dir);
        return code;
    }
    *out = dir;
    return LORT_OK;
}

lort_code lort_os_dir_open(const char *path, lort_dir **out, lort_error *err)
{
    lort_dir *dir;
    bool device;
    *out = NULL;
    lort_code code = new_dir(strlen(path), &dir, err);
    if (code)
        return code;
    strcpy(dir->path, path);
    return keep(lort_os_open_path(path, DIR_ACCESS, &dir->handle, &device), LORT_OK, dir, out, err);
}

/* code: of a failure; LORT_OK: the code of a failed open. */
static lort_code enter(lort_dir *dir, const char *name, lort_code code, lort_dir **out,
                       lort_error *err)
{
    const lort_os_way way = {.access = DIR_ACCESS,
                             .disposition = FILE_OPEN,
                             .options = FILE_DIRECTORY_FILE,
                             .no_link = true};
    lort_dir *entered;
    *out = NULL;
    const size_t n = lort_os_join(NULL, 0, dir, name);
    const lort_code made = new_dir(n, &entered, err);
    if (made)
        return made;
    lort_os_join(entered->path, n + 1, dir, name);
    return keep(lort_os_open_at(dir, name, &way, &entered->handle), code, entered, out, err);
}

lort_code lort_os_dir_enter(lort_dir *dir, const char *name, lort_dir **out, lort_error *err)
{
    return enter(dir, name, LORT_E_WRITE, out, err);
}

lort_code lort_os_dir_down(lort_dir *dir, const char *name, lort_dir **out, lort_error *err)
{
    return enter(dir, name, LORT_OK, out, err);
}

const char *lort_os_dir_path(const lort_dir *dir) { return dir->path; }

void lort_os_dir_close(lort_dir *dir)
{
    if (!dir)
        return;
    if (dir->handle)
        CloseHandle(dir->handle);
    free(dir);
}

lort_code lort_os_dir_of(const char *path, lort_dir **dir, const char **name, lort_error *err)
{
    const char *base = lort_os_base_name(path), *fault = lort_os_name_fault(base);
    const size_t n = (size_t)(base - path);
    char shown[600];
    *dir = NULL;
    *name = NULL;
    lort_escape_text(shown, sizeof shown, path);
    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return lort_fail(err, LORT_E_USAGE, "'%s' does not end in the name of a file", shown);
    if (fault)
        return lort_fail(err, LORT_E_USAGE, "'%s': the name %s; give another name", shown, fault);
    /* "\name" lies in "\", "C:\name" in "C:\", and "C:name" in the current directory of C: */
    const bool root = n == 1 || (n == 3 && path[1] == ':') || (n == 2 && path[1] == ':');
    const size_t kept = n && !root ? n - 1 : n;
    char *parent = malloc(kept + 2);
    if (!parent)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a path");
    memcpy(parent, kept ? path : ".", kept ? kept : 1);
    parent[kept ? kept : 1] = '\0';
    lort_code code = lort_os_dir_open(parent, dir, err);
    free(parent);
    if (code == LORT_OK)
        *name = base;
    return code;
}

/* ---- listing ---- */

static DWORD add_entries(const FILE_FULL_DIR_INFO *entry, lort_listing *list)
{
    for (;;) {
        char *name;
        DWORD why = lort_os_narrow(entry->FileName, entry->FileNameLength / sizeof(wchar_t), &name);
        if (why)
            return why;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !lort_listing_add(list, name))
            why = ERROR_NOT_ENOUGH_MEMORY;
        free(name);
        if (why || entry->NextEntryOffset == 0)
            return why;
        entry = (const FILE_FULL_DIR_INFO *)(const void *)((const uint8_t *)entry +
                                                           entry->NextEntryOffset);
    }
}

/* Opens a new handle: a handle has a position of its own. */
static DWORD read_names(const lort_dir *dir, lort_listing *list)
{
    const lort_os_way way = {
        .access = DIR_ACCESS, .disposition = FILE_OPEN, .options = FILE_DIRECTORY_FILE};
    HANDLE handle;
    DWORD why = lort_os_open_at(dir, "", &way, &handle);
    void *entries = why ? NULL : malloc(LIST_BYTES);
    if (!why && !entries)
        why = ERROR_NOT_ENOUGH_MEMORY;
    while (!why)
        why = GetFileInformationByHandleEx(handle, FileFullDirectoryInfo, entries, LIST_BYTES)
                  ? add_entries(entries, list)
                  : GetLastError();
    free(entries);
    if (handle)
        CloseHandle(handle);
    return why == ERROR_NO_MORE_FILES ? 0 : why;
}

lort_code lort_os_dir_list(lort_dir *dir,
                           lort_code (*each)(void *ctx, const char *name, lort_error *err),
                           void *ctx, lort_error *err)
{
    lort_listing list = {0};
    const DWORD why = read_names(dir, &list);
    lort_code code =
        why ? lort_os_fail(err, lort_os_open_code(why), why, "list directory", dir->path)
            : lort_listing_each(&list, each, ctx, err);
    lort_listing_free(&list);
    return code;
}

/* ---- changes ---- */

lort_code lort_os_make_dir(lort_dir *dir, const char *name, uint32_t mode, lort_error *err)
{
    const lort_os_way way = {
        .disposition = FILE_CREATE, .options = FILE_DIRECTORY_FILE, .no_link = true, .waits = true};
    HANDLE handle;
    (void)mode; /* Windows has no permission bits */
    const DWORD why = lort_os_open_at(dir, name, &way, &handle);
    if (why)
        return lort_os_fail_at(err, lort_os_is_there(why) ? LORT_E_EXISTS : LORT_E_WRITE, why,
                               "create directory", dir, name);
    CloseHandle(handle);
    return LORT_OK;
}

static DWORD set_file(HANDLE handle, void *data, size_t bytes, int class)
{
    IO_STATUS_BLOCK io;
    return lort_os_nt_error(
        NtSetInformationFile(handle, &io, data, (ULONG)bytes, (FILE_INFORMATION_CLASS) class));
}

/* True if this system or file system does not know the newer call. Network disks give odd errors,
 * so all errors but those of the file itself count. */
static bool is_unknown(DWORD why)
{
    return why == ERROR_INVALID_PARAMETER || why == ERROR_INVALID_FUNCTION ||
           why == ERROR_NOT_SUPPORTED || why == ERROR_CALL_NOT_IMPLEMENTED ||
           why == ERROR_INVALID_LEVEL || why == ERROR_BAD_LENGTH || why == ERROR_GEN_FAILURE;
}

typedef struct change {
    lort_dir *dir;
    const char *from;
    wchar_t *to;
    bool replace, is_dir;
} change;

/* FILE_RENAME_INFORMATION */
typedef struct new_name {
    ULONG flags; /* class 10 looks at the lowest byte only: replace or not */
    HANDLE root;
    ULONG bytes;
    wchar_t name[];
} new_name;

static DWORD rename_handle(HANDLE handle, const change *c)
{
    const size_t bytes = wcslen(c->to) * sizeof *c->to, all = sizeof(new_name) + bytes + 2;
    new_name *data = calloc(1, all);
    if (!data)
        return ERROR_NOT_ENOUGH_MEMORY;
    data->root = c->dir->handle;
    data->bytes = (ULONG)bytes;
    memcpy(data->name, c->to, bytes);
    /* The newest call also replaces a file that somebody has open. */
    data->flags = RENAME_POSIX | RENAME_READ_ONLY | (c->replace ? RENAME_REPLACE : 0);
    DWORD why = set_file(handle, data, all, RENAME_EX);
    if (is_unknown(why)) {
        data->flags = c->replace;
        why = set_file(handle, data, all, RENAME);
    }
    free(data);
    return why;
}

static DWORD try_rename(void *ctx)
{
    const change *c = ctx;
    const lort_os_way way = {.access = DELETE, .disposition = FILE_OPEN, .no_link = true};
    HANDLE handle;
    DWORD why = lort_os_open_at(c->dir, c->from, &way, &handle);
    if (why)
        return why;
    why = rename_handle(handle, c);
    CloseHandle(handle);
    return why;
}

lort_code lort_os_rename(lort_dir *dir, const char *from, const char *to, bool replace,
                         lort_error *err)
{
    change c = {.dir = dir, .from = from, .replace = replace};
    lort_file_info info;
    bool exists = false;
    DWORD why = lort_os_name_fault(to) ? ERROR_INVALID_NAME : lort_os_wide(to, &c.to);
    /* Windows would deny this too, but after a second of waiting. */
    if (!why && lort_os_look(dir, to, &info, &exists, NULL) == LORT_OK && exists && replace &&
        info.kind == LORT_FILE_DIRECTORY)
        why = ERROR_ACCESS_DENIED;
    if (!why)
        why = lort_os_insist(try_rename, &c);
    free(c.to);
    if (!why)
        return LORT_OK;
    return lort_os_fail_at(err, lort_os_is_there(why) ? LORT_E_EXISTS : LORT_E_WRITE, why,
                           "rename to", dir, to);
}

static DWORD try_remove(void *ctx)
{
    const change *c = ctx;
    const lort_os_way way = {.access = DELETE,
                             .disposition = FILE_OPEN,
                             .options = c->is_dir ? FILE_DIRECTORY_FILE : FILE_NON_DIRECTORY_FILE,
                             .no_link = true};
    HANDLE handle;
    DWORD why = lort_os_open_at(c->dir, c->from, &way, &handle);
    if (why)
        return why;
    ULONG flags = DISPOSE_DELETE | DISPOSE_POSIX | DISPOSE_READ_ONLY;
    BOOLEAN gone = TRUE;
    why = set_file(handle, &flags, sizeof flags, DISPOSE_EX);
    if (is_unknown(why))
        why = set_file(handle, &gone, sizeof gone, DISPOSE);
    CloseHandle(handle);
    return why;
}

lort_code lort_os_remove(lort_dir *dir, const char *name, bool is_dir, lort_error *err)
{
    change c = {.dir = dir, .from = name, .is_dir = is_dir};
    const DWORD why = lort_os_insist(try_remove, &c);
    return why ? lort_os_fail_at(err, LORT_E_WRITE, why, "remove", dir, name) : LORT_OK;
}

/* A flush needs a handle for writing. File systems that cannot flush a directory deny it. */
lort_code lort_os_dir_sync(lort_dir *dir, lort_error *err)
{
    const lort_os_way way = {
        .access = FILE_ADD_FILE, .disposition = FILE_OPEN, .options = FILE_DIRECTORY_FILE};
    HANDLE handle;
    DWORD why = lort_os_open_at(dir, "", &way, &handle);
    if (!why) {
        why = FlushFileBuffers(handle) ? 0 : GetLastError();
        CloseHandle(handle);
    }
    return why && why != ERROR_ACCESS_DENIED && why != ERROR_INVALID_FUNCTION &&
                   why != ERROR_INVALID_HANDLE
               ? lort_os_fail(err, LORT_E_WRITE, why, "sync directory", dir->path)
               : LORT_OK;
}

lort_code lort_os_free_space(lort_dir *dir, uint64_t *bytes, lort_error *err)
{
    struct { /* FILE_FS_FULL_SIZE_INFORMATION; a quota limits what the caller has */
        LARGE_INTEGER all, caller, free;
        ULONG sectors, sector_bytes;
    } space;
    IO_STATUS_BLOCK io;
    *bytes = 0;
    const DWORD why = lort_os_nt_error(NtQueryVolumeInformationFile(
        dir->handle, &io, &space, sizeof space, (FS_INFORMATION_CLASS)FULL_SIZE));
    if (why)
        return lort_os_fail(err, LORT_E_WRITE, why, "get the free space of", dir->path);
    *bytes = (uint64_t)space.caller.QuadPart * space.sectors * space.sector_bytes;
    return LORT_OK;
}
