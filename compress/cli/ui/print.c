/* print: see print.h. LoRT writes pieces that a pipe with room takes at once, and asks for room
 * before each, so that no write blocks. */
#include "compress/cli/ui/print.h"
#include "compress/cli/console/console.h"
#include "compress/cli/console/signals.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_TEXT 1024     /* bytes of a text that needs no memory from the heap */
#define PIECE 900           /* bytes of a text that are escaped at once */
#define ESCAPED (4 * PIECE) /* bytes that a piece may become */
#define WAIT_MS 100         /* between two looks at the signals */
#define GRACE_WAITS 10      /* waits after a signal: one second */

static bool gave_up[2]; /* stdout, stderr */
static bool muted;      /* no text for stderr */

void lort_cli_mute(bool mute) { muted = mute; }

bool lort_cli_gave_up(void) { return gave_up[0]; }

bool lort_cli_reader_left(void) { return lort_console_reader_left(stdout); }

/* Waits until the descriptor takes bytes. After a wait that was given up, LoRT only looks. */
static bool wait_room(FILE *out)
{
    bool *given_up = &gave_up[out == stderr];
    for (int waits = 0; waits <= GRACE_WAITS;
         waits += *given_up ? GRACE_WAITS + 1 : lort_cli_signal() != 0)
        if (lort_console_takes(out, *given_up ? 0 : WAIT_MS))
            return true;
    *given_up = true;
    if (out == stdout)
        lort_console_drop(stdout); /* else stdio would wait for the reader at the end */
    return false;
}

bool lort_cli_wait_room(FILE *out) { return lort_console_room(out) >= ESCAPED || wait_room(out); }

bool lort_cli_flush(void)
{
    if (lort_console_holds(stdout) && wait_room(stdout))
        fflush(stdout);
    return !gave_up[0];
}

/* A signal may end a write early. False: the rest cannot be written. */
static bool put_all(const char *bytes, size_t n)
{
    const size_t most = lort_console_piece();
    while (n > 0 && wait_room(stderr)) {
        const int64_t done = lort_console_write(stderr, bytes, n < most ? n : most);
        if (done < 0)
            return false;
        bytes += done;
        n -= (size_t)done;
    }
    return n == 0;
}

void lort_cli_put_line(const char *line, size_t bytes)
{
    static bool cut; /* the last line ended early */
    if (cut && !put_all("\n", 1))
        return;
    cut = !put_all(line, bytes);
}

/* The end of the piece that begins at text[at]: a line feed, or PIECE bytes. It cuts no character.
 */
static size_t piece_end(const char *text, size_t n, size_t at)
{
    size_t end = at;
    while (end < n && end - at < PIECE && text[end] != '\n')
        end++;
    if (end == n || text[end] == '\n')
        return end;
    while (end - at > PIECE - 4 && (text[end] & 0xC0) == 0x80)
        end--;
    return end;
}

static void put_text(FILE *out, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        char shown[ESCAPED + 5];
        const size_t end = piece_end(text, n, at);
        lort_printable(shown, sizeof shown - 1, text + at, end - at);
        at = end;
        if (at < n && text[at] == '\n') {
            strcat(shown, "\n");
            at++;
        }
        if (!lort_cli_wait_room(out))
            return;
        fputs(shown, out);
    }
}

void lort_cli_print(FILE *out, const char *format, ...)
{
    char brief[SHORT_TEXT], *text = brief;
    va_list args, again;
    if (muted && out == stderr)
        return;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(brief, sizeof brief, format, args);
    if (n >= (int)sizeof brief) {
        text = malloc((size_t)n + 1);
        if (text)
            vsnprintf(text, (size_t)n + 1, format, again);
    }
    va_end(again);
    va_end(args);
    const char *whole = text ? text : brief; /* without memory the text is cut */
    put_text(out, whole, strlen(whole));
    if (text != brief)
        free(text);
}
