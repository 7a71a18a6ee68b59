/* lines: see lines.h. The library makes the lines. */
#include "compress/cli/ui/lines.h"
#include "compress/cli/ui/print.h"

static lort_lines_kind chosen; /* set before the work, and by one thread */

void lort_lines_choose(lort_lines_kind kind)
{
    chosen = kind;
    lort_cli_mute(kind == LORT_LINES_JSON);
}

lort_lines_kind lort_lines_chosen(void) { return chosen; }

static void put_line(void *unused, const char *line, uint64_t bytes)
{
    (void)unused;
    lort_cli_put_line(line, (size_t)bytes);
}

/* Without memory a line is lost, and the run goes on. */
void lort_lines_event(const lort_event *event)
{
    if (chosen == LORT_LINES_JSON)
        lort_event_json(event, put_line, NULL, NULL);
}

void lort_lines_error(const lort_report *report)
{
    if (chosen == LORT_LINES_JSON)
        lort_error_json(report, put_line, NULL, NULL);
}

void lort_lines_end(const lort_report *report, int exit_code)
{
    if (chosen == LORT_LINES_JSON)
        lort_end_json(report, exit_code, put_line, NULL, NULL);
}
