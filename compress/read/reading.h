/* reading: a container that a command decodes (verify, restore): its session, workers and report
 * entries. inspect and weights use single functions of it. */
#ifndef LORT_COMPRESS_READ_READING_H
#define LORT_COMPRESS_READ_READING_H

#include "compress/read/encoding.h"
#include "compress/read/named.h"

/* Ticks (compress/session/meter.h) to decode a weight that is not stored whole. A byte of the
 * others costs 1. */
#define LORT_TICKS_DECODE 4

typedef struct lort_reading {
    lort_session session;
    lort_named named;
    lort_archive *archive;
    /* [window]: decoded chunks that wait for their turn; without codec and encoded buffer */
    lort_scratch *slots;
    unsigned window;
    lort_block_need blocks;
    uint64_t part, entry; /* last part of lort_reading_done, and its place in the report */
} lort_reading;

/* Opens the session and the archive, and fills the report entries, within the limit of memory and
 * until somebody asks to stop. Close the reading after a failure too. */
lort_code lort_reading_open(lort_reading *reading, lort_command command, const char *path,
                            const lort_run_options *run, const lort_observer *observer,
                            lort_report *report, lort_error *err);
/* Bytes that a command takes for one part with `threads` workers, without those of lort_slice_open.
 * Called for parts that are not kept whole. */
typedef uint64_t lort_part_cost_fn(const void *ctx, const lort_part *part, unsigned threads);
/* Sets the limit of the plan and starts as many workers as fit. fixed: bytes that the command
 * takes for any part. cost: may be NULL. On failure: LORT_E_MEMORY names the tensor that does not
 * fit and the smallest memory that would do. */
lort_code lort_reading_start(lort_reading *reading, const lort_run_options *run, uint64_t fixed,
                             lort_part_cost_fn *cost, const void *ctx, lort_error *err);
void lort_reading_close(lort_reading *reading);

/* Decodes the raw array of one slice with the pool, and hands the bytes to sink in order. sink may
 * be NULL. */
lort_code lort_reading_bytes(lort_reading *reading, const lort_part *part, uint32_t slice,
                             lort_sink_fn *sink, void *ctx, lort_error *err);
/* The same for chunks [first, first + count) of a part, which are raw. */
lort_code lort_reading_chunks(lort_reading *reading, const lort_part *part, uint64_t first,
                              uint64_t count, lort_sink_fn *sink, void *ctx, lort_error *err);
/* The same for all raw arrays of a part that is kept whole, slice after slice. The work goes with
 * the chunks, not with the slices that the part claims. */
lort_code lort_reading_all_bytes(lort_reading *reading, const lort_part *part, lort_sink_fn *sink,
                                 void *ctx, lort_error *err);
/* A sink that adds the bytes to a lort_hasher. */
lort_code lort_reading_hash(void *hasher, const void *bytes, uint64_t n, lort_error *err);
/* LORT_E_DAMAGED if the hash differs from the hash of the source in the record. */
lort_code lort_reading_check_hash(const lort_part *part, const lort_hasher *hasher,
                                  lort_error *err);
/* Decodes a part that is kept whole, and checks its hash. Threads: the pool. */
lort_code lort_reading_check_raw(lort_reading *reading, const lort_part *part, lort_error *err);

/* The work of lort_verify on an archive that is open and started; in commands/verify.c. */
lort_code lort_reading_verify(lort_reading *reading, lort_error *err);

/* Tells the meter that the command will read parts [first, first + count). lort_reading_start did
 * so for all. */
void lort_reading_expect(lort_reading *reading, uint64_t first, uint64_t count);
/* Begins the work on a part, for those who watch. */
void lort_reading_begin(lort_reading *reading, const lort_part *part);
/* Ends the work on a part: releases its pages, tells the observer, and asks whether to stop. */
lort_code lort_reading_done(lort_reading *reading, const lort_part *part, lort_error *err);
/* Puts "tensor NAME: " or "part N: " before the message; returns its code. */
lort_code lort_reading_name_error(const lort_part *part, lort_error *err);
/* Leaves the entry of one tensor in the report, and makes the work that of its part. Call before
 * lort_reading_start. */
lort_code lort_reading_list_one(lort_reading *reading, const lort_part *part, lort_error *err);
/* Fills the report entries of an archive's tensors, the input figures, bpw and errors. */
lort_code lort_reading_list(const lort_archive *archive, lort_report *report, lort_error *err);

#endif
