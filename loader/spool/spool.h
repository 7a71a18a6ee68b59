/* spool: the room loader/spool owns the way of a remote model's bytes into this process: which of
 * them are here, which are on their way, where on the disk they wait, and the proof that they are
 * the bytes that the server promised. It knows no request and no file format.
 *
 * The spool is one file without a name. It consists of slots of 64 KiB. A slot holds a unit of a
 * remote file, or the pages of the unit that are here. When LoRT has used a unit, its slot holds
 * another one. So the file grows to what is in work at a time, on any file system: it needs no
 * holes.
 *
 *   remote file   | unit 0 | unit 1 | unit 2 | ...       unit 1 is used, unit 2 is on its way
 *                     |                 |
 *   spool         | slot 0 | slot 1 | slot 2 |           slot 1 is free
 */
#ifndef LORT_LOADER_SPOOL_SPOOL_H
#define LORT_LOADER_SPOOL_SPOOL_H

#include "loader/model/model.h"
#include "loader/source/source.h"

typedef struct lort_spool_options {
    const char *dir;    /* where the spool lies; NULL: TMPDIR, else the directory of `beside` */
    const char *beside; /* the path of an output; NULL: the present directory */
    bool keep;          /* nothing leaves the spool: a second reading fetches nothing */
    /* True: waits end with LORT_E_STOPPED. Threads: any. May be NULL. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
} lort_spool_options;

/* Opens the model that a HUB or URL source names. Reads its list and its headers.
 * Owner: lort_model_close closes everything. On failure: as lort_remote_open and
 * lort_model_open_as; LORT_E_WRITE if there is no place for the spool. */
lort_code lort_spool_model(const lort_source *source, const lort_spool_options *options,
                           const lort_model_options *files, const lort_alloc *alloc,
                           lort_warn_fn *warn, void *warn_ctx, lort_model **out, lort_error *err);

#endif
