/* completion: see completion.h. One printer per shell goes over the same tables as the help, so a
 * new option is completed without a change here. The texts of the tables are ASCII without control
 * characters. */
#include "compress/cli/completion.h"
#include "compress/cli/ui/print.h"
#include <string.h>

/* What may stand behind an option. */
typedef enum value_kind {
    VALUE_NONE,
    VALUE_WORDS,   /* the choices of the row */
    VALUE_FILES,   /* the name of a file */
    VALUE_FOLDERS, /* the name of a directory */
    VALUE_OTHER    /* a number or a text: nothing to complete */
} value_kind;

static value_kind value_of(const lort_cli_option *row)
{
    return !row->argument                      ? VALUE_NONE
           : row->choices                      ? VALUE_WORDS
           : strcmp(row->argument, "DIR") == 0 ? VALUE_FOLDERS
           : row->kind == LORT_CLI_PATH        ? VALUE_FILES
                                               : VALUE_OTHER;
}

/* Prints a text, with `before` in front of each character of `special`. */
static void print_escaped(const char *text, const char *special, const char *before)
{
    for (; *text; text++)
        lort_cli_print(stdout, "%s%c", strchr(special, *text) ? before : "", *text);
}

static void print_words(const char *const *words)
{
    for (unsigned i = 0; words[i]; i++)
        lort_cli_print(stdout, "%s%s", i ? " " : "", words[i]);
}

/* ---- bash ---- */

/* compgen gets a list of words. = and : part the words of bash, so a value may stand behind =. */
static const char bash_head[] =
    "_lort() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local command=${COMP_WORDS[1]} words= i\n"
    "    COMPREPLY=()\n"
    "    if [[ $cur == = ]]; then\n"
    "        cur=\n"
    "    elif [[ $prev == = ]] && ((COMP_CWORD > 2)); then\n"
    "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    fi\n"
    "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
    "        [[ ${COMP_WORDS[i]} == -- ]] && return\n"
    "    done\n";
static const char bash_middle[] =
    "    if ((COMP_CWORD == 1)) || { [[ $command == help ]] && ((COMP_CWORD == 2)); }; then\n"
    "        ((COMP_CWORD == 1)) && words=\"$commands help version --help --version\"\n"
    "        ((COMP_CWORD == 2)) && words=\"$commands --json --completion\"\n"
    "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
    "        return\n"
    "    fi\n"
    "    case $command:$prev in\n"
    "    help:--completion) words=\"bash zsh fish\" ;;\n";
static const char bash_tail[] = "    esac\n"
                                "    if [[ -n $words ]]; then\n"
                                "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                                "        return\n"
                                "    fi\n"
                                "    [[ $cur == -* ]] || return\n"
                                "    case $command in\n";

static void print_bash_values(const lort_cli_command *command, const lort_cli_option *row)
{
    static const char *const acts[] = {
        [VALUE_FILES] = "return", /* the default of bash: names of files */
        [VALUE_FOLDERS] = "COMPREPLY=($(compgen -d -- \"$cur\")); return",
        [VALUE_OTHER] = "compopt +o default 2>/dev/null; return"};
    const value_kind kind = value_of(row);
    if (kind == VALUE_NONE)
        return;
    lort_cli_print(stdout, "    %s:--%s", command->name, row->name);
    if (row->letter)
        lort_cli_print(stdout, " | %s:-%c", command->name, row->letter);
    lort_cli_print(stdout, ") ");
    if (kind == VALUE_WORDS) {
        lort_cli_print(stdout, "words=\"");
        print_words(row->choices);
        lort_cli_print(stdout, "\" ;;\n");
    } else {
        lort_cli_print(stdout, "%s ;;\n", acts[kind]);
    }
}

static void print_bash(const lort_cli_command *commands, size_t count)
{
    lort_cli_print(stdout, "# bash completion of lort, made by: lort help --completion bash\n%s",
                   bash_head);
    lort_cli_print(stdout, "    local commands=\"");
    for (size_t i = 0; i < count; i++)
        lort_cli_print(stdout, "%s%s", i ? " " : "", commands[i].name);
    lort_cli_print(stdout, "\"\n%s", bash_middle);
    for (size_t i = 0; i < count; i++)
        for (const lort_cli_option *row = commands[i].options; row->name; row++)
            print_bash_values(&commands[i], row);
    lort_cli_print(stdout, "%s", bash_tail);
    for (size_t i = 0; i < count; i++) {
        lort_cli_print(stdout, "    %s) words=\"", commands[i].name);
        for (const lort_cli_option *row = commands[i].options; row->name; row++)
            lort_cli_print(stdout, "%s--%s", row == commands[i].options ? "" : " ", row->name);
        lort_cli_print(stdout, "\" ;;\n");
    }
    lort_cli_print(stdout, "    esac\n"
                           "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                           "}\n"
                           "complete -o default -F _lort lort\n");
}

/* ---- zsh ---- */

/* One argument of _arguments: '(-o --output)'{-o+,--output=}'[help]:PATH:_files'. In its texts
 * colons and brackets have a backslash, and no row has a quotation mark but those of the shell. */
static void print_zsh_text(const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            lort_cli_print(stdout, "'\\''");
        else
            lort_cli_print(stdout, "%s%c", strchr("[]:\\", *text) ? "\\" : "", *text);
}

static void print_zsh_option(const lort_cli_option *row)
{
    const value_kind kind = value_of(row);
    const char *const equals = kind == VALUE_NONE ? "" : "=";
    const bool many = row->kind == LORT_CLI_LIST;
    if (row->letter)
        lort_cli_print(stdout, "            '(-%c --%s)'{-%c%s,--%s%s}'[", row->letter, row->name,
                       row->letter, kind == VALUE_NONE ? "" : "+", row->name, equals);
    else
        lort_cli_print(stdout, "            '%s--%s%s[", many ? "*" : "", row->name, equals);
    print_zsh_text(row->help);
    lort_cli_print(stdout, "]");
    if (kind != VALUE_NONE) {
        lort_cli_print(stdout, ":");
        print_zsh_text(row->argument);
        lort_cli_print(stdout, ":%s",
                       kind == VALUE_FILES     ? "_files"
                       : kind == VALUE_FOLDERS ? "_files -/"
                       : kind == VALUE_WORDS   ? "("
                                               : " ");
        if (kind == VALUE_WORDS) {
            print_words(row->choices);
            lort_cli_print(stdout, ")");
        }
    }
    lort_cli_print(stdout, "' \\\n");
}

static const char zsh_middle[] =
    "    )\n"
    "    if ((CURRENT == 2)); then\n"
    "        _describe -t commands 'command of lort' commands\n"
    "        return\n"
    "    fi\n"
    "    local command=$words[2]\n"
    "    shift words\n"
    "    ((CURRENT--))\n"
    "    case $command in\n"
    "    help)\n"
    "        _arguments '--json[print commands and options as JSON]' \\\n"
    "            '--completion=[print the completion of a shell]:SHELL:(bash zsh fish)' \\\n"
    "            '1:COMMAND:(($commands))'\n"
    "        ;;\n";

static void print_zsh(const lort_cli_command *commands, size_t count)
{
    lort_cli_print(stdout, "#compdef lort\n"
                           "# zsh completion of lort, made by: lort help --completion zsh\n"
                           "_lort() {\n"
                           "    local -a commands=(\n");
    for (size_t i = 0; i < count; i++) {
        lort_cli_print(stdout, "        '%s:", commands[i].name);
        print_zsh_text(commands[i].summary);
        lort_cli_print(stdout, "'\n");
    }
    lort_cli_print(stdout, "        'help:List the commands\\, or the options of a command.'\n%s",
                   zsh_middle);
    for (size_t i = 0; i < count; i++) {
        lort_cli_print(stdout, "    %s)\n        _arguments -s \\\n", commands[i].name);
        for (const lort_cli_option *row = commands[i].options; row->name; row++)
            print_zsh_option(row);
        lort_cli_print(stdout, "            '*:%s:_files'\n        ;;\n",
                       commands[i].wants_words ? "CMD" : "PATH");
    }
    lort_cli_print(stdout, "    esac\n"
                           "}\n"
                           /* a file of fpath is the body of the function; source only defines it */
                           "if [[ $funcstack[1] == _lort ]]; then\n"
                           "    _lort \"$@\"\n"
                           "elif ((${+functions[compdef]})); then\n"
                           "    compdef _lort lort\n"
                           "fi\n");
}

/* ---- fish ---- */

static const char fish_head[] =
    "# fish completion of lort, made by: lort help --completion fish\n"
    "function __lort_command\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -ge 2; and contains -- $words[2] $argv\n"
    "end\n"
    "function __lort_no_command\n"
    "    test (count (commandline -opc)) -lt 2\n"
    "end\n"
    "complete -c lort -n __lort_no_command -f\n"
    "complete -c lort -n __lort_no_command -l version -d 'name the libraries in use'\n"
    "complete -c lort -n __lort_no_command -a help -d 'list the commands'\n"
    "complete -c lort -n '__lort_command help' -l json -d 'commands and options as JSON'\n"
    "complete -c lort -n '__lort_command help' -l completion -x -a 'bash zsh fish' "
    "-d 'completion of a shell'\n";

static void print_fish_option(const lort_cli_command *command, const lort_cli_option *row)
{
    static const char *const acts[] = {[VALUE_NONE] = "",
                                       [VALUE_WORDS] = " -x -a '",
                                       [VALUE_FILES] = " -r -F",
                                       [VALUE_FOLDERS] = " -x -a '(__fish_complete_directories)'",
                                       [VALUE_OTHER] = " -x"};
    lort_cli_print(stdout, "complete -c lort -n '__lort_command %s' -l %s", command->name,
                   row->name);
    if (row->letter)
        lort_cli_print(stdout, " -s %c", row->letter);
    lort_cli_print(stdout, "%s", acts[value_of(row)]);
    if (value_of(row) == VALUE_WORDS) {
        print_words(row->choices);
        lort_cli_print(stdout, "'");
    }
    lort_cli_print(stdout, " -d '");
    print_escaped(row->help, "'\\", "\\");
    lort_cli_print(stdout, "'\n");
}

static void print_fish(const lort_cli_command *commands, size_t count)
{
    lort_cli_print(stdout, "%s", fish_head);
    for (size_t i = 0; i < count; i++) {
        lort_cli_print(stdout, "complete -c lort -n __lort_no_command -a %s -d '",
                       commands[i].name);
        print_escaped(commands[i].summary, "'\\", "\\");
        lort_cli_print(stdout, "'\ncomplete -c lort -n '__lort_command help' -f -a %s\n",
                       commands[i].name);
        for (const lort_cli_option *row = commands[i].options; row->name; row++)
            print_fish_option(&commands[i], row);
    }
}

lort_code lort_cli_print_completion(const char *shell, const lort_cli_command *commands,
                                    size_t count, lort_error *err)
{
    static const struct {
        const char *name;
        void (*print)(const lort_cli_command *commands, size_t count);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    char shown[64];
    for (size_t i = 0; shell && i < sizeof shells / sizeof *shells; i++)
        if (strcmp(shell, shells[i].name) == 0) {
            shells[i].print(commands, count);
            return LORT_OK;
        }
    return lort_fail(err, LORT_E_USAGE, "--completion '%s': must be one of bash zsh fish",
                     lort_escape_text(shown, sizeof shown, shell ? shell : ""));
}
