/* topology: made-up machines through hwloc, and the CPU quota of control groups. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/machine/topology.h"
#include "loader/os/os.h"
#include "tests/unit/machine.h"
#include "tests/unit/main.h"
#include <sched.h>
#include <stdbool.h>
#include <sys/wait.h>

#define MANY "Name:\ttest\nCpus_allowed_list:\t0-63,100-163\n"
#define V2_CPU                                                                                     \
    {"/proc/self/mountinfo", MOUNTS_HOST MOUNT_V2},                                                \
    {                                                                                              \
        "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory\n"                              \
    }

/* CPUs of the mask: Linux reads them below the root, other systems know them without files. */
static unsigned affinity_of(unsigned below_root)
{
#if defined(__linux__)
    return below_root;
#else
    unsigned affinity, quota;
    lort_os_cpus("", &affinity, &quota);
    return affinity;
#endif
}

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

static void machines_are_counted(void **state)
{
    static const struct {
        const char *machine;
        unsigned packages, numa_nodes, cores, pus;
    } cases[] = {{"pack:1 core:1 pu:1", 1, 1, 1, 1},
                 {"pack:2 core:4 pu:2", 2, 1, 8, 16},
                 {"pack:2 [numa] core:3 pu:1", 2, 2, 6, 6},
                 {"numa:4 pu:2", 1, 4, 8, 8}, /* no cores reported: every PU is one */
                 {"tests/data/machines/two-sockets.xml", 2, 2, 12, 24},
                 {"nonsense:0", 1, 1, 1, 1},
                 {"tests/data/machines/missing.xml", 1, 1, 1, 1}};
    const machine_text files[MACHINE_FILES] = {{"/proc/self/status", MANY}};
    char root[32];
    machine_build(root, files);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_topology found;
        assert_int_equal(lort_topology_probe(cases[i].machine, root, &found, NULL), LORT_OK);
        assert_int_equal(found.packages, cases[i].packages);
        assert_int_equal(found.numa_nodes, cases[i].numa_nodes);
        assert_int_equal(found.cores, cases[i].cores);
        assert_int_equal(found.pus, cases[i].pus);
        assert_int_equal(found.affinity, affinity_of(128));
        assert_int_equal(found.quota, 0);
        assert_int_equal(found.threads, least(cases[i].cores, affinity_of(128)));
    }
    machine_remove(root);
}

/* On a machine of 16 cores. */
static void quota_and_mask_bound_the_threads(void **state)
{
    static const struct {
        const char *name;
        machine_text files[MACHINE_FILES];
        unsigned affinity, quota, threads;
    } cases[] = {
        {"nothing known", {{"/empty", ""}}, 0, 0, 16},
        {"a mask", {{"/proc/self/status", "Cpus_allowed_list:\t0-2,7\n"}}, 4, 0, 4},
        {"v2 without quota",
         {V2_CPU,
          {"/proc/self/cgroup", "0::/job\n"},
          {"/sys/fs/cgroup/job/cpu.max", "max 100000\n"}},
         0,
         0,
         16},
        {"v2, rounded up",
         {V2_CPU,
          {"/proc/self/cgroup", "0::/job\n"},
          {"/sys/fs/cgroup/job/cpu.max", "150000 100000\n"}},
         0,
         2,
         2},
        {"v2, less than one",
         {V2_CPU,
          {"/proc/self/cgroup", "0::/job\n"},
          {"/sys/fs/cgroup/job/cpu.max", "20000 100000\n"}},
         0,
         1,
         1},
        {"v2, larger than the machine",
         {V2_CPU,
          {"/proc/self/cgroup", "0::/job\n"},
          {"/sys/fs/cgroup/job/cpu.max", "6400000 100000\n"}},
         0,
         64,
         16},
        {"v2, an ancestor",
         {V2_CPU,
          {"/proc/self/cgroup", "0::/a/b/c\n"},
          {"/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n"},
          {"/sys/fs/cgroup/a/cpu.max", "300000 100000\n"}},
         0,
         3,
         3},
        {"v2, mask tighter",
         {V2_CPU,
          {"/proc/self/status", "Cpus_allowed_list:\t5\n"},
          {"/proc/self/cgroup", "0::/\n"},
          {"/sys/fs/cgroup/cpu.max", "300000 100000\n"}},
         1,
         3,
         1},
        {"v2, nonsense",
         {V2_CPU, {"/proc/self/cgroup", "0::/job\n"}, {"/sys/fs/cgroup/job/cpu.max", "0 0\n"}},
         0,
         0,
         16},
        {"v1",
         {{"/proc/self/mountinfo", MOUNTS_HOST MOUNT_V1("cpu,cpuacct")},
          {"/proc/self/cgroup", "4:cpu,cpuacct:/job\n"},
          {"/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n"},
          {"/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"}},
         0,
         3,
         3},
        {"v1 without quota",
         {{"/proc/self/mountinfo", MOUNTS_HOST MOUNT_V1("cpu,cpuacct")},
          {"/proc/self/cgroup", "4:cpu,cpuacct:/job\n"},
          {"/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n"},
          {"/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"}},
         0,
         0,
         16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_topology found;
        char root[32];
        machine_build(root, cases[i].files);
        assert_int_equal(lort_topology_probe("pack:2 core:8 pu:2", root, &found, NULL), LORT_OK);
        machine_remove(root);
        if (found.affinity != cases[i].affinity || found.quota != cases[i].quota ||
            found.threads != cases[i].threads)
            fail_msg("%s: affinity %u quota %u threads %u", cases[i].name, found.affinity,
                     found.quota, found.threads);
    }
}

static void a_recorded_machine(void **state)
{
    lort_topology found;
    assert_int_equal(
        lort_topology_probe("pack:1 core:4 pu:1", "tests/data/machines/hybrid-v1", &found, NULL),
        LORT_OK);
    assert_int_equal(found.affinity, 2);
    assert_int_equal(found.quota, 0);
    assert_int_equal(found.threads, 2);
}

static void this_machine(void **state)
{
    lort_topology found;
    assert_int_equal(lort_topology_probe(NULL, "", &found, NULL), LORT_OK);
    assert_true(found.packages >= 1 && found.numa_nodes >= 1 && found.cores >= 1 &&
                found.pus >= found.cores);
    assert_true(found.affinity >= 1 && found.threads >= 1 && found.threads <= found.affinity &&
                found.threads <= found.cores);
}

/* CPUs that `taskset` takes away do not count. */
static void a_narrow_mask(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        lort_topology found;
        cpu_set_t set, one;
        int cpu = 0;
        sched_getaffinity(0, sizeof set, &set);
        while (!CPU_ISSET(cpu, &set))
            cpu++;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        lort_topology_probe(NULL, "", &found, NULL);
        bool counted = found.pus == 1 && found.cores == 1;
#if defined(__SANITIZE_THREAD__)
        /* The sanitizer's own thread keeps the wide mask, and hwloc takes the union. */
        counted = true;
#endif
        _exit(counted && found.affinity == 1 && found.threads == 1 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machines_are_counted), cmocka_unit_test(quota_and_mask_bound_the_threads),
        cmocka_unit_test(a_recorded_machine),   cmocka_unit_test(this_machine),
        cmocka_unit_test(a_narrow_mask),
    };
    return run_chosen(tests, NULL, NULL);
}
