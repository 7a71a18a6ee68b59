/* options: every option of every command is one row of a table; one setter per kind of value fills
 * the field the row names.
 * --help is printed from the same rows, so an option that is not in a table does not exist. */
#ifndef LORT_COMPRESS_CLI_UI_OPTIONS_H
#define LORT_COMPRESS_CLI_UI_OPTIONS_H

#include "compress/lort.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Everything a command line can say. Rows point into it by offset. */
typedef struct lort_cli_values {
    lort_options job; /* compress, plan */
    lort_run_options run;
    const char *output, *json, *dtype, *tensor; /* NULL: not given */
    double fail_above;                          /* compare; < 0: off */
    bool force, help, quiet, verbose;
    const char *goal_name; /* which option chose job.goal */
    const char *path[2];
    int paths;
} lort_cli_values;

typedef enum lort_cli_kind {
    LORT_CLI_FLAG,  /* bool */
    LORT_CLI_GOAL,  /* no value: job.goal */
    LORT_CLI_WHOLE, /* int or int64_t by `size`, from `low` to `high` */
    LORT_CLI_REAL,  /* double from `low` to `high` */
    LORT_CLI_BYTES, /* uint64_t, a size such as 1.5G, from `low` to `high` */
    /* double, seconds: a number, with s, m, h or d behind it or not, from `low` to `high` */
    LORT_CLI_TIME,
    LORT_CLI_SIZE,  /* uint64_t as above, or "P%" of the input: then the double at `count` */
    LORT_CLI_TEXT,  /* const char *, not empty */
    LORT_CLI_LIST,  /* const char **, repeatable; `count` is the offset of its unsigned count */
    LORT_CLI_NAME,  /* const char *: one of `choices`, in any case */
    LORT_CLI_CHOICE /* int: the place in `choices` */
} lort_cli_kind;

typedef struct lort_cli_option {
    const char *name; /* without "--" */
    char letter;      /* 0 = none */
    lort_cli_kind kind;
    lort_goal goal; /* not DEFAULT: giving it chooses the target, which can be given once */
    size_t at, size, count;
    double low, high;
    const char *allowed;        /* the range in words, for messages */
    const char *const *choices; /* NULL-terminated */
    const char *argument;       /* "N" in the help; NULL for flags */
    const char *help;
} lort_cli_option;

typedef struct lort_cli_command {
    const char *name, *arguments, *summary;
    int min_paths, max_paths;
    bool needs_output;
    const lort_cli_option *options;            /* ends with a row without a name */
    const char *notes;                         /* the end of the help, may be "" */
    int (*run)(const lort_cli_values *values); /* gives the exit code */
} lort_cli_command;

extern const lort_cli_option lort_cli_compress_options[], lort_cli_plan_options[],
    lort_cli_inspect_options[], lort_cli_verify_options[], lort_cli_restore_options[],
    lort_cli_compare_options[];

/* Reads argv[1..] (argv[0] is the command's name). LORT_E_USAGE names the option, what is allowed,
 * and the help to read. */
lort_code lort_cli_parse(const lort_cli_command *command, int argc, char **argv,
                         lort_cli_values *values, lort_error *err);
void lort_cli_values_free(lort_cli_values *values);
void lort_cli_help(const lort_cli_command *command, FILE *out);

#endif
