/* Fuzz target: the texts about the machine, with any bytes in them. They are /proc, control groups
 * of both versions, and Slurm's environment. No crash. The least source binds and is what is
 * available. --memory stands for all others. Names end within their room. Numbers equal those of a
 * plain reading of the line. The same text gives the same result twice.
 *
 * Input: --memory (two bytes, in MiB), and runs (fuzz_input.h). A byte before each run says which
 * file or variable it is. */
#define _GNU_SOURCE
#include "fuzz_dir.h"
#include "fuzz_input.h"
#include "loader/machine/memory.h"
#include "loader/os/linux/proc.h"
#include "loader/os/os.h"

static const char *const texts[] = {"proc/meminfo",
                                    "proc/sys/vm/overcommit_memory",
                                    "proc/self/cgroup",
                                    "proc/self/mountinfo",
                                    "proc/self/status",
                                    "sys/fs/cgroup/cgroup.controllers",
                                    "sys/fs/cgroup/memory.max",
                                    "sys/fs/cgroup/memory.stat",
                                    "sys/fs/cgroup/a/memory.max",
                                    "sys/fs/cgroup/a/memory.high",
                                    "sys/fs/cgroup/a/memory.stat",
                                    "sys/fs/cgroup/a/cpu.max",
                                    "sys/fs/cgroup/memory/a/memory.stat",
                                    "sys/fs/cgroup/memory/memory.limit_in_bytes",
                                    "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us",
                                    "sys/fs/cgroup/cpu/a/cpu.cfs_period_us"};
static const char *const variables[] = {"SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU",
                                        "SLURM_CPUS_ON_NODE"};
enum { TEXTS = sizeof texts / sizeof *texts, VARIABLES = sizeof variables / sizeof *variables };

static void check_memory(uint64_t user)
{
    lort_memory m, again;
    uint64_t least = UINT64_MAX;
    CHECK(lort_memory_probe(fuzz_dir_path(), user, &m, NULL) == LORT_OK &&
          lort_memory_probe(fuzz_dir_path(), user, &again, NULL) == LORT_OK);
    CHECK(m.count > 0 && m.count <= LORT_MEMORY_SOURCES && m.binding < m.count &&
          m.available == m.sources[m.binding].bytes);
    CHECK(again.count == m.count && again.binding == m.binding);
    for (unsigned i = 0; i < m.count; i++) {
        const lort_memory_source *s = &m.sources[i], *t = &again.sources[i];
        CHECK(memchr(s->name, 0, sizeof s->name) && memchr(s->where, 0, sizeof s->where) &&
              s->name[0] && s->where[0]);
        CHECK(strcmp(s->name, t->name) == 0 && strcmp(s->where, t->where) == 0);
        /* Slurm: minus the memory that this process takes now */
        CHECK(s->bytes == t->bytes || strcmp(s->name, "Slurm") == 0);
        least = s->bytes < least ? s->bytes : least;
    }
    if (user)
        CHECK(m.available == user && strcmp(m.sources[m.binding].name, "--memory") == 0);
    else
        CHECK(m.available == least);
}

/* Reads the number of the first line "KEY: 12 kB" in another way. */
static bool value_of(const char *text, const char *key, uint64_t *value)
{
    char line[4096], name[64];
    unsigned long long number;
    for (const char *next; *text; text = next) {
        const char *end = strchrnul(text, '\n');
        const size_t n = (size_t)(end - text), k = strlen(key);
        next = end + (*end == '\n');
        if (n <= k || memcmp(text, key, k) != 0 ||
            (text[k] != ':' && text[k] != ' ' && text[k] != '\t'))
            continue;
        CHECK(n < sizeof line);
        memcpy(line, text + k + (text[k] == ':'), n - k);
        line[n - k - (text[k] == ':')] = '\0';
        const size_t blanks = strspn(line, " \t"), digits = strspn(line + blanks, "0123456789"),
                     zeros = strspn(line + blanks, "0");
        if (digits == 0 || digits - zeros > 20 ||
            (digits - zeros == 20 && memcmp(line + blanks + zeros, "18446744073709551615", 20) > 0))
            return false;
        CHECK(sscanf(line, "%llu", &number) == 1);
        const char *unit = line + blanks + digits + strspn(line + blanks + digits, " \t");
        snprintf(name, sizeof name, "%.2s", unit);
        if (strcmp(name, "kB") == 0 && number > UINT64_MAX / 1024)
            return false;
        *value = (uint64_t)number * (strcmp(name, "kB") == 0 ? 1024 : 1);
        return true;
    }
    return false;
}

static void check_values(const input *run)
{
    static const char *const keys[] = {"MemTotal", "MemAvailable", "anon", "total"};
    char text[4096];
    if (run->left >= sizeof text)
        return;
    if (run->left)
        memcpy(text, run->at, run->left);
    text[run->left] = '\0';
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint64_t found = 7, wanted = 7;
        CHECK(lort_proc_value(text, keys[i], &found) == value_of(text, keys[i], &wanted) &&
              found == wanted);
    }
}

static void check_group(const char *controller)
{
    lort_group group;
    size_t before;
    if (!lort_group_find(fuzz_dir_path(), controller, &group))
        return;
    CHECK((group.version == 1 || group.version == 2) && memchr(group.dir, 0, sizeof group.dir) &&
          group.top_chars <= strlen(group.dir));
    CHECK(strncmp(group.dir, fuzz_dir_path(), strlen(fuzz_dir_path())) == 0);
    do
        before = strlen(group.dir);
    while (lort_group_up(&group) && strlen(group.dir) < before);
    CHECK(strlen(group.dir) >= group.top_chars);
}

static void set_variable(const char *name, const input *run)
{
    char text[64] = "";
    const size_t n = run->left < sizeof text - 1 ? run->left : sizeof text - 1;
    if (n)
        memcpy(text, run->at, n);
    CHECK(setenv(name, text, 1) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    bool there[TEXTS] = {false};
    unsigned affinity, quota;
    const uint64_t user = (uint64_t)input_u16(&in) << 20;
    for (int i = 0; i < VARIABLES; i++)
        unsetenv(variables[i]);
    while (in.left) {
        const unsigned number = input_u8(&in) % (TEXTS + VARIABLES);
        const input run = input_run(&in);
        check_values(&run);
        if (number >= TEXTS) {
            set_variable(variables[number - TEXTS], &run);
            continue;
        }
        fuzz_write(texts[number], run.at, run.left);
        there[number] = true;
    }
    check_memory(0);
    if (user)
        check_memory(user);
    check_group("memory");
    check_group("cpu");
    lort_os_cpus(fuzz_dir_path(), &affinity, &quota);
    CHECK(quota <= 1u << 16);
    for (int i = 0; i < TEXTS; i++)
        if (there[i])
            fuzz_unlink(texts[i]);
    return 0;
}
