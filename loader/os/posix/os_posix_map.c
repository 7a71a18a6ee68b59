/* os_posix_map: maps files, guards the mappings against faults.
 *
 * The guard: a read-only mapping can fault long after every check (the file shrank, a sector is
 * bad). The SIGBUS handler looks the address up in a registry of mappings. If the address lies in a
 * mapping of LoRT, the handler puts a zero page there, sets the flag of the slot and returns. The
 * reader goes on with zeros, and throws its result away when it sees the flag. Any other SIGBUS
 * goes to the previous handler. The handler uses only atomics and one system call
 * (lort_os_put_zeros). */
#define _GNU_SOURCE
#include "formats/base/text.h"
#include "loader/os/guard.h"
#include "loader/os/posix/os_posix.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

/* One madvise call of Linux starts at most the kernel's read-ahead, or one request of the disk. Few
 * machines have less than 128 KiB. */
#define WILL_NEED_PIECE ((uint64_t)128 << 10)
struct lort_map {
    uint8_t *data;
    uint64_t size;
    const lort_file *file;
    lort_guard_slot *slot;
};

static _Atomic uint64_t mapped; /* bytes of files, over all mappings */
static struct sigaction previous;
/* page size - 1; the first mapping sets it */
static atomic_uintptr_t page_mask;
/* guards the installation; the handler takes no lock */
static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER;

static void chain_handler(int number, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(number, info, context);
    else if (previous.sa_handler == SIG_DFL ||
             (previous.sa_handler == SIG_IGN && info->si_code > 0)) {
        struct sigaction normal = {.sa_handler = SIG_DFL};
        sigaction(SIGBUS, &normal, NULL);
        raise(SIGBUS); /* SIGBUS is blocked here: it ends the process when this returns */
    } else if (previous.sa_handler != SIG_IGN)
        previous.sa_handler(number);
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t address = (uintptr_t)info->si_addr & ~page_mask;
    lort_guard_slot *slot =
        /* si_code <= 0: kill() sent the signal, and the address means nothing. */
        info->si_code > 0 ? lort_guard_find(address) : NULL;
    if (slot) {
        atomic_store(&slot->faulted, true);
        if (!lort_os_put_zeros(address, page_mask + 1))
            slot = NULL;
    }
    if (!slot)
        chain_handler(number, info, context);
    errno = saved;
}

/* Runs at every mapping. If somebody took the signal over since the last one, that handler becomes
 * the previous handler. */
static bool guard_is_set(void)
{
    struct sigaction now,
        ours = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    pthread_mutex_lock(&guard_lock);
    page_mask = (uintptr_t)lort_os_page_size() - 1;
    bool set = sigaction(SIGBUS, NULL, &now) == 0;
    if (set && !((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus_error)) {
        previous = now;
        set = sigaction(SIGBUS, &ours, NULL) == 0;
    }
    pthread_mutex_unlock(&guard_lock);
    return set;
}

/* Limits mappings under RLIMIT_AS (ulimit -v), which limits memory too. The plan got its figure of
 * available memory before LoRT mapped files. */
static bool room_to_map(uint64_t size)
{
    const uint64_t left = lort_os_address_space_left(), all = atomic_load(&mapped);
    return left == UINT64_MAX || (size <= left && all + size <= (left + all) / 8);
}

lort_code lort_os_map(lort_file *file, uint64_t size, lort_map **out, lort_error *err)
{
    *out = NULL;
    if (!guard_is_set())
        return lort_os_fail(err, LORT_E_MEMORY, EAGAIN, "guard a mapping of", file->path);
    if (size == 0 || size > SIZE_MAX - page_mask)
        return lort_os_fail(err, LORT_E_MEMORY, EINVAL, "map", file->path);
    if (!room_to_map(size))
        return lort_os_fail(err, LORT_E_MEMORY, ENOMEM, "map", file->path);
    lort_map *map = calloc(1, sizeof *map);
    void *data = map ? mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, file->fd, 0) : MAP_FAILED;
    if (data == MAP_FAILED) {
        int why = errno;
        free(map);
        return lort_os_fail(err, LORT_E_MEMORY, why, "map", file->path);
    }
    atomic_fetch_add(&mapped, size);
    *map = (lort_map){.data = data,
                      .size = size,
                      .file = file,
                      .slot = lort_guard_claim(data, (size + page_mask) & ~(uint64_t)page_mask)};
    if (!map->slot) {
        char shown[600];
        lort_os_unmap(map);
        return lort_fail(err, LORT_E_MEMORY, "cannot map '%s': more than %d mappings at once",
                         lort_escape_text(shown, sizeof shown, file->path), LORT_GUARD_SLOTS);
    }
    *out = map;
    return LORT_OK;
}

const uint8_t *lort_os_map_data(const lort_map *map) { return map->data; }
bool lort_os_map_faulted(const lort_map *map) { return atomic_load(&map->slot->faulted); }

void lort_os_map_advise(lort_map *map, uint64_t offset, uint64_t n, lort_advice advice, bool cache)
{
    if (offset >= map->size || n == 0)
        return;
    uint64_t mask = page_mask, end = n < map->size - offset ? offset + n : map->size;
    /* Rounds inwards: a page shared with a neighbour stays. The last page has no neighbour. */
    if (advice == LORT_DONT_NEED) {
        offset = (offset + mask) & ~mask;
        end = end == map->size ? (end + mask) & ~mask : end & ~mask;
    } else {
        offset &= ~mask;
        end = (end + mask) & ~mask;
    }
    if (offset >= end)
        return;
    const uint64_t piece = advice == LORT_WILL_NEED ? WILL_NEED_PIECE : end - offset;
    for (uint64_t at = offset; at < end; at += piece)
        lort_os_advise(map->data + at, end - at < piece ? end - at : piece, advice);
    /* After madvise: the kernel cannot drop mapped pages from the cache. */
    if (advice == LORT_DONT_NEED && cache)
        lort_os_drop_cache(map->file->fd, offset, end - offset);
}

void lort_os_unmap(lort_map *map)
{
    if (!map)
        return;
    if (map->slot)
        lort_guard_free(map->slot);
    munmap(map->data, (size_t)map->size);
    atomic_fetch_sub(&mapped, map->size);
    free(map);
}
