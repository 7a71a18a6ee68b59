/* child: see child.h. Only this file starts a process. */
#define _GNU_SOURCE
#include "compress/cli/console/signals.h"
#include "compress/cli/out/child.h"
#include "compress/cli/ui/print.h"
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- words ---- */

/* The bytes of a word with `path` in place of {}, with its NUL. */
static size_t replaced_bytes(const char *word, size_t path_bytes, unsigned *places)
{
    size_t bytes = strlen(word) + 1;
    for (const char *at = strstr(word, "{}"); at; at = strstr(at + 2, "{}")) {
        bytes += path_bytes - 2;
        ++*places;
    }
    return bytes;
}

static char *put_word(char *to, const char *word, const char *path)
{
    for (const char *at = strstr(word, "{}"); at; at = strstr(word, "{}")) {
        to = mempcpy(to, word, (size_t)(at - word));
        to = stpcpy(to, path);
        word = at + 2;
    }
    return stpcpy(to, word) + 1;
}

char **lort_cli_child_words(char **words, const char *path, unsigned *places)
{
    size_t count = 0, bytes = 0;
    unsigned found = 0;
    const size_t path_bytes = strlen(path) + 2; /* room for {} itself, where the path is shorter */
    for (; words[count]; count++)
        bytes += replaced_bytes(words[count], path_bytes, &found);
    found -= (unsigned)(strstr(words[0], "{}") != NULL);
    if (places)
        *places = found;
    char **out = malloc((count + 1) * sizeof *out + bytes);
    if (!out)
        return NULL;
    char *to = (char *)(out + count + 1);
    for (size_t i = 0; i < count; i++) {
        out[i] = to;
        to = i ? put_word(to, words[i], path) : stpcpy(to, words[i]) + 1;
    }
    out[count] = NULL;
    return out;
}

/* ---- the command ---- */

static int cannot_run(const char *name, int why, lort_error *err)
{
    char shown[300];
    const bool missing = why == ENOENT || why == ENOTDIR;
    lort_escape_text(shown, sizeof shown, name);
    if (missing && !strchr(name, '/'))
        lort_fail(err, LORT_E_USAGE, "%s: no such command in PATH", shown);
    else
        lort_fail(err, LORT_E_USAGE, "cannot run %s: %s", shown, strerror(why));
    return missing ? LORT_CLI_NOT_FOUND : LORT_CLI_NO_RUN;
}

/* 0, or an errno value. */
static int runs(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno;
    return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : EACCES;
}

int lort_cli_child_find(const char *name, lort_error *err)
{
    const char *path = getenv("PATH");
    int why = ENOENT;
    if (strchr(name, '/')) {
        why = runs(name);
        return why ? cannot_run(name, why, err) : 0;
    }
    for (path = path ? path : "/bin:/usr/bin"; *name; path++) {
        const size_t n = strcspn(path, ":");
        char *whole = NULL;
        if (asprintf(&whole, "%.*s%s%s", (int)n, path, n ? "/" : "", name) < 0)
            return 0; /* the start will tell */
        const int one = runs(whole);
        free(whole);
        if (one == 0)
            return 0;
        why = one == EACCES ? EACCES : why;
        path += n;
        if (!*path)
            break;
    }
    return cannot_run(name, why, err);
}

/* ---- the child ---- */

/* Gives a variable the value that the user had set; `saved` keeps it. */
static void give_back(const char *name, const char *saved)
{
    const char *value = getenv(saved);
    if (value && *value)
        setenv(name, value, 1);
    else if (value)
        unsetenv(name);
    unsetenv(saved);
}

/* What lort set for itself is not for the command (start_posix.c). */
static void restore_environment(void)
{
    const char *errors = getenv("HWLOC_HIDE_ERRORS");
    give_back("OPENBLAS_NUM_THREADS", "LORT_OPENBLAS_NUM_THREADS");
    give_back("OPENBLAS_CORETYPE", "LORT_OPENBLAS_CORETYPE");
    if (errors && strcmp(errors, "2") == 0)
        unsetenv("HWLOC_HIDE_ERRORS");
}

/* Starts the command with the signals as lort found them. Returns 0 or an errno value. */
static int start(char **words, const sigset_t *mask, pid_t *child)
{
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    for (const int *at = lort_cli_replaced_signals(); *at; at++)
        sigaddset(&defaults, *at);
    int why = posix_spawnattr_init(&attributes);
    if (why)
        return why;
    posix_spawnattr_setsigmask(&attributes, mask);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    restore_environment();
    why = posix_spawnp(child, words[0], NULL, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    return why;
}

/* Waits for the end of the child. A signal of the terminal reaches its whole process group, so only
 * those of processes go on. */
static int wait_for(pid_t child, const sigset_t *signals)
{
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        siginfo_t info;
        const int number = sigwaitinfo(signals, &info);
        if (number > 0 && number != SIGCHLD && info.si_code <= 0)
            (void)kill(child, number);
    }
    return status;
}

static const char *signal_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"},
                 {SIGILL, "SIGILL"},   {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"},
                 {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGKILL, "SIGKILL"},
                 {SIGSEGV, "SIGSEGV"}, {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"},
                 {SIGTERM, "SIGTERM"}, {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == number)
            return names[i].name;
    return strsignal(number);
}

int lort_cli_child_run(char **words)
{
    static const int passed[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD};
    sigset_t signals;
    pid_t child;
    char shown[300];
    lort_error err = {0};
    lort_cli_mute(false); /* the lines of JSON have ended */
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaddset(&signals, passed[i]);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (lort_cli_signal()) /* it came before the command */
        return 128 + lort_cli_signal();
    const int why = start(words, lort_cli_found_mask(), &child);
    if (why) {
        const int result = cannot_run(words[0], why, &err);
        lort_cli_print(stderr, "lort: %s\n", err.message);
        return result;
    }
    const int status = wait_for(child, &signals);
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    lort_cli_print(stderr, "lort: %s was killed by signal %d (%s)\n",
                   lort_escape_text(shown, sizeof shown, words[0]), WTERMSIG(status),
                   signal_name(WTERMSIG(status)));
    return 128 + WTERMSIG(status);
}
