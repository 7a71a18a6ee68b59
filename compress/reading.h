/* reading: an archive opened for a command that decodes it (verify, restore, compare): session, workers, report entries. */
#ifndef LORT_COMPRESS_READING_H
#define LORT_COMPRESS_READING_H

#include "compress/encoding.h"

typedef struct lort_reading {
    lort_session session;
    lort_archive *archive;
    lort_scratch *slots; /* [window]: decoded chunks waiting for their turn */
    unsigned window;
} lort_reading;

lort_code lort_reading_open(lort_reading *reading, const char *command, const char *path, const lort_run_options *run, const lort_observer *observer,
                            lort_report *report, lort_error *err);
void lort_reading_close(lort_reading *reading);

/* Decodes the raw array of one slice and hands its bytes to sink (may be NULL) in order; chunks are decoded by the pool. */
typedef lort_code lort_sink_fn(void *ctx, const void *bytes, uint64_t n, lort_error *err);
lort_code lort_reading_bytes(lort_reading *reading, const lort_part *part, uint32_t slice, lort_sink_fn *sink, void *ctx, lort_error *err);
lort_code lort_reading_hash(void *hasher, const void *bytes, uint64_t n, lort_error *err); /* a sink */
/* LORT_E_DAMAGED if the hash is not that of the part's source. */
lort_code lort_reading_check_hash(const lort_part *part, const lort_hasher *hasher, lort_error *err);

/* Says that a part is done (progress, observer's stop) and drops its pages. */
lort_code lort_reading_done(lort_reading *reading, const lort_part *part, lort_error *err);
/* "tensor NAME: " before the message. */
lort_code lort_reading_name_error(const lort_part *part, lort_error *err);
/* Report entries of an archive's tensors; adds to the report's input and output figures. */
lort_code lort_reading_list(const lort_archive *archive, lort_report *report, lort_error *err);

#endif
