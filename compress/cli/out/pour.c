/* pour: see pour.h. LoRT asks for room before each write, so no write blocks when a signal comes.
 */
#include "compress/cli/out/pour.h"
#include "compress/cli/console/console.h"
#include "compress/cli/console/signals.h"
#include <errno.h>
#include <string.h>

#define WAIT_MS 100           /* between two looks at the signals */
#define MOST_BYTES (1u << 20) /* of a write to a regular file */

static lort_code begin_file(void *ctx, const char *name, uint64_t bytes, lort_error *err)
{
    return LORT_OK;
}

static lort_code wait_room(const lort_cli_pour *pour, lort_error *err)
{
    bool room = !pour->blocks;
    while (!room) {
        room = lort_console_takes(stdout, WAIT_MS);
        if (lort_cli_signal())
            return lort_fail(err, LORT_E_STOPPED, "stopped");
    }
    return LORT_OK;
}

static lort_code write_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    lort_cli_pour *pour = ctx;
    const uint64_t most = pour->blocks ? lort_console_piece() : MOST_BYTES;
    const char *from = bytes;
    while (n > 0) {
        lort_code code = wait_room(pour, err);
        if (code)
            return code;
        const int64_t put = lort_console_write(stdout, from, n < most ? (size_t)n : (size_t)most);
        if (put < 0)
            return lort_fail(err, LORT_E_WRITE, "cannot write to standard output: %s",
                             strerror(errno));
        from += put;
        n -= (uint64_t)put;
        pour->written += (uint64_t)put;
    }
    return LORT_OK;
}

lort_code lort_cli_pour_open(lort_cli_pour *pour, lort_error *err)
{
    *pour = (lort_cli_pour){.sink = {.file = begin_file, .bytes = write_bytes, .ctx = pour}};
    pour->blocks = !lort_console_is_file(stdout);
    if (lort_console_is_terminal(stdout))
        return lort_fail(err, LORT_E_USAGE,
                         "-o -: standard output is a terminal; give a pipe or a file (> FILE), or "
                         "-o PATH");
    return LORT_OK;
}
