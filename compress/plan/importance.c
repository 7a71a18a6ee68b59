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
