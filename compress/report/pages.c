/* pages: see pages.h. The public function behind `lort report`. */
#include "compress/report/pages.h"
#include "compress/lort.h"
#include "compress/session/report.h"
#include "compress/session/session.h"
#include "formats/base/text.h"
#include "loader/store/publish.h"
#include <string.h>

typedef enum page_form { FORM_HTML, FORM_MARKDOWN, FORM_CSV, FORM_PROMETHEUS, FORMS } page_form;

static const struct form {
    const char *end;
    void (*put)(const lort_page_run *runs, unsigned count, lort_buffer *out); /* NULL: HTML */
} forms[FORMS] = {[FORM_HTML] = {".html", NULL},
                  [FORM_MARKDOWN] = {".md", lort_page_markdown},
                  [FORM_CSV] = {".csv", lort_page_csv},
                  [FORM_PROMETHEUS] = {".prom", lort_page_prometheus}};

static lort_code find_form(const char *output, const struct form **out, lort_error *err)
{
    char shown[300];
    for (unsigned i = 0; i < FORMS; i++)
        if (lort_text_ends(output, forms[i].end)) {
            *out = &forms[i];
            return LORT_OK;
        }
    return lort_fail(err, LORT_E_USAGE,
                     "%s: the ending of the output names its form; use .html, .md, .csv or .prom",
                     lort_escape_text(shown, sizeof shown, output));
}

/* Rounding decides how decimals are printed: the session has set it. */
static lort_code make_page(const lort_page_run *runs, unsigned count, const struct form *form,
                           lort_buffer *page, lort_error *err)
{
    lort_code code = LORT_OK;
    if (form->put)
        form->put(runs, count, page);
    else
        code = lort_page_html(runs, count, page, err);
    return code ? code : lort_buffer_check(page, err);
}

static lort_code write_page(const lort_buffer *page, const char *output, bool force,
                            lort_error *err)
{
    const lort_publish_options how = {.mode = 0644, .force = force, .expect_bytes = page->size};
    lort_publish *publish = NULL;
    lort_code code = lort_publish_begin(output, &how, page->alloc, &publish, err);
    if (code == LORT_OK)
        code = lort_publish_file(publish, NULL, err);
    if (code == LORT_OK)
        code = lort_publish_append(publish, page->data, page->size, err);
    if (code == LORT_OK)
        code = lort_publish_commit(publish, err);
    lort_publish_close(publish);
    return code;
}

/* On failure some of the runs are read: the caller frees all. */
static lort_code read_runs(lort_session *session, const char *const *paths, unsigned count,
                           lort_page_run *runs, lort_error *err)
{
    lort_code code = LORT_OK;
    for (unsigned i = 0; i < count && code == LORT_OK; i++) {
        code = lort_page_run_read(paths[i], &session->alloc, &runs[i], err);
        if (code == LORT_OK)
            code = lort_session_check_stop(session, err);
    }
    return code;
}

static lort_code show_runs(lort_session *session, const char *const *paths, unsigned count,
                           const char *output, bool force, lort_error *err)
{
    const struct form *form = NULL;
    lort_page_run runs[LORT_PAGE_RUNS] = {{NULL}, {NULL}};
    lort_buffer page = {.alloc = &session->alloc};
    lort_code code = find_form(output, &form, err);
    if (code == LORT_OK)
        code = read_runs(session, paths, count, runs, err);
    if (code == LORT_OK)
        code = make_page(runs, count, form, &page, err);
    if (code == LORT_OK)
        code = write_page(&page, output, force, err);
    if (code == LORT_OK)
        session->report->output_bytes = page.size;
    for (unsigned i = 0; i < count; i++)
        lort_page_run_free(&runs[i]);
    lort_buffer_free(&page);
    return code;
}

lort_code lort_report_page(const char *const *paths, unsigned count, const char *output, bool force,
                           const lort_observer *observer, lort_report *report, lort_error *err)
{
    lort_session session;
    lort_code code =
        lort_session_open_reader(&session, LORT_COMMAND_REPORT, 0, observer, report, err);
    if (code == LORT_OK && (count == 0 || count > LORT_PAGE_RUNS))
        code = lort_fail(err, LORT_E_USAGE, "%u reports: a page shows one or two", count);
    if (code == LORT_OK) {
        report->input_path = lort_report_escape(report, paths[0], strlen(paths[0]));
        report->input_files = count;
        report->output_path = lort_report_escape(report, output, strlen(output));
        code = show_runs(&session, paths, count, output, force, err);
    }
    lort_session_close(&session);
    return code;
}
