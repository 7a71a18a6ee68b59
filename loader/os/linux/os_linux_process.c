/* os_linux_process: the memory of this process, and the CPUs it may use. */
#define _GNU_SOURCE
#include "loader/os/linux/proc.h"
#include "loader/os/posix/os_posix.h"
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t cgroup_peak(void)
{
    lort_group group;
    uint64_t peak = 0;
    if (lort_group_find("", "memory", &group))
        lort_group_number(&group, group.version == 2 ? "memory.peak" : "memory.max_usage_in_bytes",
                          &peak);
    return peak;
}

/* Reads "full avg10=0.00 avg60=0.00 avg300=0.00 total=123". total: microseconds in which all tasks
 * waited for memory. */
static uint64_t stall_us(void)
{
    char text[512];
    uint64_t total = 0;
    const char *full = lort_os_read_text("/proc/pressure/memory", text, sizeof text)
                           ? strstr(text, "full ")
                           : NULL;
    char *equals = full ? strstr(full, "total=") : NULL;
    if (equals) {
        equals[5] = ' ';
        lort_proc_value(equals, "total", &total);
    }
    return total;
}

void lort_os_process_memory(lort_process_memory *out)
{
    char text[8192];
    uint64_t shared = 0;
    memset(out, 0, sizeof *out);
    if (lort_os_read_text("/proc/self/status", text, sizeof text)) {
        lort_proc_value(text, "RssAnon", &out->anon_bytes);
        lort_proc_value(text, "RssShmem", &shared);
        lort_proc_value(text, "RssFile", &out->file_bytes);
        lort_proc_value(text, "VmRSS", &out->rss_bytes);
        lort_proc_value(text, "VmHWM", &out->peak_rss_bytes);
        lort_proc_value(text, "VmSize", &out->virtual_bytes);
        lort_proc_value(text, "VmData", &out->data_bytes);
        out->anon_bytes += shared;
    }
    out->cgroup_peak_bytes = cgroup_peak();
    out->stall_us = stall_us();
}

/* Counts the CPUs of a list such as "0-3,8". */
static unsigned count_list(const char *p)
{
    unsigned count = 0, first, last;
    int used = 0;
    while (sscanf(p, "%u%n", &first, &used) == 1) {
        p += used;
        last = first;
        if (*p == '-' && sscanf(p + 1, "%u%n", &last, &used) == 1)
            p += 1 + used;
        count += last >= first ? last - first + 1 : 0;
        if (*p++ != ',')
            break;
    }
    return count;
}

static unsigned affinity_count(const char *root)
{
    char path[600], text[8192];
    if (!*root) {
        cpu_set_t set[8]; /* 8192 CPUs */
        CPU_ZERO_S(sizeof set, set);
        return sched_getaffinity(0, sizeof set, set) == 0 ? (unsigned)CPU_COUNT_S(sizeof set, set)
                                                          : 0;
    }
    snprintf(path, sizeof path, "%s/proc/self/status", root);
    const char *list =
        lort_os_read_text(path, text, sizeof text) ? strstr(text, "Cpus_allowed_list:") : NULL;
    return list ? count_list(list + strlen("Cpus_allowed_list:")) : 0;
}

static unsigned quota_of(const lort_group *group)
{
    char text[64] = "quota ";
    uint64_t quota = 0, period = 0;
    bool known;
    if (group->version == 2) { /* cpu.max: "150000 100000" or "max 100000" */
        known = lort_group_text(group, "cpu.max", text + 6, sizeof text - 6) &&
                lort_proc_value(text, "quota", &quota);
        const char *second = known ? strchr(text + 6, ' ') : NULL;
        known = second && sscanf(second, "%" SCNu64, &period) == 1;
    } else
        known = lort_group_number(group, "cpu.cfs_quota_us", &quota) &&
                lort_group_number(group, "cpu.cfs_period_us", &period);
    if (!known || quota == 0 || period == 0)
        return 0;
    uint64_t cpus = quota / period + (quota % period != 0);
    return cpus < 1u << 16 ? (unsigned)cpus : 0;
}

void lort_os_cpus(const char *root, unsigned *affinity, unsigned *quota)
{
    lort_group group;
    *affinity = affinity_count(root);
    *quota = 0;
    if (!lort_group_find(root, "cpu", &group))
        return;
    do { /* any ancestor may have the smaller quota */
        unsigned one = quota_of(&group);
        if (one && (!*quota || one < *quota))
            *quota = one;
    } while (lort_group_up(&group));
}
