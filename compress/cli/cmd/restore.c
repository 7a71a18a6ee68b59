/* lort restore: writes the model that a container holds, and prints the summary on stderr. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/out/pour.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <inttypes.h>
#include <string.h>

static void print_restored(const lort_report *report, const char *file)
{
    char size[32], time[32], tensors[48] = "";
    if (!file)
        snprintf(tensors, sizeof tensors, ", %" PRIu64 " tensor%s", report->tensor_count,
                 report->tensor_count == 1 ? "" : "s");
    lort_cli_print(stderr, "  %-10s%s, %s%s\n", "output", report->output_path,
                   lort_print_size(report->output_bytes, size, sizeof size), tensors);
    lort_cli_print(stderr, "  %-10s%s\n", "time",
                   lort_cli_seconds(report->seconds, time, sizeof time));
}

/* Lines that sha256sum -c reads. The report has the hashes too, where it takes standard output. */
static void print_hashes(const lort_cli_values *values, const lort_report *report)
{
    const bool pours = strcmp(values->output, "-") == 0;
    const size_t n = strlen(report->output_path);
    const char *between = n && report->output_path[n - 1] == '/' ? "" : "/";
    if (pours ? values->progress == LORT_LINES_JSON : values->json && !strcmp(values->json, "-"))
        return;
    for (uint64_t i = 0; i < report->hash_count; i++)
        lort_cli_print(pours ? stderr : stdout, "%s  %s%s%s\n", report->hashes[i].sha256,
                       pours ? "-" : report->output_path, *report->hashes[i].name ? between : "",
                       report->hashes[i].name);
}

/* Bytes that went to a pipe cannot be taken back. */
static void print_poured(const lort_cli_pour *pour)
{
    lort_cli_print(stderr,
                   "lort: %" PRIu64 " bytes are on standard output already; they are no whole "
                   "file\n",
                   pour->written);
}

int lort_cmd_restore(const lort_cli_values *values)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_cli_pour pour = {0};
    lort_code code = LORT_OK;
    const bool pours = strcmp(values->output, "-") == 0;
    lort_restore_options options;
    lort_restore_options_init(&options);
    options.run = &values->run;
    options.dtype = values->dtype;
    options.tensor = values->tensor;
    options.file = values->file;
    options.force = values->force;
    options.sha256 = values->sha256;
    options.sink = pours ? &pour.sink : NULL;
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose, true);
    if (pours)
        code = lort_cli_pour_open(&pour, &err);
    if (code == LORT_OK)
        code = lort_restore(values->path[0], pours ? "standard output" : values->output, &options,
                            &progress.observer, &report, &err);
    else
        report.command = LORT_COMMAND_RESTORE;
    lort_progress_close(&progress);
    if (!code && !values->quiet)
        print_restored(&report, values->file);
    if (!code)
        print_hashes(values, &report);
    const int result = lort_cli_finish(values, &progress, &report, code, &err);
    if (code && pour.written)
        print_poured(&pour);
    return result;
}
