/* os_windows_map: maps files and guards the mappings against faults.
 *
 * The guard: a read-only mapping can fault long after every check (a disk of the network is gone, a
 * sector is bad). Windows then raises EXCEPTION_IN_PAGE_ERROR, and Wine an access violation. A
 * vectored handler looks the address up in the registry of mappings. No call replaces one page of a
 * mapping. So the handler takes the whole mapping away, reserves its range, and puts zeros where
 * somebody reads:
 *
 *   MAPPED -> REPLACING -> REPLACED      the first thread that faults does both steps
 *
 * Other threads that fault meanwhile wait for REPLACED. Then each puts its own page of zeros. The
 * reader sees the flag of the slot and throws its result away. */
#include "formats/base/text.h"
#include "loader/os/guard.h"
#include "loader/os/windows/os_windows.h"
#include <stdlib.h>

enum { MAPPED, REPLACING, REPLACED, LOST };

struct lort_map {
    uint8_t *data;
    uint64_t size;
    lort_guard_slot *slot;
};

static SRWLOCK guard_lock = SRWLOCK_INIT; /* guards the installation; the handler takes no lock */
static bool guarded;

/* Between the two calls another thread may take the range. LOST: then nobody can help. */
static void replace(lort_guard_slot *slot)
{
    void *start = (void *)atomic_load(&slot->start);
    const SIZE_T bytes = (SIZE_T)(atomic_load(&slot->end) - atomic_load(&slot->start));
    const bool done =
        UnmapViewOfFile(start) && VirtualAlloc(start, bytes, MEM_RESERVE, PAGE_READONLY) == start;
    atomic_store(&slot->state, done ? REPLACED : LOST);
}

static bool put_zeros(lort_guard_slot *slot, uintptr_t address)
{
    unsigned state = MAPPED;
    atomic_store(&slot->faulted, true);
    if (atomic_compare_exchange_strong(&slot->state, &state, REPLACING))
        replace(slot);
    while ((state = atomic_load(&slot->state)) == REPLACING)
        SwitchToThread();
    return state == REPLACED && VirtualAlloc((void *)address, 1, MEM_COMMIT, PAGE_READONLY);
}

static LONG CALLBACK on_fault(EXCEPTION_POINTERS *fault)
{
    const EXCEPTION_RECORD *what = fault->ExceptionRecord;
    const bool in_page = what->ExceptionCode == (DWORD)EXCEPTION_IN_PAGE_ERROR,
               denied = what->ExceptionCode == (DWORD)EXCEPTION_ACCESS_VIOLATION;
    /* [0] is 0 for a read; [1] is the address */
    if ((!in_page && !denied) || what->NumberParameters < 2 || what->ExceptionInformation[0] != 0)
        return EXCEPTION_CONTINUE_SEARCH;
    const uintptr_t address = (uintptr_t)what->ExceptionInformation[1];
    lort_guard_slot *slot = lort_guard_find(address);
    return slot && put_zeros(slot, address) ? EXCEPTION_CONTINUE_EXECUTION
                                            : EXCEPTION_CONTINUE_SEARCH;
}

static bool guard_is_set(void)
{
    AcquireSRWLockExclusive(&guard_lock);
    if (!guarded)
        guarded = AddVectoredExceptionHandler(1, on_fault) != NULL;
    ReleaseSRWLockExclusive(&guard_lock);
    return guarded;
}

/* PAGE_READONLY: a copy-on-write mapping would charge the whole file to the commit limit. */
static DWORD map_view(HANDLE file, uint64_t size, uint8_t **out)
{
    HANDLE section = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
    *out = section ? MapViewOfFile(section, FILE_MAP_READ, 0, 0, (SIZE_T)size) : NULL;
    const DWORD why = *out ? 0 : GetLastError();
    if (section)
        CloseHandle(section); /* the view keeps the section */
    return why;
}

lort_code lort_os_map(lort_file *file, uint64_t size, lort_map **out, lort_error *err)
{
    char shown[600];
    const uint64_t page = lort_os_page_size();
    *out = NULL;
    if (!guard_is_set())
        return lort_os_fail(err, LORT_E_MEMORY, GetLastError(), "guard a mapping of", file->path);
    if (size == 0 || size > SIZE_MAX - page)
        return lort_os_fail(err, LORT_E_MEMORY, ERROR_INVALID_PARAMETER, "map", file->path);
    lort_map *map = calloc(1, sizeof *map);
    const DWORD why =
        map ? map_view(file->handle, size, &map->data) : (DWORD)ERROR_NOT_ENOUGH_MEMORY;
    if (why) {
        free(map);
        return lort_os_fail(err, LORT_E_MEMORY, why, "map", file->path);
    }
    map->size = size;
    map->slot = lort_guard_claim(map->data, (size + page - 1) / page * page);
    if (!map->slot) {
        lort_os_unmap(map);
        return lort_fail(err, LORT_E_MEMORY, "cannot map '%s': more than %d mappings at once",
                         lort_escape_text(shown, sizeof shown, file->path), LORT_GUARD_SLOTS);
    }
    *out = map;
    return LORT_OK;
}

const uint8_t *lort_os_map_data(const lort_map *map) { return map->data; }
bool lort_os_map_faulted(const lort_map *map) { return atomic_load(&map->slot->faulted); }

static void touch(const uint8_t *data, uint64_t n, uint64_t page)
{
    for (uint64_t at = 0; at < n; at += page)
        (void)*(const volatile uint8_t *)(data + at);
}

/* `cache`: no call drops pages from the cache of Windows. It gives them away by itself. */
void lort_os_map_advise(lort_map *map, uint64_t offset, uint64_t n, lort_advice advice, bool cache)
{
    (void)cache;
    if (offset >= map->size || n == 0 || advice >= LORT_SEQUENTIAL)
        return;
    const uint64_t page = lort_os_page_size();
    uint64_t end = n < map->size - offset ? offset + n : map->size;
    if (advice != LORT_DONT_NEED) {
        WIN32_MEMORY_RANGE_ENTRY range = {map->data + offset, (SIZE_T)(end - offset)};
        (void)PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0);
        if (advice == LORT_POPULATE)
            touch(map->data + offset, end - offset, page);
        return;
    }
    /* Rounds inwards: a page shared with a neighbour stays. The last page has no neighbour. */
    offset = (offset + page - 1) / page * page;
    end = end == map->size ? (end + page - 1) / page * page : end / page * page;
    /* VirtualUnlock of pages that are not locked drops them from the working set. */
    if (offset < end && atomic_load(&map->slot->state) == MAPPED)
        (void)VirtualUnlock(map->data + offset, (SIZE_T)(end - offset));
}

void lort_os_unmap(lort_map *map)
{
    if (!map)
        return;
    const unsigned state = map->slot ? atomic_load(&map->slot->state) : MAPPED;
    if (map->slot)
        lort_guard_free(map->slot);
    if (state == MAPPED)
        UnmapViewOfFile(map->data);
    else if (state == REPLACED)
        VirtualFree(map->data, 0, MEM_RELEASE);
    free(map);
}
