/* parse: goes through a command line with the tables of options.c, and prints them as the help of a
 * command. See options.h. The first fault counts. The rest of the line is still read, so that a
 * report can be written where --json says. The program never calls setlocale. So it reads and
 * writes numbers in the C locale, whatever LANG says. */
#include "compress/cli/console/place.h"
#include "compress/cli/ui/guess.h"
#include "compress/cli/ui/options.h"
#include "compress/cli/ui/report_place.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_OPTIONS 48

/* ---- one setter per kind of value ---- */

typedef struct setting {
    const lort_cli_command *command;
    const lort_cli_option *option;
    const char *text; /* the value as given */
    lort_cli_values *values;
} setting;

static lort_code refuse_value(const setting *s, const char *allowed, lort_error *err)
{
    char shown[128];
    return lort_fail(err, LORT_E_USAGE, "--%s '%s': must be %s", s->option->name,
                     lort_escape_text(shown, sizeof shown, s->text), allowed);
}

static void *field_of(const setting *s) { return (char *)s->values + s->option->at; }

static lort_code set_flag(const setting *s, lort_error *err)
{
    *(bool *)field_of(s) = true;
    return LORT_OK;
}

static lort_code set_goal(const setting *s, lort_error *err) { return LORT_OK; }

static lort_code set_whole(const setting *s, lort_error *err)
{
    char *end;
    errno = 0;
    int64_t v = strtoll(s->text, &end, 10);
    bool digits = s->text[strspn(s->text, "0123456789")] == '\0' && *s->text;
    if (!digits || *end || errno || (double)v < s->option->low || (double)v > s->option->high)
        return refuse_value(s, s->option->allowed, err);
    if (s->option->size == sizeof(int)) {
        int narrow = (int)v; /* the range of the row fits an int */
        memcpy(field_of(s), &narrow, sizeof narrow);
    } else {
        memcpy(field_of(s), &v, sizeof v);
    }
    return LORT_OK;
}

static lort_code set_real(const setting *s, lort_error *err)
{
    char *end;
    double v = strtod(s->text, &end);
    /* strtod alone would take hex, inf, nan and blanks */
    bool plain = s->text[strspn(s->text, "0123456789.eE+-")] == '\0' && *s->text;
    if (!plain || *end || !(v >= s->option->low && v <= s->option->high))
        return refuse_value(s, s->option->allowed, err);
    memcpy(field_of(s), &v, sizeof v);
    return LORT_OK;
}

static lort_code set_time(const setting *s, lort_error *err)
{
    static const struct {
        const char *suffix;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end = NULL;
    const size_t digits = strspn(s->text, "0123456789.");
    const double number = digits ? strtod(s->text, &end) : 0;
    for (size_t i = 0; end == s->text + digits && i < sizeof units / sizeof *units; i++) {
        const double seconds = number * units[i].seconds;
        if (strcmp(end, units[i].suffix) != 0 ||
            !(seconds >= s->option->low && seconds <= s->option->high))
            continue;
        memcpy(field_of(s), &seconds, sizeof seconds);
        return LORT_OK;
    }
    return refuse_value(s, s->option->allowed, err);
}

static lort_code set_bytes(const setting *s, lort_error *err)
{
    uint64_t v = 0;
    if (lort_parse_size(s->text, &v, NULL) || (double)v < s->option->low ||
        (double)v > s->option->high)
        return refuse_value(s, s->option->allowed, err);
    memcpy(field_of(s), &v, sizeof v);
    return LORT_OK;
}

static lort_code set_size(const setting *s, lort_error *err)
{
    char *end;
    const size_t digits = strspn(s->text, "0123456789.");
    if (digits == 0 || strcmp(s->text + digits, "%") != 0)
        return set_bytes(s, err);
    const double percent = strtod(s->text, &end);
    if (*end != '%' || !(percent > 0 && percent <= 100))
        return refuse_value(s, "a share above 0% and at most 100%, or bytes", err);
    memcpy((char *)s->values + s->option->count, &percent, sizeof percent);
    return LORT_OK;
}

static lort_code set_text(const setting *s, lort_error *err)
{
    if (!*s->text)
        return refuse_value(s, "a name, not empty", err);
    memcpy(field_of(s), &s->text, sizeof s->text);
    return LORT_OK;
}

static lort_code set_list(const setting *s, lort_error *err)
{
    unsigned *count = (unsigned *)(void *)((char *)s->values + s->option->count);
    const char **list = *(const char ***)field_of(s);
    if (!*s->text)
        return refuse_value(s, "a pattern, not empty", err);
    const char **grown = realloc(list, (*count + 1) * sizeof *grown);
    if (!grown)
        return lort_fail(err, LORT_E_MEMORY, "no memory for the command line");
    grown[(*count)++] = s->text;
    *(const char ***)field_of(s) = grown;
    return LORT_OK;
}

/* The place of the value in the row's choices. On failure -1, and *err is filled. */
static int choice_of(const setting *s, lort_error *err)
{
    char allowed[256] = "one of";
    for (int i = 0; s->option->choices[i]; i++) {
        if (strcasecmp(s->text, s->option->choices[i]) == 0)
            return i;
        strcat(strcat(allowed, " "), s->option->choices[i]);
    }
    refuse_value(s, allowed, err);
    return -1;
}

static lort_code set_name(const setting *s, lort_error *err)
{
    int i = choice_of(s, err);
    if (i < 0)
        return LORT_E_USAGE;
    memcpy(field_of(s), &s->option->choices[i], sizeof(const char *));
    return LORT_OK;
}

static lort_code set_choice(const setting *s, lort_error *err)
{
    int i = choice_of(s, err);
    if (i < 0)
        return LORT_E_USAGE;
    /* enums are as wide as int, and the tables have the order of the enums */
    memcpy(field_of(s), &i, sizeof i);
    return LORT_OK;
}

static lort_code (*const setters[])(const setting *, lort_error *) = {
    [LORT_CLI_FLAG] = set_flag, [LORT_CLI_GOAL] = set_goal,   [LORT_CLI_WHOLE] = set_whole,
    [LORT_CLI_REAL] = set_real, [LORT_CLI_BYTES] = set_bytes, [LORT_CLI_TIME] = set_time,
    [LORT_CLI_SIZE] = set_size, [LORT_CLI_TEXT] = set_text,   [LORT_CLI_PATH] = set_text,
    [LORT_CLI_LIST] = set_list, [LORT_CLI_NAME] = set_name,   [LORT_CLI_CHOICE] = set_choice};
_Static_assert(sizeof(lort_mode) == sizeof(int) && sizeof(lort_side_files) == sizeof(int) &&
                   sizeof(lort_lines_kind) == sizeof(int),
               "set_choice stores an int");

lort_code lort_cli_set(const lort_cli_command *command, const lort_cli_option *option,
                       const char *text, lort_cli_values *values, lort_error *err)
{
    const setting s = {command, option, text, values};
    return setters[option->kind](&s, err);
}

/* ---- the command line ---- */

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
    if (values->job.covariance && strcmp(values->job.covariance, "-") == 0)
        return lort_fail(err, LORT_E_USAGE,
                         "--covariance -: LoRT cannot read standard input; name a file (./- for "
                         "this name)");
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

/* For the report. One word may hold many options of one letter, so the list grows as it must: where
 * its length is a power of two, it is full. */
static lort_code remember_option(const lort_cli_option *row, lort_cli_values *values,
                                 lort_error *err)
{
    const uint64_t n = values->given_count;
    if ((n & (n - 1)) == 0) {
        lort_option_report *grown = realloc(values->given, (n ? 2 * n : 1) * sizeof *values->given);
        if (!grown)
            return lort_fail(err, LORT_E_MEMORY, "no memory for the command line");
        values->given = grown;
    }
    values->given[values->given_count++] =
        (lort_option_report){.name = row->name, .value = takes_value(row) ? optarg : NULL};
    return LORT_OK;
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
    lort_code code = remember_option(row, values, err);
    if (code == LORT_OK)
        code = lort_cli_set(command, row, optarg, values, err);
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
    lort_merge_options_init(&values->merge);
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
    free(values->given);
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
