/* lort: the command line. Chooses the command, sets the signal handlers, and makes sure that what was printed arrived.
 */
#define _GNU_SOURCE
#include "compress/cli/cmd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* ---- signals: the first one asks to stop, the second one has its default effect ---- */

static atomic_int stop_signal, asked;

static void on_signal(int number)
{
    if (stop_signal) {
        signal(number, SIG_DFL);
        raise(number);
    }
    stop_signal = number;
}

static void on_question(int number) { asked = number; }

bool lort_cli_stopped(void *progress)
{
    if (asked && lort_progress_answer(progress))
        asked = 0;
    return stop_signal != 0;
}

static void set_signals(void)
{
    static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};
    /* A closed pipe, a full quota and a stray signal show as write errors or not at all, not as deaths. */
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGUSR2};
    struct sigaction action = {.sa_handler = on_signal}, question = {.sa_handler = on_question, .sa_flags = SA_RESTART}, old;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; i++)
        if (sigaction(stopping[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* nohup stays in force */
            sigaction(stopping[i], &action, NULL);
    sigaction(SIGUSR1, &question, NULL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
}

/* ---- what commands share ---- */

bool lort_cli_prints(const lort_cli_values *values) { return !values->json || strcmp(values->json, "-") != 0; }

static void say_what_is_left(const lort_report *report)
{
    if (!report->partial_path || !*report->partial_path)
        return;
    if (report->partial_tensors)
        fprintf(stderr, "lort: %s holds %llu of %llu tensors: the same command with --resume goes on from there\n", report->partial_path,
                (unsigned long long)report->partial_tensors, (unsigned long long)report->tensor_count);
    else /* it was not come to, or is not this command's */
        fprintf(stderr, "lort: %s holds the work of an earlier run, untouched: the command that began it goes on from there\n", report->partial_path);
}

int lort_cli_finish(const lort_cli_values *values, lort_report *report, lort_code code, const lort_error *err)
{
    lort_error json_err = {0};
    bool has_figures = (code == LORT_OK || code == LORT_E_NUMERIC || code == LORT_E_STOPPED) && report->command && *report->command;
    const bool by_signal = code == LORT_E_STOPPED && stop_signal;
    if (by_signal)
        fprintf(stderr, "lort: stopped by signal %d; nothing was published\n", (int)stop_signal);
    else if (code)
        fprintf(stderr, "lort: %s\n", err->message);
    if (values->json && has_figures) {
        lort_code written = lort_report_json(report, values->json, &json_err);
        if (written)
            fprintf(stderr, "lort: %s\n", json_err.message);
        code = code ? code : written;
    }
    if (code)
        say_what_is_left(report);
    const bool at_checkpoint = report->command && strcmp(report->command, "compress") == 0;
    lort_report_free(report);
    return by_signal && !at_checkpoint ? 128 + (int)stop_signal : (int)code;
}

/* ---- commands ---- */

static const lort_cli_command commands[] = {
    {"compress", "MODEL -o OUT.lort",
     "Compress a model into a container that restore turns back into the same kind of model.", 1, 1, true,
     lort_cli_compress_options,
     "Give at most one target. MODEL is a .gguf, any shard of a split model, a .safetensors, an index.json, or a "
     "directory.\n"
     "The output is the same for every --mode, --memory and -T.\n",
     lort_cmd_compress},
    {"plan", "MODEL", "Say what compress would do: mode, memory, disk and size. Writes nothing.", 1, 1, false,
     lort_cli_plan_options, "", lort_cmd_plan},
    {"inspect", "PATH", "Show the header of a model or container: metadata and tensors.", 1, 1, false,
     lort_cli_inspect_options, "", lort_cmd_inspect},
    {"verify", "IN.lort", "Check every hash and shape of a container.", 1, 1, false, lort_cli_verify_options, "",
     lort_cmd_verify},
    {"restore", "IN.lort -o PATH", "Turn a container back into a model.", 1, 1, true, lort_cli_restore_options,
     "A model of several files becomes a new directory; an existing one is never replaced.\n", lort_cmd_restore},
    {"compare", "A B", "Measure the difference of two models or containers, tensor by tensor.", 2, 2, false,
     lort_cli_compare_options, "", lort_cmd_compare},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static const lort_cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_usage(FILE *out)
{
    fputs("Usage: lort COMMAND ...\n\nLoRT compresses language models, larger than memory or not, by streaming their "
          "layers.\n\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s %-18s %s\n", commands[i].name, commands[i].arguments, commands[i].summary);
    fputs("\n'lort help COMMAND' lists the options of a command; 'lort --version' names the libraries in use.\n"
          "Exit codes: 0 ok, 1 internal, 2 usage, 3 bad input, 4 read error, 5 write error, 6 memory, 7 numeric or "
          "quality\n"
          "limit, 8 damaged container, 9 output exists or is locked, 75 stopped at a checkpoint, 128+N signal N.\n",
          out);
}

static int unknown_command(const char *name)
{
    char shown[64];
    fprintf(stderr, "lort: unknown command '%s'; see 'lort --help'\n",
            lort_escape_text(shown, sizeof shown, name));
    return LORT_E_USAGE;
}

static int run_command(const char *name, int argc, char **argv)
{
    lort_cli_values values;
    lort_error err = {0};
    const lort_cli_command *command = find_command(name);
    if (!command)
        return unknown_command(name);
    lort_code code = lort_cli_parse(command, argc, argv, &values, &err);
    if (code) {
        fprintf(stderr, "lort %s: %s; see 'lort %s --help'\n", command->name, err.message, command->name);
        return (int)code;
    }
    int result = LORT_OK;
    if (values.help)
        lort_cli_help(command, stdout);
    else
        result = command->run(&values);
    lort_cli_values_free(&values);
    return result;
}

static int print_help(const char *name)
{
    const lort_cli_command *command = name ? find_command(name) : NULL;
    if (name && !command)
        return unknown_command(name);
    if (command)
        lort_cli_help(command, stdout);
    else
        print_usage(stdout);
    return LORT_OK;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return LORT_E_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts(lort_version_text());
        return LORT_OK;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help(argc > 2 ? argv[2] : NULL);
    return run_command(argv[1], argc - 1, argv + 1);
}

/* Output that was lost (a full disk, a closed descriptor) makes a success a failure. */
static int close_stdout(int result)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) || failed) {
        fprintf(stderr, "lort: standard output: %s\n", errno ? strerror(errno) : "write error");
        return result ? result : LORT_E_WRITE;
    }
    return result;
}

/* A threaded OpenBLAS starts its threads and takes their buffers when it is loaded: only the environment of the process can say
 * no. So start again once with it set, and before any library is initialised (.preinit_array): where threads or address space
 * are limited, OpenBLAS would end the process or never return. Without /proc the name the process was started by has to do.
 * Where neither can be started, the library still makes each call single-threaded. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void single_threaded_blas(int argc, char **argv, char **environment)
{
    static char name[] = "OPENBLAS_NUM_THREADS=", one[] = "OPENBLAS_NUM_THREADS=1", *set[2048];
    size_t n = 0;
    (void)argc;
    set[n++] = one;
    for (char **at = environment; *at; at++) {
        if (strcmp(*at, one) == 0 || n + 1 == sizeof set / sizeof *set)
            return;
        if (strncmp(*at, name, strlen(name)) != 0)
            set[n++] = *at;
    }
    execve("/proc/self/exe", argv, set);
    const char *started_by = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    if (started_by)
        execve(started_by, argv, set);
}

__attribute__((section(".preinit_array"), used)) static void (*before_libraries)(int, char **, char **) = single_threaded_blas;

/* The number of a standard stream that the caller closed would go to the next file that is opened, and what is printed into that file. What stands in its place
 * cannot be written to, so that output which is lost is still told. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", O_RDONLY); /* the lowest free number: fd */
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    setenv("HWLOC_HIDE_ERRORS", "2", 0); /* else hwloc writes to stderr where /sys is not mounted */
    set_signals();
    return close_stdout(dispatch(argc, argv));
}
