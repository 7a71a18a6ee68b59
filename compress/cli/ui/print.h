/* print: all text that commands print goes through here. It escapes what a terminal must not see,
 * and a signal ends the wait for a reader that takes nothing. */
#ifndef LORT_COMPRESS_CLI_UI_PRINT_H
#define LORT_COMPRESS_CLI_UI_PRINT_H

#include "compress/lort.h"
#include <stdbool.h>
#include <stdio.h>

/* As fprintf. Escapes control and format characters (lort_printable), except line feeds. So names
 * from files may be arguments. Drops the text if the wait for room was given up. */
void lort_cli_print(FILE *out, const char *format, ...) LORT_PRINTF(2, 3);
/* While it is true, lort_cli_print drops all text for stderr: lines of JSON stand there. */
void lort_cli_mute(bool muted);
/* Writes a line with its line feed to stderr as it is. A signal ends the wait for a reader that
 * takes nothing, as for text; the next line then begins on a new line. Failed writes are lost. */
void lort_cli_put_line(const char *line, size_t bytes);
/* Waits until a write to `out` does not block. False: a signal asked to stop, and the reader took
 * nothing for a second. */
bool lort_cli_wait_room(FILE *out);
/* Writes the text that stdio still holds for stdout. False: the wait for room was given up, and the
 * text is dropped. Errors stay in ferror. */
bool lort_cli_flush(void);
/* True if stdout is a pipe or a socket whose reader has gone. */
bool lort_cli_reader_left(void);
/* True if text for stdout was dropped in that way. */
bool lort_cli_gave_up(void);

#endif
