/* publish_along: reads an output back while it is written, on a thread of its own. A range is read
 * once it is on the disk and has left the page cache (lort_os_flush_behind). So the read-back of a
 * long output costs little time at the end.
 *
 *   file    |  read back  |  on the disk  |  on its way  |  fills  |
 *           0             at              ready          flushed   size
 */
#include "loader/store/publish_parts.h"

#define PIECE_BYTES (1u << 20)
#define STACK_BYTES (256u << 10)

struct lort_publish_along {
    const lort_alloc *alloc;
    lort_file *file; /* belongs to the publish */
    lort_mutex *mutex;
    lort_cond *changed;
    lort_thread *thread;
    lort_hasher *hasher; /* of bytes [0, at) */
    void *piece;
    uint64_t at, ready; /* the mutex guards them, and the rest */
    bool ending;
    lort_code code; /* the first failure, with its message */
    lort_error error;
};

/* Waits for the next range. Returns its bytes, at most one piece; 0: there will be none. */
static uint64_t next_range(lort_publish_along *a)
{
    lort_os_lock_mutex(a->mutex);
    while (a->at == a->ready && !a->ending)
        lort_os_wait(a->changed, a->mutex);
    const uint64_t left = a->ready - a->at;
    lort_os_unlock_mutex(a->mutex);
    return left < PIECE_BYTES ? left : PIECE_BYTES;
}

/* The function of the thread. */
static void read_along(void *ctx)
{
    lort_publish_along *a = ctx;
    for (uint64_t n; a->code == LORT_OK && (n = next_range(a)) > 0;) {
        a->code = lort_os_read(a->file, a->piece, n, a->at, &a->error);
        if (a->code)
            return;
        lort_hasher_add(a->hasher, a->piece, n);
        lort_os_lock_mutex(a->mutex);
        a->at += n;
        lort_os_unlock_mutex(a->mutex);
    }
}

static lort_code open_along(lort_publish_along *a, lort_error *err)
{
    lort_code code = lort_take(a->alloc, PIECE_BYTES, "reading back", &a->piece, err);
    if (code == LORT_OK)
        code = lort_hasher_open(a->alloc, &a->hasher, err);
    if (code == LORT_OK)
        code = lort_os_mutex_open(&a->mutex, err);
    if (code == LORT_OK)
        code = lort_os_cond_open(&a->changed, err);
    return code ? code : lort_os_thread_start(read_along, a, STACK_BYTES, &a->thread, err);
}

/* Without memory or a thread the file is read back at the end, as others are. */
void lort_publish_along_ready(lort_publish *p, uint64_t bytes)
{
    void *memory;
    if (!p->options.reads_along || p->options.directory)
        return;
    if (!p->along) {
        if (lort_take_zero(p->alloc, sizeof *p->along, "reading back", &memory, NULL))
            return;
        p->along = memory;
        *p->along = (lort_publish_along){.alloc = p->alloc, .file = p->file};
        if (open_along(p->along, NULL)) {
            lort_publish_along_close(p);
            p->options.reads_along = false;
            return;
        }
    }
    lort_os_lock_mutex(p->along->mutex);
    p->along->ready = bytes;
    lort_os_wake_all(p->along->changed);
    lort_os_unlock_mutex(p->along->mutex);
}

static void end_thread(lort_publish_along *a)
{
    if (!a->thread)
        return;
    lort_os_lock_mutex(a->mutex);
    a->ending = true;
    lort_os_wake_all(a->changed);
    lort_os_unlock_mutex(a->mutex);
    lort_os_thread_join(a->thread);
    a->thread = NULL;
}

lort_code lort_publish_along_take(lort_publish *p, lort_hasher *hasher, uint64_t *bytes,
                                  lort_error *err)
{
    lort_publish_along *a = p->along;
    *bytes = 0;
    if (!a)
        return LORT_OK;
    end_thread(a);
    const lort_code code = a->code;
    if (code && err)
        *err = a->error;
    if (code == LORT_OK) {
        lort_hasher_copy(hasher, a->hasher);
        *bytes = a->at;
    }
    lort_publish_along_close(p);
    return lort_publish_of_output(code, err);
}

void lort_publish_along_close(lort_publish *p)
{
    lort_publish_along *a = p->along;
    if (!a)
        return;
    end_thread(a);
    if (a->changed)
        lort_os_cond_close(a->changed);
    if (a->mutex)
        lort_os_mutex_close(a->mutex);
    lort_hasher_close(a->hasher);
    lort_give(a->alloc, a->piece, PIECE_BYTES);
    lort_give(a->alloc, a, sizeof *a);
    p->along = NULL;
}
