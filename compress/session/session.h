/* session: the budget, the pool, the scratch of each worker, the report and the observer of a
 * command. The room owns what every command runs on, the report, and the one table of reasons. It
 * must not print, except the JSON report to stdout, and decides nothing about tensors. */
#ifndef LORT_COMPRESS_SESSION_SESSION_H
#define LORT_COMPRESS_SESSION_SESSION_H

#include "compress/coder/block.h"
#include "compress/lort.h"
#include "compress/session/course.h"
#include "compress/session/host.h"
#include "compress/session/meter.h"
#include "formats/container/container.h"
#include "formats/inputs/imatrix.h"
#include "loader/machine/budget.h"
#include "loader/machine/memory.h"
#include "loader/machine/pool.h"
#include "loader/machine/topology.h"
#include "loader/store/codec.h"
#include <stdatomic.h>

/* The buffers that a worker, or a slot of a commit window, needs to encode or decode a chunk. */
typedef struct lort_scratch {
    lort_codec *codec; /* NULL in slots: they use that of the worker */
    uint8_t *bytes;    /* [size]: source or decoded bytes */
    uint8_t *planes;   /* [size]: the same bytes as byte planes */
    uint8_t *coded;    /* [coded_size]: the zstd frame; NULL if only for reading */
    uint64_t size, coded_size;
    lort_block_space block; /* for blocks of integers or trits; zero: none */
} lort_scratch;

typedef struct lort_session {
    lort_report *report;
    const lort_observer *observer;
    lort_host host; /* entered from open to close */
    lort_budget *budget;
    lort_budget *spare; /* part of the budget for held coded blocks; NULL: none */
    lort_alloc alloc;   /* the budget; it samples memory when a large block goes back */
    lort_memory memory;
    lort_topology topology;
    lort_pool *pool;
    unsigned threads;
    lort_scratch *scratch;                           /* [threads] */
    uint64_t start_ns, base_anon;                    /* at open: the clock, and anonymous memory */
    double time_limit;                               /* seconds from start_ns; 0: no limit */
    bool offline;                                    /* names of models: no network */
    bool spool_keep;                                 /* as in lort_options; spool too */
    const char *spool, *beside;                      /* beside: the output; NULL: none */
    _Atomic uint64_t peak_anon, peak_file, peak_rss; /* by lort_session_sample */
    uint64_t stall_start_us;
    uint64_t reserved, spare_bytes;
    uint64_t done_bytes, total_bytes, out_bytes, tensors_done, tensors_total;
    double worst_error;
    lort_meter meter;
    lort_course course;                          /* of the thread that opened the session alone */
    const void *thread;                          /* stands for the thread that opened the session */
    uint64_t said_ns;                            /* the last event */
    lort_phase phase_before;                     /* READING_BACK */
    uint64_t back_bytes;                         /* read back of the present file */
    _Atomic(const lort_tensor_report *) at_work; /* the tensor that was begun last; NULL: none */
    struct lort_covariance_file *covariance;     /* with --covariance; else NULL */
    const lort_imatrix *imatrix;                 /* with --imatrix; else NULL */
    struct lort_base *base;                      /* compress, plan: with --base; else NULL */
} lort_session;

/* Sets the floating-point environment. Starts BLAS if the command computes with it, and maps the
 * buffers of its threads (math/blas.h). Probes memory and topology, fills the
 * memory figures of the report, and opens a budget. Its limit holds from here on: it is
 * lort_session_limit less the memory of the process, and at least 8 MiB. So headers and records are
 * parsed within it. Once a plan counts the memory of the process itself, the plan sets the limit to
 * lort_session_limit. The report counts in the budget. memory_bytes: as --memory; 0: none given.
 * threads: 0: the default of the topology. observer: may be NULL. Close the session after a failure
 * too. */
lort_code lort_session_open(lort_session *session, lort_command command, uint64_t memory_bytes,
                            unsigned threads, const lort_observer *observer, lort_report *report,
                            lort_error *err);
/* The same for a command that has no workers: no topology, and no BLAS. */
lort_code lort_session_open_reader(lort_session *session, lort_command command,
                                   uint64_t memory_bytes, const lort_observer *observer,
                                   lort_report *report, lort_error *err);
/* Checks that OpenBLAS has the kernels that blas_core of the options asks for; NULL: any. Call it
 * after lort_session_open, for a command with BLAS. On failure: LORT_E_USAGE. */
lort_code lort_session_check_core(lort_session *session, const char *asked, lort_error *err);
/* The most bytes so far: of the process when the session was opened, and of the budget. */
uint64_t lort_session_peak(const lort_session *session);
/* Adds the path and the memory limit to the message of LORT_E_MEMORY; leaves others as they are.
 * Notes the path as the file of a failure to read it, unless a nearer file is noted.
 * Returns code. */
lort_code lort_session_name_limit(const lort_session *session, const char *path, lort_code code,
                                  lort_error *err);
/* Starts the pool with `threads` workers and opens the scratch of each, for chunks of chunk_bytes
 * and for the blocks of `blocks`. Reserves the memory that libraries take. The report has its
 * entries by now, and what it takes later does not count. A warning says if the system allows fewer
 * threads. */
lort_code lort_session_start(lort_session *session, unsigned threads, int zstd_level,
                             uint64_t chunk_bytes, const lort_block_need *blocks, lort_error *err);
/* Reserves `bytes` for coded blocks that are held until they are written. Call after
 * lort_session_start. */
lort_code lort_session_spare(lort_session *session, uint64_t bytes, lort_error *err);
/* The allocator of that reserve, or NULL if fewer than `bytes` are left. Callers assume that a held
 * block takes at most one byte per weight. */
const lort_alloc *lort_session_spare_alloc(const lort_session *session, uint64_t bytes);
/* The bytes that lort_session_start takes in an open session. */
uint64_t lort_session_cost(const lort_session *session, unsigned threads, int zstd_level,
                           uint64_t chunk_bytes, const lort_block_need *blocks);
/* The limit of the budget: exactly memory_bytes; 0: LORT_MEMORY_SHARE of the available memory. */
uint64_t lort_session_limit(const lort_session *session, uint64_t memory_bytes);
/* Fails with LORT_E_MEMORY: tensor `name` (NULL: the buffers) needs `smallest` bytes even with one
 * worker, and the limit is `limit`. The message names the smallest --memory that would do. */
lort_code lort_session_refuse(const char *name, uint64_t name_bytes, uint64_t smallest,
                              uint64_t limit, lort_error *err);
/* Fills the figures of the whole run, frees the session and gives the host its state back. Safe
 * after a failed open. */
void lort_session_close(lort_session *session);

/* Samples the memory of the process for the peaks. Any thread may call. */
void lort_session_sample(lort_session *session);
/* LORT_E_STOPPED if the observer asks to stop, or the time limit is reached. Any thread may call.
 * On the thread that opened the session it sends a PROGRESS event, if the last event is old. */
lort_code lort_session_check_stop(lort_session *session, lort_error *err);
/* True if lort_session_check_stop fails; fits callbacks. session: a lort_session. */
bool lort_session_stops(void *session);
/* Sends an event with the figures of the session to the observer. tensor and text may be NULL. */
void lort_session_say(lort_session *session, lort_event_kind kind, const lort_tensor_report *tensor,
                      const char *text);
/* The meter of the session (meter.h): a phase begins or goes on; a piece is finished; work within a
 * piece. Entering sends a PROGRESS event. Any thread may call the others. */
void lort_session_enter(lort_session *session, lort_phase phase);
/* All work is done: sends a last PROGRESS event, which says so. */
void lort_session_end(lort_session *session);
/* For lort_publish_options. The phase is READING_BACK while a file is read back. A byte costs 1. */
void lort_session_reads_back(void *session, uint64_t done, uint64_t total);
void lort_session_did(lort_session *session, uint64_t cost, uint64_t bytes, uint64_t tensors);
void lort_session_tick(lort_session *session, uint64_t cost);
/* Notes the tensor in work for PROGRESS events. entry: of the report, or NULL. Any thread may call.
 */
void lort_session_work_on(lort_session *session, const lort_tensor_report *entry);
/* Adds a warning to the report and sends it to the observer, unless the report has it already. */
void lort_session_warn(lort_session *session, const char *format, ...) LORT_PRINTF(2, 3);
/* The same for a finished text; a lort_warn_fn. session: a lort_session. */
void lort_session_warn_text(void *session, const char *text);
/* Seconds since lort_session_open. */
double lort_session_seconds(const lort_session *session);

/* Takes the buffers of a scratch for chunks of chunk_bytes. Codec and block are opened apart. */
lort_code lort_scratch_open(lort_scratch *scratch, const lort_alloc *alloc, uint64_t chunk_bytes,
                            lort_error *err);
/* The same for reading only: no buffer for encoded chunks. */
lort_code lort_scratch_open_read(lort_scratch *scratch, const lort_alloc *alloc,
                                 uint64_t chunk_bytes, lort_error *err);
void lort_scratch_close(lort_scratch *scratch, const lort_alloc *alloc);

#endif
