/* progress: an observer that prints the progress of a run to stderr. On a terminal it redraws one
 * live line, at most ten times a second and at least four times. In a log it prints one plain line
 * per layer, and per 30 seconds. A thread of its own ticks, so the line moves where no event comes.
 * With --progress json it writes lines of JSON instead (lines.h), one a tensor, and of the progress
 * at most one a second. */
#ifndef LORT_COMPRESS_CLI_UI_PROGRESS_H
#define LORT_COMPRESS_CLI_UI_PROGRESS_H

#include "compress/cli/console/ticker.h"
#include "compress/lort.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct lort_progress {
    lort_observer observer; /* commands take its address */
    bool quiet, verbose, live;
    bool silent;               /* no lines of progress in text: --progress json or none */
    bool start_block;          /* print mode, memory and plan once they are known */
    bool shown;                /* a live line is on the screen */
    bool started;              /* the plan is known: warnings are printed as they come */
    unsigned warned;           /* warnings of the report that are on the screen */
    const lort_report *report; /* of the newest event; for the thread that opened it */
    uint64_t started_ns, drawn_ns, logged_ns, told_ns;
    uint64_t heartbeat_ns;              /* between two lines of a log */
    int64_t layer;                      /* layer in work; -1: no layer, -2: nothing yet */
    uint64_t layer_count[LORT_ACTIONS]; /* tensors of the layer, by action */
    uint64_t rss;                       /* peak so far, 0 = unknown */
    lort_event last;                    /* last event of the layer; pointers are NULL */
    lort_event seen;                    /* the newest event; pointers are NULL */
    char name[256];                     /* of its tensor, as it is printed */
    uint64_t seen_ns;
    unsigned drawings;
    lort_phase drawn_phase;
    bool drawn_end; /* the last line said 100 % */
    uint64_t answered_ns;
    lort_ticker ticker; /* its lock guards all of the above that changes, and stderr */
} lort_progress;

/* Close it, always: the ticker uses it until then. stop: becomes the observer's stop. start_block:
 * print the start block to stderr; compress and restore want it, the other commands print their
 * figures on stdout. */
void lort_progress_open(lort_progress *progress, bool (*stop)(void *progress), bool quiet,
                        bool verbose, bool start_block);
/* Prints one line for SIGUSR1, at most ten a second. Returns false if no line was printed: call
 * again then. Threads: any thread may call, but only the thread that opened progress prints. */
bool lort_progress_answer(lort_progress *progress);
/* Prints the warnings of the report that are not on the screen yet. Warnings from before the plan
 * wait for it, so that an error comes before them. */
void lort_progress_warnings(lort_progress *progress, const lort_report *report);
/* Removes the live line, or logs the last layer. Call before printing anything else. */
void lort_progress_close(lort_progress *progress);

/* The N of "blk.N.", "layers.N." or "h.N." in a tensor's name; -1 if there is none. */
int64_t lort_progress_layer(const char *name);

#endif
