/* lines: what --progress chose, and the lines of JSON that --progress json writes to stderr.
 *
 * Text for a person and lines for a program exclude each other: with lines, lort_cli_print drops
 * all text for stderr, and without them the functions here do nothing. So a caller may call both,
 * and asks for neither. */
#ifndef LORT_COMPRESS_CLI_UI_LINES_H
#define LORT_COMPRESS_CLI_UI_LINES_H

#include "compress/lort.h"
#include <stdbool.h>

/* In the order of the choices of --progress. */
typedef enum lort_lines_kind {
    LORT_LINES_AUTO,  /* a live line on a terminal, else plain lines */
    LORT_LINES_PLAIN, /* plain lines */
    LORT_LINES_JSON,
    LORT_LINES_NONE /* no progress; the start block, warnings, errors and summaries stay */
} lort_lines_kind;

/* Chooses for the rest of the process. Call it before the work. */
void lort_lines_choose(lort_lines_kind kind);
lort_lines_kind lort_lines_chosen(void);
/* Write the line of an event; of the error of a report; of the end of the process. */
void lort_lines_event(const lort_event *event);
void lort_lines_error(const lort_report *report);
void lort_lines_end(const lort_report *report, int exit_code);

#endif
