/* os_posix_stream: writes to FIFOs, character devices and open descriptors. No call blocks: LoRT
 * asks for room with poll and writes at most PIPE_BUF bytes. */
#define _GNU_SOURCE
#include "formats/base/text.h"
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_LINKS 40  /* symbolic links that Linux follows in a path */
#define WAIT_MS 100    /* between two looks at `stop` */
#define GRACE_WAITS 10 /* waits once `stop` is true: one second */

struct lort_stream {
    int fd;
    char path[]; /* for messages */
};

/* ---- names ---- */

/* Replaces `path` by the target of the link that it names. */
static bool follow_link(char path[PATH_MAX])
{
    char target[PATH_MAX], whole[2 * PATH_MAX];
    const ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return false;
    target[n] = '\0';
    const char *slash = strrchr(path, '/');
    const int kept = *target == '/' || !slash ? 0 : (int)(slash - path) + 1;
    if (snprintf(whole, sizeof whole, "%.*s%s", kept, path, target) >= PATH_MAX)
        return false;
    strcpy(path, whole);
    return true;
}

/* Looks for a descriptor along a chain of links, such as /dev/stdout -> /proc/self/fd/1. */
static int find_descriptor(const char *path)
{
    char at[PATH_MAX];
    int number = -1;
    if (strlen(path) >= sizeof at)
        return -1;
    strcpy(at, path);
    for (int i = 0; number < 0 && i < MOST_LINKS; i++) {
        number = lort_os_descriptor_of(at);
        if (number < 0 && !follow_link(at))
            break;
    }
    return number;
}

lort_name_kind lort_os_name_kind(const char *path)
{
    struct stat named, real;
    if (lstat(path, &named) != 0)
        return LORT_NAME_FREE;
    if (S_ISLNK(named.st_mode) && find_descriptor(path) >= 0)
        return LORT_NAME_STREAM;
    const bool leads = stat(path, &real) == 0;
    if (leads && S_ISBLK(real.st_mode))
        return LORT_NAME_BLOCK_DEVICE;
    if (leads && (S_ISFIFO(real.st_mode) || S_ISCHR(real.st_mode) || S_ISSOCK(real.st_mode)))
        return LORT_NAME_STREAM;
    return S_ISLNK(named.st_mode)   ? LORT_NAME_LINK
           : S_ISDIR(named.st_mode) ? LORT_NAME_DIRECTORY
           : named.st_nlink > 1     ? LORT_NAME_LINKED
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
    stream->fd = -1;
    return LORT_OK;
}

static lort_code cannot_open(const char *path, int why, lort_error *err)
{
    struct stat st;
    char shown[600];
    const bool known = stat(path, &st) == 0;
    lort_escape_text(shown, sizeof shown, path);
    if (why == ENXIO && known && S_ISFIFO(st.st_mode))
        return lort_fail(err, LORT_E_WRITE,
                         "'%s' is a FIFO that no process reads; start its reader first", shown);
    if (known && S_ISSOCK(st.st_mode))
        return lort_fail(err, LORT_E_WRITE, "'%s' is a socket; name a file or a FIFO", shown);
    return lort_os_fail(err, LORT_E_WRITE, why, "open", path);
}

lort_code lort_os_stream_open(const char *path, lort_stream **out, lort_error *err)
{
    const int number = find_descriptor(path);
    lort_code code = new_stream(path, out, err);
    if (code)
        return code;
    (*out)->fd =
        number >= 0 ? lort_os_copy_descriptor(number) : lort_os_openat(AT_FDCWD, path, O_WRONLY, 0);
    if ((*out)->fd >= 0)
        return LORT_OK;
    const int why = errno;
    lort_os_stream_close(*out, NULL);
    *out = NULL;
    return cannot_open(path, why, err);
}

lort_code lort_os_stream_stdout(lort_stream **out, lort_error *err)
{
    lort_code code = new_stream("standard output", out, err);
    if (code == LORT_OK)
        (*out)->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return code;
}

/* ---- writing ---- */

/* Waits until a write does not block, or fails at once. full: a write found no room although poll
 * promised it. *waits: how often `stop` was true since the last byte. */
static void wait_room(const lort_stream *stream, bool full, bool (*stop)(void *ctx), void *ctx,
                      int *waits)
{
    struct pollfd place = {.fd = stream->fd, .events = POLLOUT};
    if (full)
        (void)poll(NULL, 0, WAIT_MS);
    while (*waits <= GRACE_WAITS && stream->fd >= 0) {
        const int ready = poll(&place, 1, WAIT_MS);
        if (ready == 0 || full || (ready < 0 && errno == EINTR))
            *waits += stop && stop(ctx);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            break;
    }
}

lort_code lort_os_stream_write(lort_stream *stream, const void *bytes, uint64_t n,
                               bool (*stop)(void *ctx), void *ctx, lort_error *err)
{
    const char *from = bytes;
    char shown[600];
    bool full = false;
    for (int waits = 0; n > 0;) {
        wait_room(stream, full, stop, ctx, &waits);
        if (waits > GRACE_WAITS)
            return lort_fail(err, LORT_E_STOPPED, "stopped: the reader of '%s' takes nothing",
                             lort_escape_text(shown, sizeof shown, stream->path));
        const ssize_t put = write(stream->fd, from, n < PIPE_BUF ? (size_t)n : PIPE_BUF);
        full = put == 0 || (put < 0 && errno == EAGAIN);
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return lort_os_fail(err, LORT_E_WRITE, errno, "write", stream->path);
        if (put > 0) {
            from += put;
            n -= (uint64_t)put;
            waits = 0;
        }
    }
    return LORT_OK;
}

lort_code lort_os_stream_close(lort_stream *stream, lort_error *err)
{
    if (!stream)
        return LORT_OK;
    lort_code code = LORT_OK;
    if (stream->fd >= 0 && close(stream->fd) != 0 && errno != EINTR)
        code = lort_os_fail(err, LORT_E_WRITE, errno, "close", stream->path);
    free(stream);
    return code;
}
