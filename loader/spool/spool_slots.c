/* spool_slots: which units of the remote files lie in which slots of the spool. A slot belongs to a
 * unit as long as pages of the unit are here or on their way. */
#include "loader/spool/spool_parts.h"
#include <stdio.h>
#include <string.h>

#define SLOTS_FIRST 1024u
#define NAMES_TRIED 100u
#define SAMPLE_PAGES 2u

/* The file loses its name at once: a run that is killed leaves nothing. */
lort_code lort_spool_open_file(lort_spool *spool, lort_error *err)
{
    char name[80];
    lort_code code = LORT_E_EXISTS;
    for (unsigned i = 0; code == LORT_E_EXISTS && i < NAMES_TRIED; i++) {
        snprintf(name, sizeof name, ".lort-spool-%lld-%llu", (long long)lort_os_process_id(),
                 (unsigned long long)lort_os_clock_ns());
        code = lort_os_create(spool->dir, name, 0600, &spool->file, err);
    }
    if (code == LORT_OK)
        code = lort_os_remove(spool->dir, name, false, err);
    return code;
}

/* ---- slots ---- */

static lort_code grow(lort_spool *spool, lort_error *err)
{
    const uint32_t was = spool->slot_room, room = was ? 2 * was : SLOTS_FIRST;
    void *slots, *frees;
    lort_code code = lort_take_zero(spool->alloc, room * sizeof *spool->slots,
                                    "the table of the spool", &slots, err);
    if (code)
        return code;
    code = lort_take(spool->alloc, room * sizeof *spool->free_slots, "the table of the spool",
                     &frees, err);
    if (code) {
        lort_give(spool->alloc, slots, room * sizeof *spool->slots);
        return code;
    }
    if (was) {
        memcpy(slots, spool->slots, was * sizeof *spool->slots);
        memcpy(frees, spool->free_slots, was * sizeof *spool->free_slots);
    }
    lort_give(spool->alloc, spool->slots, was * sizeof *spool->slots);
    lort_give(spool->alloc, spool->free_slots, was * sizeof *spool->free_slots);
    spool->slots = slots;
    spool->free_slots = frees;
    spool->slot_room = room;
    return LORT_OK;
}

static lort_code take_slot(lort_spool *spool, uint32_t *slot, lort_error *err)
{
    if (spool->free_count) {
        *slot = spool->free_slots[--spool->free_count];
        spool->sparse_count =
            spool->sparse_count < spool->free_count ? spool->sparse_count : spool->free_count;
        return LORT_OK;
    }
    lort_code code = spool->slot_count == spool->slot_room ? grow(spool, err) : LORT_OK;
    if (code == LORT_OK)
        *slot = spool->slot_count++;
    return code;
}

static void drop_if_empty(lort_spool *spool, lort_spool_unit *unit)
{
    if (unit->have || unit->flight || unit->slot == LORT_SPOOL_NONE)
        return;
    spool->slots[unit->slot].stamp++;
    spool->free_slots[spool->free_count++] = unit->slot;
    unit->slot = LORT_SPOOL_NONE;
}

static lort_code open_units(lort_spool *spool, lort_spool_file *file, lort_error *err)
{
    void *memory;
    if (file->units)
        return LORT_OK;
    file->unit_count = (file->size + LORT_SPOOL_UNIT - 1) / LORT_SPOOL_UNIT;
    lort_code code = lort_take(spool->alloc, file->unit_count * sizeof *file->units,
                               "the table of a remote file", &memory, err);
    if (code)
        return code;
    file->units = memory;
    for (uint64_t i = 0; i < file->unit_count; i++)
        file->units[i] = (lort_spool_unit){LORT_SPOOL_NONE, 0, 0};
    return LORT_OK;
}

/* ---- pages ---- */

static lort_spool_unit *unit_of(const lort_spool_file *file, uint64_t page, uint16_t *bit)
{
    *bit = (uint16_t)(1u << page % LORT_SPOOL_UNIT_PAGES);
    return &file->units[page / LORT_SPOOL_UNIT_PAGES];
}

static bool is_missing(const lort_spool_file *file, uint64_t page)
{
    uint16_t bit;
    const lort_spool_unit *unit = unit_of(file, page, &bit);
    return !((unit->have | unit->flight) & bit);
}

static void note_flight(lort_spool *spool, lort_spool_unit *unit, uint16_t bit)
{
    lort_spool_slot *slot = &spool->slots[unit->slot];
    spool->pages += !((unit->have | unit->flight) & bit);
    spool->written += !(slot->written & bit);
    slot->written |= bit;
    unit->flight |= bit;
}

/* A page that is here may be fetched once more between two longer runs of pages that are not. */
#define BRIDGED 256u

static bool is_bridge(const lort_spool_file *file, uint64_t page, uint64_t run, uint64_t to)
{
    uint16_t bit;
    const lort_spool_unit *unit = unit_of(file, page, &bit);
    return run >= BRIDGED && (unit->have & bit) && !(unit->flight & bit) && page + 1 < to &&
           is_missing(file, page + 1);
}

static unsigned count_bits(uint16_t bits)
{
    unsigned count = 0;
    for (; bits; bits &= (uint16_t)(bits - 1))
        count++;
    return count;
}

/* A slot with a sample has a page or two on the disk. If the rest of the unit filled it, each such
 * slot would stay full until the end. So the sample moves to a slot that was full before. */
static lort_code move_sample(lort_spool *spool, const lort_spool_file *file, uint64_t number,
                             lort_error *err)
{
    lort_spool_unit *unit = &file->units[number];
    uint8_t page[LORT_SPOOL_PAGE];
    uint32_t slot;
    if (unit->flight || count_bits(unit->have) > SAMPLE_PAGES || spool->free_count == 0 ||
        count_bits(spool->slots[unit->slot].written) > SAMPLE_PAGES)
        return LORT_OK;
    lort_code code = take_slot(spool, &slot, err);
    for (uint32_t i = 0; i < LORT_SPOOL_UNIT_PAGES && code == LORT_OK; i++) {
        const uint64_t at = (uint64_t)i * LORT_SPOOL_PAGE,
                       left = file->size - number * LORT_SPOOL_UNIT - at,
                       n = left < LORT_SPOOL_PAGE ? left : LORT_SPOOL_PAGE;
        if (!(unit->have >> i & 1))
            continue;
        code = lort_os_read(spool->file, page, n, (uint64_t)unit->slot * LORT_SPOOL_UNIT + at, err);
        if (code == LORT_OK)
            code = lort_os_write(spool->file, page, n, (uint64_t)slot * LORT_SPOOL_UNIT + at, err);
    }
    if (code)
        return code;
    const uint32_t old = unit->slot;
    spool->written += count_bits((uint16_t)(unit->have & ~spool->slots[slot].written));
    spool->slots[slot].written |= unit->have;
    spool->slots[old].stamp++;
    unit->slot = slot;
    if (spool->free_count > spool->sparse_count)
        spool->free_slots[spool->free_count] = spool->free_slots[spool->sparse_count];
    spool->free_slots[spool->sparse_count++] = old;
    spool->free_count++;
    return LORT_OK;
}

lort_code lort_spool_claim_pages(lort_spool *spool, lort_spool_file *file, uint64_t from,
                                 uint64_t to, uint64_t most, lort_spool_claim *claim,
                                 lort_error *err)
{
    const uint64_t limit = most / LORT_SPOOL_PAGE;
    uint32_t slots = 0;
    *claim = (lort_spool_claim){.file = file, .from = from, .to = from};
    lort_code code = open_units(spool, file, err);
    if (code)
        return code;
    while (from < to && !is_missing(file, from))
        from++;
    claim->from = claim->to = from;
    for (; code == LORT_OK && claim->to < to && claim->to - from < limit &&
           (is_missing(file, claim->to) || is_bridge(file, claim->to, claim->to - from, to));
         claim->to += code == LORT_OK) {
        uint16_t bit;
        lort_spool_unit *unit = unit_of(file, claim->to, &bit);
        if (unit->slot == LORT_SPOOL_NONE)
            code = take_slot(spool, &unit->slot, err);
        else
            code = move_sample(spool, file, claim->to / LORT_SPOOL_UNIT_PAGES, err);
        if (code)
            break;
        note_flight(spool, unit, bit);
        if (slots == 0 || claim->slots[slots - 1] != unit->slot)
            claim->slots[slots++] = unit->slot;
    }
    if (code)
        lort_spool_settle(spool, claim, claim->from);
    return code;
}

void lort_spool_settle(lort_spool *spool, const lort_spool_claim *claim, uint64_t got)
{
    for (uint64_t page = claim->from; page < claim->to; page++) {
        uint16_t bit;
        lort_spool_unit *unit = unit_of(claim->file, page, &bit);
        unit->flight &= (uint16_t)~bit;
        if (page < got)
            unit->have |= bit;
        spool->pages -= !(unit->have & bit);
        drop_if_empty(spool, unit);
    }
}

bool lort_spool_here(const lort_spool_file *file, uint64_t from, uint64_t to, bool *flight)
{
    bool here = true;
    *flight = false;
    for (uint64_t page = from; page < to; page++) {
        uint16_t bit;
        const lort_spool_unit *unit = unit_of(file, page, &bit);
        here = here && (unit->have & bit);
        *flight = *flight || (unit->flight & bit);
    }
    return here;
}

void lort_spool_free_pages(lort_spool *spool, lort_spool_file *file, uint64_t from, uint64_t to)
{
    for (uint64_t page = from; page < to; page++) {
        uint16_t bit;
        lort_spool_unit *unit = unit_of(file, page, &bit);
        spool->pages -= (unit->have & bit) && !(unit->flight & bit);
        unit->have &= (uint16_t)~bit;
        drop_if_empty(spool, unit);
    }
}

/* ---- bytes ---- */

/* A stretch of a read, and what its slots were. */
typedef struct stretch {
    uint32_t slot[LORT_SPOOL_PIECE / LORT_SPOOL_UNIT + 1],
        stamp[LORT_SPOOL_PIECE / LORT_SPOOL_UNIT + 1];
    uint32_t count;
    uint64_t first; /* unit */
} stretch;

static void note_slots(lort_spool *spool, const lort_spool_file *file, uint64_t offset, uint64_t n,
                       stretch *s)
{
    const uint64_t end = (offset + n - 1) / LORT_SPOOL_UNIT;
    s->first = offset / LORT_SPOOL_UNIT;
    s->count = (uint32_t)(end - s->first + 1);
    lort_os_lock_mutex(spool->mutex);
    for (uint32_t i = 0; i < s->count; i++) {
        s->slot[i] = file->units[s->first + i].slot;
        s->stamp[i] = s->slot[i] == LORT_SPOOL_NONE ? 0 : spool->slots[s->slot[i]].stamp;
    }
    lort_os_unlock_mutex(spool->mutex);
}

static bool slots_stayed(lort_spool *spool, const stretch *s)
{
    bool stayed = true;
    lort_os_lock_mutex(spool->mutex);
    for (uint32_t i = 0; i < s->count; i++)
        stayed = stayed && s->slot[i] != LORT_SPOOL_NONE &&
                 s->stamp[i] == spool->slots[s->slot[i]].stamp;
    lort_os_unlock_mutex(spool->mutex);
    return stayed;
}

/* Slots that follow one another are read at once. */
static lort_code copy_stretch(const lort_spool *spool, const stretch *s, uint8_t *to, uint64_t n,
                              uint64_t offset, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t done = 0, some; done < n && code == LORT_OK; done += some) {
        uint64_t i = (offset + done) / LORT_SPOOL_UNIT - s->first;
        const uint64_t within = (offset + done) % LORT_SPOOL_UNIT;
        const uint32_t slot = s->slot[i];
        some = LORT_SPOOL_UNIT - within;
        while (some < n - done && s->slot[i + 1] == s->slot[i] + 1) {
            some += LORT_SPOOL_UNIT;
            i++;
        }
        some = some < n - done ? some : n - done;
        if (slot != LORT_SPOOL_NONE)
            code = lort_os_read(spool->file, to + done, some,
                                (uint64_t)slot * LORT_SPOOL_UNIT + within, err);
    }
    return code;
}

lort_code lort_spool_copy(lort_spool *spool, lort_spool_file *file, uint8_t *to, uint64_t n,
                          uint64_t offset, bool *moved, lort_error *err)
{
    stretch s;
    lort_code code = LORT_OK;
    *moved = false;
    for (uint64_t done = 0, some; done < n && code == LORT_OK && !*moved; done += some) {
        some = n - done < LORT_SPOOL_PIECE ? n - done : LORT_SPOOL_PIECE;
        note_slots(spool, file, offset + done, some, &s);
        code = copy_stretch(spool, &s, to + done, some, offset + done, err);
        *moved = !slots_stayed(spool, &s);
    }
    return *moved ? LORT_OK : code;
}
