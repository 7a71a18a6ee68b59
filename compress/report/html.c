/* html: one file that a browser shows without a network.
 *
 *   head      a policy that forbids every request (Plot draws the ramp of its legend as a data:
 *             image); the style
 *   scripts   d3 and Observable Plot as they are
 *   data      the runs as JSON in an element of type application/json
 *   script    compress/report/page.js, which calls Plot, and sets texts as text
 *
 * Only known members go into the data, and each text passes lort_page_text. */
#include "compress/report/assets.h"
#include "compress/report/pages.h"
#include <math.h>
#include <string.h>

static void put(lort_buffer *out, const char *text) { lort_put_bytes(out, text, strlen(text)); }

static void put_asset(lort_buffer *out, lort_asset asset)
{
    size_t n;
    const char *bytes = lort_asset_bytes(asset, &n);
    lort_put_bytes(out, bytes, n);
}

/* ---- data ---- */

/* A text that is harmless wherever the script sets it. NULL: no memory. */
static lort_node *plain_node(const lort_alloc *alloc, const char *text, size_t n)
{
    lort_buffer plain = {.alloc = alloc};
    lort_page_text(&plain, LORT_PAGE_PLAIN, text, n);
    lort_put_u8(&plain, 0);
    lort_node *node =
        lort_buffer_check(&plain, NULL) ? NULL : lort_node_string((const char *)plain.data);
    lort_buffer_free(&plain);
    return node;
}

static lort_node *text_node(const lort_alloc *alloc, const lort_node *object, const char *key)
{
    const char *text = lort_page_run_text(object, key);
    return *text ? plain_node(alloc, text, strlen(text)) : lort_node_null();
}

/* A number as short as can be: whole numbers without a point. */
static lort_node *number_node(double v)
{
    return v == floor(v) && fabs(v) < 1e15 ? lort_node_whole((int64_t)v) : lort_node_real(v);
}

/* Copies members of an object: texts, then numbers. Lists end with NULL. */
static lort_node *copy_members(const lort_alloc *alloc, const lort_node *from,
                               const char *const *texts, const char *const *numbers)
{
    lort_node *object = lort_node_object();
    for (; *texts; texts++)
        object = lort_node_with(object, *texts, text_node(alloc, from, *texts));
    for (; *numbers; numbers++) {
        const double v = lort_page_run_number(from, *numbers);
        if (!isnan(v))
            object = lort_node_with(object, *numbers, number_node(v));
    }
    return object;
}

static const char *const tensor_texts[] = {"name",   "kind",   "dtype", "type",
                                           "action", "reason", NULL};
static const char *const tensor_numbers[] = {"layer",   "rank",      "bits",    "rel_error",
                                             "energy",  "cosine",    "max_abs", "bytes_in",
                                             "seconds", "bytes_out", NULL};
static const char *const kind_texts[] = {"kind", NULL}, *const kind_numbers[] = {
                                                            "bytes_in", "bytes_out", "bits", NULL};
static const char *const phase_texts[] = {"phase", NULL}, *const phase_numbers[] = {"seconds",
                                                                                    NULL};
static const char *const no_texts[] = {NULL}, *const sample_numbers[] = {"seconds", "anon_bytes",
                                                                         "file_bytes", NULL};
static const char *const limit_numbers[] = {"planned_peak_bytes", "budget_bytes", NULL};

/* Spectra are lists of numbers. */
static lort_node *spectrum_node(const lort_node *from)
{
    lort_node *values = lort_node_array();
    for (uint64_t i = 0; i < lort_node_count(from); i++)
        values = lort_node_add(values, lort_node_real(lort_node_number(lort_node_at(from, i))));
    return values;
}

static lort_node *tensors_node(const lort_alloc *alloc, const lort_page_run *run)
{
    lort_node *tensors = lort_node_array();
    const lort_node *tensor;
    for (uint64_t at = 0; (tensor = lort_page_run_tensor(run, &at));) {
        lort_node *object = copy_members(alloc, tensor, tensor_texts, tensor_numbers);
        const lort_node *spectrum = lort_node_get(tensor, "spectrum");
        object = lort_node_with(object, "dims",
                                lort_node_u64(lort_node_count(lort_node_get(tensor, "shape"))));
        if (spectrum)
            object = lort_node_with(object, "spectrum", spectrum_node(spectrum));
        tensors = lort_node_add(tensors, object);
    }
    return tensors;
}

static lort_node *list_node(const lort_alloc *alloc, const lort_page_run *run, const char *path,
                            const char *const *texts, const char *const *numbers)
{
    const lort_node *list = lort_page_run_get(run, path);
    lort_node *copy = lort_node_array();
    for (uint64_t i = 0; i < lort_node_count(list); i++)
        copy = lort_node_add(copy, copy_members(alloc, lort_node_at(list, i), texts, numbers));
    return copy;
}

static lort_node *warnings_node(const lort_alloc *alloc, const lort_page_run *run)
{
    const lort_node *list = lort_page_run_get(run, "warnings");
    lort_node *copy = lort_node_array();
    for (uint64_t i = 0; i < lort_node_count(list); i++) {
        const char *text = lort_node_chars(lort_node_at(list, i));
        if (text)
            copy = lort_node_add(copy, plain_node(alloc, text, strlen(text)));
    }
    return copy;
}

static lort_node *facts_node(const lort_alloc *alloc, const lort_page_run *run)
{
    lort_node *facts = lort_node_array();
    for (const lort_fact *fact = lort_facts; fact->title; fact++) {
        lort_buffer text = {.alloc = alloc};
        lort_fact_put(run, fact, &text);
        if (text.size) {
            lort_node *pair = lort_node_add(lort_node_array(), lort_node_string(fact->title));
            pair =
                lort_node_add(pair, plain_node(alloc, (const char *)text.data, (size_t)text.size));
            facts = lort_node_add(facts, pair);
        }
        lort_buffer_free(&text);
    }
    return facts;
}

static lort_node *run_node(const lort_alloc *alloc, const lort_page_run *run)
{
    lort_node *object = lort_node_with(lort_node_object(), "facts", facts_node(alloc, run));
    object = lort_node_with(
        object, "limits",
        copy_members(alloc, lort_page_run_get(run, "memory"), no_texts, limit_numbers));
    object =
        lort_node_with(object, "kinds", list_node(alloc, run, "kinds", kind_texts, kind_numbers));
    object = lort_node_with(object, "phases",
                            list_node(alloc, run, "phases", phase_texts, phase_numbers));
    object = lort_node_with(object, "samples",
                            list_node(alloc, run, "samples", no_texts, sample_numbers));
    object = lort_node_with(object, "warnings", warnings_node(alloc, run));
    return lort_node_with(object, "tensors", tensors_node(alloc, run));
}

/* ---- the page ---- */

/* JSON in a script element: no text of it ends the element. */
static lort_code put_script(void *out, const void *bytes, size_t n, lort_error *err)
{
    (void)err;
    lort_page_text(out, LORT_PAGE_SCRIPT, bytes, n);
    return LORT_OK;
}

static void put_head(const lort_page_run *runs, lort_buffer *out)
{
    const char *input = lort_page_run_text(lort_page_run_get(&runs[0], "input"), "path");
    put(out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'\">\n<title>LoRT: ");
    lort_page_text(out, LORT_PAGE_HTML, input, strlen(input));
    put(out, "</title>\n<style>\n");
    put_asset(out, LORT_ASSET_STYLE);
    put(out, "</style>\n</head>\n<body>\n<noscript>This page draws its charts with JavaScript. "
             "lort report -o R.md writes a page without it.</noscript>\n<main></main>\n");
}

static void put_library(lort_buffer *out, lort_asset license, lort_asset script)
{
    put(out, "<!--\n");
    put_asset(out, license);
    put(out, "-->\n<script>\n");
    put_asset(out, script);
    put(out, "\n</script>\n");
}

lort_code lort_page_html(const lort_page_run *runs, unsigned count, lort_buffer *out,
                         lort_error *err)
{
    lort_node *list = lort_node_array();
    for (unsigned i = 0; i < count; i++)
        list = lort_node_add(list, run_node(out->alloc, &runs[i]));
    put_head(runs, out);
    put_library(out, LORT_ASSET_D3_LICENSE, LORT_ASSET_D3);
    put_library(out, LORT_ASSET_PLOT_LICENSE, LORT_ASSET_PLOT);
    put(out, "<script type=\"application/json\" id=\"runs\">");
    const lort_code code = lort_node_write(list, true, put_script, out, err);
    put(out, "</script>\n<script>\n");
    put_asset(out, LORT_ASSET_SCRIPT);
    put(out, "</script>\n</body>\n</html>\n");
    return code;
}
