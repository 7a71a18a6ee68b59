/* os_linux_sources and proc: memory of made-up and recorded machines, and the texts of the kernel.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/machine/memory.h"
#include "loader/os/linux/proc.h"
#include "loader/os/os.h"
#include "tests/unit/machine.h"
#include "tests/unit/main.h"
#include <sys/resource.h>
#include <sys/wait.h>

#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* 16 GiB in all, 8 GiB available */
#define INFO                                                                                       \
    {                                                                                              \
        "/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1048576 "                  \
                         "kB\nMemAvailable:    8388608 kB\n"                                       \
    }
#define MOUNTS(text)                                                                               \
    {                                                                                              \
        "/proc/self/mountinfo", MOUNTS_HOST text                                                   \
    }
#define V2(path)                                                                                   \
    INFO, MOUNTS(MOUNT_V2), {"/sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n"},         \
    {                                                                                              \
        "/proc/self/cgroup", "0::" path "\n"                                                       \
    }
#define V1(path)                                                                                   \
    INFO, MOUNTS(MOUNT_V1("memory")),                                                              \
    {                                                                                              \
        "/proc/self/cgroup", "9:cpuset:/\n4:memory:" path "\n1:name=systemd:/x\n"                  \
    }

static const struct {
    const char *name;
    machine_text files[MACHINE_FILES];
    const char *binding, *where; /* where: its end */
    uint64_t available;
    unsigned count;
} machines[] = {
    {"a plain host", {INFO}, "MemAvailable", "/proc/meminfo", GIB(8), 1},
    {"a kernel without MemAvailable",
     {{"/proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1048576 kB\nBuffers: 1024 kB\nCached: "
                        "3072 kB\nShmem: 2048 kB\n"}},
     "MemAvailable",
     "/proc/meminfo",
     GIB(1) + MIB(2),
     1},
    {"no /proc at all", {{"/empty", ""}}, "unknown", "", GIB(1), 1},
    {"a meminfo without numbers",
     {{"/proc/meminfo", "MemTotal: none\nMemAvailable: -5 kB\n"}},
     "unknown",
     "",
     GIB(1),
     1},
    {"strict overcommit",
     {{"/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nCommitLimit: 4194304 "
                        "kB\nCommitted_AS: 1048576 kB\n"},
      {"/proc/sys/vm/overcommit_memory", "2\n"}},
     "CommitLimit",
     "overcommit_memory",
     GIB(3),
     2},
    {"overcommit as usual",
     {{"/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nCommitLimit: 4194304 "
                        "kB\nCommitted_AS: 9148576 kB\n"},
      {"/proc/sys/vm/overcommit_memory", "0\n"}},
     "MemAvailable",
     "/proc/meminfo",
     GIB(8),
     1},

    {"v1 with a limit",
     {V1("/job"),
      {"/sys/fs/cgroup/memory/job/memory.stat", "cache 999999999\nrss 5\nhierarchical_memory_limit "
                                                "4294967296\ntotal_cache 3221225472\ntotal_rss "
                                                "1073741824\ntotal_shmem 104857600\n"}},
     "cgroup v1",
     "/sys/fs/cgroup/memory/job/memory.stat",
     GIB(3) - MIB(100),
     2},
    {"v1, unlimited",
     {V1("/job"),
      {"/sys/fs/cgroup/memory/job/memory.stat",
       "hierarchical_memory_limit 9223372036854771712\ntotal_rss 1073741824\n"}},
     "MemAvailable",
     "/proc/meminfo",
     GIB(8),
     1},
    {"v1 without a hierarchy figure",
     {V1("/job"),
      {"/sys/fs/cgroup/memory/job/memory.stat", "total_rss 1048576\n"},
      {"/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "2147483648\n"}},
     "cgroup v1",
     "/job/memory.limit_in_bytes",
     GIB(2) - MIB(1),
     2},
    {"v1 in a container that sees its own part as the whole",
     {INFO,
      MOUNTS("31 20 0:27 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"),
      {"/proc/self/cgroup", "4:memory:/docker/abc\n"},
      {"/sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 1073741824\ntotal_rss 0\n"}},
     "cgroup v1",
     "/sys/fs/cgroup/memory/memory.stat",
     GIB(1),
     2},
    {"v1, a path this container cannot see",
     {V1("/kubepods/pod1/c1"),
      {"/sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 1073741824\n"}},
     "cgroup v1",
     "/sys/fs/cgroup/memory/memory.stat",
     GIB(1),
     2},
    {"v1 with two controllers in one mount",
     {INFO,
      MOUNTS("31 20 0:27 / /sys/fs/cgroup/cpu,memory rw - cgroup cgroup rw,cpu,memory\n"),
      {"/proc/self/cgroup", "4:cpu,memory:/job\n"},
      {"/sys/fs/cgroup/cpu,memory/job/memory.stat", "hierarchical_memory_limit 1073741824\n"}},
     "cgroup v1",
     "/job/memory.stat",
     GIB(1),
     2},
    {"v1 used beyond its limit",
     {V1("/job"),
      {"/sys/fs/cgroup/memory/job/memory.stat",
       "hierarchical_memory_limit 1048576\ntotal_rss 2097152\n"}},
     "cgroup v1",
     "/job/memory.stat",
     0,
     2},

    {"v2 with a limit on the leaf",
     {V2("/a/job"),
      {"/sys/fs/cgroup/a/job/memory.max", "2147483648\n"},
      {"/sys/fs/cgroup/a/job/memory.stat", "anon 536870912\nfile 99\n"}},
     "cgroup v2",
     "/sys/fs/cgroup/a/job/memory.max",
     GIB(2) - MIB(512),
     2},
    {"v2 with a tighter ancestor",
     {V2("/a/b/job"),
      {"/sys/fs/cgroup/a/b/job/memory.max", "2147483648\n"},
      {"/sys/fs/cgroup/a/b/job/memory.stat", "anon 0\n"},
      {"/sys/fs/cgroup/a/memory.max", "3221225472\n"},
      {"/sys/fs/cgroup/a/memory.stat", "anon 2684354560\n"}},
     "cgroup v2",
     "/sys/fs/cgroup/a/memory.max",
     MIB(512),
     2},
    {"v2 with memory.high below memory.max",
     {V2("/job"),
      {"/sys/fs/cgroup/job/memory.max", "2147483648\n"},
      {"/sys/fs/cgroup/job/memory.high", "1073741824\n"}},
     "cgroup v2",
     "/job/memory.high",
     GIB(1),
     2},
    {"v2 full of page cache, which is not used memory",
     {V2("/job"),
      {"/sys/fs/cgroup/job/memory.max", "4294967296\n"},
      {"/sys/fs/cgroup/job/memory.current", "4294967296\n"},
      {"/sys/fs/cgroup/job/memory.stat",
       "anon 104857600\nfile 4190109696\nfile_mapped 4190109696\nactive_file 4190109696\n"}},
     "cgroup v2",
     "/job/memory.max",
     GIB(4) - MIB(100),
     2},
    {"v2 with shared memory, sockets and kernel memory",
     {V2("/job"),
      {"/sys/fs/cgroup/job/memory.max", "4294967296\n"},
      {"/sys/fs/cgroup/job/memory.stat",
       "anon 1048576\nfile 999999999\nkernel 314572800\nkernel_stack 7\nslab "
       "209715300\nsock 2097152\nshmem 4194304\nslab_reclaimable 209715200\n"}},
     "cgroup v2",
     "/job/memory.max",
     GIB(4) - MIB(1 + 2 + 4 + 100),
     2},
    {"v2 on a kernel without the kernel sum",
     {V2("/job"),
      {"/sys/fs/cgroup/job/memory.max", "4294967296\n"},
      {"/sys/fs/cgroup/job/memory.stat",
       "anon 0\nkernel_stack 1048576\npagetables 2097152\npercpu 4194304\nslab "
       "104857600\nslab_reclaimable 94371840\n"}},
     "cgroup v2",
     "/job/memory.max",
     GIB(4) - MIB(1 + 2 + 4 + 10),
     2},
    {"v2 without limits",
     {V2("/job"),
      {"/sys/fs/cgroup/job/memory.max", "max\n"},
      {"/sys/fs/cgroup/job/memory.high", "max\n"}},
     "MemAvailable",
     "/proc/meminfo",
     GIB(8),
     1},
    {"v2 with a limit above the RAM",
     {V2("/job"),
      {"/sys/fs/cgroup/job/memory.max", "17179869185\n"},
      {"/sys/fs/cgroup/job/memory.stat", "anon 15032385536\n"}},
     "MemAvailable",
     "/proc/meminfo",
     GIB(8),
     1},
    {"v2 with limits that are none",
     {V2("/a/b"),
      {"/sys/fs/cgroup/a/b/memory.max", "0\n"},
      {"/sys/fs/cgroup/a/b/memory.high", "-1\n"},
      {"/sys/fs/cgroup/a/memory.max", "99999999999999999999999\n"},
      {"/sys/fs/cgroup/a/memory.high", "\n"}},
     "MemAvailable",
     "/proc/meminfo",
     GIB(8),
     1},
    {"v2 in a namespace of its own",
     {V2("/"),
      {"/sys/fs/cgroup/memory.max", "1073741824\n"},
      {"/sys/fs/cgroup/memory.stat", "anon 1048576\n"}},
     "cgroup v2",
     "/sys/fs/cgroup/memory.max",
     GIB(1) - MIB(1),
     2},
    {"v2 below what is mounted",
     {INFO,
      MOUNTS("30 20 0:26 /../../up /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
      {"/proc/self/cgroup", "0::/\n"},
      {"/sys/fs/cgroup/cgroup.controllers", "memory\n"},
      {"/sys/fs/cgroup/memory.max", "1073741824\n"}},
     "cgroup v2",
     "/sys/fs/cgroup/memory.max",
     GIB(1),
     2},
    {"v2, a path this container cannot see",
     {V2("/kubepods/pod1/c1"), {"/sys/fs/cgroup/memory.max", "1073741824\n"}},
     "cgroup v2",
     "/sys/fs/cgroup/memory.max",
     GIB(1),
     2},
    {"v2, a path that leads outside",
     {V2("/../other"),
      {"/sys/fs/cgroup/memory.max", "1073741824\n"},
      {"/sys/fs/other/memory.max", "4096\n"}},
     "cgroup v2",
     "/sys/fs/cgroup/memory.max",
     GIB(1),
     2},
    {"v2 in a place with a blank",
     {INFO,
      MOUNTS("30 20 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n"),
      {"/proc/self/cgroup", "0::/job\n"},
      {"/my groups/cgroup.controllers", "memory\n"},
      {"/my groups/job/memory.max", "1073741824\n"}},
     "cgroup v2",
     "/my groups/job/memory.max",
     GIB(1),
     2},
    {"v2, mounted twice: the part that shows us counts",
     {INFO,
      MOUNTS("30 20 0:26 /other /elsewhere rw - cgroup2 cgroup2 rw\n" MOUNT_V2),
      {"/proc/self/cgroup", "0::/job\n"},
      {"/elsewhere/cgroup.controllers", "memory\n"},
      {"/elsewhere/memory.max", "4096\n"},
      {"/sys/fs/cgroup/cgroup.controllers", "memory\n"},
      {"/sys/fs/cgroup/job/memory.max", "1073741824\n"}},
     "cgroup v2",
     "/sys/fs/cgroup/job/memory.max",
     GIB(1),
     2},

    {"hybrid: a v2 line, but memory is v1's",
     {INFO,
      MOUNTS(MOUNT_V1("memory") "32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"),
      {"/proc/self/cgroup", "4:memory:/job\n0::/trap\n"},
      {"/sys/fs/cgroup/unified/cgroup.controllers", "hugetlb memoryless\n"},
      {"/sys/fs/cgroup/unified/trap/memory.max", "4096\n"},
      {"/sys/fs/cgroup/memory/job/memory.stat",
       "hierarchical_memory_limit 2147483648\ntotal_rss 1073741824\n"}},
     "cgroup v1",
     "/sys/fs/cgroup/memory/job/memory.stat",
     GIB(1),
     2},
    {"a limit without any /proc/meminfo",
     {MOUNTS(MOUNT_V2),
      {"/sys/fs/cgroup/cgroup.controllers", "memory\n"},
      {"/proc/self/cgroup", "0::/job\n"},
      {"/sys/fs/cgroup/job/memory.max", "536870912\n"}},
     "cgroup v2",
     "/job/memory.max",
     MIB(512),
     2},
    {"damaged kernel texts",
     {INFO,
      {"/proc/self/cgroup", ":\n0::\n\n4:memory\n::::\nx"},
      {"/proc/self/mountinfo", "1 2\n - \n30 20 0:26 / /x\n- cgroup2\n\n"}},
     "MemAvailable",
     "/proc/meminfo",
     GIB(8),
     1},
};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static void machines_are_understood(void **state)
{
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        char root[32];
        lort_memory m;
        machine_build(root, machines[i].files);
        assert_int_equal(lort_memory_probe(root, 0, &m, NULL), LORT_OK);
        machine_remove(root);
        const lort_memory_source *s = &m.sources[m.binding];
        if (m.available != machines[i].available || m.available != s->bytes ||
            m.count != machines[i].count || strcmp(s->name, machines[i].binding) != 0 ||
            !ends_with(s->where, machines[i].where))
            fail_msg("%s: %llu bytes by %s from %s, %u sources", machines[i].name,
                     (unsigned long long)m.available, s->name, s->where, m.count);
    }
}

static void the_user_replaces_all_others(void **state)
{
    const machine_text files[MACHINE_FILES] = {V2("/job"),
                                               {"/sys/fs/cgroup/job/memory.max", "1073741824\n"}};
    char root[32];
    lort_memory m;
    machine_build(root, files);
    /* Below and above the memory of the machine. */
    for (uint64_t user = MIB(1); user < GIB(2000); user *= 1000) {
        assert_int_equal(lort_memory_probe(root, user, &m, NULL), LORT_OK);
        assert_int_equal(m.available, user);
        assert_string_equal(m.sources[m.binding].name, "--memory");
        assert_int_equal(m.count, 3);
        assert_string_equal(m.sources[0].name, "MemAvailable");
        assert_int_equal(m.sources[0].bytes, GIB(8));
        assert_string_equal(m.sources[1].name, "cgroup v2");
        assert_int_equal(m.sources[1].bytes, GIB(1));
    }
    machine_remove(root);
}

static void a_recorded_hybrid_machine(void **state)
{
    lort_memory m;
    lort_group group;
    assert_int_equal(lort_memory_probe("tests/data/machines/hybrid-v1", 0, &m, NULL), LORT_OK);
    assert_int_equal(m.count, 1); /* the group is unlimited */
    assert_int_equal(m.available, (uint64_t)24322360 * 1024);
    assert_true(lort_group_find("tests/data/machines/hybrid-v1", "memory", &group));
    assert_int_equal(group.version, 1);
    assert_true(ends_with(group.dir, "/sys/fs/cgroup/memory/service/job"));
    assert_true(lort_group_up(&group) && lort_group_up(&group) && !lort_group_up(&group));
    assert_true(ends_with(group.dir, "/sys/fs/cgroup/memory"));
    assert_false(lort_group_find("tests/data/machines/hybrid-v1", "nothing", &group));
}

static void long_paths_keep_their_end(void **state)
{
    char path[400], root[32], cgroup[500], max[500];
    memset(path, 'p', sizeof path);
    path[0] = path[200] = '/';
    path[399] = '\0';
    snprintf(cgroup, sizeof cgroup, "0::%s\n", path);
    snprintf(max, sizeof max, "/sys/fs/cgroup%s/memory.max", path);
    const machine_text files[MACHINE_FILES] = {INFO,
                                               MOUNTS(MOUNT_V2),
                                               {"/sys/fs/cgroup/cgroup.controllers", "memory\n"},
                                               {"/proc/self/cgroup", cgroup},
                                               {max, "1073741824\n"}};
    lort_memory m;
    machine_build(root, files);
    assert_int_equal(lort_memory_probe(root, 0, &m, NULL), LORT_OK);
    machine_remove(root);
    assert_int_equal(m.available, GIB(1));
    assert_int_equal(strlen(m.sources[m.binding].where), sizeof m.sources[0].where - 1);
    assert_true(ends_with(m.sources[m.binding].where, "ppp/memory.max"));
}

static int limited(int resource, uint64_t bytes, const char *name)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {bytes, RLIM_INFINITY};
        lort_process_memory before, after;
        lort_memory m;
        lort_os_process_memory(&before);
        if (setrlimit((__rlimit_resource_t)resource, &limit) != 0)
            _exit(1);
        lort_memory_probe("", 0, &m, NULL);
        lort_os_process_memory(&after);
        uint64_t most =
            bytes - (resource == RLIMIT_AS ? before.virtual_bytes : before.data_bytes) + MIB(4);
        const lort_memory_source *s = &m.sources[m.binding];
        _exit(strcmp(s->name, name) != 0    ? 2
              : m.available > most          ? 3
              : m.available + MIB(8) < most ? 4
                                            : 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void process_limits_bind(void **state)
{
    lort_process_memory now;
    lort_os_process_memory(&now);
    if (now.virtual_bytes > GIB(64)) {
        print_message("skipped: a sanitizer's address space cannot be limited\n");
        skip();
    }
    if (now.virtual_bytes == 0) {
        print_message("skipped: no /proc\n");
        skip();
    }
    assert_int_equal(limited(RLIMIT_AS, now.virtual_bytes + MIB(100), "RLIMIT_AS"), 0);
    assert_int_equal(limited(RLIMIT_DATA, now.data_bytes + MIB(100), "RLIMIT_DATA"), 0);
}

static void kernel_lines_are_read(void **state)
{
    static const char text[] =
        "Name:\tx\nVmSize:\t     10 kB\nanon 4096\nanon_thp 5\nmax max\nneg -1\nbig "
        "18446744073709551615\nover 18446744073709551616\nlarge 18446744073709551615 kB\nlast 7";
    static const struct {
        const char *key;
        bool found;
        uint64_t value;
    } cases[] = {{"VmSize", true, 10240}, {"anon", true, 4096}, {"anon_thp", true, 5},
                 {"max", false, 0},       {"neg", false, 0},    {"big", true, UINT64_MAX},
                 {"over", false, 0},      {"large", false, 0},  {"last", true, 7},
                 {"thp", false, 0},       {"Name", false, 0},   {"none", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t value = 0;
        bool found = lort_proc_value(text, cases[i].key, &value);
        if (found != cases[i].found || value != cases[i].value)
            fail_msg("%s: %d %llu", cases[i].key, found, (unsigned long long)value);
    }
}

/* Found by tests/fuzz/fuzz_machine: a text that begins with an empty line must not loop for
 * ever. */
static void empty_lines_are_passed(void **state)
{
    uint64_t value = 0;
    assert_true(lort_proc_value("\n\nanon 5\n\n", "anon", &value));
    assert_int_equal(value, 5);
    assert_false(lort_proc_value("\n", "anon", &value));
    assert_false(lort_proc_value("", "anon", &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machines_are_understood),   cmocka_unit_test(the_user_replaces_all_others),
        cmocka_unit_test(a_recorded_hybrid_machine), cmocka_unit_test(long_paths_keep_their_end),
        cmocka_unit_test(process_limits_bind),       cmocka_unit_test(kernel_lines_are_read),
        cmocka_unit_test(empty_lines_are_passed),
    };
    return run_chosen(tests, NULL, NULL);
}
