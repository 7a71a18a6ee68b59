/* Command lines: what every kind of option stores, what is refused and in which words, and the help
 * that lists the same rows. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/cli/ui/options.h"
#include "tests/unit/main.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define MOST_ARGUMENTS 40

static const lort_cli_option *const tables[] = {
    lort_cli_compress_options, lort_cli_plan_options,    lort_cli_inspect_options,
    lort_cli_verify_options,   lort_cli_restore_options, lort_cli_compare_options};
#define TABLES (sizeof tables / sizeof *tables)

static const lort_cli_command compress = {.name = "compress",
                                          .arguments = "MODEL",
                                          .summary = "A summary.",
                                          .min_paths = 1,
                                          .max_paths = 1,
                                          .output = "a container",
                                          .options = lort_cli_compress_options,
                                          .notes = "Some notes.\n"};
static const lort_cli_command compare = {.name = "compare",
                                         .arguments = "A B",
                                         .summary = "A summary.",
                                         .min_paths = 2,
                                         .max_paths = 2,
                                         .options = lort_cli_compare_options,
                                         .notes = ""};

static lort_cli_values values;
static lort_error err;

/* Parses words that blanks separate; they live as long as the test. */
static lort_code parse(const lort_cli_command *command, const char *line)
{
    static char text[1024];
    char *argv[MOST_ARGUMENTS + 1] = {(char *)(uintptr_t)command->name};
    int argc = 1;
    lort_cli_values_free(&values);
    assert_true(strlen(line) < sizeof text);
    strcpy(text, line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        assert_true(argc < MOST_ARGUMENTS);
        argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    }
    return lort_cli_parse(command, argc, argv, &values, &err);
}

static void parsed(const lort_cli_command *command, const char *line)
{
    const lort_code code = parse(command, line);
    if (code)
        fail_msg("'%s': code %d: %s", line, (int)code, err.message);
}

static void refused(const lort_cli_command *command, const char *line, const char *words)
{
    const lort_code code = parse(command, line);
    if (code != LORT_E_USAGE)
        fail_msg("'%s': code %d", line, (int)code);
    if (!strstr(err.message, words))
        fail_msg("'%s': '%s' lacks '%s'", line, err.message, words);
}

static void without_options_all_is_default(void **state)
{
    lort_options defaults;
    lort_options_init(&defaults);
    parsed(&compress, "m.gguf -o out");
    assert_string_equal(values.path[0], "m.gguf");
    assert_int_equal(values.paths, 1);
    assert_string_equal(values.output, "out");
    assert_true(values.job.goal == defaults.goal && values.job.max_rank == defaults.max_rank &&
                values.job.min_dim == defaults.min_dim);
    assert_true(values.job.mode == defaults.mode && values.job.zstd_level == defaults.zstd_level &&
                values.job.memory_bytes == 0);
    assert_false(values.force || values.job.force || values.quiet || values.verbose ||
                 values.help || values.job.resume);
    assert_null(values.json);
    assert_true(values.fail_above < 0);
    lort_cli_values_free(&values);
}

static void every_kind_stores_its_value(void **state)
{
    parsed(&compress, "-qv --force --rank 32 --max-rank=0 --memory 1.5G -T4 --seed "
                      "9007199254740992 --mode STREAM --time-limit 1.5h "
                      "--include a* --include b --exclude c --json r.json -o out m");
    assert_true(values.quiet && values.verbose && values.job.force);
    assert_true(values.job.goal == LORT_GOAL_RANK && values.job.rank == 32 &&
                values.job.max_rank == 0);
    assert_int_equal(values.job.memory_bytes, 3ull << 29);
    assert_int_equal(values.job.threads, 4);
    assert_int_equal(values.job.seed, 1ull << 53);
    assert_int_equal(values.job.mode, LORT_MODE_STREAM);
    assert_true(values.job.time_limit == 5400);
    assert_int_equal(values.job.include_count, 2);
    assert_string_equal(values.job.include[0], "a*");
    assert_string_equal(values.job.include[1], "b");
    assert_int_equal(values.job.exclude_count, 1);
    assert_string_equal(values.job.exclude[0], "c");
    assert_string_equal(values.json, "r.json");
    lort_cli_values_free(&values);
    assert_null(values.job.include);
}

static void sizes_are_bytes_or_a_share(void **state)
{
    parsed(&compress, "m -o out --size 2M");
    assert_true(values.job.goal == LORT_GOAL_SIZE && values.job.size_bytes == 2 << 20);
    parsed(&compress, "m -o out --size 12.5%");
    assert_true(values.job.goal == LORT_GOAL_SIZE && values.job.size_bytes == 0 &&
                values.job.value == 12.5);
}

static void times_have_units(void **state)
{
    static const struct {
        const char *text;
        double seconds;
    } times[] = {{"90", 90}, {"90s", 90}, {"15m", 900}, {"0.5h", 1800}, {"2d", 172800}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char line[64];
        snprintf(line, sizeof line, "m -o out --time-limit %s", times[i].text);
        parsed(&compress, line);
        assert_true(values.job.time_limit == times[i].seconds);
    }
}

static void one_target_and_the_last_of_its_values(void **state)
{
    refused(&compress, "m -o out --rank 3 --bpw 4", "--rank and --bpw are both targets: give one");
    refused(&compress, "m -o out --lossless --energy 0.5",
            "--lossless and --energy are both targets");
    parsed(&compress, "m -o out --rank 3 --rank 5");
    assert_int_equal(values.job.rank, 5);
    parsed(&compress, "m -o out --lossless --max-rank 7"); /* a bound, no target */
    assert_int_equal(values.job.goal, LORT_GOAL_LOSSLESS);
}

static void values_out_of_range_are_refused_with_what_is_allowed(void **state)
{
    static const char *const bad[][2] = {
        {"--rank -1", "--rank '-1': must be a whole number from 0 to 1000000"},
        {"--rank 1000001", "a whole number from 0 to 1000000"},
        {"--rank 18446744073709551617", "a whole number from 0 to 1000000"},
        {"--rank 3x", "a whole number from 0 to 1000000"},
        {"--rank ''", "a whole number from 0 to 1000000"},
        {"--energy 0", "a number above 0, at most 1"},
        {"--energy nan", "a number above 0, at most 1"},
        {"--energy 0x1p-1", "a number above 0, at most 1"},
        {"--max-error 1", "a number from 0, below 1"},
        {"--bpw 65", "a number from 0.01 to 64"},
        {"--size 0%", "must be a share above 0% and at most 100%"},
        {"--size 101%", "at most 100%"},
        {"--size 5%%", "a size such as 500M"},
        {"--memory 1K", "a size from 1M to 4194304T"},
        {"--threads 0", "a whole number from 1 to 1024"},
        {"--time-limit 1h30", "a time such as 90, 90s, 15m, 12h or 2d"},
        {"--time-limit -1", "a time such as"},
        {"--time-limit 0", "a time such as"},
        {"--mode slow", "--mode 'slow': must be one of auto full stream"},
        {"--include ''", "a pattern, not empty"},
        {"--json ''", "a name, not empty"},
        {"--mode \033[31m", "--mode '\\x1B[31m'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[128];
        snprintf(line, sizeof line, "m -o out %s", bad[i][0]);
        refused(&compress, line, bad[i][1]);
    }
    /* lists that were begun are freed */
    refused(&compress, "m --include a --include b --rank x -o out", "--rank 'x'");
}

static void what_is_no_option_is_named(void **state)
{
    refused(&compress, "m -o out --nowhere", "unknown option '--nowhere'");
    refused(&compress, "m -o out --max-eror 3",
            "unknown option '--max-eror' (did you mean --max-error?)");
    refused(&compress, "m -o out --zstd_level=3", "(did you mean --zstd-level?)");
    refused(&compress, "m -o out --max 3",
            "'--max' is ambiguous: it may be --max-error, "
            "--max-rank");
    refused(&compress, "m -o out -z", "unknown option '-z'");
    refused(&compress, "m -o out --force=yes", "--force takes no value");
    refused(&compress, "m -o out --rank", "--rank needs a value (N)");
    refused(&compress, "m -o", "--output needs a value (PATH)");
    parsed(&compress, "m -o out --thr 3"); /* the beginning of one name only */
    assert_int_equal(values.job.threads, 3);
}

/* A report tells of the first fault, so its place is known even if it stands behind the fault. */
static void the_rest_of_a_line_is_read_after_a_fault(void **state)
{
    refused(&compress, "m --rank x --bpw y --json r.json -o out", "--rank 'x'");
    assert_string_equal(values.json, "r.json");
    assert_string_equal(values.output, "out");
    refused(&compress, "m --rank x --json out -o out", "--rank 'x'");
    assert_null(values.json); /* no report may stand there */
}

static void paths_are_counted(void **state)
{
    refused(&compress, "-o out", "wants MODEL");
    refused(&compress, "m", "wants an output: -o PATH");
    refused(&compress, "m more -o out", "one argument too many: 'more'");
    refused(&compress, "'' -o out", "an argument is empty");
    refused(&compare, "a", "wants A B");
    refused(&compare, "a -", "'-': LoRT cannot read standard input");
    refused(&compress, "m -o -", "-o -: a container cannot go to standard output");
    refused(&compress, "m -o out --imatrix -", "--imatrix -: LoRT cannot read standard input");
    parsed(&compare, "./- a");
    parsed(&compare, "a --fail-above 0 b");
    assert_true(values.paths == 2 && values.fail_above == 0);
    assert_string_equal(values.path[1], "b");
    parsed(&compare, "-- -a --b");
    assert_string_equal(values.path[0], "-a");
    assert_string_equal(values.path[1], "--b");
    parsed(&compress, "--help"); /* wants nothing else */
    assert_true(values.help);
}

static void a_report_replaces_nothing_of_the_command(void **state)
{
    char name[] = "/tmp/lort-options-XXXXXX", other[64], line[256];
    const int fd = mkstemp(name);
    assert_true(fd >= 0 && close(fd) == 0);
    snprintf(other, sizeof other, "%s-link", name);
    assert_int_equal(link(name, other), 0);
    refused(&compress, "m -o out --json out",
            "--json 'out': the report would replace what the command reads or writes");
    refused(&compare, "a b --json b", "--json 'b'");
    snprintf(line, sizeof line, "%s -o out --json %s", name, other); /* another name of one file */
    const lort_code code = parse(&compress, line);
    parsed(&compress, "m -o out --json -"); /* standard output */
    assert_int_equal(unlink(name), 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(code, LORT_E_USAGE);
}

/* ---- the tables ---- */

static void names_and_letters_stand_once(void **state)
{
    for (size_t t = 0; t < TABLES; t++)
        for (const lort_cli_option *a = tables[t]; a->name; a++)
            for (const lort_cli_option *b = tables[t]; b != a; b++) {
                assert_string_not_equal(a->name, b->name);
                assert_true(a->letter == 0 || a->letter != b->letter);
            }
}

static void rows_are_whole(void **state)
{
    for (size_t t = 0; t < TABLES; t++)
        for (const lort_cli_option *row = tables[t]; row->name; row++) {
            const bool takes_value = row->kind != LORT_CLI_FLAG && row->kind != LORT_CLI_GOAL;
            const bool has_range = row->kind == LORT_CLI_WHOLE || row->kind == LORT_CLI_REAL ||
                                   row->kind == LORT_CLI_BYTES || row->kind == LORT_CLI_TIME ||
                                   row->kind == LORT_CLI_SIZE;
            const bool chooses = row->kind == LORT_CLI_NAME || row->kind == LORT_CLI_CHOICE;
            if (!row->help || takes_value != (row->argument != NULL) ||
                (has_range && (!row->allowed || row->low >= row->high)) ||
                chooses != (row->choices != NULL) || row->at + row->size > sizeof(lort_cli_values))
                fail_msg("--%s", row->name);
        }
}

static void help_lists_every_row(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    lort_cli_help(&compress, out);
    assert_int_equal(fclose(out), 0);
    assert_ptr_equal(
        strstr(text, "Usage: lort compress MODEL [options]\n\nA summary.\n\nOptions:\n"), text);
    assert_non_null(strstr(text, "\n  -o, --output PATH "));
    assert_non_null(strstr(text, "\nSome notes.\n"));
    for (const lort_cli_option *row = compress.options; row->name; row++) {
        char named[64];
        snprintf(named, sizeof named, "--%s%s%s ", row->name, row->argument ? " " : "",
                 row->argument ? row->argument : "");
        if (!strstr(text, named) || !strstr(text, row->help))
            fail_msg("the help lacks '%s' or its text", named);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_all_is_default),
        cmocka_unit_test(every_kind_stores_its_value),
        cmocka_unit_test(sizes_are_bytes_or_a_share),
        cmocka_unit_test(times_have_units),
        cmocka_unit_test(one_target_and_the_last_of_its_values),
        cmocka_unit_test(values_out_of_range_are_refused_with_what_is_allowed),
        cmocka_unit_test(what_is_no_option_is_named),
        cmocka_unit_test(the_rest_of_a_line_is_read_after_a_fault),
        cmocka_unit_test(paths_are_counted),
        cmocka_unit_test(a_report_replaces_nothing_of_the_command),
        cmocka_unit_test(names_and_letters_stand_once),
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(help_lists_every_row),
    };
    return run_chosen(tests, NULL, NULL);
}
