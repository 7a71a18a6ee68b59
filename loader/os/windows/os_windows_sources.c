/* os_windows_sources: the memory sources of Windows. Reads and compares, allocates nothing. */
#include "loader/os/windows/os_windows.h"
#include <psapi.h>
#include <string.h>

/* ullAvailPhys counts standby, free and zero pages: Windows gives away the cache of files. A
 * VirtualAlloc fails where the commit limit is reached, however much memory is free. */
static void add_machine(lort_memory_sources *out)
{
    MEMORYSTATUSEX machine = {.dwLength = sizeof machine};
    if (!GlobalMemoryStatusEx(&machine)) {
        lort_sources_add(out, "unknown", "GlobalMemoryStatusEx failed", LORT_UNKNOWN_MEMORY);
        return;
    }
    out->physical = machine.ullTotalPhys;
    lort_sources_add(out, "AvailPhys", "GlobalMemoryStatusEx ullAvailPhys", machine.ullAvailPhys);
    lort_sources_add(out, "CommitLimit", "GlobalMemoryStatusEx ullAvailPageFile",
                     machine.ullAvailPageFile);
}

/* Limits of a job are on commit, so they may lie above the physical memory. */
void lort_os_job_sources(const JOBOBJECT_EXTENDED_LIMIT_INFORMATION *job, uint64_t own_bytes,
                         uint64_t job_bytes, lort_memory_sources *list)
{
    const DWORD flags = job->BasicLimitInformation.LimitFlags;
    if (flags & JOB_OBJECT_LIMIT_JOB_MEMORY)
        lort_sources_add(list, "job", "QueryInformationJobObject JobMemoryLimit",
                         lort_sources_left(job->JobMemoryLimit, job_bytes));
    if (flags & JOB_OBJECT_LIMIT_PROCESS_MEMORY)
        lort_sources_add(list, "job process", "QueryInformationJobObject ProcessMemoryLimit",
                         lort_sources_left(job->ProcessMemoryLimit, own_bytes));
}

/* JOBOBJECT_MEMORY_USAGE_INFORMATION (Windows 10), which the headers of mingw lack. */
typedef struct memory_usage {
    uint64_t now, peak;
} memory_usage;
#define MEMORY_USAGE ((JOBOBJECTINFOCLASS)28)

void lort_os_memory_sources(const char *root, lort_memory_sources *out)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION job;
    memory_usage usage = {0};
    lort_process_memory own;
    (void)root;
    memset(out, 0, sizeof *out);
    add_machine(out);
    if (!QueryInformationJobObject(NULL, JobObjectExtendedLimitInformation, &job, sizeof job, NULL))
        return; /* in no job */
    lort_os_process_memory(&own);
    if (!QueryInformationJobObject(NULL, MEMORY_USAGE, &usage, sizeof usage, NULL))
        usage.now = own.data_bytes; /* of the whole job LoRT knows its own part only */
    lort_os_job_sources(&job, own.data_bytes, usage.now, out);
}
