/* bench_peers: LoRT's factorisation beside scikit-learn's randomized_svd, torch.svd_lowrank and
 * LAPACK's gesdd. All factorise the same generated matrix (spectra.h) on all cores. The table has
 * times, and the share of the energy of the best k components that each captures. The peers get f32
 * in memory, LoRT F16.
 *
 * The randomised peers run twice: with their usual number of iterations, and with the first number
 * that captures as much as LoRT does. A bar is met under two conditions. LoRT is that many times
 * faster, and captures no less than the peer. (1 % less is allowed where the peer has just passed
 * LoRT.)
 *
 * Needs a python3 with scikit-learn, torch, scipy (PYTHON in the environment, else
 * /usr/bin/python3). Says which of them is absent. */
#include "tests/bench/spectra.h"

static const struct {
    const char *name;
    double bar;
} peers[] = {{"sklearn", 3}, {"torch", 3}, {"gesdd", 50}};

typedef struct own {
    double seconds, captured;
} own;

static bench_bars bars;

static void compare(char *line, const own *lort, const spectra_need *need, int64_t k)
{
    const char *name = strtok(line, "\t"), *how = strtok(NULL, "\t"), *seconds = strtok(NULL, "\t"),
               *energy = strtok(NULL, "\t\n");
    char what[160];

    bench_need(name && how && seconds && energy, "peers.py said something else");
    if (strcmp(how, "absent") == 0) {
        printf("  %-36s is not here: skipped\n", name);
        return;
    }
    const double captured = strtod(energy, NULL) / need->optimal,
                 times = strtod(seconds, NULL) / lort->seconds;
    printf("  %-36s %8.3f s  captured %.4f  %6.2f times LoRT's\n", how, strtod(seconds, NULL),
           captured, times);
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        if (strcmp(name, peers[i].name) != 0)
            continue;
        /* gesdd is the optimum up to f32, so LoRT's own bar of captured energy counts there */
        const bool also =
            strcmp(name, "gesdd") == 0 ? lort->captured >= 0.97 : lort->captured >= 0.99 * captured;
        snprintf(what, sizeof what, "k = %" PRId64 ", %.3f against %.3f of %s: times faster", k,
                 lort->captured, captured, how);
        bench_at_least(&bars, times, peers[i].bar, "times", also, what);
    }
}

static void run_peers(const spectra *m, int64_t k, bool gesdd, const own *lort,
                      const spectra_need *need)
{
    char path[] = "/tmp/lort-peers-XXXXXX", command[300], line[300];
    const char *python = getenv("PYTHON");
    const int fd = mkstemp(path);
    const size_t bytes = (size_t)(m->rows * m->cols) * 4;

    bench_need(fd >= 0 && close(fd) == 0, "no file in /tmp");
    bench_write(path, "", 0, m->values, bytes);
    snprintf(command, sizeof command,
             "'%s' tests/bench/peers.py %s %" PRId64 " %" PRId64 " %" PRId64 " %d %.9g %s",
             python ? python : "/usr/bin/python3", path, m->rows, m->cols, k, bench_short() ? 1 : 3,
             lort->captured * need->optimal, gesdd ? "gesdd" : "");
    FILE *said = popen(command, "r");
    bench_need(said != NULL, "no shell");
    while (fgets(line, sizeof line, said))
        compare(line, lort, need, k);
    if (pclose(said) != 0)
        printf("  peers.py failed: is there no numpy, or are we not in the root of the tree? "
               "Skipped\n");
    remove(path);
}

static void measure(int64_t rows, int64_t cols, int64_t k, bool gesdd)
{
    spectra m = spectra_make(rows, cols, LORT_F16);
    const spectra_need need = spectra_measure(&m, k, 0.97);
    lort_factors f;
    own lort;

    printf("%" PRId64 " x %" PRId64 ", k = %" PRId64
           ": %.2f %% of the energy; %u cores, sgemm peak %.1f Gflop/s\n",
           rows, cols, k, 100 * need.optimal / spectra_norm2(&m), bench_cores(),
           bench_sgemm(bench_cores()));
    lort.seconds = spectra_factor(&m, k, bench_cores(), bench_short() ? 2 : 4, &f);
    lort.captured = spectra_captured(&f) / need.optimal;
    printf("  %-36s %8.3f s  captured %.4f  width %" PRId64 "\n", "LoRT", lort.seconds,
           lort.captured, f.sketch);
    fflush(stdout);
    run_peers(&m, k, gesdd, &lort, &need);
    spectra_free(&m);
}

int main(void)
{
    lort_blas_start(NULL);
    if (bench_short())
        measure(2048, 4096, 64, true);
    else {
        measure(4096, 11008, 64, true);
        measure(4096, 4096, 64, false);
        measure(4096, 4096, 256, false);
    }
    bench_bars_print(&bars);
    return 0;
}
