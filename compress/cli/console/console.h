/* console: the standard streams of lort, and the terminal behind them.
 *
 * The room owns what the command line wants of the operating system. Each header has one file per
 * system: NAME_posix.c and NAME_windows.c. Only such files of compress/cli include headers of a
 * system. They must not include any header of the library. */
#ifndef LORT_COMPRESS_CLI_CONSOLE_CONSOLE_H
#define LORT_COMPRESS_CLI_CONSOLE_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Waits at most `ms` milliseconds until a write to `out` does not block. True after an error too:
 * the write tells of the error. A signal ends the wait. Windows cannot wait: always true. */
bool lort_console_takes(FILE *out, int ms);
/* The most bytes that a write may have which follows lort_console_takes, to a pipe. */
size_t lort_console_piece(void);
/* Writes past stdio's buffer. Returns the bytes that arrived, 0 if a signal ended the write early,
 * or -1 with errno set. */
int64_t lort_console_write(FILE *out, const void *bytes, size_t n);
/* The bytes that `out` takes into its buffer without a write. 0: not known. */
size_t lort_console_room(FILE *out);
/* False if stdio holds no byte for `out`. */
bool lort_console_holds(FILE *out);
/* Drops the bytes that stdio holds for `out`. */
void lort_console_drop(FILE *out);
/* True if `out` is a pipe or a socket whose reader has gone. */
bool lort_console_reader_left(FILE *out);

/* True if `out` is a regular file; a terminal; a terminal that obeys escape sequences. */
bool lort_console_is_file(FILE *out);
bool lort_console_is_terminal(FILE *out);
bool lort_console_draws(FILE *out);
/* Columns of the terminal; 0: not known. */
size_t lort_console_width(FILE *out);

/* Nanoseconds of a clock that no one sets. */
uint64_t lort_console_now_ns(void);

#ifdef _WIN32
/* Makes the console take UTF-8 and escape sequences, until the process ends. */
void lort_console_prepare(void);
/* Gives the console back as it was. For an end without exit(). */
void lort_console_give_back(void);
#endif

#endif
