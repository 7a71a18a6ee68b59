/* lort extract-lora: prints progress and summary on stderr. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"
#include <inttypes.h>

static lort_extract_options options_of(const lort_cli_values *values)
{
    lort_extract_options options = values->extract;
    options.goal = values->job.goal;
    options.rank = values->job.rank;
    options.value = values->job.value;
    options.size_bytes = values->job.size_bytes;
    options.max_rank = values->job.max_rank;
    options.include = values->job.include;
    options.include_count = values->job.include_count;
    options.exclude = values->job.exclude;
    options.exclude_count = values->job.exclude_count;
    options.weights = values->job.weights;
    options.mode = values->job.mode;
    options.memory_bytes = values->job.memory_bytes;
    options.threads = values->job.threads;
    options.force = values->job.force;
    options.offline = values->job.offline;
    options.spool = values->job.spool;
    options.spool_keep = values->job.spool_keep;
    options.blas_core = values->job.blas_core;
    options.spectra = values->job.spectra;
    return options;
}

static void print_ranks(FILE *out, const lort_report *report)
{
    int64_t least = INT64_MAX, most = 0;
    uint64_t modules = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const int64_t rank = report->tensors[i].rank;
        if (rank == 0)
            continue;
        modules++;
        least = rank < least ? rank : least;
        most = rank > most ? rank : most;
    }
    if (modules)
        lort_cli_print(
            out, "  %-10s%" PRIu64 " of %" PRIu64 " tensors, ranks %" PRId64 " to %" PRId64 "\n",
            "adapted", modules, report->tensor_count, least, most);
}

int lort_cmd_extract_lora(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    const lort_extract_options options = options_of(values);
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose, true);
    lort_code code = lort_extract(values->path[0], values->base, values->output, &options,
                                  &progress.observer, &report, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet) {
        lort_cli_print_end(stderr, &report);
        print_ranks(stderr, &report);
    }
    return lort_cli_finish(values, &progress, &report, code, &err);
}
