/* markdown: a page for a model card or for the summary of a CI run, in Markdown of GitHub. */
#include "compress/report/pages.h"
#include "formats/base/text.h"
#include <math.h>
#include <string.h>

#define WORST 10    /* tensors in the table of the largest errors */
#define WARNINGS 20 /* that are shown */

static void put(lort_buffer *out, const char *text) { lort_put_bytes(out, text, strlen(text)); }

static void put_text(lort_buffer *out, const char *text)
{
    lort_page_text(out, LORT_PAGE_MARKDOWN, text, strlen(text));
}

/* A row of a head, and the line below it. numbers: columns of numbers, which lean to the right. */
static void put_head(lort_buffer *out, const char *head, unsigned texts, unsigned numbers)
{
    lort_put_text(out, "%s\n|", head);
    for (unsigned i = 0; i < texts; i++)
        put(out, "---|");
    for (unsigned i = 0; i < numbers; i++)
        put(out, "---:|");
    put(out, "\n");
}

static void put_facts(const lort_page_run *runs, unsigned count, lort_buffer *out)
{
    put_head(out, count > 1 ? "| | run 1 | run 2 |" : "| | |", 1 + count, 0);
    for (const lort_fact *fact = lort_facts; fact->title; fact++) {
        lort_buffer texts[LORT_PAGE_RUNS] = {{.alloc = out->alloc}, {.alloc = out->alloc}};
        uint64_t known = 0;
        for (unsigned i = 0; i < count; i++) {
            lort_fact_put(&runs[i], fact, &texts[i]);
            known += texts[i].size;
        }
        if (known)
            lort_put_text(out, "| %s |", fact->title);
        for (unsigned i = 0; i < count && known; i++) {
            put(out, " ");
            if (texts[i].size)
                lort_page_text(out, LORT_PAGE_MARKDOWN, (const char *)texts[i].data,
                               (size_t)texts[i].size);
            put(out, " |");
        }
        if (known)
            put(out, "\n");
        for (unsigned i = 0; i < count; i++)
            lort_buffer_free(&texts[i]);
    }
}

static void put_number(lort_buffer *out, const lort_node *item, const char *key, int digits)
{
    lort_page_number(out, lort_page_run_number(item, key), digits);
    put(out, " | ");
}

static void put_bytes(lort_buffer *out, const lort_node *item, const char *key)
{
    const double bytes = lort_page_run_number(item, key);
    char text[32];
    if (bytes >= 0 && bytes < 9e18)
        put(out, lort_size_text((uint64_t)bytes, text, sizeof text));
    put(out, " | ");
}

static void put_kinds(const lort_page_run *run, lort_buffer *out)
{
    const lort_node *kinds = lort_page_run_get(run, "kinds");
    if (lort_node_count(kinds) == 0)
        return;
    put(out, "\n");
    put_head(out, "| kind | tensors | bytes in | bytes out | bits | worst error | mean error |", 1,
             6);
    for (uint64_t i = 0; i < lort_node_count(kinds); i++) {
        const lort_node *kind = lort_node_at(kinds, i);
        put(out, "| ");
        put_text(out, lort_page_run_text(kind, "kind"));
        put(out, " | ");
        put_number(out, kind, "tensors", 9);
        put_bytes(out, kind, "bytes_in");
        put_bytes(out, kind, "bytes_out");
        put_number(out, kind, "bits", 4);
        put_number(out, kind, "worst_error", 4);
        put_number(out, kind, "mean_error", 4);
        put(out, "\n");
    }
}

/* The tensors with the largest errors, in descending order. Returns their number. */
static unsigned find_worst(const lort_page_run *run, lort_node **worst)
{
    unsigned count = 0;
    lort_node *tensor;
    for (uint64_t at = 0; (tensor = lort_page_run_tensor(run, &at));) {
        const double error = lort_page_run_number(tensor, "rel_error");
        unsigned place = count;
        if (!(error > 0))
            continue;
        while (place > 0 && lort_page_run_number(worst[place - 1], "rel_error") < error)
            place--;
        if (place == WORST)
            continue;
        count += count < WORST;
        memmove(&worst[place + 1], &worst[place], (count - 1 - place) * sizeof *worst);
        worst[place] = tensor;
    }
    return count;
}

static void put_worst(const lort_page_run *run, lort_buffer *out)
{
    lort_node *worst[WORST];
    const unsigned count = find_worst(run, worst);
    if (count == 0)
        return;
    put(out, "\n");
    put_head(out, "| largest errors | type | error | bits | rank |", 2, 3);
    for (unsigned i = 0; i < count; i++) {
        put(out, "| ");
        put_text(out, lort_page_run_text(worst[i], "name"));
        put(out, " | ");
        put_text(out, lort_page_run_text(worst[i], "dtype"));
        put(out, " | ");
        put_number(out, worst[i], "rel_error", 4);
        put_number(out, worst[i], "bits", 4);
        put_number(out, worst[i], "rank", 9);
        put(out, "\n");
    }
}

static void put_phases(const lort_page_run *run, lort_buffer *out)
{
    const lort_node *phases = lort_page_run_get(run, "phases");
    if (lort_node_count(phases) == 0)
        return;
    put(out, "\n");
    put_head(out, "| phase | seconds |", 1, 1);
    for (uint64_t i = 0; i < lort_node_count(phases); i++) {
        put(out, "| ");
        put_text(out, lort_page_run_text(lort_node_at(phases, i), "phase"));
        put(out, " | ");
        put_number(out, lort_node_at(phases, i), "seconds", 4);
        put(out, "\n");
    }
}

static void put_warnings(const lort_page_run *run, lort_buffer *out)
{
    const lort_node *warnings = lort_page_run_get(run, "warnings");
    const uint64_t count = lort_node_count(warnings);
    if (count)
        put(out, "\nWarnings:\n\n");
    for (uint64_t i = 0; i < count && i < WARNINGS; i++) {
        const char *text = lort_node_chars(lort_node_at(warnings, i));
        put(out, "- ");
        put_text(out, text ? text : "");
        put(out, "\n");
    }
    if (count > WARNINGS)
        lort_put_text(out, "- and %llu more\n", (unsigned long long)(count - WARNINGS));
}

void lort_page_markdown(const lort_page_run *runs, unsigned count, lort_buffer *out)
{
    put(out, "## LoRT\n\n");
    put_facts(runs, count, out);
    for (unsigned i = 0; i < count; i++) {
        if (count > 1)
            lort_put_text(out, "\n### Run %u\n", i + 1);
        put_kinds(&runs[i], out);
        put_worst(&runs[i], out);
        put_phases(&runs[i], out);
        put_warnings(&runs[i], out);
    }
}
