/* os_posix_process: the clocks, the limits and the anonymous memory of this process. */
#define _GNU_SOURCE
#include "loader/os/posix/os_posix.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t lort_os_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int64_t lort_os_process_id(void) { return getpid(); }

bool lort_os_variable(const char *name, char *out, uint64_t cap)
{
    const char *value = getenv(name);
    const size_t n = value ? strlen(value) : 0;
    *out = 0;
    if (n == 0 || n >= cap)
        return false;
    memcpy(out, value, n + 1);
    return true;
}

bool lort_os_home(char *out, uint64_t cap) { return lort_os_variable("HOME", out, cap); }

int64_t lort_os_time_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t lort_os_page_size(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

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

/* aligned_alloc needs a multiple of the alignment. */
void *lort_os_aligned(size_t bytes)
{
    const size_t rounded = (bytes + 63) & ~(size_t)63;
    return rounded < bytes ? NULL : aligned_alloc(64, rounded);
}

void lort_os_aligned_free(void *memory) { free(memory); }

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
