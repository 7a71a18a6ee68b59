/* progress: see progress.h. It uses only the monotonic clock, so a jump of the wall clock changes
 * nothing.
 *
 *   event  --> seen, name --> a line, if the last one is 0.1 s old   } under one mutex
 *   ticker --> the same line with the time that went by, 4 a second  }
 *
 * A line is made of fields. Fields that do not fit the terminal are left out whole, the least
 * important first. Only the name of the tensor is shortened, in its middle. */
#include "compress/cli/ui/progress.h"
#include "compress/cli/console/console.h"
#include "compress/cli/ui/lines.h"
#include "compress/cli/ui/print.h"
#include "compress/cli/ui/summary.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDRAW_NS 100000000u      /* 0.1 s between two live lines */
#define LINE_NS 1000000000u       /* 1 s between two lines of JSON about the progress */
#define HEARTBEAT_NS 30000000000u /* 30 s between two lines of a log */
#define NAME_COLUMNS 32           /* columns of the live line that a tensor's name takes */
#define NAME_LEAST 12             /* a name with less room is left out */
#define ETA_AFTER 0.02            /* part of the work; estimates before that mislead */
#define GAP "  "                  /* between two fields */

static size_t terminal_width(void)
{
    const size_t columns = lort_console_width(stderr);
    return columns >= 20 ? columns : 80;
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

/* ---- fields ---- */

enum { HEAD, NAME, SHARE, ETA, ELAPSED, RATE, BYTES, ERROR, RSS, OUT, FIELDS };

/* Texts in the order of the line; "" has nothing to say. */
typedef struct fields {
    char text[FIELDS][300];
} fields;

static double seconds_since(uint64_t from_ns)
{
    return (double)(lort_console_now_ns() - from_ns) * 1e-9;
}

static void put_time(const lort_progress *progress, const lort_event *event, fields *f)
{
    char text[32];
    const double left =
        event->seconds_left - (event->share < 1 ? seconds_since(progress->seen_ns) : 0);
    if (event->share > 0 || event->phase != LORT_PHASE_OPENING)
        snprintf(f->text[SHARE], sizeof f->text[SHARE], "%3.0f %%", floor(100 * event->share));
    if (event->share >= ETA_AFTER && event->share < 1 && !isnan(event->seconds_left))
        snprintf(f->text[ETA], sizeof f->text[ETA], "ETA %s",
                 lort_cli_seconds(left > 0 ? left : 0, text, sizeof text));
    snprintf(f->text[ELAPSED], sizeof f->text[ELAPSED], "elapsed %s",
             lort_cli_seconds(seconds_since(progress->started_ns), text, sizeof text));
}

static void put_figures(const lort_progress *progress, const lort_event *event, fields *f)
{
    char a[32], b[32];
    if (event->bytes_per_second >= 1)
        snprintf(f->text[RATE], sizeof f->text[RATE], "%s/s",
                 lort_print_size((uint64_t)event->bytes_per_second, a, sizeof a));
    if (event->total_bytes)
        snprintf(f->text[BYTES], sizeof f->text[BYTES], "%s of %s",
                 lort_print_size(event->done_bytes, a, sizeof a),
                 lort_print_size(event->total_bytes, b, sizeof b));
    if (!isnan(event->worst_error))
        snprintf(f->text[ERROR], sizeof f->text[ERROR], "worst error %s",
                 lort_cli_number(event->worst_error, a, sizeof a));
    if (progress->rss)
        snprintf(f->text[RSS], sizeof f->text[RSS], "RSS %s",
                 lort_print_size(progress->rss, a, sizeof a));
    if (event->out_bytes)
        snprintf(f->text[OUT], sizeof f->text[OUT], "%s out",
                 lort_print_size(event->out_bytes, a, sizeof a));
}

static fields fields_of(const lort_progress *progress, const lort_event *event)
{
    fields f = {0};
    put_time(progress, event, &f);
    put_figures(progress, event, &f);
    return f;
}

/* The phase, and the tensors of it that are done. */
static const char *phase_text(const lort_event *event, char *out, size_t cap)
{
    int n =
        snprintf(out, cap, "%s%s", lort_phase_text(event->phase), event->attempt ? " again" : "");
    if (event->tensors_total)
        snprintf(out + n, cap - (size_t)n, " %" PRIu64 "/%" PRIu64, event->tensors_done,
                 event->tensors_total);
    return out;
}

/* All figures, for a log. */
static const char *figures_text(const lort_progress *progress, const lort_event *event, char *out,
                                size_t cap)
{
    const fields f = fields_of(progress, event);
    size_t n = 0;
    *out = '\0';
    for (unsigned i = SHARE; i < FIELDS; i++)
        if (*f.text[i] && n < cap)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? GAP : "", f.text[i]);
    return out;
}

/* ---- the live line ---- */

static void clear_line(lort_progress *progress)
{
    if (progress->shown && lort_cli_wait_room(stderr))
        fputs("\r\033[K", stderr);
    progress->shown = false;
}

static bool begins_column(char byte) { return ((unsigned char)byte & 0xC0) != 0x80; }

/* A UTF-8 sequence counts as one column. */
static size_t columns_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += begins_column(*text);
    return n;
}

/* The bytes of `text` that fill at most `columns`. A UTF-8 sequence is never cut. */
static size_t fit_width(const char *text, size_t columns)
{
    size_t n = 0;
    for (; text[n]; n++)
        if (begins_column(text[n]) && columns-- == 0)
            break;
    return n;
}

/* Shortens a text in its middle. A name tells most at its end, so more of that stays. */
static void put_name(const char *name, size_t columns, char *out, size_t cap)
{
    const size_t all = columns_of(name), front = columns / 3, back = columns - 1 - front;
    if (all <= columns)
        snprintf(out, cap, "%s", name);
    else
        snprintf(out, cap, "%.*s\xE2\x80\xA6%s", (int)fit_width(name, front), name,
                 name + fit_width(name, all - back));
}

/* Makes the line of at most `width` columns. The most important fields get their room first. */
static void fit_fields(fields *f, const char *name, size_t width, char *out, size_t cap)
{
    static const unsigned ranks[] = {SHARE, ETA, ELAPSED, RATE, NAME, BYTES, ERROR, OUT, RSS};
    bool shown[FIELDS] = {[HEAD] = true};
    size_t used = columns_of(f->text[HEAD]), n = 0;
    for (unsigned i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        const size_t room = width > used + strlen(GAP) ? width - used - strlen(GAP) : 0;
        char *text = f->text[ranks[i]];
        if (ranks[i] == NAME && *name && room >= NAME_LEAST)
            put_name(name, room < NAME_COLUMNS ? room : NAME_COLUMNS, text, sizeof *f->text);
        shown[ranks[i]] = *text && columns_of(text) <= room;
        used += shown[ranks[i]] ? columns_of(text) + strlen(GAP) : 0;
    }
    for (unsigned i = 0; i < FIELDS && n < cap; i++)
        if (shown[i])
            n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? GAP : "", f->text[i]);
}

static void draw_line(lort_progress *progress)
{
    static const char turning[] = "|/-\\";
    char line[4096], text[4200], head[100];
    const uint64_t now = lort_console_now_ns();
    const size_t width = terminal_width() - 1;
    const bool end = progress->seen.share >= 1;
    if (progress->shown && now - progress->drawn_ns < REDRAW_NS &&
        progress->seen.phase == progress->drawn_phase && end == progress->drawn_end)
        return;
    fields f = fields_of(progress, &progress->seen);
    snprintf(f.text[HEAD], sizeof *f.text, "%c %s", turning[progress->drawings++ % 4],
             phase_text(&progress->seen, head, sizeof head));
    fit_fields(&f, progress->name, width, line, sizeof line);
    if (!lort_cli_wait_room(stderr))
        return;
    /* one write, as stderr has no buffer */
    snprintf(text, sizeof text, "\r%.*s\033[K", (int)fit_width(line, width), line);
    fputs(text, stderr);
    fflush(stderr);
    progress->shown = true;
    progress->drawn_ns = now;
    progress->drawn_phase = progress->seen.phase;
    progress->drawn_end = end;
}

/* ---- the log ---- */

/* What a command does with tensors, the most telling first. */
static const char *counts_text(const lort_progress *progress, char *out, size_t cap)
{
    static const lort_action shown[] = {LORT_ACTION_COMPARED, LORT_ACTION_CODED,
                                        LORT_ACTION_QUANTISED, LORT_ACTION_CONVERTED,
                                        LORT_ACTION_FACTORED};
    const uint64_t *n = progress->layer_count;
    unsigned i = 0;
    while (i + 1 < sizeof shown / sizeof *shown && !n[shown[i]])
        i++;
    if (!n[shown[i]]) { /* all tensors so far are kept */
        snprintf(out, cap, "%" PRIu64 " kept", n[LORT_ACTION_KEPT]);
        return out;
    }
    const int used = snprintf(out, cap, "%" PRIu64 " %s", n[shown[i]], lort_action_text(shown[i]));
    if (shown[i] != LORT_ACTION_COMPARED && used > 0 && (size_t)used < cap)
        snprintf(out + used, cap - (size_t)used, ", %" PRIu64 " kept", n[LORT_ACTION_KEPT]);
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
    char name[32] = "other tensors", rest[1000], counted[80];
    if (layer_tensors(progress) == 0)
        return;
    if (progress->layer >= 0)
        snprintf(name, sizeof name, "layer %" PRId64, progress->layer);
    lort_cli_print(stderr, "  %-14s %" PRIu64 "/%" PRIu64 "  %s  %s\n", name,
                   progress->last.tensors_done, progress->last.tensors_total,
                   counts_text(progress, counted, sizeof counted),
                   figures_text(progress, &progress->last, rest, sizeof rest));
    memset(progress->layer_count, 0, sizeof progress->layer_count);
    progress->logged_ns = lort_console_now_ns();
}

static void log_heartbeat(lort_progress *progress)
{
    char rest[1000], head[100];
    if (lort_console_now_ns() - progress->logged_ns < progress->heartbeat_ns)
        return;
    lort_cli_print(stderr, "  %-22s %s  %s\n", phase_text(&progress->seen, head, sizeof head),
                   figures_text(progress, &progress->seen, rest, sizeof rest), progress->name);
    progress->logged_ns = lort_console_now_ns();
}

/* A line of JSON of the newest event. */
static void tell_progress(lort_progress *progress)
{
    lort_event event = progress->seen;
    event.kind = LORT_EVENT_PROGRESS;
    event.report = progress->report;
    lort_lines_event(&event);
}

bool lort_progress_answer(lort_progress *progress)
{
    char rest[1000], head[100];
    if (!lort_ticker_is_mine(&progress->ticker) ||
        lort_console_now_ns() - progress->answered_ns < REDRAW_NS)
        return false;
    lort_ticker_lock(&progress->ticker);
    clear_line(progress);
    tell_progress(progress);
    lort_cli_print(stderr, "  so far         %s  %s\n",
                   phase_text(&progress->seen, head, sizeof head),
                   figures_text(progress, &progress->seen, rest, sizeof rest));
    progress->answered_ns = lort_console_now_ns();
    lort_ticker_unlock(&progress->ticker);
    return true;
}

static void count_tensor(lort_progress *progress, const lort_event *event)
{
    int64_t layer = lort_progress_layer(event->tensor->name);
    if (layer != progress->layer && !progress->live && !progress->verbose && !progress->silent)
        log_layer(progress);
    progress->layer = layer;
    progress->layer_count[event->tensor->action]++;
    progress->last = *event;
    progress->last.tensor = NULL;
    progress->last.report = NULL;
    progress->last.text = NULL;
}

/* ---- events ---- */

static void on_start(lort_progress *progress, const lort_event *event)
{
    if (progress->start_block && !progress->quiet)
        lort_cli_print_start(stderr, event->report);
    if (!progress->started && !progress->quiet)
        lort_lines_event(event);
    progress->started = true;
    lort_progress_warnings(progress, event->report);
}

static void on_warning(lort_progress *progress, const lort_event *event)
{
    if (!progress->started)
        return;
    clear_line(progress);
    lort_cli_print(stderr, "lort: warning: %s\n", event->text);
    lort_lines_event(event);
    progress->warned = event->report->warning_count;
}

static void on_note(lort_progress *progress, const lort_event *event)
{
    if (progress->quiet)
        return;
    clear_line(progress);
    lort_cli_print(stderr, "  note: %s\n", event->text);
    lort_lines_event(event);
}

/* Shows that time went by. */
static void show_work(lort_progress *progress)
{
    if (progress->quiet || progress->silent)
        return;
    if (progress->live)
        draw_line(progress);
    else
        log_heartbeat(progress);
}

/* Lines of JSON: all tensors, and the progress once a second. */
static void tell_work(lort_progress *progress, const lort_event *event)
{
    if (event->kind == LORT_EVENT_TENSOR) {
        lort_lines_event(event);
    } else if (lort_console_now_ns() - progress->told_ns >= LINE_NS) {
        lort_lines_event(event);
        progress->told_ns = lort_console_now_ns();
    }
}

static void on_work(lort_progress *progress, const lort_event *event)
{
    if (progress->quiet)
        return;
    tell_work(progress, event);
    if (event->kind == LORT_EVENT_TENSOR && event->tensor) {
        count_tensor(progress, event);
        if (progress->verbose) {
            clear_line(progress);
            lort_cli_print_tensor(stderr, event->tensor);
        }
    }
    show_work(progress);
}

static void take_event(lort_progress *progress, const lort_event *event)
{
    const char *name = event->tensor ? event->tensor->name : "";
    if (event->report)
        progress->rss = event->report->peak_rss_bytes;
    progress->report = event->report;
    /* columns are counted after the escapes */
    lort_printable(progress->name, sizeof progress->name, name, strlen(name));
    progress->seen_ns = lort_console_now_ns();
    progress->seen = *event;
    progress->seen.tensor = NULL;
    progress->seen.report = NULL;
    progress->seen.text = NULL;
}

static void on_event(void *ctx, const lort_event *event)
{
    static void (*const handlers[])(lort_progress *, const lort_event *) = {
        [LORT_EVENT_START] = on_start,   [LORT_EVENT_WARNING] = on_warning,
        [LORT_EVENT_NOTE] = on_note,     [LORT_EVENT_TENSOR] = on_work,
        [LORT_EVENT_PROGRESS] = on_work,
    };
    lort_progress *progress = ctx;
    lort_ticker_lock(&progress->ticker);
    take_event(progress, event);
    handlers[event->kind](progress, event);
    lort_ticker_unlock(&progress->ticker);
}

/* ---- begin and end ---- */

static void tick(void *progress) { show_work(progress); }

void lort_progress_open(lort_progress *progress, bool (*stop)(void *progress), bool quiet,
                        bool verbose, bool start_block)
{
    const lort_lines_kind kind = lort_lines_chosen();
    uint64_t now = lort_console_now_ns();
    *progress =
        (lort_progress){.quiet = quiet,
                        .verbose = verbose,
                        .start_block = start_block,
                        .silent = kind == LORT_LINES_JSON || kind == LORT_LINES_NONE,
                        .live = !quiet && kind == LORT_LINES_AUTO && lort_console_draws(stderr),
                        .started_ns = now,
                        .logged_ns = now,
                        .seen_ns = now,
                        .heartbeat_ns = HEARTBEAT_NS,
                        .layer = -2,
                        .seen = {.worst_error = NAN, .seconds_left = NAN}};
    progress->observer = (lort_observer){.event = on_event, .stop = stop, .ctx = progress};
    lort_ticker_open(&progress->ticker);
    if (!quiet && !progress->silent) /* without a ticker only events draw */
        lort_ticker_start(&progress->ticker, tick, progress);
}

static void say_warning(const lort_progress *progress, const lort_report *report, const char *text)
{
    lort_cli_print(stderr, "lort: warning: %s\n", text);
    lort_lines_event(&(lort_event){.kind = LORT_EVENT_WARNING,
                                   .text = text,
                                   .report = report,
                                   .seconds = seconds_since(progress->started_ns)});
}

void lort_progress_warnings(lort_progress *progress, const lort_report *report)
{
    clear_line(progress);
    for (; progress->warned < report->warning_count; progress->warned++)
        say_warning(progress, report, report->warnings[progress->warned]);
}

void lort_progress_close(lort_progress *progress)
{
    lort_ticker_stop(&progress->ticker);
    clear_line(progress);
    if (!progress->live && !progress->verbose && !progress->quiet && !progress->silent) {
        progress->last.share = progress->seen.share;
        progress->last.seconds_left = progress->seen.seconds_left;
        log_layer(progress);
    }
    lort_ticker_close(&progress->ticker);
}
