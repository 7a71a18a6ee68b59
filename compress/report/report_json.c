/* report_json: writes a report as JSON, and the lines that tell of a run meanwhile.
 *
 * One table of fields describes each object. A line has the tables of the report, so a figure has
 * one name in both. */
#include "compress/report/course_json.h"
#include "compress/report/sums.h"
#include "compress/session/json_place.h"
#include "compress/session/json_tree.h"
#include "compress/session/report.h"
#include "compress/session/versions.h"
#include "loader/os/os.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define R(member) offsetof(lort_report, member)
#define T(member) offsetof(lort_tensor_report, member)
#define Y(member) offsetof(lort_type_report, member)
static const lort_field mode_fields[] = {{"mode", LORT_FIELD_MODE, R(mode)},
                                         {"mode_reason", LORT_FIELD_TEXT, R(mode_reason)}};
static const lort_field head_fields[] = {{"mode", LORT_FIELD_MODE, R(mode)},
                                         {"mode_reason", LORT_FIELD_TEXT, R(mode_reason)},
                                         {"verified", LORT_FIELD_TEXT, R(verified)}};
static const lort_field memory_fields[] = {
    {"available_bytes", LORT_FIELD_U64_KNOWN, R(available_bytes)},
    {"binding_source", LORT_FIELD_TEXT, R(binding_source)},
    {"sources", LORT_FIELD_NONE, 0},
    {"need_bytes", LORT_FIELD_U64_KNOWN, R(need_bytes)},
    {"threshold", LORT_FIELD_REAL, R(threshold)},
    {"budget_bytes", LORT_FIELD_U64_KNOWN, R(budget_bytes)},
    {"planned_peak_bytes", LORT_FIELD_U64_KNOWN, R(planned_peak_bytes)},
    {"peak_anon_bytes", LORT_FIELD_U64_KNOWN, R(peak_anon_bytes)},
    {"peak_file_bytes", LORT_FIELD_U64_KNOWN, R(peak_file_bytes)},
    {"peak_rss_bytes", LORT_FIELD_U64_KNOWN, R(peak_rss_bytes)},
    {"cgroup_peak_bytes", LORT_FIELD_U64_KNOWN, R(cgroup_peak_bytes)},
};
static const lort_field blas_fields[] = {{"config", LORT_FIELD_TEXT, R(blas_config)},
                                         {"core", LORT_FIELD_TEXT, R(blas_core)}};
static const lort_field input_fields[] = {{"path", LORT_FIELD_TEXT, R(input_path)},
                                          {"found", LORT_FIELD_TEXT, R(input_found)},
                                          {"bytes", LORT_FIELD_U64, R(input_bytes)},
                                          {"format", LORT_FIELD_TEXT, R(input_format)},
                                          {"files", LORT_FIELD_U64, R(input_files)},
                                          {"left_out_files", LORT_FIELD_U64, R(left_files)},
                                          {"left_out_bytes", LORT_FIELD_U64, R(left_bytes)},
                                          {"version", LORT_FIELD_U64_KNOWN, R(input_version)},
                                          {"bpw", LORT_FIELD_REAL, R(input_bpw)}};
static const lort_field output_fields[] = {
    {"path", LORT_FIELD_TEXT, R(output_path)},
    {"bytes", LORT_FIELD_U64_KNOWN, R(output_bytes)},
    {"bpw", LORT_FIELD_REAL, R(bpw)},
    {"ratio", LORT_FIELD_REAL, R(ratio)},
    {"estimate_low_bytes", LORT_FIELD_U64_KNOWN, R(output_low)},
    {"estimate_high_bytes", LORT_FIELD_U64_KNOWN, R(output_high)},
    {"disk_free_bytes", LORT_FIELD_U64_KNOWN, R(disk_free_bytes)},
    {"partial_path", LORT_FIELD_TEXT, R(partial_path)},
    {"resumed_tensors", LORT_FIELD_U64, R(resumed_tensors)}};
static const lort_field tail_fields[] = {
    {"seconds", LORT_FIELD_REAL, R(seconds)},
    {"sample_seconds", LORT_FIELD_REAL, R(sample_seconds)},
    {"estimated_seconds", LORT_FIELD_REAL, R(estimated_seconds)},
    {"worst_error", LORT_FIELD_REAL, R(worst_error)},
    {"mean_error", LORT_FIELD_REAL, R(mean_error)},
    {"worst_weighted_error", LORT_FIELD_REAL, R(weighted_worst)},
    {"mean_weighted_error", LORT_FIELD_REAL, R(weighted_mean)}};
static const lort_field imatrix_fields[] = {{"path", LORT_FIELD_TEXT, R(imatrix_path)},
                                            {"entries", LORT_FIELD_U64, R(imatrix_entries)},
                                            {"matrices", LORT_FIELD_U64, R(imatrix_matrices)}};
static const lort_field covariance_fields[] = {
    {"path", LORT_FIELD_TEXT, R(covariance_path)},
    {"entries", LORT_FIELD_U64, R(covariance_entries)},
    {"matrices", LORT_FIELD_U64, R(covariance_matrices)}};
static const lort_field base_fields[] = {{"path", LORT_FIELD_TEXT, R(base_path)},
                                         {"bytes", LORT_FIELD_U64, R(base_bytes)},
                                         {"files", LORT_FIELD_U64, R(base_files)}};
static const lort_field network_fields[] = {
    {"model", LORT_FIELD_TEXT, R(input_label)},
    {"commit", LORT_FIELD_TEXT, R(input_commit)},
    {"fetched_bytes", LORT_FIELD_U64, R(fetched_bytes)},
    {"requests", LORT_FIELD_U64, R(requests)},
    {"fetch_plan_bytes", LORT_FIELD_U64_KNOWN, R(fetch_plan_bytes)},
    {"spool_path", LORT_FIELD_TEXT, R(spool_path)},
    {"spool_bytes", LORT_FIELD_U64, R(spool_bytes)},
    {"spool_plan_bytes", LORT_FIELD_U64_KNOWN, R(spool_plan_bytes)}};
static const lort_field tensor_fields[] = {
    {"name", LORT_FIELD_TEXT, T(name)},
    {"shape", LORT_FIELD_NONE, 0},
    {"dtype", LORT_FIELD_TEXT, T(dtype)},
    {"type", LORT_FIELD_TEXT, T(type)},
    {"action", LORT_FIELD_ACTION, T(action)},
    {"reason", LORT_FIELD_TEXT, T(reason_text)},
    {"detail", LORT_FIELD_TEXT, T(detail)},
    {"base", LORT_FIELD_TEXT, T(base)},
    {"same_as", LORT_FIELD_TEXT, T(same_as)},
    {"rank", LORT_FIELD_I64, T(rank)},
    {"slices", LORT_FIELD_I64, T(slices)},
    {"passes", LORT_FIELD_I64, T(passes)},
    {"rel_error", LORT_FIELD_REAL, T(rel_error)},
    {"rel_error_update", LORT_FIELD_REAL, T(rel_error_update)},
    {"weighted_error", LORT_FIELD_REAL, T(weighted_error)},
    {"proxy_loss", LORT_FIELD_REAL, T(proxy_loss)},
    {"damping", LORT_FIELD_REAL, T(damping)},
    {"outliers", LORT_FIELD_U64, T(outliers)},
    {"rel_error_rest", LORT_FIELD_REAL, T(rel_error_rest)},
    {"worst_row_error", LORT_FIELD_REAL, T(worst_row_error)},
    {"energy", LORT_FIELD_REAL, T(energy)},
    {"cosine", LORT_FIELD_REAL, T(cosine)},
    {"max_abs", LORT_FIELD_REAL, T(max_abs)},
    {"bytes_in", LORT_FIELD_U64, T(bytes_in)},
    {"bytes_out", LORT_FIELD_U64, T(bytes_out)},
    {"file", LORT_FIELD_TEXT, T(file)},
    {"offset", LORT_FIELD_U64, T(offset)},
    {"seconds", LORT_FIELD_REAL, T(seconds)},
};

static const lort_field type_fields[] = {
    {"dtype", LORT_FIELD_TEXT, Y(dtype)},
    {"type", LORT_FIELD_TEXT, Y(type)},
    {"tensors", LORT_FIELD_U64, Y(tensors)},
    {"elements", LORT_FIELD_U64, Y(elements)},
    {"bytes", LORT_FIELD_U64, Y(bytes)},
    {"bytes_out", LORT_FIELD_U64_KNOWN, Y(bytes_out)},
    {"worst_error", LORT_FIELD_REAL, Y(worst_error)},
    {"mean_error", LORT_FIELD_REAL, Y(mean_error)},
};

#define K(member) offsetof(lort_kind_sums, member)
static const lort_field kind_fields[] = {{"kind", LORT_FIELD_TEXT, K(kind)},
                                         {"tensors", LORT_FIELD_U64, K(tensors)},
                                         {"elements", LORT_FIELD_U64, K(elements)},
                                         {"bytes_in", LORT_FIELD_U64, K(bytes_in)},
                                         {"bytes_out", LORT_FIELD_U64_KNOWN, K(bytes_out)},
                                         {"bits", LORT_FIELD_REAL, K(bits)},
                                         {"worst_error", LORT_FIELD_REAL, K(worst_error)},
                                         {"mean_error", LORT_FIELD_REAL, K(mean_error)}};

/* The kind, the layer and the bits: they follow from the other members. */
static lort_node *with_place(lort_node *object, const lort_tensor_report *tensor)
{
    const int64_t layer = lort_layer_of(tensor->name);
    object =
        lort_node_with(object, "kind", lort_node_text(lort_kind_name(lort_kind_of_report(tensor))));
    object = lort_node_with(object, "layer", layer < 0 ? lort_node_null() : lort_node_whole(layer));
    return lort_node_with(object, "bits", lort_node_real(lort_report_bits(tensor)));
}

static lort_node *spectrum_json(const lort_tensor_report *tensor)
{
    lort_node *values = lort_node_array();
    for (uint64_t i = 0; i < tensor->spectrum_count; i++)
        values = lort_node_add(values, lort_node_real((double)tensor->spectrum[i]));
    return values;
}

static lort_node *tensor_json(const lort_tensor_report *tensor)
{
    lort_node *shape = lort_node_array();
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        shape = lort_node_add(shape, lort_node_whole(tensor->shape[i]));
    lort_node *object = lort_node_with(LORT_NODE_OF(tensor_fields, tensor), "shape", shape);
    object = with_place(object, tensor);
    if (tensor->spectrum_count)
        object = lort_node_with(object, "spectrum", spectrum_json(tensor));
    /* "" is a name and not null */
    return lort_node_with(object, "name",
                          *tensor->name ? lort_node_text(tensor->name) : lort_node_string(""));
}

static lort_node *source_json(const lort_source_report *source)
{
    lort_node *object = lort_node_with(lort_node_object(), "name", lort_node_text(source->name));
    object = lort_node_with(object, "bytes", lort_node_u64(source->bytes));
    return lort_node_with(object, "where", lort_node_text(source->where));
}

static lort_node *meta_json(const lort_meta_report *meta)
{
    lort_node *object = lort_node_with(lort_node_object(), "key", lort_node_text(meta->key));
    object = lort_node_with(object, "type", lort_node_text(meta->type));
    if (meta->is_array)
        object = lort_node_with(object, "count", lort_node_u64(meta->count));
    return lort_node_with(object, "value",
                          !meta->is_text ? lort_node_literal(meta->text)
                          : *meta->text  ? lort_node_text(meta->text)
                                         : lort_node_string(""));
}

static lort_node *memory_json(const lort_report *report)
{
    lort_node *sources = lort_node_array();
    for (unsigned i = 0; i < report->source_count; i++)
        sources = lort_node_add(sources, source_json(&report->sources[i]));
    return lort_node_with(LORT_NODE_OF(memory_fields, report), "sources", sources);
}

static lort_node *with_hashes(lort_node *root, const lort_report *report)
{
    if (!report->hash_count)
        return root;
    lort_node *hashes = lort_node_array();
    for (uint64_t i = 0; i < report->hash_count; i++) {
        const lort_hash_report *hash = &report->hashes[i];
        lort_node *one = lort_node_with(lort_node_object(), "name", lort_node_text(hash->name));
        one = lort_node_with(one, "sha256", lort_node_text(hash->sha256));
        hashes = lort_node_add(hashes, lort_node_with(one, "bytes", lort_node_u64(hash->bytes)));
    }
    return lort_node_with(root, "hashes", hashes);
}

static lort_node *kinds_json(const lort_report *report)
{
    lort_kind_sums sums[LORT_KINDS_MOST];
    const unsigned count = lort_sum_kinds(report, sums);
    lort_node *kinds = lort_node_array();
    for (unsigned i = 0; i < count; i++)
        kinds = lort_node_add(kinds, LORT_NODE_OF(kind_fields, &sums[i]));
    return kinds;
}

static lort_node *with_lists(lort_node *root, const lort_report *report)
{
    lort_node *warnings = lort_node_array(), *tensors = lort_node_array(),
              *types = lort_node_array(), *meta = report->meta_count ? lort_node_array() : NULL;
    for (unsigned i = 0; i < report->warning_count; i++)
        warnings = lort_node_add(warnings, lort_node_text(report->warnings[i]));
    for (uint64_t i = 0; i < report->meta_count; i++)
        meta = lort_node_add(meta, meta_json(&report->meta[i]));
    for (uint64_t i = 0; i < report->tensor_count; i++)
        tensors = lort_node_add(tensors, tensor_json(&report->tensors[i]));
    for (uint64_t i = 0; i < report->type_count; i++)
        types = lort_node_add(types, LORT_NODE_OF(type_fields, &report->types[i]));
    root = lort_node_with(root, "warnings", warnings);
    if (report->meta_count)
        root = lort_node_with(root, "meta", meta);
    root = with_hashes(root, report);
    root = lort_node_with(root, "types", types);
    root = lort_node_with(root, "kinds", kinds_json(report));
    return lort_node_with(root, "tensors", tensors);
}

/* Null if the command succeeded. */
static lort_node *error_json(const lort_error *error)
{
    if (!error->code)
        return lort_node_null();
    lort_node *object = lort_node_with(lort_node_object(), "code", lort_node_whole(error->code));
    object = lort_node_with(object, "name", lort_node_text(lort_code_name(error->code)));
    object = lort_node_with(object, "message", lort_node_text(error->message));
    object = lort_node_with(object, "file", lort_node_text(error->file));
    return lort_node_with(object, "tensor", lort_node_text(error->tensor));
}

/* The members that every report begins with (lort_json_is_own). */
static lort_node *begun_json(lort_command command, const lort_error *error)
{
    lort_node *root = lort_node_with(lort_node_object(), "lort", lort_node_string(LORT_VERSION));
    root = lort_node_with(root, "command", lort_node_text(lort_command_text(command)));
    return lort_node_with(root, "error", error_json(error));
}

/* null: no task. merge joins all tasks and is none itself, so it has no number. */
static lort_node *task_json(const lort_report *report)
{
    const bool merge = report->command == LORT_COMMAND_MERGE;
    if (report->tasks == 0)
        return lort_node_null();
    lort_node *number = merge ? lort_node_null() : lort_node_u64(report->task),
              *bytes = merge ? lort_node_null() : lort_node_u64(report->task_bytes),
              *task = lort_node_with(lort_node_object(), "number", number);
    task = lort_node_with(task, "of", lort_node_u64(report->tasks));
    return lort_node_with(task, "input_bytes", bytes);
}

static lort_node *report_json(const lort_report *report)
{
    lort_node *root = begun_json(report->command, &report->error);
    root = lort_node_with(root, "versions", lort_versions_node());
    root = lort_node_with(root, "options", lort_options_node(report));
    root = lort_node_merge(root, LORT_NODE_OF(head_fields, report));
    root = lort_node_with(root, "memory", memory_json(report));
    root = lort_node_with(root, "threads", lort_node_u64(report->threads));
    root = lort_node_with(root, "stall_seconds", lort_node_real(report->stall_seconds));
    root = lort_node_with(root, "blas", LORT_NODE_OF(blas_fields, report));
    root = lort_node_with(root, "input", LORT_NODE_OF(input_fields, report));
    root = lort_node_with(root, "output", LORT_NODE_OF(output_fields, report));
    root = lort_node_with(root, "imatrix",
                          *report->imatrix_path ? LORT_NODE_OF(imatrix_fields, report)
                                                : lort_node_null());
    root = lort_node_with(root, "task", task_json(report));
    root = lort_node_with(root, "tasks", lort_runs_node(report));
    root = lort_node_with(root, "covariance",
                          *report->covariance_path ? LORT_NODE_OF(covariance_fields, report)
                                                   : lort_node_null());
    root = lort_node_with(
        root, "base", *report->base_path ? LORT_NODE_OF(base_fields, report) : lort_node_null());
    root = lort_node_with(root, "network",
                          *report->input_label ? LORT_NODE_OF(network_fields, report)
                                               : lort_node_null());
    root = lort_node_merge(root, LORT_NODE_OF(tail_fields, report));
    root = lort_course_json(root, report);
    return with_lists(root, report);
}

/* A report that no command opened has no texts and no NaN: *blank has. The caller frees *blank. */
static lort_code open_blank(const lort_report *report, lort_report *blank)
{
    lort_code code = lort_report_open(blank, NULL);
    if (code)
        return code;
    blank->command = report->command;
    blank->error = report->error;
    blank->options = report->options;
    blank->option_count = report->option_count;
    if (report->input_path)
        blank->input_path = report->input_path;
    if (report->input_found)
        blank->input_found = report->input_found;
    return LORT_OK;
}

static lort_node *any_json(const lort_report *report)
{
    lort_report blank;
    if (report->owner)
        return report_json(report);
    if (open_blank(report, &blank))
        return NULL;
    lort_node *root = report_json(&blank);
    lort_report_free(&blank);
    return root;
}

static lort_node *list_json(const lort_report *reports, unsigned count)
{
    unsigned first = 0;
    lort_node *results = lort_node_array();
    for (unsigned i = 0; i < count; i++)
        results = lort_node_add(results, any_json(&reports[i]));
    while (first + 1 < count && !reports[first].error.code)
        first++;
    return lort_node_with(begun_json(reports->command, &reports[first].error), "results", results);
}

static lort_code append_to_place(void *json, const void *bytes, size_t n, lort_error *err)
{
    return lort_json_append(json, bytes, n, err);
}

static lort_code write_report(lort_json *json, lort_node *root, lort_error *err)
{
    lort_code code = lort_node_write(root, false, append_to_place, json, err);
    return code ? code : lort_json_commit(json, err);
}

/* A report without an error must be whole. After a failure it has what is known. */
static lort_code check_report(const lort_report *report, lort_error *err)
{
    return report->owner && !report->error.code ? lort_report_check(report, err) : LORT_OK;
}

/* Rounding decides how decimals are printed. */
lort_code lort_json_write(lort_json *json, const lort_report *report, lort_error *err)
{
    lort_float_env caller;
    lort_os_float_enter(&caller);
    lort_code code = check_report(report, err);
    if (code == LORT_OK)
        code = write_report(json, any_json(report), err);
    lort_os_float_leave(&caller);
    return code;
}

lort_code lort_json_write_list(lort_json *json, const lort_report *reports, unsigned count,
                               lort_error *err)
{
    lort_float_env caller;
    lort_code code = LORT_OK;
    lort_os_float_enter(&caller);
    for (unsigned i = 0; i < count && code == LORT_OK; i++)
        code = check_report(&reports[i], err);
    if (code == LORT_OK)
        code = write_report(json, list_json(reports, count), err);
    lort_os_float_leave(&caller);
    return code;
}

lort_code lort_report_json(const lort_report *report, const char *path, lort_error *err)
{
    lort_json *json;
    lort_code code = lort_json_open(path, NULL, NULL, &json, err);
    if (code == LORT_OK)
        code = lort_json_write(json, report, err);
    lort_json_close(json);
    return code;
}

/* ---- lines ---- */

#define LINES_VERSION 1
#define E(member) offsetof(lort_event, member)
static const lort_field share_fields[] = {
    {"phase", LORT_FIELD_PHASE, E(phase)},
    {"attempt", LORT_FIELD_U32, E(attempt)},
    {"done_bytes", LORT_FIELD_U64, E(done_bytes)},
    {"total_bytes", LORT_FIELD_U64, E(total_bytes)},
    {"tensors_done", LORT_FIELD_U64, E(tensors_done)},
    {"tensors_total", LORT_FIELD_U64, E(tensors_total)},
    {"out_bytes", LORT_FIELD_U64, E(out_bytes)},
    {"share", LORT_FIELD_REAL, E(share)},
    {"seconds_left", LORT_FIELD_REAL, E(seconds_left)},
    {"bytes_per_second", LORT_FIELD_REAL, E(bytes_per_second)},
    {"worst_error", LORT_FIELD_REAL, E(worst_error)}};
static const lort_field peak_fields[] = {
    {"peak_anon_bytes", LORT_FIELD_U64_KNOWN, R(peak_anon_bytes)}};
static const lort_report nothing_known;

/* The members that every line begins with. */
static lort_node *begun_line(const char *type, lort_command command, double seconds)
{
    lort_node *line = lort_node_with(lort_node_object(), "v", lort_node_whole(LINES_VERSION));
    line = lort_node_with(line, "type", lort_node_string(type));
    line = lort_node_with(line, "command", lort_node_text(lort_command_text(command)));
    return lort_node_with(line, "seconds", lort_node_real(seconds));
}

/* What both ends of a run tell: where it runs, and what of. */
static lort_node *with_places(lort_node *line, const lort_report *report)
{
    line = lort_node_with(line, "memory", memory_json(report));
    line = lort_node_with(line, "threads", lort_node_u64(report->threads));
    line = lort_node_with(line, "input", LORT_NODE_OF(input_fields, report));
    return lort_node_with(line, "output", LORT_NODE_OF(output_fields, report));
}

static lort_node *with_start(lort_node *line, const lort_event *event)
{
    line = lort_node_with(line, "version", lort_node_string(LORT_VERSION));
    line = lort_node_with(line, "algorithm", lort_node_whole(LORT_ALGORITHM));
    line = lort_node_with(line, "pid", lort_node_whole(lort_os_process_id()));
    line = lort_node_merge(line, LORT_NODE_OF(mode_fields, event->report));
    line = with_places(line, event->report);
    line = lort_node_with(line, "tensors_total", lort_node_u64(event->tensors_total));
    return lort_node_with(line, "total_bytes", lort_node_u64(event->total_bytes));
}

static lort_node *with_message(lort_node *line, const lort_event *event)
{
    return lort_node_with(line, "message", lort_node_text(event->text));
}

static lort_node *with_share(lort_node *line, const lort_event *event)
{
    line = lort_node_merge(line, LORT_NODE_OF(share_fields, event));
    return lort_node_merge(line, LORT_NODE_OF(peak_fields, event->report));
}

static lort_node *with_progress(lort_node *line, const lort_event *event)
{
    return lort_node_with(with_share(line, event), "in_work",
                          event->tensor ? lort_node_text(event->tensor->name) : lort_node_null());
}

static lort_node *with_tensor(lort_node *line, const lort_event *event)
{
    return lort_node_with(with_share(line, event), "tensor",
                          event->tensor ? tensor_json(event->tensor) : lort_node_null());
}

static lort_node *event_json(const lort_event *given)
{
    static const struct {
        const char *type;
        lort_node *(*fill)(lort_node *, const lort_event *);
    } kinds[] = {[LORT_EVENT_START] = {"start", with_start},
                 [LORT_EVENT_WARNING] = {"warning", with_message},
                 [LORT_EVENT_NOTE] = {"note", with_message},
                 [LORT_EVENT_TENSOR] = {"tensor", with_tensor},
                 [LORT_EVENT_PROGRESS] = {"progress", with_progress}};
    lort_event event = *given;
    event.report = event.report ? event.report : &nothing_known;
    return kinds[event.kind].fill(
        begun_line(kinds[event.kind].type, event.report->command, event.seconds), &event);
}

/* A report that no command opened tells of no time. */
static double seconds_of(const lort_report *report)
{
    return report->owner ? report->seconds : NAN;
}

static lort_node *error_line(const lort_report *report)
{
    return lort_node_merge(begun_line("error", report->command, seconds_of(report)),
                           error_json(&report->error));
}

static lort_node *end_line(const lort_report *report, int exit_code)
{
    lort_node *line = begun_line("end", report->command, seconds_of(report));
    line = lort_node_with(line, "code", lort_node_whole(exit_code));
    line = with_places(line, report);
    line = lort_node_merge(line, LORT_NODE_OF(tail_fields, report));
    line = lort_node_with(line, "tensors_total", lort_node_u64(report->tensor_count));
    return lort_node_with(line, "warnings", lort_node_u64(report->warning_count));
}

static lort_code append_to_buffer(void *buffer, const void *bytes, size_t n, lort_error *err)
{
    lort_put_bytes(buffer, bytes, n);
    return LORT_OK;
}

/* Hands a line over at once, so that a line is never in pieces. */
static lort_code hand_over(lort_node *root, lort_line_fn *take, void *ctx, lort_error *err)
{
    lort_buffer text = {.alloc = &lort_alloc_heap};
    lort_float_env caller; /* rounding decides how decimals are printed */
    lort_os_float_enter(&caller);
    lort_code code = lort_node_write(root, true, append_to_buffer, &text, err);
    lort_os_float_leave(&caller);
    if (code == LORT_OK)
        code = lort_buffer_check(&text, err);
    if (code == LORT_OK)
        take(ctx, (const char *)text.data, text.size);
    lort_buffer_free(&text);
    return code;
}

lort_code lort_event_json(const lort_event *event, lort_line_fn *take, void *ctx, lort_error *err)
{
    return hand_over(event_json(event), take, ctx, err);
}

lort_code lort_error_json(const lort_report *report, lort_line_fn *take, void *ctx, lort_error *err)
{
    if (!report->error.code)
        return lort_fail(err, LORT_E_USAGE, "the report has no error");
    return hand_over(error_line(report), take, ctx, err);
}

lort_code lort_end_json(const lort_report *report, int exit_code, lort_line_fn *take, void *ctx,
                        lort_error *err)
{
    lort_report blank;
    if (report->owner)
        return hand_over(end_line(report, exit_code), take, ctx, err);
    if (open_blank(report, &blank))
        return lort_node_no_memory(err);
    lort_code code = hand_over(end_line(&blank, exit_code), take, ctx, err);
    lort_report_free(&blank);
    return code;
}
