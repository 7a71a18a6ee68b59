/* options: the options of all commands, and the parsing of a command line. It runs no command.
 *
 * Every option of a command is one row of a table. One setter per kind of value fills the field
 * that the row names. --help prints the same rows, so an option that is not in a table does not
 * exist.
 *
 * The room holds all that the commands of lort share: options, progress, summaries, and the end of
 * a command. It must not include any header of the library but lort.h. */
#ifndef LORT_COMPRESS_CLI_UI_OPTIONS_H
#define LORT_COMPRESS_CLI_UI_OPTIONS_H

#include "compress/cli/ui/lines.h"
#include "compress/lort.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The values of a command line. Rows name a field by its offset. */
typedef struct lort_cli_values {
    lort_options job; /* compress, plan */
    lort_run_options run;
    lort_quantize_options quantize; /* what job has too is taken from there */
    lort_extract_options extract;   /* the same */
    lort_merge_options merge;
    int launcher;                               /* plan: the place in lort_cli_launchers; 0: all */
    const char *task;                           /* compress: I/N, auto; NULL: not given */
    const char *output, *json, *dtype, *tensor; /* NULL: not given */
    const char *base;                           /* extract-lora; NULL: not given */
    const char *file;                           /* restore; NULL: not given */
    double fail_above;                          /* compare; < 0: off */
    bool force, help, quiet, verbose, quick_check, sha256;
    const char *goal_name; /* the option that chose job.goal; NULL: none */
    const char **path;     /* [paths], on the heap */
    int paths;
    lort_option_report *given; /* [given_count], on the heap: the options for the report */
    uint64_t given_count;
    lort_lines_kind progress;
    char **words;      /* run: CMD and its arguments, NULL-terminated; those of main */
    lort_json *report; /* the opened place of --json; NULL: none */
} lort_cli_values;

typedef enum lort_cli_kind {
    LORT_CLI_FLAG,  /* bool */
    LORT_CLI_GOAL,  /* no value: job.goal */
    LORT_CLI_WHOLE, /* int or int64_t, as `size` says, from `low` to `high` */
    LORT_CLI_REAL,  /* double from `low` to `high` */
    LORT_CLI_BYTES, /* uint64_t, a size such as 1.5G, from `low` to `high` */
    /* double: seconds, from `low` to `high`; a number, with or without s, m, h or d behind it */
    LORT_CLI_TIME,
    LORT_CLI_SIZE,  /* uint64_t as for BYTES, or "P%": then a double at offset `count` */
    LORT_CLI_TEXT,  /* const char *, not empty */
    LORT_CLI_PATH,  /* the same; on Windows with / for every \ */
    LORT_CLI_LIST,  /* const char **, repeatable; its unsigned count is at offset `count` */
    LORT_CLI_NAME,  /* const char *: one of `choices`, in upper or lower case */
    LORT_CLI_CHOICE /* int: the place in `choices` */
} lort_cli_kind;

typedef struct lort_cli_option {
    const char *name; /* without "--" */
    char letter;      /* 0 = none */
    lort_cli_kind kind;
    lort_goal goal;         /* not DEFAULT: the option is a target; one target may be given */
    size_t at, size, count; /* offset and size of the field; count: see lort_cli_kind */
    double low, high;
    const char *allowed;        /* the allowed values in words, for messages */
    const char *const *choices; /* NULL-terminated */
    const char *argument;       /* "N" in the help; NULL for flags */
    const char *help;
} lort_cli_option;

/* The choices of plan --for, NULL-terminated. */
extern const char *const lort_cli_launchers[];

typedef struct lort_cli_command {
    const char *name, *arguments, *summary;
    int min_paths, max_paths;
    const char *output; /* what -o names, such as "a container"; NULL: the command has no output */
    const lort_cli_option *options;            /* the last row has no name */
    const char *notes;                         /* printed at the end of the help; "": none */
    int (*run)(const lort_cli_values *values); /* returns the exit code */
    bool wants_base;                           /* --base must be given */
    bool streams;                              /* -o - is standard output */
    bool wants_words;                          /* a command line follows -- */
} lort_cli_command;

/* common: those that every command has. */
extern const lort_cli_option lort_cli_common_options[], lort_cli_compress_options[],
    lort_cli_plan_options[], lort_cli_inspect_options[], lort_cli_verify_options[],
    lort_cli_restore_options[], lort_cli_compare_options[], lort_cli_quantize_options[],
    lort_cli_extract_options[], lort_cli_run_options[], lort_cli_merge_options[],
    lort_cli_report_options[];

/* Sets the field of one option. text: the value; not used for flags.
 * On failure: LORT_E_USAGE with a message that names the option and the allowed values. */
lort_code lort_cli_set(const lort_cli_command *command, const lort_cli_option *option,
                       const char *text, lort_cli_values *values, lort_error *err);

/* Parses argv[1..]; argv[0] is the name of the command. May change the texts of argv. Call
 * lort_cli_values_free in either case. On failure: LORT_E_USAGE for the first fault, with a message
 * that names the option and the allowed values. The values then hold what could be understood.
 * `json` among them is NULL if no report may be written there. */
lort_code lort_cli_parse(const lort_cli_command *command, int argc, char **argv,
                         lort_cli_values *values, lort_error *err);
void lort_cli_values_free(lort_cli_values *values);
void lort_cli_help(const lort_cli_command *command, FILE *out);

#endif
