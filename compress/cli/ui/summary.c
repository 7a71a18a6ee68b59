/* summary: see summary.h. All texts of a report are escaped already. */
#include "compress/cli/ui/summary.h"
#include "compress/cli/ui/kinds.h"
#include "compress/cli/ui/print.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LABEL "  %-10s"

static const char *size_text(uint64_t bytes, char *out) { return lort_print_size(bytes, out, 32); }

static bool is_given(const char *text) { return text && *text; }

const char *lort_cli_number(double v, char *out, size_t cap)
{
    if (isnan(v))
        snprintf(out, cap, "-");
    else
        snprintf(out, cap, "%.4g", v);
    return out;
}

const char *lort_cli_seconds(double seconds, char *out, size_t cap)
{
    if (!(seconds >= 0) || seconds > 3.6e9) {
        snprintf(out, cap, "?");
    } else if (seconds < 100) {
        snprintf(out, cap, "%.1f s", seconds);
    } else {
        uint64_t s = (uint64_t)seconds;
        if (s < 3600)
            snprintf(out, cap, "%" PRIu64 ":%02" PRIu64 " min", s / 60, s % 60);
        else
            snprintf(out, cap, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " h", s / 3600, s / 60 % 60,
                     s % 60);
    }
    return out;
}

const char *lort_cli_shape(const lort_tensor_report *tensor, char *out, size_t cap)
{
    size_t used = 0;
    snprintf(out, cap, "scalar");
    for (uint32_t i = 0; i < tensor->n_dims && used < cap; i++)
        used +=
            (size_t)snprintf(out + used, cap - used, "%s%" PRId64, i ? "x" : "", tensor->shape[i]);
    return out;
}

/* ---- before ---- */

static void print_source(FILE *out, const lort_report *report, unsigned i)
{
    char size[32];
    const lort_source_report *source = &report->sources[i];
    lort_cli_print(out, LABEL "%s %-14s %12s  %s%s\n", i ? "" : "memory", source->binds ? "*" : " ",
                   source->name, size_text(source->bytes, size),
                   is_given(source->where) ? source->where : "",
                   source->binds ? "  <- binding" : "");
}

static void print_expected(FILE *out, const lort_report *report)
{
    char low[32], high[32], free_text[32];
    if (!report->output_high)
        return;
    const double input = (double)report->input_bytes;
    if (report->output_low == report->output_high)
        lort_cli_print(out, LABEL "%s", "expected", size_text(report->output_high, high));
    else
        lort_cli_print(out, LABEL "%s to %s", "expected", size_text(report->output_low, low),
                       size_text(report->output_high, high));
    if (report->input_bytes && report->output_low == report->output_high)
        lort_cli_print(out, " (%.3f of the input)", (double)report->output_high / input);
    else if (report->input_bytes)
        lort_cli_print(out, " (%.3f to %.3f of the input)", (double)report->output_low / input,
                       (double)report->output_high / input);
    if (report->disk_free_bytes)
        lort_cli_print(out, ", %s free on the disk", size_text(report->disk_free_bytes, free_text));
    lort_cli_print(out, "\n");
}

/* The disk that a model on the network takes, and what it costs. */
static void print_network(FILE *out, const lort_report *report)
{
    char a[32], b[32];
    if (!is_given(report->input_label))
        return;
    lort_cli_print(out, LABEL "%s", "network", report->input_label);
    if (report->fetch_plan_bytes)
        lort_cli_print(out, "; fetches %s, keeps at most %s in %s",
                       size_text(report->fetch_plan_bytes, a),
                       size_text(report->spool_plan_bytes, b), report->spool_path);
    lort_cli_print(out, "\n");
}

/* What it did cost. */
static void print_fetched(FILE *out, const lort_report *report)
{
    char a[32], b[32];
    if (is_given(report->input_label))
        lort_cli_print(out, LABEL "%s in %" PRIu64 " requests, at most %s in %s\n", "fetched",
                       size_text(report->fetched_bytes, a), report->requests,
                       size_text(report->spool_bytes, b), report->spool_path);
}

static void print_task(FILE *out, const lort_report *report)
{
    char bytes[32];
    if (report->tasks && report->command == LORT_COMMAND_MERGE)
        lort_cli_print(out, LABEL "%u\n", "tasks", report->tasks);
    else if (report->tasks && report->command == LORT_COMMAND_COMPRESS)
        lort_cli_print(out, LABEL "%u/%u: %s of the input\n", "task", report->task, report->tasks,
                       size_text(report->task_bytes, bytes));
}

void lort_cli_print_start(FILE *out, const lort_report *report)
{
    char a[32], b[32];
    lort_cli_print(out, "lort %s%s%s%s%s\n", lort_command_text(report->command),
                   is_given(report->input_path) ? " " : "", report->input_path,
                   is_given(report->output_path) ? " -> " : "", report->output_path);
    lort_cli_print(out, LABEL "%s, %" PRIu64 " file%s, %s, %" PRIu64 " tensor%s%s%s\n", "input",
                   report->input_format, report->input_files, report->input_files == 1 ? "" : "s",
                   size_text(report->input_bytes, a), report->tensor_count,
                   report->tensor_count == 1 ? "" : "s",
                   is_given(report->input_found) ? "; found in " : "", report->input_found);
    print_network(out, report);
    print_task(out, report);
    if (report->mode != LORT_MODE_AUTO)
        lort_cli_print(out, LABEL "%s: %s\n", "mode", lort_mode_text(report->mode),
                       report->mode_reason);
    for (unsigned i = 0; i < report->source_count; i++)
        print_source(out, report, i);
    if (report->budget_bytes && report->command != LORT_COMMAND_MERGE) /* merge plans nothing */
        lort_cli_print(out, LABEL "%s, planned peak %s\n", "budget",
                       size_text(report->budget_bytes, a),
                       size_text(report->planned_peak_bytes, b));
    if (report->threads)
        lort_cli_print(out, LABEL "%u\n", "threads", report->threads);
    print_expected(out, report);
}

/* ---- after ---- */

typedef struct tally {
    uint64_t kept, factored, coded;
    uint64_t count[LORT_REASONS], bytes[LORT_REASONS]; /* of kept tensors, by reason */
} tally;

static void count_tensor(tally *t, const lort_tensor_report *tensor)
{
    switch (tensor->action) {
    case LORT_ACTION_KEPT:
        t->kept++;
        t->count[tensor->reason]++;
        t->bytes[tensor->reason] += tensor->bytes_in;
        break;
    case LORT_ACTION_FACTORED:
        t->factored++;
        break;
    case LORT_ACTION_CODED:
        t->coded++;
        break;
    case LORT_ACTION_QUANTISED:
    case LORT_ACTION_CONVERTED:
    case LORT_ACTION_NONE:
    case LORT_ACTION_COMPARED:
        break;
    }
}

/* The most frequent reason. LORT_REASONS: all counts are 0. */
static unsigned most_frequent(const tally *t)
{
    unsigned best = LORT_REASONS;
    for (unsigned i = 0; i < LORT_REASONS; i++)
        if (t->count[i] && (best == LORT_REASONS || t->count[i] > t->count[best]))
            best = i;
    return best;
}

static void print_kept(FILE *out, tally *t)
{
    char size[32];
    const char *label = "kept";
    for (unsigned i = most_frequent(t); i < LORT_REASONS; i = most_frequent(t)) {
        lort_cli_print(
            out, LABEL "%" PRIu64 " (%s): %s\n", label, t->count[i], size_text(t->bytes[i], size),
            i == LORT_REASON_NONE ? "no reason given" : lort_reason_text((lort_reason)i));
        t->count[i] = 0;
        label = "";
    }
}

void lort_cli_print_actions(FILE *out, const lort_report *report)
{
    /* a plan does not know yet whether the tensors can be factored or coded */
    const bool planned = report->command == LORT_COMMAND_PLAN;
    tally t = {0};
    for (uint64_t i = 0; i < report->tensor_count; i++)
        count_tensor(&t, &report->tensors[i]);
    if (t.coded)
        lort_cli_print(out, LABEL "%" PRIu64 " of %" PRIu64 " tensors as integers\n",
                       planned ? "to code" : "coded", t.coded, report->tensor_count);
    if (t.factored + t.kept == 0)
        return;
    if (t.factored || !t.coded)
        lort_cli_print(out, LABEL "%" PRIu64 " of %" PRIu64 " tensors\n",
                       planned ? "to try" : "factored", t.factored, report->tensor_count);
    print_kept(out, &t);
}

static const char *worst_name(const lort_report *report)
{
    for (uint64_t i = 0; i < report->tensor_count; i++)
        if (report->tensors[i].rel_error == report->worst_error)
            return report->tensors[i].name;
    return "";
}

static void print_output(FILE *out, const lort_report *report)
{
    char size[32];
    if (!report->output_bytes)
        return;
    lort_cli_print(out, LABEL "%s, %s", "output", report->output_path,
                   size_text(report->output_bytes, size));
    if (!isnan(report->ratio))
        lort_cli_print(out, ", %.3f of the input", report->ratio);
    if (!isnan(report->bpw))
        lort_cli_print(out, ", %.2f bits per weight", report->bpw);
    lort_cli_print(out, "\n");
}

/* Most tensors without a difference that the summary names. */
#define BASE_LINES 8

static void print_memory(FILE *out, const lort_report *report)
{
    char anon[32], file[32], planned[32];
    if (!report->peak_anon_bytes)
        return;
    lort_cli_print(out, LABEL "peak %s anonymous, %s file-backed", "memory",
                   size_text(report->peak_anon_bytes, anon),
                   size_text(report->peak_file_bytes, file));
    if (report->planned_peak_bytes)
        lort_cli_print(out, " (planned %s)", size_text(report->planned_peak_bytes, planned));
    if (report->stall_seconds > 0)
        lort_cli_print(out, ", stalled %.1f s for memory", report->stall_seconds);
    lort_cli_print(out, "\n");
}

void lort_cli_print_importance(FILE *out, const lort_report *report)
{
    if (is_given(report->imatrix_path))
        lort_cli_print(
            out, LABEL "known importance of %" PRIu64 " matrices, by %" PRIu64 " entries of %s\n",
            "imatrix", report->imatrix_matrices, report->imatrix_entries, report->imatrix_path);
    if (is_given(report->covariance_path))
        lort_cli_print(
            out, LABEL "known covariance of %" PRIu64 " matrices, by %" PRIu64 " entries of %s\n",
            "inputs", report->covariance_matrices, report->covariance_entries,
            report->covariance_path);
}

/* How the tensors stand to the base: the differences, and what has none, by the reason. */
static void print_base(FILE *out, const lort_report *report)
{
    char size[32], shown[32];
    uint64_t differences = 0;
    double worst = NAN;
    if (!is_given(report->base_path))
        return;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *tensor = &report->tensors[i];
        differences += strcmp(tensor->base, "difference") == 0;
        if (!isnan(tensor->rel_error_update))
            worst = fmax(tensor->rel_error_update, isnan(worst) ? 0 : worst);
    }
    lort_cli_print(out, LABEL "%s, %s; %" PRIu64 " of %" PRIu64 " tensors as differences\n", "base",
                   report->base_path, size_text(report->base_bytes, size), differences,
                   report->tensor_count);
    if (!isnan(worst))
        lort_cli_print(out, LABEL "worst error of an update %s\n", "",
                       lort_cli_number(worst, shown, sizeof shown));
    for (uint64_t i = 0, last = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *tensor = &report->tensors[i];
        if (!is_given(tensor->base) || strcmp(tensor->base, "difference") == 0)
            continue;
        if (last++ < BASE_LINES)
            lort_cli_print(out, LABEL "%s: %s\n", "", tensor->name, tensor->base);
        else if (last == BASE_LINES + 1)
            lort_cli_print(out, LABEL "and more (--json lists them)\n", "");
    }
}

static void print_weighted(FILE *out, const lort_report *report)
{
    char worst[32], mean[32];
    lort_cli_print_importance(out, report);
    if (!isnan(report->weighted_worst))
        lort_cli_print(out, LABEL "worst %s, mean %s\n", "weighted",
                       lort_cli_number(report->weighted_worst, worst, sizeof worst),
                       lort_cli_number(report->weighted_mean, mean, sizeof mean));
}

/* The error of a tensor counts its outliers, which hold most of its norm. So the error of the rest
 * is shown too. */
static void print_outliers(FILE *out, const lort_report *report)
{
    uint64_t weights = 0, tensors = 0;
    double worst = 0;
    char shown[32];
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *tensor = &report->tensors[i];
        weights += tensor->outliers;
        tensors += tensor->outliers > 0;
        worst = fmax(worst, isnan(tensor->rel_error_rest) ? 0 : tensor->rel_error_rest);
    }
    if (weights)
        lort_cli_print(out,
                       LABEL "%" PRIu64 " weight%s of %" PRIu64 " tensor%s stored exactly; worst "
                             "error of the rest of them %s\n",
                       "outliers", weights, weights == 1 ? "" : "s", tensors,
                       tensors == 1 ? "" : "s", lort_cli_number(worst, shown, sizeof shown));
}

/* The last line: a container that lacks files must not look like a copy of the directory. */
static void print_left_out(FILE *out, const lort_report *report)
{
    char size[32];
    if (report->left_files)
        lort_cli_print(out,
                       LABEL "%" PRIu64 " file%s, %s: not in the container; the warnings say "
                             "which\n",
                       "left out", report->left_files, report->left_files == 1 ? "" : "s",
                       size_text(report->left_bytes, size));
}

void lort_cli_print_end(FILE *out, const lort_report *report)
{
    char worst[32], mean[32], time[32];
    print_output(out, report);
    if (!isnan(report->worst_error))
        lort_cli_print(out, LABEL "worst %s (%s), mean %s\n", "error",
                       lort_cli_number(report->worst_error, worst, sizeof worst),
                       worst_name(report), lort_cli_number(report->mean_error, mean, sizeof mean));
    print_base(out, report);
    print_weighted(out, report);
    print_outliers(out, report);
    /* these two show types, or ranks, instead */
    if (report->command != LORT_COMMAND_QUANTIZE && report->command != LORT_COMMAND_EXTRACT) {
        lort_cli_print_actions(out, report);
        lort_cli_print_kinds(out, report);
    }
    lort_cli_print(out, LABEL "%s\n", "time", lort_cli_seconds(report->seconds, time, sizeof time));
    print_memory(out, report);
    print_fetched(out, report);
    print_left_out(out, report);
}

/* The element type, and behind it that of the output where it is another one. */
static const char *types_text(const lort_tensor_report *tensor, char *out, size_t cap)
{
    const bool changes = is_given(tensor->type) && strcmp(tensor->type, tensor->dtype) != 0;
    snprintf(out, cap, "%s%s%s", tensor->dtype, changes ? " -> " : "", changes ? tensor->type : "");
    return out;
}

void lort_cli_print_tensor(FILE *out, const lort_tensor_report *tensor)
{
    char shape[80], types[64], error[32], in[32], bytes[32], rank[32] = "";
    if (tensor->rank)
        snprintf(rank, sizeof rank, " rank %" PRId64, tensor->rank);
    const int types_width = is_given(tensor->type) ? 15 : 5,
              action_width = is_given(tensor->type) ? 10 : 8, rank_width = 18 - action_width;
    lort_cli_print(
        out, "%-44s %-*s %-14s %-*s%-*s error %-9s %11s -> %-11s %s%s%s\n", tensor->name,
        types_width, types_text(tensor, types, sizeof types),
        lort_cli_shape(tensor, shape, sizeof shape), action_width, lort_action_text(tensor->action),
        rank_width, rank, lort_cli_number(tensor->rel_error, error, sizeof error),
        size_text(tensor->bytes_in, in), size_text(tensor->bytes_out, bytes), tensor->reason_text,
        is_given(tensor->reason_text) && is_given(tensor->detail) ? ": " : "",
        is_given(tensor->detail) ? tensor->detail : "");
}
