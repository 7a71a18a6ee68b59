/* remarks: see remarks.h. */
#include "compress/quantize/remarks.h"
#include "compress/quantize/source.h"
#include "compress/session/report.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LOSSY_SOURCE 0.02 /* error of a container from which on its codes are felt */
#define HARDLY_LEFT 0.9   /* error of a tensor of which hardly anything is left */

/* Says whose errors are weighed. Embeddings have no importance, since text does not multiply
 * them. */
void lort_remark_imatrix(lort_quantizer *q)
{
    lort_session *session = lort_session_of(q);
    lort_report *report = session->report;
    uint64_t without = 0;
    if (!q->options->imatrix)
        return;
    for (uint64_t i = 0; i < q->count; i++) {
        report->imatrix_matrices += q->tensors[i].importance && q->tensors[i].use != LORT_USE_KEPT;
        without += !q->tensors[i].importance && q->tensors[i].use != LORT_USE_KEPT;
    }
    report->imatrix_path =
        lort_report_escape(report, q->options->imatrix, strlen(q->options->imatrix));
    report->imatrix_entries = q->imatrix.count;
    if (report->imatrix_matrices == 0)
        lort_session_warn(session,
                          "%s: none of its %llu entries is for a matrix that is quantised "
                          "here; nothing is weighed",
                          report->imatrix_path, (unsigned long long)q->imatrix.count);
    else if (without)
        lort_session_warn(session,
                          "%s: no entry for %llu matrices, such as embeddings; all their "
                          "columns count alike",
                          report->imatrix_path, (unsigned long long)without);
}

/* The error of a container and the error of the types add up. */
void lort_remark_source(lort_quantizer *q)
{
    double worst = 0;
    if (!q->input.archive)
        return;
    for (uint64_t i = 0; i < q->count; i++)
        worst = fmax(worst, q->tensors[i].entry.part->rel_error);
    if (worst > LOSSY_SOURCE)
        lort_session_warn(lort_session_of(q),
                          "the source is a container whose weights have a relative error of up to "
                          "%.3g; the errors of the report come on top of it. Start from the "
                          "original, or from a container of --max-error 0.02",
                          worst);
}

void lort_remark_size(lort_quantizer *q)
{
    lort_report *report = lort_session_of(q)->report;
    report->output_low = report->output_high = q->file_size;
    report->ratio = report->input_bytes ? (double)q->file_size / (double)report->input_bytes : NAN;
    report->bpw = q->elements > 0 ? 8 * (double)q->file_size / q->elements : NAN;
}

#define FEW_BITS 3.0 /* below them i-quants are better */

/* LoRT writes no i-quants below 4 bits. They need tables and an importance matrix. */
static void remark_bits(lort_quantizer *q)
{
    double bits = 0, weights = 0;
    for (uint64_t i = 0; i < q->count; i++) {
        const lort_target_tensor *t = &q->tensors[i];
        if (t->action != LORT_ACTION_QUANTISED)
            continue;
        bits += 8 * (double)t->bytes_out;
        weights += (double)t->entry.tensor->elements;
    }
    if (weights > 0 && bits / weights < FEW_BITS)
        lort_session_warn(lort_session_of(q),
                          "%.2f bits per quantised weight: below %g bits the i-quants of "
                          "llama-quantize (IQ2_S, IQ3_XXS) with an importance matrix lose less; "
                          "LoRT does not write them",
                          bits / weights, FEW_BITS);
}

void lort_remark_choice(lort_quantizer *q, const lort_wishes *wishes)
{
    const double limit = wishes->mix ? 0 : (double)lort_targets_limit(q);
    bool changes = false;
    for (uint64_t i = 0; i < q->count; i++)
        changes |= q->tensors[i].action != LORT_ACTION_KEPT;
    if (changes && (double)q->file_size < LORT_SIZE_USED * limit)
        lort_session_warn(lort_session_of(q),
                          "the output takes %.2f %% of the size: no types that fill it lose less",
                          100 * (double)q->file_size / limit);
    remark_bits(q);
}

/* Says that the choice rests on a sample. */
void lort_remark_sample(lort_quantizer *q, const lort_wishes *wishes)
{
    char text[160];
    uint64_t whole = 0, part = 0;
    if (wishes->mix)
        return;
    for (uint64_t i = 0; i < q->count; i++)
        if (!q->tensors[i].fixed)
            *(lort_source_runs(&q->tensors[i].entry) * lort_run_pieces(&q->tensors[i].entry) <= 4
                  ? &whole
                  : &part) += 1;
    if (!part)
        return;
    snprintf(text, sizeof text,
             "types are chosen by the errors of a sample (one weight in %d of %llu tensors); the "
             "errors of the report are of all weights",
             LORT_SAMPLE_ONE_IN, (unsigned long long)part);
    lort_session_say(lort_session_of(q), LORT_EVENT_NOTE, NULL, text);
}

void lort_remark_nothing(lort_quantizer *q)
{
    uint64_t known = 0;
    for (uint64_t i = 0; i < q->count; i++)
        known += q->tensors[i].use != LORT_USE_KEPT || q->tensors[i].wish;
    if (!known)
        lort_session_warn(lort_session_of(q),
                          "nothing is quantised: none of %llu tensors is a matrix of a language "
                          "model that LoRT knows by its name; -v shows the reasons",
                          (unsigned long long)q->count);
}

/* Names the tensors that an attempt found to hold NaN or Inf. */
void lort_remark_not_finite(lort_quantizer *q)
{
    char name[200];
    for (uint64_t i = 0; i < q->count; i++)
        if (q->tensors[i].not_finite)
            lort_session_warn(lort_session_of(q), "tensor '%s' %s: it is kept as it is",
                              lort_escape(name, sizeof name, q->tensors[i].entry.tensor->name,
                                          q->tensors[i].entry.tensor->name_bytes),
                              q->tensors[i].why);
}

/* F16, and so the scales of block types, hold neither 1e-9 nor 1e9; BF16 does. */
static void warn_lost(lort_quantizer *q, const lort_tensor_report *entry)
{
    lort_session_warn(lort_session_of(q),
                      "tensor '%s': as %s hardly anything is left of its weights (relative error "
                      "%.3g); --tensor-type '%s=BF16' holds them",
                      entry->name, entry->type, entry->rel_error, entry->name);
}

void lort_remark_lost(lort_quantizer *q)
{
    for (uint64_t i = 0; i < q->count; i++) {
        const lort_tensor_report *entry = &lort_session_of(q)->report->tensors[i];
        if (entry->action != LORT_ACTION_KEPT && !(entry->rel_error < HARDLY_LEFT))
            warn_lost(q, entry);
    }
}
