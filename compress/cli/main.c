/* main: the command line. Chooses the command, sets the signal handlers, and makes sure that what
 * was printed arrived.
 */
#define _GNU_SOURCE
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/finish.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static const lort_cli_command commands[] = {
    {"compress", "MODEL -o OUT.lort",
     "Compress a model into a container that restore turns back into the same kind of model.", 1, 1,
     true, lort_cli_compress_options,
     "Give at most one target. MODEL is a .gguf, any shard of a split model, a .safetensors, an "
     "index.json, or a "
     "directory.\n"
     "The output is the same for every --mode, --memory and -T.\n",
     lort_cmd_compress},
    {"plan", "MODEL", "Say what compress would do: mode, memory, disk and size. Writes nothing.", 1,
     1, false, lort_cli_plan_options, "", lort_cmd_plan},
    {"inspect", "PATH", "Show the header of a model or container: metadata and tensors.", 1, 1,
     false, lort_cli_inspect_options, "", lort_cmd_inspect},
    {"verify", "IN.lort", "Check every hash and shape of a container.", 1, 1, false,
     lort_cli_verify_options, "", lort_cmd_verify},
    {"restore", "IN.lort -o PATH", "Turn a container back into a model.", 1, 1, true,
     lort_cli_restore_options,
     "A model of several files becomes a new directory; an existing one is never replaced.\n",
     lort_cmd_restore},
    {"compare", "A B", "Measure the difference of two models or containers, tensor by tensor.", 2,
     2, false, lort_cli_compare_options, "", lort_cmd_compare},
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
    fputs("Usage: lort COMMAND ...\n\nLoRT compresses language models, larger than memory or not, "
          "by streaming their "
          "layers.\n\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s %-18s %s\n", commands[i].name, commands[i].arguments,
                commands[i].summary);
    fputs("\n'lort help COMMAND' lists the options of a command; 'lort --version' names the "
          "libraries in use.\n"
          "Exit codes: 0 ok, 1 internal, 2 usage, 3 bad input, 4 read error, 5 write error, 6 "
          "memory, 7 numeric or "
          "quality\n"
          "limit, 8 damaged container, 9 output exists or is locked, 75 stopped at a checkpoint, "
          "128+N signal N.\n",
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
        fprintf(stderr, "lort %s: %s; see 'lort %s --help'\n", command->name, err.message,
                command->name);
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

static int dispatch_command(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return LORT_E_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts(lort_version_text());
        return LORT_OK;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
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

/* A threaded OpenBLAS starts its threads and takes their buffers when it is loaded: only the
 * environment of the process can say no. So start again once with it set, and before any library is
 * initialised (.preinit_array): where threads or address space are limited, OpenBLAS would end the
 * process or never return. Without /proc the name the process was started by has to do. Where
 * neither can be started, the library still makes each call single-threaded. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void
single_threaded_blas(int argc, char **argv, char **environment)
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

__attribute__((section(".preinit_array"),
               used)) static void (*before_libraries)(int, char **, char **) = single_threaded_blas;

/* The number of a standard stream that the caller closed would go to the next file that is opened,
 * and what is printed into that file. What stands in its place cannot be written to, so that output
 * which is lost is still told. */
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
    lort_cli_set_signals();
    return close_stdout(dispatch_command(argc, argv));
}
