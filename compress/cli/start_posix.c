/* start_posix: see start.h. Before that, lort executes itself once more. */
#define _GNU_SOURCE
#include "compress/cli/start.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

/* A threaded OpenBLAS starts its threads and takes their buffers when it is loaded. Only an
 * environment variable of the process prevents that, so this function sets it and executes the
 * program again, once. It runs before any library is initialised (.preinit_array). Otherwise
 * OpenBLAS would end the process, or never return, where threads or address space are limited.
 *
 * LORT_OPENBLAS_NUM_THREADS has what the user set, for the command of `lort run`.
 *
 * Without /proc the program is executed by the name it was started with. If both fail, the library
 * still makes each call single-threaded. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void
single_threaded_blas(int argc, char **argv, char **environment)
{
    static char name[] = "OPENBLAS_NUM_THREADS=", one[] = "OPENBLAS_NUM_THREADS=1", *set[2048],
                before[64] = "LORT_OPENBLAS_NUM_THREADS=";
    const size_t stem = sizeof "LORT_OPENBLAS_NUM_THREADS=" - 1;
    size_t n = 0;
    (void)argc;
    set[n++] = one;
    set[n++] = before;
    for (char **at = environment; *at; at++) {
        if (strcmp(*at, one) == 0 || n + 1 == sizeof set / sizeof *set)
            return;
        if (strncmp(*at, name, strlen(name)) == 0)
            strncpy(before + stem, *at + strlen(name), sizeof before - stem - 1);
        else if (strncmp(*at, before, stem) != 0)
            set[n++] = *at;
    }
    execve("/proc/self/exe", argv, set);
    const char *started_by = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    if (started_by)
        execve(started_by, argv, set);
}

__attribute__((section(".preinit_array"),
               used)) static void (*before_libraries)(int, char **, char **) = single_threaded_blas;

/* If the caller closed a standard stream, the next file that LoRT opens would get its number, and
 * printed text would go into that file. So the number gets /dev/null, opened for reading only. Then
 * printing fails, and LoRT reports the lost output. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", O_RDONLY); /* the lowest free number: fd */
}

bool lort_cli_start(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    hold_standard_streams();
    setenv("HWLOC_HIDE_ERRORS", "2", 0); /* else hwloc writes to stderr where /sys is not mounted */
    return true;
}

/* ---- the stack ---- */

#define STACK_BYTES (1u << 20) /* what each worker thread gets */

typedef struct call {
    int (*run)(int argc, char **argv);
    int argc;
    char **argv;
    int result;
} call;

static void *make_call(void *ctx)
{
    call *c = ctx;
    c->result = c->run(c->argc, c->argv);
    return NULL;
}

/* Signals must interrupt the thread that works, so this thread blocks them while it waits. */
static void wait_for(pthread_t thread)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_join(thread, NULL);
}

static bool start_with_stack(call *c, pthread_t *thread)
{
    pthread_attr_t how;
    if (pthread_attr_init(&how))
        return false;
    const bool started = pthread_attr_setstacksize(&how, STACK_BYTES) == 0 &&
                         pthread_create(thread, &how, make_call, c) == 0;
    pthread_attr_destroy(&how);
    return started;
}

/* The kernels of OpenBLAS take about 60 KiB of stack, and more on some processors. */
int lort_cli_run_with_stack(int (*run)(int argc, char **argv), int argc, char **argv)
{
    call c = {run, argc, argv, 0};
    struct rlimit limit;
    pthread_t thread;
    if (getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur >= STACK_BYTES ||
        !start_with_stack(&c, &thread))
        return run(argc, argv);
    wait_for(thread);
    return c.result;
}
