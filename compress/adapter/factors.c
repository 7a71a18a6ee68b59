/* factors: the factors of each module, in the order of the new file (adapter.h). */
#include "compress/adapter/adapter.h"
#include "compress/factor/grid.h"
#include "compress/math/random.h"
#include "compress/session/figures.h"
#include "compress/session/report.h"
#include "formats/base/hash.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES 65536 /* of a factor that is written turned */
#define Q4_BITS 4.5       /* of a weight in Q4_K */

/* ---- writing ---- */

/* Appends a rows x cols matrix of plain elements as cols x rows. */
static lort_code append_turned(lort_extractor *x, const uint8_t *from, int64_t rows, int64_t cols,
                               uint32_t element, lort_error *err)
{
    uint8_t piece[PIECE_BYTES];
    size_t used = 0;
    lort_code code = LORT_OK;
    for (int64_t c = 0; c < cols && code == LORT_OK; c++)
        for (int64_t r = 0; r < rows && code == LORT_OK; r++) {
            memcpy(piece + used, from + (size_t)(r * cols + c) * element, element);
            used += element;
            if (used + element <= sizeof piece && !(c + 1 == cols && r + 1 == rows))
                continue;
            code = lort_publish_append(x->publish, piece, used, err);
            used = 0;
        }
    return code;
}

static lort_code append_factor(lort_extractor *x, const lort_module *m, const lort_factors *f,
                               bool left, lort_error *err)
{
    const lort_matrices shape = m->tensor->shape;
    const uint8_t *bytes = left ? f->left : f->right;
    const bool turned = left ? lort_module_turns_left(x, m) : lort_module_turns_right(x, m);
    if (!turned)
        return lort_publish_append(x->publish, bytes, left ? f->left_bytes : f->right_bytes, err);
    return append_turned(x, bytes, left ? shape.rows : m->rank, left ? m->rank : shape.cols,
                         (left ? m->left : m->right)->block_bytes, err);
}

static lort_code factorise(lort_extractor *x, const lort_module *m, int64_t slice,
                           lort_factors *out, lort_error *err)
{
    const lort_tensor *t = m->tensor->base.tensor;
    const lort_matrix_source source = lort_update_source(x, m);
    lort_target target = lort_factor_target(x, m->rank);
    char name[200];
    *out = (lort_factors){0};
    target.left_type = m->left->id;
    target.right_type = m->right->id;
    target.key = lort_matrix_key(0, lort_name_hash(t->name, t->name_bytes), (uint64_t)slice);
    lort_code code = lort_pair_slice(&x->pair, m->tensor, slice, err);
    if (code == LORT_OK)
        code = lort_factor(&source, &target, x->session.pool, &x->session.alloc, out, err);
    if (code)
        return code;
    if (out->verdict == LORT_FACTORED)
        return LORT_OK;
    /* a slice of a stack may be equal on both sides: its factors are zero */
    if (out->verdict == LORT_ZERO)
        return LORT_OK;
    return lort_fail(err, LORT_E_NUMERIC,
                     "tensor '%s': LoRT found no factors of rank %lld for its update",
                     lort_escape(name, sizeof name, t->name, t->name_bytes), (long long)m->rank);
}

static lort_code append_zeros(lort_extractor *x, const lort_module *m, bool left, lort_error *err)
{
    const lort_matrices shape = m->tensor->shape;
    uint64_t bytes = 0;
    lort_dtype_bytes(left ? m->left : m->right,
                     (uint64_t)m->rank * (uint64_t)(left ? shape.rows : shape.cols), &bytes);
    return lort_publish_pad(x->publish, lort_publish_size(x->publish) + bytes, err);
}

/* Writes the first or the second factor of all slices. Of one slice both are made at once. */
static lort_code write_slices(lort_extractor *x, lort_module *m, uint64_t number, bool second,
                              lort_error *err)
{
    const bool left_first = m->form != LORT_FORM_LINEAR, left = second ? !left_first : left_first;
    const bool alone = m->tensor->shape.slices == 1;
    lort_code code = lort_publish_pad(x->publish, x->offsets[number], err);
    if (!second)
        m->error2 = 0;
    for (int64_t i = 0; i < m->tensor->shape.slices && code == LORT_OK; i++) {
        lort_factors f;
        code = factorise(x, m, i, &f, err);
        if (code)
            return code;
        const bool zero = f.verdict == LORT_ZERO;
        code = zero ? append_zeros(x, m, left, err) : append_factor(x, m, &f, left, err);
        if (code == LORT_OK && alone)
            code = lort_publish_pad(x->publish, x->offsets[number + 1], err);
        if (code == LORT_OK && alone)
            code = append_factor(x, m, &f, !left, err);
        m->error2 += second || zero ? 0 : f.error2;
        lort_factors_free(&f, &x->session.alloc);
    }
    return code;
}

static lort_code write_module(lort_extractor *x, lort_module *m, uint64_t number, lort_error *err)
{
    lort_code code = write_slices(x, m, number, false, err);
    if (code == LORT_OK && m->tensor->shape.slices > 1)
        code = write_slices(x, m, number + 1, true, err);
    lort_pair_release(&x->pair);
    return code;
}

static lort_code append_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    return lort_publish_append(ctx, bytes, n, err);
}

static lort_code write_whole(lort_extractor *x, const lort_module *m, uint64_t number,
                             lort_error *err)
{
    lort_code code = lort_publish_pad(x->publish, x->offsets[number], err);
    if (code == LORT_OK)
        code = lort_entry_bytes(&m->tensor->tuned, &x->session.scratch[0], append_bytes, x->publish,
                                err);
    return code ? code : lort_entry_check(&m->tensor->tuned, err);
}

/* ---- the report ---- */

static void set_reason(lort_tensor_report *entry, lort_reason reason)
{
    entry->reason = reason;
    entry->reason_text = lort_reason_text(reason);
}

/* Of the update: its values are known from the measurement. */
static void report_spectrum(lort_extractor *x, const lort_module *m, lort_tensor_report *entry)
{
    lort_spectrum spectrum = {0};
    for (; spectrum.count < LORT_SPECTRUM_MOST && (int64_t)spectrum.count < m->count;
         spectrum.count++)
        spectrum.values[spectrum.count] = (float)sqrt(m->values[spectrum.count] / m->norm2);
    if (x->options->spectra && m->norm2 > 0)
        lort_report_spectrum(x->session.report, &spectrum, entry);
}

static void report_factors(lort_extractor *x, const lort_module *m, lort_tensor_report *entry)
{
    const double share = m->tuned2 > 0 ? sqrt(m->norm2 / m->tuned2) : NAN;
    const uint64_t q4 = (uint64_t)((double)m->tensor->base.tensor->elements * Q4_BITS / 8);
    entry->action = m->rank ? LORT_ACTION_FACTORED : LORT_ACTION_NONE;
    entry->rank = m->rank;
    entry->slices = m->tensor->shape.slices;
    entry->bytes_out = m->rank ? lort_module_bytes(x, m, m->rank) : 0;
    entry->rel_error = m->rank ? sqrt(m->error2 / m->norm2) : m->differs ? 1 : 0;
    entry->energy = m->rank ? 1 - m->error2 / m->norm2 : m->differs ? 0 : NAN;
    entry->type = m->rank ? m->left->name : "";
    report_spectrum(x, m, entry);
    if (m->differs)
        entry->detail = lort_report_text(
            x->session.report, "update %.3g %% of the norm, noise %.2g %% of the update%s%s",
            100 * share, 100 * sqrt(m->noise2 / m->norm2),
            m->floored ? ", stopped at the noise" : "",
            entry->bytes_out > q4 ? ", a Q4 of the tensor is smaller" : "");
    if (!m->rank)
        set_reason(entry, !m->differs ? LORT_REASON_UNCHANGED
                          : !m->above ? LORT_REASON_NOISE
                                      : LORT_REASON_SPARED);
}

static void report_module(lort_extractor *x, uint64_t number)
{
    const lort_module *m = &x->modules[number];
    lort_tensor_report *entry = &x->session.report->tensors[number];
    if (m->has_factors) {
        report_factors(x, m, entry);
    } else if (m->form == LORT_FORM_NONE) {
        set_reason(entry,
                   lort_module_tensor(m)->elements ? LORT_REASON_EXCLUDED : LORT_REASON_EMPTY);
    } else if (!m->differs) {
        set_reason(entry, LORT_REASON_UNCHANGED);
    } else if (m->form == LORT_FORM_WHOLE) {
        entry->action = LORT_ACTION_KEPT;
        entry->bytes_out = m->tensor->tuned.tensor->bytes;
        set_reason(entry, LORT_REASON_WHOLE);
    } else {
        set_reason(entry, LORT_REASON_LOST);
        entry->detail = lort_report_text(x->session.report, "%s", m->why);
    }
}

static void tell_module(lort_extractor *x, uint64_t number)
{
    lort_session *session = &x->session;
    lort_tensor_report *entry = &session->report->tensors[number];
    report_module(x, number);
    session->tensors_done++;
    session->done_bytes += entry->bytes_in;
    session->out_bytes += entry->bytes_out;
    lort_session_did(
        session, x->modules[number].rank ? lort_module_tensor(&x->modules[number])->elements : 0,
        entry->bytes_in, 1);
    lort_session_say(session, LORT_EVENT_TENSOR, entry, NULL);
}

/* ---- all ---- */

static lort_code write_tensors(lort_extractor *x, lort_error *err)
{
    uint64_t number = 0;
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < x->count && code == LORT_OK; i++) {
        lort_module *m = &x->modules[i];
        lort_session_work_on(&x->session, &x->session.report->tensors[i]);
        if (m->rank > 0) {
            code = write_module(x, m, number, err);
            number += 2;
        } else if (m->form == LORT_FORM_WHOLE && m->differs) {
            code = write_whole(x, m, number, err);
            number++;
        }
        if (code)
            break;
        tell_module(x, i);
        lort_session_sample(&x->session);
        code = lort_session_check_stop(&x->session, err);
    }
    return code ? code : lort_publish_pad(x->publish, x->file_size, err);
}

lort_code lort_factors_write(lort_extractor *x, lort_error *err)
{
    lort_code code = LORT_OK;
    lort_session_enter(&x->session, LORT_PHASE_WRITING);
    if (!x->gguf) {
        code = lort_publish_file(x->publish, "adapter_config.json", err);
        if (code == LORT_OK)
            code = lort_publish_append(x->publish, x->config.data, x->config.size, err);
    }
    if (code == LORT_OK)
        code = lort_publish_file(x->publish, x->gguf ? NULL : "adapter_model.safetensors", err);
    if (code == LORT_OK)
        code = lort_publish_append(x->publish, x->header.data, x->header.size, err);
    return code ? code : write_tensors(x, err);
}
