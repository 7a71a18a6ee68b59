/* os_windows_process: the clocks and the memory of this process, the CPUs it may use, and libraries
 * that it loads. */
#include "loader/os/windows/os_windows.h"
#include <malloc.h>
#include <psapi.h>
#include <string.h>

#define TICKS_TO_1970 UINT64_C(116444736000000000) /* of 100 ns, from 1601 */
#define RATE_UNIT 10000                            /* a CpuRate of 100 % */

uint64_t lort_os_clock_ns(void)
{
    LARGE_INTEGER now, each;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&each);
    const uint64_t ticks = (uint64_t)now.QuadPart, second = (uint64_t)each.QuadPart;
    return ticks / second * 1000000000 + ticks % second * 1000000000 / second;
}

int64_t lort_os_process_id(void) { return (int64_t)GetCurrentProcessId(); }

int64_t lort_os_time_ns(void)
{
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    const uint64_t ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (int64_t)(ticks - TICKS_TO_1970) * 100;
}

/* ---- processes ---- */

static uint64_t start_of(HANDLE process)
{
    FILETIME start, end, kernel, user;
    return GetProcessTimes(process, &start, &end, &kernel, &user)
               ? (uint64_t)start.dwHighDateTime << 32 | start.dwLowDateTime
               : 0;
}

void lort_os_process_name(lort_process_name *out)
{
    DWORD n = sizeof out->host;
    /* A start is a time of day here, so it tells boots apart too. */
    *out = (lort_process_name){.boot = "any",
                               .space = "any",
                               .id = GetCurrentProcessId(),
                               .start = start_of(GetCurrentProcess())};
    if (!GetComputerNameExA(ComputerNameDnsHostname, out->host, &n))
        out->host[0] = '\0';
}

lort_process_state lort_os_process_state(uint64_t id, uint64_t start)
{
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, (DWORD)id);
    if (!process) /* Windows says this of a number that no process has */
        return GetLastError() == ERROR_INVALID_PARAMETER ? LORT_PROCESS_DEAD : LORT_PROCESS_UNKNOWN;
    const bool lives = WaitForSingleObject(process, 0) == WAIT_TIMEOUT;
    const uint64_t found = start_of(process);
    CloseHandle(process);
    if (!lives || (start && found && start != found))
        return LORT_PROCESS_DEAD;
    return start && found ? LORT_PROCESS_LIVES : LORT_PROCESS_UNKNOWN;
}

/* ---- libraries ---- */

void *lort_os_library(const char *const *names)
{
    HMODULE library = NULL;
    for (; *names && !library; names++)
        library = LoadLibraryA(*names);
    return library;
}

bool lort_os_library_find(void *library, const char *name, void *function)
{
    const FARPROC found = GetProcAddress(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

/* ---- memory ---- */

uint64_t lort_os_page_size(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}

/* Windows charges all pages to the commit limit at once, not when they are used. */
void *lort_os_pages(uint64_t bytes)
{
    return bytes == 0 || bytes > SIZE_MAX
               ? NULL
               : VirtualAlloc(NULL, (SIZE_T)bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void lort_os_pages_free(void *memory, uint64_t bytes)
{
    (void)bytes;
    if (memory)
        VirtualFree(memory, 0, MEM_RELEASE);
}

void *lort_os_aligned(size_t bytes) { return _aligned_malloc(bytes, 64); }
void lort_os_aligned_free(void *memory) { _aligned_free(memory); }

bool lort_os_address_space(uint64_t bytes)
{
    void *memory =
        bytes > SIZE_MAX ? NULL : VirtualAlloc(NULL, (SIZE_T)bytes, MEM_RESERVE, PAGE_NOACCESS);
    if (memory)
        VirtualFree(memory, 0, MEM_RELEASE);
    return memory || bytes == 0;
}

/* Private memory is what Windows charges, in memory or paged out. Wine does not know it. */
void lort_os_process_memory(lort_process_memory *out)
{
    PROCESS_MEMORY_COUNTERS_EX now = {.cb = sizeof now};
    MEMORYSTATUSEX machine = {.dwLength = sizeof machine};
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION job;
    memset(out, 0, sizeof *out);
    if (GetProcessMemoryInfo(GetCurrentProcess(), (PROCESS_MEMORY_COUNTERS *)&now, sizeof now)) {
        out->rss_bytes = now.WorkingSetSize;
        out->peak_rss_bytes = now.PeakWorkingSetSize;
        out->data_bytes = now.PrivateUsage ? now.PrivateUsage : now.PagefileUsage;
        out->anon_bytes =
            out->data_bytes && out->data_bytes < out->rss_bytes ? out->data_bytes : out->rss_bytes;
        out->file_bytes = out->rss_bytes - out->anon_bytes;
    }
    if (GlobalMemoryStatusEx(&machine))
        out->virtual_bytes = machine.ullTotalVirtual - machine.ullAvailVirtual;
    if (QueryInformationJobObject(NULL, JobObjectExtendedLimitInformation, &job, sizeof job, NULL))
        out->cgroup_peak_bytes = job.PeakJobMemoryUsed;
}

/* Windows limits no address space. Limits of jobs are memory sources. */
void lort_os_limits(lort_limits *out) { *out = (lort_limits){UINT64_MAX, UINT64_MAX}; }

/* ---- the environment ---- */

bool lort_os_variable(const char *name, char *out, uint64_t cap)
{
    wchar_t *wide = NULL, *value = NULL;
    char *text = NULL;
    *out = 0;
    if (lort_os_wide(name, &wide))
        return false;
    const DWORD room = GetEnvironmentVariableW(wide, NULL, 0);
    DWORD n = 0;
    if (room > 1 && (value = malloc(room * sizeof *value)) != NULL)
        n = GetEnvironmentVariableW(wide, value, room);
    if (n && n < room && lort_os_narrow(value, n, &text) == 0 && strlen(text) < cap)
        memcpy(out, text, strlen(text) + 1);
    free(wide);
    free(value);
    free(text);
    return *out != 0;
}

bool lort_os_home(char *out, uint64_t cap)
{
    return lort_os_variable("HOME", out, cap) || lort_os_variable("USERPROFILE", out, cap);
}

/* ---- CPUs ---- */

unsigned lort_os_job_cpus(const JOBOBJECT_CPU_RATE_CONTROL_INFORMATION *rate, unsigned cpus)
{
    const DWORD hard = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
    if ((rate->ControlFlags & hard) != hard || rate->CpuRate == 0 || cpus == 0)
        return 0;
    const uint64_t parts = (uint64_t)rate->CpuRate * cpus;
    return (unsigned)(parts / RATE_UNIT + (parts % RATE_UNIT != 0));
}

/* A process that runs in several groups of 64 CPUs has no one mask: it may use them all. */
void lort_os_cpus(const char *root, unsigned *affinity, unsigned *quota)
{
    DWORD_PTR own = 0, all = 0;
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION rate;
    const unsigned cpus = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    (void)root;
    *affinity = *quota = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &own, &all) && own)
        *affinity = (unsigned)__builtin_popcountll(own);
    else
        *affinity = cpus;
    if (QueryInformationJobObject(NULL, JobObjectCpuRateControlInformation, &rate, sizeof rate,
                                  NULL))
        *quota = lort_os_job_cpus(&rate, cpus);
}
