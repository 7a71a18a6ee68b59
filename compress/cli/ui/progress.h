/* progress: an observer that tells a person how a run goes. On a terminal one live line, redrawn at
 * most ten times a second; in a log one plain line per layer or per 30 seconds. Everything goes to
 * stderr. */
#ifndef LORT_COMPRESS_CLI_UI_PROGRESS_H
#define LORT_COMPRESS_CLI_UI_PROGRESS_H

#include "compress/lort.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lort_progress {
    lort_observer observer; /* give its address to a command */
    bool quiet, verbose, live;
    bool start_block; /* print mode, memory and plan when they are known */
    bool shown;       /* a live line is on the screen */
    uint64_t started_ns, drawn_ns, logged_ns;
    int64_t layer;                      /* being worked on; -1: none, -2: nothing yet */
    uint64_t layer_count[LORT_ACTIONS]; /* tensors of the layer, by action */
    uint64_t rss;                       /* peak so far, 0 = unknown */
    lort_event last;                    /* of the layer: figures only */
    lort_event seen;                    /* the newest: figures only */
    uint64_t answered_ns;
    pthread_t thread; /* that opened it, and gets the events */
} lort_progress;

/* stop: of the observer. start_block: compress and restore announce themselves; the others have
 * their say on stdout. */
void lort_progress_open(lort_progress *progress, bool (*stop)(void *progress), bool quiet,
                        bool verbose, bool start_block);
/* SIGUSR1 asked how far things are: one line, at most ten a second. False: not now, ask again; any
 * thread may, the one that opened it answers. */
bool lort_progress_answer(lort_progress *progress);
/* Removes the live line or logs the last layer; call before printing anything else. */
void lort_progress_close(lort_progress *progress);

/* The N of "blk.N.", "layers.N." or "h.N." in a tensor's name, -1 if there is none. */
int64_t lort_progress_layer(const char *name);

#endif
