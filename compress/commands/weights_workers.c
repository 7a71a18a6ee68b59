/* weights_workers: the workers of a handle. Their memory stays with the handle, so that reading
 * many small tensors does not take it again and again. */
#include "compress/commands/weights_parts.h"
#include <string.h>

#define MOST_WORKERS 256 /* that a program may ask for; 0 threads: all cores, however many */

/* What a further worker takes in libraries. */
static uint64_t worker_libraries(const lort_weights *w)
{
    return LORT_POOL_STACK + (w->input.archive ? lort_codec_memory(LORT_ZSTD_LEVEL_DEFAULT) : 0);
}

static void close_worker(lort_weights *w, lort_scratch *scratch)
{
    lort_scratch_close(scratch, w->alloc);
    lort_budget_release(w->session.budget, worker_libraries(w));
}

static lort_code open_worker(lort_weights *w, lort_scratch *scratch, lort_error *err)
{
    lort_code code = lort_budget_reserve(w->session.budget, worker_libraries(w), "libraries", err);
    if (code)
        return code;
    code = lort_scratch_open_read(scratch, w->alloc, w->chunk, err);
    if (code == LORT_OK && w->input.archive)
        code = lort_codec_open(LORT_ZSTD_LEVEL_DEFAULT, &scratch->codec, err);
    if (code == LORT_OK && w->input.archive)
        code = lort_block_space_open(&scratch->block, w->alloc, &w->blocks, err);
    if (code)
        close_worker(w, scratch);
    return code;
}

/* Changes the length of the list of workers. On failure it stays as it is. */
static bool resize_list(lort_weights *w, unsigned count, unsigned keep)
{
    void *memory;
    if (lort_take_zero(w->alloc, count * sizeof(lort_scratch), "workers", &memory, NULL))
        return false;
    memcpy(memory, w->session.scratch, keep * sizeof(lort_scratch));
    lort_give(w->alloc, w->session.scratch, w->listed * sizeof(lort_scratch));
    w->session.scratch = memory;
    w->listed = count;
    return true;
}

bool lort_weights_drop_workers(lort_weights *w)
{
    lort_session *session = &w->session;
    const bool any = session->threads > 1;
    lort_pool_close(session->pool);
    session->pool = NULL;
    while (session->threads > 1)
        close_worker(w, &session->scratch[--session->threads]);
    return any;
}

/* Opens workers until there are `count`, or until the memory ends. */
static void open_workers(lort_weights *w, unsigned count)
{
    lort_session *session = &w->session;
    if (count > w->listed && !resize_list(w, count, session->threads))
        return;
    while (session->threads < count &&
           open_worker(w, &session->scratch[session->threads], NULL) == LORT_OK)
        session->threads++;
}

static unsigned wanted_workers(lort_weights *w, unsigned threads)
{
    if (threads == 0 && w->cores == 0) {
        lort_topology topology;
        w->cores = lort_topology_probe(NULL, "", &topology, NULL) ? 1 : topology.threads;
    }
    return threads == 0 ? w->cores : threads < MOST_WORKERS ? threads : MOST_WORKERS;
}

unsigned lort_weights_workers(lort_weights *w, unsigned threads, int64_t items)
{
    lort_session *session = &w->session;
    unsigned started = 1;
    const unsigned most = items > 1 ? wanted_workers(w, threads) : 1,
                   open = lort_pool_workers(session->pool);
    threads = items < (int64_t)most ? (unsigned)items : most;
    if (threads <= 1 || (open >= threads && open <= most))
        return threads <= 1 ? 1 : open;
    if (threads > session->threads)
        open_workers(w, threads);
    threads = threads < session->threads ? threads : session->threads;
    if (threads == 1 || open == threads)
        return threads;
    lort_pool_close(session->pool);
    session->pool = NULL;
    if (lort_pool_open(threads, &session->pool, &started, NULL))
        return 1;
    return started;
}
