/* tasks: see tasks.h. */
#include "compress/cli/ui/tasks.h"
#include "compress/cli/ui/print.h"
#include <stdlib.h>
#include <string.h>

/* What schedulers tell a process. The first variable that is set counts. An array job is asked
 * before the ranks within one of its elements. */
static const struct {
    const char *number; /* of this process */
    const char *count;  /* how many there are; NULL: --tasks says it */
    uint64_t first;     /* the number of the first process */
} variables[] = {
    {"SLURM_ARRAY_TASK_ID", NULL, 0}, /* a rerun of some elements changes COUNT and MIN */
    {"JOB_COMPLETION_INDEX", NULL, 0}, {"AWS_BATCH_JOB_ARRAY_INDEX", NULL, 0},
    {"PBS_ARRAY_INDEX", NULL, 0},      {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", 0},
    {"PMI_RANK", "PMI_SIZE", 0},       {"SLURM_PROCID", "SLURM_NTASKS", 0},
    {"PARALLEL_SEQ", NULL, 1},
};

static const char *variable_text(const char *name)
{
    const char *text = name ? getenv(name) : NULL;
    return text && *text ? text : NULL;
}

/* Digits alone, up to `end` or to the end of the text. */
static bool parse_whole(const char *text, const char *end, uint64_t *out)
{
    *out = 0;
    if (text == end || !*text)
        return false;
    for (; text != end && *text; text++) {
        if (*text < '0' || *text > '9' || *out > LORT_TASKS_MOST)
            return false;
        *out = 10 * *out + (uint64_t)(*text - '0');
    }
    return true;
}

static lort_code set_task(uint64_t task, uint64_t tasks, const char *what, lort_options *options,
                          lort_error *err)
{
    if (tasks == 0 || tasks > LORT_TASKS_MOST || task >= tasks)
        return lort_fail(err, LORT_E_USAGE,
                         "%s: task %llu of %llu: tasks count from 0, and there are 1 to %u", what,
                         (unsigned long long)task, (unsigned long long)tasks, LORT_TASKS_MOST);
    options->task = (uint32_t)task;
    options->tasks = (uint32_t)tasks;
    return LORT_OK;
}

static lort_code take_given(const lort_cli_values *values, lort_options *options, lort_error *err)
{
    const char *slash = strchr(values->task, '/');
    char shown[100];
    uint64_t task, tasks;
    if (!slash || !parse_whole(values->task, slash, &task) || !parse_whole(slash + 1, NULL, &tasks))
        return lort_fail(err, LORT_E_USAGE, "--task '%s': must be I/N, such as 0/16, or auto",
                         lort_escape_text(shown, sizeof shown, values->task));
    if (options->tasks && options->tasks != tasks)
        return lort_fail(err, LORT_E_USAGE, "--task %s and --tasks %u name two numbers of tasks",
                         values->task, options->tasks);
    return set_task(task, tasks, "--task", options, err);
}

/* The number of tasks for a variable that is set. */
static lort_code count_of(size_t i, const lort_options *options, uint64_t *tasks, lort_error *err)
{
    const char *text = variable_text(variables[i].count);
    char shown[100];
    *tasks = options->tasks;
    if (variables[i].count && !text && *tasks == 0)
        return lort_fail(err, LORT_E_USAGE,
                         "--task auto: %s is set but %s is not; --tasks N says how many tasks "
                         "there are",
                         variables[i].number, variables[i].count);
    if (!variables[i].count && *tasks == 0)
        return lort_fail(err, LORT_E_USAGE,
                         "--task auto took %s, which does not tell how many tasks there are: give "
                         "--tasks N",
                         variables[i].number);
    if (text && !parse_whole(text, NULL, tasks))
        return lort_fail(err, LORT_E_USAGE, "--task auto: %s is '%s', not a number",
                         variables[i].count, lort_escape_text(shown, sizeof shown, text));
    if (options->tasks && options->tasks != *tasks)
        return lort_fail(err, LORT_E_USAGE, "--task auto: %s says %llu tasks, and --tasks says %u",
                         variables[i].count, (unsigned long long)*tasks, options->tasks);
    return LORT_OK;
}

static lort_code take_variable(size_t i, const lort_cli_values *values, lort_options *options,
                               lort_error *err)
{
    const char *text = variable_text(variables[i].number);
    char shown[100];
    uint64_t number, tasks;
    if (!parse_whole(text, NULL, &number) || number < variables[i].first)
        return lort_fail(err, LORT_E_USAGE, "--task auto: %s is '%s', not the number of a task",
                         variables[i].number, lort_escape_text(shown, sizeof shown, text));
    lort_code code = count_of(i, options, &tasks, err);
    if (code == LORT_OK)
        code = set_task(number - variables[i].first, tasks, variables[i].number, options, err);
    if (code == LORT_OK && !values->quiet)
        lort_cli_print(stderr, "lort: task %u/%u, from %s\n", options->task, options->tasks,
                       variables[i].number);
    return code;
}

lort_code lort_cli_choose_task(const lort_cli_values *values, lort_options *options,
                               lort_error *err)
{
    if (!values->task && options->tasks)
        return lort_fail(err, LORT_E_USAGE, "--tasks goes with --task auto");
    if (!values->task)
        return LORT_OK;
    if (strcmp(values->task, "auto") != 0)
        return take_given(values, options, err);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (variable_text(variables[i].number))
            return take_variable(i, values, options, err);
    return lort_fail(err, LORT_E_USAGE,
                     "--task auto: no variable of a scheduler is set (SLURM_ARRAY_TASK_ID, "
                     "JOB_COMPLETION_INDEX, OMPI_COMM_WORLD_RANK, ...); give --task I/N");
}
