/* session: what every command runs on - ledger, pool, per-worker scratch, the report and the
 * observer. Prints nothing. */
#ifndef LORT_COMPRESS_SESSION_SESSION_H
#define LORT_COMPRESS_SESSION_SESSION_H

#include "compress/coder/block.h"
#include "compress/lort.h"
#include "formats/container/container.h"
#include "formats/inputs/imatrix.h"
#include "loader/machine/budget.h"
#include "loader/machine/memory.h"
#include "loader/machine/pool.h"
#include "loader/machine/topology.h"
#include "loader/store/codec.h"
#include <stdatomic.h>

/* of what is available: the threshold of full mode, and the ledger's limit */
#define LORT_MEMORY_SHARE 0.80

/* What one worker (or one slot of a commit window) needs to encode or decode a chunk. */
typedef struct lort_scratch {
    lort_codec *codec; /* NULL for slots: they use the worker's */
    uint8_t *bytes;    /* source or decoded bytes, `size` of them */
    uint8_t *planes;   /* split form, `size` of them */
    uint8_t *coded;    /* encoded frame, `coded_size` of them */
    uint64_t size, coded_size;
    lort_block_space block; /* of quantised weights; zero where there are none */
} lort_scratch;

typedef struct lort_session {
    lort_report *report;
    const lort_observer *observer;
    lort_budget *budget;
    lort_budget *spare; /* a part of the ledger for coded blocks that may be held; NULL: none */
    lort_alloc alloc;   /* the ledger, sampling anonymous memory whenever a large block goes back */
    lort_memory memory;
    lort_topology topology;
    lort_pool *pool;
    unsigned threads;
    lort_scratch *scratch; /* [threads] */
    uint64_t start_ns, base_anon;
    double time_limit;                               /* seconds from start_ns; 0: none */
    _Atomic uint64_t peak_anon, peak_file, peak_rss; /* sampled; see lort_session_sample */
    uint64_t stall_start_us;
    uint64_t reserved, spare_bytes;
    uint64_t done_bytes, total_bytes, out_bytes, tensors_done, tensors_total;
    double worst_error;
    const lort_imatrix *imatrix; /* compress and plan with --imatrix, else NULL */
} lort_session;

/* Probes memory and topology, fills the report's memory part, opens a ledger without limit yet.
 * threads 0 = the topology's default. */
lort_code lort_session_open(lort_session *session, lort_command command, uint64_t memory_bytes,
                            unsigned threads, const lort_observer *observer, lort_report *report,
                            lort_error *err);
/* Starts the pool with `threads` workers and gives each its scratch (chunks up to `chunk_bytes`,
 * room for such blocks); books what libraries take. */
lort_code lort_session_start(lort_session *session, unsigned threads, int zstd_level,
                             uint64_t chunk_bytes, const lort_block_need *blocks, lort_error *err);
/* Books `bytes` for blocks that may be held until they are written; after lort_session_start. */
lort_code lort_session_spare(lort_session *session, uint64_t bytes, lort_error *err);
/* What that comes from, or NULL where `bytes` of it are not left. Blocks of a slice are taken to
 * have a byte a weight at most. */
const lort_alloc *lort_session_spare_alloc(const lort_session *session, uint64_t bytes);
/* Bytes lort_session_start makes the process take. */
uint64_t lort_session_cost(unsigned threads, int zstd_level, uint64_t chunk_bytes,
                           const lort_block_need *blocks);
/* Default ledger limit: LORT_MEMORY_SHARE of available, or exactly --memory. */
uint64_t lort_session_limit(const lort_session *session, uint64_t memory_bytes);
/* LORT_E_MEMORY: tensor `name` (NULL: the buffers) makes the run take `smallest` bytes even with
 * one worker. The smallest --memory that would do is said. */
lort_code lort_session_refuse(const char *name, uint64_t name_bytes, uint64_t smallest,
                              uint64_t limit, lort_error *err);
/* fills the report's figures of the whole run; safe after a failed open */
void lort_session_close(lort_session *session);

void lort_session_sample(lort_session *session); /* peak memory so far; called by any thread */
/* LORT_E_STOPPED if the observer asks for it or the time is up; any thread. */
lort_code lort_session_check_stop(const lort_session *session, lort_error *err);
bool lort_session_stops(void *session); /* the same as a question */
void lort_session_say(lort_session *session, lort_event_kind kind, const lort_tensor_report *tensor,
                      const char *text);
/* report and observer */
void lort_session_warn(lort_session *session, const char *format, ...) LORT_PRINTF(2, 3);
/* a lort_warn_fn */
void lort_session_warn_text(void *session, const char *text);
double lort_session_seconds(const lort_session *session);

lort_code lort_scratch_open(lort_scratch *scratch, const lort_alloc *alloc, uint64_t chunk_bytes,
                            lort_error *err);
/* bytes and planes alone */
lort_code lort_scratch_open_read(lort_scratch *scratch, const lort_alloc *alloc,
                                 uint64_t chunk_bytes, lort_error *err);
void lort_scratch_close(lort_scratch *scratch, const lort_alloc *alloc);

#endif
