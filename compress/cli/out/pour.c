/* pour: see pour.h. A pipe with room takes PIPE_BUF bytes at once. So LoRT asks for room, and no
 * write blocks when a signal comes. */
#define _GNU_SOURCE
#include "compress/cli/out/pour.h"
#include "compress/cli/ui/signals.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 100           /* between two looks at the signals */
#define MOST_BYTES (1u << 20) /* of a write to a regular file */

static lort_code begin_file(void *ctx, const char *name, uint64_t bytes, lort_error *err)
{
    return LORT_OK;
}

static lort_code wait_room(const lort_cli_pour *pour, lort_error *err)
{
    struct pollfd place = {.fd = STDOUT_FILENO, .events = POLLOUT};
    while (pour->blocks) {
        const int ready = poll(&place, 1, WAIT_MS);
        if (lort_cli_signal())
            return lort_fail(err, LORT_E_STOPPED, "stopped");
        if (ready > 0 || (ready < 0 && errno != EINTR))
            break;
    }
    return LORT_OK;
}

static lort_code write_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    lort_cli_pour *pour = ctx;
    const uint64_t most = pour->blocks ? PIPE_BUF : MOST_BYTES;
    const char *from = bytes;
    while (n > 0) {
        lort_code code = wait_room(pour, err);
        if (code)
            return code;
        const ssize_t put = write(STDOUT_FILENO, from, n < most ? (size_t)n : (size_t)most);
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return lort_fail(err, LORT_E_WRITE, "cannot write to standard output: %s",
                             strerror(errno));
        if (put > 0) {
            from += put;
            n -= (uint64_t)put;
            pour->written += (uint64_t)put;
        }
    }
    return LORT_OK;
}

lort_code lort_cli_pour_open(lort_cli_pour *pour, lort_error *err)
{
    struct stat st;
    *pour = (lort_cli_pour){.sink = {.file = begin_file, .bytes = write_bytes, .ctx = pour}};
    pour->blocks = fstat(STDOUT_FILENO, &st) != 0 || !S_ISREG(st.st_mode);
    if (isatty(STDOUT_FILENO))
        return lort_fail(err, LORT_E_USAGE,
                         "-o -: standard output is a terminal; give a pipe or a file (> FILE), or "
                         "-o PATH");
    return LORT_OK;
}
