/* publish: the room loader/store owns containers and outputs on the disk. It must not decide how a
 * tensor is stored.
 *
 * This file owns an output that appears whole. A complete, synced file (or directory) appears under
 * its final name, or nothing does. A file that had the name survives every failure. LoRT reads the
 * output back before it gets its name. Writes go to the partial output ".NAME.lort-partial" beside
 * the output. commit syncs, renames and syncs the directory. LoRT locks the partial output: a
 * second writer to one output gets LORT_E_EXISTS.
 *
 * The partial output of a resumable file is "NAME.part". If a writer ends early, the next writer
 * finds that file. It looks at the bytes, adopts the good ones at the start, and goes on behind
 * them. The writer of a resumable file has a heartbeat too (heartbeat.h). So two writers do not
 * mix where locks lie. */
#ifndef LORT_LOADER_STORE_PUBLISH_H
#define LORT_LOADER_STORE_PUBLISH_H

#include "formats/base/alloc.h"
#include "loader/store/own.h"

typedef struct lort_publish lort_publish;
typedef struct lort_publish_options {
    bool directory; /* several files in a new directory */
    bool force;     /* replace an existing FILE or a link, but not its target; never a directory */
    /* permission bits of the files: those of the input, so that a secret model stays secret */
    uint32_t mode;
    /* If the disk has less: fail at once with LORT_E_WRITE and both figures. 0 = unknown. */
    uint64_t expect_bytes;
    bool resumable; /* a FILE whose partial output may outlive its writer */
    /* Tells whether a file begins as outputs of this kind begin. A resumable writer takes over only
     * a partial output that begins so. NULL: only an empty one. */
    lort_own_fn *begins;
    /* A FILE that is never rewound: a thread reads it back while it is written. */
    bool reads_along;
    bool own_only; /* with force: replace only a file that LoRT made (loader/store/own.h) */
    /* LoRT calls it while it reads a file back; true: LORT_E_STOPPED. May be NULL. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
    /* LoRT calls it before it reads a file back, with done 0, and as it goes on; with stop_ctx.
     * Bytes of the file. May be NULL. */
    void (*reads_back)(void *ctx, uint64_t done, uint64_t total);
    /* LoRT calls it with what a user should know: a disk has no locks, or LoRT waits for a writer
     * of another host; with stop_ctx. May be NULL. */
    void (*tells)(void *ctx, const char *text);
    uint32_t watch_ms; /* of the heartbeat; 0: LORT_WATCH_MS */
} lort_publish_options;

/* Starts an output: takes the name and the lock of the partial output. path: the final name. The
 * caller frees *out with lort_publish_close. On failure: LORT_E_EXISTS if the name is taken or
 * another writer holds the lock; LORT_E_WRITE, LORT_E_USAGE or LORT_E_MEMORY. */
lort_code lort_publish_begin(const char *path, const lort_publish_options *options,
                             const lort_alloc *alloc, lort_publish **out, lort_error *err);
/* Starts a file. name: its plain path below a directory, whose folders are made; ignored for a
 * single file. Only one file is open at a time. */
lort_code lort_publish_file(lort_publish *publish, const char *name, lort_error *err);
/* Appends n bytes to the current file. On failure: LORT_E_WRITE. */
lort_code lort_publish_append(lort_publish *publish, const void *bytes, uint64_t n,
                              lort_error *err);
/* Appends zeros until the current file has `size` bytes. On failure: LORT_E_WRITE. */
lort_code lort_publish_pad(lort_publish *publish, uint64_t size, lort_error *err);
/* bytes of the current file, appended and adopted */
uint64_t lort_publish_size(const lort_publish *publish);
/* Remembers the place in the current file. rewind then cuts off all bytes behind the last mark, as
 * if they had not been appended. Not for adopted bytes. On failure: LORT_E_MEMORY or
 * LORT_E_WRITE. */
lort_code lort_publish_mark(lort_publish *publish, lort_error *err);
lort_code lort_publish_rewind(lort_publish *publish, lort_error *err);
/* Syncs the last writes and reads the file back. On failure: LORT_E_WRITE if the bytes differ from
 * the appended bytes. */
lort_code lort_publish_settle(lort_publish *publish, lort_error *err);
/* Settles, closes, renames and syncs the directory; frees nothing. On failure of the rename the
 * partial output is complete and stays. The message says where. */
lort_code lort_publish_commit(lort_publish *publish, lort_error *err);
/* Frees; accepts NULL. Without a commit it removes the partial output. A resumable partial output
 * with work worth keeping is synced and stays. */
void lort_publish_close(lort_publish *publish);

/* For resumable files: the directory of the output; the plain name of the partial output in it; the
 * bytes that an earlier writer left (0 after drop). */
lort_dir *lort_publish_dir(const lort_publish *publish); /* the publish owns it */
const char *lort_publish_partial(const lort_publish *publish);
uint64_t lort_publish_found(const lort_publish *publish);
/* Reads n bytes of the found bytes at offset; n <= found - offset. On failure: LORT_E_WRITE. */
lort_code lort_publish_look(lort_publish *publish, void *buffer, uint64_t n, uint64_t offset,
                            lort_error *err);
/* Takes the next n found bytes as if they were appended. Not after append, nor after drop. */
lort_code lort_publish_adopt(lort_publish *publish, uint64_t n, lort_error *err);
/* Cuts off the found bytes that were not adopted. Later appends follow the adopted bytes. */
lort_code lort_publish_drop(lort_publish *publish, lort_error *err);
/* Cuts the partial output of a resumable file to its first n bytes: the rest is not trusted. Only
 * keep and close may follow. */
void lort_publish_cut(lort_publish *publish, uint64_t n);
/* Marks everything so far as worth keeping. Syncs if the last sync is long enough ago: 20 times its
 * duration, clamped to 50 ms - 1 s. close syncs the rest. Does nothing for a file that is not
 * resumable. */
lort_code lort_publish_checkpoint(lort_publish *publish, lort_error *err);
/* sets whether close leaves the partial output */
void lort_publish_keep(lort_publish *publish, bool keep);
/* bad: true once a sync failed. Then the contents of the disk are unknown, and close removes the
 * partial output unless keep is set later. A writer that resumes such output calls distrust: it
 * then writes adopted bytes again. */
bool lort_publish_bad(const lort_publish *publish);
void lort_publish_distrust(lort_publish *publish);
/* LORT_E_EXISTS if another writer took the output over: then nothing of it may be changed. Does
 * nothing for an output that is not resumable. Threads: any. */
lort_code lort_publish_check(lort_publish *publish, lort_error *err);
/* True if close would leave the partial output. */
bool lort_publish_stays(const lort_publish *publish);

#endif
