/* spool_fetch: who fetches what. A reader fetches the pages that it wants and that nobody fetches
 * yet, and waits for the others. Threads read ahead: first a file that is loaded into memory, then
 * ranges, in the order in which somebody asked for them.
 *
 * The first failure of a thread is the failure of the whole spool: the requests were repeated
 * already (loader/remote). */
#include "loader/spool/spool_parts.h"
#include <string.h>

#define STACK_BYTES (512u << 10)
#define PIECE_LEAST (1u << 20) /* of a load: smaller ones take more time to ask than to send */

/* ---- one claim ---- */

typedef struct filling {
    lort_spool *spool;
    const lort_spool_claim *claim;
    uint64_t at; /* in the file */
} filling;

static lort_code fill_slots(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    filling *f = ctx;
    const uint64_t first = f->claim->from / LORT_SPOOL_UNIT_PAGES;
    const uint8_t *from = bytes;
    lort_code code = LORT_OK;
    for (uint64_t some; n && code == LORT_OK; n -= some, from += some, f->at += some) {
        const uint64_t within = f->at % LORT_SPOOL_UNIT, room = LORT_SPOOL_UNIT - within;
        const uint32_t slot = f->claim->slots[f->at / LORT_SPOOL_UNIT - first];
        some = n < room ? n : room;
        code = lort_os_write(f->spool->file, from, some, (uint64_t)slot * LORT_SPOOL_UNIT + within,
                             err);
    }
    if (code == LORT_E_WRITE)
        lort_error_prefix(err, "the spool in %s; --spool DIR names another place",
                          lort_os_dir_path(f->spool->dir));
    return code;
}

/* Fetches a claim. The mutex is held before and after, and free meanwhile. */
static lort_code fetch_claim(lort_spool *spool, const lort_spool_claim *claim, lort_error *err)
{
    const lort_spool_file *file = claim->file;
    const uint64_t offset = claim->from * LORT_SPOOL_PAGE, end = claim->to * LORT_SPOOL_PAGE;
    filling f = {spool, claim, offset};
    lort_os_unlock_mutex(spool->mutex);
    lort_code code =
        lort_remote_fetch(spool->remote, file->number, offset,
                          (end < file->size ? end : file->size) - offset, fill_slots, &f, err);
    lort_os_lock_mutex(spool->mutex);
    lort_spool_settle(spool, claim, code ? f.at / LORT_SPOOL_PAGE : claim->to);
    lort_os_wake_all(spool->changed);
    return code;
}

static lort_code check_failed(const lort_spool *spool, lort_error *err)
{
    if (spool->failed.code == LORT_OK)
        return LORT_OK;
    if (err)
        *err = spool->failed;
    return spool->failed.code;
}

/* ---- readers ---- */

/* Brings pages here, or waits for them. The mutex is held. */
static lort_code bring(lort_spool *spool, lort_spool_file *file, uint64_t from, uint64_t to,
                       lort_error *err)
{
    lort_spool_claim claim;
    bool flight;
    lort_code code = LORT_OK;
    for (;;) {
        code = check_failed(spool, err);
        if (code == LORT_OK)
            code = lort_spool_claim_pages(spool, file, from, to, LORT_SPOOL_PIECE, &claim, err);
        if (code)
            return code;
        if (claim.from < claim.to)
            code = fetch_claim(spool, &claim, err);
        else if (lort_spool_here(file, from, to, &flight))
            return LORT_OK;
        else if (flight)
            lort_os_wait(spool->changed, spool->mutex);
        if (code)
            return code;
    }
}

lort_code lort_spool_bring(lort_spool *spool, lort_spool_file *file, uint64_t offset, uint64_t n,
                           lort_error *err)
{
    lort_os_lock_mutex(spool->mutex);
    lort_code code = bring(spool, file, offset / LORT_SPOOL_PAGE,
                           (offset + n + LORT_SPOOL_PAGE - 1) / LORT_SPOOL_PAGE, err);
    lort_os_unlock_mutex(spool->mutex);
    return code;
}

lort_code lort_spool_read(lort_spool *spool, lort_spool_file *file, void *buffer, uint64_t n,
                          uint64_t offset, lort_error *err)
{
    bool moved = true;
    lort_code code = LORT_OK;
    if (n == 0)
        return LORT_OK;
    while (moved && code == LORT_OK) {
        code = lort_spool_bring(spool, file, offset, n, err);
        if (code == LORT_OK)
            code = lort_spool_copy(spool, file, buffer, n, offset, &moved, err);
    }
    return code;
}

/* ---- loading ---- */

typedef struct landing {
    uint8_t *to;
} landing;

static lort_code fill_memory(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    landing *l = ctx;
    memcpy(l->to, bytes, n);
    l->to += n;
    return LORT_OK;
}

static lort_code fetch_to(lort_spool *spool, lort_spool_file *file, uint8_t *to, uint64_t n,
                          uint64_t offset, lort_error *err)
{
    landing l = {to};
    return lort_remote_fetch(spool->remote, file->number, offset, n, fill_memory, &l, err);
}

/* Pages that are here since the headers were read, and how many follow that are or are not. */
static bool run_of(lort_spool *spool, const lort_spool_file *file, uint64_t offset, uint64_t end,
                   uint64_t *run)
{
    bool flight, here = false;
    uint64_t page = offset / LORT_SPOOL_PAGE;
    const uint64_t last = (end + LORT_SPOOL_PAGE - 1) / LORT_SPOOL_PAGE;
    lort_os_lock_mutex(spool->mutex);
    if (file->units) {
        here = lort_spool_here(file, page, page + 1, &flight);
        while (page < last && lort_spool_here(file, page, page + 1, &flight) == here)
            page++;
    } else
        page = last;
    lort_os_unlock_mutex(spool->mutex);
    *run = (page * LORT_SPOOL_PAGE < end ? page * LORT_SPOOL_PAGE : end) - offset;
    return here;
}

static lort_code load_piece(lort_spool *spool, const lort_spool_load *load, uint64_t piece,
                            lort_error *err)
{
    const uint64_t start = load->from + piece * load->each, rest = load->file->size - start,
                   end = start + (rest < load->each ? rest : load->each);
    lort_code code = LORT_OK;
    for (uint64_t at = start, n; at < end && code == LORT_OK; at += n) {
        uint8_t *to = load->memory + (at - load->from);
        if (run_of(spool, load->file, at, end, &n))
            code = lort_spool_read(spool, load->file, to, n, at, err);
        else
            code = fetch_to(spool, load->file, to, n, at, err);
    }
    return code;
}

/* Takes the next piece. The mutex is held before and after. Returns false if none is left. */
static bool load_next(lort_spool *spool, lort_error *err, lort_code *code)
{
    const lort_spool_load load = spool->load;
    if (load.next >= load.pieces)
        return false;
    spool->load.next++;
    lort_os_unlock_mutex(spool->mutex);
    *code = load_piece(spool, &load, load.next, err);
    lort_os_lock_mutex(spool->mutex);
    spool->load.ready++;
    lort_os_wake_all(spool->changed);
    return true;
}

/* ---- threads ---- */

/* Claims pages of the first range that lacks some. Ranges that are complete leave the list. */
static bool claim_ahead(lort_spool *spool, lort_spool_claim *claim)
{
    while (spool->range_count && spool->pages < spool->pages_ahead) {
        lort_spool_range *range = &spool->ranges[0];
        const uint64_t left = (spool->pages_ahead - spool->pages) * LORT_SPOOL_PAGE;
        if (lort_spool_claim_pages(spool, &spool->files[range->file], range->from, range->to,
                                   left < LORT_SPOOL_PIECE ? left : LORT_SPOOL_PIECE, claim,
                                   NULL) == LORT_OK &&
            claim->from < claim->to)
            return true;
        spool->range_count--;
        memmove(spool->ranges, spool->ranges + 1, spool->range_count * sizeof *spool->ranges);
    }
    return false;
}

static void run_thread(void *ctx)
{
    lort_spool *spool = ctx;
    lort_spool_claim claim;
    lort_os_lock_mutex(spool->mutex);
    while (!spool->closing) {
        lort_error why = {0};
        lort_code code = LORT_OK;
        if (spool->failed.code)
            lort_os_wait(spool->changed, spool->mutex);
        else if (load_next(spool, &why, &code))
            ;
        else if (claim_ahead(spool, &claim))
            code = fetch_claim(spool, &claim, &why);
        else
            lort_os_wait(spool->changed, spool->mutex);
        if (code && spool->failed.code == LORT_OK) {
            spool->failed = why;
            spool->failed.code = code;
            lort_os_wake_all(spool->changed);
        }
    }
    lort_os_unlock_mutex(spool->mutex);
}

/* Without threads readers fetch alone. */
static void start_threads(lort_spool *spool)
{
    while (spool->thread_count < LORT_SPOOL_THREADS) {
        lort_thread **thread = &spool->threads[spool->thread_count];
        if (lort_os_thread_start(run_thread, spool, STACK_BYTES, thread, NULL))
            return;
        spool->thread_count++;
    }
}

void lort_spool_end_threads(lort_spool *spool)
{
    if (!spool->mutex || !spool->changed)
        return;
    lort_os_lock_mutex(spool->mutex);
    spool->closing = true;
    lort_os_wake_all(spool->changed);
    lort_os_unlock_mutex(spool->mutex);
    for (uint32_t i = 0; i < spool->thread_count; i++)
        lort_os_thread_join(spool->threads[i]);
    spool->thread_count = 0;
}

/* Pages that readers used before a thread came to them would come once more. */
void lort_spool_pass(lort_spool *spool, uint32_t file, uint64_t to)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < spool->range_count; i++) {
        lort_spool_range range = spool->ranges[i];
        if (range.file == file && range.from < to)
            range.from = to;
        if (range.from < range.to)
            spool->ranges[kept++] = range;
    }
    spool->range_count = kept;
}

/* A range that the list has no room for is fetched when somebody reads it. */
void lort_spool_ask(lort_spool *spool, uint32_t file, uint64_t offset, uint64_t n)
{
    const uint64_t from = offset / LORT_SPOOL_PAGE,
                   to = (offset + n + LORT_SPOOL_PAGE - 1) / LORT_SPOOL_PAGE;
    if (n == 0)
        return;
    start_threads(spool);
    lort_os_lock_mutex(spool->mutex);
    lort_spool_range *last = spool->range_count ? &spool->ranges[spool->range_count - 1] : NULL;
    if (last && last->file == file && last->from <= from && from <= last->to)
        last->to = to > last->to ? to : last->to;
    else if (spool->range_count < LORT_SPOOL_RANGES)
        spool->ranges[spool->range_count++] = (lort_spool_range){file, from, to};
    lort_os_wake_all(spool->changed);
    lort_os_unlock_mutex(spool->mutex);
}

lort_code lort_spool_load_file(lort_spool *spool, lort_spool_file *file, uint64_t from,
                               uint8_t *memory, lort_error *err)
{
    const uint64_t part = (file->size - from) / (2 * LORT_SPOOL_THREADS) / LORT_SPOOL_PAGE,
                   each = part < PIECE_LEAST / LORT_SPOOL_PAGE        ? PIECE_LEAST
                          : part > LORT_SPOOL_PIECE / LORT_SPOOL_PAGE ? LORT_SPOOL_PIECE
                                                                      : part * LORT_SPOOL_PAGE;
    lort_code code = LORT_OK;
    start_threads(spool);
    lort_os_lock_mutex(spool->mutex);
    spool->load = (lort_spool_load){.file = file,
                                    .memory = memory,
                                    .from = from,
                                    .each = each,
                                    .pieces = (file->size - from + each - 1) / each};
    lort_os_wake_all(spool->changed);
    while (code == LORT_OK && spool->failed.code == LORT_OK && load_next(spool, err, &code))
        ;
    spool->load.pieces = code || spool->failed.code ? spool->load.next : spool->load.pieces;
    while (spool->load.ready < spool->load.next) /* others write into the memory */
        lort_os_wait(spool->changed, spool->mutex);
    if (code == LORT_OK)
        code = check_failed(spool, err);
    spool->load = (lort_spool_load){0};
    if (code == LORT_OK && file->units)
        lort_spool_free_pages(spool, file, 0, lort_spool_pages(file));
    lort_os_unlock_mutex(spool->mutex);
    if (code == LORT_OK) {
        file->loaded = memory;
        file->loaded_from = from;
    }
    return code;
}
