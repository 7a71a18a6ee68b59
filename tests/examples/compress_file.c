/* compress_file MODEL OUT.lort MAX_ERROR: compresses a model as `lort compress --max-error` does.
 *
 * It shows options, an observer, and errors. Ctrl-C stops it: the finished tensors stay in
 * OUT.lort.part, and the same command resumes them. The exit code is LoRT's code (docs/lort.1, EXIT
 * STATUS). */
#include "lort.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* Any thread may call this, and often: it must be quick and must not lock. */
static bool should_stop(void *ctx)
{
    (void)ctx;
    return interrupted != 0;
}

/* Only the thread that called lort_compress calls this. */
static void on_event(void *ctx, const lort_event *event)
{
    FILE *log = ctx;
    if (event->kind == LORT_EVENT_START)
        fprintf(log, "mode %s: %s\n", lort_mode_text(event->report->mode),
                event->report->mode_reason);
    else if (event->kind == LORT_EVENT_WARNING)
        fprintf(log, "warning: %s\n", event->text);
    else if (event->kind == LORT_EVENT_TENSOR)
        fprintf(log, "%3.0f %%  %s: %llu -> %llu bytes\n",
                100.0 * (double)event->done_bytes / (double)event->total_bytes, event->tensor->name,
                (unsigned long long)event->tensor->bytes_in,
                (unsigned long long)event->tensor->bytes_out);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: compress_file MODEL OUT.lort MAX_ERROR\n");
        return LORT_E_USAGE;
    }
    signal(SIGINT, on_interrupt);

    lort_options options;
    lort_options_init(&options); /* the defaults; then change only what you want */
    options.goal = LORT_GOAL_ERROR;
    options.value = strtod(argv[3], NULL); /* lort_compress refuses a value that is not allowed */

    const lort_observer observer = {.event = on_event, .stop = should_stop, .ctx = stderr};
    lort_report report = {0};
    lort_error error = {0};
    lort_code code = lort_compress(argv[1], argv[2], &options, &observer, &report, &error);

    if (code == LORT_OK) {
        printf("%s: %.3f of the input, %.2f bits per weight", report.output_path, report.ratio,
               report.bpw);
        if (!isnan(report.worst_error)) /* NaN: every tensor is kept */
            printf(", worst error %.4f", report.worst_error);
        printf("\n");
    } else {
        fprintf(stderr, "compress_file: %s\n", error.message);
    }
    lort_report_free(&report); /* safe after a failure too */
    return (int)code;
}
