/* compare_check: see compare_check.h. */
#include "compress/commands/compare_check.h"
#include "compress/read/work.h"
#include "formats/base/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

lort_code lort_compare_open(lort_session *session, const char *path, const lort_run_options *run,
                            lort_input *out, lort_error *err)
{
    session->offline = run->offline;
    session->spool = run->spool;
    const lort_model_options files =
        lort_named_options(session, run->weights, true, run->side_files == LORT_SIDE_FILES_ALL);
    lort_code code = lort_input_open_as(path, &files, &session->alloc, lort_session_warn_text,
                                        lort_session_stops, session, out, err);
    return lort_session_name_limit(session, path, code, err);
}

static lort_code same_shape(const lort_tensor *a, const lort_tensor *b, const char *name,
                            lort_error *err)
{
    bool same = a->n_dims == b->n_dims;
    for (uint32_t i = 0; same && i < a->n_dims; i++)
        same = a->dims[i] == b->dims[i];
    if (same)
        return LORT_OK;
    char x[200], y[200];
    lort_fail(err, LORT_E_INPUT, "cannot be compared: tensor %s is %s in A and %s in B", name,
              lort_shape_text(a, x, sizeof x), lort_shape_text(b, y, sizeof y));
    lort_error_tensor(err, a->name, a->name_bytes);
    return LORT_E_INPUT;
}

/* A and B must have the same tensors, with the same shapes. */
static lort_code check_pairs(const lort_index *a, const lort_index *b, lort_error *err)
{
    char name[200];
    for (uint64_t i = 0; i < a->count; i++) {
        const lort_tensor *tensor = &a->tensors[i],
                          *other = lort_index_find(b, tensor->name, tensor->name_bytes);
        lort_escape(name, sizeof name, tensor->name, tensor->name_bytes);
        if (!other) {
            lort_fail(err, LORT_E_INPUT, "cannot be compared: tensor %s of A is not in B", name);
            lort_error_tensor(err, tensor->name, tensor->name_bytes);
            return LORT_E_INPUT;
        }
        lort_code code = same_shape(tensor, other, name, err);
        if (code)
            return code;
    }
    if (b->count > a->count)
        return lort_fail(err, LORT_E_INPUT, "cannot be compared: B has %llu tensors, A %llu",
                         (unsigned long long)b->count, (unsigned long long)a->count);
    return LORT_OK;
}

/* Two containers of few bytes may claim any number of elements. Against a model this needs no
 * bound: the model stores each element. */
static lort_code check_work(const lort_input *a, const lort_input *b, lort_error *err)
{
    const lort_part *most = NULL;
    double work = 0, largest = 0;
    if (!a->archive || !b->archive)
        return LORT_OK;
    for (unsigned side = 0; side < 2; side++)
        for (uint64_t i = 0; i < a->index->count; i++) {
            const lort_entry entry = lort_input_entry(side ? b : a, i);
            const double part = lort_part_work(entry.part);
            work += part;
            most = part > largest ? entry.part : most;
            largest = part > largest ? part : largest;
        }
    const double stored =
        (double)lort_archive_size(a->archive) + (double)lort_archive_size(b->archive);
    if (!most || work <= lort_work_allowed(stored))
        return LORT_OK;
    char name[200];
    return lort_fail(err, LORT_E_INPUT,
                     "cannot be compared: A and B store %.0f bytes, which is too little for the "
                     "elements of tensor %s and others (work of %.2g units, allowed are %.2g); "
                     "restore A or B, and compare with that",
                     stored, lort_escape(name, sizeof name, most->name, most->name_bytes), work,
                     lort_work_allowed(stored));
}

lort_code lort_compare_check(const lort_input *a, const lort_input *b, lort_error *err)
{
    lort_code code = check_pairs(a->index, b->index, err);
    return code ? code : check_work(a, b, err);
}

void lort_compare_expect(lort_session *session, const lort_index *index)
{
    uint64_t cost = 0, bytes = 0;
    for (uint64_t i = 0; i < index->count; i++) {
        cost += index->tensors[i].elements;
        bytes += index->tensors[i].bytes;
    }
    session->total_bytes = bytes;
    lort_meter_expect(&session->meter, LORT_PHASE_COMPARING, cost, bytes, index->count);
    lort_session_enter(session, LORT_PHASE_COMPARING);
}

static uint64_t bytes_of(const lort_input *input)
{
    return input->model ? lort_model_bytes(input->model) : lort_archive_size(input->archive);
}

void lort_compare_sides(const lort_input *a, const lort_input *b, lort_report *report)
{
    report->input_format = a->model ? lort_model_format(a->model) : "lort";
    report->input_files = a->model ? lort_model_file_count(a->model) : 1;
    report->input_bytes = bytes_of(a);
    report->output_bytes = bytes_of(b);
    if (report->input_bytes)
        report->ratio = (double)report->output_bytes / (double)report->input_bytes;
}

/* Writes "Q4_K", or "F16 and Q4_K" where the sides differ. */
static const char *types_text(const lort_tensor_report *entry, char *out, size_t cap)
{
    const bool one = strcmp(entry->dtype, entry->type) == 0;
    snprintf(out, cap, "%s%s%s", entry->dtype, one ? "" : " and ", one ? "" : entry->type);
    return out;
}

void lort_compare_warn(lort_session *session, const lort_tensor_report *entry, const char *why)
{
    char types[64];
    lort_session_warn(session, "%s (%s): %s", entry->name, types_text(entry, types, sizeof types),
                      why);
}

static bool was_told(lort_compare_undecoded *told, const lort_tensor_report *entry)
{
    const unsigned most = sizeof told->types / sizeof *told->types;
    for (unsigned i = 0; i < told->count; i++)
        if (strcmp(told->types[i][0], entry->dtype) == 0 &&
            strcmp(told->types[i][1], entry->type) == 0)
            return true;
    if (told->count < most) {
        told->types[told->count][0] = entry->dtype;
        told->types[told->count++][1] = entry->type;
    }
    return false;
}

void lort_compare_warn_undecoded(lort_session *session, lort_compare_undecoded *told,
                                 const lort_tensor_report *entry, bool left, bool right)
{
    char types[64], why[200];
    if (was_told(told, entry))
        return;
    types_text(entry, types, sizeof types);
    snprintf(why, sizeof why, "%sLoRT has no decoder for %s, so such tensors have no error",
             strcmp(entry->dtype, entry->type) == 0 ? "the bytes differ; " : "",
             left    ? entry->type
             : right ? entry->dtype
                     : types);
    lort_compare_warn(session, entry, why);
}

void lort_compare_sum_up(lort_report *report)
{
    double sum = 0;
    uint64_t count = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        double error = report->tensors[i].rel_error;
        if (isnan(error))
            continue;
        sum += error;
        count++;
        report->worst_error = fmax(error, isnan(report->worst_error) ? 0 : report->worst_error);
    }
    report->mean_error = count ? sum / (double)count : NAN;
}

lort_code lort_compare_unchanged(lort_session *session, const lort_input *a, const lort_input *b,
                                 lort_error *err)
{
    const uint32_t unproven = lort_input_unproven(a) + lort_input_unproven(b);
    lort_code code = lort_input_unchanged(a, err);
    if (code == LORT_OK)
        code = lort_input_unchanged(b, err);
    if (code == LORT_OK && unproven)
        lort_session_warn(session,
                          "%u files of the network were not read in order, so their SHA-256 was "
                          "not checked",
                          unproven);
    return code;
}
