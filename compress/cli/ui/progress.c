/* progress: see progress.h. It uses only the monotonic clock, so a jump of the wall clock changes
 * nothing. */
#define _GNU_SOURCE
#include "compress/cli/ui/progress.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_NS 100000000u      /* 0.1 s between two live lines */
#define HEARTBEAT_NS 30000000000u /* 30 s between two lines of a log */
#define NAME_COLUMNS 32           /* columns of the live line that a tensor's name takes */
#define ETA_AFTER 0.02            /* part of the work; estimates before that mislead */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

int64_t lort_progress_layer(const char *name)
{
    static const char *const stems[] = {"blk.", "layers.", "h."};
    for (size_t s = 0; s < sizeof stems / sizeof *stems; s++) {
        size_t n = strlen(stems[s]);
        for (const char *at = strstr(name, stems[s]); at; at = strstr(at + 1, stems[s])) {
            size_t digits = strspn(at + n, "0123456789");
            if ((at == name || at[-1] == '.') && digits > 0 && digits < 10 && at[n + digits] == '.')
                return strtoll(at + n, NULL, 10);
        }
    }
    return -1;
}

static double done_share(const lort_event *event)
{
    return event->total_bytes ? (double)event->done_bytes / (double)event->total_bytes : 0;
}

static const char *eta_text(const lort_progress *progress, const lort_event *event, char *out,
                            size_t cap)
{
    double done = done_share(event), seconds = (double)(now_ns() - progress->started_ns) * 1e-9;
    *out = '\0';
    if (done >= ETA_AFTER && done < 1) {
        char left[32];
        snprintf(out, cap, "  ETA %s",
                 lort_cli_seconds(seconds * (1 - done) / done, left, sizeof left));
    }
    return out;
}

/* The most important figures come first, since a narrow terminal cuts the end. */
static const char *figures_text(const lort_progress *progress, const lort_event *event, char *out,
                                size_t cap)
{
    char done[32], total[32], written[32], remaining[64], worst[32],
        resident[64] = "", error[64] = "", out_text[48] = "";
    if (!isnan(event->worst_error))
        snprintf(error, sizeof error, "  worst error %s",
                 lort_cli_number(event->worst_error, worst, sizeof worst));
    if (progress->rss) {
        char size[32];
        snprintf(resident, sizeof resident, "  RSS %s",
                 lort_print_size(progress->rss, size, sizeof size));
    }
    if (event->out_bytes)
        snprintf(out_text, sizeof out_text, "  %s out",
                 lort_print_size(event->out_bytes, written, sizeof written));
    snprintf(out, cap, "%3.0f %%%s  %s of %s%s%s%s", 100 * done_share(event),
             eta_text(progress, event, remaining, sizeof remaining),
             lort_print_size(event->done_bytes, done, sizeof done),
             lort_print_size(event->total_bytes, total, sizeof total), error, resident, out_text);
    return out;
}

/* ---- the live line ---- */

static void clear_line(lort_progress *progress)
{
    if (progress->shown && lort_cli_wait_room(stderr))
        fputs("\r\033[K", stderr);
    progress->shown = false;
}

/* The bytes of `text` that fill at most `columns`. A UTF-8 sequence counts as one column and is
 * never cut. */
static size_t fit_width(const char *text, size_t columns)
{
    size_t n = 0;
    for (; text[n]; n++)
        if (((unsigned char)text[n] & 0xC0) != 0x80 && columns-- == 0)
            break;
    return n;
}

static void draw_line(lort_progress *progress, const lort_event *event)
{
    char line[512], name[256], rest[400];
    uint64_t now = now_ns();
    if (progress->shown && now - progress->drawn_ns < REDRAW_NS)
        return;
    const char *full = event->tensor ? event->tensor->name : "";
    /* columns are counted after the escapes */
    lort_printable(name, sizeof name, full, strlen(full));
    snprintf(line, sizeof line, "%" PRIu64 "/%" PRIu64 " %.*s %s", event->tensors_done,
             event->tensors_total, (int)fit_width(name, NAME_COLUMNS), name,
             figures_text(progress, event, rest, sizeof rest));
    if (!lort_cli_wait_room(stderr))
        return;
    fprintf(stderr, "\r%.*s\033[K", (int)fit_width(line, terminal_width() - 1), line);
    fflush(stderr);
    progress->shown = true;
    progress->drawn_ns = now;
}

/* ---- the log ---- */

static const char *counts_text(const lort_progress *progress, char *out, size_t cap)
{
    const uint64_t *n = progress->layer_count;
    if (n[LORT_ACTION_COMPARED])
        snprintf(out, cap, "%" PRIu64 " compared", n[LORT_ACTION_COMPARED]);
    else if (n[LORT_ACTION_CODED])
        snprintf(out, cap, "%" PRIu64 " coded, %" PRIu64 " kept", n[LORT_ACTION_CODED],
                 n[LORT_ACTION_KEPT]);
    else
        snprintf(out, cap, "%" PRIu64 " factored, %" PRIu64 " kept", n[LORT_ACTION_FACTORED],
                 n[LORT_ACTION_KEPT]);
    return out;
}

/* Tensors of the layer that are finished. */
static uint64_t layer_tensors(const lort_progress *progress)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < LORT_ACTIONS; i++)
        n += progress->layer_count[i];
    return n;
}

static void log_layer(lort_progress *progress)
{
    char name[32] = "other tensors", rest[400], counted[80];
    if (layer_tensors(progress) == 0)
        return;
    if (progress->layer >= 0)
        snprintf(name, sizeof name, "layer %" PRId64, progress->layer);
    lort_cli_print(stderr, "  %-14s %" PRIu64 "/%" PRIu64 "  %s  %s\n", name,
                   progress->last.tensors_done, progress->last.tensors_total,
                   counts_text(progress, counted, sizeof counted),
                   figures_text(progress, &progress->last, rest, sizeof rest));
    memset(progress->layer_count, 0, sizeof progress->layer_count);
    progress->logged_ns = now_ns();
}

static void log_heartbeat(lort_progress *progress, const lort_event *event)
{
    char rest[400];
    if (now_ns() - progress->logged_ns < HEARTBEAT_NS)
        return;
    lort_cli_print(stderr, "  %-14s %" PRIu64 "/%" PRIu64 "  %s  %s\n", "working",
                   event->tensors_done, event->tensors_total,
                   figures_text(progress, event, rest, sizeof rest),
                   event->tensor ? event->tensor->name : "");
    progress->logged_ns = now_ns();
}

bool lort_progress_answer(lort_progress *progress)
{
    char rest[400];
    if (!pthread_equal(pthread_self(), progress->thread) ||
        now_ns() - progress->answered_ns < REDRAW_NS)
        return false;
    clear_line(progress);
    lort_cli_print(stderr, "  %-14s %" PRIu64 "/%" PRIu64 "  %s\n", "so far",
                   progress->seen.tensors_done, progress->seen.tensors_total,
                   figures_text(progress, &progress->seen, rest, sizeof rest));
    progress->answered_ns = now_ns();
    return true;
}

static void count_tensor(lort_progress *progress, const lort_event *event)
{
    int64_t layer = lort_progress_layer(event->tensor->name);
    if (layer != progress->layer && !progress->live && !progress->verbose)
        log_layer(progress);
    progress->layer = layer;
    progress->layer_count[event->tensor->action]++;
    progress->last = *event;
    progress->last.tensor = NULL;
    progress->last.report = NULL;
}

/* ---- events ---- */

static void on_start(lort_progress *progress, const lort_event *event)
{
    if (progress->start_block && !progress->quiet)
        lort_cli_print_start(stderr, event->report);
    progress->started = true;
    lort_progress_warnings(progress, event->report);
}

static void on_warning(lort_progress *progress, const lort_event *event)
{
    if (!progress->started)
        return;
    clear_line(progress);
    lort_cli_print(stderr, "lort: warning: %s\n", event->text);
    progress->warned = event->report->warning_count;
}

static void on_note(lort_progress *progress, const lort_event *event)
{
    if (progress->quiet)
        return;
    clear_line(progress);
    lort_cli_print(stderr, "  note: %s\n", event->text);
}

static void on_work(lort_progress *progress, const lort_event *event)
{
    if (progress->quiet)
        return;
    if (event->kind == LORT_EVENT_TENSOR && event->tensor) {
        count_tensor(progress, event);
        if (progress->verbose) {
            clear_line(progress);
            lort_cli_print_tensor(stderr, event->tensor);
        }
    }
    if (progress->live)
        draw_line(progress, event);
    else
        log_heartbeat(progress, event);
}

static void on_event(void *ctx, const lort_event *event)
{
    static void (*const handlers[])(lort_progress *, const lort_event *) = {
        [LORT_EVENT_START] = on_start,   [LORT_EVENT_WARNING] = on_warning,
        [LORT_EVENT_NOTE] = on_note,     [LORT_EVENT_TENSOR] = on_work,
        [LORT_EVENT_PROGRESS] = on_work,
    };
    lort_progress *progress = ctx;
    if (event->report)
        progress->rss = event->report->peak_rss_bytes;
    progress->seen = *event;
    progress->seen.tensor = NULL;
    progress->seen.report = NULL;
    handlers[event->kind](progress, event);
}

void lort_progress_open(lort_progress *progress, bool (*stop)(void *progress), bool quiet,
                        bool verbose, bool start_block)
{
    const char *term = getenv("TERM");
    uint64_t now = now_ns();
    *progress = (lort_progress){.quiet = quiet,
                                .verbose = verbose,
                                .start_block = start_block,
                                .live = !quiet && isatty(STDERR_FILENO) && term && *term &&
                                        strcmp(term, "dumb") != 0,
                                .started_ns = now,
                                .logged_ns = now,
                                .layer = -2,
                                .seen.worst_error = NAN,
                                .thread = pthread_self()};
    progress->observer = (lort_observer){on_event, stop, progress};
}

void lort_progress_warnings(lort_progress *progress, const lort_report *report)
{
    clear_line(progress);
    for (; progress->warned < report->warning_count; progress->warned++)
        lort_cli_print(stderr, "lort: warning: %s\n", report->warnings[progress->warned]);
}

void lort_progress_close(lort_progress *progress)
{
    clear_line(progress);
    if (!progress->live && !progress->verbose && !progress->quiet)
        log_layer(progress);
}
