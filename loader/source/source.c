/* source: owns the order in which LoRT looks for a name. See source.h. */
#include "formats/base/text.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

void lort_source_close(lort_source *source, const lort_alloc *alloc)
{
    char *const texts[] = {source->path,     source->found, source->endpoint, source->repository,
                           source->revision, source->file,  source->url};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i])
            lort_give(alloc, texts[i], strlen(texts[i]) + 1);
    *source = (lort_source){0};
}

/* ---- the order ---- */

static lort_code search_caches(lort_search *search, lort_error *err)
{
    static lort_code (*const caches[])(lort_search *, lort_error *) = {
        lort_search_hub, lort_search_llama, lort_search_lm_studio, lort_search_model_scope};
    lort_code code = LORT_OK;
    for (size_t i = 0; code == LORT_OK && !search->found && i < sizeof caches / sizeof *caches; i++)
        code = caches[i](search, err);
    return code;
}

/* A part of the model is there. An address of the Hub goes on without it. A bare name does not: the
 * user may think that the model is there. */
static lort_code refuse_lack(const lort_search *search, lort_error *err)
{
    const char *advice = search->offline ? "finish the download"
                                         : "finish the download, or write hf:// in front of the "
                                           "name to read it from the Hub";
    char shown[200];
    return lort_fail(err, LORT_E_INPUT, "%s: %s; %s",
                     lort_escape_text(shown, sizeof shown, search->text), search->lack, advice);
}

static lort_code refuse_absent(const lort_search *search, lort_error *err)
{
    const bool by_name = search->name->form == LORT_FORM_BARE;
    char shown[200];
    return lort_fail(err, LORT_E_INPUT, "%s: %s not in %s%s",
                     lort_escape_text(shown, sizeof shown, search->text),
                     by_name ? "no such path, and" : "the model is", search->places,
                     search->offline ? "; the Hub is not asked, since LoRT is offline" : "");
}

/* The model is asked for at the Hub. */
static lort_code take_hub(lort_search *search, lort_error *err)
{
    const lort_source_name *name = search->name;
    lort_source *out = search->out;
    char how[LORT_REVISION_MAX + sizeof search->lack + 20];
    snprintf(how, sizeof how, "the Hub, %s%s%s", name->revision, search->lacking ? "; " : "",
             search->lacking ? search->lack : "");
    out->kind = LORT_SOURCE_HUB;
    lort_code code = lort_search_keep(search, how, &out->found, err);
    if (code == LORT_OK)
        code = lort_search_keep(search, name->endpoint, &out->endpoint, err);
    if (code == LORT_OK)
        code = lort_search_keep(search, name->repository, &out->repository, err);
    if (code == LORT_OK)
        code = lort_search_keep(search, name->revision, &out->revision, err);
    return code ? code : lort_search_keep(search, *name->file ? name->file : NULL, &out->file, err);
}

static lort_code find_repository(lort_search *search, lort_error *err)
{
    lort_code code = search_caches(search, err);
    if (code || search->found)
        return code;
    if (search->lacking && (search->offline || search->name->form == LORT_FORM_BARE))
        return refuse_lack(search, err);
    return search->offline ? refuse_absent(search, err) : take_hub(search, err);
}

static lort_code find_url(lort_search *search, lort_error *err)
{
    const int shown = (int)strcspn(search->text, "?#"), whole = (int)strcspn(search->text, "#");
    char url[LORT_ADDRESS_MAX + 1];
    if (search->offline)
        return lort_fail(err, LORT_E_INPUT, "%.*s: not asked for, since LoRT is offline", shown,
                         search->text);
    snprintf(url, sizeof url, "%.*s", whole, search->text);
    search->out->kind = LORT_SOURCE_URL;
    lort_code code = lort_search_keep(search, url, &search->out->url, err);
    return code ? code : lort_search_keep(search, "a server", &search->out->found, err);
}

static lort_code find_ollama(lort_search *search, lort_error *err)
{
    lort_code code = lort_search_ollama(search, err);
    return code || search->found ? code : refuse_absent(search, err);
}

static lort_code find_named(lort_search *search, lort_error *err)
{
    switch (search->name->form) {
    case LORT_FORM_HUB:
    case LORT_FORM_BARE:
        return find_repository(search, err);
    case LORT_FORM_URL:
        return find_url(search, err);
    case LORT_FORM_OLLAMA:
        return find_ollama(search, err);
    case LORT_FORM_PATH:
        break;
    }
    return lort_search_keep(search, search->text, &search->out->path, err);
}

lort_code lort_source_find(const char *text, bool offline, const lort_alloc *alloc,
                           lort_source *out, lort_error *err)
{
    char endpoint[LORT_ENDPOINT_MAX + 1];
    lort_source_name name = {.form = LORT_FORM_PATH};
    lort_file_info info;
    lort_error unused;
    bool exists = false;
    err = err ? err : &unused;
    *out = (lort_source){0};
    lort_source_endpoint(endpoint);
    const lort_code seen = lort_os_stat(text, &info, &exists, NULL);
    lort_code code = exists ? LORT_OK : lort_source_name_parse(text, endpoint, &name, err);
    if (code)
        return code;
    if (seen && name.form == LORT_FORM_BARE) /* a path that LoRT may not look at */
        name.form = LORT_FORM_PATH;
    lort_search search = {.text = text, .name = &name, .alloc = alloc, .out = out};
    search.offline =
        offline || lort_source_is_on("HF_HUB_OFFLINE") || lort_source_is_on("TRANSFORMERS_OFFLINE");
    code = find_named(&search, err);
    if (code)
        lort_source_close(out, alloc);
    return code;
}
