/* importance: while LoRT parses the file, memory holds the file and its parsed form, then only the
 * parsed form. */
#include "compress/plan/importance.h"
#include "compress/session/report.h"
#include "formats/base/bytes.h"
#include "loader/store/sidefile.h"
#include <string.h>

/* shown: the path, escaped. */
static void warn_dropped(lort_session *session, const char *shown, const lort_imatrix *imatrix)
{
    for (uint64_t i = 0; i < imatrix->dropped && i < LORT_IMATRIX_REASONS; i++)
        lort_session_warn(session, "%s: %s; the entry is not used", shown, imatrix->reasons[i]);
    if (imatrix->dropped > LORT_IMATRIX_REASONS)
        lort_session_warn(session, "%s: %llu more entries are not used", shown,
                          (unsigned long long)(imatrix->dropped - LORT_IMATRIX_REASONS));
}

lort_code lort_importance_open(lort_session *session, const char *path, lort_imatrix *imatrix,
                               lort_error *err)
{
    char shown[300];
    lort_sidefile file = {0};
    *imatrix = (lort_imatrix){0};
    lort_code code = lort_sidefile_read(path, LORT_IMATRIX_MAX, &session->alloc, &file, err);
    if (code == LORT_OK) {
        code = lort_imatrix_parse(file.data, file.bytes, &session->alloc, imatrix, err);
        lort_escape_text(shown, sizeof shown, path);
        if (code)
            lort_error_prefix(err, "%s", shown);
        else
            warn_dropped(session, shown, imatrix);
    }
    lort_sidefile_free(&file);
    return lort_session_name_limit(session, path, code, err);
}

/* True if the entry is for the tensor's slices, for all its rows, or for its columns as one matrix
 * (lort_view_of). */
static bool fits_tensor(const lort_importance *found, const lort_tensor *tensor)
{
    const lort_matrices slices = lort_tensor_matrices(tensor),
                        convolution = lort_dims_convolution(tensor->dims, tensor->n_dims);
    return lort_importance_row(found, &slices, 0) || lort_importance_row(found, &convolution, 0);
}

lort_code lort_importance_check(const lort_imatrix *imatrix, const char *path,
                                const lort_index *index, lort_error *err)
{
    char file[300], entry[200], name[200], shape[128];
    for (uint64_t i = 0; i < index->count; i++) {
        const lort_tensor *tensor = &index->tensors[i];
        const lort_matrices matrices = lort_tensor_matrices(tensor);
        const lort_importance *found =
            tensor->n_dims > 1 && tensor->elements && tensor->type->decode
                ? lort_imatrix_find(imatrix, tensor->name, tensor->name_bytes)
                : NULL;
        if (!found || fits_tensor(found, tensor))
            continue;
        return lort_fail(err, LORT_E_INPUT,
                         "%s: entry '%s' has %lld x %lld values; for tensor '%s' %s it must have "
                         "%lld, or %lld for each of its %lld matrices",
                         lort_escape_text(file, sizeof file, path),
                         lort_escape(entry, sizeof entry, found->name, found->name_bytes),
                         (long long)found->n_mat, (long long)found->n_in,
                         lort_escape(name, sizeof name, tensor->name, tensor->name_bytes),
                         lort_shape_text(tensor, shape, sizeof shape), (long long)matrices.cols,
                         (long long)matrices.cols, (long long)matrices.slices);
    }
    return LORT_OK;
}

static void add_floats(lort_hasher *hasher, const float *values, int64_t count)
{
    uint8_t bytes[256];
    for (int64_t at = 0; at < count; at += 64) {
        const int64_t n = count - at < 64 ? count - at : 64;
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &values[at + i], sizeof bits);
            lort_store_u32(bytes + 4 * i, bits);
        }
        lort_hasher_add(hasher, bytes, 4 * (uint64_t)n);
    }
}

lort_code lort_importance_note(lort_session *session, const char *path, lort_work_plan *plan,
                               lort_error *err)
{
    lort_report *report = session->report;
    lort_hasher *hasher = NULL;
    lort_code code = lort_hasher_open(&session->alloc, &hasher, err);
    if (code)
        return code;
    for (uint64_t i = 0; i < plan->count; i++) {
        const lort_tensor_plan *planned = &plan->tensors[i];
        if (!planned->importance)
            continue;
        plan->weighed++;
        /* The hash includes the NUL behind the name. */
        lort_hasher_add(hasher, planned->tensor->name, planned->tensor->name_bytes + 1u);
        for (int64_t s = 0; s < planned->shape.slices; s++)
            add_floats(hasher, lort_importance_row(planned->importance, &planned->shape, s),
                       planned->shape.cols);
    }
    plan->importance = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    report->imatrix_path = lort_report_escape(report, path, strlen(path));
    report->imatrix_entries = session->imatrix->count;
    report->imatrix_matrices = plan->weighed;
    if (plan->weighed == 0)
        lort_session_warn(
            session,
            "%s: none of its %llu entries is for a matrix that LoRT tries here; nothing is weighed",
            report->imatrix_path, (unsigned long long)report->imatrix_entries);
    return LORT_OK;
}

/* ---- covariances ---- */

const lort_covariance *lort_importance_covariance(const lort_session *session,
                                                  const lort_tensor *tensor,
                                                  const lort_matrices *shape)
{
    const lort_covariance *found = lort_covariances_find(
        lort_covariance_entries(session->covariance), tensor->name, tensor->name_bytes);
    return found && lort_covariance_fits(found, shape) ? found : NULL;
}

static lort_code check_covariance(const lort_covariance *entry, const char *path,
                                  const lort_tensor *tensor, lort_error *err)
{
    char file[300], name[200], shape[128];
    const lort_matrices slices = lort_tensor_matrices(tensor),
                        convolution = lort_dims_convolution(tensor->dims, tensor->n_dims);
    if (lort_covariance_fits(entry, &slices) || lort_covariance_fits(entry, &convolution))
        return LORT_OK;
    return lort_fail(err, LORT_E_INPUT,
                     "%s: entry '%s' has %lld matrices of %lld inputs; tensor '%s' %s needs %lld, "
                     "of 1 or %lld matrices",
                     lort_escape_text(file, sizeof file, path), entry->name,
                     (long long)entry->matrices, (long long)entry->inputs,
                     lort_escape(name, sizeof name, tensor->name, tensor->name_bytes),
                     lort_shape_text(tensor, shape, sizeof shape), (long long)slices.cols,
                     (long long)slices.slices);
}

lort_code lort_importance_open_covariances(lort_session *session, const char *path,
                                           const lort_index *index, lort_error *err)
{
    lort_code code = lort_covariance_open(session, path, &session->covariance, err);
    for (uint64_t i = 0; code == LORT_OK && i < index->count; i++) {
        const lort_tensor *tensor = &index->tensors[i];
        const lort_covariance *entry =
            tensor->n_dims > 1 && tensor->elements && tensor->type->decode
                ? lort_covariances_find(lort_covariance_entries(session->covariance), tensor->name,
                                        tensor->name_bytes)
                : NULL;
        if (entry)
            code = check_covariance(entry, path, tensor, err);
    }
    return code;
}

/* Says how much is coded without the file. */
static void warn_without(lort_session *session, const lort_work_plan *plan)
{
    uint64_t without = 0;
    for (uint64_t i = 0; i < plan->count; i++)
        without +=
            plan->tensors[i].candidate && !plan->tensors[i].same && !plan->tensors[i].covariance;
    if (without)
        lort_session_warn(session,
                          "%s: no covariance for %llu of the tensors that LoRT tries; they are "
                          "coded as without the file",
                          session->report->covariance_path, (unsigned long long)without);
}

lort_code lort_importance_note_covariances(lort_session *session, const char *path,
                                           lort_work_plan *plan, lort_error *err)
{
    lort_report *report = session->report;
    lort_hasher *hasher = NULL;
    lort_code code = lort_hasher_open(&session->alloc, &hasher, err);
    for (uint64_t i = 0; i < plan->count && code == LORT_OK; i++) {
        const lort_tensor_plan *planned = &plan->tensors[i];
        if (!planned->covariance)
            continue;
        plan->weighed++;
        lort_hasher_add(hasher, planned->tensor->name, planned->tensor->name_bytes + 1u);
        code = lort_covariance_verify(session->covariance, planned->covariance, hasher, err);
    }
    if (code == LORT_OK) {
        plan->importance = lort_hasher_value(hasher);
        plan->covariance = true;
        report->covariance_path = lort_report_escape(report, path, strlen(path));
        report->covariance_entries = lort_covariance_entries(session->covariance)->known;
        report->covariance_matrices = plan->weighed;
        warn_without(session, plan);
    }
    lort_hasher_close(hasher);
    return code;
}
