/* pool: one mutex guards everything. Work and commit run outside it.
 *
 * Active runs form a stack. A worker takes the next item of the newest run that has one to give:
 *
 *     0 .... committed ............ next .... stop .......... n
 *      committed   |  in work or done  | waiting | never started
 *                  |<---- window ----->|
 *
 * next - committed <= window. `stop` is n, or the lowest item that failed.
 *
 * LoRT starts items in order. So when LoRT sets `stop`, every lower item has started and will
 * finish. That finds the lowest failure, whatever the timing. The caller of a run works on its own
 * run, commits, and waits for items in work. Workers never wait for each other, so nesting cannot
 * deadlock. A caller from outside helps newer runs while it waits. A caller inside an item or a
 * commit does not: its scratch would be used twice. */
#include "loader/machine/pool.h"

#include "loader/os/os.h"
#include <stdlib.h>

typedef struct run {
    struct run *below;
    lort_work_fn *work;
    lort_commit_fn *commit;
    void *ctx;
    int64_t next, committed, stop;
    unsigned window, running;
    bool *done; /* per slot: worked, not committed; NULL: a run without window */
    lort_error failure;
} run;

typedef struct worker {
    lort_pool *pool;
    lort_thread *thread;
    unsigned number;
} worker;

struct lort_pool {
    lort_mutex *mutex;
    /* Workers wait here until somebody pushes a run, frees a slot, or closes the pool. */
    lort_cond *work_ready;
    lort_cond *item_done; /* callers wait here */
    run *top;
    bool closing;
    int64_t process; /* that started the threads; fork copies none of them */
    unsigned workers;
    worker worker[]; /* [0] is the caller and has no thread */
};

static _Thread_local const worker *self; /* for nested runs: the worker that this thread is */
static _Thread_local unsigned busy;      /* items and commits that this thread is inside */

/* True in a child of fork: no thread will ever work or leave a wait. */
static bool without_threads(const lort_pool *pool) { return pool->process != lort_os_process_id(); }

static bool has_item(const run *r)
{
    return r->next < r->stop && (!r->done || r->next - r->committed < (int64_t)r->window);
}

static void fail_at(run *r, int64_t item, lort_code code, const lort_error *error)
{
    if (item >= r->stop)
        return;
    r->stop = item;
    r->failure = *error;
    r->failure.code = code;
}

/* The caller holds the mutex, before and after. */
static void work_one(lort_pool *pool, run *r, unsigned number)
{
    lort_error error = {0};
    int64_t item = r->next++;
    unsigned slot = r->done ? (unsigned)(item % r->window) : 0;
    r->running++;
    lort_os_unlock_mutex(pool->mutex);
    busy++;
    lort_code code = r->work(r->ctx, item, number, slot, &error);
    busy--;
    lort_os_lock_mutex(pool->mutex);
    r->running--;
    if (code)
        fail_at(r, item, code, &error);
    else if (r->done)
        r->done[slot] = true;
    lort_os_wake_all(pool->item_done);
}

static bool commit_ready(const run *r)
{
    return r->done && r->committed < r->stop && r->done[r->committed % r->window];
}

static void commit_one(lort_pool *pool, run *r)
{
    lort_error error = {0};
    lort_code code = LORT_OK;
    int64_t item = r->committed;
    unsigned slot = (unsigned)(item % r->window);
    r->done[slot] = false;
    if (r->commit) {
        lort_os_unlock_mutex(pool->mutex);
        busy++;
        code = r->commit(r->ctx, item, slot, &error);
        busy--;
        lort_os_lock_mutex(pool->mutex);
    }
    if (code)
        fail_at(r, item, code, &error);
    else
        r->committed++;
    lort_os_wake_all(pool->work_ready);
}

/* The newest run with an item, from `top` down to `end` (not included); NULL if there is none. */
static run *newest_with_item(run *top, const run *end)
{
    while (top != end && !has_item(top))
        top = top->below;
    return top == end ? NULL : top;
}

static void worker_main(void *ctx)
{
    const worker *me = ctx;
    lort_pool *pool = me->pool;
    self = me;
    lort_os_lock_mutex(pool->mutex);
    for (;;) {
        run *r = newest_with_item(pool->top, NULL);
        if (r)
            work_one(pool, r, me->number);
        else if (pool->closing)
            break;
        else
            lort_os_wait(pool->work_ready, pool->mutex);
    }
    lort_os_unlock_mutex(pool->mutex);
}

static void drive_run(lort_pool *pool, run *r)
{
    unsigned number = self && self->pool == pool ? self->number : 0;
    lort_os_lock_mutex(pool->mutex);
    r->below = pool->top;
    pool->top = r;
    lort_os_wake_all(pool->work_ready);
    lort_os_wake_all(pool->item_done); /* a caller from outside may wait there */
    for (;;) {
        run *other;
        if (commit_ready(r))
            commit_one(pool, r);
        else if (has_item(r))
            work_one(pool, r, number);
        else if (r->running && busy == 0 && (other = newest_with_item(pool->top, r)) != NULL)
            work_one(pool, other, number);
        else if (r->running)
            lort_os_wait(pool->item_done, pool->mutex);
        else
            break;
    }
    run **link = &pool->top; /* not always the top: workers may start runs too */
    while (*link != r)
        link = &(*link)->below;
    *link = r->below;
    lort_os_unlock_mutex(pool->mutex);
}

static lort_code finish_item(const run *r, lort_error *err)
{
    if (r->failure.code && err)
        *err = r->failure;
    return r->failure.code;
}

static lort_code run_inline(run *r, lort_error *err)
{
    for (int64_t item = 0; item < r->stop; item++) {
        unsigned slot = r->window ? (unsigned)(item % r->window) : 0;
        lort_error error = {0};
        lort_code code = r->work(r->ctx, item, 0, slot, &error);
        if (!code && r->commit)
            code = r->commit(r->ctx, item, slot, &error);
        if (code)
            fail_at(r, item, code, &error);
    }
    return finish_item(r, err);
}

lort_code lort_pool_run(lort_pool *pool, int64_t n, unsigned window, lort_work_fn *work,
                        lort_commit_fn *commit, void *ctx, lort_error *err)
{
    run r = {.work = work, .commit = commit, .ctx = ctx, .stop = n, .window = window ? window : 1};
    if (!pool || without_threads(pool))
        return run_inline(&r, err);
    /* A run with fewer items than the window needs no more slots than items. */
    uint64_t slots = n < (int64_t)r.window ? (n > 0 ? (uint64_t)n : 1) : r.window;
    r.done = calloc((size_t)slots, sizeof *r.done);
    if (!r.done)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a run of %u slots", r.window);
    drive_run(pool, &r);
    free(r.done);
    return finish_item(&r, err);
}

lort_code lort_pool_each(lort_pool *pool, int64_t n, lort_work_fn *work, void *ctx, lort_error *err)
{
    run r = {.work = work, .ctx = ctx, .stop = n};
    if (!pool || without_threads(pool))
        return run_inline(&r, err);
    drive_run(pool, &r);
    return finish_item(&r, err);
}

static unsigned start_workers(lort_pool *pool, unsigned threads)
{
    unsigned number = 1;
    for (; number < threads; number++) {
        worker *w = &pool->worker[number];
        *w = (worker){.pool = pool, .number = number};
        if (lort_os_thread_start(worker_main, w, LORT_POOL_STACK, &w->thread, NULL) != LORT_OK)
            break;
    }
    return number;
}

lort_code lort_pool_open(unsigned threads, lort_pool **out, unsigned *started, lort_error *err)
{
    unsigned count = threads ? threads : 1;
    lort_pool *pool = calloc(1, sizeof *pool + count * sizeof pool->worker[0]);
    lort_code code =
        pool ? LORT_OK : lort_fail(err, LORT_E_MEMORY, "no memory for a pool of %u workers", count);
    *out = NULL;
    if (started)
        *started = 0;
    if (!code)
        code = lort_os_mutex_open(&pool->mutex, err);
    if (!code)
        code = lort_os_cond_open(&pool->work_ready, err);
    if (!code)
        code = lort_os_cond_open(&pool->item_done, err);
    if (code) {
        lort_pool_close(pool);
        return code;
    }
    pool->process = lort_os_process_id();
    pool->workers = start_workers(pool, count);
    if (started)
        *started = pool->workers;
    *out = pool;
    return LORT_OK;
}

void lort_pool_close(lort_pool *pool)
{
    if (!pool)
        return;
    if (pool->workers && without_threads(pool))
        return; /* to destroy what threads wait for would wait for them; the memory stays taken */
    if (pool->workers) {
        lort_os_lock_mutex(pool->mutex);
        pool->closing = true;
        lort_os_wake_all(pool->work_ready);
        lort_os_unlock_mutex(pool->mutex);
    }
    for (unsigned i = 1; i < pool->workers; i++)
        lort_os_thread_join(pool->worker[i].thread);
    lort_os_cond_close(pool->item_done);
    lort_os_cond_close(pool->work_ready);
    lort_os_mutex_close(pool->mutex);
    free(pool);
}

unsigned lort_pool_workers(const lort_pool *pool)
{
    return pool && !without_threads(pool) ? pool->workers : 1;
}

unsigned lort_pool_window(const lort_pool *pool) { return pool ? 2 * lort_pool_workers(pool) : 1; }
