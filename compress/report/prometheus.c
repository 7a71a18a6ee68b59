/* prometheus: the text format of Prometheus, for the textfile collector of node_exporter. It has no
 * time stamps: the collector refuses them, and tells the age of the file itself. */
#include "compress/report/pages.h"
#include <math.h>
#include <string.h>

/* A metric of a run, or of each item of a list in it. */
static const struct metric {
    const char *name, *help;
    const char *list;        /* path of the list; NULL: the metric is of the run */
    const char *label, *key; /* label: the member of an item that names it; key: the figure */
} metrics[] = {
    {"lort_input_bytes", "Bytes of the input.", NULL, NULL, "input.bytes"},
    {"lort_output_bytes", "Bytes of the output.", NULL, NULL, "output.bytes"},
    {"lort_output_ratio", "Bytes of the output / bytes of the input.", NULL, NULL, "output.ratio"},
    {"lort_bits_per_weight", "Bits per weight of the output.", NULL, NULL, "output.bpw"},
    {"lort_worst_error", "Largest relative error of a tensor.", NULL, NULL, "worst_error"},
    {"lort_mean_error", "Mean relative error of the tensors.", NULL, NULL, "mean_error"},
    {"lort_duration_seconds", "Time that the run took.", NULL, NULL, "seconds"},
    {"lort_stall_seconds", "Time that the run waited for memory.", NULL, NULL, "stall_seconds"},
    {"lort_peak_anonymous_bytes", "Most anonymous memory of the process.", NULL, NULL,
     "memory.peak_anon_bytes"},
    {"lort_memory_limit_bytes", "Memory that the run was allowed.", NULL, NULL,
     "memory.budget_bytes"},
    {"lort_fetched_bytes", "Bytes that came from the network.", NULL, NULL,
     "network.fetched_bytes"},
    {"lort_phase_seconds", "Time of one kind of work.", "phases", "phase", "seconds"},
    {"lort_kind_input_bytes", "Bytes of the tensors of one kind.", "kinds", "kind", "bytes_in"},
    {"lort_kind_output_bytes", "The same in the output.", "kinds", "kind", "bytes_out"},
    {"lort_kind_bits", "Bits of the output per element.", "kinds", "kind", "bits"},
    {"lort_kind_mean_error", "Mean relative error of the tensors of one kind.", "kinds", "kind",
     "mean_error"},
};

static void put(lort_buffer *out, const char *text) { lort_put_bytes(out, text, strlen(text)); }

static void put_label(lort_buffer *out, const char *name, const char *text)
{
    put(out, name);
    put(out, "=");
    lort_page_text(out, LORT_PAGE_LABEL, text, strlen(text));
}

/* The name, and the labels of the run, without the closing brace. */
static void put_begin(lort_buffer *out, const char *name, const lort_page_run *run, unsigned number)
{
    put(out, name);
    lort_put_text(out, "{run=\"%u\",", number);
    put_label(out, "command", lort_page_run_text(run->root, "command"));
    put(out, ",");
    put_label(out, "input", lort_page_run_text(lort_page_run_get(run, "input"), "path"));
}

static void put_value(lort_buffer *out, double v)
{
    put(out, "} ");
    lort_page_number(out, v, 15);
    put(out, "\n");
}

static void put_items(lort_buffer *out, const struct metric *m, const lort_page_run *run,
                      unsigned number)
{
    const lort_node *list = lort_page_run_get(run, m->list);
    for (uint64_t i = 0; i < lort_node_count(list); i++) {
        const lort_node *item = lort_node_at(list, i);
        const double v = lort_page_run_number(item, m->key);
        if (isnan(v))
            continue;
        put_begin(out, m->name, run, number);
        put(out, ",");
        put_label(out, m->label, lort_page_run_text(item, m->label));
        put_value(out, v);
    }
}

static void put_metric(lort_buffer *out, const struct metric *m, const lort_page_run *run,
                       unsigned number)
{
    const double v = m->list ? NAN : lort_node_number(lort_page_run_get(run, m->key));
    if (m->list)
        put_items(out, m, run, number);
    if (isnan(v))
        return;
    put_begin(out, m->name, run, number);
    put_value(out, v);
}

static void put_head(lort_buffer *out, const char *name, const char *help)
{
    lort_put_text(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

void lort_page_prometheus(const lort_page_run *runs, unsigned count, lort_buffer *out)
{
    put_head(out, "lort_exit_code", "Exit code of the run; 0: it succeeded.");
    for (unsigned i = 0; i < count; i++) {
        const double code = lort_node_number(lort_page_run_get(&runs[i], "error.code"));
        put_begin(out, "lort_exit_code", &runs[i], i + 1);
        put_value(out, isnan(code) ? 0 : code);
    }
    for (size_t m = 0; m < sizeof metrics / sizeof *metrics; m++) {
        put_head(out, metrics[m].name, metrics[m].help);
        for (unsigned i = 0; i < count; i++)
            put_metric(out, &metrics[m], &runs[i], i + 1);
    }
}
