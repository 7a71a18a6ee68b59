/* main: the command line. It chooses the command and sets the signal handlers. At the end it checks
 * that the printed output arrived. It must not include any header of the library but lort.h. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/completion.h"
#include "compress/cli/console/signals.h"
#include "compress/cli/start.h"
#include "compress/cli/table.h"
#include "compress/cli/ui/finish.h"
#include "compress/cli/ui/guess.h"
#include "compress/cli/ui/print.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For the help of compress and plan. */
#define JOB_NOTES                                                                                  \
    "--include is for tensors that LoRT keeps by default: small and block-quantised matrices,\n"   \
    "and, without integers, embeddings and output heads. Only a name without wildcards takes a\n"  \
    "tensor of a quantised module or a router.\n"                                                  \
    "--residual int stores integers, ternary stores -1, 0 or 1 times a scale per row, and none\n"  \
    "stores nothing. auto is int for --max-error, --bpw, --size and without a target, else\n"      \
    "none.\n"

static const lort_cli_command commands[] = {
    {"compress", "MODEL -o OUT.lort", "Compress a model into one container, a .lort file.", 1, 1,
     "a container", lort_cli_compress_options,
     "Give at most one target. MODEL is a .gguf file, any shard of a split model, a .safetensors\n"
     "file, an index.json, or a directory that holds one model.\n" JOB_NOTES
     "The output is the same for every --mode, --memory and -T. 'lort restore' makes the same\n"
     "kind of model from it.\n",
     lort_cmd_compress, false, false, false},
    {"merge", "OUT.lort", "Join the files of all tasks of compress into one container.", 1, 1, NULL,
     lort_cli_merge_options,
     "The files are OUT.lort.task-I-of-N, from 'lort compress MODEL -o OUT.lort --task I/N'. The\n"
     "container is the one that a single process would have made. LoRT checks every byte of the\n"
     "files, reads nothing of the model, and removes the files of the tasks at the end.\n",
     lort_cmd_merge, false, false, false},
    {"plan", "MODEL", "Print what compress would do: mode, memory, disk and size. Writes nothing.",
     1, 1, NULL, lort_cli_plan_options, JOB_NOTES, lort_cmd_plan, false, false, false},
    {"inspect", "PATH", "Print the metadata and the tensors of a model or container.", 1, 1, NULL,
     lort_cli_inspect_options, "", lort_cmd_inspect, false, false, false},
    {"verify", "IN.lort ...", "Check every hash and shape of containers.", 1, INT_MAX, NULL,
     lort_cli_verify_options,
     "LoRT checks every file that is named. The exit code is that of the first one that fails.\n",
     lort_cmd_verify, false, false, false},
    {"restore", "IN.lort -o PATH", "Write the model that a container holds.", 1, 1, "a model",
     lort_cli_restore_options,
     "A model of several files becomes a new directory. LoRT never replaces a directory.\n"
     "-o - writes one file to a pipe: that of the model, or the one that --file or --tensor "
     "names.\n",
     lort_cmd_restore, false, true, false},
    {"run", "IN.lort -- CMD ... {} ...", "Run a command on the model that a container holds.", 1, 1,
     NULL, lort_cli_run_options,
     "LoRT restores the model into memory, and puts its path in place of {} in the arguments of\n"
     "CMD: that of the file, or of the directory if the model has several. The exit code is that\n"
     "of CMD. LoRT refuses a model that does not fit the memory.\n",
     lort_cmd_run, false, false, true},
    {"quantize", "MODEL -o OUT.gguf", "Write a GGUF model in smaller types that llama.cpp runs.", 1,
     1, "a GGUF file", lort_cli_quantize_options,
     "Give one target. MODEL is a .gguf file in F32, F16 or BF16, any shard of a split model, or\n"
     "a .lort container of one. --type takes the names of llama-quantize, and its mixes; --size\n"
     "and --bpw choose the types by measured errors. The output is the same for every --mode,\n"
     "--memory and -T.\n",
     lort_cmd_quantize, false, false, false},
    {"extract-lora", "TUNED --base BASE -o OUT",
     "Write what a fine-tune adds to its base as an adapter.", 1, 1, "an adapter",
     lort_cli_extract_options,
     "Two GGUF models give a file for llama.cpp (--lora), two Hugging Face models a directory for\n"
     "PEFT. Without a target, updates of low rank are taken whole, and 0.98 of the energy of all\n"
     "others. No component is taken that may be rounding noise of the fine-tune. What differs and\n"
     "has no form in an adapter, such as norms in GGUF, ends the run unless --drop-unsupported.\n",
     lort_cmd_extract_lora, true, false, false},
    {"compare", "A B", "Measure the difference of two models or containers, tensor by tensor.", 2,
     2, NULL, lort_cli_compare_options,
     "It prints a summary, and with -v a line for each tensor.\n", lort_cmd_compare, false, false,
     false},
    {"report", "RUN.json [RUN2.json] -o R.html", "Show the reports of one or two runs as a page.",
     1, 2, "a page", lort_cli_report_options,
     "RUN.json is what --json wrote. The ending of R is the form: .html is a page with charts "
     "that\n"
     "needs no network, .md is for a model card or the summary of a CI run, .csv has a row per\n"
     "tensor, and .prom is for the textfile collector of node_exporter.\n",
     lort_cmd_report, false, false, false},
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
    fputs("Usage: lort COMMAND ...\n\n"
          "LoRT compresses language models. It streams their layers, so a model may be larger\n"
          "than memory.\n\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-12s %-24s %s\n", commands[i].name, commands[i].arguments,
                commands[i].summary);
    fputs(
        "\n'lort help COMMAND' lists the options of a command. 'lort --version' (also -V, "
        "version)\n"
        "names the libraries in use.\n"
        "Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 bad input, 4 read error, 5 write\n"
        "error, 6 not enough memory, 7 numerical failure or a missed quality limit, 8 damaged\n"
        "container, 9 the output exists or is locked, 75 stopped at a checkpoint, 128+N stopped\n"
        "by signal N. 'lort run' ends as its command does; 127 and 126: no such command.\n",
        out);
}

/* The options that every command has still count: a program gets its JSON. */
static int refuse_unknown(const char *name, int argc, char **argv, const lort_error *err)
{
    const lort_cli_command any = {
        .name = name, .max_paths = INT_MAX, .options = lort_cli_common_options};
    lort_cli_values values;
    lort_cli_parse(&any, argc, argv, &values, NULL);
    lort_lines_choose(values.progress);
    lort_cli_print(stderr, "lort: %s; see 'lort --help'\n", err->message);
    const int result = lort_cli_refuse(&any, &values, err->code, err);
    lort_cli_values_free(&values);
    return result;
}

/* argv[0] is the name, or a word before it. */
static int unknown_command(const char *name, int argc, char **argv)
{
    char shown[64], names[128];
    lort_error err;
    lort_cli_guess guess;
    lort_cli_guess_open(&guess, name);
    for (size_t i = 0; i < COMMANDS; i++)
        lort_cli_guess_add(&guess, commands[i].name);
    lort_cli_guess_add(&guess, "help");
    lort_cli_guess_add(&guess, "version");
    lort_fail(&err, LORT_E_USAGE, "unknown command '%s'%s",
              lort_escape_text(shown, sizeof shown, name),
              lort_cli_guess_text(&guess, "", names, sizeof names));
    return refuse_unknown(name, argc, argv, &err);
}

static int run_with_report(const lort_cli_command *command, lort_cli_values *values)
{
    lort_error err = {0};
    lort_code code = lort_cli_open_report(values, &err);
    if (code == LORT_OK)
        return command->run(values);
    lort_cli_print(stderr, "lort: %s\n", err.message);
    values->json = NULL; /* it is refused */
    return lort_cli_refuse(command, values, code, &err);
}

static int run_command(const char *name, int argc, char **argv)
{
    static lort_cli_values values; /* both are large, and the stack may be small */
    static lort_error err;
    const lort_cli_command *command = find_command(name);
    if (!command)
        return unknown_command(name, argc, argv);
    lort_code code = lort_cli_parse(command, argc, argv, &values, &err);
    lort_lines_choose(values.progress);
    if (code == LORT_E_USAGE)
        lort_cli_print(stderr, "lort %s: %s; see 'lort %s --help'\n", command->name, err.message,
                       command->name);
    else if (code)
        lort_cli_print(stderr, "lort: %s\n", err.message);
    int result = LORT_OK;
    if (code)
        result = lort_cli_refuse(command, &values, code, &err);
    else if (values.help)
        lort_cli_help(command, stdout);
    else
        result = run_with_report(command, &values);
    lort_cli_values_free(&values);
    return result;
}

/* argv[0] is --completion. */
static int print_completion(int argc, char **argv)
{
    lort_error err;
    if (lort_cli_print_completion(argc > 1 ? argv[1] : NULL, commands, COMMANDS, &err) == LORT_OK)
        return LORT_OK;
    return refuse_unknown("help", argc, argv, &err);
}

static int print_help(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name && strcmp(name, "--completion") == 0)
        return print_completion(argc - 1, argv + 1);
    if (name && strcmp(name, "--json") == 0) {
        lort_cli_print_table(commands, COMMANDS);
        return LORT_OK;
    }
    const lort_cli_command *command = name ? find_command(name) : NULL;
    if (name && !command)
        return unknown_command(name, argc - 1, argv + 1);
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
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 ||
        strcmp(argv[1], "version") == 0) {
        puts(lort_version_text());
        return LORT_OK;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
        return print_help(argc - 1, argv + 1);
    return run_command(argv[1], argc - 1, argv + 1);
}

/* Turns success into a failure if output was lost: a full disk, a closed descriptor, or a reader
 * that takes nothing although a signal asks to stop. A reader that had enough of a table is no
 * failure: `lort inspect MODEL | head`. A JSON report does not come this way. */
static int close_stdout(int result)
{
    errno = 0;
    const bool flushed = lort_cli_flush(), failed = ferror(stdout) != 0,
               left = lort_cli_reader_left();
    if ((fclose(stdout) || failed) && !left) {
        lort_cli_print(stderr, "lort: standard output: %s\n",
                       errno ? strerror(errno) : "write error");
        return result ? result : LORT_E_WRITE;
    }
    return flushed || result ? result : 128 + lort_cli_signal();
}

int main(int argc, char **argv)
{
    if (!lort_cli_start(&argc, &argv))
        return LORT_E_INTERNAL;
    lort_cli_set_signals();
    return close_stdout(lort_cli_run_with_stack(dispatch_command, argc, argv));
}
