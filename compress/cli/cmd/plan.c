/* lort plan: prints on stdout how compress would run. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/launch.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <inttypes.h>
#include <math.h>

/* What helps where no tensor is tried, by the reason that keeps most bytes. "": nothing does. */
static const char *help_for(lort_reason reason)
{
    static const char *const texts[LORT_REASONS] = {
        [LORT_REASON_QUANTISED] =
            "start from the F16 or BF16 original, or try one with --include NAME",
        [LORT_REASON_EMBEDDING] = "--include NAME tries one",
        [LORT_REASON_EXCLUDED] = "--exclude keeps them",
        [LORT_REASON_F8_SCALES] = "start from the F16 or BF16 original",
    };
    return texts[reason] ? texts[reason] : "";
}

/* The smaller side of the matrices of a tensor. */
static int64_t side_of(const lort_tensor_report *tensor)
{
    const int64_t *last = tensor->n_dims < 2 ? NULL : tensor->shape + tensor->n_dims - 2;
    return !last ? 0 : last[0] < last[1] ? last[0] : last[1];
}

static void print_small(const lort_report *report)
{
    uint64_t small = 0;
    int64_t least = INT64_MAX;
    for (uint64_t i = 0; i < report->tensor_count; i++)
        if (report->tensors[i].reason == LORT_REASON_SMALL) {
            const int64_t side = side_of(&report->tensors[i]);
            least = side > 0 && side < least ? side : least;
            small++;
        }
    lort_cli_print(stdout, "  %-10s--min-dim %" PRId64 " tries %" PRIu64 " of them\n", "help",
                   least, small);
}

/* Says why nothing is tried, and what would help. The counts by reason stand above. */
static void print_help(const lort_report *report)
{
    uint64_t bytes[LORT_REASONS] = {0};
    unsigned most = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        if (report->tensors[i].action != LORT_ACTION_KEPT)
            return;
        bytes[report->tensors[i].reason] += report->tensors[i].bytes_in;
    }
    for (unsigned i = 0; i < LORT_REASONS; i++)
        most = bytes[i] > bytes[most] ? i : most;
    if (most == LORT_REASON_LOSSLESS || report->tensor_count == 0)
        return;
    if (most == LORT_REASON_SMALL)
        print_small(report);
    else
        lort_cli_print(stdout, "  %-10s%s\n", "help",
                       *help_for((lort_reason)most)
                           ? help_for((lort_reason)most)
                           : "nothing here can be tried: LoRT compresses matrices of "
                             "floating-point numbers, and stores all else losslessly");
}

static void print_plan(const lort_report *report, bool verbose)
{
    char worst[32], mean[32];
    lort_cli_print_start(stdout, report);
    lort_cli_print_importance(stdout, report);
    for (uint64_t i = 0; verbose && i < report->tensor_count; i++)
        lort_cli_print_tensor(stdout, &report->tensors[i]);
    lort_cli_print_actions(stdout, report);
    if (isnan(report->worst_error)) /* else a sample has decided about some */
        print_help(report);
    if (!isnan(report->worst_error))
        lort_cli_print(stdout, "  %-10sworst %s, mean %s (of the sampled matrices)\n", "error",
                       lort_cli_number(report->worst_error, worst, sizeof worst),
                       lort_cli_number(report->mean_error, mean, sizeof mean));
    if (!isnan(report->estimated_seconds))
        lort_cli_print(stdout, "  %-10sthe sample took %s, all matrices would take about %s\n",
                       "time", lort_cli_seconds(report->sample_seconds, worst, sizeof worst),
                       lort_cli_seconds(report->estimated_seconds, mean, sizeof mean));
}

#define RUNS_SHOWN 64

static void print_runs(const lort_report *report, bool all)
{
    char bytes[32], memory[32];
    const uint64_t most = all || report->run_count <= RUNS_SHOWN ? report->run_count : RUNS_SHOWN;
    lort_cli_print(stdout, "\n%6s %15s %8s %10s %7s %10s\n", "task", "extents", "tensors", "bytes",
                   "cost", "memory");
    for (uint64_t t = 0; t < most; t++) {
        const lort_run_report *run = &report->runs[t];
        lort_cli_print(stdout,
                       "%6" PRIu64 " %7" PRIu64 "-%-7" PRIu64 " %8" PRIu64 " %10s %6.2f%% %10s\n",
                       t, run->first, run->first + run->extents, run->tensors,
                       lort_print_size(run->bytes_in, bytes, sizeof bytes), 100 * run->share,
                       lort_print_size(run->memory_bytes, memory, sizeof memory));
    }
    if (most < report->run_count)
        lort_cli_print(stdout, "   ... %" PRIu64 " more tasks: -v shows them, --json has them\n",
                       report->run_count - most);
    lort_cli_print(stdout, "  slowest over mean %.3f, by planned cost\n",
                   report->slowest_over_mean);
}

/* With --for the lines of a launcher stand alone on stdout, so that a shell can run them. */
static void print_all(const lort_cli_values *values, const lort_report *report)
{
    if (!values->launcher)
        print_plan(report, values->verbose);
    if (!values->launcher && report->run_count)
        print_runs(report, values->verbose);
    if (report->run_count)
        lort_cli_print_launch(values, report);
}

int lort_cmd_plan(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_code code = LORT_OK;
    lort_progress_open(&progress, lort_cli_stopped, values->quiet || values->launcher, false,
                       false);
    if (values->launcher && !values->job.tasks)
        code = lort_fail(&err, LORT_E_USAGE, "--for goes with --tasks N: how many tasks");
    if (code == LORT_OK)
        code = lort_plan(values->path[0], &values->job, &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet && lort_cli_prints(values))
        print_all(values, &report);
    return lort_cli_finish(values, &progress, &report, code, &err);
}
