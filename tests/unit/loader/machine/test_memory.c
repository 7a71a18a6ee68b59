/* memory: --memory and batch systems beside what the system lists, and sizes as text. The tests of
 * each system are below tests/unit/loader/os. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/base/text.h"
#include "loader/machine/memory.h"
#include "loader/os/os.h"
#include "tests/unit/machine.h"
#include "tests/unit/main.h"
#include <locale.h>

#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* On Linux the machine has 16 GiB, of which 8 GiB are available. Elsewhere it is this machine. */
static const machine_text host[MACHINE_FILES] = {
    {"/proc/meminfo", "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n"}};

/* The source of this name, or NULL. */
static const lort_memory_source *source(const lort_memory *m, const char *name)
{
    for (unsigned i = 0; i < m->count; i++)
        if (strcmp(m->sources[i].name, name) == 0)
            return &m->sources[i];
    return NULL;
}

/* Below and above the memory of any machine. */
static void the_user_decides(void **state)
{
    lort_memory without, m;
    assert_int_equal(lort_memory_probe("", 0, &without, NULL), LORT_OK);
    assert_null(source(&without, "--memory"));
    for (uint64_t user = MIB(1); user < GIB(2000); user *= 1000) {
        assert_int_equal(lort_memory_probe("", user, &m, NULL), LORT_OK);
        assert_int_equal(m.available, user);
        assert_string_equal(m.sources[m.binding].name, "--memory");
        assert_int_equal(m.count, without.count + 1);
    }
}

static void this_machine(void **state)
{
    lort_memory m;
    assert_int_equal(lort_memory_probe("", 0, &m, NULL), LORT_OK);
    assert_in_range(m.count, 1, LORT_MEMORY_SOURCES);
    assert_true(m.available > 0);
    for (unsigned i = 0; i < m.count; i++)
        assert_true(m.sources[i].bytes >= m.available && m.sources[i].name[0] &&
                    m.sources[i].where[0]);
}

static void sizes_are_parsed(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"1", 1},
                {"4096", 4096},
                {"4096B", 4096},
                {"256M", MIB(256)},
                {"256m", MIB(256)},
                {"256MB", MIB(256)},
                {"256MiB", MIB(256)},
                {"1.5G", MIB(1536)},
                {"0.5K", 512},
                {"2T", GIB(2048)},
                {"1.25TiB", GIB(1280)},
                {"0001K", 1024},
                {"0.0009999K", 1},
                {"9223372036854775807", INT64_MAX},
                {"8388607T", GIB(8388607) << 10}};
    static const char *const bad[] = {
        "",     "0",      "0K",         "0.0G", "10X",      "1180591620717411303424",
        "2^70", "-1",     "+1",         " 1",   "1 ",       "NaN",
        "inf",  "K",      "1.",         ".5G",  "1,5G",     "1.5",
        "0.5",  "0x10",   "1KiBB",      "1KM",  "8388608T", "9223372036854775808",
        "1e9",  "1.5.5G", "0.0000001K", "\n"};
    lort_error err;
    uint64_t bytes;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        err.message[0] = '\0';
        if (lort_size_parse(good[i].text, &bytes, &err) != LORT_OK || bytes != good[i].bytes)
            fail_msg("'%s' gave %llu: %s", good[i].text, (unsigned long long)bytes, err.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes = 77;
        if (lort_size_parse(bad[i], &bytes, &err) != LORT_E_USAGE || bytes != 0 ||
            !strstr(err.message, "such as 4096, 256M or 1.5G"))
            fail_msg("'%s' gave %llu", bad[i], (unsigned long long)bytes);
    }
    assert_int_equal(lort_size_parse("x", &bytes, NULL), LORT_E_USAGE);
}

static void sizes_are_written(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1 KiB"},
                 {1536, "1.5 KiB"},
                 {MIB(256), "256 MiB"},
                 {GIB(3) / 2, "1.5 GiB"},
                 {MIB(1) - 1, "1 MiB"},
                 {GIB(1) - 1, "1 GiB"},
                 {1075, "1 KiB"},
                 {1076, "1.1 KiB"},
                 {UINT64_MAX, "16 EiB"},
                 {UINT64_C(1) << 60, "1 EiB"},
                 {UINT64_C(5) << 40, "5 TiB"}};
    char text[32], tiny[4];
    /* Where the locale is installed: no decimal comma. */
    const char *german = setlocale(LC_ALL, "de_DE.UTF-8");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(lort_size_text(cases[i].bytes, text, sizeof text), cases[i].text);
    assert_string_equal(lort_size_text(GIB(3) / 2, tiny, sizeof tiny), "1.5");
    if (german)
        setlocale(LC_ALL, "C");
}

static const struct {
    const char *name, *node, *cpu, *cpus;
    uint64_t limit; /* 0: no Slurm source */
} slurm_jobs[] = {
    {"no job", NULL, NULL, NULL, 0},
    {"--mem", "2048", NULL, "4", GIB(2)},
    {"--mem-per-cpu", NULL, "512", "4", GIB(2)},
    {"--mem beats --mem-per-cpu", "1024", "4096", "4", GIB(1)},
    {"the whole node", "0", NULL, "4", 0},
    {"more than the machine has", "99999999", NULL, NULL, 0},
    {"per CPU without CPUs", NULL, "512", NULL, 0},
    {"no number", "2G", NULL, NULL, 0},
    {"negative", "-1", NULL, NULL, 0},
    {"too large for 64 bits", "99999999999999999999999", NULL, NULL, 0},
    {"a product too large", NULL, "9999999999999999", "9999999999999999", 0},
};

static void set_or_not(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void slurm_jobs_bind(void **state)
{
    char root[64];
    machine_build(root, host);
    for (size_t i = 0; i <= sizeof slurm_jobs / sizeof *slurm_jobs; i++) {
        /* The last turn has no job, like the first. */
        size_t job = i % (sizeof slurm_jobs / sizeof *slurm_jobs);
        const uint64_t limit = slurm_jobs[job].limit;
        lort_memory m;
        set_or_not("SLURM_MEM_PER_NODE", slurm_jobs[job].node);
        set_or_not("SLURM_MEM_PER_CPU", slurm_jobs[job].cpu);
        set_or_not("SLURM_CPUS_ON_NODE", slurm_jobs[job].cpus);
        assert_int_equal(lort_memory_probe(root, 0, &m, NULL), LORT_OK);
        const lort_memory_source *slurm = source(&m, "Slurm");
        if ((slurm != NULL) != (limit != 0))
            fail_msg("%s: bound by %s", slurm_jobs[job].name, m.sources[m.binding].name);
        if (limit) { /* less what this process has already, where the system tells it */
            lort_process_memory now;
            lort_os_process_memory(&now);
            assert_true(slurm->bytes < limit || now.anon_bytes == 0);
            assert_true(slurm->bytes > limit - MIB(512) && m.available <= slurm->bytes);
        }
    }
    machine_remove(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_user_decides), cmocka_unit_test(this_machine),
        cmocka_unit_test(sizes_are_parsed), cmocka_unit_test(sizes_are_written),
        cmocka_unit_test(slurm_jobs_bind),
    };
    return run_chosen(tests, NULL, NULL);
}
