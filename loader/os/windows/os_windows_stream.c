/* os_windows_stream: writes to pipes, consoles and NUL.
 *
 * Windows has no poll, and a write to a pipe waits for its reader. So a thread of its own writes
 * piece by piece, while the caller looks at `stop`. A copy of the piece belongs to that thread: if
 * a write cannot be cancelled, the thread keeps it. */
#include "formats/base/text.h"
#include "loader/os/windows/os_windows.h"
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 100    /* between two looks at `stop` */
#define GRACE_WAITS 10 /* waits once `stop` is true: one second */
#define PIECE ((uint64_t)64 << 10)

struct lort_stream {
    HANDLE handle;
    char path[]; /* for messages */
};

/* ---- names ---- */

/* A disk as a whole, such as \\.\PhysicalDrive0 or \\.\C: */
static bool is_disk(const wchar_t *full)
{
    const wchar_t *name = full + 4;
    const size_t n = wcslen(name);
    return _wcsnicmp(name, L"PhysicalDrive", 13) == 0 || (n >= 2 && n <= 3 && name[1] == L':');
}

lort_name_kind lort_os_name_kind(const char *path)
{
    wchar_t *full = NULL;
    bool device;
    HANDLE handle;
    lort_file_info info = {0};
    DWORD why = lort_os_full_path(path, &full, &device);
    if (why)
        return LORT_NAME_FREE;
    const bool disk = device && is_disk(full);
    handle = device ? INVALID_HANDLE_VALUE
                    : CreateFileW(full, FILE_READ_ATTRIBUTES,
                                  FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                  OPEN_EXISTING,
                                  FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    free(full);
    if (device)
        return disk ? LORT_NAME_BLOCK_DEVICE : LORT_NAME_STREAM;
    if (handle == INVALID_HANDLE_VALUE)
        return LORT_NAME_FREE;
    why = lort_os_handle_info(handle, 0, &info);
    CloseHandle(handle);
    return why                                ? LORT_NAME_FREE
           : info.kind == LORT_FILE_OTHER     ? LORT_NAME_STREAM
           : info.kind == LORT_FILE_LINK      ? LORT_NAME_LINK
           : info.kind == LORT_FILE_DIRECTORY ? LORT_NAME_DIRECTORY
           : info.links > 1                   ? LORT_NAME_LINKED
                                              : LORT_NAME_FILE;
}

/* ---- opening ---- */

static lort_code new_stream(const char *path, lort_stream **out, lort_error *err)
{
    lort_stream *stream = malloc(sizeof *stream + strlen(path) + 1);
    *out = stream;
    if (!stream)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a stream");
    strcpy(stream->path, path);
    stream->handle = INVALID_HANDLE_VALUE;
    return LORT_OK;
}

lort_code lort_os_stream_open(const char *path, lort_stream **out, lort_error *err)
{
    wchar_t *full;
    bool device;
    lort_code code = new_stream(path, out, err);
    if (code)
        return code;
    DWORD why = lort_os_full_path(path, &full, &device);
    if (!why)
        (*out)->handle = CreateFileW(full, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                     OPEN_EXISTING, 0, NULL);
    if (!why && (*out)->handle == INVALID_HANDLE_VALUE)
        why = GetLastError();
    free(full);
    if (!why)
        return LORT_OK;
    lort_os_stream_close(*out, NULL);
    *out = NULL;
    return lort_os_fail(err, LORT_E_WRITE, why, "open", path);
}

lort_code lort_os_stream_stdout(lort_stream **out, lort_error *err)
{
    lort_code code = new_stream("standard output", out, err);
    HANDLE own = GetStdHandle(STD_OUTPUT_HANDLE), process = GetCurrentProcess();
    if (code == LORT_OK && own && own != INVALID_HANDLE_VALUE &&
        !DuplicateHandle(process, own, process, &(*out)->handle, 0, FALSE, DUPLICATE_SAME_ACCESS))
        (*out)->handle = INVALID_HANDLE_VALUE;
    return code;
}

/* ---- writing ---- */

typedef struct piece {
    HANDLE handle;
    DWORD bytes, why;
    uint8_t data[];
} piece;

static DWORD write_all(HANDLE handle, const uint8_t *from, DWORD n)
{
    while (n > 0) {
        DWORD put = 0;
        if (!WriteFile(handle, from, n, &put, NULL))
            return GetLastError();
        from += put;
        n -= put;
        if (put == 0)
            Sleep(1); /* a pipe that does not wait has no room */
    }
    return 0;
}

static DWORD WINAPI write_piece(void *ctx)
{
    piece *p = ctx;
    p->why = write_all(p->handle, p->data, p->bytes);
    return 0;
}

/* True once the thread has ended. */
static bool wait_for(HANDLE thread, bool (*stop)(void *ctx), void *ctx)
{
    for (int waits = 0; waits <= GRACE_WAITS; waits += stop && stop(ctx))
        if (WaitForSingleObject(thread, WAIT_MS) == WAIT_OBJECT_0)
            return true;
    CancelSynchronousIo(thread);
    return false;
}

/* A thread that cannot be stopped ends with the process. */
static lort_code write_one(lort_stream *stream, piece *p, bool (*stop)(void *ctx), void *ctx,
                           lort_error *err)
{
    char shown[600];
    HANDLE thread =
        CreateThread(NULL, 64 << 10, write_piece, p, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (!thread) {
        free(p);
        return lort_fail(err, LORT_E_MEMORY, "no memory for a thread that writes");
    }
    const bool done = wait_for(thread, stop, ctx),
               ended = done || WaitForSingleObject(thread, WAIT_MS) == WAIT_OBJECT_0;
    const DWORD why = ended ? p->why : 0;
    CloseHandle(thread);
    if (ended)
        free(p);
    else
        stream->handle = INVALID_HANDLE_VALUE; /* the thread still uses it */
    if (!done)
        return lort_fail(err, LORT_E_STOPPED, "stopped: the reader of '%s' takes nothing",
                         lort_escape_text(shown, sizeof shown, stream->path));
    return why ? lort_os_fail(err, LORT_E_WRITE, why, "write", stream->path) : LORT_OK;
}

lort_code lort_os_stream_write(lort_stream *stream, const void *bytes, uint64_t n,
                               bool (*stop)(void *ctx), void *ctx, lort_error *err)
{
    const uint8_t *from = bytes;
    lort_code code = LORT_OK;
    while (n > 0 && code == LORT_OK) {
        const DWORD one = (DWORD)(n < PIECE ? n : PIECE);
        piece *p = malloc(sizeof *p + one);
        if (!p)
            return lort_fail(err, LORT_E_MEMORY, "no memory for a stream");
        *p = (piece){.handle = stream->handle, .bytes = one};
        memcpy(p->data, from, one);
        code = write_one(stream, p, stop, ctx, err);
        from += one;
        n -= one;
    }
    return code;
}

lort_code lort_os_stream_close(lort_stream *stream, lort_error *err)
{
    if (!stream)
        return LORT_OK;
    lort_code code = LORT_OK;
    if (stream->handle != INVALID_HANDLE_VALUE && !CloseHandle(stream->handle))
        code = lort_os_fail(err, LORT_E_WRITE, GetLastError(), "close", stream->path);
    free(stream);
    return code;
}
