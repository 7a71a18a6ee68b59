/* figures: see figures.h. */
#include "compress/session/figures.h"
#include "compress/session/reasons.h"
#include "compress/session/report.h"
#include "formats/container/base.h"
#include "formats/container/part.h"
#include <math.h>
#include <string.h>

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
    entry->base = origin->base;
    entry->reason = LORT_REASON_SAME;
    entry->same_as =
        whole ? origin->name : lort_report_text(report, "%.*s...", NAME_WHOLE - 3, origin->name);
    entry->reason_text = lort_report_text(report, "same as %s", entry->same_as);
}
