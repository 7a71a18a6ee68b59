/* publish_parts: what publish.c and publish_take.c share. Private to the two. */
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
    const char *partial;      /* temporary name in parent */
    const char *guard;        /* directory form: name of the lock file in parent */
    lort_dir *dir;            /* directory form: the partial directory */
    lort_publish_name *files; /* directory form: begun in it */
    lort_file *lock;          /* directory form */
    lort_file *file;          /* the one that is written, or NULL */
    uint64_t size;            /* of it */
    lort_hasher *hasher;      /* of what was appended to it */
    uint64_t flushed;
    uint64_t found;              /* bytes an earlier writer left; 0: none, or dropped */
    uint64_t synced_ns, sync_ns; /* when the last sync ended, and how long it took */
    bool made, committed;        /* partial exists and is ours; it has its final name */
    bool settled;                /* synced and read back since the last append */
    bool worth;                  /* there is work in it that close is to leave */
    bool bad, distrusted;        /* a sync failed: now, or when what was found was written */
};

/* Takes the name and the lock of the partial output: begun anew, or found. Refuses what stands in
 * the way, and a disk that is too full. */
lort_code lort_publish_take(lort_publish *p, const char *path, lort_error *err);
/* The directory form: removes the partial directory and what was begun in it. */
void lort_publish_remove_dir(lort_publish *p);
/* The code of a failure that the output has: LORT_E_WRITE where the input's was set. */
lort_code lort_publish_of_output(lort_code code, lort_error *err);

#endif
