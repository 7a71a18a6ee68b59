/* inspect: the metadata and tensors of a model or container, from headers and records. It reads no
 * weight. */
#include "compress/goal/given.h"
#include "compress/read/reading.h"
#include "compress/session/figures.h"
#include "compress/session/report.h"
#include "compress/session/type_totals.h"
#include "loader/model/model.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_text(lort_report *report, lort_meta_report *meta, const char *text)
{
    meta->is_text = true;
    meta->text = lort_report_escape(report, text, strlen(text));
}

static void fill_meta(lort_report *report, const lort_kv *kv, lort_meta_report *meta)
{
    *meta = (lort_meta_report){
        .key = lort_report_escape(report, kv->key, kv->key_bytes), .type = kv->type, .text = ""};
    switch (kv->kind) {
    case LORT_KV_U64:
        meta->text = lort_report_text(report, "%llu", (unsigned long long)kv->v.u);
        break;
    case LORT_KV_I64:
        meta->text = lort_report_text(report, "%lld", (long long)kv->v.i);
        break;
    case LORT_KV_F64:
        meta->text = isfinite(kv->v.f) ? lort_report_text(report, "%.17g", kv->v.f) : "null";
        break;
    case LORT_KV_BOOL:
        meta->text = kv->v.b ? "true" : "false";
        break;
    case LORT_KV_TEXT:
        put_text(report, meta, kv->text_copy);
        break;
    case LORT_KV_ARRAY:
        meta->count = kv->v.array.count;
        meta->is_array = true;
        break;
    }
}

static lort_code list_meta(const lort_model *model, lort_report *report, lort_error *err)
{
    uint64_t count = 0, at = 0;
    for (uint32_t f = 0; f < lort_model_file_count(model); f++)
        count += lort_model_get_file(model, f)->header.kv_count;
    lort_code code = lort_report_meta(report, count, err);
    for (uint32_t f = 0; code == LORT_OK && f < lort_model_file_count(model); f++) {
        const lort_header *header = &lort_model_get_file(model, f)->header;
        for (uint64_t i = 0; i < header->kv_count; i++)
            fill_meta(report, &header->kv[i], &report->meta[at++]);
    }
    return code;
}

/* bytes: of the weight files, or of the container. */
static lort_code list_types(lort_report *report, uint64_t bytes, lort_error *err)
{
    lort_code code = lort_report_type_totals(report, err);
    const uint64_t elements = lort_report_elements(report);
    if (code == LORT_OK && elements)
        report->input_bpw = 8 * (double)bytes / (double)elements;
    return code;
}

static lort_code list_model(const lort_model *model, lort_report *report, lort_error *err)
{
    const lort_index *index = lort_model_index(model);
    lort_code code = lort_report_tensors(report, index->count, err);
    for (uint64_t i = 0; code == LORT_OK && i < index->count; i++) {
        const lort_tensor *tensor = &index->tensors[i];
        lort_tensor_report *entry = &report->tensors[i];
        lort_report_tensor(report, tensor, entry);
        entry->offset = tensor->offset;
        entry->file = lort_report_file(report, i, lort_model_get_file(model, tensor->file)->name,
                                       i && tensor->file == index->tensors[i - 1].file);
    }
    report->input_format = lort_model_format(model);
    report->input_bytes = lort_model_bytes(model);
    report->input_files = lort_model_file_count(model);
    lort_model_left_out(model, &report->left_files, &report->left_bytes);
    uint64_t weights = 0;
    for (uint32_t f = 0; f < lort_model_file_count(model); f++) {
        const lort_model_file *file = lort_model_get_file(model, f);
        if (file->role != LORT_ROLE_WEIGHTS)
            continue;
        report->input_version = file->header.version;
        weights += file->size;
    }
    if (code == LORT_OK)
        code = list_types(report, weights, err);
    return code ? code : list_meta(model, report, err);
}

/* Lists the model record as metadata, then the tensors. */
static lort_code list_container(const lort_archive *archive, lort_report *report, lort_error *err)
{
    const lort_model_record *model = lort_archive_model(archive);
    const struct {
        const char *key, *text;
    } facts[] = {{"producer", model->producer},
                 {"options", model->options},
                 {"libraries", model->libraries}};
    enum { FACTS = sizeof facts / sizeof *facts, FILES = FACTS + 1 };
    const uint64_t base = FILES + (uint64_t)model->file_count; /* where the base's files begin */
    lort_code code = lort_report_meta(report, base + model->base_count, err);
    if (code)
        return code;
    for (unsigned i = 0; i < FACTS; i++) {
        report->meta[i] = (lort_meta_report){.key = facts[i].key, .type = "string"};
        put_text(report, &report->meta[i], facts[i].text);
    }
    report->meta[FACTS] =
        (lort_meta_report){.key = "algorithm",
                           .type = "u32",
                           .text = lort_report_text(report, "%u", model->algorithm)};
    for (uint32_t f = 0; f < model->file_count; f++) {
        report->meta[FILES + f] =
            (lort_meta_report){.key = lort_report_text(report, "file %u", f), .type = "string"};
        put_text(report, &report->meta[FILES + f],
                 lort_report_text(report, "%s, %llu bytes, %s", model->files[f].name,
                                  (unsigned long long)model->files[f].size,
                                  model->files[f].format));
    }
    for (uint32_t f = 0; f < model->base_count; f++) {
        report->meta[base + f] = (lort_meta_report){
            .key = lort_report_text(report, "base file %u", f), .type = "string"};
        put_text(report, &report->meta[base + f],
                 lort_report_text(report, "%s, %llu bytes", model->base[f].name,
                                  (unsigned long long)model->base[f].size));
    }
    code = lort_reading_list(archive, report, err);
    return code ? code : list_types(report, report->input_bytes, err);
}

static void add_warning(void *report, const char *text) { lort_report_warn(report, "%s", text); }

static lort_code inspect_archive(lort_session *session, const char *path, lort_error *err)
{
    lort_archive *archive;
    lort_code code =
        lort_archive_open_until(path, &session->alloc, lort_session_stops, session, &archive, err);
    if (code)
        return code;
    code = list_container(archive, session->report, err);
    lort_archive_close(archive);
    return code;
}

static lort_code inspect_model(lort_session *session, const lort_named *named,
                               const lort_run_options *run, lort_error *err)
{
    lort_model *model;
    const lort_model_options files =
        lort_named_options(session, run->weights, false, run->side_files == LORT_SIDE_FILES_ALL);
    lort_code code = lort_named_model(named, &files, add_warning, session->report, &model, err);
    if (code)
        return code;
    code = lort_session_check_stop(session, err);
    if (code == LORT_OK)
        code = list_model(model, session->report, err);
    if (code == LORT_OK)
        lort_model_say(model);
    lort_named_cost(model, session->report);
    lort_model_close(model);
    return code;
}

lort_code lort_inspect(const char *path, const lort_run_options *given,
                       const lort_observer *observer, lort_report *report, lort_error *err)
{
    lort_session session;
    lort_run_options run;
    lort_named named = {.alloc = NULL};
    bool archive;
    lort_code code = lort_given_run(given, &run, report, err);
    if (code)
        return code;
    code = lort_session_open_reader(&session, LORT_COMMAND_INSPECT, run.memory_bytes, observer,
                                    report, err);
    session.spool = run.spool;
    if (code == LORT_OK) {
        report->input_path = lort_report_escape(report, path, strlen(path));
        code = lort_named_find(path, run.offline, &session.alloc, &named, err);
    }
    if (code == LORT_OK) {
        lort_named_report(&named, report);
        code = lort_named_told(&named, &archive, err);
    }
    if (code == LORT_OK)
        code = archive ? inspect_archive(&session, named.path, err)
                       : inspect_model(&session, &named, &run, err);
    lort_named_close(&named);
    if (code == LORT_OK)
        code = lort_report_check(report, err);
    if (code == LORT_OK)
        code = lort_session_check_stop(&session, err);
    code = lort_session_name_limit(&session, path, code, err);
    if (session.budget)
        report->planned_peak_bytes = lort_session_peak(&session);
    lort_session_close(&session);
    return code;
}
