/* launch: see launch.h. A size or bits per weight take two rounds of tasks: the first measures. */
#include "compress/cli/ui/launch.h"
#include "compress/cli/ui/print.h"
#include <inttypes.h>
#include <string.h>

#define OUTPUT_MOST 80 /* bytes of the name that LoRT proposes */
#define JOB_MOST 40    /* Kubernetes allows 63, with a number behind */

typedef struct launch {
    const lort_cli_values *values;
    uint32_t tasks;
    uint64_t memory_bytes; /* the most that a task needs */
    bool sized;            /* two rounds */
    char output[OUTPUT_MOST + 8], job[JOB_MOST + 8];
} launch;

/* ---- words ---- */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_./,:=@%+-", c));
}

/* Prints a space and the word, quoted for a shell where it must be. */
static void put_shell(const char *word)
{
    bool plain = *word != '\0';
    for (const char *at = word; *at; at++)
        plain &= is_plain(*at);
    lort_cli_print(stdout, plain ? " " : " '");
    for (const char *at = word; *at; at++)
        lort_cli_print(stdout, *at == '\'' ? "'\\''" : "%c", *at);
    lort_cli_print(stdout, plain ? "" : "'");
}

/* Prints an element of a list of YAML. A ' within quotes is written twice. */
static void put_yaml(const char *word)
{
    lort_cli_print(stdout, ", '");
    for (const char *at = word; *at; at++)
        lort_cli_print(stdout, *at == '\'' ? "''" : "%c", *at);
    lort_cli_print(stdout, "'");
}

typedef void put_word(const char *word);

/* Options of plan that compress does not have, or that are only for plan. */
static bool is_for_plan(const char *name)
{
    static const char *const names[] = {"tasks",    "for",   "sample", "json",
                                        "progress", "quiet", "verbose"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The words behind `lort compress`, but for those that choose the task. */
static void put_job(const launch *l, bool measure, put_word *put)
{
    char name[64];
    put(l->values->path[0]);
    put("-o");
    put(l->output);
    for (uint64_t i = 0; i < l->values->given_count; i++) {
        const lort_option_report *given = &l->values->given[i];
        if (is_for_plan(given->name))
            continue;
        snprintf(name, sizeof name, "--%s", given->name);
        put(name);
        if (given->value)
            put(given->value);
    }
    if (measure)
        put("--measure");
}

static void put_auto(const launch *l, bool measure, bool counts, put_word *put)
{
    char tasks[16];
    put_job(l, measure, put);
    put("--task");
    put("auto");
    if (!counts)
        return;
    snprintf(tasks, sizeof tasks, "%" PRIu32, l->tasks);
    put("--tasks");
    put(tasks);
}

/* ---- names ---- */

/* The name of the model without folder, revision and ending, with plain characters. */
static void name_output(launch *l)
{
    static const char *const endings[] = {".gguf", ".safetensors", ".index.json"};
    const char *path = l->values->path[0], *end = path + strlen(path), *at;
    while (end > path + 1 && end[-1] == '/')
        end--;
    for (at = end; at > path && at[-1] != '/' && at[-1] != ':';)
        at--;
    const char *rev = memchr(at, '@', (size_t)(end - at));
    end = rev && rev > at ? rev : end;
    size_t n = (size_t)(end - at) < OUTPUT_MOST ? (size_t)(end - at) : OUTPUT_MOST;
    for (size_t i = 0; i < n; i++)
        l->output[i] = is_plain(at[i]) && !strchr("/,:=@%+", at[i]) ? at[i] : '-';
    l->output[n] = '\0';
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (n > strlen(endings[i]) && strcmp(l->output + n - strlen(endings[i]), endings[i]) == 0)
            l->output[n -= strlen(endings[i])] = '\0';
    if (strspn(l->output, "-.") == n) /* such as "." */
        strcpy(l->output, "model");
    else if (l->output[0] == '-')
        l->output[0] = '_';
    strcat(l->output, ".lort");
}

/* A name for Kubernetes: small letters, digits and '-'. */
static void name_job(launch *l)
{
    size_t n = (size_t)snprintf(l->job, sizeof l->job, "lort-");
    for (const char *at = l->output; strcmp(at, ".lort") != 0 && n < JOB_MOST; at++)
        l->job[n++] = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') ? *at
                      : *at >= 'A' && *at <= 'Z'                               ? (char)(*at + 32)
                                                                               : '-';
    l->job[n] = '\0';
}

/* ---- Slurm ---- */

/* One array. Exit 75 asks for another run, and scontrol gives it. The shell must outlive SIGTERM,
 * which Slurm sends to the shell too. */
static void put_array(const launch *l, const char *variable, bool measure, const char *after)
{
    lort_cli_print(stdout, "%s=$(sbatch --parsable --job-name=%s --array=0-%" PRIu32 " --requeue",
                   variable, l->job, l->tasks - 1);
    if (after)
        lort_cli_print(stdout, " --kill-on-invalid-dep=yes --dependency=afterok:$%s", after);
    lort_cli_print(stdout, " <<'LORT'\n#!/bin/sh\ntrap : TERM\nlort compress");
    put_auto(l, measure, true, put_shell);
    lort_cli_print(stdout, "\ncode=$?\n[ $code -ne 75 ] || scontrol requeue "
                           "\"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\"\nexit $code\nLORT\n)\n");
}

static void print_slurm(const launch *l)
{
    if (l->sized)
        put_array(l, "measure", true, NULL);
    put_array(l, "code", false, l->sized ? "measure" : NULL);
    lort_cli_print(stdout,
                   "sbatch --job-name=%s-merge --kill-on-invalid-dep=yes "
                   "--dependency=afterok:$code <<'LORT'\n#!/bin/sh\nlort merge",
                   l->job);
    put_shell(l->output);
    lort_cli_print(stdout, "\nLORT\n");
}

/* ---- Kubernetes ---- */

static void put_pod(const launch *l)
{
    lort_cli_print(stdout,
                   "  template:\n    spec:\n      restartPolicy: Never\n"
                   "      terminationGracePeriodSeconds: 30\n"
                   "      volumes: [{name: work, persistentVolumeClaim: {claimName: work}}]\n"
                   "      containers:\n      - name: lort\n        image: lort\n"
                   "        workingDir: /work\n"
                   "        volumeMounts: [{name: work, mountPath: /work}]\n"
                   "        resources: {requests: {memory: %" PRIu64 "Mi}}\n",
                   (l->memory_bytes >> 20) + 1);
}

static void put_head(const launch *l, const char *suffix)
{
    lort_cli_print(stdout,
                   "kubectl apply -f - <<'LORT'\napiVersion: batch/v1\nkind: Job\nmetadata:\n"
                   "  name: %s-%s\nspec:\n",
                   l->job, suffix);
}

static void put_wait(const launch *l, const char *suffix)
{
    lort_cli_print(stdout,
                   "LORT\nkubectl wait --for=condition=complete --timeout=-1s job/%s-%s || exit\n",
                   l->job, suffix);
}

static void put_indexed(const launch *l, bool measure)
{
    const char *suffix = measure ? "measure" : "code";
    put_head(l, suffix);
    lort_cli_print(stdout,
                   "  completions: %" PRIu32 "\n  parallelism: %" PRIu32
                   "\n  completionMode: Indexed\n  backoffLimitPerIndex: 3\n"
                   "  podFailurePolicy:\n    rules:\n    - action: Ignore\n"
                   "      onPodConditions: [{type: DisruptionTarget}]\n    - action: Ignore\n"
                   "      onExitCodes: {containerName: lort, operator: In, values: [75]}\n"
                   "    - action: FailIndex\n"
                   "      onExitCodes: {containerName: lort, operator: In, values: [2, 3, 7, 8]}\n",
                   l->tasks, l->tasks);
    put_pod(l);
    lort_cli_print(stdout, "        command: ['lort', 'compress'");
    put_auto(l, measure, true, put_yaml);
    lort_cli_print(stdout, "]\n");
    put_wait(l, suffix);
}

static void print_kubernetes(const launch *l)
{
    if (l->sized)
        put_indexed(l, true);
    put_indexed(l, false);
    put_head(l, "merge");
    put_pod(l);
    lort_cli_print(stdout, "        command: ['lort', 'merge'");
    put_yaml(l->output);
    lort_cli_print(stdout, "]\n");
    put_wait(l, "merge");
}

/* ---- one line a round ---- */

static void put_merge(const launch *l)
{
    lort_cli_print(stdout, "lort merge");
    put_shell(l->output);
    lort_cli_print(stdout, "\n");
}

/* parallel hands each line of its input to a shell; -q keeps the quotes of this line. */
static void put_parallel(const launch *l, bool measure)
{
    char task[32];
    lort_cli_print(stdout, "seq 0 %" PRIu32 " | parallel -q -j 2 --retries 3 lort compress",
                   l->tasks - 1);
    put_job(l, measure, put_shell);
    snprintf(task, sizeof task, "{}/%" PRIu32, l->tasks);
    lort_cli_print(stdout, " --task %s && \\\n", task);
}

static void print_parallel(const launch *l)
{
    if (l->sized)
        put_parallel(l, true);
    put_parallel(l, false);
    put_merge(l);
}

static void put_ranks(const launch *l, bool measure)
{
    lort_cli_print(stdout, "mpirun -n %" PRIu32 " lort compress", l->tasks);
    put_auto(l, measure, false, put_shell);
    lort_cli_print(stdout, " && \\\n");
}

static void print_mpirun(const launch *l)
{
    if (l->sized)
        put_ranks(l, true);
    put_ranks(l, false);
    put_merge(l);
}

static void print_short(const launch *l)
{
    for (int measure = l->sized; measure >= 0; measure--) {
        lort_cli_print(stdout, "\n%s, I from 0 to %" PRIu32 ", on any machines:\n  lort compress",
                       measure    ? "first"
                       : l->sized ? "then"
                                  : "tasks",
                       l->tasks - 1);
        put_job(l, measure != 0, put_shell);
        lort_cli_print(stdout, " --task I/%" PRIu32 "\n", l->tasks);
    }
    lort_cli_print(stdout, "at the end:\n  lort merge");
    put_shell(l->output);
    lort_cli_print(stdout, "\n\nThe lines for a launcher alone, to run as they are: --for slurm, "
                           "kubernetes, parallel or mpirun.\n");
}

void lort_cli_print_launch(const lort_cli_values *values, const lort_report *report)
{
    static void (*const prints[])(const launch *) = {print_short, print_slurm, print_kubernetes,
                                                     print_parallel, print_mpirun};
    launch l = {.values = values,
                .tasks = values->job.tasks,
                .sized = values->job.goal == LORT_GOAL_SIZE || values->job.goal == LORT_GOAL_BPW};
    for (uint64_t t = 0; t < report->run_count; t++)
        if (report->runs[t].memory_bytes > l.memory_bytes)
            l.memory_bytes = report->runs[t].memory_bytes;
    name_output(&l);
    name_job(&l);
    prints[values->launcher](&l);
}
