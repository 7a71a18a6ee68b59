/* os_windows: owns what the os_windows_*.c files share. No other file includes it, but for their
 * tests.
 *
 * Windows has no openat. NtCreateFile does the same: it opens a name below the handle of a
 * directory. So it reaches names of any length, and cares for no "." and no device. Errors are
 * those of Win32 (GetLastError); 0 is none. */
#ifndef LORT_LOADER_OS_WINDOWS_OS_WINDOWS_H
#define LORT_LOADER_OS_WINDOWS_OS_WINDOWS_H

#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00
#endif
#define WIN32_LEAN_AND_MEAN
#include "loader/os/offset.h"
#include "loader/os/sources.h"
#include <windows.h>
#include <winternl.h>

/* device: when it was opened. A handle stays on its disk, but Wine forgets the disk of a file that
 * was renamed. */
struct lort_dir {
    HANDLE handle;
    uint64_t device;
    char path[]; /* the path given to open, for messages */
};

struct lort_file {
    HANDLE handle;
    uint64_t device;
    bool writing;
    char path[]; /* directory and name, for messages */
};

/* ---- texts (os_windows_text.c) ---- */

/* UTF-8 to UTF-16, and back. The caller frees *out. Names of Windows may hold halves of characters,
 * which are no UTF-16. They become three bytes that are no UTF-8, and go back. Returns an error if
 * memory is missing, or if a text is no UTF-8. */
DWORD lort_os_wide(const char *text, wchar_t **out);
DWORD lort_os_narrow(const wchar_t *text, size_t n, char **out);
/* A whole path that begins with \\?\, so it may have over 260 characters. *device: the path names a
 * device, such as NUL, and *out begins with \\.\. The caller frees *out. */
DWORD lort_os_full_path(const char *path, wchar_t **out, bool *device);
/* Writes "dir/name", or "name" for the current directory, cut at `cap`. Returns the full length
 * without NUL. */
size_t lort_os_join(char *out, size_t cap, const lort_dir *dir, const char *name);
/* Why Windows must not get this name for a new file, or NULL. It takes CON, "x." and "a:b" for
 * something else. */
const char *lort_os_name_fault(const char *name);

/* ---- errors (os_windows_error.c) ---- */

/* The system's reason in English, without a full stop. */
const char *lort_os_reason(DWORD why, char *out, size_t cap);
/* Fails with "cannot <what> '<path>': <reason>". */
lort_code lort_os_fail(lort_error *err, lort_code code, DWORD why, const char *what,
                       const char *path);
/* Like lort_os_fail, for a name in a directory. */
lort_code lort_os_fail_at(lort_error *err, lort_code code, DWORD why, const char *what,
                          const lort_dir *dir, const char *name);
/* The code for a failed open. LORT_E_INPUT if the reason lies in what the user named, LORT_E_MEMORY
 * if memory is missing, else LORT_E_READ. */
lort_code lort_os_open_code(DWORD why);
/* True if nothing has this name. */
bool lort_os_is_absent(DWORD why);
/* True if something has this name. */
bool lort_os_is_there(DWORD why);
/* The Win32 error of a status of NT. */
DWORD lort_os_nt_error(NTSTATUS status);

/* ---- opening (os_windows_open.c) ---- */

typedef struct lort_os_way {
    ACCESS_MASK access; /* SYNCHRONIZE and FILE_READ_ATTRIBUTES are added */
    ULONG disposition;  /* FILE_OPEN or FILE_CREATE */
    ULONG options;      /* such as FILE_DIRECTORY_FILE */
    bool no_link;       /* a link is opened itself */
    bool waits;         /* a scanner may hold the file: tries again for a second */
} lort_os_way;
/* Opens a name in a directory; "" is the directory itself. '/' separates names where no file is
 * made. On failure *out is NULL. */
DWORD lort_os_open_at(const lort_dir *dir, const char *name, const lort_os_way *way, HANDLE *out);
/* Opens a path, to look at it or to list it. */
DWORD lort_os_open_path(const char *path, ACCESS_MASK access, HANDLE *out, bool *device);
/* Calls try(ctx) again, for about a second, while it returns an error that a scanner of viruses
 * causes. */
DWORD lort_os_insist(DWORD (*try)(void *ctx), void *ctx);

/* ---- what a handle is (os_windows_info.c) ---- */

/* device: of the handle when it was opened, or 0. */
DWORD lort_os_handle_info(HANDLE handle, uint64_t device, lort_file_info *info);
/* True if the handle is a symbolic link or a junction. A file of a cloud or a compressed file has a
 * reparse point too, but is no link. */
bool lort_os_is_link(HANDLE handle);

/* ---- what tests call with made-up figures ---- */

/* Folds a file's 128-bit number into 64 bits. */
uint64_t lort_os_fold_id(const uint8_t id[16]);
/* Adds the limits of a job. own_bytes: private memory of this process. */
void lort_os_job_sources(const JOBOBJECT_EXTENDED_LIMIT_INFORMATION *job, uint64_t own_bytes,
                         uint64_t job_bytes, lort_memory_sources *list);
/* CPUs that the rate of a job leaves, rounded up; 0: no limit. */
unsigned lort_os_job_cpus(const JOBOBJECT_CPU_RATE_CONTROL_INFORMATION *rate, unsigned cpus);

#endif
