/* publish_parts: owns the struct that publish.c and publish_take.c share. No other file includes
 * it. */
#ifndef LORT_LOADER_STORE_PUBLISH_PARTS_H
#define LORT_LOADER_STORE_PUBLISH_PARTS_H

#include "formats/base/hash.h"
#include "loader/store/publish.h"

typedef struct lort_publish_name {
    struct lort_publish_name *next;
    char name[];
} lort_publish_name;

struct lort_publish {
    const lort_alloc *alloc;
    lort_publish_options options;
    lort_arena arena; /* names */
    lort_dir *parent;
    const char *name;         /* final name in parent */
    const char *partial;      /* name of the partial output in parent */
    const char *guard;        /* directory form: name of the lock file in parent */
    lort_dir *dir;            /* directory form: the partial directory */
    lort_publish_name *files; /* directory form: files begun in it */
    lort_file *lock;          /* directory form: the locked file */
    lort_file *file;          /* the file that is being written, or NULL */
    uint64_t size;            /* bytes of that file */
    lort_hasher *hasher;      /* of the bytes appended to it */
    uint64_t flushed;
    uint64_t found;              /* bytes that an earlier writer left; 0: none, or dropped */
    uint64_t synced_ns, sync_ns; /* end and duration of the last sync */
    bool made, committed; /* made: the partial output is ours; committed: it has its final name */
    bool settled;         /* synced and read back since the last append */
    bool worth;           /* it holds work that close leaves */
    bool bad, distrusted; /* bad: a sync failed; distrusted: one failed for the found bytes */
};

/* Takes the name and the lock of the partial output, new or found. On failure: LORT_E_EXISTS or
 * LORT_E_WRITE if something is in the way, or if the disk is too full. */
lort_code lort_publish_take(lort_publish *p, const char *path, lort_error *err);
/* Directory form: removes the partial directory and the files begun in it. */
void lort_publish_remove_dir(lort_publish *p);
/* Turns LORT_E_READ into LORT_E_WRITE: the output caused this failure, not the input. */
lort_code lort_publish_of_output(lort_code code, lort_error *err);

#endif
