/* console_windows: see console.h. Windows cannot say whether a pipe has room: a write waits for the
 * reader, and a second Ctrl-C ends lort. */
#include "compress/cli/console/console.h"
#include <errno.h>
#include <io.h>
#include <stdlib.h>
#include <windows.h>
#include <winternl.h>

#define MOST_BYTES ((size_t)64 << 10) /* of one write */
#define PIPE_INFORMATION ((FILE_INFORMATION_CLASS)24)
#define CLOSING 4 /* state of a pipe whose other end is closed */

/* FILE_PIPE_LOCAL_INFORMATION of Windows' headers for drivers. */
typedef struct pipe_information {
    ULONG type, configuration, most_instances, instances;
    ULONG in_quota, readable, out_quota, writable;
    ULONG state, end;
} pipe_information;

/* ---- its state ---- */

static UINT code_page; /* of the console before; 0: unchanged */
static struct {
    HANDLE handle;
    DWORD mode; /* before */
    bool changed;
} screens[2]; /* stdout, stderr */

void lort_console_give_back(void)
{
    for (int i = 0; i < 2; i++)
        if (screens[i].changed)
            SetConsoleMode(screens[i].handle, screens[i].mode);
    if (code_page)
        SetConsoleOutputCP(code_page);
}

void lort_console_prepare(void)
{
    static const DWORD numbers[] = {STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    bool any = false;
    for (int i = 0; i < 2; i++) {
        screens[i].handle = GetStdHandle(numbers[i]);
        if (!GetConsoleMode(screens[i].handle, &screens[i].mode))
            continue; /* not a console */
        any = true;
        screens[i].changed =
            SetConsoleMode(screens[i].handle, screens[i].mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
    }
    const UINT before = any ? GetConsoleOutputCP() : 0;
    if (before && before != CP_UTF8 && SetConsoleOutputCP(CP_UTF8))
        code_page = before;
    atexit(lort_console_give_back);
}

/* ---- streams ---- */

static HANDLE handle_of(FILE *out)
{
    const int fd = _fileno(out);
    return fd < 0 ? INVALID_HANDLE_VALUE : (HANDLE)_get_osfhandle(fd);
}

bool lort_console_takes(FILE *out, int ms) { return true; }

size_t lort_console_piece(void) { return MOST_BYTES; }

/* The errors of a write to a pipe without a reader. */
static bool is_closed(unsigned long why)
{
    return why == ERROR_BROKEN_PIPE || why == ERROR_NO_DATA || why == ERROR_PIPE_NOT_CONNECTED;
}

/* The C library calls some of these errors EINVAL. It does so too where the reader of a pipe leaves
 * in the middle of a write: the write is short then, and has no error of its own. */
int64_t lort_console_write(FILE *out, const void *bytes, size_t n)
{
    const int done = _write(_fileno(out), bytes, (unsigned)(n < MOST_BYTES ? n : MOST_BYTES));
    const bool is_pipe = GetFileType(handle_of(out)) == FILE_TYPE_PIPE;
    if (done < 0 && (is_closed(_doserrno) || (is_pipe && errno == EINVAL)))
        errno = EPIPE;
    return done;
}

size_t lort_console_room(FILE *out) { return 0; }

bool lort_console_holds(FILE *out) { return true; }

/* Nothing calls for it: lort_console_takes is never false. */
void lort_console_drop(FILE *out) { (void)out; }

/* Wine does not tell the state of a pipe of Unix. The last failed write does. */
bool lort_console_reader_left(FILE *out)
{
    IO_STATUS_BLOCK status;
    pipe_information pipe;
    const HANDLE handle = handle_of(out);
    if (GetFileType(handle) != FILE_TYPE_PIPE)
        return false;
    return (ferror(out) && is_closed(_doserrno)) ||
           (NtQueryInformationFile(handle, &status, &pipe, sizeof pipe, PIPE_INFORMATION) == 0 &&
            pipe.state == CLOSING);
}

bool lort_console_is_file(FILE *out) { return GetFileType(handle_of(out)) == FILE_TYPE_DISK; }

/* _isatty is true for NUL too. */
bool lort_console_is_terminal(FILE *out)
{
    DWORD mode;
    return GetConsoleMode(handle_of(out), &mode);
}

bool lort_console_draws(FILE *out)
{
    DWORD mode;
    return GetConsoleMode(handle_of(out), &mode) && (mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

size_t lort_console_width(FILE *out)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(handle_of(out), &info))
        return 0;
    return (size_t)(info.srWindow.Right - info.srWindow.Left + 1);
}

uint64_t lort_console_now_ns(void)
{
    LARGE_INTEGER now, each;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&each);
    const uint64_t ticks = (uint64_t)now.QuadPart, second = (uint64_t)each.QuadPart;
    return ticks / second * 1000000000 + ticks % second * 1000000000 / second;
}
