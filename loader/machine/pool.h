/* pool: the room loader/machine owns what the machine has (memory, CPUs, threads) and what LoRT may
 * take. It must not read or write a model.
 *
 * This file owns a bounded pool of workers with ordered commit. The caller is worker 0 and works
 * too, so a pool of 1 has no threads.
 *
 * A run has items 0..n-1. Any worker works any item, in any order. The thread of the caller commits
 * them in order. At most `window` items are between work and commit. Work and commit may start a
 * nested run on the same pool. Items of the nested run go first. The thread that starts it is its
 * caller and keeps its worker number. No thread waits for a worker that waits, so nesting cannot
 * deadlock. From outside, one thread at a time runs something on a pool. */
#ifndef LORT_LOADER_MACHINE_POOL_H
#define LORT_LOADER_MACHINE_POOL_H

#include "formats/base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct lort_pool lort_pool;

/* fork copies no threads. In the child a pool of its parent counts as NULL, and closing it leaves
 * its memory.
 *
 * Starts threads - 1 threads with stacks of LORT_POOL_STACK bytes, or fewer if the system refuses.
 * *started (may be NULL): number of workers, caller included. On failure: LORT_E_MEMORY. */
lort_code lort_pool_open(unsigned threads, lort_pool **out, unsigned *started, lort_error *err);
void lort_pool_close(lort_pool *pool);             /* accepts NULL; no run may be active */
unsigned lort_pool_workers(const lort_pool *pool); /* NULL counts as 1 */
/* The window to use: two slots per worker, 1 for NULL. So all workers stay busy while one item
 * waits for its commit. */
unsigned lort_pool_window(const lort_pool *pool);
/* Stack of one thread in bytes; the memory plan counts it. */
#define LORT_POOL_STACK (1u << 20)

/* item: 0..n-1. worker: 0..workers-1, selects the scratch of the worker. slot: item % window,
 * selects the buffers of the item. */
typedef lort_code lort_work_fn(void *ctx, int64_t item, unsigned worker, unsigned slot,
                               lort_error *err);
typedef lort_code lort_commit_fn(void *ctx, int64_t item, unsigned slot, lort_error *err);

/* Runs all items. commit may be NULL. window 0 counts as 1. pool NULL: all in this thread.
 *
 * On failure: returns the failure with the LOWEST item number, whatever the timing. LoRT starts no
 * item after a failure, and lets items in work finish. It commits all items before the failure, and
 * none after it. LORT_E_MEMORY if there is no memory for one flag per slot. */
lort_code lort_pool_run(lort_pool *pool, int64_t n, unsigned window, lort_work_fn *work,
                        lort_commit_fn *commit, void *ctx, lort_error *err);
/* Like lort_pool_run, without commit and window; slot is 0. */
lort_code lort_pool_each(lort_pool *pool, int64_t n, lort_work_fn *work, void *ctx,
                         lort_error *err);

/* Who does a piece of work: all workers of a pool or, where pool is NULL, one worker. */
typedef struct lort_work {
    lort_pool *pool;
    unsigned worker; /* its scratch is used outside a run of the pool */
} lort_work;
/* The number of the worker of an item in a run by `work`. With a pool: the number that the pool
 * gave. Without: the number in `work`. */
static inline unsigned lort_work_worker(lort_work work, unsigned worker)
{
    return work.pool ? worker : work.worker;
}

#endif
