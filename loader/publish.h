/* publish: a complete, synced file (or directory) appears under its final name, or nothing does; what was there survives every
 * failure. A file is read back before it gets its name. Writes go to ".NAME.lort-partial" beside the output; commit syncs, renames and syncs the directory.
 * The partial file is locked: a second writer to the same output gets LORT_E_EXISTS. */
#ifndef LORT_LOADER_PUBLISH_H
#define LORT_LOADER_PUBLISH_H

#include "formats/alloc.h"
#include "loader/os.h"

typedef struct lort_publish lort_publish;
typedef struct lort_publish_options {
    bool directory;       /* several files in a new directory */
    bool force;           /* replace an existing FILE (a directory is never replaced) */
    uint32_t mode;        /* permission bits of the files; the input's, so that a secret model stays secret */
    uint64_t expect_bytes; /* refuse at once (LORT_E_WRITE, with both figures) when the disk has less; 0 = unknown */
} lort_publish_options;

lort_code lort_publish_begin(const char *path, const lort_publish_options *options, const lort_alloc *alloc, lort_publish **out, lort_error *err);
/* Starts a file: `name` is its plain name in a directory, ignored for a single file. One file is open at a time. */
lort_code lort_publish_file(lort_publish *publish, const char *name, lort_error *err);
lort_code lort_publish_append(lort_publish *publish, const void *bytes, uint64_t n, lort_error *err);
uint64_t lort_publish_size(const lort_publish *publish); /* bytes appended to the current file */
lort_code lort_publish_commit(lort_publish *publish, lort_error *err); /* sync, close, rename; frees nothing */
void lort_publish_close(lort_publish *publish); /* without commit: removes the partial output; accepts NULL */

#endif
