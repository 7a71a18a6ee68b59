/* heartbeat: a small file beside a partial output that says who writes it, and that the writer
 * lives: "OUT.part.writer". Locks of shared disks can lie: one host does not see the locks of
 * another, or everybody gets the lock. So a writer has both, the lock and a heartbeat.
 *
 *   LoRT writer
 *   beat 00000000000000000012       grows every five seconds
 *   host HOST
 *   boot ID                         of the running system
 *   space ID                        of the namespace of process numbers
 *   process NUMBER
 *   start NUMBER                    when the process began, in the units of its system
 *   run NUMBER                      another one for each output of a process
 *
 * The lines behind the beat are the name of the writer. LoRT opens the file anew each time: an
 * open file of a shared disk can show old bytes. */
#ifndef LORT_LOADER_STORE_HEARTBEAT_H
#define LORT_LOADER_STORE_HEARTBEAT_H

#include "formats/base/alloc.h"
#include "loader/os/os.h"

typedef struct lort_heartbeat lort_heartbeat;

typedef struct lort_heartbeat_options {
    lort_dir *dir;    /* stays open until stop */
    const char *name; /* of the file, in dir; stays until stop */
    /* How long a writer of another host may show no new beat before its work is taken over; the
     * own beat comes six times as often. */
    uint32_t watch_ms;
    bool (*stop)(void *ctx); /* true: LORT_E_STOPPED while LoRT watches. May be NULL. */
    void (*tells)(void *ctx, const char *text); /* gets what a user should know. May be NULL. */
    void *ctx;
} lort_heartbeat_options;

#define LORT_WATCH_MS 30000u

/* Makes the file, and starts the thread that lets it beat. A file of another writer decides first.
 * A process of this system: LORT_E_EXISTS if it lives; LoRT takes the work of a dead one over at
 * once. Else LoRT watches the file for watch_ms. It moves: LORT_E_EXISTS. It stands still: LoRT
 * takes the work over. Free with lort_heartbeat_stop. On failure *out is NULL: LORT_E_EXISTS,
 * LORT_E_STOPPED, LORT_E_WRITE, LORT_E_MEMORY. */
lort_code lort_heartbeat_start(const lort_heartbeat_options *options, const lort_alloc *alloc,
                               lort_heartbeat **out, lort_error *err);
/* LORT_E_EXISTS if another writer has put its name there. A file that somebody removed is made
 * again. On other failures LORT_E_WRITE. Accepts NULL. Threads: any. */
lort_code lort_heartbeat_check(lort_heartbeat *heartbeat, lort_error *err);
/* True once a check found another writer's name. Accepts NULL. */
bool lort_heartbeat_lost(const lort_heartbeat *heartbeat);
/* Ends the thread, removes the file if it has the name of this writer, and frees. Accepts NULL. */
void lort_heartbeat_stop(lort_heartbeat *heartbeat);

#endif
