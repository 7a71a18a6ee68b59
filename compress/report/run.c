/* run: see run.h. */
#include "compress/report/run.h"
#include "compress/report/gate.h"
#include "formats/base/text.h"
#include "loader/store/sidefile.h"
#include <math.h>
#include <string.h>

static lort_code check_run(const char *path, const lort_page_run *run, lort_error *err)
{
    char shown[300];
    const bool whole =
        *lort_page_run_text(run->root, "lort") && *lort_page_run_text(run->root, "command");
    if (whole && lort_node_get(run->root, "results"))
        return lort_fail(err, LORT_E_INPUT,
                         "%s: a report of several containers; give the report of one run",
                         lort_escape_text(shown, sizeof shown, path));
    if (!whole)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: no report of LoRT (it lacks \"lort\" or \"command\"); give a file "
                         "that --json wrote",
                         lort_escape_text(shown, sizeof shown, path));
    return LORT_OK;
}

lort_code lort_page_run_read(const char *path, const lort_alloc *alloc, lort_page_run *out,
                             lort_error *err)
{
    char shown[300];
    lort_sidefile file = {0};
    lort_error why = {0};
    *out = (lort_page_run){0};
    lort_code code = lort_sidefile_read(path, LORT_RUN_MOST, alloc, &file, err);
    if (code)
        return code;
    code = lort_page_gate(file.data, file.bytes, &why);
    if (code == LORT_OK)
        code = lort_node_read(file.data, (size_t)file.bytes, &out->root, &why);
    lort_sidefile_free(&file);
    if (code)
        return lort_fail(err, code, "%s: %s%s", lort_escape_text(shown, sizeof shown, path),
                         why.message,
                         code == LORT_E_INPUT ? "; give a file that --json wrote" : "");
    code = check_run(path, out, err);
    if (code)
        lort_page_run_free(out);
    return code;
}

void lort_page_run_free(lort_page_run *run)
{
    lort_node_free(run->root);
    run->root = NULL;
}

lort_node *lort_page_run_get(const lort_page_run *run, const char *path)
{
    char key[64];
    lort_node *node = run->root;
    while (node && *path) {
        const size_t n = strcspn(path, ".");
        if (n >= sizeof key)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        node = lort_node_get(node, key);
        path += n + (path[n] == '.');
    }
    return node;
}

const char *lort_page_run_text(const lort_node *object, const char *key)
{
    const char *text = lort_node_chars(lort_node_get(object, key));
    return text ? text : "";
}

double lort_page_run_number(const lort_node *object, const char *key)
{
    return lort_node_number(lort_node_get(object, key));
}

lort_node *lort_page_run_tensor(const lort_page_run *run, uint64_t *at)
{
    const lort_node *tensors = lort_page_run_get(run, "tensors");
    while (*at < lort_node_count(tensors)) {
        lort_node *tensor = lort_node_at(tensors, (*at)++);
        if (lort_node_is_object(tensor))
            return tensor;
    }
    return NULL;
}

/* ---- facts ---- */

const lort_fact lort_facts[] = {
    {"command", "command", LORT_FACT_TEXT},
    {"LoRT", "lort", LORT_FACT_TEXT},
    {"input", "input.path", LORT_FACT_TEXT},
    {"found", "input.found", LORT_FACT_TEXT},
    {"base", "base.path", LORT_FACT_TEXT},
    {"output", "output.path", LORT_FACT_TEXT},
    {"options", "options", LORT_FACT_OPTIONS},
    {"failed", "error.message", LORT_FACT_TEXT},
    {"input size", "input.bytes", LORT_FACT_BYTES},
    {"output size", "output.bytes", LORT_FACT_BYTES},
    {"output / input", "output.ratio", LORT_FACT_NUMBER},
    {"bits per weight", "output.bpw", LORT_FACT_NUMBER},
    {"worst error", "worst_error", LORT_FACT_NUMBER},
    {"mean error", "mean_error", LORT_FACT_NUMBER},
    {"mean weighted error", "mean_weighted_error", LORT_FACT_NUMBER},
    {"mode", "mode", LORT_FACT_TEXT},
    {"threads", "threads", LORT_FACT_NUMBER},
    {"time", "seconds", LORT_FACT_SECONDS},
    {"waited for memory", "stall_seconds", LORT_FACT_SECONDS},
    {"started", "started", LORT_FACT_TEXT},
    {"ended", "ended", LORT_FACT_TEXT},
    {"peak memory", "memory.peak_anon_bytes", LORT_FACT_BYTES},
    {"planned memory", "memory.planned_peak_bytes", LORT_FACT_BYTES},
    {"memory limit", "memory.budget_bytes", LORT_FACT_BYTES},
    {"fetched", "network.fetched_bytes", LORT_FACT_BYTES},
    {"BLAS", "versions.blas", LORT_FACT_TEXT},
    {"zstd", "versions.zstd", LORT_FACT_TEXT},
    {NULL, NULL, LORT_FACT_TEXT},
};

static void put(lort_buffer *out, const char *text) { lort_put_bytes(out, text, strlen(text)); }

/* The value of an option: a text, or true, which needs no words. */
static void put_option(lort_buffer *out, const char *name, const lort_node *value)
{
    put(out, out->size ? " --" : "--");
    put(out, name);
    if (lort_node_chars(value)) {
        put(out, " ");
        put(out, lort_node_chars(value));
    }
}

static void put_options(lort_buffer *out, lort_node *options)
{
    void *at = NULL;
    const char *name;
    const lort_node *value;
    while (lort_node_next(options, &at, &name, &value)) {
        const uint64_t several = lort_node_count(value);
        for (uint64_t i = 0; i < several; i++)
            put_option(out, name, lort_node_at(value, i));
        if (several == 0)
            put_option(out, name, value);
    }
}

static void put_seconds(lort_buffer *out, double seconds)
{
    lort_page_number(out, seconds, seconds < 1000 ? 3 : 9);
    put(out, " s");
}

static void put_size(lort_buffer *out, double bytes)
{
    char text[32];
    if (bytes >= 0 && bytes < 9e18)
        put(out, lort_size_text((uint64_t)bytes, text, sizeof text));
}

void lort_fact_put(const lort_page_run *run, const lort_fact *fact, lort_buffer *out)
{
    lort_node *node = lort_page_run_get(run, fact->path);
    const double number = lort_node_number(node);
    if (fact->form == LORT_FACT_OPTIONS)
        put_options(out, node);
    else if (fact->form == LORT_FACT_TEXT)
        put(out, lort_node_chars(node) ? lort_node_chars(node) : "");
    else if (isnan(number))
        return;
    else if (fact->form == LORT_FACT_BYTES)
        put_size(out, number);
    else if (fact->form == LORT_FACT_SECONDS)
        put_seconds(out, number);
    else
        lort_page_number(out, number, 4);
}
