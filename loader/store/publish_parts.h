/* publish_parts: owns the struct that the publish*.c files share. No other file includes it. */
#ifndef LORT_LOADER_STORE_PUBLISH_PARTS_H
#define LORT_LOADER_STORE_PUBLISH_PARTS_H

#include "formats/base/hash.h"
#include "loader/store/heartbeat.h"
#include "loader/store/publish.h"

typedef struct lort_publish_name {
    struct lort_publish_name *next;
    uint64_t device, inode; /* of what LoRT made under this name */
    bool folder;
    char name[]; /* a path below the partial directory */
} lort_publish_name;

typedef struct lort_publish_along lort_publish_along;

struct lort_publish {
    const lort_alloc *alloc;
    lort_publish_options options;
    lort_arena arena; /* names */
    lort_dir *parent;
    const char *name;          /* final name in parent */
    const char *partial;       /* name of the partial output in parent */
    const char *guard;         /* not resumable: name of the lock file in parent */
    const char *writer;        /* resumable: name of the heartbeat in parent */
    lort_heartbeat *heartbeat; /* resumable: of this writer */
    lort_dir *dir;             /* directory form: the partial directory */
    lort_publish_name *files;  /* directory form: files begun and folders made in it */
    lort_file *lock;           /* not resumable: the lock file, locked */
    uint64_t lock_bytes;       /* its size */
    bool lock_found;           /* an earlier run left it */
    bool lock_begun;           /* it holds no notes of an earlier run */
    lort_file *file;           /* the file that is being written, or NULL */
    uint64_t size;             /* bytes of that file */
    lort_hasher *hasher;       /* of the bytes appended to it */
    lort_hasher *marked;       /* the hash at the mark; NULL: no mark so far */
    uint64_t mark;             /* bytes of the file at the mark */
    uint64_t flushed;
    lort_publish_along *along;   /* reads back what is on the disk already; NULL: nothing does */
    uint64_t found;              /* bytes that an earlier writer left; 0: none, or dropped */
    uint64_t synced_ns, sync_ns; /* end and duration of the last sync */
    bool made, committed; /* made: the partial output is ours; committed: it has its final name */
    bool settled;         /* synced and read back since the last append */
    bool worth;           /* it holds work that close leaves */
    bool bad, distrusted; /* bad: a sync failed; distrusted: one failed for the found bytes */
};

/* publish_take.c: takes the name and the lock of the partial output, new or found. On failure:
 * LORT_E_EXISTS or LORT_E_WRITE if something is in the way, or if the disk is too full. */
lort_code lort_publish_take(lort_publish *p, const char *path, lort_error *err);

/* publish_tree.c: the directory form. */
/* Makes the partial directory, enters it and notes it. On failure: LORT_E_EXISTS or LORT_E_WRITE.
 */
lort_code lort_publish_make_dir(lort_publish *p, lort_error *err);
/* Enters the folder of n bytes at `path` below the partial directory. make: makes the folders that
 * this run has not made yet. *out: the caller closes it; NULL if n is 0. On failure: LORT_E_WRITE
 * if a folder is not the one that this run made. */
lort_code lort_publish_enter(lort_publish *p, const char *path, uint32_t n, bool make,
                             lort_dir **out, lort_error *err);
/* Keeps path and identity of a file or folder that this run made, and notes it in the lock file.
 */
lort_code lort_publish_made(lort_publish *p, const char *path, uint32_t n,
                            const lort_file_info *info, lort_error *err);
/* Removes the partial directory, and what this run made in it. Leaves all else. */
void lort_publish_remove_dir(lort_publish *p);
/* Syncs the folders. LORT_E_WRITE if the partial directory does not hold exactly what LoRT made. */
lort_code lort_publish_check_dir(lort_publish *p, lort_error *err);
/* Removes the partial directory that an earlier run left. On failure: LORT_E_EXISTS if a file or
 * folder in it has no note. */
lort_code lort_publish_bury_dir(lort_publish *p, const lort_file_info *info, lort_error *err);
/* LORT_E_EXISTS if no earlier run noted the file. below: it lies in a noted directory. */
lort_code lort_publish_check_left(lort_publish *p, lort_dir *dir, const char *name, bool below,
                                  lort_error *err);

/* publish_along.c: the read-back of the present file while it is written. */
/* The first `bytes` bytes of the file are on the disk. Does nothing without options.reads_along. */
void lort_publish_along_ready(lort_publish *p, uint64_t bytes);
/* Ends it. *hasher is then that of the first *bytes bytes as they were read back. On failure:
 * LORT_E_WRITE. */
lort_code lort_publish_along_take(lort_publish *p, lort_hasher *hasher, uint64_t *bytes,
                                  lort_error *err);
/* Ends it, and forgets what was read. */
void lort_publish_along_close(lort_publish *p);

/* publish_guard.c: names, and the lock file of outputs that are not resumable. */
typedef struct lort_publish_hold {
    const char *name; /* in parent */
    lort_own_fn *begins;
    uint32_t mode; /* of a new file */
} lort_publish_hold;
/* Opens the file of this name that an earlier run left, or creates it, and locks it. *found: it was
 * there. The publish owns *file, which is NULL on failure: LORT_E_EXISTS if another writer holds
 * it, or if it is not from LoRT. */
lort_code lort_publish_take_name(lort_publish *p, const lort_publish_hold *how, lort_file **file,
                                 bool *found, lort_error *err);
/* Opens it or creates it, and locks it. On failure: LORT_E_EXISTS if another writer holds it, or if
 * it is not from LoRT. */
lort_code lort_publish_guard_take(lort_publish *p, lort_error *err);
/* *noted: the earlier run that left the lock file made this file or directory. empty: it holds
 * nothing. */
lort_code lort_publish_guard_knows(lort_publish *p, const lort_file_info *info, bool empty,
                                   bool *noted, lort_error *err);
/* Drops the notes of the earlier run, and notes the partial file or directory of this run. */
lort_code lort_publish_guard_begin(lort_publish *p, const lort_file_info *info, lort_error *err);
/* Notes that this run made one more file. */
lort_code lort_publish_guard_note(lort_publish *p, const lort_file_info *info, lort_error *err);

/* Turns LORT_E_READ into LORT_E_WRITE: the output caused this failure, not the input. */
lort_code lort_publish_of_output(lort_code code, lort_error *err);

#endif
