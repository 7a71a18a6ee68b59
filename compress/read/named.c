/* named: see named.h. */
#include "compress/read/named.h"
#include "compress/session/report.h"
#include "formats/base/text.h"
#include "loader/remote/remote.h"
#include "loader/spool/spool.h"
#include "loader/store/archive.h"
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

/* Without queries, which may hold secrets. */
static void show_remote(lort_named *named)
{
    const lort_source *s = &named->source;
    if (s->kind == LORT_SOURCE_URL)
        snprintf(named->shown, sizeof named->shown, "%.*s", (int)strcspn(s->url, "?#"), s->url);
    else
        snprintf(named->shown, sizeof named->shown, "hf://%s@%s%s%s", s->repository, s->revision,
                 s->file ? "/" : "", s->file ? s->file : "");
    named->path = named->shown;
    named->remote = true;
}

lort_code lort_named_find(const char *text, bool offline, const lort_alloc *alloc, lort_named *out,
                          lort_error *err)
{
    *out = (lort_named){.alloc = alloc};
    lort_code code = lort_source_find(text, offline, alloc, &out->source, err);
    if (code)
        return code;
    out->path = out->source.path;
    if (out->source.kind != LORT_SOURCE_HUB && out->source.kind != LORT_SOURCE_URL)
        return LORT_OK;
    if (!lort_remote_built())
        return refuse_remote(text, &out->source, err);
    show_remote(out);
    return LORT_OK;
}

lort_code lort_named_told(const lort_named *named, bool *archive, lort_error *err)
{
    char shown[300];
    *archive = false;
    if (!named->remote)
        return lort_archive_told(named->path, archive, err);
    return lort_text_ends(named->path, ".lort")
               ? lort_fail(err, LORT_E_INPUT,
                           "%s: a container on the network: LoRT reads containers from a disk "
                           "only; download it first",
                           lort_escape_text(shown, sizeof shown, named->path))
               : LORT_OK;
}

lort_model_options lort_named_options(lort_session *session, const char *weights,
                                      bool weights_elsewhere, bool all_side_files)
{
    return (lort_model_options){.weights = weights,
                                .weights_elsewhere = weights_elsewhere,
                                .all_side_files = all_side_files,
                                .offline = session->offline,
                                .spool = session->spool,
                                .beside = session->beside,
                                .spool_keep = session->spool_keep,
                                .stop = lort_session_stops,
                                .stop_ctx = session};
}

lort_code lort_named_model(const lort_named *named, const lort_model_options *options,
                           lort_warn_fn *warn, void *warn_ctx, lort_model **out, lort_error *err)
{
    const lort_spool_options spool = {.dir = options->spool,
                                      .beside = options->beside,
                                      .keep = options->spool_keep,
                                      .stop = options->stop,
                                      .stop_ctx = options->stop_ctx};
    return named->remote
               ? lort_spool_model(&named->source, &spool, options, named->alloc, warn, warn_ctx,
                                  out, err)
               : lort_model_open_as(named->path, options, named->alloc, warn, warn_ctx, out, err);
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

void lort_named_cost(const lort_model *model, lort_report *report)
{
    lort_supply_figures f;
    if (!model || !lort_model_is_supplied(model))
        return;
    lort_model_figures(model, &f);
    report->input_label = lort_report_escape(report, f.label, strlen(f.label));
    report->input_commit = lort_report_escape(report, f.commit, strlen(f.commit));
    report->spool_path = lort_report_escape(report, f.place, strlen(f.place));
    report->fetched_bytes = f.fetched;
    report->requests = f.requests;
    report->spool_bytes = f.spool_most;
    report->spool_plan_bytes = f.spool_plan;
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
