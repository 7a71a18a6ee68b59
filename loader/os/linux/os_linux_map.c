/* os_linux_map: calls on mappings and on the heap that Linux alone has. */
#define _GNU_SOURCE
#include "loader/os/posix/os_posix.h"
#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since Linux 5.14; older kernels refuse it */
#endif

/* Puts a page of zeros in place of a page that cannot be read. Makes the system call directly, not
 * by mmap(). A sanitizer or the hooks of an allocator may wrap mmap() and take locks, which a
 * handler must not do. To ThreadSanitizer mmap() is also a write, in a race with every reader of
 * the mapping. */
bool lort_os_put_zeros(uintptr_t address, uintptr_t page)
{
#ifdef SYS_mmap2 /* 32-bit systems have another form of mmap */
    const long number = SYS_mmap2;
#else
    const long number = SYS_mmap;
#endif
    return syscall(number, address, page, (long)PROT_READ,
                   (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), -1L, 0L) != -1;
}

void lort_os_advise(void *data, uint64_t n, lort_advice advice)
{
    static const int calls[] = {
        [LORT_WILL_NEED] = MADV_WILLNEED, [LORT_POPULATE] = MADV_POPULATE_READ,
        [LORT_DONT_NEED] = MADV_DONTNEED, [LORT_SEQUENTIAL] = MADV_SEQUENTIAL,
        [LORT_RANDOM] = MADV_RANDOM,      [LORT_NORMAL] = MADV_NORMAL};
    (void)madvise(data, (size_t)n, calls[advice]);
}

uint64_t lort_os_address_space_left(void)
{
    char text[256];
    unsigned long long pages = 0;
    lort_limits limits;
    lort_os_limits(&limits);
    const uint64_t limit = limits.address_space;
    if (limit == UINT64_MAX)
        return UINT64_MAX;
    if (lort_os_read_text("/proc/self/statm", text, sizeof text) &&
        sscanf(text, "%llu", &pages) != 1)
        pages = 0;
    return limit > pages * lort_os_page_size() ? limit - pages * lort_os_page_size() : 0;
}

/* Without this, a thread gets a heap of its own when it first asks for memory. Such a heap takes 64
 * to 128 MiB of address space. */
void lort_os_share_heap(void)
{
#ifdef M_ARENA_MAX
    lort_limits limits;
    lort_os_limits(&limits);
    if (limits.address_space != UINT64_MAX)
        (void)mallopt(M_ARENA_MAX, 1);
#endif
}
