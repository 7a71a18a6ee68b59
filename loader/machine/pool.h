/* pool: a bounded pool of workers with ordered commit. The caller is worker 0 and works too, so a
 * pool of 1 has no threads.
 *
 * One primitive: items 0..n-1 are worked by any worker in any order, at most `window` of them
 * between work and commit, and committed in order by the caller's thread. Commit and work may start
 * a nested run on the same pool: its items go first, and the thread that starts it is its caller
 * and keeps its worker number. Nothing ever blocks on a worker that waits, so there is no deadlock
 * by nesting. From outside, one thread at a time runs something on a pool. */
#ifndef LORT_LOADER_MACHINE_POOL_H
#define LORT_LOADER_MACHINE_POOL_H

#include "formats/base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct lort_pool lort_pool;

/* Starts threads - 1 threads with small stacks; fewer, with *started saying how many work (caller
 * included), when the system refuses. */
lort_code lort_pool_open(unsigned threads, lort_pool **out, unsigned *started, lort_error *err);
void lort_pool_close(lort_pool *pool);             /* accepts NULL; no run may be active */
unsigned lort_pool_workers(const lort_pool *pool); /* NULL counts as 1 */
/* slots that keep them busy while one item waits to be committed; NULL: 1 */
unsigned lort_pool_window(const lort_pool *pool);
/* Stack bytes of one thread, for the memory plan. */
#define LORT_POOL_STACK (1u << 20)

/* item: 0..n-1. worker: 0..workers-1, for per-worker scratch. slot: item % window, for per-item
 * buffers. */
typedef lort_code lort_work_fn(void *ctx, int64_t item, unsigned worker, unsigned slot,
                               lort_error *err);
typedef lort_code lort_commit_fn(void *ctx, int64_t item, unsigned slot, lort_error *err);

/* Runs all items; commit may be NULL. The failure with the LOWEST item number is returned, whatever
 * the timing; items after a failure are not started (those in flight finish); all before it are
 * committed, none after it. window 0 is 1. pool NULL: inline. LORT_E_MEMORY where a flag per slot
 * cannot be had. */
lort_code lort_pool_run(lort_pool *pool, int64_t n, unsigned window, lort_work_fn *work,
                        lort_commit_fn *commit, void *ctx, lort_error *err);
/* The same without commit and window; slot is 0. */
lort_code lort_pool_each(lort_pool *pool, int64_t n, lort_work_fn *work, void *ctx,
                         lort_error *err);

/* Who does a piece of work: all of a pool, or, where pool is NULL, the worker that has it. */
typedef struct lort_work {
    lort_pool *pool;
    unsigned worker; /* whose scratch is used outside a run of the pool */
} lort_work;
/* The number of whoever works an item of a run by `work`: the pool's, or its own where there is no
 * pool. */
static inline unsigned lort_work_worker(lort_work work, unsigned worker)
{
    return work.pool ? worker : work.worker;
}

#endif
