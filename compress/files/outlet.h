/* outlet: where restore writes files: an output on the disk that appears whole, or the caller's
 * functions. */
#ifndef LORT_COMPRESS_FILES_OUTLET_H
#define LORT_COMPRESS_FILES_OUTLET_H

#include "compress/session/session.h"
#include "formats/base/sha256.h"
#include "loader/store/publish.h"

/* One of the first two members is set. */
typedef struct lort_outlet {
    lort_publish *publish; /* the outlet closes it */
    const lort_restore_sink *sink;
    lort_session *session;
    uint64_t size;    /* of the present file, so far */
    bool hashes;      /* hash the files; the report has room for the hashes */
    bool several;     /* the output is a directory: the hashes name its files */
    const char *name; /* of the present file; NULL: none */
    lort_sha256 hash; /* of the present file, so far */
} lort_outlet;

/* Begins a file of `bytes` bytes. name: as for lort_publish_file, which may take NULL; shown: for
 * the sink. The functions fail as those of publish, or with the code of the sink. */
lort_code lort_outlet_file(lort_outlet *outlet, const char *name, const char *shown, uint64_t bytes,
                           lort_error *err);
/* Appends to the file; a lort_sink_fn. outlet: a lort_outlet. */
lort_code lort_outlet_append(void *outlet, const void *bytes, uint64_t n, lort_error *err);
/* Appends zeros until the file has `size` bytes. */
lort_code lort_outlet_pad(lort_outlet *outlet, uint64_t size, lort_error *err);
/* Ends the output: publishes it. The report then has the hashes of all files. */
lort_code lort_outlet_commit(lort_outlet *outlet, lort_error *err);
void lort_outlet_close(lort_outlet *outlet); /* accepts a zeroed one */

#endif
