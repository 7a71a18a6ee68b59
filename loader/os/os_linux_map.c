/* os_linux_map: maps files, guards the mappings against faults, and gives anonymous pages.
 *
 * The guard: a read-only mapping can fault long after every check (the file shrank, a sector is
 * bad). The SIGBUS handler looks the address up in a registry of mappings. If the address lies in a
 * mapping of LoRT, the handler puts a zero page there, sets the flag of the slot and returns. The
 * reader goes on with zeros, and throws its result away when it sees the flag. Any other SIGBUS
 * goes to the previous handler. The handler uses only atomics and one system call. */
#define _GNU_SOURCE
#include "formats/base/text.h"
#include "loader/os/os_linux.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOTS 4096
/* One madvise call starts at most the kernel's read-ahead, or one request of the disk. Few machines
 * have less than 128 KiB. */
#define WILL_NEED_PIECE ((uint64_t)128 << 10)
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since Linux 5.14; older kernels refuse it */
#endif

/* `version` is odd while the owner changes the slot. The handler skips a slot that changes during
 * the lookup. Such a slot cannot be the one that faulted: a mapping stays registered while somebody
 * reads it. */
typedef struct guard_slot {
    atomic_uint version;
    atomic_uintptr_t start, end; /* start 0: free */
    atomic_bool faulted;
} guard_slot;

struct lort_map {
    uint8_t *data;
    uint64_t size;
    const lort_file *file;
    guard_slot *slot;
};

static guard_slot slots[SLOTS];
static _Atomic uint64_t mapped; /* bytes of files, over all mappings */
static struct sigaction previous;
/* page size - 1; the first mapping sets it */
static atomic_uintptr_t page_mask;
/* guards the installation; the handler takes no lock */
static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t lort_os_page_size(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

static guard_slot *slot_of(uintptr_t address)
{
    for (int i = 0; i < SLOTS; i++) {
        guard_slot *slot = &slots[i];
        unsigned version = atomic_load(&slot->version);
        uintptr_t start = atomic_load(&slot->start), end = atomic_load(&slot->end);
        if (start && address >= start && address < end && !(version & 1) &&
            atomic_load(&slot->version) == version)
            return slot;
    }
    return NULL;
}

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

/* Puts a page of zeros in place of a page that cannot be read. Makes the system call directly, not
 * by mmap(). A sanitizer or the hooks of an allocator may wrap mmap() and take locks, which a
 * handler must not do. To ThreadSanitizer mmap() is also a write, in a race with every reader of
 * the mapping. */
static bool put_zeros(uintptr_t address)
{
#ifdef SYS_mmap2 /* 32-bit systems have another form of mmap */
    const long number = SYS_mmap2;
#else
    const long number = SYS_mmap;
#endif
    return syscall(number, address, page_mask + 1, (long)PROT_READ,
                   (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), -1L, 0L) != -1;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t address = (uintptr_t)info->si_addr & ~page_mask;
    guard_slot *slot =
        /* si_code <= 0: kill() sent the signal, and the address means nothing. */
        info->si_code > 0 ? slot_of(address) : NULL;
    if (slot) {
        atomic_store(&slot->faulted, true);
        if (!put_zeros(address))
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

static guard_slot *claim_slot(void *data, uint64_t size)
{
    for (int i = 0; i < SLOTS; i++) {
        guard_slot *slot = &slots[i];
        unsigned version = atomic_load(&slot->version);
        if ((version & 1) || atomic_load(&slot->start) ||
            !atomic_compare_exchange_strong(&slot->version, &version, version + 1))
            continue;
        atomic_store(&slot->faulted, false);
        atomic_store(&slot->end,
                     (uintptr_t)data + (uintptr_t)((size + page_mask) & ~(uint64_t)page_mask));
        atomic_store(&slot->start, (uintptr_t)data);
        atomic_store(&slot->version, version + 2);
        return slot;
    }
    return NULL;
}

static void free_slot(guard_slot *slot)
{
    atomic_fetch_add(&slot->version, 1);
    atomic_store(&slot->start, 0);
    atomic_fetch_add(&slot->version, 1);
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
    *map = (lort_map){.data = data, .size = size, .file = file, .slot = claim_slot(data, size)};
    if (!map->slot) {
        char shown[600];
        lort_os_unmap(map);
        return lort_fail(err, LORT_E_MEMORY, "cannot map '%s': more than %d mappings at once",
                         lort_escape_text(shown, sizeof shown, file->path), SLOTS);
    }
    *out = map;
    return LORT_OK;
}

const uint8_t *lort_os_map_data(const lort_map *map) { return map->data; }
bool lort_os_map_faulted(const lort_map *map) { return atomic_load(&map->slot->faulted); }

void lort_os_map_advise(lort_map *map, uint64_t offset, uint64_t n, lort_advice advice, bool cache)
{
    static const int calls[] = {[LORT_WILL_NEED] = MADV_WILLNEED,
                                [LORT_POPULATE] = MADV_POPULATE_READ,
                                [LORT_DONT_NEED] = MADV_DONTNEED,
                                [LORT_SEQUENTIAL] = MADV_SEQUENTIAL};
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
        (void)madvise(map->data + at, (size_t)(end - at < piece ? end - at : piece), calls[advice]);
    /* After madvise: the kernel cannot drop mapped pages from the cache. */
    if (advice == LORT_DONT_NEED && cache)
        (void)posix_fadvise(map->file->fd, (off_t)offset, (off_t)(end - offset),
                            POSIX_FADV_DONTNEED);
}

void lort_os_unmap(lort_map *map)
{
    if (!map)
        return;
    if (map->slot)
        free_slot(map->slot);
    munmap(map->data, (size_t)map->size);
    atomic_fetch_sub(&mapped, map->size);
    free(map);
}

void *lort_os_pages(uint64_t bytes)
{
    if (bytes == 0 || bytes > SIZE_MAX)
        return NULL;
    void *memory =
        mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void lort_os_pages_free(void *memory, uint64_t bytes)
{
    if (memory)
        munmap(memory, (size_t)bytes);
}

/* Asks without reserving. With a reservation the kernel would refuse more than the machine's memory
 * at once, although LoRT can get that much in pieces. */
bool lort_os_address_space(uint64_t bytes)
{
    void *memory = bytes > SIZE_MAX ? MAP_FAILED
                                    : mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED)
        munmap(memory, (size_t)bytes);
    return memory != MAP_FAILED || bytes == 0;
}

static uint64_t limit_of(int resource)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return (uint64_t)limit.rlim_cur;
}

void lort_os_limits(lort_limits *out)
{
    out->address_space = limit_of(RLIMIT_AS);
    out->data = limit_of(RLIMIT_DATA);
}

uint64_t lort_os_address_space_left(void)
{
    char text[256];
    unsigned long long pages = 0;
    const uint64_t limit = limit_of(RLIMIT_AS);
    if (limit == UINT64_MAX)
        return UINT64_MAX;
    if (lort_os_read_text("/proc/self/statm", text, sizeof text) &&
        sscanf(text, "%llu", &pages) != 1)
        pages = 0;
    return limit > pages * lort_os_page_size() ? limit - pages * lort_os_page_size() : 0;
}
