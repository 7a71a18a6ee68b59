/* publish: a complete, synced file (or directory) appears under its final name, or nothing does;
 * what was there survives every failure. A file is read back before it gets its name. Writes go to
 * ".NAME.lort-partial" beside the output; commit syncs, renames and syncs the directory. The
 * partial file is locked: a second writer to the same output gets LORT_E_EXISTS.
 *
 * A resumable file is written as "NAME.part". What a writer who ended early left there is found by
 * the next one, who looks at it, adopts as much from its start as is good, and goes on behind that.
 */
#ifndef LORT_LOADER_STORE_PUBLISH_H
#define LORT_LOADER_STORE_PUBLISH_H

#include "formats/base/alloc.h"
#include "loader/os/os.h"

typedef struct lort_publish lort_publish;
typedef struct lort_publish_options {
    bool directory; /* several files in a new directory */
    bool force;     /* replace an existing FILE (a directory is never replaced) */
    /* permission bits of the files; the input's, so that a secret model stays secret */
    uint32_t mode;
    /* refuse at once (LORT_E_WRITE, with both figures) when the disk has less; 0 = unknown */
    uint64_t expect_bytes;
    bool resumable; /* a FILE whose partial may outlive its writer */
    /* asked while a file is read back; true: LORT_E_STOPPED. May be NULL */
    bool (*stop)(void *ctx);
    void *stop_ctx;
} lort_publish_options;

lort_code lort_publish_begin(const char *path, const lort_publish_options *options,
                             const lort_alloc *alloc, lort_publish **out, lort_error *err);
/* Starts a file: `name` is its plain name in a directory, ignored for a single file. One file is
 * open at a time. */
lort_code lort_publish_file(lort_publish *publish, const char *name, lort_error *err);
lort_code lort_publish_append(lort_publish *publish, const void *bytes, uint64_t n,
                              lort_error *err);
/* bytes of the current file: appended and adopted */
uint64_t lort_publish_size(const lort_publish *publish);
/* Syncs what was written last and reads it back: LORT_E_WRITE where that is not what was appended.
 */
lort_code lort_publish_settle(lort_publish *publish, lort_error *err);
/* Settles, closes, renames and syncs the directory; frees nothing. Where the name cannot be given,
 * the partial output is complete and stays; the message says where. */
lort_code lort_publish_commit(lort_publish *publish, lort_error *err);
/* Without commit: removes the partial output, but for a resumable one that has something worth
 * keeping: that is synced and stays. Accepts NULL. */
void lort_publish_close(lort_publish *publish);

/* Of resumable files. The directory; plain name of the partial, in the output's directory; bytes an
 * earlier writer left in it, 0 once they were dropped. */
lort_dir *lort_publish_dir(const lort_publish *publish); /* of the output; the publish's */
const char *lort_publish_partial(const lort_publish *publish);
uint64_t lort_publish_found(const lort_publish *publish);
/* Reads of what was found: n bytes at offset, n <= found - offset. LORT_E_WRITE. */
lort_code lort_publish_look(lort_publish *publish, void *buffer, uint64_t n, uint64_t offset,
                            lort_error *err);
/* The next n bytes of what was found are taken as if they had been appended. Not after append, nor
 * after drop. */
lort_code lort_publish_adopt(lort_publish *publish, uint64_t n, lort_error *err);
/* What was found and not adopted is cut off; what follows is appended. */
lort_code lort_publish_drop(lort_publish *publish, lort_error *err);
/* All so far is worth keeping, and is on the disk now, or when this is called again after a second,
 * or at close. Files that are not resumable have none. */
lort_code lort_publish_checkpoint(lort_publish *publish, lort_error *err);
/* whether close is to leave the partial */
void lort_publish_keep(lort_publish *publish, bool keep);
/* True once a sync failed: then nobody knows what is on the disk, and close removes the partial,
 * unless it is told to keep it after all. Who goes on with it has to distrust it: what he adopts is
 * written again. */
bool lort_publish_bad(const lort_publish *publish);
void lort_publish_distrust(lort_publish *publish);
/* True if close would leave the partial. */
bool lort_publish_stays(const lort_publish *publish);

#endif
