/* named: see named.h. */
#include "compress/read/named.h"
#include "compress/session/report.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

/* A model on the network. */
static lort_code refuse_remote(const char *text, const lort_source *source, lort_error *err)
{
    char shown[200];
    const bool hub = source->kind == LORT_SOURCE_HUB;
    return lort_fail(err, LORT_E_INPUT,
                     "%.*s: %s%s%s%s, and this build does not stream models; download it first%s%s",
                     (int)strcspn(lort_escape_text(shown, sizeof shown, text), "?#"), shown,
                     hub ? "is in no cache of this machine (looked for " : "is on a server",
                     hub ? source->repository : "", hub ? " at " : "", hub ? "the Hub)" : "",
                     hub ? ": hf download " : "", hub ? source->repository : "");
}

lort_code lort_named_find(const char *text, bool offline, const lort_alloc *alloc, lort_named *out,
                          lort_error *err)
{
    *out = (lort_named){.alloc = alloc};
    lort_code code = lort_source_find(text, offline, alloc, &out->source, err);
    if (code)
        return code;
    out->path = out->source.path;
    if (out->source.kind == LORT_SOURCE_HUB || out->source.kind == LORT_SOURCE_URL)
        return refuse_remote(text, &out->source, err);
    return LORT_OK;
}

lort_code lort_named_model(const lort_named *named, const lort_model_options *options,
                           lort_warn_fn *warn, void *warn_ctx, lort_model **out, lort_error *err)
{
    return lort_model_open_as(named->path, options, named->alloc, warn, warn_ctx, out, err);
}

lort_code lort_named_open(const char *text, const lort_model_options *options,
                          lort_session *session, lort_named *out, lort_model **model,
                          lort_error *err)
{
    lort_code code = lort_named_find(text, options->offline, &session->alloc, out, err);
    return code ? code
                : lort_named_model(out, options, lort_session_warn_text, session, model, err);
}

void lort_named_close(lort_named *named)
{
    if (named->alloc)
        lort_source_close(&named->source, named->alloc);
    *named = (lort_named){.alloc = NULL};
}

void lort_named_report(const lort_named *named, lort_report *report)
{
    const char *found = named->source.found;
    report->input_path = lort_report_escape(report, named->path, strlen(named->path));
    if (found)
        report->input_found = lort_report_escape(report, found, strlen(found));
}

void lort_named_warn(lort_session *session, const lort_model *model)
{
    const lort_model_file *first = NULL;
    uint32_t more = 0;
    char own[300], name[300], others[40] = "";
    for (uint32_t i = 0; i < lort_model_file_count(model); i++) {
        const lort_model_file *file = lort_model_get_file(model, i);
        if (strcmp(file->name, file->own_name) == 0)
            continue;
        more += first != NULL;
        first = first ? first : file;
    }
    if (!first)
        return;
    if (more)
        snprintf(others, sizeof others, ", and %u more likewise", more);
    lort_session_warn(session, "'%s' is stored under the name '%s'%s",
                      lort_escape_text(own, sizeof own, first->own_name),
                      lort_escape_text(name, sizeof name, first->name), others);
}
