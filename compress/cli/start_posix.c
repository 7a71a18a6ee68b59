/* start_posix: see start.h. Before that, lort executes itself once more. */
#define _GNU_SOURCE
#include "compress/cli/start.h"
#include "compress/lort.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- the environment of OpenBLAS ---- */

/* Only environment variables of the process decide two things that OpenBLAS does when it is loaded:
 *   - A threaded OpenBLAS starts its threads and takes their buffers, unless OPENBLAS_NUM_THREADS
 *     is 1. It would end the process, or never return, where threads or address space are limited.
 *   - It chooses the kernels of a core, by OPENBLAS_CORETYPE or by the processor (--blas-core).
 * So lort sets both and executes itself again. It runs before any library is initialised
 * (.preinit_array). An environment that is right already needs no execution, so there is no second
 * one.
 *
 * LORT_OPENBLAS_NUM_THREADS and LORT_OPENBLAS_CORETYPE have what the user set, for the command of
 * `lort run`.
 *
 * Without /proc the program is executed by the name it was started with. If both fail, the library
 * still makes each call single-threaded, and refuses products of another core than the one that was
 * asked for. */
#define EARLY __attribute__((no_sanitize("address", "thread", "undefined")))

typedef struct variable {
    const char *name;  /* with = */
    char set[64];      /* name and value; "": it must not be set */
    const char *saved; /* the name that keeps the user's value, with = */
    char before[96];   /* the same with the value */
    bool seen, wrong;
} variable;

/* Returns true if the text is of this variable, or of the one that keeps its value. */
EARLY static bool takes(variable *v, const char *text)
{
    const size_t name = strlen(v->name), saved = strlen(v->saved);
    if (strncmp(text, v->saved, saved) == 0)
        return true;
    if (strncmp(text, v->name, name) != 0)
        return false;
    if (!v->seen)
        strncpy(v->before + saved, text + name, sizeof v->before - saved - 1);
    v->seen = true;
    v->wrong |= strcmp(text, v->set) != 0;
    return true;
}

EARLY static bool is_right(const variable *v) { return !v->wrong && v->seen == (v->set[0] != 0); }

/* The value of the last --blas-core, which may be shortened as getopt allows. NULL: none. If it
 * mistakes the value of another option for it, the command refuses the core that it finds. */
EARLY static const char *asked_core(int argc, char **argv)
{
    static const char option[] = "--blas-core";
    const char *asked = NULL;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const size_t bytes = strcspn(argv[i], "=");
        if (bytes < sizeof "--bl" - 1 || bytes >= sizeof option ||
            strncmp(argv[i], option, bytes) != 0)
            continue;
        if (argv[i][bytes])
            asked = argv[i] + bytes + 1;
        else if (i + 1 < argc)
            asked = argv[++i];
    }
    return asked;
}

EARLY static void execute_again(char **argv, char **set)
{
    execve("/proc/self/exe", argv, set);
    const char *started_by = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    if (started_by)
        execve(started_by, argv, set);
}

EARLY static void prepare_blas(int argc, char **argv, char **environment)
{
    static char *set[2048];
    static variable threads = {.name = "OPENBLAS_NUM_THREADS=",
                               .set = "OPENBLAS_NUM_THREADS=1",
                               .saved = "LORT_OPENBLAS_NUM_THREADS=",
                               .before = "LORT_OPENBLAS_NUM_THREADS="},
                    core = {.name = "OPENBLAS_CORETYPE=",
                            .saved = "LORT_OPENBLAS_CORETYPE=",
                            .before = "LORT_OPENBLAS_CORETYPE="};
    size_t n = 0;
    const char *type = lort_blas_coretype(asked_core(argc, argv));
    if (type)
        strncat(strcpy(core.set, core.name), type, sizeof core.set - strlen(core.name) - 1);
    for (char **at = environment; *at; at++) {
        if (n + 5 >= sizeof set / sizeof *set)
            return;
        if (!takes(&threads, *at) && !takes(&core, *at))
            set[n++] = *at;
    }
    if (is_right(&threads) && is_right(&core))
        return;
    set[n++] = threads.set;
    set[n++] = threads.before;
    set[n++] = core.before;
    if (type)
        set[n++] = core.set;
    execute_again(argv, set);
}

__attribute__((section(".preinit_array"),
               used)) static void (*before_libraries)(int, char **, char **) = prepare_blas;

/* ---- streams ---- */

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
