/* table: see table.h. The texts are those of the tables: ASCII without control characters. */
#include "compress/cli/table.h"
#include "compress/cli/ui/print.h"
#include <limits.h>

/* before: what stands in front, such as a comma. NULL is null. */
static void print_text(const char *before, const char *key, const char *text)
{
    lort_cli_print(stdout, "%s\"%s\": %s", before, key, text ? "\"" : "null");
    for (const char *at = text; at && *at; at++)
        lort_cli_print(stdout, "%s%c",
                       *at == '"' || *at == '\\' ? "\\"
                       : *at == '\n'             ? "\\"
                                                 : "",
                       *at == '\n' ? 'n' : *at);
    lort_cli_print(stdout, "%s", text ? "\"" : "");
}

static const char *values_of(const lort_cli_option *option)
{
    return option->kind == LORT_CLI_FLAG || option->kind == LORT_CLI_GOAL ? "none"
           : option->kind == LORT_CLI_LIST                                ? "many"
                                                                          : "one";
}

static void print_choices(const lort_cli_option *option)
{
    lort_cli_print(stdout, ", \"choices\": %s", option->choices ? "[" : "null");
    for (unsigned i = 0; option->choices && option->choices[i]; i++)
        lort_cli_print(stdout, "%s\"%s\"", i ? ", " : "", option->choices[i]);
    lort_cli_print(stdout, "%s", option->choices ? "]" : "");
}

static void print_option(const lort_cli_option *option)
{
    const char letter[2] = {option->letter, '\0'};
    print_text("{", "name", option->name);
    print_text(", ", "letter", option->letter ? letter : NULL);
    print_text(", ", "values", values_of(option));
    print_text(", ", "argument", option->argument);
    print_choices(option);
    lort_cli_print(stdout, ", \"target\": %s",
                   option->goal != LORT_GOAL_DEFAULT ? "true" : "false");
    print_text(", ", "help", option->help);
    lort_cli_print(stdout, "}");
}

static void print_command(const lort_cli_command *command)
{
    print_text("{", "name", command->name);
    print_text(", ", "arguments", command->arguments);
    print_text(", ", "summary", command->summary);
    print_text(", ", "notes", command->notes);
    char most[16] = "null";
    if (command->max_paths < INT_MAX)
        snprintf(most, sizeof most, "%d", command->max_paths);
    lort_cli_print(stdout, ", \"least_paths\": %d, \"most_paths\": %s,\n  \"options\": [\n",
                   command->min_paths, most);
    for (const lort_cli_option *row = command->options; row->name; row++) {
        lort_cli_print(stdout, "   ");
        print_option(row);
        lort_cli_print(stdout, row[1].name ? ",\n" : "]}");
    }
}

void lort_cli_print_table(const lort_cli_command *commands, size_t count)
{
    lort_cli_print(stdout, "{\"lort\": \"%s\", \"commands\": [\n", LORT_VERSION);
    for (size_t i = 0; i < count; i++) {
        lort_cli_print(stdout, " ");
        print_command(&commands[i]);
        lort_cli_print(stdout, i + 1 < count ? ",\n" : "]}\n");
    }
}
