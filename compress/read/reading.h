/* reading: an archive opened for a command that decodes it (verify, restore, compare): session,
 * workers, report entries. */
#ifndef LORT_COMPRESS_READ_READING_H
#define LORT_COMPRESS_READ_READING_H

#include "compress/read/encoding.h"

typedef struct lort_reading {
    lort_session session;
    lort_archive *archive;
    /* [window]: decoded chunks waiting for their turn; no codec, nothing encoded */
    lort_scratch *slots;
    unsigned window;
    lort_block_need blocks;
    uint64_t part, entry; /* the part lort_reading_done saw last, and the report entry behind it */
} lort_reading;

/* Session, archive and report entries. Close after a failure too. */
lort_code lort_reading_open(lort_reading *reading, lort_command command, const char *path,
                            const lort_run_options *run, const lort_observer *observer,
                            lort_report *report, lort_error *err);
/* Bytes a command takes for one part beside what lort_slice_open takes, with `threads` workers; for
 * whatever is not kept whole. */
typedef uint64_t lort_part_cost_fn(const void *ctx, const lort_part *part, unsigned threads);
/* Workers and the ledger's limit: as many threads as the memory allows. `fixed` bytes more are
 * taken whatever the part. LORT_E_MEMORY names the tensor that does not fit and the smallest memory
 * that would do. cost may be NULL. */
lort_code lort_reading_start(lort_reading *reading, const lort_run_options *run, uint64_t fixed,
                             lort_part_cost_fn *cost, const void *ctx, lort_error *err);
void lort_reading_close(lort_reading *reading);

/* Decodes the raw array of one slice and hands its bytes to sink (may be NULL) in order; chunks are
 * decoded by the pool. */
lort_code lort_reading_bytes(lort_reading *reading, const lort_part *part, uint32_t slice,
                             lort_sink_fn *sink, void *ctx, lort_error *err);
/* a sink */
lort_code lort_reading_hash(void *hasher, const void *bytes, uint64_t n, lort_error *err);
/* LORT_E_DAMAGED if the hash is not that of the part's source. */
lort_code lort_reading_check_hash(const lort_part *part, const lort_hasher *hasher,
                                  lort_error *err);

/* verify.c: all that lort_verify does once it is started, on the archive there is. */
lort_code lort_reading_verify(lort_reading *reading, lort_error *err);

/* Says that a part is done (progress, observer's stop) and drops its pages. */
lort_code lort_reading_done(lort_reading *reading, const lort_part *part, lort_error *err);
/* "tensor NAME: " before the message. */
lort_code lort_reading_name_error(const lort_part *part, lort_error *err);
/* Report entries of an archive's tensors; adds to the report's input and output figures. */
lort_code lort_reading_list(const lort_archive *archive, lort_report *report, lort_error *err);

#endif
