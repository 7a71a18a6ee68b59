/* model_ahead: the thread that reads ahead. It decides nothing and holds no memory: its pages
 * belong to the page cache. */
#include "loader/model/model_parts.h"

/* LoRT asks the disk for two pieces at once: it waits for one while the other follows. */
#define PIECE_BYTES ((uint64_t)4 << 20)
#define STACK_BYTES (64u << 10)

/* Advises one piece from a position that counts all files as one. Returns the bytes to the end of
 * the piece or of its file; 0 past the last file. */
static uint64_t advise_range(lort_model *model, uint64_t at, lort_advice advice)
{
    for (uint32_t i = 0; i < model->file_count; i++) {
        const lort_model_entry *entry = &model->files[i];
        if (at >= entry->info.size) {
            at -= entry->info.size;
            continue;
        }
        const uint64_t rest = entry->info.size - at, n = rest < PIECE_BYTES ? rest : PIECE_BYTES;
        if (entry->map)
            lort_os_map_advise(entry->map, at, n, advice, false);
        return n;
    }
    return 0;
}

/* Returns false if both ranges are empty: there is nothing to read. */
static bool turn_to_next(lort_model_ahead *ahead)
{
    if (ahead->at >= ahead->end) {
        ahead->at = ahead->next;
        ahead->end = ahead->next_end;
        ahead->next = ahead->next_end;
    }
    return ahead->at < ahead->end;
}

/* Waits for a range and returns it in *at, *end. Returns false when the model closes. */
static bool wait_for_work(lort_model_ahead *ahead, uint64_t *at, uint64_t *end)
{
    lort_os_lock_mutex(ahead->lock);
    while (!ahead->closing && !turn_to_next(ahead))
        lort_os_wait(ahead->wake, ahead->lock);
    *at = ahead->at;
    *end = ahead->end;
    const bool more = !ahead->closing;
    lort_os_unlock_mutex(ahead->lock);
    return more;
}

/* Moves the position on, unless another range has taken the place of this one. */
static void move_on(lort_model_ahead *ahead, uint64_t from, uint64_t to)
{
    lort_os_lock_mutex(ahead->lock);
    if (ahead->at == from)
        ahead->at = to;
    lort_os_unlock_mutex(ahead->lock);
}

static void run_ahead(void *ctx)
{
    lort_model *model = ctx;
    uint64_t at, end, advised = 0;
    while (wait_for_work(&model->ahead, &at, &end)) {
        if (advised < at || advised > at + 2 * PIECE_BYTES)
            advised = at;
        for (uint64_t n = 1; n && advised < end && advised < at + 2 * PIECE_BYTES; advised += n)
            n = advise_range(model, advised, LORT_WILL_NEED);
        const uint64_t n = advise_range(model, at, LORT_POPULATE);
        move_on(&model->ahead, at, n ? at + n : end);
    }
}

static bool start_ahead(lort_model *model)
{
    lort_model_ahead *ahead = &model->ahead;
    if (ahead->thread || ahead->refused)
        return ahead->thread != NULL;
    lort_code code = lort_os_mutex_open(&ahead->lock, NULL);
    if (code == LORT_OK)
        code = lort_os_cond_open(&ahead->wake, NULL);
    if (code == LORT_OK)
        code = lort_os_thread_start(run_ahead, model, STACK_BYTES, &ahead->thread, NULL);
    ahead->refused = code != LORT_OK;
    return code == LORT_OK;
}

void lort_model_ahead_ask(lort_model *model, uint64_t start_at, uint64_t end)
{
    lort_model_ahead *ahead = &model->ahead;
    if (!start_ahead(model))
        return;
    lort_os_lock_mutex(ahead->lock);
    const bool waits = ahead->next < ahead->next_end;
    if (waits && ahead->next <= start_at && start_at <= ahead->next_end)
        ahead->next_end = end > ahead->next_end ? end : ahead->next_end;
    else {
        if (waits) { /* the workers use this range by now */
            ahead->at = ahead->next;
            ahead->end = ahead->next_end;
        }
        /* Starts behind the range that is being read, if the two overlap. */
        ahead->next = ahead->at <= start_at && start_at < ahead->end ? ahead->end : start_at;
        ahead->next_end = end;
    }
    lort_os_wake_all(ahead->wake);
    lort_os_unlock_mutex(ahead->lock);
}

void lort_model_ahead_pass(lort_model *model, uint64_t start_at, uint64_t end)
{
    lort_model_ahead *ahead = &model->ahead;
    if (!ahead->thread)
        return;
    lort_os_lock_mutex(ahead->lock);
    if (start_at <= ahead->at && ahead->at < end)
        ahead->at = end;
    lort_os_unlock_mutex(ahead->lock);
}

void lort_model_ahead_close(lort_model *model)
{
    lort_model_ahead *ahead = &model->ahead;
    if (ahead->thread) {
        lort_os_lock_mutex(ahead->lock);
        ahead->closing = true;
        lort_os_wake_all(ahead->wake);
        lort_os_unlock_mutex(ahead->lock);
        lort_os_thread_join(ahead->thread);
    }
    if (ahead->wake)
        lort_os_cond_close(ahead->wake);
    if (ahead->lock)
        lort_os_mutex_close(ahead->lock);
    *ahead = (lort_model_ahead){.most = ahead->most, .refused = ahead->refused};
}
