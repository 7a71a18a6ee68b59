/* parse: goes through a command line with the tables of options.c, and prints them as the help of a
 * command. See options.h. The first fault counts. The rest of the line is still read, so that a
 * report can be written where --json says. */
#include "compress/cli/console/place.h"
#include "compress/cli/ui/guess.h"
#include "compress/cli/ui/options.h"
#include "compress/cli/ui/report_place.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MOST_OPTIONS 48

static bool takes_value(const lort_cli_option *option)
{
    return option->kind != LORT_CLI_FLAG && option->kind != LORT_CLI_GOAL;
}

static lort_code choose_goal(const lort_cli_option *option, lort_cli_values *values,
                             lort_error *err)
{
    if (option->goal == LORT_GOAL_DEFAULT)
        return LORT_OK;
    if (values->goal_name && strcmp(values->goal_name, option->name) != 0)
        return lort_fail(err, LORT_E_USAGE, "--%s and --%s are both targets: give one",
                         values->goal_name, option->name);
    values->goal_name = option->name;
    values->job.goal = option->goal;
    return LORT_OK;
}

/* Builds getopt's tables from the rows. The value of a long option is 256 + row, so that a row
 * without a letter has a value too. */
static unsigned build_getopt(const lort_cli_option *rows, struct option *longs, char *shorts)
{
    unsigned n = 0;
    *shorts++ = '-'; /* arguments come in order, whatever POSIXLY_CORRECT says */
    *shorts++ = ':';
    for (; rows[n].name && n < MOST_OPTIONS; n++) {
        longs[n] =
            (struct option){rows[n].name, takes_value(&rows[n]) ? required_argument : no_argument,
                            NULL, 256 + (int)n};
        if (rows[n].letter)
            *shorts++ = rows[n].letter;
        if (rows[n].letter && takes_value(&rows[n]))
            *shorts++ = ':';
    }
    *shorts = '\0';
    longs[n] = (struct option){0};
    return n;
}

static const lort_cli_option *row_of(const lort_cli_command *command, int value)
{
    if (value >= 256)
        return &command->options[value - 256];
    for (const lort_cli_option *row = command->options; row->name; row++)
        if (row->letter == value)
            return row;
    return NULL;
}

/* A name that no option has, or that begins several. given: with its dashes. */
static lort_code unknown_option(const lort_cli_command *command, const char *given, lort_error *err)
{
    char shown[128], names[400] = "";
    const char *word = given + strspn(given, "-");
    const size_t bytes = strcspn(word, "=");
    size_t used = 0;
    unsigned begins = 0;
    lort_cli_guess guess;
    lort_cli_guess_open(&guess, word);
    lort_escape_text(shown, sizeof shown, given);
    for (const lort_cli_option *row = command->options; row->name; row++) {
        lort_cli_guess_add(&guess, row->name);
        if (strncmp(row->name, word, bytes) == 0 && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s--%s",
                                     begins++ ? ", " : "", row->name);
    }
    if (begins > 1)
        return lort_fail(err, LORT_E_USAGE, "option '%s' is ambiguous: it may be %s", shown, names);
    return lort_fail(err, LORT_E_USAGE, "unknown option '%s'%s", shown,
                     lort_cli_guess_text(&guess, "--", names, sizeof names));
}

/* Reports an option that getopt refused. ':' is a missing value. '?' is an unknown or ambiguous
 * option, or a value for a flag. */
static lort_code bad_option(const lort_cli_command *command, int result, char **argv,
                            lort_error *err)
{
    char shown[128];
    const lort_cli_option *row = optopt ? row_of(command, optopt) : NULL;
    if (result == ':' && row && takes_value(row)) /* mingw says ':' of a value for a flag too */
        return lort_fail(err, LORT_E_USAGE, "--%s needs a value (%s)", row->name, row->argument);
    if (row)
        return lort_fail(err, LORT_E_USAGE, "--%s takes no value", row->name);
    if (optopt)
        return lort_fail(err, LORT_E_USAGE, "unknown option '-%s'",
                         lort_escape(shown, sizeof shown, &(char){(char)optopt}, 1));
    return unknown_option(command, argv[optind - 1], err);
}

static lort_code add_path(const lort_cli_command *command, lort_cli_values *values, char *path,
                          lort_error *err)
{
    char shown[256];
    lort_place_spell(path);
    if (!*path)
        return lort_fail(err, LORT_E_USAGE, "an argument is empty; give a path");
    if (values->paths == command->max_paths)
        return lort_fail(err, LORT_E_USAGE, "one argument too many: '%s'",
                         lort_escape_text(shown, sizeof shown, path));
    values->path[values->paths++] = path;
    return LORT_OK;
}

/* Models and containers are read and written at any offset, so no stream can take their place. */
static lort_code refuse_streams(const lort_cli_command *command, const lort_cli_values *values,
                                lort_error *err)
{
    const bool out = values->output && strcmp(values->output, "-") == 0,
               report = values->json && strcmp(values->json, "-") == 0;
    if (out && report && command->streams)
        return lort_fail(err, LORT_E_USAGE,
                         "-o - and --json -: standard output takes one of them; name a file for "
                         "the report");
    if (command->wants_words && report)
        return lort_fail(err, LORT_E_USAGE,
                         "--json -: standard output belongs to CMD; name a file for the report");
    if (out && !command->streams)
        return lort_fail(err, LORT_E_USAGE,
                         "-o -: %s cannot go to standard output; name a file (./- for this name)",
                         command->output);
    for (int i = 0; i < values->paths; i++)
        if (strcmp(values->path[i], "-") == 0)
            return lort_fail(err, LORT_E_USAGE,
                             "'-': LoRT cannot read standard input; name a file (./- for this "
                             "name)");
    if (values->base && strcmp(values->base, "-") == 0)
        return lort_fail(err, LORT_E_USAGE,
                         "--base -: LoRT cannot read standard input; name a file (./- for this "
                         "name)");
    if (values->job.imatrix && strcmp(values->job.imatrix, "-") == 0)
        return lort_fail(err, LORT_E_USAGE,
                         "--imatrix -: LoRT cannot read standard input; name a file (./- for this "
                         "name)");
    return LORT_OK;
}

static lort_code check_complete(const lort_cli_command *command, const lort_cli_values *values,
                                lort_error *err)
{
    if (values->help)
        return LORT_OK;
    if (values->paths < command->min_paths)
        return lort_fail(err, LORT_E_USAGE, "wants %s", command->arguments);
    if (command->output && !values->output && !values->quantize.dry_run)
        return lort_fail(err, LORT_E_USAGE, "wants an output: -o PATH");
    if (command->wants_base && !values->base)
        return lort_fail(err, LORT_E_USAGE, "wants the base of the fine-tune: --base BASE");
    if (command->wants_words && (!values->words || !*values->words))
        return lort_fail(err, LORT_E_USAGE, "wants a command behind --: %s", command->arguments);
    return refuse_streams(command, values, err);
}

/* One answer of getopt_long. */
static lort_code take_argument(const lort_cli_command *command, int result, char **argv,
                               lort_cli_values *values, lort_error *err)
{
    if (result == 1)
        return add_path(command, values, optarg, err);
    if (result == '?' || result == ':')
        return bad_option(command, result, argv, err);
    const lort_cli_option *row = row_of(command, result);
    if (row->kind == LORT_CLI_PATH)
        lort_place_spell(optarg);
    lort_code code = lort_cli_set(command, row, optarg, values, err);
    return code ? code : choose_goal(row, values, err);
}

static lort_code parse_all(const lort_cli_command *command, int argc, char **argv,
                           lort_cli_values *values, lort_error *err)
{
    struct option longs[MOST_OPTIONS + 1];
    char shorts[3 * MOST_OPTIONS];
    lort_code code = LORT_OK;
    int result;
    build_getopt(command->options, longs, shorts);
    optind = 0; /* glibc: 0 makes getopt start again and read the '-' of shorts */
    opterr = 0;
    while ((result = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        lort_code next = take_argument(command, result, argv, values, code ? NULL : err);
        code = code ? code : next;
    }
    /* getopt ends at --, and nowhere else before the end */
    values->words = command->wants_words ? argv + optind : NULL;
    for (; optind < argc && !command->wants_words; optind++) {
        lort_code next = add_path(command, values, argv[optind], code ? NULL : err);
        code = code ? code : next;
    }
    return code ? code : check_complete(command, values, err);
}

lort_code lort_cli_parse(const lort_cli_command *command, int argc, char **argv,
                         lort_cli_values *values, lort_error *err)
{
    memset(values, 0, sizeof *values);
    lort_options_init(&values->job);
    values->job.blas_core = "portable";
    lort_run_options_init(&values->run);
    lort_quantize_options_init(&values->quantize);
    lort_extract_options_init(&values->extract);
    values->fail_above = -1;
    values->path = calloc((size_t)argc + 1, sizeof *values->path);
    if (!values->path)
        return lort_fail(err, LORT_E_MEMORY, "no memory for the command line");
    lort_code code = parse_all(command, argc, argv, values, err);
    lort_code place = values->help ? LORT_OK : lort_cli_check_report(values, code ? NULL : err);
    if (place)
        values->json = NULL;
    return code ? code : place;
}

void lort_cli_values_free(lort_cli_values *values)
{
    free(values->job.include);
    free(values->job.exclude);
    free(values->quantize.tensor_types);
    free(values->path);
    lort_json_close(values->report);
    memset(values, 0, sizeof *values);
}

/* ---- help ---- */

void lort_cli_help(const lort_cli_command *command, FILE *out)
{
    fprintf(out, "Usage: lort %s %s [options]\n\n%s\n\nOptions:\n", command->name,
            command->arguments, command->summary);
    for (const lort_cli_option *row = command->options; row->name; row++) {
        char left[64], letter[8] = "    ";
        if (row->letter)
            snprintf(letter, sizeof letter, "-%c, ", row->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, row->name, row->argument ? " " : "",
                 row->argument ? row->argument : "");
        fprintf(out, "  %-28s %s\n", left, row->help);
    }
    if (*command->notes)
        fprintf(out, "\n%s", command->notes);
}
