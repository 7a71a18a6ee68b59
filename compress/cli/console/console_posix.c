/* console_posix: see console.h. A pipe with room takes PIPE_BUF bytes at once. */
#define _GNU_SOURCE
#include "compress/cli/console/console.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

bool lort_console_takes(FILE *out, int ms)
{
    struct pollfd place = {.fd = fileno(out), .events = POLLOUT};
    const int ready = poll(&place, 1, ms);
    return ready > 0 || (ready < 0 && errno != EINTR);
}

size_t lort_console_piece(void) { return PIPE_BUF; }

int64_t lort_console_write(FILE *out, const void *bytes, size_t n)
{
    const ssize_t done = write(fileno(out), bytes, n);
    return done < 0 && (errno == EINTR || errno == EAGAIN) ? 0 : done;
}

size_t lort_console_room(FILE *out)
{
    const size_t buffer = __fbufsize(out), used = __fpending(out);
    return buffer > 1 && used < buffer ? buffer - used : 0;
}

bool lort_console_holds(FILE *out) { return __fpending(out) > 0; }

void lort_console_drop(FILE *out) { __fpurge(out); }

bool lort_console_reader_left(FILE *out)
{
    struct pollfd place = {.fd = fileno(out), .events = POLLOUT};
    return poll(&place, 1, 0) > 0 && (place.revents & POLLERR);
}

bool lort_console_is_file(FILE *out)
{
    struct stat st;
    return fstat(fileno(out), &st) == 0 && S_ISREG(st.st_mode);
}

bool lort_console_is_terminal(FILE *out) { return isatty(fileno(out)); }

bool lort_console_draws(FILE *out)
{
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && term && *term && strcmp(term, "dumb") != 0;
}

size_t lort_console_width(FILE *out)
{
    struct winsize size;
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

uint64_t lort_console_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
