/* figures: see figures.h. */
#include "compress/session/figures.h"
#include "compress/session/reasons.h"
#include "compress/session/report.h"
#include "formats/container/base.h"
#include "formats/container/part.h"
#include <math.h>
#include <string.h>

void lort_report_tensor(lort_report *report, const lort_tensor *tensor, lort_tensor_report *entry)
{
    entry->name = lort_report_escape(report, tensor->name, tensor->name_bytes);
    entry->n_dims = tensor->n_dims;
    entry->shape = lort_report_shape(report, tensor->dims, tensor->n_dims);
    entry->dtype = lort_report_dtype(report, tensor->type);
    entry->slices = lort_tensor_matrices(tensor).slices;
    entry->bytes_in = tensor->bytes;
}

/* Worst and mean of the error at offset `at` of all tensors that are not kept. */
static void sum_errors(const lort_report *report, size_t at, double *worst, double *mean)
{
    double sum = 0;
    uint64_t count = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *entry = &report->tensors[i];
        const double error = *(const double *)(const void *)((const char *)entry + at);
        if (entry->action == LORT_ACTION_KEPT || isnan(error))
            continue;
        sum += error;
        count++;
        *worst = fmax(error, isnan(*worst) ? 0 : *worst);
    }
    *mean = count ? sum / (double)count : NAN;
}

void lort_report_errors(lort_report *report)
{
    sum_errors(report, offsetof(lort_tensor_report, rel_error), &report->worst_error,
               &report->mean_error);
}

void lort_report_weighted(lort_report *report)
{
    sum_errors(report, offsetof(lort_tensor_report, weighted_error), &report->weighted_worst,
               &report->weighted_mean);
}

void lort_reading_figures(lort_report *report, const lort_part *part, uint64_t record_bytes,
                          lort_tensor_report *entry)
{
    entry->action = lort_part_is_raw(part)       ? LORT_ACTION_KEPT
                    : lort_part_has_blocks(part) ? LORT_ACTION_CODED
                                                 : LORT_ACTION_FACTORED;
    entry->reason = lort_reason_find(part->reason);
    entry->reason_text = lort_report_escape(report, part->reason, strlen(part->reason));
    entry->rank = 0;
    for (uint32_t t = 0; t < part->term_count; t++)
        for (uint32_t s = 0; part->terms[t].kind == LORT_TERM_FACTORS && s < part->slices; s++)
            entry->rank =
                part->terms[t].rank[s] > entry->rank ? part->terms[t].rank[s] : entry->rank;
    entry->base = lort_part_base(part) ? "difference" : "";
    entry->outliers = 0;
    for (uint32_t t = 0; t < part->term_count; t++)
        for (uint32_t s = 0; part->terms[t].kind == LORT_TERM_OUTLIERS && s < part->slices; s++)
            entry->outliers += part->terms[t].rank[s];
    entry->rel_error = part->has_error ? part->rel_error : NAN;
    entry->bytes_out = (part->same ? 0 : part->payload_bytes) + record_bytes;
}

void lort_report_spectrum(lort_report *report, const lort_spectrum *spectrum,
                          lort_tensor_report *entry)
{
    if (spectrum->count == 0)
        return;
    entry->spectrum = lort_report_floats(report, spectrum->values, spectrum->count);
    entry->spectrum_count = entry->spectrum ? spectrum->count : 0;
}

/* A longer name is cut, so that many small parts cannot repeat it at length. */
#define NAME_WHOLE 200

void lort_report_same(lort_report *report, const lort_tensor_report *origin,
                      lort_tensor_report *entry)
{
    const bool whole = strlen(origin->name) <= NAME_WHOLE;
    entry->action = origin->action;
    entry->rank = origin->rank;
    entry->slices = origin->slices;
    entry->rel_error = origin->rel_error;
    entry->rel_error_update = origin->rel_error_update;
    entry->weighted_error = origin->weighted_error;
    entry->proxy_loss = origin->proxy_loss;
    entry->damping = origin->damping;
    entry->base = origin->base;
    entry->reason = LORT_REASON_SAME;
    entry->same_as =
        whole ? origin->name : lort_report_text(report, "%.*s...", NAME_WHOLE - 3, origin->name);
    entry->reason_text = lort_report_text(report, "same as %s", entry->same_as);
}
