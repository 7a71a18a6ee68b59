/* report_json: writes a report as JSON; the only user of <jansson.h>.
 *
 * One table of fields describes each object. If memory runs out, an object or array is NULL as a
 * whole, and so is all that should hold it. */
#include "compress/session/report_json.h"
#include "compress/session/json_place.h"
#include "compress/session/report.h"
#include "loader/os/os.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a field is written. The _KNOWN kinds write null for 0, which means "unknown". */
typedef enum kind { TEXT, U32, U64, U64_KNOWN, I64, REAL, ACTION, MODE, NONE } kind;
typedef struct field {
    const char *name;
    kind kind;
    size_t at;
} field;

/* These two own both arguments. They return the object or array, or NULL if an argument is NULL. */
static json_t *with_member(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *with_item(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) == 0)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *json_u64(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

/* Texts are escaped already, but for format characters. A text that is not valid UTF-8 is escaped
 * here, so that it is not lost. */
static json_t *json_text(const char *text)
{
    char escaped[4096];
    if (!text || !*text)
        return json_null();
    return json_string(lort_utf8_valid(text, strlen(text))
                           ? text
                           : lort_escape_plain(escaped, sizeof escaped, text, strlen(text)));
}

static json_t *json_real_or_null(double v) { return isfinite(v) ? json_real(v) : json_null(); }

_Static_assert(sizeof(lort_action) == sizeof(unsigned) && sizeof(lort_mode) == sizeof(unsigned),
               "read as unsigned");

static json_t *field_value(const field *f, const char *base)
{
    const char *at = base + f->at;
    uint64_t u = 0;
    int64_t i;
    double d;
    const char *text;
    unsigned n;
    switch (f->kind) {
    case TEXT:
        memcpy(&text, at, sizeof text);
        return json_text(text);
    case U32:
        memcpy(&n, at, sizeof n);
        return json_u64(n);
    case U64:
    case U64_KNOWN:
        memcpy(&u, at, sizeof u);
        return f->kind == U64_KNOWN && !u ? json_null() : json_u64(u);
    case I64:
        memcpy(&i, at, sizeof i);
        return json_integer(i);
    case REAL:
        memcpy(&d, at, sizeof d);
        return json_real_or_null(d);
    case ACTION:
        memcpy(&n, at, sizeof n);
        return json_text(lort_action_text((lort_action)n));
    case MODE:
        memcpy(&n, at, sizeof n);
        return n == LORT_MODE_AUTO ? json_null() : json_text(lort_mode_text((lort_mode)n));
    case NONE:
        break;
    }
    return json_null();
}

static json_t *object_of(const field *fields, size_t count, const void *base)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        object = with_member(object, fields[i].name, field_value(&fields[i], base));
    return object;
}
#define OBJECT(fields, base) object_of(fields, sizeof(fields) / sizeof *(fields), base)
#define R(member) offsetof(lort_report, member)
#define T(member) offsetof(lort_tensor_report, member)
#define Y(member) offsetof(lort_type_report, member)
static const field head_fields[] = {{"mode", MODE, R(mode)},
                                    {"mode_reason", TEXT, R(mode_reason)},
                                    {"verified", TEXT, R(verified)}};
static const field memory_fields[] = {
    {"available_bytes", U64_KNOWN, R(available_bytes)},
    {"binding_source", TEXT, R(binding_source)},
    {"sources", NONE, 0},
    {"need_bytes", U64_KNOWN, R(need_bytes)},
    {"threshold", REAL, R(threshold)},
    {"budget_bytes", U64_KNOWN, R(budget_bytes)},
    {"planned_peak_bytes", U64_KNOWN, R(planned_peak_bytes)},
    {"peak_anon_bytes", U64_KNOWN, R(peak_anon_bytes)},
    {"peak_file_bytes", U64_KNOWN, R(peak_file_bytes)},
    {"peak_rss_bytes", U64_KNOWN, R(peak_rss_bytes)},
    {"cgroup_peak_bytes", U64_KNOWN, R(cgroup_peak_bytes)},
};
static const field blas_fields[] = {{"config", TEXT, R(blas_config)}, {"core", TEXT, R(blas_core)}};
static const field input_fields[] = {{"path", TEXT, R(input_path)},
                                     {"bytes", U64, R(input_bytes)},
                                     {"format", TEXT, R(input_format)},
                                     {"files", U64, R(input_files)},
                                     {"left_out_files", U64, R(left_files)},
                                     {"left_out_bytes", U64, R(left_bytes)},
                                     {"version", U64_KNOWN, R(input_version)},
                                     {"bpw", REAL, R(input_bpw)}};
static const field output_fields[] = {{"path", TEXT, R(output_path)},
                                      {"bytes", U64_KNOWN, R(output_bytes)},
                                      {"bpw", REAL, R(bpw)},
                                      {"ratio", REAL, R(ratio)},
                                      {"estimate_low_bytes", U64_KNOWN, R(output_low)},
                                      {"estimate_high_bytes", U64_KNOWN, R(output_high)},
                                      {"disk_free_bytes", U64_KNOWN, R(disk_free_bytes)},
                                      {"partial_path", TEXT, R(partial_path)},
                                      {"resumed_tensors", U64, R(resumed_tensors)}};
static const field tail_fields[] = {{"seconds", REAL, R(seconds)},
                                    {"sample_seconds", REAL, R(sample_seconds)},
                                    {"estimated_seconds", REAL, R(estimated_seconds)},
                                    {"worst_error", REAL, R(worst_error)},
                                    {"mean_error", REAL, R(mean_error)},
                                    {"worst_weighted_error", REAL, R(weighted_worst)},
                                    {"mean_weighted_error", REAL, R(weighted_mean)}};
static const field imatrix_fields[] = {{"path", TEXT, R(imatrix_path)},
                                       {"entries", U64, R(imatrix_entries)},
                                       {"matrices", U64, R(imatrix_matrices)}};
static const field base_fields[] = {
    {"path", TEXT, R(base_path)}, {"bytes", U64, R(base_bytes)}, {"files", U64, R(base_files)}};
static const field tensor_fields[] = {
    {"name", TEXT, T(name)},
    {"shape", NONE, 0},
    {"dtype", TEXT, T(dtype)},
    {"type", TEXT, T(type)},
    {"action", ACTION, T(action)},
    {"reason", TEXT, T(reason_text)},
    {"detail", TEXT, T(detail)},
    {"base", TEXT, T(base)},
    {"same_as", TEXT, T(same_as)},
    {"rank", I64, T(rank)},
    {"slices", I64, T(slices)},
    {"passes", I64, T(passes)},
    {"rel_error", REAL, T(rel_error)},
    {"rel_error_update", REAL, T(rel_error_update)},
    {"weighted_error", REAL, T(weighted_error)},
    {"outliers", U64, T(outliers)},
    {"rel_error_rest", REAL, T(rel_error_rest)},
    {"worst_row_error", REAL, T(worst_row_error)},
    {"energy", REAL, T(energy)},
    {"cosine", REAL, T(cosine)},
    {"max_abs", REAL, T(max_abs)},
    {"bytes_in", U64, T(bytes_in)},
    {"bytes_out", U64, T(bytes_out)},
    {"file", TEXT, T(file)},
    {"offset", U64, T(offset)},
    {"seconds", REAL, T(seconds)},
};

static const field type_fields[] = {
    {"dtype", TEXT, Y(dtype)},
    {"type", TEXT, Y(type)},
    {"tensors", U64, Y(tensors)},
    {"elements", U64, Y(elements)},
    {"bytes", U64, Y(bytes)},
    {"bytes_out", U64_KNOWN, Y(bytes_out)},
    {"worst_error", REAL, Y(worst_error)},
    {"mean_error", REAL, Y(mean_error)},
};

static json_t *tensor_json(const lort_tensor_report *tensor)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        shape = with_item(shape, json_integer(tensor->shape[i]));
    json_t *object = with_member(OBJECT(tensor_fields, tensor), "shape", shape);
    return with_member(object, "name", json_string(tensor->name)); /* "" is a name and not null */
}

static json_t *source_json(const lort_source_report *source)
{
    json_t *object = with_member(json_object(), "name", json_text(source->name));
    object = with_member(object, "bytes", json_u64(source->bytes));
    return with_member(object, "where", json_text(source->where));
}

/* The JSON value of a literal; a string if JSON has no such literal. json_loads would report a
 * failed allocation as an error in the text, or as its end. */
static json_t *literal_json(const char *text)
{
    char *end;
    errno = 0;
    const int64_t whole = strtoll(text, &end, 10);
    if (end != text && !*end)
        return errno ? json_string(text) : json_integer(whole);
    const double v = strtod(text, &end);
    if (end != text && !*end && isfinite(v))
        return json_real(v);
    return strcmp(text, "true") == 0    ? json_true()
           : strcmp(text, "false") == 0 ? json_false()
           : strcmp(text, "null") == 0  ? json_null()
                                        : json_text(text);
}

static json_t *meta_json(const lort_meta_report *meta)
{
    json_t *object = with_member(json_object(), "key", json_text(meta->key));
    object = with_member(object, "type", json_text(meta->type));
    if (meta->is_array)
        object = with_member(object, "count", json_u64(meta->count));
    return with_member(object, "value",
                       !meta->is_text ? literal_json(meta->text)
                       : *meta->text  ? json_text(meta->text)
                                      : json_string(""));
}

static json_t *memory_json(const lort_report *report)
{
    json_t *sources = json_array();
    for (unsigned i = 0; i < report->source_count; i++)
        sources = with_item(sources, source_json(&report->sources[i]));
    return with_member(OBJECT(memory_fields, report), "sources", sources);
}

static json_t *with_lists(json_t *root, const lort_report *report)
{
    json_t *warnings = json_array(), *tensors = json_array(), *types = json_array(),
           *meta = report->meta_count ? json_array() : NULL;
    for (unsigned i = 0; i < report->warning_count; i++)
        warnings = with_item(warnings, json_text(report->warnings[i]));
    for (uint64_t i = 0; i < report->meta_count; i++)
        meta = with_item(meta, meta_json(&report->meta[i]));
    for (uint64_t i = 0; i < report->tensor_count; i++)
        tensors = with_item(tensors, tensor_json(&report->tensors[i]));
    for (uint64_t i = 0; i < report->type_count; i++)
        types = with_item(types, OBJECT(type_fields, &report->types[i]));
    root = with_member(root, "warnings", warnings);
    if (report->meta_count)
        root = with_member(root, "meta", meta);
    root = with_member(root, "types", types);
    return with_member(root, "tensors", tensors);
}

static json_t *with_fields(json_t *root, json_t *fields)
{
    const bool done = json_object_update(root, fields) == 0;
    json_decref(fields);
    if (done)
        return root;
    json_decref(root);
    return NULL;
}

/* Null if the command succeeded. */
static json_t *error_json(const lort_error *error)
{
    if (!error->code)
        return json_null();
    json_t *object = with_member(json_object(), "code", json_integer(error->code));
    object = with_member(object, "name", json_text(lort_code_name(error->code)));
    object = with_member(object, "message", json_text(error->message));
    object = with_member(object, "file", json_text(error->file));
    return with_member(object, "tensor", json_text(error->tensor));
}

/* The members that every report begins with (lort_json_is_own). */
static json_t *begun_json(lort_command command, const lort_error *error)
{
    json_t *root = with_member(json_object(), "lort", json_string(LORT_VERSION));
    root = with_member(root, "command", json_text(lort_command_text(command)));
    return with_member(root, "error", error_json(error));
}

static json_t *report_json(const lort_report *report)
{
    json_t *root = begun_json(report->command, &report->error);
    root = with_fields(root, OBJECT(head_fields, report));
    root = with_member(root, "memory", memory_json(report));
    root = with_member(root, "threads", json_u64(report->threads));
    root = with_member(root, "stall_seconds", json_real_or_null(report->stall_seconds));
    root = with_member(root, "blas", OBJECT(blas_fields, report));
    root = with_member(root, "input", OBJECT(input_fields, report));
    root = with_member(root, "output", OBJECT(output_fields, report));
    root = with_member(root, "imatrix",
                       *report->imatrix_path ? OBJECT(imatrix_fields, report) : json_null());
    root =
        with_member(root, "base", *report->base_path ? OBJECT(base_fields, report) : json_null());
    root = with_fields(root, OBJECT(tail_fields, report));
    return with_lists(root, report);
}

/* A report that no command opened has no texts and no NaN: this one has. */
static json_t *blank_json(const lort_report *report)
{
    lort_report blank;
    if (lort_report_open(&blank, NULL))
        return NULL;
    blank.command = report->command;
    blank.error = report->error;
    if (report->input_path)
        blank.input_path = report->input_path;
    json_t *root = report_json(&blank);
    lort_report_free(&blank);
    return root;
}

static json_t *any_json(const lort_report *report)
{
    return report->owner ? report_json(report) : blank_json(report);
}

static json_t *list_json(const lort_report *reports, unsigned count)
{
    unsigned first = 0;
    json_t *results = json_array();
    for (unsigned i = 0; i < count; i++)
        results = with_item(results, any_json(&reports[i]));
    while (first + 1 < count && !reports[first].error.code)
        first++;
    return with_member(begun_json(reports->command, &reports[first].error), "results", results);
}

#define DUMP_FLAGS (JSON_INDENT(1) | JSON_REAL_PRECISION(9))

/* ---- writing ---- */

/* Buffers the output, since jansson writes a few bytes at a time. */
typedef struct buffer {
    lort_json *json;
    lort_error *err;
    lort_code code;
    size_t used;
    char bytes[16384];
} buffer;

static lort_code flush_bytes(buffer *b)
{
    if (!b->code && b->used)
        b->code = lort_json_append(b->json, b->bytes, b->used, b->err);
    b->used = 0;
    return b->code;
}

static lort_code put_bytes(buffer *b, const char *bytes, size_t n)
{
    if (n > sizeof b->bytes - b->used && flush_bytes(b))
        return b->code;
    memcpy(b->bytes + b->used, bytes, n);
    b->used += n;
    return LORT_OK;
}

/* A format character as JSON escapes it, so that the report is harmless on a terminal too. */
static lort_code put_format(buffer *b, uint32_t code_point)
{
    char text[16];
    if (code_point < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", code_point);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + ((code_point - 0x10000) >> 10),
                 0xDC00 + ((code_point - 0x10000) & 0x3FF));
    return put_bytes(b, text, strlen(text));
}

/* jansson hands over whole characters. Characters beyond ASCII stand in strings only. */
static int append_bytes(const char *bytes, size_t n, void *ctx)
{
    buffer *b = ctx;
    for (size_t i = 0; i < n;) {
        uint32_t code_point;
        const unsigned length = lort_utf8_next(bytes + i, n - i, &code_point);
        const size_t taken = length ? length : 1;
        if (length > 1 && lort_is_format(code_point) ? put_format(b, code_point)
                                                     : put_bytes(b, bytes + i, taken))
            return -1;
        i += taken;
    }
    return 0;
}

static lort_code fail_memory(lort_error *err)
{
    return lort_fail(err, LORT_E_MEMORY, "no memory for the JSON report");
}

static lort_code write_json(lort_json *json, json_t *root, lort_error *err)
{
    if (!root)
        return fail_memory(err);
    buffer b = {.json = json, .err = err};
    if (json_dump_callback(root, append_bytes, &b, DUMP_FLAGS) && !b.code)
        b.code = fail_memory(err);
    if (!b.code && append_bytes("\n", 1, &b) == 0)
        flush_bytes(&b);
    json_decref(root);
    return b.code ? b.code : lort_json_commit(json, err);
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
        code = write_json(json, any_json(report), err);
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
        code = write_json(json, list_json(reports, count), err);
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

const char *lort_report_json_version(void) { return jansson_version_str(); }
