/* csv: one row per tensor (RFC 4180). A text that a spreadsheet would take for a formula begins
 * with an apostrophe. */
#include "compress/report/pages.h"
#include <math.h>
#include <string.h>

static const struct column {
    const char *key;
    bool is_text;
    int digits;
} columns[] = {{"name", true, 0},        {"kind", true, 0},
               {"layer", false, 9},      {"dtype", true, 0},
               {"type", true, 0},        {"action", true, 0},
               {"rank", false, 9},       {"bits", false, 9},
               {"rel_error", false, 9},  {"weighted_error", false, 9},
               {"energy", false, 9},     {"cosine", false, 9},
               {"max_abs", false, 9},    {"bytes_in", false, 15},
               {"bytes_out", false, 15}, {"seconds", false, 9},
               {"reason", true, 0}};
#define COLUMNS (sizeof columns / sizeof *columns)

static void put_row(const lort_node *tensor, unsigned run, lort_buffer *out)
{
    lort_put_text(out, "%u", run);
    for (size_t i = 0; i < COLUMNS; i++) {
        const char *text = lort_page_run_text(tensor, columns[i].key);
        lort_put_text(out, ",");
        if (!columns[i].is_text)
            lort_page_number(out, lort_page_run_number(tensor, columns[i].key), columns[i].digits);
        else if (*text)
            lort_page_text(out, LORT_PAGE_CSV, text, strlen(text));
    }
    lort_put_text(out, "\r\n");
}

void lort_page_csv(const lort_page_run *runs, unsigned count, lort_buffer *out)
{
    lort_put_text(out, "run");
    for (size_t i = 0; i < COLUMNS; i++)
        lort_put_text(out, ",%s", columns[i].key);
    lort_put_text(out, "\r\n");
    for (unsigned run = 0; run < count; run++) {
        const lort_node *tensor;
        for (uint64_t at = 0; (tensor = lort_page_run_tensor(&runs[run], &at));)
            put_row(tensor, run + 1, out);
    }
}
