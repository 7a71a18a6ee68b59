/* lort run: restores a model into memory and runs a command on it. */
#include "compress/cli/cmd/command.h"
#include "compress/cli/out/child.h"
#include "compress/cli/out/memory_files.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"

#include <stdlib.h>

static void print_held(const lort_report *report, unsigned files)
{
    char size[32], peak[32], time[32];
    lort_cli_print(stderr, "  %-10sin memory, %s in %u file%s\n", "output",
                   lort_print_size(report->output_bytes, size, sizeof size), files,
                   files == 1 ? "" : "s");
    lort_cli_print(stderr, "  %-10s%s\n", "time",
                   lort_cli_seconds(report->seconds, time, sizeof time));
    lort_cli_print(stderr, "  %-10speak %s of lort, beside the files\n", "memory",
                   lort_print_size(report->peak_anon_bytes, peak, sizeof peak));
}

/* Restores the files into memory, and writes the report. Returns an exit code. */
static int hold(const lort_cli_values *values, lort_cli_memory_files *files)
{
    lort_progress progress;
    lort_report report = {0};
    lort_error err = {0};
    lort_restore_options options;
    lort_restore_options_init(&options);
    options.run = &values->run;
    options.dtype = values->dtype;
    options.sink = &files->sink;
    lort_progress_open(&progress, lort_cli_stopped, values->quiet, values->verbose, true);
    lort_code code =
        lort_restore(values->path[0], "memory", &options, &progress.observer, &report, &err);
    if (code == LORT_OK)
        code = lort_cli_memory_files_offer(files, &err);
    lort_progress_close(&progress);
    if (!code && !values->quiet)
        print_held(&report, files->count);
    return lort_cli_finish(values, &progress, &report, code, &err);
}

static int run_words(char **words, const char *path)
{
    char **whole = lort_cli_child_words(words, path, NULL);
    if (!whole) {
        lort_cli_print(stderr, "lort: no memory for the command line\n");
        return LORT_E_MEMORY;
    }
    const int result = lort_cli_child_run(whole);
    free(whole);
    return result;
}

/* Fails before the work if there is no {}. */
static lort_code check_words(const lort_cli_values *values, lort_error *err)
{
    unsigned places = 0;
    char **whole = lort_cli_child_words(values->words, "", &places);
    free(whole);
    return places ? LORT_OK
                  : lort_fail(err, LORT_E_USAGE,
                              "the arguments of CMD have no {}; LoRT puts the path of the model in "
                              "its place");
}

int lort_cmd_run(const lort_cli_values *values)
{
    lort_cli_memory_files files;
    lort_progress progress = {0};
    lort_error err = {0};
    int result = check_words(values, &err);
    if (result == LORT_OK)
        result = lort_cli_child_find(values->words[0], &err);
    if (result) {
        lort_report report = {.command = LORT_COMMAND_RUN};
        lort_progress_open(&progress, lort_cli_stopped, true, false, false);
        lort_cli_end_run(&progress, &report, LORT_E_USAGE, &err);
        return lort_cli_end_runs(values, &report, 1, result);
    }
    lort_cli_memory_files_open(&files);
    result = hold(values, &files);
    if (result == LORT_OK)
        result = run_words(values->words, files.path);
    lort_cli_memory_files_close(&files);
    return result;
}
